//! What upstream calls take: tokens, money, time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Tokens and money. Costs are what the upstream bills, by the price table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received.
    pub completion_tokens: u64,
    /// Their sum.
    pub total_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
    /// Yuan or yen as the upstream bills it; see `llm::price`.
    pub cost_jpy: f64,
    /// Requests sent upstream, failed ones included.
    pub upstream_calls: u32,
    /// Whether some counts are estimates, since the upstream did not report them.
    #[serde(default)]
    pub estimated: bool,
    /// The same by model.
    #[serde(default)]
    pub by_model: BTreeMap<String, ModelUsage>,
}

/// One model's part of a [`Usage`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// Tokens sent.
    pub prompt_tokens: u64,
    /// Tokens received.
    pub completion_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
    /// Requests sent upstream, failed ones included.
    pub upstream_calls: u32,
}

impl Usage {
    /// Adds another call's or stage's usage to this one.
    pub fn add(&mut self, other: &Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.total_tokens += other.total_tokens;
        self.cost_usd += other.cost_usd;
        self.cost_jpy += other.cost_jpy;
        self.upstream_calls += other.upstream_calls;
        self.estimated |= other.estimated;
        for (model, part) in &other.by_model {
            let mine = self.by_model.entry(model.clone()).or_default();
            mine.prompt_tokens += part.prompt_tokens;
            mine.completion_tokens += part.completion_tokens;
            mine.cost_usd += part.cost_usd;
            mine.upstream_calls += part.upstream_calls;
        }
    }
}

/// One call upstream, as the usage figures need it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// When it ended.
    pub at: OffsetDateTime,
    /// What it was for; see `llm::Purpose`.
    pub purpose: &'static str,
    /// The model that answered, else the last one tried, else the first choice.
    pub model: String,
    /// Tokens sent, all tries.
    pub prompt_tokens: u64,
    /// Tokens received, all tries.
    pub completion_tokens: u64,
    /// Whether some of the counts are estimates.
    pub estimated: bool,
    /// US dollars.
    pub cost_usd: f64,
    /// Yen or yuan as the upstream bills it.
    pub cost_jpy: f64,
    /// From the call to its end, waits included.
    pub latency_ms: u64,
    /// Requests sent upstream.
    pub attempts: u32,
    /// `ok`, a failure's code, or `cancelled` where the caller gave it up.
    pub outcome: &'static str,
}

/// A time in whole milliseconds, as records and replies tell it.
pub fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
