//! Question → the best documents, each with the stretches of it that are worth reading.

use std::collections::BTreeMap;

use super::find::SearchMode;
use super::hybrid::{Ranking, rank};
use crate::app::App;
use crate::error::Problem;
use crate::model::{DocumentId, Passage, PassageId};
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
    pub(super) stretches: Vec<Stretch>,
    /// The best passage of all, as the index sees it.
    pub(super) best: Passage,
}

/// Passages that follow each other, and the document's exact text from the first one's start to the last one's end.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) text: String,
    pub(super) passages: Vec<Passage>,
}

/// The best `top_k` documents for a question, best first. Only documents that the store still has are offered.
pub(super) async fn retrieve(
    app: &App,
    question: &str,
    collection: Option<&str>,
    top_k: usize,
) -> Result<Vec<Retrieved>, Problem> {
    let offered = known_hits(app, question, collection, top_k, PASSAGES_PER_DOCUMENT, None).await?.hits;
    let ids: Vec<DocumentId> = offered.iter().map(|(hit, _)| hit.document_id).collect();
    let beginnings = app.store.first_passages(&ids, SHORT_DOCUMENT_PASSAGES + 1).await?;
    let mut retrieved = Vec::with_capacity(top_k);
    for (hit, document) in offered {
        let of_it = |passage: &&Passage| passage.id.document_id == hit.document_id;
        let beginning = beginnings.iter().filter(of_it).cloned().collect();
        retrieved.extend(choose(app, document, &hit, beginning).await?);
    }
    fill(app, &mut retrieved).await?;
    Ok(retrieved)
}

/// Found documents, and how they were found.
pub(super) struct Known {
    /// Best first.
    pub(super) hits: Vec<(DocumentHit, KnownDocument)>,
    /// How they were found.
    pub(super) mode: SearchMode,
    /// Why by words alone, where more was wanted.
    pub(super) reason: Option<Problem>,
}

/// The best documents that the index finds and the store still has, best first, each with its best passages.
pub(super) async fn known_hits(
    app: &App,
    text: &str,
    collection: Option<&str>,
    limit: usize,
    passages_per_document: usize,
    mode: Option<SearchMode>,
) -> Result<Known, Problem> {
    let query = SearchQuery {
        text: text.to_owned(),
        collection: collection.map(str::to_owned),
        limit: limit + SPARE_HITS,
        passages_per_document,
    };
    let Ranking { hits, mode, reason } = rank(app, query, mode).await?;
    let ids: Vec<DocumentId> = hits.iter().map(|hit| hit.document_id).collect();
    let known = app.store.known_documents(&ids).await?;
    // The store's word on the collection is newer than the index's.
    let wanted = |document: &&KnownDocument| collection.is_none_or(|collection| collection == document.collection);
    let known_of = |hit: &DocumentHit| known.iter().find(|one| one.id == hit.document_id).filter(wanted).cloned();
    let hits = hits.into_iter().filter_map(|hit| known_of(&hit).map(|document| (hit, document))).take(limit).collect();
    Ok(Known { hits, mode, reason })
}

/// Chooses what is worth reading of a document; `None` where the document changed under the index.
async fn choose(
    app: &App,
    document: KnownDocument,
    hit: &DocumentHit,
    beginning: Vec<Passage>,
) -> Result<Option<Retrieved>, Problem> {
    let tokens: u32 = beginning.iter().map(|passage| estimate_tokens(&passage.text)).sum();
    let is_short = beginning.len() <= SHORT_DOCUMENT_PASSAGES as usize && tokens <= READING_BUDGET;
    let passages = if is_short { beginning } else { best_passages(app, hit).await? };
    let first = hit.passages.first().map(|passage| passage.passage_id);
    let Some(best) = passages.iter().find(|passage| Some(passage.id) == first).cloned() else { return Ok(None) };
    let mut stretches: Vec<Stretch> = Vec::new();
    for passage in passages {
        match stretches.last_mut() {
            Some(stretch) if stretch.passages.last().is_some_and(|last| last.id.ordinal + 1 == passage.id.ordinal) => {
                stretch.passages.push(passage);
            }
            _ => stretches.push(Stretch { text: String::new(), passages: vec![passage] }),
        }
    }
    Ok(Some(Retrieved { document, score: hit.score, stretches, best }))
}

/// Fetches the exact texts of all stretches.
async fn fill(app: &App, retrieved: &mut [Retrieved]) -> Result<(), Problem> {
    let ranges: Vec<_> = retrieved
        .iter()
        .flat_map(|one| one.stretches.iter().map(|stretch| (one.document.id, stretch.start()..stretch.end())))
        .collect();
    let texts = app.store.text_ranges(&ranges).await?;
    let stretches = retrieved.iter_mut().flat_map(|one| &mut one.stretches);
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

impl Stretch {
    /// Offset of the first character in the document's text.
    pub(super) fn start(&self) -> usize {
        self.passages.first().map_or(0, |passage| passage.start)
    }

    fn end(&self) -> usize {
        self.passages.last().map_or(0, |passage| passage.end)
    }

    /// The passage that a character of the document's text is in; between two passages, the one before.
    pub(super) fn passage_at(&self, offset: usize) -> Option<&Passage> {
        self.passages.iter().rev().find(|passage| passage.start <= offset).or(self.passages.first())
    }
}

impl Retrieved {
    /// What an analysis reads: each stretch below its headings, gaps marked.
    pub(super) fn excerpt(&self) -> String {
        let mut excerpt = String::new();
        for stretch in &self.stretches {
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
