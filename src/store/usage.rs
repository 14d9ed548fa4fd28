//! Every upstream call, and the usage figures made from them.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;
use crate::model::CallRecord;

/// Calls, tokens and cost of one model on one day (UTC).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DailyUsage {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// The model.
    pub model: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received.
    pub completion_tokens: u64,
    /// What the upstream bills.
    pub cost_usd: f64,
    /// The same in yen.
    pub cost_jpy: f64,
}

/// Upstream calls, kept for the usage figures.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Keeps calls for the usage figures.
    async fn keep_calls(&self, calls: &[CallRecord]) -> Result<(), StoreError>;

    /// Calls, tokens and cost since a time, by day and model, newest first.
    async fn usage_since(&self, since: OffsetDateTime) -> Result<Vec<DailyUsage>, StoreError>;
}
