//! The change log in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::texts::read_passages;
use super::{SqliteStore, from_i64, now_ms, to_i64};
use crate::model::{DocumentId, DocumentStatus};
use crate::store::{ChangeLog, LoggedChange, PresentDocument, StoreError};

#[async_trait]
impl ChangeLog for SqliteStore {
    async fn changes_after(&self, seq: u64, passages: usize) -> Result<Vec<LoggedChange>, StoreError> {
        // One transaction: every change must show the document as it was when the log read so.
        let mut tx = self.readers.begin().await?;
        let mut changes = Vec::new();
        let mut gathered = 0;
        let mut after = to_i64(seq);
        while gathered < passages {
            let next: Option<(i64, Uuid)> =
                sqlx::query_as("SELECT seq, document_id FROM changes WHERE seq > ? ORDER BY seq LIMIT 1")
                    .bind(after)
                    .fetch_optional(&mut *tx)
                    .await?;
            let Some((seq, id)) = next else { break };
            let present = present_document(&mut tx, DocumentId(id)).await?;
            // A change without passages still costs work.
            gathered += present.as_ref().map_or(1, |document| document.passages.len().max(1));
            changes.push(LoggedChange { seq: from_i64(seq)?, document_id: DocumentId(id), present });
            after = seq;
        }
        Ok(changes)
    }

    async fn log_name(&self) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar("SELECT lower(hex(name)) FROM log_name").fetch_one(&self.readers).await?)
    }

    async fn last_change(&self) -> Result<u64, StoreError> {
        let seq: Option<i64> = sqlx::query_scalar("SELECT max(seq) FROM changes").fetch_one(&self.readers).await?;
        from_i64(seq.unwrap_or(0))
    }

    async fn mark_searchable(&self, seq: u64) -> Result<u64, StoreError> {
        self.writer.write(move |tx| Box::pin(async move {
            let marked = sqlx::query(
                "UPDATE documents SET status = ?, change_seq = NULL, updated_at = ? WHERE status = ? AND change_seq <= ?",
            )
            .bind(DocumentStatus::Ready.as_str())
            .bind(now_ms())
            .bind(DocumentStatus::Processing.as_str())
            .bind(to_i64(seq))
            .execute(tx)
            .await?;
            Ok(marked.rows_affected())
        })).await
    }
}

/// What the index should hold of a document: nothing where it is gone or has no text.
async fn present_document(
    connection: &mut SqliteConnection,
    id: DocumentId,
) -> Result<Option<PresentDocument>, StoreError> {
    let row: Option<(String, String)> = sqlx::query_as(
        "SELECT title, collection FROM documents \
         WHERE id = ? AND EXISTS (SELECT 1 FROM texts WHERE document_id = documents.id)",
    )
    .bind(id.0)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((title, collection)) = row else { return Ok(None) };
    Ok(Some(PresentDocument { title, collection, passages: read_passages(connection, id, 0..u32::MAX).await? }))
}
