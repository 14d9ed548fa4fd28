//! Question → the best documents, each with the stretches of it that are worth reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::App;
use crate::error::Problem;
use crate::model::{DocumentId, Passage, PassageId};
use crate::readings::{Reading, ReadingKey, Stretch};
use crate::search::{DocumentHit, SearchQuery};
use crate::store::KnownDocument;
use crate::tokens::estimate_tokens;

/// What one analysis may read of a document, in tokens. A document within it is read whole.
const READING_BUDGET: u32 = 3_000;

/// A document with more passages than this is taken to be over the budget without looking at them.
const SHORT_DOCUMENT_PASSAGES: u32 = 60;

/// Passages that the index offers of each document.
const PASSAGES_PER_DOCUMENT: usize = 6;

/// Hits asked for beyond what is needed: some may be of documents that were deleted a moment ago.
const SPARE_HITS: usize = 10;

/// Stands between stretches that do not follow each other in the document.
const GAP: &str = "[…]\n";

/// A document with what is worth reading of it.
#[derive(Clone, Debug)]
pub(super) struct Retrieved {
    pub(super) document: KnownDocument,
    pub(super) score: f32,
    /// What to read, in reading order; never empty.
    pub(super) stretches: Arc<[Stretch]>,
    /// The best passage of all, as the index sees it.
    pub(super) best: Passage,
}

/// The best `top_k` documents for a question, best first. Only documents that the store still has are offered.
pub(super) async fn retrieve(
    app: &App,
    question: &str,
    collection: Option<&str>,
    top_k: usize,
) -> Result<Vec<Retrieved>, Problem> {
    let offered = known_hits(app, question, collection, top_k, PASSAGES_PER_DOCUMENT).await?;
    let mut readings: Vec<Option<Reading>> = offered
        .iter()
        .map(|(hit, document)| match app.readings.get(&whole(document)) {
            Some(Reading::TooLong) => app.readings.get(&in_part(document, hit)),
            known => known,
        })
        .collect();
    read(app, &offered, &mut readings).await?;
    let retrieved = offered.into_iter().zip(readings).filter_map(|((hit, document), reading)| {
        let Some(Reading::Stretches(stretches)) = reading else { return None };
        let first = hit.passages.first().map(|passage| passage.passage_id);
        // Not there where the document changed under the index.
        let best = stretches.iter().flat_map(|stretch| &stretch.passages).find(|passage| Some(passage.id) == first);
        best.cloned().map(|best| Retrieved { document, score: hit.score, stretches, best })
    });
    Ok(retrieved.collect())
}

/// Names the reading of a whole document.
fn whole(document: &KnownDocument) -> ReadingKey {
    ReadingKey { document_id: document.id, change: document.change, found: Vec::new() }
}

/// Names the reading of what was found of a document.
fn in_part(document: &KnownDocument, hit: &DocumentHit) -> ReadingKey {
    let found = hit.passages.iter().map(|passage| passage.passage_id.ordinal).collect();
    ReadingKey { found, ..whole(document) }
}

/// Reads what is not known yet, all documents together.
async fn read(
    app: &App,
    offered: &[(DocumentHit, KnownDocument)],
    readings: &mut [Option<Reading>],
) -> Result<(), Problem> {
    let missing: Vec<usize> = (0..offered.len()).filter(|place| readings[*place].is_none()).collect();
    let unread = |place: &usize| offered.get(*place).map(|(hit, document)| (*place, hit, document));
    let ids: Vec<DocumentId> = missing.iter().filter_map(unread).map(|(_, _, document)| document.id).collect();
    let beginnings = app.store.first_passages(&ids, SHORT_DOCUMENT_PASSAGES + 1).await?;
    let mut fresh = Vec::with_capacity(missing.len());
    for (place, hit, document) in missing.iter().filter_map(unread) {
        let of_it = |passage: &&Passage| passage.id.document_id == document.id;
        let beginning: Vec<Passage> = beginnings.iter().filter(of_it).cloned().collect();
        let tokens: u32 = beginning.iter().map(|passage| estimate_tokens(&passage.text)).sum();
        let is_short = beginning.len() <= SHORT_DOCUMENT_PASSAGES as usize && tokens <= READING_BUDGET;
        let (key, passages) = if is_short {
            (whole(document), beginning)
        } else {
            app.readings.keep(whole(document), Reading::TooLong);
            (in_part(document, hit), best_passages(app, hit).await?)
        };
        fresh.push((place, key, joined(passages)));
    }
    fill(app, &mut fresh).await?;
    // A document without passages has just changed.
    for (place, key, stretches) in fresh.into_iter().filter(|(_, _, stretches)| !stretches.is_empty()) {
        let reading = Reading::Stretches(stretches.into());
        app.readings.keep(key, reading.clone());
        readings[place] = Some(reading);
    }
    Ok(())
}

/// The best documents that the index finds and the store still has, best first, each with its best passages.
pub(super) async fn known_hits(
    app: &App,
    text: &str,
    collection: Option<&str>,
    limit: usize,
    passages_per_document: usize,
) -> Result<Vec<(DocumentHit, KnownDocument)>, Problem> {
    let query = SearchQuery {
        text: text.to_owned(),
        collection: collection.map(str::to_owned),
        limit: limit + SPARE_HITS,
        passages_per_document,
    };
    let hits = app.search.search(query).await?;
    let ids: Vec<DocumentId> = hits.iter().map(|hit| hit.document_id).collect();
    let known = app.store.known_documents(&ids).await?;
    // The store's word on the collection is newer than the index's.
    let wanted = |document: &&KnownDocument| collection.is_none_or(|collection| collection == document.collection);
    let known_of = |hit: &DocumentHit| known.iter().find(|one| one.id == hit.document_id).filter(wanted).cloned();
    Ok(hits.into_iter().filter_map(|hit| known_of(&hit).map(|document| (hit, document))).take(limit).collect())
}

/// Passages that follow each other become one stretch.
fn joined(passages: Vec<Passage>) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for passage in passages {
        match stretches.last_mut() {
            Some(stretch) if stretch.passages.last().is_some_and(|last| last.id.ordinal + 1 == passage.id.ordinal) => {
                stretch.passages.push(passage);
            }
            _ => stretches.push(Stretch { text: String::new(), passages: vec![passage] }),
        }
    }
    stretches
}

/// Fetches the exact texts of all stretches.
async fn fill(app: &App, fresh: &mut [(usize, ReadingKey, Vec<Stretch>)]) -> Result<(), Problem> {
    let ranges: Vec<_> = fresh
        .iter()
        .flat_map(|(_, key, stretches)| stretches.iter().map(|one| (key.document_id, one.start()..one.end())))
        .collect();
    let texts = app.store.text_ranges(&ranges).await?;
    let stretches = fresh.iter_mut().flat_map(|(_, _, stretches)| stretches);
    for (stretch, text) in stretches.zip(texts) {
        stretch.text = text;
    }
    Ok(())
}

/// The best passages of a long document and then their neighbours, as far as the budget goes, in reading order.
async fn best_passages(app: &App, hit: &DocumentHit) -> Result<Vec<Passage>, Problem> {
    let mut wanted: Vec<u32> = hit.passages.iter().map(|passage| passage.passage_id.ordinal).collect();
    let neighbours: Vec<u32> =
        wanted.iter().flat_map(|ordinal| [ordinal.checked_sub(1), ordinal.checked_add(1)]).flatten().collect();
    wanted.extend(neighbours);
    let ids: Vec<PassageId> =
        wanted.into_iter().map(|ordinal| PassageId { document_id: hit.document_id, ordinal }).collect();
    let mut chosen = BTreeMap::new();
    let mut left = READING_BUDGET;
    for passage in app.store.passages(&ids).await? {
        let tokens = estimate_tokens(&passage.text);
        if tokens <= left || chosen.is_empty() {
            left = left.saturating_sub(tokens);
            chosen.insert(passage.id.ordinal, passage);
        }
    }
    Ok(chosen.into_values().collect())
}

impl Retrieved {
    /// What an analysis reads: each stretch below its headings, gaps marked.
    pub(super) fn excerpt(&self) -> String {
        let mut excerpt = String::new();
        for stretch in self.stretches.iter() {
            let first = stretch.passages.first();
            if first.is_some_and(|passage| passage.id.ordinal > 0) {
                excerpt.push_str(GAP);
            }
            if let Some(heading) = first.and_then(|passage| passage.heading.as_deref()) {
                excerpt.push_str(&format!("(section: {heading})\n"));
            }
            excerpt.push_str(&stretch.text);
            excerpt.push('\n');
        }
        excerpt
    }

    /// The passages to read, in reading order.
    pub(super) fn passages(&self) -> impl Iterator<Item = &Passage> {
        self.stretches.iter().flat_map(|stretch| &stretch.passages)
    }
}
