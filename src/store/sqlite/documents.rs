//! Documents in SQLite.

use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::changes::log_change;
use super::originals::insert_part;
use super::vectors::forget_vectors;
use super::{SqliteStore, corrupt, from_i64, from_json, from_ms, now_ms, push_words, to_i64, to_json};
use crate::error::{Code, Problem};
use crate::model::{ContentId, Document, DocumentId, DocumentStatus, Progress, StandingAnalysis};
use crate::store::{
    Added, DocumentFilter, DocumentPatch, DocumentStore, Listed, NewDocument, Original, Page, StoreError,
};

/// The columns of [`DocumentRow`], for every statement that reads documents.
macro_rules! document_columns {
    () => {
        "id, title, status, error_code, error_message, collection, metadata, source, media_type, bytes, language, \
         passages, created_at, updated_at, content_hash, change_seq, warnings, \
         (SELECT summary FROM document_summaries WHERE document_id = documents.id) AS summary"
    };
}
pub(super) use document_columns;

#[derive(FromRow)]
pub(super) struct DocumentRow {
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
    /// The whole analysis, of which documents show a part.
    summary: Option<String>,
    content_hash: String,
    change_seq: Option<i64>,
    warnings: String,
}

/// Said of a failed document whose earlier content still serves.
const STILL_SERVES: &str = "the content before this one is still searchable";

impl TryFrom<DocumentRow> for Document {
    type Error = StoreError;

    fn try_from(row: DocumentRow) -> Result<Self, StoreError> {
        let error = match row.error_code {
            Some(code) => {
                Some(Problem::new(from_json::<Code>(&to_json(&code)?)?, row.error_message.unwrap_or_default()))
            }
            None => None,
        };
        let standing: Option<StandingAnalysis> = row.summary.as_deref().map(from_json).transpose()?;
        let (summary, key_points) =
            standing.map_or((None, Vec::new()), |standing| (Some(standing.summary), standing.key_points));
        let status: DocumentStatus = row.status.parse().map_err(corrupt)?;
        let mut warnings: Vec<String> = from_json(&row.warnings)?;
        if status == DocumentStatus::Failed && row.passages > 0 {
            warnings.push(STILL_SERVES.to_owned());
        }
        Ok(Self {
            id: DocumentId(row.id),
            title: row.title,
            status,
            error,
            collection: row.collection,
            metadata: from_json(&row.metadata)?,
            source: row.source,
            media_type: row.media_type,
            bytes: from_i64(row.bytes)?,
            language: row.language,
            passages: from_i64(row.passages)?,
            summary,
            key_points,
            created_at: from_ms(row.created_at)?,
            updated_at: from_ms(row.updated_at)?,
            sha256: row.content_hash,
            progress: match (status, row.change_seq) {
                (DocumentStatus::Queued, _) => Progress::Waiting,
                (DocumentStatus::Processing, None) => Progress::Extracting,
                (DocumentStatus::Processing, Some(_)) => Progress::Indexing,
                (DocumentStatus::Ready | DocumentStatus::Failed, _) => Progress::Done,
            },
            warnings,
        })
    }
}

#[async_trait]
impl DocumentStore for SqliteStore {
    async fn add_document(&self, new: NewDocument) -> Result<Added, StoreError> {
        self.writer
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        if let Some(document) = insert_document(&mut *tx, DocumentId::new(), &new).await? {
                            return Ok(Added { document, duplicate: false });
                        }
                        if let Original::Kept { content, .. } = new.content.original {
                            forget(&mut *tx, content).await?;
                        }
                        let earlier: DocumentRow = sqlx::query_as(concat!(
                            "SELECT ",
                            document_columns!(),
                            " FROM documents WHERE collection = ? AND content_hash = ?"
                        ))
                        .bind(&new.collection)
                        .bind(&new.content.hash)
                        .fetch_one(&mut *tx)
                        .await?;
                        Ok(Added { document: earlier.try_into()?, duplicate: true })
                    })
                },
                |added, feed| {
                    if !added.duplicate {
                        feed.changed(&added.document);
                    }
                },
            )
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

    async fn documents_with(&self, collection: &str, hashes: &[String]) -> Result<Vec<Document>, StoreError> {
        self.documents_whose("content_hash", collection, hashes).await
    }

    async fn documents_from(&self, collection: &str, sources: &[String]) -> Result<Vec<Document>, StoreError> {
        self.documents_whose("source", collection, sources).await
    }

    async fn collections(&self) -> Result<Vec<String>, StoreError> {
        let names = "SELECT DISTINCT collection FROM documents ORDER BY collection";
        Ok(sqlx::query_scalar(names).fetch_all(&self.readers).await?)
    }

    async fn has_language(&self, collection: Option<&str>, language: &str) -> Result<bool, StoreError> {
        let name = (collection.map(str::to_owned), language.to_owned());
        if let Some(holds) = self.known.language(&name) {
            return Ok(holds);
        }
        let version = self.known.version();
        let holds = "SELECT EXISTS (SELECT 1 FROM documents WHERE language = ?1 AND (?2 IS NULL OR collection = ?2))";
        let holds = sqlx::query_scalar(holds).bind(language).bind(collection).fetch_one(&self.readers).await?;
        self.known.keep_language(version, name, holds);
        Ok(holds)
    }

    async fn replace_document(&self, id: DocumentId, new: NewDocument) -> Result<Document, StoreError> {
        self.writer
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        let document = read_document(&mut *tx, id).await?;
                        refuse_duplicate(&mut *tx, id, &new.collection, &new.content.hash).await?;
                        overwrite_row(&mut *tx, id, &new).await?;
                        // What is said of the document is said of its new content from now on.
                        sqlx::query("DELETE FROM document_summaries WHERE document_id = ?")
                            .bind(id.0)
                            .execute(&mut *tx)
                            .await?;
                        // The index may have taken up a replacement that never came to serve.
                        let superseded = drop_next_text(&mut *tx, id).await?;
                        let after = read_document(&mut *tx, id).await?;
                        let renamed = is_found_otherwise(&document, &after);
                        if superseded || renamed {
                            log_change(&mut *tx, id).await?;
                        }
                        Ok(after)
                    })
                },
                |document, feed| feed.changed(document),
            )
            .await
    }

    async fn patch_document(&self, id: DocumentId, patch: DocumentPatch) -> Result<Document, StoreError> {
        self.writer
            .write_and_tell(
                move |tx| {
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
             metadata = coalesce(?, metadata), collection = coalesce(?, collection), source = coalesce(?, source), \
             updated_at = ? WHERE id = ?",
                        )
                        .bind(&patch.title)
                        .bind(patch.title.is_some())
                        .bind(metadata)
                        .bind(&patch.collection)
                        .bind(&patch.source)
                        .bind(now_ms())
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
                        let after = read_document(&mut *tx, id).await?;
                        if is_found_otherwise(&before, &after) {
                            log_change(&mut *tx, id).await?;
                        }
                        Ok(after)
                    })
                },
                |document, feed| feed.changed(document),
            )
            .await
    }

    async fn retry_document(&self, id: DocumentId) -> Result<Document, StoreError> {
        self.writer
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        if read_document(&mut *tx, id).await?.status != DocumentStatus::Failed {
                            return Err(StoreError::DocumentNotFailed);
                        }
                        sqlx::query(
                            "UPDATE documents SET status = ?, error_code = NULL, error_message = NULL, \
                             change_seq = NULL, updated_at = ? WHERE id = ?",
                        )
                        .bind(DocumentStatus::Queued.as_str())
                        .bind(now_ms())
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
                        read_document(&mut *tx, id).await
                    })
                },
                |document, feed| feed.changed(document),
            )
            .await
    }

    async fn delete_document(&self, id: DocumentId) -> Result<Document, StoreError> {
        self.writer
            .write_and_tell(
                move |tx| {
                    Box::pin(async move {
                        let document = read_document(&mut *tx, id).await?;
                        forget_vectors(&mut *tx, id).await?;
                        sqlx::query("DELETE FROM documents WHERE id = ?").bind(id.0).execute(&mut *tx).await?;
                        log_change(&mut *tx, id).await?;
                        mark_stale(&mut *tx, id).await?;
                        Ok(document)
                    })
                },
                |document, feed| feed.deleted(document),
            )
            .await
    }
}

impl SqliteStore {
    /// Those documents of a collection whose `column` is one of these values.
    async fn documents_whose(
        &self,
        column: &'static str,
        collection: &str,
        values: &[String],
    ) -> Result<Vec<Document>, StoreError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut query =
            QueryBuilder::<Sqlite>::new(concat!("SELECT ", document_columns!(), " FROM documents WHERE collection = "));
        query.push_bind(collection.to_owned()).push(" AND ").push(column).push(" IN (");
        let mut list = query.separated(", ");
        for value in values {
            list.push_bind(value.clone());
        }
        query.push(")");
        let rows: Vec<DocumentRow> = query.build_query_as().fetch_all(&self.readers).await?;
        rows.into_iter().map(Document::try_from).collect()
    }
}

/// Adds a document; nothing where its collection has the same bytes already.
async fn insert_document(
    connection: &mut SqliteConnection,
    id: DocumentId,
    new: &NewDocument,
) -> Result<Option<Document>, StoreError> {
    let now = now_ms();
    let (content, bytes, whole) = match &new.content.original {
        Original::Kept { content, bytes } => (*content, *bytes, None),
        Original::Whole(whole) => (ContentId::new(), whole.len() as u64, Some(&whole[..])),
    };
    // Row and bytes in one trip to the database's thread, which costs more than either.
    let added: Option<DocumentRow> = sqlx::query_as(concat!(
        "INSERT INTO documents (id, title, title_given, collection, status, metadata, source, file_name, media_type, \
         bytes, content, content_hash, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (collection, content_hash) DO NOTHING RETURNING ",
        document_columns!(),
        "; INSERT INTO original_parts (content, ordinal, bytes) \
         SELECT content, 0, kept.bytes FROM documents, (SELECT ? AS bytes) AS kept \
         WHERE id = ? AND kept.bytes IS NOT NULL"
    ))
    .bind(id.0)
    .bind(&new.title)
    .bind(new.title_given)
    .bind(&new.collection)
    .bind(DocumentStatus::Queued.as_str())
    .bind(to_json(&new.metadata)?)
    .bind(&new.source)
    .bind(&new.file_name)
    .bind(&new.content.media_type)
    .bind(to_i64(bytes))
    .bind(content.0)
    .bind(&new.content.hash)
    .bind(now)
    .bind(now)
    .bind(whole)
    .bind(id.0)
    .fetch_all(connection)
    .await?
    .pop();
    added.map(Document::try_from).transpose()
}

/// Gives a document's row new content, queued. A trigger removes the old content's parts.
async fn overwrite_row(connection: &mut SqliteConnection, id: DocumentId, new: &NewDocument) -> Result<(), StoreError> {
    let (content, bytes) = keep_content(connection, new).await?;
    sqlx::query(
        "UPDATE documents SET title = ?, title_given = ?, collection = ?, status = ?, error_code = NULL, \
             error_message = NULL, warnings = '[]', metadata = ?, source = ?, file_name = ?, media_type = ?, \
             bytes = ?, content = ?, content_hash = ?, change_seq = NULL, updated_at = ? WHERE id = ?",
    )
    .bind(&new.title)
    .bind(new.title_given)
    .bind(&new.collection)
    .bind(DocumentStatus::Queued.as_str())
    .bind(to_json(&new.metadata)?)
    .bind(&new.source)
    .bind(&new.file_name)
    .bind(&new.content.media_type)
    .bind(to_i64(bytes))
    .bind(content.0)
    .bind(&new.content.hash)
    .bind(now_ms())
    .bind(id.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps the bytes that are not in the store yet; their name and size.
async fn keep_content(connection: &mut SqliteConnection, new: &NewDocument) -> Result<(ContentId, u64), StoreError> {
    match &new.content.original {
        Original::Kept { content, bytes } => Ok((*content, *bytes)),
        Original::Whole(whole) => {
            let content = ContentId::new();
            insert_part(connection, content, 0, whole).await?;
            Ok((content, whole.len() as u64))
        }
    }
}

async fn forget(connection: &mut SqliteConnection, content: ContentId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM original_parts WHERE content = ?").bind(content.0).execute(connection).await?;
    Ok(())
}

pub(super) async fn read_document(connection: &mut SqliteConnection, id: DocumentId) -> Result<Document, StoreError> {
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
    push_words(query, "title", &filter.words);
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

/// Removes the text of a replacement that waits for the index; tells whether there was one.
pub(super) async fn drop_next_text(connection: &mut SqliteConnection, id: DocumentId) -> Result<bool, StoreError> {
    let dropped =
        sqlx::query("DELETE FROM next_texts WHERE document_id = ?").bind(id.0).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM next_passages WHERE document_id = ?").bind(id.0).execute(connection).await?;
    Ok(dropped.rows_affected() > 0)
}

/// Whether the index knows something of a document that is another now, its text apart.
fn is_found_otherwise(before: &Document, after: &Document) -> bool {
    (&before.title, &before.collection, &before.metadata) != (&after.title, &after.collection, &after.metadata)
}

/// Marks the answers that cite a document whose text is gone or another.
pub(super) async fn mark_stale(connection: &mut SqliteConnection, id: DocumentId) -> Result<(), StoreError> {
    sqlx::query("UPDATE cited_documents SET stale = 1 WHERE document_id = ?").bind(id.0).execute(connection).await?;
    Ok(())
}
