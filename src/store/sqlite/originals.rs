//! Originals in SQLite, in parts.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{SqliteStore, from_i64, to_i64};
use crate::model::{ContentId, DocumentId};
use crate::store::{OriginalStore, StoreError, StoredOriginal};

#[async_trait]
impl OriginalStore for SqliteStore {
    async fn keep_part(&self, content: ContentId, ordinal: u32, bytes: Bytes) -> Result<(), StoreError> {
        self.writer
            .write_loose(move |tx| Box::pin(async move { insert_part(tx, content, ordinal, &bytes).await }))
            .await
    }

    async fn forget_parts(&self, content: ContentId) -> Result<(), StoreError> {
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    sqlx::query(
                        "DELETE FROM original_parts WHERE content = ? AND content NOT IN \
                         (SELECT content FROM documents WHERE content = ?)",
                    )
                    .bind(content.0)
                    .bind(content.0)
                    .execute(tx)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn forget_stray_parts(&self) -> Result<u64, StoreError> {
        self.writer
            .write_loose(|tx| {
                Box::pin(async move {
                    let stray: Vec<Uuid> = sqlx::query_scalar(
                        "SELECT DISTINCT content FROM original_parts WHERE content NOT IN \
                         (SELECT content FROM documents)",
                    )
                    .fetch_all(&mut *tx)
                    .await?;
                    for content in &stray {
                        sqlx::query("DELETE FROM original_parts WHERE content = ?")
                            .bind(content)
                            .execute(&mut *tx)
                            .await?;
                    }
                    Ok(stray.len() as u64)
                })
            })
            .await
    }

    async fn original(&self, id: DocumentId) -> Result<StoredOriginal, StoreError> {
        let row: Option<(Uuid, i64, Option<String>, String)> =
            sqlx::query_as("SELECT content, bytes, file_name, media_type FROM documents WHERE id = ?")
                .bind(id.0)
                .fetch_optional(&self.readers)
                .await?;
        let (content, bytes, file_name, media_type) = row.ok_or(StoreError::DocumentNotFound)?;
        Ok(StoredOriginal { content: ContentId(content), bytes: from_i64(bytes)?, file_name, media_type })
    }

    async fn part(&self, content: ContentId, ordinal: u32) -> Result<Option<Bytes>, StoreError> {
        let part: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT bytes FROM original_parts WHERE content = ? AND ordinal = ?")
                .bind(content.0)
                .bind(i64::from(ordinal))
                .fetch_optional(&self.readers)
                .await?;
        Ok(part.map(Bytes::from))
    }
}

pub(super) async fn insert_part(
    connection: &mut SqliteConnection,
    content: ContentId,
    ordinal: u32,
    bytes: &Bytes,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO original_parts (content, ordinal, bytes) VALUES (?, ?, ?)")
        .bind(content.0)
        .bind(to_i64(ordinal))
        .bind(&bytes[..])
        .execute(connection)
        .await?;
    Ok(())
}
