//! What the store does for those who work on documents: claims, results and failures.

use async_trait::async_trait;

use super::StoreError;
use crate::error::Problem;
use crate::model::{ContentId, Document, Passage};

/// A queued document that the caller now works on.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The document as it is from now on.
    pub document: Document,
    /// The original's parts.
    pub content: ContentId,
    /// The uploaded file's name.
    pub file_name: Option<String>,
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
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// Documents on their way from queued to extracted or failed. What is returned is the document afterwards; `None` where
/// it was replaced or deleted meanwhile, so that the work on it counts for nothing.
#[async_trait]
pub trait DocumentQueue: Send + Sync {
    /// Takes the oldest queued document.
    async fn claim_document(&self) -> Result<Option<Claimed>, StoreError>;

    /// Gives back what a stopped process had claimed: unextracted documents are queued again. Returns how many.
    async fn release_claims(&self) -> Result<u64, StoreError>;

    /// Gives back one claim.
    async fn release_claim(&self, claimed: &Claimed) -> Result<Option<Document>, StoreError>;

    /// Keeps what extraction found and logs the change.
    async fn keep_extraction(
        &self,
        claimed: &Claimed,
        found: ExtractedDocument,
    ) -> Result<Option<Document>, StoreError>;

    /// Marks a claimed document failed. An earlier content's text goes on serving.
    async fn fail_document(&self, claimed: &Claimed, problem: Problem) -> Result<Option<Document>, StoreError>;
}
