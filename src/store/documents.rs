//! What the store does for documents: uploads, the queue, extracted texts, passages.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Listed, Page, StoreError};
use crate::error::Problem;
use crate::model::{Document, DocumentId, DocumentStatus, Metadata, Passage};

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

/// A document's original bytes with what the client said of them.
#[derive(Clone, Debug)]
pub struct Content {
    /// The original.
    pub bytes: Bytes,
    /// SHA-256 of the bytes, in hexadecimal.
    pub hash: String,
    /// The media type that the client claims; extraction finds the real one.
    pub media_type: String,
}

/// What became of an upload.
#[derive(Clone, Debug)]
pub struct Added {
    /// The new document, or the earlier one with the same bytes in the same collection.
    pub document: Document,
    /// Whether it was there before.
    pub duplicate: bool,
}

/// A queued document that the caller now works on.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its name.
    pub id: DocumentId,
    /// The original.
    pub bytes: Bytes,
    /// Tells whether the content is still the one that was claimed.
    pub hash: String,
    /// The uploaded file's name.
    pub file_name: Option<String>,
    /// The media type that the client claims.
    pub media_type: String,
}

/// What extraction found.
#[derive(Clone, Debug)]
pub struct ExtractedDocument {
    /// Found in the content; kept only where the client chose none.
    pub title: Option<String>,
    /// Found from the content.
    pub media_type: String,
    /// ISO 639-1.
    pub language: Option<String>,
    /// The whole text.
    pub text: String,
    /// In reading order, ordinals from 0.
    pub passages: Vec<Passage>,
}

/// Which documents a list shows.
#[derive(Clone, Debug, Default)]
pub struct DocumentFilter {
    /// Only this collection.
    pub collection: Option<String>,
    /// Only this status.
    pub status: Option<DocumentStatus>,
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
}

/// Documents with all that is derived from them.
#[async_trait]
pub trait DocumentStore: Send + Sync {
    /// Keeps a document, queued; or finds the one with the same bytes in the same collection.
    async fn add_document(&self, new: NewDocument) -> Result<Added, StoreError>;

    /// One document.
    async fn document(&self, id: DocumentId) -> Result<Document, StoreError>;

    /// Documents, newest first.
    async fn documents(&self, filter: DocumentFilter, page: Page<DocumentId>) -> Result<Listed<Document>, StoreError>;

    /// The names of all collections that hold documents, in order.
    async fn collections(&self) -> Result<Vec<String>, StoreError>;

    /// The original bytes and the uploaded file's name.
    async fn original(&self, id: DocumentId) -> Result<(Bytes, Option<String>), StoreError>;

    /// Gives a document new content, queued; its old text serves until the new one is searchable.
    async fn replace_document(&self, id: DocumentId, new: NewDocument) -> Result<Document, StoreError>;

    /// Changes a document's own fields.
    async fn patch_document(&self, id: DocumentId, patch: DocumentPatch) -> Result<Document, StoreError>;

    /// Queues a failed document again.
    async fn retry_document(&self, id: DocumentId) -> Result<Document, StoreError>;

    /// Removes a document with all that is derived from it, and logs the change.
    async fn delete_document(&self, id: DocumentId) -> Result<(), StoreError>;

    /// Takes the oldest queued document.
    async fn claim_document(&self) -> Result<Option<Claimed>, StoreError>;

    /// Gives back what a stopped process had claimed: unextracted documents are queued again. Returns how many.
    async fn release_claims(&self) -> Result<u64, StoreError>;

    /// Keeps what extraction found and logs the change, unless the document was replaced or deleted meanwhile.
    async fn keep_extraction(&self, claimed: &Claimed, found: ExtractedDocument) -> Result<(), StoreError>;

    /// Marks a claimed document failed, unless it was replaced or deleted meanwhile.
    async fn fail_document(&self, claimed: &Claimed, problem: Problem) -> Result<(), StoreError>;
}
