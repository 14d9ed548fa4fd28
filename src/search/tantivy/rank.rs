//! Found entries → ranked documents.
//!
//! Two quick searches find candidates: among passages, and among whole documents. Then every entry of the candidates
//! is scored exactly, since a good document's best passage may stand far down the list of all passages, or the other
//! way round. A document's score is its best passage's plus its own as a whole.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use tantivy::collector::TopDocs;
use tantivy::columnar::Column;
use tantivy::postings::Postings;
use tantivy::query::{Bm25Weight, Query};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, SegmentReader, TERMINATED, Term};
use uuid::Uuid;

use super::query::{Breadth, Question};
use super::schema::{Fields, HIGH, LOW, ORDINAL};
use super::statistics::{Level, Snapshot};
use crate::model::{DocumentId, PassageId};
use crate::search::{DocumentHit, Holding, PassageHit, SearchQuery};

/// Documents looked at closely, beyond those asked for.
const SPARE_DOCUMENTS: usize = 20;

/// Passages looked at first for each candidate: long documents crowd the top with passages of their own.
const PASSAGES_A_DOCUMENT: usize = 8;

/// The best documents for a question, best first, each with its best passages. Equal scores are ordered by id.
pub(super) fn documents(
    fields: &Fields,
    snapshot: &Snapshot,
    question: &Question,
    asked: &SearchQuery,
) -> tantivy::Result<Vec<DocumentHit>> {
    let wanted = asked.limit.saturating_add(SPARE_DOCUMENTS);
    let collection = asked.collection.as_deref().map(|name| (fields.collection, name));
    // A passage that only bigrams find still comes in by its document.
    let passages = question.query(&snapshot.passages, Breadth::Words, collection)?;
    let wholes = question.query(&snapshot.documents, Breadth::RareGrams, collection)?;
    let mut candidates = candidates(&snapshot.passages, &*passages, wanted, PASSAGES_A_DOCUMENT)?;
    candidates.extend(self::candidates(&snapshot.documents, &*wholes, wanted, 1)?);
    let mut ranked = ranked(scored(fields, snapshot, question, &candidates)?);
    ranked.truncate(asked.limit);
    for hit in &mut ranked {
        hit.passages.truncate(asked.passages_per_document.max(1));
    }
    Ok(ranked)
}

/// Some of the best documents by the score of their entries of one size.
fn candidates(
    level: &Level,
    query: &dyn Query,
    wanted: usize,
    entries_a_document: usize,
) -> tantivy::Result<HashSet<DocumentId>> {
    let most = usize::try_from(level.entries).unwrap_or(usize::MAX).max(1);
    let mut limit = wanted.saturating_mul(entries_a_document).min(most);
    loop {
        let top = TopDocs::with_limit(limit).order_by_score();
        let found = level.searcher.search_with_statistics_provider(query, &top, level)?;
        let mut documents = HashSet::new();
        for (segment, reader) in (0..).zip(level.searcher.segment_readers()) {
            let ids = Ids::of(reader)?;
            let here = found.iter().filter(|(_, address)| address.segment_ord == segment);
            documents.extend(here.filter_map(|(_, address)| ids.document(address.doc_id)));
        }
        if documents.len() >= wanted || found.len() < limit || limit == most {
            return Ok(documents);
        }
        limit = limit.saturating_mul(4).min(most);
    }
}

/// The exact scores of a document's entries.
#[derive(Default)]
struct Scored {
    whole: f32,
    passages: Vec<PassageHit>,
}

/// Scores every entry of some documents.
fn scored(
    fields: &Fields,
    snapshot: &Snapshot,
    question: &Question,
    documents: &HashSet<DocumentId>,
) -> tantivy::Result<HashMap<DocumentId, Scored>> {
    let passage_terms = weighed(&snapshot.passages, question)?;
    let whole_terms = weighed(&snapshot.documents, question)?;
    let mut scored: HashMap<DocumentId, Scored> = HashMap::new();
    for reader in snapshot.searcher.segment_readers() {
        let entries = entries_of(fields, reader, documents)?;
        let ids = Ids::of(reader)?;
        let (passages, wholes): (Vec<DocId>, Vec<DocId>) =
            entries.into_iter().partition(|&entry| ids.ordinal.first(entry).is_some());
        for (entry, score) in scores(&whole_terms, reader, &wholes)? {
            if let Some(document) = ids.document(entry) {
                scored.entry(document).or_default().whole = score;
            }
        }
        for (entry, score) in scores(&passage_terms, reader, &passages)? {
            if let Some(passage_id) = ids.passage(entry) {
                scored.entry(passage_id.document_id).or_default().passages.push(PassageHit { passage_id, score });
            }
        }
    }
    Ok(scored)
}

/// The question's terms that are in the index, with what they are worth there.
fn weighed(level: &Level, question: &Question) -> tantivy::Result<Vec<(Term, Bm25Weight)>> {
    let mut weighed = Vec::new();
    for (term, weight) in question.terms(level.texts) {
        let frequency = level.searcher.doc_freq(&term)?;
        if frequency > 0 {
            let average = level.average(term.field());
            let bm25 = Bm25Weight::for_one_term_without_explain(frequency, level.entries, average);
            weighed.push((term, bm25.boost_by(weight)));
        }
    }
    Ok(weighed)
}

/// The BM25 scores of some entries of a segment, given in rising order; those that match nothing are left out.
fn scores(
    terms: &[(Term, Bm25Weight)],
    reader: &SegmentReader,
    entries: &[DocId],
) -> tantivy::Result<Vec<(DocId, f32)>> {
    let mut scores: Vec<(DocId, f32)> = entries.iter().map(|&entry| (entry, 0.0)).collect();
    if scores.is_empty() {
        return Ok(scores);
    }
    for (term, bm25) in terms {
        let field = term.field();
        let index = reader.inverted_index(field)?;
        let Some(mut postings) = index.read_postings(term, IndexRecordOption::WithFreqs)? else { continue };
        let norms = reader.get_fieldnorms_reader(field)?;
        for (entry, score) in &mut scores {
            if postings.doc() < *entry {
                postings.seek(*entry);
            }
            if postings.doc() == *entry {
                *score += bm25.score(norms.fieldnorm_id(*entry), postings.term_freq());
            }
        }
    }
    scores.retain(|&(_, score)| score > 0.0);
    Ok(scores)
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

fn ranked(scored: HashMap<DocumentId, Scored>) -> Vec<DocumentHit> {
    let mut ranked: Vec<DocumentHit> = scored
        .into_iter()
        .filter_map(|(document_id, Scored { whole, mut passages })| {
            passages.sort_unstable_by(|a, b| best_first(a.score, b.score).then(a.passage_id.cmp(&b.passage_id)));
            let score = passages.first()?.score + whole;
            Some(DocumentHit { document_id, score, passages })
        })
        .collect();
    ranked.sort_unstable_by(|a, b| best_first(a.score, b.score).then(a.document_id.cmp(&b.document_id)));
    ranked
}

fn best_first(a: f32, b: f32) -> Ordering {
    b.total_cmp(&a)
}

/// What a state of the index holds of each document.
pub(super) fn holdings(searcher: &tantivy::Searcher) -> tantivy::Result<HashMap<DocumentId, Holding>> {
    let mut holdings: HashMap<DocumentId, Holding> = HashMap::new();
    for reader in searcher.segment_readers() {
        let ids = Ids::of(reader)?;
        let digests = reader.fast_fields().u64(super::schema::DIGEST)?;
        for entry in reader.doc_ids_alive() {
            let Some(document) = ids.document(entry) else { continue };
            let holding = holdings.entry(document).or_default();
            if ids.passage(entry).is_some() {
                holding.add(digests.first(entry).unwrap_or_default());
            }
        }
    }
    Ok(holdings)
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
        Ok(Self { high: fields.u64(HIGH)?, low: fields.u64(LOW)?, ordinal: fields.u64(ORDINAL)? })
    }

    fn document(&self, entry: DocId) -> Option<DocumentId> {
        Some(DocumentId(Uuid::from_u64_pair(self.high.first(entry)?, self.low.first(entry)?)))
    }

    fn passage(&self, entry: DocId) -> Option<PassageId> {
        let ordinal = u32::try_from(self.ordinal.first(entry)?).ok()?;
        Some(PassageId { document_id: self.document(entry)?, ordinal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_ordered_by_best_passage_and_whole_then_by_id() {
        let id = |n: u128| DocumentId(Uuid::from_u128(n));
        let scored = |n, whole, scores: &[f32]| {
            let hit = |(ordinal, &score)| PassageHit { passage_id: PassageId { document_id: id(n), ordinal }, score };
            (id(n), Scored { whole, passages: (0..).zip(scores).map(hit).collect() })
        };
        let all = [
            scored(3, 1.0, &[2.0]),
            scored(1, 1.0, &[1.0, 2.0]),
            scored(2, 9.0, &[]),
            scored(4, 3.0, &[0.5]),
            scored(5, 0.0, &[2.9, 2.9]),
        ];
        let ranked = ranked(all.into());
        let order: Vec<DocumentId> = ranked.iter().map(|hit| hit.document_id).collect();
        assert_eq!(order, [id(4), id(1), id(3), id(5)]);
        let ordinals: Vec<u32> = ranked[1].passages.iter().map(|hit| hit.passage_id.ordinal).collect();
        assert_eq!(ordinals, [1, 0]);
    }
}
