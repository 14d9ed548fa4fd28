//! What the store does for documents: uploads, lists, changes of their own fields, deletion.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Listed, Page, StoreError};
use crate::model::{ContentId, Document, DocumentId, DocumentStatus, Metadata};

/// A document as it is first acknowledged.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// Shown in lists; see `title_given`.
    pub title: String,
    /// Whether the client chose the title, so that extraction must not replace it.
    pub title_given: bool,
    /// The named set that it belongs to.
    pub collection: String,
    /// The client's own fields.
    pub metadata: Metadata,
    /// Where it came from.
    pub source: Option<String>,
    /// The uploaded file's name.
    pub file_name: Option<String>,
    /// The original.
    pub content: Content,
}

/// A document's original with what the client said of it.
#[derive(Clone, Debug)]
pub struct Content {
    /// The original's bytes.
    pub original: Original,
    /// SHA-256 of the bytes, in hexadecimal.
    pub hash: String,
    /// The media type that the client claims; extraction finds the real one.
    pub media_type: String,
}

/// Where an original's bytes are.
#[derive(Clone, Debug)]
pub enum Original {
    /// Here, still to be kept.
    Whole(Bytes),
    /// In the store already, in parts.
    Kept {
        /// Names the parts.
        content: ContentId,
        /// Their sizes' sum, in bytes.
        bytes: u64,
    },
}

/// What became of an upload.
#[derive(Clone, Debug)]
pub struct Added {
    /// The new document, or the earlier one with the same bytes in the same collection.
    pub document: Document,
    /// Whether it was there before.
    pub duplicate: bool,
}

/// Which documents a list shows.
#[derive(Clone, Debug, Default)]
pub struct DocumentFilter {
    /// Only this collection.
    pub collection: Option<String>,
    /// Only this status.
    pub status: Option<DocumentStatus>,
    /// Only titles that hold each of these words, or parts of words; the case of ASCII letters does not matter.
    pub words: Vec<String>,
}

/// Changes to a document's own fields; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct DocumentPatch {
    /// A new title.
    pub title: Option<String>,
    /// New metadata, in place of the old.
    pub metadata: Option<Metadata>,
    /// Another collection.
    pub collection: Option<String>,
    /// Where it comes from now.
    pub source: Option<String>,
}

/// Documents with all that is derived from them.
#[async_trait]
pub trait DocumentStore: Send + Sync {
    /// Keeps a document, queued; or finds the one with the same bytes in the same collection, and forgets these.
    async fn add_document(&self, new: NewDocument) -> Result<Added, StoreError>;

    /// One document.
    async fn document(&self, id: DocumentId) -> Result<Document, StoreError>;

    /// Documents, newest first.
    async fn documents(&self, filter: DocumentFilter, page: Page<DocumentId>) -> Result<Listed<Document>, StoreError>;

    /// Those documents of a collection whose original has one of these hashes, in no order.
    async fn documents_with(&self, collection: &str, hashes: &[String]) -> Result<Vec<Document>, StoreError>;

    /// Those documents of a collection that came from one of these sources, in no order.
    async fn documents_from(&self, collection: &str, sources: &[String]) -> Result<Vec<Document>, StoreError>;

    /// The names of all collections that hold documents, in order.
    async fn collections(&self) -> Result<Vec<String>, StoreError>;

    /// Whether a collection, or any, holds a document in a language.
    async fn has_language(&self, collection: Option<&str>, language: &str) -> Result<bool, StoreError>;

    /// Gives a document new content, queued; its old text serves until the new one is searchable, and goes on serving
    /// where the new content cannot be read.
    async fn replace_document(&self, id: DocumentId, new: NewDocument) -> Result<Document, StoreError>;

    /// Changes a document's own fields.
    async fn patch_document(&self, id: DocumentId, patch: DocumentPatch) -> Result<Document, StoreError>;

    /// Queues a failed document again.
    async fn retry_document(&self, id: DocumentId) -> Result<Document, StoreError>;

    /// Removes a document with all that is derived from it, logs the change, and marks the answers that cite it stale.
    /// Returns what it was.
    async fn delete_document(&self, id: DocumentId) -> Result<Document, StoreError>;
}
