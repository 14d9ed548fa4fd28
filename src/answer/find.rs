//! Search without a question to answer: the best passage of each of the best documents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::retrieve::{Among, Known, known_hits};
use crate::app::App;
use crate::error::{Problem, check_length};
use crate::model::filter::Filter;
use crate::model::{DocumentId, PassageId, whole_ms};
use crate::search::highlights::Highlights;

/// The longest query, in characters.
const MAX_QUERY_CHARS: usize = 2_000;

/// A search as a client asks for it.
#[derive(Clone, Debug)]
pub struct Find {
    /// In the user's words.
    pub query: String,
    /// Documents wanted, 1 to 100.
    pub limit: usize,
    /// Only documents of this collection.
    pub collection: Option<String>,
    /// Only documents that it admits.
    pub filter: Option<Filter>,
    /// How to find them; by words and meaning where there is an embedding model and nothing is said.
    pub mode: Option<SearchMode>,
}

/// How documents are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchMode {
    /// By their words.
    Lexical,
    /// By their words and their meaning.
    Hybrid,
}

/// The answer to a search.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// As asked.
    pub query: String,
    /// How the documents were found.
    pub mode: SearchMode,
    /// Why they were found by their words alone although more was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Problem>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// One a document, best first.
    pub hits: Vec<Hit>,
}

/// A found document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
    let among = Among { collection: find.collection.as_deref(), filter: find.filter.as_ref() };
    let Known { hits: found, mode, reason } = known_hits(app, &find.query, among, find.limit, 1, find.mode).await?;
    let best: Vec<PassageId> =
        found.iter().flat_map(|(hit, _)| hit.passages.first()).map(|passage| passage.passage_id).collect();
    let passages = app.store.passages(&best).await?;
    let highlights = Highlights::of(&find.query);
    let mut hits = Vec::with_capacity(found.len());
    for (hit, document) in found {
        // Gone where the document changed under the index.
        let passage = passages.iter().find(|passage| passage.id.document_id == hit.document_id);
        let Some(passage) = passage.cloned() else { continue };
        hits.push(Hit {
            document_id: document.id,
            title: document.title,
            score: hit.score,
            passage: FoundPassage {
                highlights: highlights.in_text(&passage.text),
                id: passage.id,
                text: passage.text,
                start: passage.start,
                end: passage.end,
                page: passage.page,
                heading: passage.heading,
            },
        });
    }
    metrics::histogram!("dokkai_search_seconds").record(begun.elapsed().as_secs_f64());
    Ok(Found { query: find.query, mode, reason, took_ms: whole_ms(begun.elapsed()), hits })
}
