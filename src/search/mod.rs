//! Finds the passages that fit a question. The index is derived from the store's change log and can be rebuilt
//! from it at any time.

pub mod analyzer;
pub mod bilingual;
pub mod generations;
pub mod highlights;
pub mod tantivy;
pub mod vectors;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use crate::error::{Code, Problem};
use crate::model::filter::{Facet, Filter};
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
    /// What filters look at.
    pub facets: Vec<Facet>,
    /// The uploaded file's name, by which translations of each other are known.
    pub file_name: Option<String>,
    /// Its language's code, such as `ja`, where it is known.
    pub language: Option<String>,
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
    /// Only documents that it admits; a few more where texts are very long.
    pub filter: Option<Filter>,
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

/// What an index holds.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The last change that it shows.
    pub applied: u64,
    /// What it holds of each document.
    pub documents: HashMap<DocumentId, Holding>,
}

/// What an index holds of one document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Its passages, doubled ones counted twice.
    pub passages: u32,
    /// The sum of [`digest`] over them, which wraps around: their order does not matter.
    pub digest: u64,
}

impl Holding {
    /// What an index should hold of a document.
    pub fn of(document: &IndexedDocument) -> Self {
        let mut holding = Self::default();
        for passage in &document.passages {
            holding.add(digest(document, passage));
        }
        holding
    }

    /// One more passage.
    pub fn add(&mut self, digest: u64) {
        self.passages += 1;
        self.digest = self.digest.wrapping_add(digest);
    }
}

/// The beginning of the SHA-256 of all that an index knows of a passage.
pub fn digest(document: &IndexedDocument, passage: &Passage) -> u64 {
    let mut hash = Sha256::new();
    let heading = passage.heading.as_deref().unwrap_or_default();
    let (file_name, language) = (document.file_name.as_deref(), document.language.as_deref());
    for part in [
        &document.title,
        &document.collection,
        file_name.unwrap_or_default(),
        language.unwrap_or_default(),
        heading,
        &passage.text,
        &passage.id.ordinal.to_string(),
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    for facet in &document.facets {
        let key = facet.key();
        hash.update((key.len() as u64).to_le_bytes());
        hash.update(key);
    }
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
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

    /// Every document that the index holds, with what it holds of it; and the `seq` that this is the state of.
    async fn inventory(&self) -> Result<Inventory, SearchError>;

    /// Begins an empty index beside this one, which goes on serving; one that was begun already is begun anew. An
    /// implementation that cannot hold two empties the one it has.
    async fn begin_rebuild(&self) -> Result<(), SearchError> {
        self.clear().await
    }

    /// The last change applied to the index that is built beside this one; `None` where none is built.
    async fn rebuilt_to(&self) -> Result<Option<u64>, SearchError> {
        Ok(None)
    }

    /// Applies changes to the index that is built beside this one.
    async fn apply_to_rebuild(&self, _changes: Vec<Change>) -> Result<(), SearchError> {
        Ok(())
    }

    /// Lets the index that was built serve from now on, and removes the one before.
    async fn finish_rebuild(&self) -> Result<(), SearchError> {
        Ok(())
    }

    /// The best documents for a question, best first. A question without a single term finds nothing.
    async fn search(&self, query: SearchQuery) -> Result<Vec<DocumentHit>, SearchError>;
}
