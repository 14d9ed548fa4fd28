//! The change log in SQLite.

use async_trait::async_trait;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use super::documents::{DocumentRow, document_columns, drop_next_text, mark_stale};
use super::texts::{Shelf, read_passages};
use super::{SqliteStore, from_i64, from_json, from_ms, now_ms, to_i64};
use crate::model::filter::facets;
use crate::model::{Document, DocumentId, DocumentStatus};
use crate::store::{ChangeLog, LoggedChange, PresentDocument, StoreError};

/// Changes that are read at once.
const CHANGES_AT_ONCE: i64 = 256;

/// The columns of [`PresentRow`].
macro_rules! present_columns {
    () => {
        "title, collection, metadata, created_at, file_name, language, \
         EXISTS (SELECT 1 FROM texts WHERE document_id = documents.id) AS serves, \
         EXISTS (SELECT 1 FROM next_texts WHERE document_id = documents.id) AS replaced"
    };
}

#[derive(FromRow)]
struct ChangeRow {
    seq: i64,
    document_id: Uuid,
    #[sqlx(flatten)]
    document: PresentRow,
}

/// What the index holds of a document beside its passages; nothing where the document is gone.
#[derive(FromRow)]
struct PresentRow {
    title: Option<String>,
    collection: Option<String>,
    metadata: Option<String>,
    created_at: Option<i64>,
    file_name: Option<String>,
    language: Option<String>,
    serves: bool,
    replaced: bool,
}

impl PresentRow {
    async fn with_passages(
        self,
        connection: &mut SqliteConnection,
        id: DocumentId,
    ) -> Result<Option<PresentDocument>, StoreError> {
        let Self { metadata, created_at, file_name, language, serves, replaced, .. } = self;
        let (Some(title), Some(collection)) = (self.title, self.collection) else { return Ok(None) };
        if !(serves || replaced) {
            return Ok(None);
        }
        let shelf = if replaced { Shelf::Next } else { Shelf::Serving };
        let passages = read_passages(connection, shelf, id, 0..u32::MAX).await?;
        let metadata = from_json(&metadata.unwrap_or_default())?;
        let facets = facets(&metadata, from_ms(created_at.unwrap_or_default())?);
        Ok(Some(PresentDocument { title, collection, facets, file_name, language, passages }))
    }
}

#[async_trait]
impl ChangeLog for SqliteStore {
    async fn changes_after(&self, seq: u64, passages: usize) -> Result<Vec<LoggedChange>, StoreError> {
        // One transaction: every change must show the document as it was when the log read so.
        let mut tx = self.readers.begin().await?;
        let mut changes = Vec::new();
        let mut gathered = 0;
        let mut after = to_i64(seq);
        while gathered < passages {
            let rows: Vec<ChangeRow> = sqlx::query_as(concat!(
                "SELECT seq, document_id, ",
                present_columns!(),
                " FROM changes LEFT JOIN documents ON documents.id = document_id WHERE seq > ? ORDER BY seq LIMIT ?"
            ))
            .bind(after)
            .bind(CHANGES_AT_ONCE)
            .fetch_all(&mut *tx)
            .await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for row in rows {
                let document_id = DocumentId(row.document_id);
                let present = row.document.with_passages(&mut tx, document_id).await?;
                // A change without passages still costs work.
                gathered += present.as_ref().map_or(1, |document| document.passages.len().max(1));
                changes.push(LoggedChange { seq: from_i64(row.seq)?, document_id, present });
                if gathered >= passages {
                    break;
                }
            }
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

    async fn mark_searchable(&self, seq: u64) -> Result<Vec<Document>, StoreError> {
        let waiting: Option<i64> = sqlx::query_scalar("SELECT 1 FROM documents WHERE change_seq <= ? LIMIT 1")
            .bind(to_i64(seq))
            .fetch_optional(&self.readers)
            .await?;
        if waiting.is_none() {
            return Ok(Vec::new());
        }
        self.writer
            .write_and_tell(
                move |tx| Box::pin(async move { mark(tx, to_i64(seq)).await }),
                |ready, feed| ready.iter().for_each(|document| feed.changed(document)),
            )
            .await
    }
}

async fn mark(connection: &mut SqliteConnection, seq: i64) -> Result<Vec<Document>, StoreError> {
    let replaced: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM documents JOIN next_texts ON next_texts.document_id = documents.id WHERE change_seq <= ?",
    )
    .bind(seq)
    .fetch_all(&mut *connection)
    .await?;
    for id in replaced {
        serve_next_text(&mut *connection, DocumentId(id)).await?;
    }
    let rows: Vec<DocumentRow> = sqlx::query_as(concat!(
        "UPDATE documents SET status = ?, change_seq = NULL, updated_at = ? WHERE change_seq <= ? RETURNING ",
        document_columns!()
    ))
    .bind(DocumentStatus::Ready.as_str())
    .bind(now_ms())
    .bind(seq)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Document::try_from).collect()
}

/// Puts a replacement in the old text's place.
async fn serve_next_text(connection: &mut SqliteConnection, id: DocumentId) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM passages WHERE document_id = ?1",
        "INSERT INTO passages SELECT * FROM next_passages WHERE document_id = ?1",
        "DELETE FROM texts WHERE document_id = ?1",
        "INSERT INTO texts (document_id, text, content_hash, replaced_at) \
         SELECT document_id, text, content_hash, ?2 FROM next_texts WHERE document_id = ?1",
        "DELETE FROM cached_analyses WHERE document_id = ?1",
        "DELETE FROM document_summaries WHERE document_id = ?1",
    ] {
        sqlx::query(statement).bind(id.0).bind(now_ms()).execute(&mut *connection).await?;
    }
    drop_next_text(&mut *connection, id).await?;
    mark_stale(connection, id).await
}

/// What the index should hold of a document: nothing where it is gone or has no text.
pub(super) async fn present_document(
    connection: &mut SqliteConnection,
    id: DocumentId,
) -> Result<Option<PresentDocument>, StoreError> {
    let row: Option<PresentRow> =
        sqlx::query_as(concat!("SELECT ", present_columns!(), " FROM documents WHERE id = ?"))
            .bind(id.0)
            .fetch_optional(&mut *connection)
            .await?;
    match row {
        Some(row) => row.with_passages(connection, id).await,
        None => Ok(None),
    }
}

/// Notes that the index must look at the document again, and forgets earlier notes of the same document. To be bound: its
/// id, twice.
macro_rules! log_change_statements {
    () => {
        "DELETE FROM changes WHERE document_id = ?; INSERT INTO changes (document_id) VALUES (?)"
    };
}
pub(super) use log_change_statements;

/// Logs a change of a document; its number.
pub(super) async fn log_change(connection: &mut SqliteConnection, id: DocumentId) -> Result<i64, StoreError> {
    let logged = sqlx::query(log_change_statements!()).bind(id.0).bind(id.0).execute(connection).await?;
    Ok(logged.last_insert_rowid())
}
