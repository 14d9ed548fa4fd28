//! Found entries → ranked documents.
//!
//! Two quick searches find candidates: among passages, and among whole documents. Then every entry of the candidates
//! is scored exactly, since a good document's best passage may stand far down the list of all passages, or the other
//! way round. A document's score is its best passage's plus its own as a whole.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use tantivy::collector::TopDocs;
use tantivy::postings::Postings;
use tantivy::query::Query;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, SegmentReader};
use uuid::Uuid;

use super::narrow;
use super::query::{Breadth, Question};
use super::schema::{DIGEST, Fields, HIGH, LOW, ORDINAL};
use super::segment::{Part, Segment};
use super::statistics::{Curve, Snapshot};
use super::terms::Found;
use super::translations::Translations;
use crate::model::DocumentId;
use crate::search::{DocumentHit, Holding, PassageHit, SearchQuery};

/// Documents looked at closely, beyond those asked for.
const SPARE_DOCUMENTS: usize = 20;

/// Passages looked at first for each candidate; more where long documents crowd the top with passages of their own.
const PASSAGES_A_DOCUMENT: usize = 2;

/// A document's segment, and its place in there.
pub(super) type Candidate = (usize, usize);

/// The best documents for a question, best first, each with its best passages. Equal scores are ordered by id.
pub(super) fn documents(
    fields: &Fields,
    snapshot: &Snapshot,
    question: &Question,
    asked: &SearchQuery,
) -> tantivy::Result<Vec<DocumentHit>> {
    let wanted = asked.limit.saturating_add(SPARE_DOCUMENTS);
    let narrowed = narrow::wanted(fields, asked.collection.as_deref(), asked.filter.as_ref());
    let parts = || snapshot.segments.iter().map(AsRef::as_ref);
    let passages =
        Found::new(&snapshot.passages, question.passage_terms(fields), parts().map(|s: &Segment| &s.passages))?;
    let wholes = Found::new(&snapshot.documents, question.whole_terms(fields), parts().map(|s: &Segment| &s.wholes))?;
    // A passage that only bigrams find still comes in by its document.
    let mut all = BTreeSet::new();
    let query = passages.query(Breadth::Words, narrowed.as_ref().map(|wanted| wanted.as_ref().box_clone()));
    candidates(snapshot, &passages, &*query, wanted, PASSAGES_A_DOCUMENT, &mut all)?;
    let query = wholes.query(Breadth::RareGrams, narrowed.as_ref().map(|wanted| wanted.as_ref().box_clone()));
    candidates(snapshot, &wholes, &*query, wanted, 1, &mut all)?;
    let mut ranked = ranked(scored(snapshot, &passages, &wholes, &all)?);
    let known = all
        .iter()
        .filter_map(|&(ordinal, place)| Some((snapshot.segments.get(ordinal)?.document(place)?, (ordinal, place))));
    let translations = Translations::new(fields, snapshot, narrowed.as_deref())?;
    translations.join(&mut ranked, asked.limit, &known.collect())?;
    in_order(&mut ranked);
    ranked.truncate(asked.limit);
    for hit in &mut ranked {
        hit.passages.truncate(asked.passages_per_document.max(1));
    }
    Ok(ranked)
}

/// Adds some of the best documents by the score of their entries of one size.
fn candidates(
    snapshot: &Snapshot,
    terms: &Found<'_>,
    query: &dyn Query,
    wanted: usize,
    entries_a_document: usize,
    all: &mut BTreeSet<Candidate>,
) -> tantivy::Result<()> {
    let most = usize::try_from(terms.frequencies.level.entries).unwrap_or(usize::MAX).max(1);
    let mut limit = wanted.saturating_mul(entries_a_document).min(most);
    loop {
        let top = TopDocs::with_limit(limit).order_by_score();
        let found = snapshot.searcher.search_with_statistics_provider(query, &top, &terms.frequencies)?;
        let candidate = |ordinal: u32, entry| {
            let segment = ordinal as usize;
            Some((segment, snapshot.segments.get(segment)?.place_of(entry)))
        };
        let documents: BTreeSet<Candidate> =
            found.iter().filter_map(|(_, address)| candidate(address.segment_ord, address.doc_id)).collect();
        let enough = documents.len() >= wanted || found.len() < limit || limit == most;
        all.extend(documents);
        if enough {
            return Ok(());
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
    snapshot: &Snapshot,
    passages: &Found<'_>,
    wholes: &Found<'_>,
    documents: &BTreeSet<Candidate>,
) -> tantivy::Result<HashMap<DocumentId, Scored>> {
    let mut scored: HashMap<DocumentId, Scored> = HashMap::with_capacity(documents.len());
    let (passage_weights, whole_weights) = (passages.weights(), wholes.weights());
    for (ordinal, (segment, reader)) in snapshot.segments.iter().zip(snapshot.searcher.segment_readers()).enumerate() {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (_, place) in documents.range((ordinal, 0)..(ordinal + 1, 0)) {
            let entries = segment.entries(*place);
            let Some(whole) = entries.end.checked_sub(1).filter(|&whole| is_alive(reader, whole)) else { continue };
            small.extend(entries.start..whole);
            large.push(whole);
        }
        for (entry, score) in scores(wholes, &whole_weights, ordinal, &segment.wholes, &large)? {
            if let Some(document) = segment.document(segment.place_of(entry)) {
                scored.entry(document).or_default().whole = score;
            }
        }
        for (entry, score) in scores(passages, &passage_weights, ordinal, &segment.passages, &small)? {
            if let Some(passage_id) = segment.passage(entry) {
                scored.entry(passage_id.document_id).or_default().passages.push(PassageHit { passage_id, score });
            }
        }
    }
    Ok(scored)
}

fn is_alive(reader: &SegmentReader, entry: DocId) -> bool {
    !reader.is_deleted(entry)
}

/// The BM25 scores of some entries of a segment, given in rising order; those that match nothing are left out.
fn scores(
    found: &Found<'_>,
    weights: &[(f32, &Curve)],
    ordinal: usize,
    part: &Part,
    entries: &[DocId],
) -> tantivy::Result<Vec<(DocId, f32)>> {
    let mut scores: Vec<(DocId, f32)> = entries.iter().map(|&entry| (entry, 0.0)).collect();
    let Some(last) = entries.last().copied() else { return Ok(scores) };
    for ((place, (weight, curve)), is_gram) in found.in_segment(ordinal).zip(weights).zip(found.are_grams()) {
        let Some(info) = place else { continue };
        let terms = if is_gram { &part.grams } else { &part.words };
        let mut postings = terms.index.read_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
        for (entry, score) in &mut scores {
            if postings.doc() < *entry && postings.seek(*entry) > last {
                break;
            }
            if postings.doc() == *entry {
                *score += weight * curve.share(terms.norms.fieldnorm_id(*entry), postings.term_freq());
            }
        }
    }
    scores.retain(|&(_, score)| score > 0.0);
    Ok(scores)
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
    in_order(&mut ranked);
    ranked
}

fn in_order(hits: &mut [DocumentHit]) {
    hits.sort_unstable_by(|a, b| best_first(a.score, b.score).then(a.document_id.cmp(&b.document_id)));
}

fn best_first(a: f32, b: f32) -> Ordering {
    b.total_cmp(&a)
}

/// What a state of the index holds of each document.
pub(super) fn holdings(searcher: &tantivy::Searcher) -> tantivy::Result<HashMap<DocumentId, Holding>> {
    let mut holdings: HashMap<DocumentId, Holding> = HashMap::new();
    for reader in searcher.segment_readers() {
        let column = |name| reader.fast_fields().u64(name);
        let (high, low, ordinals, digests) = (column(HIGH)?, column(LOW)?, column(ORDINAL)?, column(DIGEST)?);
        for entry in reader.doc_ids_alive() {
            let (Some(high), Some(low)) = (high.first(entry), low.first(entry)) else { continue };
            let holding = holdings.entry(DocumentId(Uuid::from_u64_pair(high, low))).or_default();
            if ordinals.first(entry).is_some() {
                holding.add(digests.first(entry).unwrap_or_default());
            }
        }
    }
    Ok(holdings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PassageId;

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
