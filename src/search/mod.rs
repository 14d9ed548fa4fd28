//! Finds the passages that fit a question. The index is derived from the store's change log and can be rebuilt
//! from it at any time.

pub mod analyzer;
pub mod tantivy;
pub mod vectors;

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Code, Problem};
use crate::model::{DocumentId, Passage, PassageId};

/// One entry of the store's change log, as the index applies it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Place in the log; strictly rising, from 1.
    pub seq: u64,
    /// The document that changed.
    pub document_id: DocumentId,
    /// What it is from now on.
    pub state: DocumentState,
}

/// A document as the index should hold it after a change.
#[derive(Clone, Debug)]
pub enum DocumentState {
    /// Searchable with these contents, and nothing older.
    Present(Arc<IndexedDocument>),
    /// Gone.
    Absent,
}

/// What the index needs of a document.
#[derive(Clone, Debug)]
pub struct IndexedDocument {
    /// Searched with a higher weight than the text.
    pub title: String,
    /// The named set that it belongs to.
    pub collection: String,
    /// All of its passages, in order.
    pub passages: Vec<Passage>,
}

/// A question to the index.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// In the user's words; no query syntax.
    pub text: String,
    /// Only documents of this collection.
    pub collection: Option<String>,
    /// Documents wanted.
    pub limit: usize,
    /// Passages wanted of each document.
    pub passages_per_document: usize,
}

/// A found document, with its best passages first.
#[derive(Clone, Debug)]
pub struct DocumentHit {
    /// The document.
    pub document_id: DocumentId,
    /// Comparable within one answer of the index only.
    pub score: f32,
    /// Never empty.
    pub passages: Vec<PassageHit>,
}

/// A found passage.
#[derive(Clone, Copy, Debug)]
pub struct PassageHit {
    /// The passage.
    pub passage_id: PassageId,
    /// Comparable within one answer of the index only.
    pub score: f32,
}

/// Why the index cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The files of the index cannot be read or written.
    #[error("the index cannot be used: {0}")]
    Unavailable(String),
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        tracing::error!(%error, "search failed");
        Self::new(Code::SearchUnavailable, "the index cannot be used; see the server's log, or run `dokkai reindex`")
    }
}

/// An index of passages.
#[async_trait]
pub trait Search: Send + Sync {
    /// Applies changes, which follow each other in the log, makes them durable and searchable, and remembers the
    /// last one's `seq`. Applying a change again does no harm.
    async fn apply(&self, changes: Vec<Change>) -> Result<(), SearchError>;

    /// The `seq` of the last change that is durable and searchable; 0 for an index that is new, was damaged, or was
    /// made by another version of the analyser and has therefore been emptied.
    async fn applied(&self) -> Result<u64, SearchError>;

    /// Empties the index, so that `applied` is 0 again.
    async fn clear(&self) -> Result<(), SearchError>;

    /// The best documents for a question, best first. A question without a single term finds nothing.
    async fn search(&self, query: SearchQuery) -> Result<Vec<DocumentHit>, SearchError>;
}
