//! Found passages → ranked documents.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use tantivy::collector::TopDocs;
use tantivy::columnar::Column;
use tantivy::query::{EnableScoring, Query};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, Score, SegmentReader, TERMINATED, Term};
use uuid::Uuid;

use super::schema::Fields;
use super::statistics::Snapshot;
use crate::model::{DocumentId, PassageId};
use crate::search::{DocumentHit, PassageHit};

/// What the second passage of a document adds to its score, and each further one of what the one before it added.
const NEXT_PASSAGE: f32 = 0.1;

/// Passages looked at first for each document wanted: long documents crowd the top with passages of their own.
const PASSAGES_A_DOCUMENT: usize = 10;

/// Fewest passages looked at.
const FEWEST_PASSAGES: usize = 100;

/// The best documents for a query, best first, each with its best passages. Equal scores are ordered by id.
pub(super) fn documents(
    fields: &Fields,
    snapshot: &Snapshot,
    query: &dyn Query,
    limit: usize,
    passages: usize,
) -> tantivy::Result<Vec<DocumentHit>> {
    let searcher = &snapshot.searcher;
    let most = usize::try_from(searcher.num_docs()).unwrap_or(usize::MAX);
    let mut wanted = limit.saturating_mul(PASSAGES_A_DOCUMENT).max(FEWEST_PASSAGES);
    let mut ranked = loop {
        wanted = wanted.min(most).max(1);
        let found =
            searcher.search_with_statistics_provider(query, &TopDocs::with_limit(wanted).order_by_score(), snapshot)?;
        let exhausted = found.len() < wanted || wanted == most;
        let mut passages = Vec::with_capacity(found.len());
        for (segment, reader) in (0..).zip(searcher.segment_readers()) {
            let ids = Ids::of(reader)?;
            let here = found.iter().filter(|(_, address)| address.segment_ord == segment);
            passages.extend(here.filter_map(|(score, address)| ids.hit(address.doc_id, *score)));
        }
        let ranked = ranked(passages);
        if exhausted || ranked.len() >= limit {
            break ranked;
        }
        wanted = wanted.saturating_mul(4);
    };
    ranked.truncate(limit);
    let documents: HashSet<DocumentId> = ranked.iter().map(|hit| hit.document_id).collect();
    let mut ranked = self::ranked(passages_of(fields, snapshot, query, &documents)?);
    for hit in &mut ranked {
        hit.passages.truncate(passages.max(1));
    }
    Ok(ranked)
}

/// Every passage of some documents that a query finds, far down the list as it may be.
fn passages_of(
    fields: &Fields,
    snapshot: &Snapshot,
    query: &dyn Query,
    documents: &HashSet<DocumentId>,
) -> tantivy::Result<Vec<PassageHit>> {
    let searcher = &snapshot.searcher;
    let weight = query.weight(EnableScoring::enabled_from_statistics_provider(snapshot, searcher))?;
    let mut hits = Vec::new();
    for reader in searcher.segment_readers() {
        let entries = entries_of(fields, reader, documents)?;
        let Some(&first) = entries.first() else { continue };
        let ids = Ids::of(reader)?;
        let mut scorer = weight.scorer(reader, 1.0)?;
        if scorer.doc() < first {
            scorer.seek(first);
        }
        for entry in entries {
            if scorer.doc() < entry {
                scorer.seek(entry);
            }
            if scorer.doc() == entry {
                let score = scorer.score();
                hits.extend(ids.hit(entry, score));
            }
        }
    }
    Ok(hits)
}

/// The living entries of some documents in a segment, in rising order.
fn entries_of(fields: &Fields, reader: &SegmentReader, documents: &HashSet<DocumentId>) -> tantivy::Result<Vec<DocId>> {
    let index = reader.inverted_index(fields.document)?;
    let mut entries = Vec::new();
    for document in documents {
        let term = Term::from_field_bytes(fields.document, document.0.as_bytes());
        if let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? {
            while postings.doc() != TERMINATED {
                if !reader.is_deleted(postings.doc()) {
                    entries.push(postings.doc());
                }
                postings.advance();
            }
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

/// Groups passages by document. A document is as good as its best passage, and a little better for the next ones.
fn ranked(passages: Vec<PassageHit>) -> Vec<DocumentHit> {
    let mut documents: HashMap<DocumentId, Vec<PassageHit>> = HashMap::new();
    for passage in passages {
        documents.entry(passage.passage_id.document_id).or_default().push(passage);
    }
    let mut ranked: Vec<DocumentHit> = documents
        .into_iter()
        .map(|(document_id, mut passages)| {
            passages.sort_unstable_by(|a, b| best_first(a.score, b.score).then(a.passage_id.cmp(&b.passage_id)));
            DocumentHit { document_id, score: score(&passages), passages }
        })
        .collect();
    ranked.sort_unstable_by(|a, b| best_first(a.score, b.score).then(a.document_id.cmp(&b.document_id)));
    ranked
}

fn score(passages: &[PassageHit]) -> f32 {
    let shares = std::iter::successors(Some(1.0_f32), |share| Some(share * NEXT_PASSAGE));
    passages.iter().zip(shares).map(|(passage, share)| passage.score * share).sum()
}

fn best_first(a: f32, b: f32) -> Ordering {
    b.total_cmp(&a)
}

/// The ids of a segment's entries.
struct Ids {
    high: Column<u64>,
    low: Column<u64>,
    ordinal: Column<u64>,
}

impl Ids {
    fn of(reader: &SegmentReader) -> tantivy::Result<Self> {
        let fields = reader.fast_fields();
        Ok(Self { high: fields.u64("high")?, low: fields.u64("low")?, ordinal: fields.u64("ordinal")? })
    }

    fn hit(&self, entry: DocId, score: Score) -> Option<PassageHit> {
        let document_id = DocumentId(Uuid::from_u64_pair(self.high.first(entry)?, self.low.first(entry)?));
        let ordinal = u32::try_from(self.ordinal.first(entry)?).ok()?;
        Some(PassageHit { passage_id: PassageId { document_id, ordinal }, score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_ordered_by_their_best_passages_then_by_id() {
        let id = |n: u128| DocumentId(Uuid::from_u128(n));
        let hit = |n, ordinal, score| PassageHit { passage_id: PassageId { document_id: id(n), ordinal }, score };
        let ranked = ranked(vec![hit(3, 0, 2.0), hit(1, 1, 1.0), hit(1, 0, 2.0), hit(2, 4, 2.0), hit(4, 0, 9.0)]);
        let order: Vec<DocumentId> = ranked.iter().map(|hit| hit.document_id).collect();
        assert_eq!(order, [id(4), id(1), id(2), id(3)]);
        let ordinals: Vec<u32> = ranked[1].passages.iter().map(|hit| hit.passage_id.ordinal).collect();
        assert_eq!(ordinals, [0, 1]);
        assert!((ranked[1].score - (2.0 + NEXT_PASSAGE)).abs() < 1e-6);
    }
}
