//! Documents in SQLite.

use std::collections::HashMap;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{SqliteStore, corrupt, from_i64, from_json, from_ms, now_ms, to_i64, to_json};
use crate::error::{Code, Problem};
use crate::model::{Document, DocumentId, DocumentStatus, Passage, PassageId};
use crate::store::{
    Added, Claimed, DocumentFilter, DocumentPatch, DocumentStore, ExtractedDocument, KnownDocument, Listed,
    NewDocument, Page, StoreError,
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

/// The columns of [`PassageRow`].
macro_rules! passage_columns {
    () => {
        "document_id, ordinal, text, start_offset, end_offset, page, heading"
    };
}

#[derive(FromRow)]
pub(super) struct PassageRow {
    document_id: Uuid,
    ordinal: i64,
    text: String,
    start_offset: i64,
    end_offset: i64,
    page: Option<i64>,
    heading: Option<String>,
}

impl TryFrom<PassageRow> for Passage {
    type Error = StoreError;

    fn try_from(row: PassageRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: PassageId { document_id: DocumentId(row.document_id), ordinal: from_i64(row.ordinal)? },
            text: row.text,
            start: from_i64(row.start_offset)?,
            end: from_i64(row.end_offset)?,
            page: row.page.map(from_i64).transpose()?,
            heading: row.heading,
        })
    }
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
        .execute(&mut *tx)
        .await?;
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

    async fn text(&self, id: DocumentId) -> Result<Option<String>, StoreError> {
        let row: Option<(Option<String>,)> = sqlx::query_as(
            "SELECT texts.text FROM documents LEFT JOIN texts ON texts.document_id = documents.id WHERE documents.id = ?",
        )
        .bind(id.0)
        .fetch_optional(&self.readers)
        .await?;
        row.map(|(text,)| text).ok_or(StoreError::DocumentNotFound)
    }

    async fn text_ranges(&self, ranges: &[(DocumentId, Range<usize>)]) -> Result<Vec<String>, StoreError> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        // SQLite counts the characters of a text from 1.
        let mut query = QueryBuilder::<Sqlite>::new("WITH wanted (place, id, start, length) AS (VALUES ");
        let mut list = query.separated(", ");
        for (place, (id, range)) in ranges.iter().enumerate() {
            list.push("(").push_bind_unseparated(to_i64(place));
            list.push_bind(id.0).push_bind(to_i64(range.start));
            list.push_bind(to_i64(range.end.saturating_sub(range.start))).push_unseparated(")");
        }
        query.push(
            ") SELECT place, substr(texts.text, wanted.start + 1, wanted.length) \
             FROM wanted JOIN texts ON texts.document_id = wanted.id",
        );
        let rows: Vec<(i64, String)> = query.build_query_as().fetch_all(&self.readers).await?;
        let mut texts = vec![String::new(); ranges.len()];
        for (place, text) in rows {
            if let Some(slot) = texts.get_mut(from_i64::<usize>(place)?) {
                *slot = text;
            }
        }
        Ok(texts)
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
        .execute(&mut *tx)
        .await?;
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
                    for passage in &found.passages {
                        sqlx::query(concat!(
                            "INSERT INTO passages (",
                            passage_columns!(),
                            ") VALUES (?, ?, ?, ?, ?, ?, ?)"
                        ))
                        .bind(claimed.id.0)
                        .bind(i64::from(passage.id.ordinal))
                        .bind(&passage.text)
                        .bind(to_i64(passage.start))
                        .bind(to_i64(passage.end))
                        .bind(passage.page.map(i64::from))
                        .bind(&passage.heading)
                        .execute(&mut *tx)
                        .await?;
                    }
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

    async fn known_documents(&self, ids: &[DocumentId]) -> Result<Vec<KnownDocument>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, title, collection, content_hash FROM documents \
             WHERE EXISTS (SELECT 1 FROM texts WHERE document_id = documents.id) AND id IN (",
        );
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.0);
        }
        query.push(")");
        let rows: Vec<(Uuid, String, String, String)> = query.build_query_as().fetch_all(&self.readers).await?;
        let mut known: HashMap<Uuid, KnownDocument> = rows
            .into_iter()
            .map(|(id, title, collection, content_hash)| {
                (id, KnownDocument { id: DocumentId(id), title, collection, content_hash })
            })
            .collect();
        Ok(ids.iter().filter_map(|id| known.remove(&id.0)).collect())
    }

    async fn passages(&self, ids: &[PassageId]) -> Result<Vec<Passage>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(concat!(
            "SELECT ",
            passage_columns!(),
            " FROM passages WHERE (document_id, ordinal) IN (VALUES "
        ));
        let mut list = query.separated(", ");
        for id in ids {
            list.push("(").push_bind_unseparated(id.document_id.0);
            list.push_bind(i64::from(id.ordinal)).push_unseparated(")");
        }
        query.push(")");
        let rows: Vec<PassageRow> = query.build_query_as().fetch_all(&self.readers).await?;
        let mut found: HashMap<PassageId, Passage> = HashMap::with_capacity(rows.len());
        for row in rows {
            let passage = Passage::try_from(row)?;
            found.insert(passage.id, passage);
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn first_passages(&self, ids: &[DocumentId], limit: u32) -> Result<Vec<Passage>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query =
            QueryBuilder::<Sqlite>::new(concat!("SELECT ", passage_columns!(), " FROM passages WHERE ordinal < "));
        query.push_bind(i64::from(limit)).push(" AND document_id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.0);
        }
        query.push(") ORDER BY document_id, ordinal");
        let rows: Vec<PassageRow> = query.build_query_as().fetch_all(&self.readers).await?;
        rows.into_iter().map(Passage::try_from).collect()
    }

    async fn passage_range(&self, id: DocumentId, ordinals: Range<u32>) -> Result<Vec<Passage>, StoreError> {
        read_passages(&mut *self.readers.acquire().await?, id, ordinals).await
    }
}

pub(super) async fn read_passages(
    connection: &mut SqliteConnection,
    id: DocumentId,
    ordinals: Range<u32>,
) -> Result<Vec<Passage>, StoreError> {
    let rows: Vec<PassageRow> = sqlx::query_as(concat!(
        "SELECT ",
        passage_columns!(),
        " FROM passages WHERE document_id = ? AND ordinal >= ? AND ordinal < ? ORDER BY ordinal"
    ))
    .bind(id.0)
    .bind(i64::from(ordinals.start))
    .bind(i64::from(ordinals.end))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Passage::try_from).collect()
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
