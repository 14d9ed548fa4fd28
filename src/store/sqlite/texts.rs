//! Extracted texts and passages in SQLite.

use std::collections::HashMap;
use std::ops::Range;

use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{SqliteStore, from_i64, from_json, from_ms, to_i64};
use crate::model::filter::facets;
use crate::model::{DocumentId, Passage, PassageId};
use crate::store::{KnownDocument, StoreError, TextStore};

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

/// Id, title, collection, content hash, date and time of storing.
type KnownRow = (Uuid, String, String, String, String, Option<String>, i64, i64);

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
impl TextStore for SqliteStore {
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

    async fn known_documents(&self, ids: &[DocumentId]) -> Result<Vec<KnownDocument>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(known) = self.known.all(ids) {
            return Ok(known);
        }
        let version = self.known.version();
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, title, collection, metadata, texts.content_hash, CAST(coalesce(json_extract(metadata, '$.date'), \
             json_extract(metadata, '$.published'), json_extract(metadata, '$.updated'), \
             json_extract(metadata, '$.year')) AS TEXT), created_at, coalesce(replaced_at, 0) \
             FROM documents JOIN texts ON texts.document_id = documents.id WHERE id IN (",
        );
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.0);
        }
        query.push(")");
        let rows: Vec<KnownRow> = query.build_query_as().fetch_all(&self.readers).await?;
        let mut known = HashMap::with_capacity(rows.len());
        for (id, title, collection, metadata, content_hash, dated, created_at, text_version) in rows {
            let (created_at, text_version) = (from_ms(created_at)?, from_i64(text_version)?);
            let facets = facets(&from_json(&metadata)?, created_at);
            let document = KnownDocument {
                id: DocumentId(id),
                title,
                collection,
                content_hash,
                text_version,
                dated,
                facets,
                created_at,
            };
            known.insert(id, document);
        }
        let known: Vec<KnownDocument> = ids.iter().filter_map(|id| known.remove(&id.0)).collect();
        self.known.keep(version, &known);
        Ok(known)
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
        read_passages(&mut *self.readers.acquire().await?, Shelf::Serving, id, ordinals).await
    }
}

/// Where passages are.
#[derive(Clone, Copy)]
pub(super) enum Shelf {
    /// Those that readers see.
    Serving,
    /// Those of a replacement that waits for the index.
    Next,
}

pub(super) async fn read_passages(
    connection: &mut SqliteConnection,
    shelf: Shelf,
    id: DocumentId,
    ordinals: Range<u32>,
) -> Result<Vec<Passage>, StoreError> {
    macro_rules! read_from {
        ($table:literal) => {
            concat!(
                "SELECT ",
                passage_columns!(),
                " FROM ",
                $table,
                " WHERE document_id = ? AND ordinal >= ? AND ordinal < ? ORDER BY ordinal"
            )
        };
    }
    let query = match shelf {
        Shelf::Serving => read_from!("passages"),
        Shelf::Next => read_from!("next_passages"),
    };
    let rows: Vec<PassageRow> = sqlx::query_as(query)
        .bind(id.0)
        .bind(i64::from(ordinals.start))
        .bind(i64::from(ordinals.end))
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(Passage::try_from).collect()
}

pub(super) async fn insert_passages(
    connection: &mut SqliteConnection,
    shelf: Shelf,
    passages: &[Passage],
) -> Result<(), StoreError> {
    macro_rules! insert_into {
        ($table:literal) => {
            concat!("INSERT INTO ", $table, " (", passage_columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?)")
        };
    }
    let query = match shelf {
        Shelf::Serving => insert_into!("passages"),
        Shelf::Next => insert_into!("next_passages"),
    };
    for passage in passages {
        sqlx::query(query)
            .bind(passage.id.document_id.0)
            .bind(i64::from(passage.id.ordinal))
            .bind(&passage.text)
            .bind(to_i64(passage.start))
            .bind(to_i64(passage.end))
            .bind(passage.page.map(i64::from))
            .bind(&passage.heading)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
