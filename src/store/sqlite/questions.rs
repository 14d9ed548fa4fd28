//! Questions in SQLite.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;

use super::{SqliteStore, from_i64, from_json, now_ms, to_json, to_ms};
use crate::model::{Analysis, QuestionId, QuestionRecord, QuestionStatus};
use crate::store::{FinishedAnalysis, Listed, Page, QuestionStore, StoreError};

#[async_trait]
impl QuestionStore for SqliteStore {
    async fn add_question(&self, record: &QuestionRecord) -> Result<(), StoreError> {
        let (id, status, json) = (record.id, record.status, to_json(record)?);
        let (conversation_id, created_at) = (record.conversation_id.clone(), to_ms(record.created_at));
        self.writer.write_loose(move |tx| Box::pin(async move {
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

    async fn keep_analyses(&self, id: QuestionId, finished: &[FinishedAnalysis]) -> Result<(), StoreError> {
        let mut kept = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO question_analyses (question_id, rank, analysis) \
             SELECT id, column1, column2 FROM questions, (VALUES ",
        );
        let mut reusable = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO cached_analyses (cache_key, document_id, analysis, created_at) \
             SELECT column2, id, column3, column4 FROM documents JOIN (VALUES ",
        );
        let (mut kept_rows, mut reusable_rows) = (kept.separated(", "), reusable.separated(", "));
        for FinishedAnalysis { rank, analysis, cache_key } in finished {
            let json = to_json(analysis)?;
            if let Some(key) = cache_key {
                reusable_rows.push("(").push_bind_unseparated(analysis.document_id.0).push_bind(key.clone());
                reusable_rows.push_bind(json.clone()).push_bind(now_ms()).push_unseparated(")");
            }
            kept_rows.push("(").push_bind_unseparated(i64::from(*rank)).push_bind(json).push_unseparated(")");
        }
        // Both choose from a table that the thing must still be in: a question or document that was deleted meanwhile
        // gets nothing new.
        kept.push(") WHERE id = ").push_bind(id.0);
        reusable.push(") ON id = column1");
        let reuses = finished.iter().any(|one| one.cache_key.is_some());
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    kept.build().execute(&mut *tx).await?;
                    if reuses {
                        reusable.build().execute(&mut *tx).await?;
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
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
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
        let items = rows.iter().map(|json| from_json(json)).collect::<Result<_, _>>()?;
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
