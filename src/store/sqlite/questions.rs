//! Questions in SQLite.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

use async_trait::async_trait;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::{SqliteStore, from_i64, from_json, now_ms, push_words, to_i64, to_json, to_ms};
use crate::model::{
    DocumentId, Feedback, KeptAnalysis, Prompt, QuestionDetail, QuestionId, QuestionRecord, QuestionStatus,
};
use crate::store::{FinishedAnalysis, Listed, Page, QuestionFilter, QuestionStore, StoreError};

/// The latest analyses for one question that are handed out; a question has fewer documents.
const CACHED_AT_ONCE: i64 = 100;

/// Finished questions that one write clears up after.
const CLEARED_AT_ONCE: usize = 4;

#[async_trait]
impl QuestionStore for SqliteStore {
    async fn add_question(&self, record: &QuestionRecord) -> Result<(), StoreError> {
        let mut add = QueryBuilder::<Sqlite>::new(
            "INSERT INTO questions (id, status, conversation_id, record, created_at) VALUES (",
        );
        let mut values = add.separated(", ");
        values.push_bind(record.id.0).push_bind(record.status.as_str()).push_bind(record.conversation_id.clone());
        values.push_bind(to_json(record)?).push_bind(to_ms(record.created_at)).push_unseparated(")");
        self.writer.write_statement(add).await
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
                    // Of a question that was finished, the record alone says what stands.
                    let mut clear = QueryBuilder::<Sqlite>::new("");
                    push_clear(&mut clear, id.0);
                    clear.build().execute(&mut *tx).await?;
                    sqlx::query("DELETE FROM cited_documents WHERE question_id = ?")
                        .bind(id.0)
                        .execute(&mut *tx)
                        .await?;
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
        if finished.is_empty() {
            return Ok(());
        }
        let rows = finished
            .iter()
            .map(|one| Ok((one, to_json(&one.made.analysis)?, to_json(&one.made.replies)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        // A question or document that was deleted meanwhile gets nothing new.
        let mut keep = QueryBuilder::<Sqlite>::new(
            "INSERT OR REPLACE INTO question_analyses (question_id, rank, analysis, replies) ",
        );
        let of_question = rows.iter().map(|row| (id.0, row));
        push_selects(&mut keep, of_question, "questions", |values, (one, analysis, replies)| {
            values.push_bind(id.0).push_bind(i64::from(one.rank));
            values.push_bind(analysis.clone()).push_bind(replies.clone());
        });
        let reusable: Vec<_> = rows
            .into_iter()
            .filter_map(|row| Some((row.0.made.analysis.document_id.0, (row.0.cache_key.clone()?, row))))
            .collect();
        for (_, (cache_key, _)) in &reusable {
            self.asked.add(cache_key);
        }
        if !reusable.is_empty() {
            keep.push(
                "; INSERT OR REPLACE INTO cached_analyses (cache_key, document_id, analysis, replies, created_at) ",
            );
            push_selects(&mut keep, reusable, "documents", |values, (cache_key, (one, analysis, replies))| {
                values.push_bind(cache_key).push_bind(one.made.analysis.document_id.0);
                values.push_bind(analysis).push_bind(replies).push_bind(now_ms());
            });
        }
        for finished in self.take_finished() {
            // Not where it was taken up again meanwhile.
            push_clear(keep.push("; "), finished);
        }
        self.writer.write_statements(keep).await
    }

    async fn cached_analyses(&self, question_key: &str) -> Result<HashMap<String, KeptAnalysis>, StoreError> {
        if !self.asked.may_have(question_key) {
            return Ok(HashMap::new());
        }
        // Keys are hexadecimal: "g" comes after all that begin with this.
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT cache_key, analysis, replies FROM cached_analyses WHERE cache_key >= ?1 AND cache_key < ?1 || 'g' \
             ORDER BY created_at DESC LIMIT ?2",
        )
        .bind(question_key)
        .bind(CACHED_AT_ONCE)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(|(key, analysis, replies)| Ok((key, kept(&analysis, &replies)?))).collect()
    }

    async fn finish_question(&self, record: &QuestionRecord, detail: &QuestionDetail) -> Result<(), StoreError> {
        let id = record.id.0;
        let mut cited: Vec<DocumentId> = record.citations.iter().map(|citation| citation.document_id).collect();
        cited.sort_unstable();
        cited.dedup();
        // Of this run: a question that is taken up again reads its documents again.
        let begun_at = now_ms() - to_i64(record.timings_ms.total) - 1;
        let mut finish = QueryBuilder::<Sqlite>::new("INSERT INTO finished_questions VALUES (");
        let mut values = finish.separated(", ");
        values.push_bind(id).push_bind(record.status.as_str()).push_bind(to_json(record)?);
        values.push_bind(to_json(detail)?).push_bind(to_json(&cited)?).push_bind(begun_at);
        values.push_unseparated(")");
        self.writer.write_statement(finish).await?;
        if !record.analyses.is_empty() {
            // The record holds them from now on. Nobody need wait until their rows are gone.
            self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
        Ok(())
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
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM questions WHERE status = 'running' ORDER BY id")
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

impl SqliteStore {
    /// Drops the rows of analyses that an earlier process left behind of questions that it finished.
    pub(super) async fn drop_finished_analyses(&self) -> Result<(), StoreError> {
        let drop = "DELETE FROM question_analyses WHERE question_id NOT IN \
                    (SELECT id FROM questions WHERE status = 'running')";
        self.writer.write_statement(QueryBuilder::new(drop)).await
    }

    /// Some finished questions whose analyses still have rows of their own.
    fn take_finished(&self) -> Vec<Uuid> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = finished.len().saturating_sub(CLEARED_AT_ONCE);
        finished.split_off(rest)
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

/// Adds one `SELECT` for each row, which gives nothing where what it belongs to is not in `table` any more. A list of
/// values would be copied to a table for the time of the statement.
fn push_selects<R>(
    query: &mut QueryBuilder<Sqlite>,
    rows: impl IntoIterator<Item = (Uuid, R)>,
    table: &str,
    bind: impl Fn(&mut Separated<'_, Sqlite, &str>, R),
) {
    for (place, (owner, row)) in rows.into_iter().enumerate() {
        query.push(if place == 0 { "SELECT " } else { " UNION ALL SELECT " });
        bind(&mut query.separated(", "), row);
        query.push(format!(" WHERE EXISTS (SELECT 1 FROM {table} WHERE id = ")).push_bind(owner).push(")");
    }
}

/// Adds the statement that drops the rows of a question's analyses, unless it is running.
fn push_clear(query: &mut QueryBuilder<Sqlite>, question: Uuid) {
    query.push("DELETE FROM question_analyses WHERE question_id IN (SELECT id FROM questions WHERE id = ");
    query.push_bind(question).push(" AND status <> 'running')");
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
