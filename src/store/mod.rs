//! The ground state: documents with their texts and passages, the change log that the index follows, questions with
//! their records, and every upstream call. Each method is one verb of the domain and one transaction.

mod audit;
mod changes;
mod documents;
mod originals;
mod questions;
mod queue;
mod sqlite;
mod summaries;
mod texts;
mod usage;
mod vectors;

use async_trait::async_trait;

pub use audit::{AuditedDocument, StoreAudit};
pub use changes::{ChangeLog, LoggedChange, PresentDocument};
pub use documents::{Added, Content, DocumentFilter, DocumentPatch, DocumentStore, NewDocument, Original};
pub use originals::{OriginalStore, StoredOriginal};
pub use questions::{FinishedAnalysis, QuestionFilter, QuestionStore};
pub use queue::{Claimed, DocumentQueue, ExtractedDocument};
pub use sqlite::SqliteStore;
pub use summaries::SummaryStore;
pub use texts::{KnownDocument, TextStore};
pub use usage::{DailyUsage, UsageStore};
pub use vectors::{PassageText, Space, TextHash, Vector, VectorStore};

use crate::error::{Code, Problem};
use crate::model::DocumentId;

/// The ground state. What a method has acknowledged survives a crash.
#[async_trait]
pub trait Store:
    DocumentStore
    + OriginalStore
    + DocumentQueue
    + TextStore
    + ChangeLog
    + StoreAudit
    + QuestionStore
    + SummaryStore
    + UsageStore
    + VectorStore
{
    /// Whether the store can be read and written.
    async fn check(&self) -> Result<(), StoreError>;
}

/// A stretch of a list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct Page<Id> {
    /// How many at the most.
    pub limit: u32,
    /// Only those older than this one.
    pub before: Option<Id>,
}

/// Some items of a list, and how many there are in all.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// How many the whole list has.
    pub total: u64,
}

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be read or written.
    #[error("the database cannot be used: {0}")]
    Unavailable(String),
    /// The disk is full, or a quota is used up. What was acknowledged before is kept.
    #[error("there is no room left on the disk: {0}")]
    Full(String),
    /// The file is damaged, or a stored value does not make sense.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
    /// No such document.
    #[error("no document has this id; it may have been deleted")]
    DocumentNotFound,
    /// Only failed documents can be retried.
    #[error("only failed documents can be retried")]
    DocumentNotFailed,
    /// Another document of the collection has the same bytes.
    #[error("document {0} of the same collection already has this content")]
    Duplicate(DocumentId),
    /// No such question.
    #[error("no question has this id; it may have been deleted")]
    QuestionNotFound,
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "store failed");
                Self::new(Code::StoreUnavailable, "the database cannot be used; see the server's log")
            }
            StoreError::Corrupt(_) => {
                tracing::error!(%error, "store is damaged");
                let message = "the database is damaged; stop the server and put the last backup in its place, or save \
                               what can be read of it with `sqlite3 dokkai.sqlite .recover`";
                Self::new(Code::StoreUnavailable, message)
            }
            StoreError::Full(_) => {
                tracing::error!(%error, "store is full");
                let message = "the server's disk is full; free some space, then send this again";
                Self::new(Code::StorageFull, message)
            }
            StoreError::DocumentNotFound => Self::new(Code::DocumentNotFound, error.to_string()),
            StoreError::DocumentNotFailed => Self::new(Code::DocumentNotFailed, error.to_string()),
            StoreError::Duplicate(_) => Self::new(Code::DuplicateDocument, error.to_string()),
            StoreError::QuestionNotFound => Self::new(Code::QuestionNotFound, error.to_string()),
        }
    }
}
