//! The change log, which the index follows.

use async_trait::async_trait;

use super::StoreError;
use crate::model::filter::Facet;
use crate::model::{Document, DocumentId, Passage};

/// An entry of the change log: a document that is not what it was.
#[derive(Clone, Debug)]
pub struct LoggedChange {
    /// Place in the log; strictly rising, from 1.
    pub seq: u64,
    /// The document.
    pub document_id: DocumentId,
    /// What the index should hold of it; `None` where it is gone.
    pub present: Option<PresentDocument>,
}

/// A document that the index should hold.
#[derive(Clone, Debug)]
pub struct PresentDocument {
    /// Its title.
    pub title: String,
    /// The named set that it belongs to.
    pub collection: String,
    /// What filters look at.
    pub facets: Vec<Facet>,
    /// The uploaded file's name.
    pub file_name: Option<String>,
    /// Its language's code, such as `ja`, where it is known.
    pub language: Option<String>,
    /// All of its passages, in order.
    pub passages: Vec<Passage>,
}

/// The log of documents that changed, and how far the index has followed it.
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// The change log after `seq`, oldest first: at least one change where there is one, else as many as hold about
    /// `passages` passages.
    async fn changes_after(&self, seq: u64, passages: usize) -> Result<Vec<LoggedChange>, StoreError>;

    /// Names this log for ever: an index that follows another one must not be taken for this one's.
    async fn log_name(&self) -> Result<String, StoreError>;

    /// The last entry of the change log; 0 for none.
    async fn last_change(&self) -> Result<u64, StoreError>;

    /// Marks documents `ready` whose change the index has committed; a replaced one's new text takes the old one's
    /// place, and answers that cite the old one become stale. Returns these documents.
    async fn mark_searchable(&self, seq: u64) -> Result<Vec<Document>, StoreError>;
}
