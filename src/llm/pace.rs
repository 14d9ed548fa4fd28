//! How fast calls may start: requests and tokens a minute, spread evenly (60 a minute is one a second, not 60 at once
//! and then silence). The rule is GCRA (ITU-T I.371): each start moves a theoretical time forward by its share of the
//! minute, and the next start waits for that time.
//!
//! Where the upstream's rate is not configured, its refusals (429 with a time to wait) teach it: the rate becomes a
//! little less than what got through lately, and grows again until the next refusal; fast after the first one, which
//! may have been chance, slowly after further ones, and fast again when they are long past.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// How far a start may run ahead, so that timers that fire late do not cost throughput.
const SLACK: Duration = Duration::from_millis(100);

/// What counts as lately.
const WINDOW: Duration = Duration::from_secs(5);
/// Fewer successes than these say nothing about a rate.
const ENOUGH: usize = 5;
/// More than these need not be remembered.
const PLENTY: usize = 4096;
/// What a refusal leaves of the rate that got through.
const CAUTION: f64 = 0.9;
/// Growth a second while a confirming refusal is near, and else.
const SLOW_GROWTH: f64 = 1.0075;
const FAST_GROWTH: f64 = 1.2;
const NEAR: f64 = 60.0;
/// A learnt rate that has grown past this many a second no longer matters.
const FORGOTTEN: f64 = 2000.0;

/// All rates.
#[derive(Debug)]
pub(super) struct Pace {
    requests: Option<Rate>,
    tokens: Option<Rate>,
    learnt: Option<Learnt>,
    /// When the last calls succeeded.
    successes: VecDeque<Instant>,
}

/// What refusals taught.
#[derive(Clone, Copy, Debug)]
struct Learnt {
    rate: Rate,
    /// As it was after the last refusal.
    per_second: f64,
    refused_at: Instant,
    /// Whether more than one refusal taught it.
    confirmed: bool,
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
        Self {
            requests: rpm.map(Rate::per_minute),
            tokens: tpm.map(Rate::per_minute),
            learnt: None,
            successes: VecDeque::new(),
        }
    }

    /// When the next call may start; `now` or earlier if at once.
    pub(super) fn free_at(&self, now: Instant) -> Instant {
        let learnt = self.learnt.map(|learnt| learnt.rate);
        [self.requests, self.tokens, learnt]
            .into_iter()
            .flatten()
            .filter_map(|rate| rate.free_at())
            .max()
            .unwrap_or(now)
    }

    /// A call of about `tokens` starts.
    pub(super) fn take(&mut self, tokens: u32, now: Instant) {
        if let Some(rate) = &mut self.requests {
            rate.take(1, now);
        }
        if let Some(rate) = &mut self.tokens {
            rate.take(tokens, now);
        }
        if let Some(learnt) = &mut self.learnt {
            let per_second = learnt.per_second(now);
            if per_second > FORGOTTEN {
                self.learnt = None;
            } else {
                learnt.rate.per_unit = Duration::from_secs_f64(1.0 / per_second);
                learnt.rate.take(1, now);
            }
        }
    }

    /// A call that was taken for `estimated` tokens took `real` ones.
    pub(super) fn settle(&mut self, estimated: u32, real: u64) {
        if let Some(rate) = &mut self.tokens {
            rate.settle(estimated, real);
        }
    }

    /// A call got through.
    pub(super) fn succeeded(&mut self, now: Instant) {
        if self.successes.len() == PLENTY {
            self.successes.pop_front();
        }
        self.successes.push_back(now);
        self.forget(now);
    }

    /// A call that went out at `sent` was refused for coming too early.
    pub(super) fn refused(&mut self, sent: Instant, now: Instant) {
        // Calls that were already out at the last refusal complain about the old rate.
        if self.learnt.is_some_and(|learnt| sent <= learnt.refused_at) {
            return;
        }
        self.forget(now);
        let Some(first) = self.successes.front().filter(|_| self.successes.len() >= ENOUGH) else { return };
        // At least a second, or a burst would look like a rate.
        let span = (now - *first).as_secs_f64().max(1.0);
        #[expect(clippy::cast_precision_loss, reason = "at most PLENTY")]
        let got_through = self.successes.len() as f64 / span;
        let per_second = self.learnt.map_or(f64::INFINITY, |learnt| learnt.per_second(now)).min(got_through) * CAUTION;
        let paid_at = self.learnt.and_then(|learnt| learnt.rate.paid_at);
        let rate = Rate { per_unit: Duration::from_secs_f64(1.0 / per_second), paid_at };
        self.learnt = Some(Learnt { rate, per_second, refused_at: now, confirmed: self.learnt.is_some() });
    }

    fn forget(&mut self, now: Instant) {
        while self.successes.front().is_some_and(|at| now.saturating_duration_since(*at) > WINDOW) {
            self.successes.pop_front();
        }
    }
}

impl Learnt {
    fn per_second(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.refused_at).as_secs_f64();
        let slow = if self.confirmed { since.min(NEAR) } else { 0.0 };
        self.per_second * SLOW_GROWTH.powf(slow) * FAST_GROWTH.powf(since - slow)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives a pace against an upstream that lets so many through a second and refuses the rest; what got through
    /// and what was refused in the last ten of `seconds`.
    fn drive(mut pace: Pace, upstream: f64, seconds: u64) -> (u32, u32) {
        let start = Instant::now();
        let (mut bucket, mut ok, mut refused) = (upstream, 0, 0);
        let mut paused_until = start;
        for tick in 0..seconds * 1000 {
            let now = start + Duration::from_millis(tick);
            bucket = (bucket + upstream / 1000.0).min(upstream);
            if now < paused_until || pace.free_at(now) > now {
                continue;
            }
            pace.take(1, now);
            let counts = u32::from(tick >= (seconds - 10) * 1000);
            if bucket >= 1.0 {
                bucket -= 1.0;
                ok += counts;
                pace.succeeded(now);
            } else {
                refused += counts;
                pace.refused(now, now);
                paused_until = now + Duration::from_secs(1);
            }
        }
        (ok, refused)
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_teach_the_rate() {
        for per_second in [2.0, 10.0, 100.0] {
            let (ok, refused) = drive(Pace::new(None, None), per_second, 60);
            let used = f64::from(ok) / (per_second * 10.0);
            assert!(used > 0.85, "{per_second} a second: {used} of the allowed calls");
            assert!(refused <= 2, "{per_second} a second: {refused} refusals");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_learnt_rate_is_forgotten_in_time_and_never_slows_an_idle_client() {
        let mut pace = Pace::new(None, None);
        let start = Instant::now();
        pace.refused(start, start);
        assert!(pace.learnt.is_none(), "one refusal says nothing about a rate");
        for _ in 0..10 {
            pace.succeeded(start);
        }
        pace.refused(start, start);
        let later = start + Duration::from_secs(240);
        pace.take(1, later);
        assert!(pace.learnt.is_none());
    }
}
