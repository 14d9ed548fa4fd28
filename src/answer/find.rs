//! Search without a question to answer: the best passage of each of the best documents.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ms;
use crate::app::App;
use crate::error::{Problem, check_length};
use crate::model::{DocumentId, PassageId};
use crate::search::{SearchQuery, analyzer};

/// The longest query, in characters.
const MAX_QUERY_CHARS: usize = 2_000;

/// Hits asked for beyond what is needed: some may be of documents that were deleted a moment ago.
const SPARE_HITS: usize = 10;

/// A search as a client asks for it.
#[derive(Clone, Debug)]
pub struct Find {
    /// In the user's words.
    pub query: String,
    /// Documents wanted, 1 to 100.
    pub limit: usize,
    /// Only documents of this collection.
    pub collection: Option<String>,
}

/// How documents are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchMode {
    /// By their words.
    Lexical,
    /// By their words and their meaning.
    Hybrid,
}

/// The answer to a search.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// As asked.
    pub query: String,
    /// How the documents were found.
    pub mode: SearchMode,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// One a document, best first.
    pub hits: Vec<Hit>,
}

/// A found document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hit {
    /// The document.
    pub document_id: DocumentId,
    /// Its title.
    pub title: String,
    /// Comparable within one search only.
    pub score: f32,
    /// Its best passage.
    pub passage: FoundPassage,
}

/// A found passage. Offsets count Unicode scalar values of the document's text, highlights of the passage's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FoundPassage {
    /// The passage.
    pub id: PassageId,
    /// Its text.
    pub text: String,
    /// First character.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// Page of the first character, where the format has pages.
    pub page: Option<u32>,
    /// Headings above it, outermost first.
    pub heading: Option<String>,
    /// Where the query's words stand: start and end of each.
    pub highlights: Vec<(usize, usize)>,
}

/// Searches. Only documents that the store still has are shown.
///
/// # Errors
/// Parameters out of range; a store or an index that cannot be read.
pub async fn find(app: &App, find: Find) -> Result<Found, Problem> {
    let begun = Instant::now();
    if find.query.trim().is_empty() {
        return Err(Problem::parameter("q", "q must say what to search for"));
    }
    check_length("q", &find.query, MAX_QUERY_CHARS)?;
    if !(1..=100).contains(&find.limit) {
        return Err(Problem::parameter("limit", "limit must be from 1 to 100"));
    }
    let query = SearchQuery {
        text: find.query.clone(),
        collection: find.collection.clone(),
        limit: find.limit + SPARE_HITS,
        passages_per_document: 1,
    };
    let found = app.search.search(query).await?;
    let documents = app.store.known_documents(&found.iter().map(|hit| hit.document_id).collect::<Vec<_>>()).await?;
    let best: Vec<PassageId> = found.iter().flat_map(|hit| hit.passages.first()).map(|hit| hit.passage_id).collect();
    let passages = app.store.passages(&best).await?;
    let mut hits = Vec::with_capacity(find.limit);
    for hit in &found {
        let document = documents.iter().find(|document| document.id == hit.document_id);
        let document = document.filter(|one| find.collection.as_ref().is_none_or(|wanted| *wanted == one.collection));
        let passage = passages.iter().find(|passage| passage.id.document_id == hit.document_id);
        let (Some(document), Some(passage)) = (document, passage) else { continue };
        hits.push(Hit {
            document_id: document.id,
            title: document.title.clone(),
            score: hit.score,
            passage: FoundPassage {
                id: passage.id,
                text: passage.text.clone(),
                start: passage.start,
                end: passage.end,
                page: passage.page,
                heading: passage.heading.clone(),
                highlights: analyzer::highlights(&find.query, &passage.text),
            },
        });
        if hits.len() == find.limit {
            break;
        }
    }
    metrics::histogram!("dokkai_search_seconds").record(begun.elapsed().as_secs_f64());
    Ok(Found { query: find.query, mode: SearchMode::Lexical, took_ms: ms(begun.elapsed()), hits })
}
