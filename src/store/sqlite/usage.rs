//! Upstream calls in SQLite.

use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder, Sqlite};
use time::OffsetDateTime;

use super::{SqliteStore, from_i64, to_json, to_ms};
use crate::model::CallRecord;
use crate::store::{DailyUsage, StoreError, UsageStore};

#[derive(FromRow)]
struct UsageRow {
    day: String,
    model: String,
    calls: i64,
    failed: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    cost_usd: f64,
    cost_jpy: f64,
}

impl TryFrom<UsageRow> for DailyUsage {
    type Error = StoreError;

    fn try_from(row: UsageRow) -> Result<Self, StoreError> {
        Ok(Self {
            day: row.day,
            model: row.model,
            calls: from_i64(row.calls)?,
            failed: from_i64(row.failed)?,
            prompt_tokens: from_i64(row.prompt_tokens)?,
            completion_tokens: from_i64(row.completion_tokens)?,
            cost_usd: row.cost_usd,
            cost_jpy: row.cost_jpy,
        })
    }
}

#[async_trait]
impl UsageStore for SqliteStore {
    async fn keep_calls(&self, calls: &[CallRecord]) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        let rows = calls.iter().map(|call| {
            let tokens = (call.prompt_tokens, call.completion_tokens, call.estimated);
            let took = (call.cost_usd, call.cost_jpy, call.latency_ms, call.attempts);
            (to_ms(call.at), call.purpose, &call.model, tokens, took, call.outcome)
        });
        let rows = to_json(&rows.collect::<Vec<_>>())?;
        // One statement for any number of calls, so that it is prepared once.
        let mut keep = QueryBuilder::<Sqlite>::new(
            "INSERT INTO upstream_calls (at, purpose, model, prompt_tokens, completion_tokens, estimated, cost_usd, \
             cost_jpy, latency_ms, attempts, outcome) SELECT value ->> 0, value ->> 1, value ->> 2, value ->> '$[3][0]', \
             value ->> '$[3][1]', value ->> '$[3][2]', value ->> '$[4][0]', value ->> '$[4][1]', value ->> '$[4][2]', \
             value ->> '$[4][3]', value ->> 5 FROM json_each(",
        );
        keep.push_bind(rows).push(")");
        self.writer.write_statement(keep).await
    }

    async fn usage_since(&self, since: OffsetDateTime) -> Result<Vec<DailyUsage>, StoreError> {
        let rows: Vec<UsageRow> = sqlx::query_as(
            "SELECT date(at / 1000, 'unixepoch') AS day, model, count(*) AS calls, \
             sum(CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END) AS failed, sum(prompt_tokens) AS prompt_tokens, \
             sum(completion_tokens) AS completion_tokens, sum(cost_usd) AS cost_usd, sum(cost_jpy) AS cost_jpy \
             FROM upstream_calls WHERE at >= ? GROUP BY day, model ORDER BY day DESC, model",
        )
        .bind(to_ms(since))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(DailyUsage::try_from).collect()
    }
}
