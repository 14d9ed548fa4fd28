//! Upstream calls in SQLite.

use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder, Sqlite};
use time::OffsetDateTime;

use super::{SqliteStore, from_i64, to_i64, to_ms};
use crate::store::{DailyUsage, StoreError, StoredCall, UsageStore};

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
    async fn keep_calls(&self, calls: &[StoredCall]) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO upstream_calls (at, purpose, model, prompt_tokens, completion_tokens, estimated, cost_usd, \
             cost_jpy, latency_ms, attempts, outcome) ",
        );
        query.push_values(calls, |mut row, call| {
            row.push_bind(to_ms(call.at))
                .push_bind(call.purpose.clone())
                .push_bind(call.model.clone())
                .push_bind(to_i64(call.prompt_tokens))
                .push_bind(to_i64(call.completion_tokens))
                .push_bind(call.estimated)
                .push_bind(call.cost_usd)
                .push_bind(call.cost_jpy)
                .push_bind(to_i64(call.latency_ms))
                .push_bind(i64::from(call.attempts))
                .push_bind(call.outcome.clone());
        });
        self.writer
            .write_loose(move |tx| {
                Box::pin(async move {
                    query.build().execute(tx).await?;
                    Ok(())
                })
            })
            .await
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
