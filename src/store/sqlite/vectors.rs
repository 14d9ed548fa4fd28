//! Vectors in SQLite.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{SqliteStore, corrupt, from_i64, from_json, from_ms, to_i64};
use crate::model::filter::{Filter, facets};
use crate::model::{DocumentId, PassageId};
use crate::store::{PassageText, Space, StoreError, TextHash, Vector, VectorStore};

/// The columns of [`SpaceRow`].
macro_rules! space_columns {
    () => {
        "id, model, input, dimension, followed, serving"
    };
}

/// The head of every statement that reads vectors of passages.
macro_rules! select_vectors {
    () => {
        "SELECT p.document_id, p.ordinal, v.vector FROM passage_vectors p \
         JOIN vectors v ON v.space = p.space AND v.hash = p.hash WHERE v.vector IS NOT NULL AND p.space = "
    };
}

/// Values of one statement at the most; SQLite takes 32,766.
const VALUES: usize = 10_000;

#[derive(FromRow)]
struct SpaceRow {
    id: i64,
    model: String,
    input: String,
    dimension: Option<i64>,
    followed: i64,
    serving: bool,
}

impl TryFrom<SpaceRow> for Space {
    type Error = StoreError;

    fn try_from(row: SpaceRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            model: row.model,
            input: row.input,
            dimension: row.dimension.map(from_i64).transpose()?,
            followed: from_i64(row.followed)?,
            serving: row.serving,
        })
    }
}

type VectorRow = (Uuid, i64, Vec<u8>);

fn read_vector((document, ordinal, bytes): VectorRow) -> Result<(PassageId, Vec<f32>), StoreError> {
    let (numbers, []) = bytes.as_chunks::<4>() else { return Err(corrupt("a vector is cut")) };
    let vector = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok((PassageId { document_id: DocumentId(document), ordinal: from_i64(ordinal)? }, vector))
}

async fn find_space(connection: &mut SqliteConnection, model: &str, input: &str) -> Result<Option<Space>, StoreError> {
    let row: Option<SpaceRow> =
        sqlx::query_as(concat!("SELECT ", space_columns!(), " FROM vector_spaces WHERE model = ? AND input = ?"))
            .bind(model)
            .bind(input)
            .fetch_optional(connection)
            .await?;
    row.map(Space::try_from).transpose()
}

#[async_trait]
impl VectorStore for SqliteStore {
    async fn open_space(&self, model: &str, input: &str) -> Result<Space, StoreError> {
        let (model, input) = (model.to_owned(), input.to_owned());
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(space) = find_space(&mut *tx, &model, &input).await? {
                        return Ok(space);
                    }
                    sqlx::query("INSERT INTO vector_spaces (model, input) VALUES (?, ?)")
                        .bind(&model)
                        .bind(&input)
                        .execute(&mut *tx)
                        .await?;
                    find_space(tx, &model, &input).await?.ok_or_else(|| corrupt("a space vanished"))
                })
            })
            .await
    }

    async fn serving_space(&self) -> Result<Option<Space>, StoreError> {
        let row: Option<SpaceRow> =
            sqlx::query_as(concat!("SELECT ", space_columns!(), " FROM vector_spaces WHERE serving"))
                .fetch_optional(&self.readers)
                .await?;
        row.map(Space::try_from).transpose()
    }

    async fn reset_space(&self, space: i64, dimension: usize) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM passage_vectors WHERE space = ?").bind(space).execute(&mut *tx).await?;
                    sqlx::query("DELETE FROM vectors WHERE space = ?").bind(space).execute(&mut *tx).await?;
                    sqlx::query("UPDATE vector_spaces SET dimension = ?, followed = 0 WHERE id = ?")
                        .bind(to_i64(dimension))
                        .bind(space)
                        .execute(&mut *tx)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn serve_space(&self, space: i64) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM vector_spaces WHERE id <> ?").bind(space).execute(&mut *tx).await?;
                    sqlx::query("UPDATE vector_spaces SET serving = true WHERE id = ?").bind(space).execute(tx).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn without_vector(&self, space: i64, hashes: &[TextHash]) -> Result<Vec<TextHash>, StoreError> {
        let mut known: HashSet<Vec<u8>> = HashSet::new();
        for part in hashes.chunks(VALUES) {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT hash FROM vectors WHERE space = ");
            query.push_bind(space).push(" AND hash IN (");
            let mut list = query.separated(", ");
            for hash in part {
                list.push_bind(hash.to_vec());
            }
            query.push(")");
            known.extend(query.build_query_scalar::<Vec<u8>>().fetch_all(&self.readers).await?);
        }
        Ok(hashes.iter().filter(|hash| !known.contains(hash.as_slice())).copied().collect())
    }

    async fn keep_vectors(&self, space: i64, vectors: Vec<(TextHash, Vector)>) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    for (hash, vector) in vectors {
                        let bytes =
                            vector.map(|vector| vector.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
                        sqlx::query("INSERT OR REPLACE INTO vectors (space, hash, vector) VALUES (?, ?, ?)")
                            .bind(space)
                            .bind(hash.to_vec())
                            .bind(bytes)
                            .execute(&mut *tx)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn follow_changes(
        &self,
        space: i64,
        seq: u64,
        documents: Vec<(u64, Vec<PassageText>)>,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    for (changed, passages) in documents {
                        for PassageText { passage_id, hash } in passages {
                            // Only while the passage is the one that was embedded.
                            sqlx::query(
                                "INSERT OR REPLACE INTO passage_vectors (document_id, ordinal, space, hash) \
                                 SELECT document_id, ?, ?, ? FROM changes WHERE seq = ? AND document_id = ?",
                            )
                            .bind(i64::from(passage_id.ordinal))
                            .bind(space)
                            .bind(hash.to_vec())
                            .bind(to_i64(changed))
                            .bind(passage_id.document_id.0)
                            .execute(&mut *tx)
                            .await?;
                        }
                    }
                    sqlx::query("UPDATE vector_spaces SET followed = ? WHERE id = ?")
                        .bind(to_i64(seq))
                        .bind(space)
                        .execute(tx)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn changes_to_follow(&self, space: i64) -> Result<u64, StoreError> {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM changes WHERE seq > (SELECT followed FROM vector_spaces WHERE id = ?)",
        )
        .bind(space)
        .fetch_one(&self.readers)
        .await?;
        from_i64(left)
    }

    async fn sweep_vectors(&self) -> Result<u64, StoreError> {
        self.writer
            .write(|tx| {
                Box::pin(async move {
                    let swept = sqlx::query(
                        "DELETE FROM vectors WHERE NOT EXISTS (SELECT 1 FROM passage_vectors p \
                         WHERE p.space = vectors.space AND p.hash = vectors.hash)",
                    )
                    .execute(tx)
                    .await?;
                    Ok(swept.rows_affected())
                })
            })
            .await
    }

    async fn document_vectors(&self, space: i64, ids: &[DocumentId]) -> Result<Vec<(PassageId, Vec<f32>)>, StoreError> {
        let mut vectors = Vec::new();
        for part in ids.chunks(VALUES) {
            let mut query = QueryBuilder::<Sqlite>::new(select_vectors!());
            query.push_bind(space).push(" AND p.document_id IN (");
            let mut list = query.separated(", ");
            for id in part {
                list.push_bind(id.0);
            }
            query.push(")");
            let rows: Vec<VectorRow> = query.build_query_as().fetch_all(&self.readers).await?;
            vectors.extend(rows.into_iter().map(read_vector).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(vectors)
    }

    async fn passage_vectors(&self, space: i64, ids: &[PassageId]) -> Result<Vec<(PassageId, Vec<f32>)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(select_vectors!());
        query.push_bind(space).push(" AND (p.document_id, p.ordinal) IN (VALUES ");
        let mut list = query.separated(", ");
        for id in ids {
            list.push("(").push_bind_unseparated(id.document_id.0);
            list.push_bind(i64::from(id.ordinal)).push_unseparated(")");
        }
        query.push(")");
        let rows: Vec<VectorRow> = query.build_query_as().fetch_all(&self.readers).await?;
        rows.into_iter().map(read_vector).collect()
    }

    async fn documents_in(
        &self,
        collection: Option<&str>,
        filter: Option<&Filter>,
    ) -> Result<HashSet<DocumentId>, StoreError> {
        // What no filter looks at is not read.
        let rows: Vec<(Uuid, String, i64)> = sqlx::query_as(
            "SELECT id, CASE WHEN ?2 THEN metadata ELSE '{}' END, created_at FROM documents \
             WHERE ?1 IS NULL OR collection = ?1",
        )
        .bind(collection)
        .bind(filter.is_some())
        .fetch_all(&self.readers)
        .await?;
        let mut admitted = HashSet::with_capacity(rows.len());
        for (id, metadata, created_at) in rows {
            let admits = match filter {
                Some(filter) => filter.admits(&facets(&from_json(&metadata)?, from_ms(created_at)?)),
                None => true,
            };
            if admits {
                admitted.insert(DocumentId(id));
            }
        }
        Ok(admitted)
    }

    async fn vectors_after(
        &self,
        space: i64,
        after: Option<PassageId>,
        limit: u32,
    ) -> Result<Vec<(PassageId, Vec<f32>)>, StoreError> {
        let (document, ordinal) = after.map_or((Uuid::nil(), -1), |id| (id.document_id.0, i64::from(id.ordinal)));
        let rows: Vec<VectorRow> = sqlx::query_as(concat!(
            select_vectors!(),
            "? AND (p.document_id, p.ordinal) > (?, ?) ORDER BY p.document_id, p.ordinal LIMIT ?"
        ))
        .bind(space)
        .bind(document)
        .bind(ordinal)
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(read_vector).collect()
    }
}

/// Removes the vectors of a document's texts that no other document has.
pub(super) async fn forget_vectors(connection: &mut SqliteConnection, id: DocumentId) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM vectors WHERE (space, hash) IN (SELECT space, hash FROM passage_vectors WHERE document_id = ?) \
         AND NOT EXISTS (SELECT 1 FROM passage_vectors other WHERE other.space = vectors.space \
         AND other.hash = vectors.hash AND other.document_id <> ?)",
    )
    .bind(id.0)
    .bind(id.0)
    .execute(connection)
    .await?;
    Ok(())
}
