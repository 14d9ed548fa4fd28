//! Found entries → ranked documents.
//!
//! Two quick searches find candidates: among passages, and among whole documents. Then every entry of the candidates
//! is scored exactly, since a good document's best passage may stand far down the list of all passages, or the other
//! way round. A document's score is its best passage's plus its own as a whole.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use tantivy::{DocId, SegmentReader};
use uuid::Uuid;

use super::candidates::{Candidate, candidates};
use super::narrow::Wanted;
use super::query::{Breadth, Question};
use super::schema::{DIGEST, Fields, HIGH, LOW, ORDINAL};
use super::segment::{Part, Segment};
use super::statistics::Snapshot;
use super::terms::Found;
use super::translations::Translations;
use super::window::Window;
use crate::model::DocumentId;
use crate::search::{DocumentHit, Holding, PassageHit, SearchQuery};

/// Documents looked at closely, beyond those asked for.
const SPARE_DOCUMENTS: usize = 20;

/// The best documents for a question, best first, each with its best passages. Equal scores are ordered by id.
pub(super) fn documents(
    fields: &Fields,
    snapshot: &Snapshot,
    question: &Question,
    asked: &SearchQuery,
) -> tantivy::Result<Vec<DocumentHit>> {
    let wanted = asked.limit.saturating_add(SPARE_DOCUMENTS);
    let narrowed = Wanted::new(fields, snapshot, asked.collection.as_deref(), asked.filter.as_ref())?;
    let parts = || snapshot.segments.iter().map(AsRef::as_ref);
    let passages =
        Found::new(&snapshot.passages, &question.in_passages(fields), parts().map(|s: &Segment| &s.passages))?;
    let wholes = Found::new(&snapshot.documents, &question.in_wholes(fields), parts().map(|s: &Segment| &s.wholes))?;
    let mut window = Window::default();
    let mut best = |part: fn(&Segment) -> &Part, terms: &Found<'_>, breadth| {
        candidates(snapshot, part, terms, breadth, narrowed.as_ref(), wanted, &mut window)
    };
    // A passage that only bigrams find still comes in by its document.
    let by_passage = best(|segment| &segment.passages, &passages, Breadth::Words)?;
    let all = by_passage.chain(best(|segment| &segment.wholes, &wholes, Breadth::RareGrams)?).collect();
    let mut ranked = ranked(scored(snapshot, &passages, &wholes, &all)?);
    let known = all
        .iter()
        .filter_map(|&(ordinal, place)| Some((snapshot.segments.get(ordinal)?.document(place)?, (ordinal, place))));
    let translations = Translations::new(fields, snapshot, narrowed.as_ref());
    translations.join(&mut ranked, asked.limit, &known.collect())?;
    in_order(&mut ranked);
    ranked.truncate(asked.limit);
    for hit in &mut ranked {
        hit.passages.truncate(asked.passages_per_document.max(1));
    }
    Ok(ranked)
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
    for (ordinal, (segment, reader)) in snapshot.segments.iter().zip(snapshot.searcher.segment_readers()).enumerate() {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (_, place) in documents.range((ordinal, 0)..(ordinal + 1, 0)) {
            let entries = segment.entries(*place);
            let Some(whole) = entries.end.checked_sub(1).filter(|&whole| is_alive(reader, whole)) else { continue };
            small.extend(entries.start..whole);
            large.push(whole);
        }
        for (entry, score) in scores(wholes, ordinal, &segment.wholes, &large)? {
            if let Some(document) = segment.document(segment.place_of(entry)) {
                scored.entry(document).or_default().whole = score;
            }
        }
        for (entry, score) in scores(passages, ordinal, &segment.passages, &small)? {
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
pub(super) fn scores(
    found: &Found<'_>,
    ordinal: usize,
    part: &Part,
    entries: &[DocId],
) -> tantivy::Result<Vec<(DocId, f32)>> {
    let mut scores: Vec<(DocId, f32)> = entries.iter().map(|&entry| (entry, 0.0)).collect();
    if !scores.is_empty() {
        let mut said = found.postings(ordinal, part, &found.all())?;
        for ways in said.chunk_by_mut(|a, b| a.concept == b.concept) {
            for (entry, score) in &mut scores {
                // Said in several ways, something is worth as much as in the best.
                *score += ways.iter_mut().map(|way| way.score(*entry)).fold(0.0, f32::max);
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
