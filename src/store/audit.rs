//! What the store does for those who check it: its own state, document by document, and copies of the whole.

use std::path::Path;

use async_trait::async_trait;

use super::{PresentDocument, StoreError};
use crate::model::{ContentId, Document, DocumentId};

/// A document with all that the store derived from it.
#[derive(Clone, Debug)]
pub struct AuditedDocument {
    /// As clients see it.
    pub document: Document,
    /// The original's parts.
    pub content: ContentId,
    /// Its last entry in the change log.
    pub changed_at: Option<u64>,
    /// The text that serves.
    pub text: Option<String>,
    /// What the index should hold of it, once it has followed the log.
    pub present: Option<PresentDocument>,
    /// The passages of `text`; those of `present` where no replacement is on its way.
    pub passages: Vec<crate::model::Passage>,
}

/// Looks into the store as a whole.
#[async_trait]
pub trait StoreAudit: Send + Sync {
    /// What the database itself finds wrong with its file, in its words; empty where all is well. Reads everything.
    async fn integrity(&self) -> Result<Vec<String>, StoreError>;

    /// Builds the database's own indexes anew.
    async fn rebuild_indexes(&self) -> Result<(), StoreError>;

    /// Ids of documents after one of them, in their order.
    async fn document_ids_after(&self, after: Option<DocumentId>, limit: u32) -> Result<Vec<DocumentId>, StoreError>;

    /// One document as it is at this moment; `None` where it is gone.
    async fn audited(&self, id: DocumentId) -> Result<Option<AuditedDocument>, StoreError>;

    /// A document's last entry in the change log, also where it is gone.
    async fn change_of(&self, id: DocumentId) -> Result<Option<u64>, StoreError>;

    /// Logs a change of each document, so that the index looks at it again.
    async fn log_again(&self, ids: &[DocumentId]) -> Result<(), StoreError>;

    /// Queues a document again, whatever its state.
    async fn requeue(&self, id: DocumentId) -> Result<Option<Document>, StoreError>;

    /// Writes a consistent copy of the whole database to `file`, which must not exist, and makes it durable. The copy's
    /// change log has a name of its own: an index of this database must not be taken for one of the copy.
    async fn copy_to(&self, file: &Path) -> Result<(), StoreError>;
}
