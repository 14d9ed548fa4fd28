//! Questions in SQLite.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{SqliteStore, from_i64, from_json, now_ms, to_json, to_ms};
use crate::model::{Analysis, DocumentId, QuestionId, QuestionRecord, QuestionStatus};
use crate::store::{Listed, Page, QuestionStore, StoreError};

#[async_trait]
impl QuestionStore for SqliteStore {
    async fn add_question(&self, record: &QuestionRecord) -> Result<(), StoreError> {
        let (id, status, json) = (record.id, record.status, to_json(record)?);
        let (conversation_id, created_at) = (record.conversation_id.clone(), to_ms(record.created_at));
        self.writer.write(move |tx| Box::pin(async move {
            sqlx::query("INSERT INTO questions (id, status, conversation_id, record, created_at) VALUES (?, ?, ?, ?, ?)")
                .bind(id.0)
                .bind(status.as_str())
                .bind(conversation_id)
                .bind(json)
                .bind(created_at)
                .execute(tx)
                .await?;
            Ok(())
        })).await
    }

    async fn keep_analysis(
        &self,
        id: QuestionId,
        rank: u32,
        analysis: &Analysis,
        cache_key: Option<&str>,
    ) -> Result<(), StoreError> {
        let json = to_json(analysis)?;
        let (document_id, cache_key) = (analysis.document_id, cache_key.map(str::to_owned));
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    // Both inserts choose from a table that the thing must still be in: a question or document that was deleted
                    // meanwhile gets nothing new.
                    sqlx::query(
                        "INSERT OR REPLACE INTO question_analyses (question_id, rank, analysis) \
             SELECT id, ?, ? FROM questions WHERE id = ?",
                    )
                    .bind(i64::from(rank))
                    .bind(&json)
                    .bind(id.0)
                    .execute(&mut *tx)
                    .await?;
                    if let Some(key) = cache_key {
                        sqlx::query(
                            "INSERT OR REPLACE INTO cached_analyses (cache_key, document_id, analysis, created_at) \
                 SELECT ?, id, ?, ? FROM documents WHERE id = ?",
                        )
                        .bind(key)
                        .bind(&json)
                        .bind(now_ms())
                        .bind(document_id.0)
                        .execute(&mut *tx)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn cached_analyses(&self, cache_keys: &[String]) -> Result<Vec<Option<Analysis>>, StoreError> {
        if cache_keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut query =
            QueryBuilder::<Sqlite>::new("SELECT cache_key, analysis FROM cached_analyses WHERE cache_key IN (");
        let mut list = query.separated(", ");
        for key in cache_keys {
            list.push_bind(key.clone());
        }
        query.push(")");
        let rows: Vec<(String, String)> = query.build_query_as().fetch_all(&self.readers).await?;
        let found: HashMap<String, String> = rows.into_iter().collect();
        cache_keys.iter().map(|key| found.get(key).map(|json| from_json(json)).transpose()).collect()
    }

    async fn finish_question(&self, record: &QuestionRecord) -> Result<(), StoreError> {
        let (id, status, json) = (record.id, record.status, to_json(record)?);
        let asked_at = to_ms(record.created_at);
        let mut cited: Vec<DocumentId> = record.citations.iter().map(|citation| citation.document_id).collect();
        cited.sort_unstable();
        cited.dedup();
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    keep_cited(&mut *tx, id, asked_at, &cited).await?;
                    sqlx::query("UPDATE questions SET status = ?, record = ? WHERE id = ?")
                        .bind(status.as_str())
                        .bind(json)
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
                    // The record holds them from now on.
                    sqlx::query("DELETE FROM question_analyses WHERE question_id = ?")
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
                    Ok(())
                })
            })
            .await
    }

    async fn question(&self, id: QuestionId) -> Result<QuestionRecord, StoreError> {
        let mut tx = self.readers.begin().await?;
        let json: Option<String> =
            sqlx::query_scalar("SELECT record FROM questions WHERE id = ?").bind(id.0).fetch_optional(&mut *tx).await?;
        let mut record: QuestionRecord = from_json(&json.ok_or(StoreError::QuestionNotFound)?)?;
        if record.status == QuestionStatus::Running {
            let analyses: Vec<String> =
                sqlx::query_scalar("SELECT analysis FROM question_analyses WHERE question_id = ? ORDER BY rank")
                    .bind(id.0)
                    .fetch_all(&mut *tx)
                    .await?;
            record.analyses = analyses.iter().map(|json| from_json(json)).collect::<Result<_, _>>()?;
        }
        tell_stale(&mut tx, std::slice::from_mut(&mut record)).await?;
        Ok(record)
    }

    async fn questions(&self, page: Page<QuestionId>) -> Result<Listed<QuestionRecord>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let total: i64 = sqlx::query_scalar("SELECT count(*) FROM questions").fetch_one(&mut *tx).await?;
        let mut list = QueryBuilder::<Sqlite>::new("SELECT record FROM questions WHERE true");
        if let Some(before) = page.before {
            list.push(" AND id < ").push_bind(before.0);
        }
        list.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(page.limit));
        let rows: Vec<String> = list.build_query_scalar().fetch_all(&mut *tx).await?;
        let mut items = rows.iter().map(|json| from_json(json)).collect::<Result<Vec<_>, _>>()?;
        tell_stale(&mut tx, &mut items).await?;
        Ok(Listed { items, total: from_i64(total)? })
    }

    async fn unfinished_questions(&self) -> Result<Vec<QuestionId>, StoreError> {
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM questions WHERE status = ? ORDER BY id")
            .bind(QuestionStatus::Running.as_str())
            .fetch_all(&self.readers)
            .await?;
        Ok(ids.into_iter().map(QuestionId).collect())
    }

    async fn delete_question(&self, id: QuestionId) -> Result<(), StoreError> {
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    let deleted = sqlx::query("DELETE FROM questions WHERE id = ?").bind(id.0).execute(tx).await?;
                    if deleted.rows_affected() == 0 { Err(StoreError::QuestionNotFound) } else { Ok(()) }
                })
            })
            .await
    }
}

/// Notes which documents an answer cites; those whose text went or changed since it was asked are stale at once.
async fn keep_cited(
    connection: &mut SqliteConnection,
    id: QuestionId,
    asked_at: i64,
    cited: &[DocumentId],
) -> Result<(), StoreError> {
    for document in cited {
        sqlx::query(
            "INSERT OR REPLACE INTO cited_documents (question_id, document_id, stale) \
             SELECT id, ?, NOT EXISTS (SELECT 1 FROM texts WHERE document_id = ? AND coalesce(replaced_at, 0) < ?) \
             FROM questions WHERE id = ?",
        )
        .bind(document.0)
        .bind(document.0)
        .bind(asked_at)
        .bind(id.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Fills in which cited documents are gone or replaced by now.
async fn tell_stale(connection: &mut SqliteConnection, records: &mut [QuestionRecord]) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT question_id, document_id FROM cited_documents WHERE stale AND question_id IN (",
    );
    let mut list = query.separated(", ");
    for record in records.iter() {
        list.push_bind(record.id.0);
    }
    query.push(") ORDER BY document_id");
    let rows: Vec<(Uuid, Uuid)> = query.build_query_as().fetch_all(connection).await?;
    let mut stale: HashMap<Uuid, Vec<DocumentId>> = HashMap::new();
    for (question, document) in rows {
        stale.entry(question).or_default().push(DocumentId(document));
    }
    for record in records {
        record.stale_documents = stale.remove(&record.id.0).unwrap_or_default();
        record.stale = !record.stale_documents.is_empty();
    }
    Ok(())
}
