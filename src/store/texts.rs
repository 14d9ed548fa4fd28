//! What the store does for readers: extracted texts and passages.

use std::ops::Range;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;
use crate::model::filter::Facet;
use crate::model::{DocumentId, Passage, PassageId};

/// What retrieval needs to know of a found document.
#[derive(Clone, Debug)]
pub struct KnownDocument {
    /// Its name.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// The named set that it belongs to.
    pub collection: String,
    /// SHA-256 of the original that its text is from, in hexadecimal.
    pub content_hash: String,
    /// Another number, another text of the same content.
    pub text_version: u64,
    /// Its own date, as its metadata says it.
    pub dated: Option<String>,
    /// What filters look at.
    pub facets: Vec<Facet>,
    /// When it was first stored.
    pub created_at: OffsetDateTime,
}

/// Extracted texts and their passages, for search and answers.
#[async_trait]
pub trait TextStore: Send + Sync {
    /// The extracted text; `None` before extraction.
    async fn text(&self, id: DocumentId) -> Result<Option<String>, StoreError>;

    /// The characters of each range of the extracted texts, in the order asked; fewer where a text is shorter, none
    /// where there is none.
    async fn text_ranges(&self, ranges: &[(DocumentId, Range<usize>)]) -> Result<Vec<String>, StoreError>;

    /// Those of the documents that exist and have text, in the order asked.
    async fn known_documents(&self, ids: &[DocumentId]) -> Result<Vec<KnownDocument>, StoreError>;

    /// The passages that exist, in the order asked.
    async fn passages(&self, ids: &[PassageId]) -> Result<Vec<Passage>, StoreError>;

    /// The first passages of several documents, at most `limit` of each, in reading order.
    async fn first_passages(&self, ids: &[DocumentId], limit: u32) -> Result<Vec<Passage>, StoreError>;

    /// A stretch of a document's passages, in reading order.
    async fn passage_range(&self, id: DocumentId, ordinals: Range<u32>) -> Result<Vec<Passage>, StoreError>;
}
