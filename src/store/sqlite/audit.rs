//! Checks and copies of the SQLite file.

use std::path::Path;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::changes::{log_change, present_document};
use super::documents::{drop_next_text, read_document};
use super::texts::{Shelf, read_passages};
use super::{SqliteStore, from_i64, now_ms};
use crate::model::{ContentId, Document, DocumentId, DocumentStatus};
use crate::store::{AuditedDocument, StoreAudit, StoreError};

#[async_trait]
impl StoreAudit for SqliteStore {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        // A connection of its own: the check takes long, and reads what no cache holds.
        let mut connection = self.options.clone().read_only(true).connect().await?;
        let mut wrong: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await?;
        wrong.retain(|line| line != "ok");
        let orphans: Vec<(String, Option<i64>, String, i64)> =
            sqlx::query_as("PRAGMA foreign_key_check").fetch_all(&mut connection).await?;
        wrong.extend(orphans.into_iter().map(|(table, _, parent, _)| format!("a row of {table} has no {parent}")));
        connection.close().await?;
        Ok(wrong)
    }

    async fn rebuild_indexes(&self) -> Result<(), StoreError> {
        self.writer
            .write(|tx| {
                Box::pin(async move {
                    sqlx::query("REINDEX").execute(tx).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn document_ids_after(&self, after: Option<DocumentId>, limit: u32) -> Result<Vec<DocumentId>, StoreError> {
        let after = after.map_or(Uuid::nil(), |id| id.0);
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM documents WHERE id > ? ORDER BY id LIMIT ?")
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        Ok(ids.into_iter().map(DocumentId).collect())
    }

    async fn audited(&self, id: DocumentId) -> Result<Option<AuditedDocument>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let document = match read_document(&mut tx, id).await {
            Ok(document) => document,
            Err(StoreError::DocumentNotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let content: Uuid =
            sqlx::query_scalar("SELECT content FROM documents WHERE id = ?").bind(id.0).fetch_one(&mut *tx).await?;
        let changed_at: Option<i64> = sqlx::query_scalar("SELECT seq FROM changes WHERE document_id = ?")
            .bind(id.0)
            .fetch_optional(&mut *tx)
            .await?;
        let text: Option<String> = sqlx::query_scalar("SELECT text FROM texts WHERE document_id = ?")
            .bind(id.0)
            .fetch_optional(&mut *tx)
            .await?;
        let passages = read_passages(&mut tx, Shelf::Serving, id, 0..u32::MAX).await?;
        let present = present_document(&mut tx, id).await?;
        Ok(Some(AuditedDocument {
            document,
            content: ContentId(content),
            changed_at: changed_at.map(from_i64).transpose()?,
            text,
            present,
            passages,
        }))
    }

    async fn change_of(&self, id: DocumentId) -> Result<Option<u64>, StoreError> {
        let seq: Option<i64> = sqlx::query_scalar("SELECT seq FROM changes WHERE document_id = ?")
            .bind(id.0)
            .fetch_optional(&self.readers)
            .await?;
        seq.map(from_i64).transpose()
    }

    async fn log_again(&self, ids: &[DocumentId]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    for id in ids {
                        let seq = log_change(&mut *tx, id).await?;
                        // One that waited for its earlier entry waits for this one now.
                        sqlx::query("UPDATE documents SET change_seq = ? WHERE id = ? AND change_seq IS NOT NULL")
                            .bind(seq)
                            .bind(id.0)
                            .execute(&mut *tx)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn requeue(&self, id: DocumentId) -> Result<Option<Document>, StoreError> {
        self.writer
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        let requeued = sqlx::query(
                            "UPDATE documents SET status = ?, error_code = NULL, error_message = NULL, \
                         change_seq = NULL, updated_at = ? WHERE id = ?",
                        )
                        .bind(DocumentStatus::Queued.as_str())
                        .bind(now_ms())
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
                        if requeued.rows_affected() == 0 {
                            return Ok(None);
                        }
                        if drop_next_text(&mut *tx, id).await? {
                            log_change(&mut *tx, id).await?;
                        }
                        read_document(&mut *tx, id).await.map(Some)
                    })
                },
                |document, feed| document.iter().for_each(|document| feed.changed(document)),
            )
            .await
    }

    async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let name = file.to_str().ok_or_else(|| StoreError::Unavailable("the copy's path is no text".to_owned()))?;
        // Reads one state of the database from beginning to end, whatever is written meanwhile.
        let mut source = self.options.clone().read_only(true).connect().await?;
        sqlx::query("VACUUM INTO ?").bind(name).execute(&mut source).await?;
        source.close().await?;
        let mut copy = SqliteConnectOptions::new().filename(file).connect().await?;
        sqlx::query("UPDATE log_name SET name = randomblob(16)").execute(&mut copy).await?;
        copy.close().await?;
        std::fs::File::open(file)
            .and_then(|file| file.sync_all())
            .map_err(|error| StoreError::Unavailable(format!("the copy cannot be made durable: {error}")))
    }
}
