//! Documents in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::texts::insert_passages;
use super::{SqliteStore, corrupt, from_i64, from_json, from_ms, now_ms, to_i64, to_json};
use crate::error::{Code, Problem};
use crate::model::{Document, DocumentId, DocumentStatus};
use crate::store::{
    Added, Claimed, DocumentFilter, DocumentPatch, DocumentStore, ExtractedDocument, Listed, NewDocument, Page,
    StoreError,
};

/// The columns of [`DocumentRow`], for every statement that reads documents.
macro_rules! document_columns {
    () => {
        "id, title, status, error_code, error_message, collection, metadata, source, media_type, bytes, language, \
         passages, created_at, updated_at"
    };
}

#[derive(FromRow)]
struct DocumentRow {
    id: Uuid,
    title: String,
    status: String,
    error_code: Option<String>,
    error_message: Option<String>,
    collection: String,
    metadata: String,
    source: Option<String>,
    media_type: String,
    bytes: i64,
    language: Option<String>,
    passages: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<DocumentRow> for Document {
    type Error = StoreError;

    fn try_from(row: DocumentRow) -> Result<Self, StoreError> {
        let error = match row.error_code {
            Some(code) => {
                Some(Problem::new(from_json::<Code>(&to_json(&code)?)?, row.error_message.unwrap_or_default()))
            }
            None => None,
        };
        Ok(Self {
            id: DocumentId(row.id),
            title: row.title,
            status: row.status.parse().map_err(corrupt)?,
            error,
            collection: row.collection,
            metadata: from_json(&row.metadata)?,
            source: row.source,
            media_type: row.media_type,
            bytes: from_i64(row.bytes)?,
            language: row.language,
            passages: from_i64(row.passages)?,
            created_at: from_ms(row.created_at)?,
            updated_at: from_ms(row.updated_at)?,
        })
    }
}

#[derive(FromRow)]
struct ClaimedRow {
    id: Uuid,
    content: Vec<u8>,
    content_hash: String,
    file_name: Option<String>,
    media_type: String,
}

#[async_trait]
impl DocumentStore for SqliteStore {
    async fn add_document(&self, new: NewDocument) -> Result<Added, StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let earlier: Option<Uuid> =
                        sqlx::query_scalar("SELECT id FROM documents WHERE collection = ? AND content_hash = ?")
                            .bind(&new.collection)
                            .bind(&new.content.hash)
                            .fetch_optional(&mut *tx)
                            .await?;
                    if let Some(id) = earlier {
                        return Ok(Added { document: read_document(&mut *tx, DocumentId(id)).await?, duplicate: true });
                    }
                    let id = DocumentId::new();
                    insert_row(&mut *tx, id, &new).await?;
                    sqlx::query("INSERT INTO originals (document_id, content) VALUES (?, ?)")
                        .bind(id.0)
                        .bind(&new.content.bytes[..])
                        .execute(&mut *tx)
                        .await?;
                    let document = read_document(&mut *tx, id).await?;
                    Ok(Added { document, duplicate: false })
                })
            })
            .await
    }

    async fn document(&self, id: DocumentId) -> Result<Document, StoreError> {
        read_document(&mut *self.readers.acquire().await?, id).await
    }

    async fn documents(&self, filter: DocumentFilter, page: Page<DocumentId>) -> Result<Listed<Document>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let mut count = QueryBuilder::<Sqlite>::new("SELECT count(*) FROM documents WHERE true");
        push_filter(&mut count, &filter);
        let total: i64 = count.build_query_scalar().fetch_one(&mut *tx).await?;
        let mut list =
            QueryBuilder::<Sqlite>::new(concat!("SELECT ", document_columns!(), " FROM documents WHERE true"));
        push_filter(&mut list, &filter);
        if let Some(before) = page.before {
            list.push(" AND id < ").push_bind(before.0);
        }
        list.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(page.limit));
        let rows: Vec<DocumentRow> = list.build_query_as().fetch_all(&mut *tx).await?;
        let items = rows.into_iter().map(Document::try_from).collect::<Result<_, _>>()?;
        Ok(Listed { items, total: from_i64(total)? })
    }

    async fn collections(&self) -> Result<Vec<String>, StoreError> {
        let names = "SELECT DISTINCT collection FROM documents ORDER BY collection";
        Ok(sqlx::query_scalar(names).fetch_all(&self.readers).await?)
    }

    async fn original(&self, id: DocumentId) -> Result<(Bytes, Option<String>), StoreError> {
        let row: Option<(Vec<u8>, Option<String>)> = sqlx::query_as(
            "SELECT originals.content, documents.file_name FROM documents \
             JOIN originals ON originals.document_id = documents.id WHERE documents.id = ?",
        )
        .bind(id.0)
        .fetch_optional(&self.readers)
        .await?;
        row.map(|(content, name)| (Bytes::from(content), name)).ok_or(StoreError::DocumentNotFound)
    }

    async fn replace_document(&self, id: DocumentId, new: NewDocument) -> Result<Document, StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let document = read_document(&mut *tx, id).await?;
                    refuse_duplicate(&mut *tx, id, &new.collection, &new.content.hash).await?;
                    overwrite_row(&mut *tx, id, &new).await?;
                    sqlx::query("UPDATE originals SET content = ? WHERE document_id = ?")
                        .bind(&new.content.bytes[..])
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
                    forget_analyses(&mut *tx, id).await?;
                    if document.collection != new.collection {
                        log_change(&mut *tx, id).await?;
                    }
                    let document = read_document(&mut *tx, id).await?;
                    Ok(document)
                })
            })
            .await
    }

    async fn patch_document(&self, id: DocumentId, patch: DocumentPatch) -> Result<Document, StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = read_document(&mut *tx, id).await?;
                    if let Some(collection) = &patch.collection {
                        let hash: String = sqlx::query_scalar("SELECT content_hash FROM documents WHERE id = ?")
                            .bind(id.0)
                            .fetch_one(&mut *tx)
                            .await?;
                        refuse_duplicate(&mut *tx, id, collection, &hash).await?;
                    }
                    let metadata = patch.metadata.as_ref().map(to_json).transpose()?;
                    sqlx::query(
                        "UPDATE documents SET title = coalesce(?, title), title_given = title_given OR ?, \
             metadata = coalesce(?, metadata), collection = coalesce(?, collection), updated_at = ? WHERE id = ?",
                    )
                    .bind(&patch.title)
                    .bind(patch.title.is_some())
                    .bind(metadata)
                    .bind(&patch.collection)
                    .bind(now_ms())
                    .bind(id.0)
                    .execute(&mut *tx)
                    .await?;
                    let after = read_document(&mut *tx, id).await?;
                    if (&before.title, &before.collection) != (&after.title, &after.collection) {
                        log_change(&mut *tx, id).await?;
                    }
                    Ok(after)
                })
            })
            .await
    }

    async fn retry_document(&self, id: DocumentId) -> Result<Document, StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if read_document(&mut *tx, id).await?.status != DocumentStatus::Failed {
                        return Err(StoreError::DocumentNotFailed);
                    }
                    sqlx::query(
                        "UPDATE documents SET status = ?, error_code = NULL, error_message = NULL, change_seq = NULL, \
             updated_at = ? WHERE id = ?",
                    )
                    .bind(DocumentStatus::Queued.as_str())
                    .bind(now_ms())
                    .bind(id.0)
                    .execute(&mut *tx)
                    .await?;
                    let document = read_document(&mut *tx, id).await?;
                    Ok(document)
                })
            })
            .await
    }

    async fn delete_document(&self, id: DocumentId) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let deleted =
                        sqlx::query("DELETE FROM documents WHERE id = ?").bind(id.0).execute(&mut *tx).await?;
                    if deleted.rows_affected() == 0 {
                        return Err(StoreError::DocumentNotFound);
                    }
                    log_change(&mut *tx, id).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn claim_document(&self) -> Result<Option<Claimed>, StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let row: Option<ClaimedRow> = sqlx::query_as(
                        "SELECT documents.id, originals.content, documents.content_hash, documents.file_name, \
             documents.media_type FROM documents JOIN originals ON originals.document_id = documents.id \
             WHERE documents.status = ? ORDER BY documents.id LIMIT 1",
                    )
                    .bind(DocumentStatus::Queued.as_str())
                    .fetch_optional(&mut *tx)
                    .await?;
                    let Some(row) = row else { return Ok(None) };
                    sqlx::query("UPDATE documents SET status = ?, change_seq = NULL, updated_at = ? WHERE id = ?")
                        .bind(DocumentStatus::Processing.as_str())
                        .bind(now_ms())
                        .bind(row.id)
                        .execute(&mut *tx)
                        .await?;
                    Ok(Some(Claimed {
                        id: DocumentId(row.id),
                        bytes: Bytes::from(row.content),
                        hash: row.content_hash,
                        file_name: row.file_name,
                        media_type: row.media_type,
                    }))
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

    async fn keep_extraction(&self, claimed: &Claimed, found: ExtractedDocument) -> Result<(), StoreError> {
        let claimed = claimed.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !still_claimed(&mut *tx, &claimed).await? {
                        return Ok(());
                    }
                    drop_text(&mut *tx, claimed.id).await?;
                    sqlx::query("INSERT INTO texts (document_id, text) VALUES (?, ?)")
                        .bind(claimed.id.0)
                        .bind(&found.text)
                        .execute(&mut *tx)
                        .await?;
                    insert_passages(&mut *tx, &found.passages).await?;
                    let seq = log_change(&mut *tx, claimed.id).await?;
                    sqlx::query(
                        "UPDATE documents SET title = CASE WHEN title_given THEN title ELSE coalesce(?, title) END, \
             media_type = ?, language = ?, passages = ?, change_seq = ?, updated_at = ? WHERE id = ?",
                    )
                    .bind(&found.title)
                    .bind(&found.media_type)
                    .bind(&found.language)
                    .bind(to_i64(found.passages.len()))
                    .bind(seq)
                    .bind(now_ms())
                    .bind(claimed.id.0)
                    .execute(&mut *tx)
                    .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn fail_document(&self, claimed: &Claimed, problem: Problem) -> Result<(), StoreError> {
        let claimed = claimed.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !still_claimed(&mut *tx, &claimed).await? {
                        return Ok(());
                    }
                    // A failed document is not searchable: what an earlier content left in the index goes.
                    if drop_text(&mut *tx, claimed.id).await? {
                        log_change(&mut *tx, claimed.id).await?;
                    }
                    sqlx::query(
            "UPDATE documents SET status = ?, error_code = ?, error_message = ?, passages = 0, language = NULL, \
             change_seq = NULL, updated_at = ? WHERE id = ?",
        )
        .bind(DocumentStatus::Failed.as_str())
        .bind(problem.code.as_str())
        .bind(&problem.message)
        .bind(now_ms())
        .bind(claimed.id.0)
        .execute(&mut *tx)
        .await?;
                    Ok(())
                })
            })
            .await
    }
}

async fn insert_row(connection: &mut SqliteConnection, id: DocumentId, new: &NewDocument) -> Result<(), StoreError> {
    let now = now_ms();
    sqlx::query(
        "INSERT INTO documents (id, title, title_given, collection, status, metadata, source, file_name, \
             media_type, bytes, content_hash, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.0)
    .bind(&new.title)
    .bind(new.title_given)
    .bind(&new.collection)
    .bind(DocumentStatus::Queued.as_str())
    .bind(to_json(&new.metadata)?)
    .bind(&new.source)
    .bind(&new.file_name)
    .bind(&new.content.media_type)
    .bind(to_i64(new.content.bytes.len()))
    .bind(&new.content.hash)
    .bind(now)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives a document's row new content, queued.
async fn overwrite_row(connection: &mut SqliteConnection, id: DocumentId, new: &NewDocument) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE documents SET title = ?, title_given = ?, collection = ?, status = ?, error_code = NULL, \
             error_message = NULL, metadata = ?, source = ?, file_name = ?, media_type = ?, bytes = ?, \
             content_hash = ?, change_seq = NULL, updated_at = ? WHERE id = ?",
    )
    .bind(&new.title)
    .bind(new.title_given)
    .bind(&new.collection)
    .bind(DocumentStatus::Queued.as_str())
    .bind(to_json(&new.metadata)?)
    .bind(&new.source)
    .bind(&new.file_name)
    .bind(&new.content.media_type)
    .bind(to_i64(new.content.bytes.len()))
    .bind(&new.content.hash)
    .bind(now_ms())
    .bind(id.0)
    .execute(connection)
    .await?;
    Ok(())
}

async fn read_document(connection: &mut SqliteConnection, id: DocumentId) -> Result<Document, StoreError> {
    let row: Option<DocumentRow> =
        sqlx::query_as(concat!("SELECT ", document_columns!(), " FROM documents WHERE id = ?"))
            .bind(id.0)
            .fetch_optional(connection)
            .await?;
    row.ok_or(StoreError::DocumentNotFound)?.try_into()
}

fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &DocumentFilter) {
    if let Some(collection) = &filter.collection {
        query.push(" AND collection = ").push_bind(collection.clone());
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
}

/// Whether nobody replaced or deleted the document since it was claimed.
async fn still_claimed(connection: &mut SqliteConnection, claimed: &Claimed) -> Result<bool, StoreError> {
    let found: i64 =
        sqlx::query_scalar("SELECT count(*) FROM documents WHERE id = ? AND status = ? AND content_hash = ?")
            .bind(claimed.id.0)
            .bind(DocumentStatus::Processing.as_str())
            .bind(&claimed.hash)
            .fetch_one(connection)
            .await?;
    Ok(found > 0)
}

async fn refuse_duplicate(
    connection: &mut SqliteConnection,
    id: DocumentId,
    collection: &str,
    hash: &str,
) -> Result<(), StoreError> {
    let other: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM documents WHERE collection = ? AND content_hash = ? AND id <> ?")
            .bind(collection)
            .bind(hash)
            .bind(id.0)
            .fetch_optional(connection)
            .await?;
    other.map_or(Ok(()), |other| Err(StoreError::Duplicate(DocumentId(other))))
}

/// Removes the text and the passages; tells whether there was a text.
async fn drop_text(connection: &mut SqliteConnection, id: DocumentId) -> Result<bool, StoreError> {
    sqlx::query("DELETE FROM passages WHERE document_id = ?").bind(id.0).execute(&mut *connection).await?;
    let dropped = sqlx::query("DELETE FROM texts WHERE document_id = ?").bind(id.0).execute(connection).await?;
    Ok(dropped.rows_affected() > 0)
}

async fn forget_analyses(connection: &mut SqliteConnection, id: DocumentId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM cached_analyses WHERE document_id = ?").bind(id.0).execute(connection).await?;
    Ok(())
}

/// Notes that the index must look at the document again, and forgets earlier notes of the same document.
async fn log_change(connection: &mut SqliteConnection, id: DocumentId) -> Result<i64, StoreError> {
    sqlx::query("DELETE FROM changes WHERE document_id = ?").bind(id.0).execute(&mut *connection).await?;
    let logged = sqlx::query("INSERT INTO changes (document_id) VALUES (?)").bind(id.0).execute(connection).await?;
    Ok(logged.last_insert_rowid())
}
