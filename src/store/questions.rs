//! What the store does for questions: records, analyses as they finish, analyses to reuse.

use async_trait::async_trait;

use super::{Listed, Page, StoreError};
use crate::model::{Analysis, QuestionId, QuestionRecord};

/// Questions and what became of them.
#[async_trait]
pub trait QuestionStore: Send + Sync {
    /// Keeps a question before work on it starts.
    async fn add_question(&self, record: &QuestionRecord) -> Result<(), StoreError>;

    /// Keeps one analysis of a running question, and for reuse where `cache_key` is given.
    async fn keep_analysis(
        &self,
        id: QuestionId,
        rank: u32,
        analysis: &Analysis,
        cache_key: Option<&str>,
    ) -> Result<(), StoreError>;

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
