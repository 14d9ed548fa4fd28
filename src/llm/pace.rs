//! How fast calls may start: requests and tokens a minute, spread evenly (60 a minute is one a second, not 60 at once
//! and then silence). The rule is GCRA (ITU-T I.371): each start moves a theoretical time forward by its share of the
//! minute, and the next start waits for that time.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// How far a start may run ahead, so that timers that fire late do not cost throughput.
const SLACK: Duration = Duration::from_millis(100);

/// Both rates.
#[derive(Debug)]
pub(super) struct Pace {
    requests: Option<Rate>,
    tokens: Option<Rate>,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_unit: Duration,
    /// When the units taken so far are paid for.
    paid_at: Option<Instant>,
}

impl Pace {
    /// The configured rates; none for no bound.
    pub(super) fn new(rpm: Option<u32>, tpm: Option<u32>) -> Self {
        Self { requests: rpm.map(Rate::per_minute), tokens: tpm.map(Rate::per_minute) }
    }

    /// When the next call may start; `now` or earlier if at once.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        [self.requests, self.tokens].into_iter().flatten().filter_map(|rate| rate.free_at()).max().unwrap_or(now)
    }

    /// A call of about `tokens` starts.
    pub(super) fn take(&mut self, tokens: u32, now: Instant) {
        if let Some(rate) = &mut self.requests {
            rate.take(1, now);
        }
        if let Some(rate) = &mut self.tokens {
            rate.take(tokens, now);
        }
    }

    /// A call that was taken for `estimated` tokens took `real` ones.
    pub(super) fn settle(&mut self, estimated: u32, real: u64) {
        if let Some(rate) = &mut self.tokens {
            rate.settle(estimated, real);
        }
    }

    /// The upstream refused a call for coming too early.
    pub(super) fn overloaded(&mut self, _now: Instant) {}
}

impl Rate {
    fn per_minute(units: u32) -> Self {
        Self { per_unit: MINUTE / units.max(1), paid_at: None }
    }

    fn free_at(&self) -> Option<Instant> {
        self.paid_at.and_then(|at| at.checked_sub(SLACK))
    }

    fn take(&mut self, units: u32, now: Instant) {
        self.paid_at = Some(self.paid_at.map_or(now, |at| at.max(now)) + self.per_unit * units);
    }

    fn settle(&mut self, estimated: u32, real: u64) {
        let real = u32::try_from(real).unwrap_or(u32::MAX);
        if let Some(at) = self.paid_at {
            self.paid_at = if real > estimated {
                Some(at + self.per_unit * (real - estimated))
            } else {
                at.checked_sub(self.per_unit * (estimated - real))
            };
        }
    }
}
