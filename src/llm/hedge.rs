//! A second attempt for a straggler. The analyses of one question share a [`HedgeGroup`]: once most are in, a call that
//! takes clearly longer than they did is made again beside itself, and the first reply counts. A process-wide budget
//! bounds such calls to a few in a hundred, so that a slow upstream is not slowed further; a part of it is left for those
//! that probably hang.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What every call adds to the budget; a hedge costs 1.
const EARNED: f64 = 0.05;
/// Below this a call is not worth a second attempt, however quick its neighbours were.
const LEAST: Duration = Duration::from_millis(50);
/// What the budget starts with, so that the first questions after a start are covered too.
const START: f64 = 3.0;
/// What is left of it for calls that probably hang: those that are only slow must not use it up.
const RESERVE: f64 = 2.0;
/// A call that takes so many times the median probably hangs.
const HANGS: u32 = 2;
/// What the budget can hold.
const MOST: f64 = 10.0;

/// How late a call is beside its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// Later than random spread explains.
    Slow,
    /// Probably for ever.
    Hangs,
}

/// Calls that do the same kind of work at the same time.
#[derive(Debug)]
pub struct HedgeGroup {
    expected: usize,
    done: Mutex<Done>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Done {
    settled: usize,
    took: Vec<Duration>,
}

impl HedgeGroup {
    /// A group of `expected` calls.
    pub fn new(expected: usize) -> Arc<Self> {
        Arc::new(Self { expected, done: Mutex::default(), changed: Notify::new() })
    }

    /// A member needs no call after all: its result was cached, or there is no time or money for it.
    pub fn skip(&self) {
        self.settle(None);
    }

    /// A member's call is over; `took` where it succeeded, waits for a permit not counted.
    pub(super) fn settle(&self, took: Option<Duration>) {
        let mut done = self.lock();
        done.settled += 1;
        done.took.extend(took);
        drop(done);
        self.changed.notify_waiters();
    }

    /// Waits until the call that began at `begun` is so late: never, unless most of the group comes in.
    pub(super) async fn straggles(&self, mut begun: watch::Receiver<Option<Instant>>, late: Late) {
        let begun = match begun.wait_for(Option::is_some).await.map(|at| *at) {
            Ok(Some(at)) => at,
            Ok(None) | Err(_) => return std::future::pending().await,
        };
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let bound = self.bound(late);
            match bound {
                Some(bound) => tokio::select! {
                    () = tokio::time::sleep_until(begun + bound) => return,
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// How long a call may take before it is so late, once most are in.
    fn bound(&self, late: Late) -> Option<Duration> {
        let done = self.lock();
        let most = (self.expected * 2).div_ceil(3);
        (done.settled >= most).then(|| bound(&done.took, late)).flatten().map(|bound| bound.max(LEAST))
    }

    fn lock(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A multiple of the median: 1.1 where calls take all the same time, up to 3 the more they differ (by four median
/// absolute deviations, which random spread of one kind rarely exceeds). Needs three calls to speak of a median.
fn bound(took: &[Duration], late: Late) -> Option<Duration> {
    if took.len() < 3 {
        return None;
    }
    let middle = median(took.iter().copied());
    let spread = median(took.iter().map(|one| one.abs_diff(middle)));
    let slow = (middle + spread * 4).clamp(middle.mul_f64(1.1), middle * 3);
    Some(match late {
        Late::Slow => slow,
        Late::Hangs => slow.max(middle * HANGS),
    })
}

fn median(values: impl Iterator<Item = Duration>) -> Duration {
    let mut values: Vec<Duration> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The process's budget of second attempts.
#[derive(Debug)]
pub(super) struct Budget(Mutex<f64>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(START))
    }
}

impl Budget {
    /// A call is made.
    pub(super) fn earn(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + EARNED).min(MOST);
    }

    /// Whether a second attempt may start beside a call that is so late; it is paid for if so.
    pub(super) fn spend(&self, late: Late) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *left >= if late == Late::Slow { 1.0 + RESERVE } else { 1.0 };
        if enough {
            *left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_bound_widens_with_the_spread() {
        let check = |tenths: &[u32], slow: Option<u32>, hangs: Option<u32>| {
            let took: Vec<Duration> = tenths.iter().map(|t| SECOND / 10 * *t).collect();
            for (late, expected) in [(Late::Slow, slow), (Late::Hangs, hangs)] {
                assert_eq!(bound(&took, late), expected.map(|t| SECOND / 10 * t), "{tenths:?} {late:?}");
            }
        };
        check(&[], None, None);
        check(&[10, 10], None, None);
        check(&[10, 10, 10], Some(11), Some(20));
        check(&[10, 10, 10, 500], Some(11), Some(20));
        check(&[8, 9, 10, 11, 12], Some(14), Some(20));
        check(&[1, 5, 10, 20, 40], Some(30), Some(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_straggles_only_when_most_are_in() {
        let group = HedgeGroup::new(6);
        let start = Instant::now();
        let (begun, seen) = watch::channel(Some(start));
        let watching = tokio::spawn({
            let group = Arc::clone(&group);
            async move {
                group.straggles(seen, Late::Slow).await;
                start.elapsed()
            }
        });
        for _ in 0..3 {
            group.settle(Some(SECOND));
        }
        tokio::time::sleep(10 * SECOND).await;
        assert!(!watching.is_finished(), "three of six are not most");
        group.skip();
        assert!(watching.await.unwrap() >= 10 * SECOND);
        drop(begun);
    }

    #[test]
    fn the_budget_bounds_second_attempts() {
        let budget = Budget::default();
        let mut hedges = 0;
        for _ in 0..1000 {
            budget.earn();
            hedges += u32::from(budget.spend(Late::Slow));
        }
        assert!((45..=55).contains(&hedges), "{hedges}");
        // However many were slow, one that hangs is tried again.
        assert!(budget.spend(Late::Hangs) && budget.spend(Late::Hangs));
        assert!(!budget.spend(Late::Hangs));
    }

    #[test]
    fn a_call_hangs_later_than_it_is_slow() {
        let group = HedgeGroup::new(4);
        (0..3).for_each(|_| group.settle(Some(SECOND)));
        assert_eq!((group.bound(Late::Slow), group.bound(Late::Hangs)), (Some(SECOND * 11 / 10), Some(SECOND * 2)));
    }
}
