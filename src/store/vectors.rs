//! What the store does for vectors: which texts still need one, and the vectors themselves.

use std::collections::HashSet;

use async_trait::async_trait;

use super::StoreError;
use crate::model::filter::Filter;
use crate::model::{DocumentId, PassageId};

/// What makes vectors comparable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Its number.
    pub id: i64,
    /// The embedding model.
    pub model: String,
    /// How queries and passages are told apart.
    pub input: String,
    /// The vectors' length, once the first one came.
    pub dimension: Option<usize>,
    /// The entry of the change log up to which it is complete.
    pub followed: u64,
    /// Whether searches use it.
    pub serving: bool,
}

/// The first 16 bytes of a text's SHA-256.
pub type TextHash = [u8; 16];

/// A vector of length 1; `None` where the upstream refuses the text.
pub type Vector = Option<Vec<f32>>;

/// Which text stands for a passage in a space.
#[derive(Clone, Debug)]
pub struct PassageText {
    /// The passage.
    pub passage_id: PassageId,
    /// What is embedded for it.
    pub hash: TextHash,
}

/// Spaces of vectors, and the vectors of passages.
#[async_trait]
pub trait VectorStore: Send + Sync {
    /// The space of a model, opened where there is none.
    async fn open_space(&self, model: &str, input: &str) -> Result<Space, StoreError>;

    /// The space that serves searches.
    async fn serving_space(&self) -> Result<Option<Space>, StoreError>;

    /// Begins a space again, with vectors of another length.
    async fn reset_space(&self, space: i64, dimension: usize) -> Result<(), StoreError>;

    /// Lets a space serve searches, and removes all others.
    async fn serve_space(&self, space: i64) -> Result<(), StoreError>;

    /// Those of the texts that have no vector yet, in the order asked.
    async fn without_vector(&self, space: i64, hashes: &[TextHash]) -> Result<Vec<TextHash>, StoreError>;

    /// Keeps vectors of texts.
    async fn keep_vectors(&self, space: i64, vectors: Vec<(TextHash, Vector)>) -> Result<(), StoreError>;

    /// Notes the texts of documents' passages and that the space is complete up to `seq`. A document that changed
    /// after the given entry of the change log is left for its later entry.
    async fn follow_changes(
        &self,
        space: i64,
        seq: u64,
        documents: Vec<(u64, Vec<PassageText>)>,
    ) -> Result<(), StoreError>;

    /// Changes that a space has yet to follow.
    async fn changes_to_follow(&self, space: i64) -> Result<u64, StoreError>;

    /// Removes the vectors of texts that no passage has. Returns how many.
    async fn sweep_vectors(&self) -> Result<u64, StoreError>;

    /// A space's vectors of some documents' passages.
    async fn document_vectors(&self, space: i64, ids: &[DocumentId]) -> Result<Vec<(PassageId, Vec<f32>)>, StoreError>;

    /// A space's vectors of some passages, in any order.
    async fn passage_vectors(&self, space: i64, ids: &[PassageId]) -> Result<Vec<(PassageId, Vec<f32>)>, StoreError>;

    /// The documents of a collection, or of all, that a filter admits.
    async fn documents_in(
        &self,
        collection: Option<&str>,
        filter: Option<&Filter>,
    ) -> Result<HashSet<DocumentId>, StoreError>;

    /// A stretch of all of a space's vectors, ordered by passage.
    async fn vectors_after(
        &self,
        space: i64,
        after: Option<PassageId>,
        limit: u32,
    ) -> Result<Vec<(PassageId, Vec<f32>)>, StoreError>;
}
