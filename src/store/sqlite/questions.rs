//! Questions in SQLite.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{SqliteStore, from_i64, from_json, now_ms, push_words, to_i64, to_json, to_ms};
use crate::model::{
    DocumentId, Feedback, KeptAnalysis, Prompt, QuestionDetail, QuestionId, QuestionRecord, QuestionStatus,
};
use crate::store::{FinishedAnalysis, Listed, Page, QuestionFilter, QuestionStore, StoreError};

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

    async fn reopen_question(&self, record: &QuestionRecord) -> Result<(), StoreError> {
        let id = record.id;
        // A running question's analyses are in rows of their own.
        let json = to_json(&QuestionRecord { analyses: Vec::new(), ..record.clone() })?;
        let place = |id| record.retrieved.iter().position(|document| document.document_id == id);
        let ranked = record.analyses.iter().zip(0..);
        let analyses = ranked
            .map(|(analysis, at)| Ok((to_i64(place(analysis.document_id).unwrap_or(at)), to_json(analysis)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let opened = sqlx::query("UPDATE questions SET status = ?, record = ? WHERE id = ?")
                        .bind(QuestionStatus::Running.as_str())
                        .bind(json)
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
                    if opened.rows_affected() == 0 {
                        return Err(StoreError::QuestionNotFound);
                    }
                    for (rank, analysis) in analyses {
                        // What an earlier process kept stands with its replies.
                        sqlx::query(
                            "INSERT OR IGNORE INTO question_analyses (question_id, rank, analysis) VALUES (?, ?, ?)",
                        )
                        .bind(id.0)
                        .bind(rank)
                        .bind(analysis)
                        .execute(&mut *tx)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn keep_analyses(&self, id: QuestionId, finished: &[FinishedAnalysis]) -> Result<(), StoreError> {
        let mut kept = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO question_analyses (question_id, rank, analysis, replies) \
             SELECT id, column1, column2, column3 FROM questions, (VALUES ",
        );
        let mut reusable = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO cached_analyses (cache_key, document_id, analysis, replies, created_at) \
             SELECT column2, id, column3, column4, column5 FROM documents JOIN (VALUES ",
        );
        let (mut kept_rows, mut reusable_rows) = (kept.separated(", "), reusable.separated(", "));
        for FinishedAnalysis { rank, made, cache_key } in finished {
            let (analysis, replies) = (to_json(&made.analysis)?, to_json(&made.replies)?);
            if let Some(key) = cache_key {
                reusable_rows.push("(").push_bind_unseparated(made.analysis.document_id.0).push_bind(key.clone());
                reusable_rows.push_bind(analysis.clone()).push_bind(replies.clone());
                reusable_rows.push_bind(now_ms()).push_unseparated(")");
            }
            kept_rows.push("(").push_bind_unseparated(i64::from(*rank)).push_bind(analysis).push_bind(replies);
            kept_rows.push_unseparated(")");
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

    async fn cached_analyses(&self, cache_keys: &[String]) -> Result<Vec<Option<KeptAnalysis>>, StoreError> {
        if cache_keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT cache_key, analysis, replies FROM cached_analyses WHERE cache_key IN (",
        );
        let mut list = query.separated(", ");
        for key in cache_keys {
            list.push_bind(key.clone());
        }
        query.push(")");
        let rows: Vec<(String, String, String)> = query.build_query_as().fetch_all(&self.readers).await?;
        let found: HashMap<String, (String, String)> =
            rows.into_iter().map(|(key, analysis, replies)| (key, (analysis, replies))).collect();
        cache_keys.iter().map(|key| found.get(key).map(|(json, replies)| kept(json, replies)).transpose()).collect()
    }

    async fn finish_question(&self, record: &QuestionRecord, detail: &QuestionDetail) -> Result<(), StoreError> {
        let (id, status, json) = (record.id, record.status, to_json(record)?);
        let detail = to_json(detail)?;
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
                    sqlx::query(
                        "INSERT OR REPLACE INTO question_details (question_id, detail) \
                         SELECT id, ? FROM questions WHERE id = ?",
                    )
                    .bind(detail)
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
        let row: Option<RecordRow> = sqlx::query_as("SELECT record, feedback FROM questions WHERE id = ?")
            .bind(id.0)
            .fetch_optional(&mut *tx)
            .await?;
        let mut record = record(row.ok_or(StoreError::QuestionNotFound)?)?;
        if record.status == QuestionStatus::Running {
            record.analyses = kept_of(&mut tx, id).await?.into_iter().map(|kept| kept.analysis).collect();
        }
        tell_stale(&mut tx, std::slice::from_mut(&mut record)).await?;
        Ok(record)
    }

    async fn question_detail(&self, id: QuestionId) -> Result<Option<QuestionDetail>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let row: Option<(String, String)> = sqlx::query_as(
            "SELECT questions.record, question_details.detail FROM questions \
             JOIN question_details ON question_details.question_id = questions.id WHERE questions.id = ?",
        )
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((record, detail)) = row else { return Ok(None) };
        let record: QuestionRecord = from_json(&record)?;
        let mut detail: QuestionDetail = from_json(&detail)?;
        for version in record.settings.prompts.values() {
            let row: Option<(String, String)> = sqlx::query_as("SELECT purpose, text FROM prompts WHERE version = ?")
                .bind(version)
                .fetch_optional(&mut *tx)
                .await?;
            detail.prompts.extend(row.map(|(purpose, text)| Prompt { purpose, version: version.clone(), text }));
        }
        Ok(Some(detail))
    }

    async fn questions(
        &self,
        filter: QuestionFilter,
        page: Page<QuestionId>,
    ) -> Result<Listed<QuestionRecord>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let mut count = QueryBuilder::<Sqlite>::new("SELECT count(*) FROM questions WHERE true");
        push_filter(&mut count, &filter);
        let total: i64 = count.build_query_scalar().fetch_one(&mut *tx).await?;
        let mut list = QueryBuilder::<Sqlite>::new("SELECT record, feedback FROM questions WHERE true");
        push_filter(&mut list, &filter);
        if let Some(before) = page.before {
            list.push(" AND id < ").push_bind(before.0);
        }
        list.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(page.limit));
        let rows: Vec<RecordRow> = list.build_query_as().fetch_all(&mut *tx).await?;
        let mut items = rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        tell_stale(&mut tx, &mut items).await?;
        Ok(Listed { items, total: from_i64(total)? })
    }

    async fn unfinished_questions(&self) -> Result<Vec<(QuestionId, Vec<KeptAnalysis>)>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM questions WHERE status = ? ORDER BY id")
            .bind(QuestionStatus::Running.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let mut unfinished = BTreeMap::new();
        for id in ids.into_iter().map(QuestionId) {
            unfinished.insert(id, kept_of(&mut tx, id).await?);
        }
        Ok(unfinished.into_iter().collect())
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

    async fn keep_feedback(&self, id: QuestionId, feedback: &Feedback) -> Result<(), StoreError> {
        let json = to_json(feedback)?;
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    let kept = sqlx::query("UPDATE questions SET feedback = ? WHERE id = ?")
                        .bind(json)
                        .bind(id.0)
                        .execute(tx)
                        .await?;
                    if kept.rows_affected() == 0 { Err(StoreError::QuestionNotFound) } else { Ok(()) }
                })
            })
            .await
    }

    async fn keep_prompts(&self, prompts: &[Prompt]) -> Result<(), StoreError> {
        let prompts = prompts.to_vec();
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    for Prompt { purpose, version, text } in prompts {
                        sqlx::query("INSERT OR IGNORE INTO prompts (version, purpose, text) VALUES (?, ?, ?)")
                            .bind(version)
                            .bind(purpose)
                            .bind(text)
                            .execute(&mut *tx)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// A record, and the feedback that is kept beside it.
type RecordRow = (String, Option<String>);

fn record((json, feedback): RecordRow) -> Result<QuestionRecord, StoreError> {
    let record: QuestionRecord = from_json(&json)?;
    Ok(QuestionRecord { feedback: feedback.as_deref().map(from_json).transpose()?, ..record })
}

fn kept(analysis: &str, replies: &str) -> Result<KeptAnalysis, StoreError> {
    Ok(KeptAnalysis { analysis: from_json(analysis)?, replies: from_json(replies)? })
}

/// The analyses of a running question so far, best document first.
async fn kept_of(connection: &mut SqliteConnection, id: QuestionId) -> Result<Vec<KeptAnalysis>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT analysis, replies FROM question_analyses WHERE question_id = ? ORDER BY rank")
            .bind(id.0)
            .fetch_all(connection)
            .await?;
    rows.iter().map(|(analysis, replies)| kept(analysis, replies)).collect()
}

fn push_filter(query: &mut QueryBuilder<Sqlite>, filter: &QuestionFilter) {
    if let Some(conversation_id) = &filter.conversation_id {
        query.push(" AND conversation_id = ").push_bind(conversation_id.clone());
    }
    push_words(query, "json_extract(record, '$.question')", &filter.words);
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
