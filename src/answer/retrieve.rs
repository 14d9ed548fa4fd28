//! Question → the best documents, each with the stretches of it that are worth reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::find::SearchMode;
use super::hybrid::{Ranking, rank};
use crate::app::App;
use crate::error::Problem;
use crate::model::filter::Filter;
use crate::model::{DocumentId, Passage, PassageId, RetrievedDocument};
use crate::readings::{ReadText, Reading, ReadingKey, Stretch};
use crate::search::{DocumentHit, SearchQuery};
use crate::store::KnownDocument;
use crate::tokens::estimate_tokens;

/// What one call may read of a document, in tokens. A document within it is read whole.
const READING_BUDGET: u32 = 3_000;

/// Calls for one document at the most; more than one only where its best passages need it.
const MAX_CALLS: u32 = 3;

/// A document with more passages than this is taken to be over the budget without looking at them.
const SHORT_DOCUMENT_PASSAGES: u32 = 60;

/// Passages that the index offers of each document, at the least and at the most: who asks about few documents wants
/// them read more thoroughly. All documents together share `PASSAGES`.
const LEAST_PASSAGES: usize = 6;
const MOST_PASSAGES: usize = 18;
const PASSAGES: usize = 30;

/// Hits asked for beyond what is needed: some may be of documents that were deleted a moment ago.
const SPARE_HITS: usize = 10;

/// Stands between stretches that do not follow each other in the document.
const GAP: &str = "[…]\n";

/// A document with what is worth reading of it.
#[derive(Clone, Debug)]
pub(super) struct Retrieved {
    pub(super) document: KnownDocument,
    pub(super) score: f32,
    /// What to read; never empty.
    pub(super) text: Arc<ReadText>,
    /// The best passage of all, as the index sees it.
    pub(super) best: Passage,
}

/// A found document that the store still has.
pub(super) type Offered = (DocumentHit, KnownDocument);

/// The best documents for a question, best first; `top_k` of them are to be read.
pub(super) async fn offered(
    app: &App,
    question: &str,
    among: Among<'_>,
    limit: usize,
    top_k: usize,
) -> Result<Vec<Offered>, Problem> {
    let passages = (PASSAGES / top_k.max(1)).clamp(LEAST_PASSAGES, MOST_PASSAGES);
    Ok(known_hits(app, question, among, limit, passages, None).await?.hits)
}

/// Documents with what is worth reading of each.
pub(super) async fn read(app: &App, offered: Vec<Offered>) -> Result<Vec<Retrieved>, Problem> {
    let mut readings: Vec<Option<Reading>> = offered
        .iter()
        .map(|(hit, document)| match app.readings.get(&whole(document)) {
            Some(Reading::TooLong) => app.readings.get(&in_part(document, hit)),
            known => known,
        })
        .collect();
    complete(app, &offered, &mut readings).await?;
    let retrieved = offered.into_iter().zip(readings).filter_map(|((hit, document), reading)| {
        let Some(Reading::Text(text)) = reading else { return None };
        let first = hit.passages.first().map(|passage| passage.passage_id);
        // Not there where the document changed under the index.
        let best =
            text.stretches.iter().flat_map(|stretch| &stretch.passages).find(|passage| Some(passage.id) == first);
        best.cloned().map(|best| Retrieved { document, score: hit.score, text, best })
    });
    Ok(retrieved.collect())
}

/// Names the reading of a whole document.
fn whole(document: &KnownDocument) -> ReadingKey {
    ReadingKey {
        document_id: document.id,
        content_hash: document.content_hash.clone(),
        text_version: document.text_version,
        found: Vec::new(),
    }
}

/// Names the reading of what was found of a document.
fn in_part(document: &KnownDocument, hit: &DocumentHit) -> ReadingKey {
    let found = hit.passages.iter().map(|passage| passage.passage_id.ordinal).collect();
    ReadingKey { found, ..whole(document) }
}

/// Reads what is not known yet, all documents together.
async fn complete(app: &App, offered: &[Offered], readings: &mut [Option<Reading>]) -> Result<(), Problem> {
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
        fresh.push((place, key, stretches(passages)));
    }
    let mut wanted: Vec<_> = fresh.iter_mut().map(|(_, key, stretches)| (key.document_id, stretches)).collect();
    fill(app, &mut wanted).await?;
    // A document without passages has just changed.
    for (place, key, stretches) in fresh.into_iter().filter(|(_, _, stretches)| !stretches.is_empty()) {
        let reading = Reading::Text(Arc::new(ReadText::of(stretches)));
        app.readings.keep(key, reading.clone());
        readings[place] = Some(reading);
    }
    Ok(())
}

/// Which documents are looked among.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Among<'a> {
    /// Only this collection's.
    pub(super) collection: Option<&'a str>,
    /// Only those that it admits.
    pub(super) filter: Option<&'a Filter>,
}

/// Found documents, and how they were found.
pub(super) struct Known {
    /// Best first.
    pub(super) hits: Vec<Offered>,
    /// How they were found.
    pub(super) mode: SearchMode,
    /// Why by words alone, where more was wanted.
    pub(super) reason: Option<Problem>,
}

/// The best documents that the index finds and the store still has, best first, each with its best passages.
pub(super) async fn known_hits(
    app: &App,
    text: &str,
    among: Among<'_>,
    limit: usize,
    passages_per_document: usize,
    mode: Option<SearchMode>,
) -> Result<Known, Problem> {
    let query = SearchQuery {
        text: text.to_owned(),
        collection: among.collection.map(str::to_owned),
        filter: among.filter.cloned(),
        limit: limit + SPARE_HITS,
        passages_per_document,
    };
    let Ranking { hits: ranked, mode, reason } = rank(app, query, mode).await?;
    // The store's word is newer than the index's.
    let wanted = |document: &&KnownDocument| {
        among.collection.is_none_or(|collection| collection == document.collection)
            && among.filter.is_none_or(|filter| filter.admits(&document.facets))
    };
    let (mut hits, mut ranked) = (Vec::with_capacity(limit), ranked.into_iter());
    while hits.len() < limit {
        // The spare ones only where some of the first are gone.
        let next: Vec<DocumentHit> = ranked.by_ref().take(limit - hits.len()).collect();
        if next.is_empty() {
            break;
        }
        let ids: Vec<DocumentId> = next.iter().map(|hit| hit.document_id).collect();
        let known = app.store.known_documents(&ids).await?;
        let known_of = |hit: &DocumentHit| known.iter().find(|one| one.id == hit.document_id).filter(wanted).cloned();
        hits.extend(next.into_iter().filter_map(|hit| known_of(&hit).map(|document| (hit, document))));
    }
    Ok(Known { hits, mode, reason })
}

/// The documents of an earlier question, with the passages that were read of each. Of a document that changed since,
/// what stands at its beginning is read instead; one that is gone is left out.
pub(super) async fn again(app: &App, documents: &[RetrievedDocument]) -> Result<Vec<Retrieved>, Problem> {
    let ids: Vec<DocumentId> = documents.iter().map(|document| document.document_id).collect();
    let known = app.store.known_documents(&ids).await?;
    let read = documents.iter().flat_map(|document| {
        let ordinals = document.passages.iter().flat_map(|(from, to)| *from..*to);
        ordinals.map(|ordinal| PassageId { document_id: document.document_id, ordinal })
    });
    let passages = app.store.passages(&read.collect::<Vec<_>>()).await?;
    let mut retrieved = Vec::with_capacity(known.len());
    for document in known {
        let Some(earlier) = documents.iter().find(|earlier| earlier.document_id == document.id) else { continue };
        let mut of_it: Vec<Passage> =
            passages.iter().filter(|passage| passage.id.document_id == document.id).cloned().collect();
        if of_it.is_empty() {
            of_it = beginning(app.store.first_passages(&[document.id], SHORT_DOCUMENT_PASSAGES).await?);
        }
        let best = of_it.iter().find(|passage| passage.id.ordinal == earlier.best).or(of_it.first()).cloned();
        let Some(best) = best else { continue };
        retrieved.push((document, earlier.score, best, stretches(of_it)));
    }
    let mut wanted: Vec<_> = retrieved.iter_mut().map(|(document, _, _, stretches)| (document.id, stretches)).collect();
    fill(app, &mut wanted).await?;
    let made = retrieved.into_iter().map(|(document, score, best, stretches)| Retrieved {
        document,
        score,
        text: Arc::new(ReadText::of(stretches)),
        best,
    });
    Ok(made.collect())
}

/// Those of the documents whose text still is the one that was read.
pub(super) async fn unchanged(app: &App, retrieved: &[Retrieved]) -> Result<Vec<DocumentId>, Problem> {
    let ids: Vec<DocumentId> = retrieved.iter().map(|one| one.document.id).collect();
    let known = app.store.known_documents(&ids).await?;
    let is_same = |now: &&KnownDocument| {
        let read = retrieved.iter().map(|one| &one.document).find(|read| read.id == now.id);
        read.is_some_and(|read| (&read.content_hash, read.text_version) == (&now.content_hash, now.text_version))
    };
    Ok(known.iter().filter(is_same).map(|document| document.id).collect())
}

/// As many passages as one call may read.
fn beginning(passages: Vec<Passage>) -> Vec<Passage> {
    let mut left = READING_BUDGET;
    let fits = |passage: &Passage| {
        left = left.saturating_sub(estimate_tokens(&passage.text));
        left > 0
    };
    passages.into_iter().take_while(fits).collect()
}

fn stretches(passages: Vec<Passage>) -> Vec<Stretch> {
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

/// Fetches the exact texts of all stretches of several documents.
async fn fill(app: &App, wanted: &mut [(DocumentId, &mut Vec<Stretch>)]) -> Result<(), Problem> {
    let ranges: Vec<_> =
        wanted.iter().flat_map(|(id, stretches)| stretches.iter().map(|one| (*id, one.start()..one.end()))).collect();
    let texts = app.store.text_ranges(&ranges).await?;
    let stretches = wanted.iter_mut().flat_map(|(_, stretches)| stretches.iter_mut());
    for (stretch, text) in stretches.zip(texts) {
        stretch.text = text;
    }
    Ok(())
}

/// The best passages of a long document and then their neighbours, as far as the budget goes, in reading order. The
/// best passages alone decide how many calls the document is worth; neighbours fill them.
async fn best_passages(app: &App, hit: &DocumentHit) -> Result<Vec<Passage>, Problem> {
    let mut wanted: Vec<u32> = hit.passages.iter().map(|passage| passage.passage_id.ordinal).collect();
    let neighbours: Vec<u32> =
        wanted.iter().flat_map(|ordinal| [ordinal.checked_sub(1), ordinal.checked_add(1)]).flatten().collect();
    wanted.extend(neighbours);
    let ids: Vec<PassageId> =
        wanted.into_iter().map(|ordinal| PassageId { document_id: hit.document_id, ordinal }).collect();
    let passages = app.store.passages(&ids).await?;
    let is_best = |passage: &&Passage| hit.passages.iter().any(|best| best.passage_id == passage.id);
    let best: u32 = passages.iter().filter(is_best).map(|passage| estimate_tokens(&passage.text)).sum();
    let mut chosen = BTreeMap::new();
    let mut left = best.div_ceil(READING_BUDGET).clamp(1, MAX_CALLS) * READING_BUDGET;
    for passage in passages {
        let tokens = estimate_tokens(&passage.text);
        if tokens <= left || chosen.is_empty() {
            left = left.saturating_sub(tokens);
            chosen.insert(passage.id.ordinal, passage);
        }
    }
    Ok(chosen.into_values().collect())
}

impl Retrieved {
    /// What is read of the document in one call each: stretches below their headings, gaps marked.
    pub(super) fn parts(&self) -> &[String] {
        self.text.parts.get_or_init(|| self.cut())
    }

    fn cut(&self) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        let mut left = 0;
        let mut follows = None;
        for stretch in self.text.stretches.iter() {
            for (place, passage) in stretch.passages.iter().enumerate() {
                let tokens = estimate_tokens(&passage.text);
                let begins = tokens > left || parts.is_empty();
                if begins {
                    parts.push(String::new());
                    left = READING_BUDGET;
                }
                left = left.saturating_sub(tokens);
                let Some(part) = parts.last_mut() else { continue };
                if begins || follows != Some(passage.id.ordinal) {
                    if passage.id.ordinal > 0 {
                        part.push_str(GAP);
                    }
                    if let Some(heading) = &passage.heading {
                        part.push_str(&format!("(section: {heading})\n"));
                    }
                }
                // To where the next passage begins, so that nothing between them is lost.
                let end = stretch.passages.get(place + 1).map_or(stretch.end(), |next| next.start);
                part.push_str(&stretch.slice(passage.start, end));
                if place + 1 == stretch.passages.len() {
                    part.push('\n');
                }
                follows = Some(passage.id.ordinal + 1);
            }
        }
        parts
    }

    /// The ordinals of the passages to read: first and one past the last of each stretch.
    pub(super) fn ordinals(&self) -> Vec<(u32, u32)> {
        let ends =
            |stretch: &Stretch| Some((stretch.passages.first()?.id.ordinal, stretch.passages.last()?.id.ordinal + 1));
        self.text.stretches.iter().filter_map(ends).collect()
    }

    /// The passages to read, in reading order.
    pub(super) fn passages(&self) -> impl Iterator<Item = &Passage> {
        self.text.stretches.iter().flat_map(|stretch| &stretch.passages)
    }
}
