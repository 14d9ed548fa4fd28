//! What the store does for questions: records, analyses as they finish, analyses to reuse.

use async_trait::async_trait;

use super::{Listed, Page, StoreError};
use crate::model::{Analysis, QuestionId, QuestionRecord};

/// An analysis of a running question, to be kept.
#[derive(Clone, Debug)]
pub struct FinishedAnalysis {
    /// The document's place among those retrieved.
    pub rank: u32,
    /// What was found.
    pub analysis: Analysis,
    /// Names it for reuse, where it may be reused.
    pub cache_key: Option<String>,
}

/// Questions and what became of them.
#[async_trait]
pub trait QuestionStore: Send + Sync {
    /// Keeps a question before work on it starts.
    async fn add_question(&self, record: &QuestionRecord) -> Result<(), StoreError>;

    /// Keeps analyses of a running question, and for reuse those that have a `cache_key`.
    async fn keep_analyses(&self, id: QuestionId, finished: &[FinishedAnalysis]) -> Result<(), StoreError>;

    /// Earlier analyses to reuse, each where there is one, in the order asked.
    async fn cached_analyses(&self, cache_keys: &[String]) -> Result<Vec<Option<Analysis>>, StoreError>;

    /// Keeps the finished record.
    async fn finish_question(&self, record: &QuestionRecord) -> Result<(), StoreError>;

    /// One record; of a running question, with the analyses so far.
    async fn question(&self, id: QuestionId) -> Result<QuestionRecord, StoreError>;

    /// Records, newest first.
    async fn questions(&self, page: Page<QuestionId>) -> Result<Listed<QuestionRecord>, StoreError>;

    /// Questions that a stopped process left running.
    async fn unfinished_questions(&self) -> Result<Vec<QuestionId>, StoreError>;

    /// Removes a question with its record and analyses.
    async fn delete_question(&self, id: QuestionId) -> Result<(), StoreError>;
}
