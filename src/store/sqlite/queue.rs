//! Claims, results and failures in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::changes::log_change;
use super::documents::{DocumentRow, document_columns, drop_next_text, read_document};
use super::texts::{Shelf, insert_passages};
use super::{SqliteStore, now_ms, to_i64, to_json};
use crate::error::Problem;
use crate::model::{ContentId, Document, DocumentId, DocumentStatus};
use crate::store::{Claimed, DocumentQueue, ExtractedDocument, StoreError};

#[async_trait]
impl DocumentQueue for SqliteStore {
    async fn claim_document(&self) -> Result<Option<Claimed>, StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let row: Option<DocumentRow> = sqlx::query_as(concat!(
                        "UPDATE documents SET status = ?, change_seq = NULL, updated_at = ? WHERE id = \
                         (SELECT id FROM documents WHERE status = ? ORDER BY id LIMIT 1) RETURNING ",
                        document_columns!()
                    ))
                    .bind(DocumentStatus::Processing.as_str())
                    .bind(now_ms())
                    .bind(DocumentStatus::Queued.as_str())
                    .fetch_optional(&mut *tx)
                    .await?;
                    let Some(row) = row else { return Ok(None) };
                    let document = Document::try_from(row)?;
                    let (content, file_name): (Uuid, Option<String>) =
                        sqlx::query_as("SELECT content, file_name FROM documents WHERE id = ?")
                            .bind(document.id.0)
                            .fetch_one(&mut *tx)
                            .await?;
                    Ok(Some(Claimed { document, content: ContentId(content), file_name }))
                })
            })
            .await
    }

    async fn release_claims(&self) -> Result<u64, StoreError> {
        // Extracted documents (with `change_seq`) only wait for the index, which follows the log by itself.
        self.writer
            .write(|tx| {
                Box::pin(async move {
                    let released =
                        sqlx::query("UPDATE documents SET status = ? WHERE status = ? AND change_seq IS NULL")
                            .bind(DocumentStatus::Queued.as_str())
                            .bind(DocumentStatus::Processing.as_str())
                            .execute(tx)
                            .await?;
                    Ok(released.rows_affected())
                })
            })
            .await
    }

    async fn release_claim(&self, claimed: &Claimed) -> Result<Option<Document>, StoreError> {
        let claimed = claimed.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !still_claimed(&mut *tx, &claimed).await? {
                        return Ok(None);
                    }
                    sqlx::query("UPDATE documents SET status = ? WHERE id = ?")
                        .bind(DocumentStatus::Queued.as_str())
                        .bind(claimed.document.id.0)
                        .execute(&mut *tx)
                        .await?;
                    read_document(&mut *tx, claimed.document.id).await.map(Some)
                })
            })
            .await
    }

    async fn keep_extraction(
        &self,
        claimed: &Claimed,
        found: ExtractedDocument,
    ) -> Result<Option<Document>, StoreError> {
        let claimed = claimed.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !still_claimed(&mut *tx, &claimed).await? {
                        return Ok(None);
                    }
                    keep_text(&mut *tx, &claimed, &found).await?;
                    let seq = log_change(&mut *tx, claimed.document.id).await?;
                    let row: DocumentRow = sqlx::query_as(concat!(
                        "UPDATE documents SET \
                         title = CASE WHEN title_given THEN title ELSE coalesce(?, title) END, \
                         media_type = ?, language = ?, passages = ?, warnings = ?, change_seq = ?, updated_at = ? \
                         WHERE id = ? RETURNING ",
                        document_columns!()
                    ))
                    .bind(&found.title)
                    .bind(&found.media_type)
                    .bind(&found.language)
                    .bind(to_i64(found.passages.len()))
                    .bind(to_json(&found.warnings)?)
                    .bind(seq)
                    .bind(now_ms())
                    .bind(claimed.document.id.0)
                    .fetch_one(&mut *tx)
                    .await?;
                    Document::try_from(row).map(Some)
                })
            })
            .await
    }

    async fn fail_document(&self, claimed: &Claimed, problem: Problem) -> Result<Option<Document>, StoreError> {
        let claimed = claimed.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !still_claimed(&mut *tx, &claimed).await? {
                        return Ok(None);
                    }
                    // The passages left are those of an earlier content, if there was one: it goes on serving.
                    let row: DocumentRow = sqlx::query_as(concat!(
                        "UPDATE documents SET status = ?, error_code = ?, error_message = ?, \
                         passages = (SELECT count(*) FROM passages WHERE document_id = documents.id), \
                         change_seq = NULL, updated_at = ? WHERE id = ? RETURNING ",
                        document_columns!()
                    ))
                    .bind(DocumentStatus::Failed.as_str())
                    .bind(problem.code.as_str())
                    .bind(&problem.message)
                    .bind(now_ms())
                    .bind(claimed.document.id.0)
                    .fetch_one(&mut *tx)
                    .await?;
                    Document::try_from(row).map(Some)
                })
            })
            .await
    }
}

/// Whether nobody replaced or deleted the document since it was claimed.
async fn still_claimed(connection: &mut SqliteConnection, claimed: &Claimed) -> Result<bool, StoreError> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM documents WHERE id = ? AND status = ? AND content = ? AND change_seq IS NULL",
    )
    .bind(claimed.document.id.0)
    .bind(DocumentStatus::Processing.as_str())
    .bind(claimed.content.0)
    .fetch_one(connection)
    .await?;
    Ok(found > 0)
}

/// Keeps a first text where it serves at once; one that replaces another waits beside it until the index has it.
async fn keep_text(
    connection: &mut SqliteConnection,
    claimed: &Claimed,
    found: &ExtractedDocument,
) -> Result<(), StoreError> {
    let id: DocumentId = claimed.document.id;
    let earlier: i64 = sqlx::query_scalar("SELECT count(*) FROM texts WHERE document_id = ?")
        .bind(id.0)
        .fetch_one(&mut *connection)
        .await?;
    if earlier == 0 {
        sqlx::query("INSERT INTO texts (document_id, text, content_hash) VALUES (?, ?, ?)")
            .bind(id.0)
            .bind(&found.text)
            .bind(&claimed.document.sha256)
            .execute(&mut *connection)
            .await?;
        return insert_passages(connection, Shelf::Serving, &found.passages).await;
    }
    drop_next_text(&mut *connection, id).await?;
    sqlx::query("INSERT INTO next_texts (document_id, text, content_hash) VALUES (?, ?, ?)")
        .bind(id.0)
        .bind(&found.text)
        .bind(&claimed.document.sha256)
        .execute(&mut *connection)
        .await?;
    insert_passages(connection, Shelf::Next, &found.passages).await
}
