//! What the store does for originals: large files come and go in parts.

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use crate::model::{ContentId, DocumentId};

/// What a document's original is, without its bytes.
#[derive(Clone, Debug)]
pub struct StoredOriginal {
    /// Names its parts.
    pub content: ContentId,
    /// Its size in bytes.
    pub bytes: u64,
    /// The uploaded file's name.
    pub file_name: Option<String>,
    /// The document's media type.
    pub media_type: String,
}

/// The bytes of originals, in parts.
#[async_trait]
pub trait OriginalStore: Send + Sync {
    /// Keeps a part of an upload whose document is not there yet. Ordinals count from 0.
    async fn keep_part(&self, content: ContentId, ordinal: u32, bytes: Bytes) -> Result<(), StoreError>;

    /// Forgets the parts of an upload that will have no document.
    async fn forget_parts(&self, content: ContentId) -> Result<(), StoreError>;

    /// Forgets all parts without a document: a stopped process left them. Returns how many uploads they were.
    async fn forget_stray_parts(&self) -> Result<u64, StoreError>;

    /// Where a document's original is.
    async fn original(&self, id: DocumentId) -> Result<StoredOriginal, StoreError>;

    /// A part; none past the last one, or where the content was replaced or deleted.
    async fn part(&self, content: ContentId, ordinal: u32) -> Result<Option<Bytes>, StoreError>;
}
