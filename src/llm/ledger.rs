//! What calls took: one [`CallRecord`] for every call, whether it succeeded, failed or was given up by its caller.

use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::price::Prices;
use super::wire::Tokens;
use super::{LlmError, Purpose, Spent};
use crate::model::{CallRecord, ModelUsage, Usage, whole_ms};

/// What goes to whoever keeps the ledger.
#[derive(Debug)]
pub enum LedgerEntry {
    /// A call that has ended.
    Call(CallRecord),
    /// To be answered once all calls before it are kept.
    Ask(oneshot::Sender<()>),
}

/// Counts one call while it goes on. Dropped before [`Meter::close`], it records the call as cancelled.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    ledger: &'a mpsc::UnboundedSender<LedgerEntry>,
    prices: &'a Prices,
    purpose: Purpose,
    started: Instant,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    model: String,
    usage: Usage,
    closed: bool,
}

impl<'a> Meter<'a> {
    /// Starts counting a call whose first choice is `model`.
    pub(super) fn open(
        ledger: &'a mpsc::UnboundedSender<LedgerEntry>,
        prices: &'a Prices,
        purpose: Purpose,
        model: &str,
    ) -> Self {
        let running = Running { model: model.to_owned(), usage: Usage::default(), closed: false };
        Self { ledger, prices, purpose, started: Instant::now(), running: Mutex::new(running) }
    }

    /// A request to `model` goes out.
    pub(super) fn attempt(&self, model: &str) {
        let mut running = self.lock();
        running.model = model.to_owned();
        running.usage.upstream_calls += 1;
        running.usage.by_model.entry(model.to_owned()).or_default().upstream_calls += 1;
    }

    /// A try took so many tokens.
    pub(super) fn tokens(&self, model: &str, tokens: Tokens, estimated: bool) {
        let cost = self.prices.cost(model, tokens.prompt, tokens.completion);
        for (count, direction) in [(tokens.prompt, "prompt"), (tokens.completion, "completion")] {
            metrics::counter!("dokkai_upstream_tokens_total", "model" => model.to_owned(), "direction" => direction)
                .increment(count);
        }
        // A gauge since counters hold whole numbers; it only ever grows.
        metrics::gauge!("dokkai_upstream_cost_usd_total", "model" => model.to_owned()).increment(cost.usd);
        let part = ModelUsage {
            prompt_tokens: tokens.prompt,
            completion_tokens: tokens.completion,
            cost_usd: cost.usd,
            upstream_calls: 0,
        };
        self.lock().usage.add(&Usage {
            prompt_tokens: tokens.prompt,
            completion_tokens: tokens.completion,
            total_tokens: tokens.prompt + tokens.completion,
            cost_usd: cost.usd,
            cost_jpy: cost.jpy,
            upstream_calls: 0,
            estimated,
            by_model: [(model.to_owned(), part)].into(),
        });
    }

    /// The call answered by `model` is over.
    pub(super) fn succeeded(self, model: &str) -> Spent {
        model.clone_into(&mut self.lock().model);
        self.close("ok")
    }

    /// The call failed for good.
    pub(super) fn failed(self, error: &LlmError) -> Spent {
        self.close(error.code().as_str())
    }

    fn close(&self, outcome: &'static str) -> Spent {
        let latency = self.started.elapsed();
        let mut running = self.lock();
        running.closed = true;
        let usage = &running.usage;
        let model = running.model.clone();
        metrics::counter!("dokkai_upstream_calls_total", "model" => model.clone(), "outcome" => outcome).increment(1);
        metrics::histogram!("dokkai_upstream_latency_seconds", "model" => model.clone()).record(latency.as_secs_f64());
        let record = CallRecord {
            at: OffsetDateTime::now_utc(),
            purpose: self.purpose.as_str(),
            model,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            estimated: usage.estimated,
            cost_usd: usage.cost_usd,
            cost_jpy: usage.cost_jpy,
            latency_ms: whole_ms(latency),
            attempts: usage.upstream_calls,
            outcome,
        };
        // Nobody keeps the ledger: the call is as good as before.
        let _ = self.ledger.send(LedgerEntry::Call(record));
        Spent { attempts: usage.upstream_calls, latency, usage: usage.clone(), repairs: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if !self.lock().closed {
            self.close("cancelled");
        }
    }
}
