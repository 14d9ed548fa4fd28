//! What the store does for questions: records, analyses as they finish, analyses to reuse.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Listed, Page, StoreError};
use crate::model::{Feedback, KeptAnalysis, Prompt, QuestionDetail, QuestionId, QuestionRecord};

/// Which questions a list shows.
#[derive(Clone, Debug, Default)]
pub struct QuestionFilter {
    /// Only this conversation's.
    pub conversation_id: Option<String>,
    /// Only questions that hold each of these words, or parts of words; the case of ASCII letters does not matter.
    pub words: Vec<String>,
}

/// An analysis of a running question, to be kept.
#[derive(Clone, Debug)]
pub struct FinishedAnalysis {
    /// The document's place among those retrieved.
    pub rank: u32,
    /// What was found.
    pub made: KeptAnalysis,
    /// Names it for reuse, where it may be reused.
    pub cache_key: Option<String>,
}

/// Questions and what became of them.
#[async_trait]
pub trait QuestionStore: Send + Sync {
    /// Keeps a question before work on it starts.
    async fn add_question(&self, record: &QuestionRecord) -> Result<(), StoreError>;

    /// Makes a question one that runs again, with the analyses that its record still holds.
    async fn reopen_question(&self, record: &QuestionRecord) -> Result<(), StoreError>;

    /// Keeps analyses of a running question, and for reuse those that have a `cache_key`.
    async fn keep_analyses(&self, id: QuestionId, finished: &[FinishedAnalysis]) -> Result<(), StoreError>;

    /// Earlier analyses to reuse, by key: the latest of those whose keys begin with this hexadecimal one.
    async fn cached_analyses(&self, question_key: &str) -> Result<HashMap<String, KeptAnalysis>, StoreError>;

    /// Keeps the finished record, and what the answer was made of.
    async fn finish_question(&self, record: &QuestionRecord, detail: &QuestionDetail) -> Result<(), StoreError>;

    /// One record; of a running question, with the analyses so far.
    async fn question(&self, id: QuestionId) -> Result<QuestionRecord, StoreError>;

    /// What a finished answer was made of, with the prompts that its record names; `None` before it is finished.
    async fn question_detail(&self, id: QuestionId) -> Result<Option<QuestionDetail>, StoreError>;

    /// Records, newest first.
    async fn questions(
        &self,
        filter: QuestionFilter,
        page: Page<QuestionId>,
    ) -> Result<Listed<QuestionRecord>, StoreError>;

    /// Questions that a stopped process left running, and their analyses so far.
    async fn unfinished_questions(&self) -> Result<Vec<(QuestionId, Vec<KeptAnalysis>)>, StoreError>;

    /// Removes a question with its record and analyses.
    async fn delete_question(&self, id: QuestionId) -> Result<(), StoreError>;

    /// Keeps what a reader thought of an answer, in place of what was said before.
    async fn keep_feedback(&self, id: QuestionId, feedback: &Feedback) -> Result<(), StoreError>;

    /// Keeps versions of prompts for records to name.
    async fn keep_prompts(&self, prompts: &[Prompt]) -> Result<(), StoreError>;
}
