//! Claims, results and failures in SQLite.

use async_trait::async_trait;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use super::changes::log_change_statements;
use super::documents::{DocumentRow, document_columns, drop_next_text, read_document};
use super::texts::{Shelf, insert_passages};
use super::{SqliteStore, now_ms, to_i64, to_json};
use crate::error::Problem;
use crate::model::{ContentId, Document, DocumentStatus};
use crate::store::{Claimed, DocumentQueue, ExtractedDocument, StoreError};

#[derive(FromRow)]
struct ClaimedRow {
    content: Uuid,
    file_name: Option<String>,
    #[sqlx(flatten)]
    document: DocumentRow,
}

impl TryFrom<ClaimedRow> for Claimed {
    type Error = StoreError;

    fn try_from(row: ClaimedRow) -> Result<Self, StoreError> {
        let ClaimedRow { content, file_name, document } = row;
        Ok(Self { document: document.try_into()?, content: ContentId(content), file_name })
    }
}

#[async_trait]
impl DocumentQueue for SqliteStore {
    async fn claim_document(&self) -> Result<Option<Claimed>, StoreError> {
        self.writer
            .write_loose_and_tell(
                move |tx| {
                    Box::pin(async move {
                        let row: Option<ClaimedRow> = sqlx::query_as(concat!(
                            "UPDATE documents SET status = ?, change_seq = NULL, updated_at = ? WHERE id = \
                             (SELECT id FROM documents WHERE status = ? ORDER BY id LIMIT 1) \
                             RETURNING content, file_name, ",
                            document_columns!()
                        ))
                        .bind(DocumentStatus::Processing.as_str())
                        .bind(now_ms())
                        .bind(DocumentStatus::Queued.as_str())
                        .fetch_optional(tx)
                        .await?;
                        row.map(Claimed::try_from).transpose()
                    })
                },
                |claimed, feed| claimed.iter().for_each(|claimed| feed.changed(&claimed.document)),
            )
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
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        if shelf_of_claimed(&mut *tx, &claimed).await?.is_none() {
                            return Ok(None);
                        }
                        sqlx::query("UPDATE documents SET status = ? WHERE id = ?")
                            .bind(DocumentStatus::Queued.as_str())
                            .bind(claimed.document.id.0)
                            .execute(&mut *tx)
                            .await?;
                        read_document(&mut *tx, claimed.document.id).await.map(Some)
                    })
                },
                |document, feed| document.iter().for_each(|document| feed.changed(document)),
            )
            .await
    }

    async fn keep_extraction(
        &self,
        claimed: &Claimed,
        found: ExtractedDocument,
    ) -> Result<Option<Document>, StoreError> {
        let claimed = claimed.clone();
        self.writer
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        let Some(shelf) = shelf_of_claimed(&mut *tx, &claimed).await? else { return Ok(None) };
                        if let Shelf::Next = shelf {
                            drop_next_text(&mut *tx, claimed.document.id).await?;
                        }
                        insert_passages(&mut *tx, shelf, &found.passages).await?;
                        keep_text(tx, shelf, &claimed, &found).await.map(Some)
                    })
                },
                |document, feed| document.iter().for_each(|document| feed.changed(document)),
            )
            .await
    }

    async fn fail_document(&self, claimed: &Claimed, problem: Problem) -> Result<Option<Document>, StoreError> {
        let claimed = claimed.clone();
        self.writer
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        if shelf_of_claimed(&mut *tx, &claimed).await?.is_none() {
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
                },
                |document, feed| document.iter().for_each(|document| feed.changed(document)),
            )
            .await
    }
}

/// Where the text of a claimed document goes: a first one serves at once; one that replaces another waits beside it
/// until the index has it. None where somebody replaced or deleted the document since it was claimed.
async fn shelf_of_claimed(connection: &mut SqliteConnection, claimed: &Claimed) -> Result<Option<Shelf>, StoreError> {
    let replaces: Option<bool> = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM texts WHERE document_id = documents.id) FROM documents \
         WHERE id = ? AND status = ? AND content = ? AND change_seq IS NULL",
    )
    .bind(claimed.document.id.0)
    .bind(DocumentStatus::Processing.as_str())
    .bind(claimed.content.0)
    .fetch_optional(connection)
    .await?;
    Ok(replaces.map(|replaces| if replaces { Shelf::Next } else { Shelf::Serving }))
}

/// Keeps a text, logs the change and notes what was found in the document's row: in one trip to the database's thread,
/// which costs more than any of these.
async fn keep_text(
    connection: &mut SqliteConnection,
    shelf: Shelf,
    claimed: &Claimed,
    found: &ExtractedDocument,
) -> Result<Document, StoreError> {
    macro_rules! keep_in {
        ($table:literal) => {
            concat!(
                "INSERT INTO ",
                $table,
                " (document_id, text, content_hash) VALUES (?, ?, ?); ",
                log_change_statements!(),
                "; UPDATE documents SET title = CASE WHEN title_given THEN title ELSE coalesce(?, title) END, \
                 media_type = ?, language = ?, passages = ?, warnings = ?, updated_at = ?, \
                 change_seq = (SELECT seq FROM changes WHERE document_id = documents.id) WHERE id = ? RETURNING ",
                document_columns!()
            )
        };
    }
    let query = match shelf {
        Shelf::Serving => keep_in!("texts"),
        Shelf::Next => keep_in!("next_texts"),
    };
    let id = claimed.document.id.0;
    let row: Option<DocumentRow> = sqlx::query_as(query)
        .bind(id)
        .bind(&found.text)
        .bind(&claimed.document.sha256)
        .bind(id)
        .bind(id)
        .bind(&found.title)
        .bind(&found.media_type)
        .bind(&found.language)
        .bind(to_i64(found.passages.len()))
        .bind(to_json(&found.warnings)?)
        .bind(now_ms())
        .bind(id)
        .fetch_all(connection)
        .await?
        .pop();
    row.ok_or(StoreError::DocumentNotFound)?.try_into()
}
