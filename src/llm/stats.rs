//! Plain counts since the start, for reports; the metrics exporter has the same by model.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an [`Llm`](super::Llm) did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Requests sent.
    pub attempts: u64,
    /// Those of them that repeated an earlier one.
    pub retries: u64,
    /// Answers with status 429.
    pub rate_limited: u64,
    /// Second attempts for stragglers.
    pub hedges: u64,
    /// Connections opened, or tried to.
    pub connections: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) attempts: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) rate_limited: AtomicU64,
    pub(super) hedges: AtomicU64,
    pub(super) connections: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            attempts: read(&self.attempts),
            retries: read(&self.retries),
            rate_limited: read(&self.rate_limited),
            hedges: read(&self.hedges),
            connections: read(&self.connections),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
