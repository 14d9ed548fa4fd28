//! Who may call upstream, and when: one queue for the process. A call gets a [`Permit`] when fewer than the current
//! limit are in flight, the requests and tokens of this minute allow it, no `Retry-After` is pending, and its turn
//! has come: flows (questions) take turns, and background calls go only when no other waits.
//!
//! The limit adapts as TCP's window does (additive increase, multiplicative decrease): overload shrinks it, success
//! widens it up to the configured maximum.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::pace::Pace;

/// What overload leaves of the limit.
const SHRINK: f64 = 0.7;

/// A pause is looked at again after this long, whatever the upstream asked for: a slip of its clock must not stop the
/// process for days.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The limits that are configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Calls in flight.
    pub(super) concurrent: usize,
    /// Requests a minute.
    pub(super) rpm: Option<u32>,
    /// Tokens a minute.
    pub(super) tpm: Option<u32>,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Limiter {
    state: Mutex<State>,
    counts_tokens: bool,
}

#[derive(Debug)]
struct State {
    maximum: f64,
    limit: f64,
    in_flight: usize,
    shrunk_at: Option<Instant>,
    paused_until: Option<Instant>,
    pace: Pace,
    foreground: Queue,
    background: Queue,
    /// When the task that looks again is due.
    timer: Option<Instant>,
}

/// Waiting calls by flow; flows take turns.
#[derive(Debug, Default)]
struct Queue {
    flows: HashMap<Uuid, VecDeque<Waiter>>,
    turns: VecDeque<Uuid>,
}

#[derive(Debug)]
struct Waiter {
    grant: oneshot::Sender<Permit>,
    tokens: u32,
    deadline: Instant,
}

/// A place in line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Whose turn it takes.
    pub(super) flow: Uuid,
    /// Whether it yields to calls that are not.
    pub(super) background: bool,
    /// Estimated tokens, sent and received; not needed where they are not counted.
    pub(super) tokens: u32,
    /// No wait goes on past it.
    pub(super) deadline: Instant,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// The deadline passed in the queue.
    Deadline,
    /// The upstream asked for a pause that ends after the deadline.
    Paused(Duration),
}

/// Leave for one try, held while it is in flight; dropping it lets the next one go.
#[derive(Debug)]
pub(super) struct Permit {
    /// None once it is given back.
    limiter: Option<Arc<Limiter>>,
    granted: Instant,
    tokens: u32,
}

impl Limiter {
    /// A queue under `limits`.
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
        let maximum = limits.concurrent.max(1) as f64;
        metrics::gauge!("dokkai_upstream_limit").set(maximum);
        Arc::new(Self {
            state: Mutex::new(State {
                maximum,
                limit: maximum,
                in_flight: 0,
                shrunk_at: None,
                paused_until: None,
                pace: Pace::new(limits.rpm, limits.tpm),
                foreground: Queue::default(),
                background: Queue::default(),
                timer: None,
            }),
            counts_tokens: limits.tpm.is_some(),
        })
    }

    /// Whether it matters how many tokens a call takes.
    pub(super) fn counts_tokens(&self) -> bool {
        self.counts_tokens
    }

    /// Waits for this call's turn. Dropping the future gives the place up.
    pub(super) async fn acquire(self: &Arc<Self>, place: Place) -> Result<Permit, NoPermit> {
        let (grant, granted) = oneshot::channel();
        {
            let now = Instant::now();
            let mut state = self.lock();
            if let Some(until) = state.paused_until
                && until > place.deadline
                && until > now
            {
                return Err(NoPermit::Paused(until - now));
            }
            let queue = if place.background { &mut state.background } else { &mut state.foreground };
            queue.push(place.flow, Waiter { grant, tokens: place.tokens, deadline: place.deadline });
            self.pump(&mut state, now);
        }
        match tokio::time::timeout_at(place.deadline, granted).await {
            Ok(Ok(permit)) => Ok(permit),
            // Put out of the queue by a pause.
            Ok(Err(_)) => {
                let until = self.lock().paused_until.unwrap_or(place.deadline);
                Err(NoPermit::Paused(until.saturating_duration_since(Instant::now())))
            }
            Err(_) => Err(NoPermit::Deadline),
        }
    }

    /// Holds every call back for `wait`, unless a longer wait is already on. Waiting
    /// calls whose deadline comes first fail at once.
    pub(super) fn pause(self: &Arc<Self>, wait: Duration) {
        let now = Instant::now();
        let mut state = self.lock();
        let until = now + wait.min(LONGEST_PAUSE);
        if state.paused_until.is_none_or(|current| current < until) {
            state.paused_until = Some(until);
            state.foreground.keep_only_after(until);
            state.background.keep_only_after(until);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every call go that may, and sees to it that somebody looks again when time alone will allow the next.
    fn pump(self: &Arc<Self>, state: &mut State, now: Instant) {
        loop {
            if state.foreground.turns.is_empty() && state.background.turns.is_empty() {
                break;
            }
            #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
            if state.in_flight as f64 + 1.0 > state.limit.max(1.0) {
                break;
            }
            let free_at = state.paused_until.unwrap_or(now).max(state.pace.free_at(now));
            if free_at > now {
                self.look_again(state, free_at);
                break;
            }
            let Some(waiter) = state.foreground.pop().or_else(|| state.background.pop()) else { break };
            let permit = Permit { limiter: Some(Arc::clone(self)), granted: now, tokens: waiter.tokens };
            match waiter.grant.send(permit) {
                Ok(()) => {
                    state.in_flight += 1;
                    state.pace.take(waiter.tokens, now);
                }
                // The call was given up just now; dropped as it is, the permit would lock the queue again.
                Err(mut permit) => permit.limiter = None,
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
        metrics::gauge!("dokkai_upstream_in_flight").set(state.in_flight as f64);
    }

    fn look_again(self: &Arc<Self>, state: &mut State, at: Instant) {
        if state.timer.is_some_and(|due| due <= at) {
            return;
        }
        state.timer = Some(at);
        let limiter = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(limiter) = limiter.upgrade() {
                let mut state = limiter.lock();
                if state.timer == Some(at) {
                    state.timer = None;
                }
                limiter.pump(&mut state, Instant::now());
            }
        });
    }
}

impl Queue {
    fn push(&mut self, flow: Uuid, waiter: Waiter) {
        let waiting = self.flows.entry(flow).or_default();
        if waiting.is_empty() {
            self.turns.push_back(flow);
        }
        waiting.push_back(waiter);
    }

    fn keep_only_after(&mut self, until: Instant) {
        for waiting in self.flows.values_mut() {
            waiting.retain(|waiter| waiter.deadline >= until);
        }
        self.flows.retain(|_, waiting| !waiting.is_empty());
        self.turns.retain(|flow| self.flows.contains_key(flow));
    }

    /// The next call that still waits.
    fn pop(&mut self) -> Option<Waiter> {
        while let Some(flow) = self.turns.pop_front() {
            let Some(waiting) = self.flows.get_mut(&flow) else { continue };
            let waiter = loop {
                match waiting.pop_front() {
                    Some(waiter) if waiter.grant.is_closed() => {}
                    next => break next,
                }
            };
            if waiting.is_empty() {
                self.flows.remove(&flow);
            } else {
                self.turns.push_back(flow);
            }
            if waiter.is_some() {
                return waiter;
            }
        }
        None
    }
}

impl Permit {
    /// When the try could begin.
    pub(super) fn granted(&self) -> Instant {
        self.granted
    }

    /// The try succeeded and took `tokens` in all.
    pub(super) fn succeeded(mut self, tokens: u64) {
        self.give_back(|state, permit| {
            state.pace.settle(permit.tokens, tokens);
            state.pace.succeeded(Instant::now());
            // Only a limit that is being used says anything by holding.
            #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
            if state.limit < state.maximum && state.in_flight as f64 + 1.0 >= state.limit / 2.0 {
                state.limit = (state.limit + 1.0 / state.limit).min(state.maximum);
                metrics::gauge!("dokkai_upstream_limit").set(state.limit.floor());
            }
        });
    }

    /// The upstream said that it has more than it can take; `refused` where this caller is the one who sent too much.
    pub(super) fn overloaded(mut self, refused: bool) {
        self.give_back(|state, permit| {
            state.pace.settle(permit.tokens, 0);
            if refused {
                state.pace.refused(permit.granted, Instant::now());
            }
            // Calls that were already out when the limit last shrank complain about the old limit.
            if state.shrunk_at.is_none_or(|at| at < permit.granted) {
                state.shrunk_at = Some(Instant::now());
                state.limit = (state.limit * SHRINK).max(1.0);
                metrics::gauge!("dokkai_upstream_limit").set(state.limit.floor());
            }
        });
    }

    fn give_back(&mut self, note: impl FnOnce(&mut State, &Self)) {
        let Some(limiter) = self.limiter.take() else { return };
        let mut state = limiter.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        note(&mut state, self);
        limiter.pump(&mut state, Instant::now());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(|_, _| {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limiter(concurrent: usize, rpm: Option<u32>, tpm: Option<u32>) -> Arc<Limiter> {
        Limiter::new(Limits { concurrent, rpm, tpm })
    }

    fn place(flow: u128, background: bool) -> Place {
        Place { flow: Uuid::from_u128(flow), background, tokens: 1000, deadline: Instant::now() + MINUTE }
    }

    /// Queues one call for each of `places` while the only permit is taken; the order in which they are let go.
    async fn order(places: &[(u128, bool)]) -> Vec<u128> {
        let limiter = limiter(1, None, None);
        let first = limiter.acquire(place(0, false)).await.unwrap();
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        for &(flow, background) in places {
            let (limiter, done) = (Arc::clone(&limiter), done.clone());
            tokio::spawn(async move {
                let _permit = limiter.acquire(place(flow, background)).await.unwrap();
                done.send(flow).unwrap();
            });
            tokio::task::yield_now().await;
        }
        drop((first, done));
        let mut flows = Vec::new();
        while let Some(flow) = order.recv().await {
            flows.push(flow);
        }
        flows
    }

    #[tokio::test(start_paused = true)]
    async fn flows_take_turns_and_background_yields() {
        assert_eq!(order(&[(1, false), (1, false), (1, false), (2, false), (3, false)]).await, [1, 2, 3, 1, 1]);
        assert_eq!(order(&[(9, true), (9, true), (1, false), (2, false)]).await, [1, 2, 9, 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_given_up_in_the_queue_takes_no_turn() {
        let limiter = limiter(1, None, None);
        let held = limiter.acquire(place(1, false)).await.unwrap();
        let mut short = place(1, false);
        short.deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(limiter.acquire(short).await.unwrap_err(), NoPermit::Deadline);
        drop(held);
        limiter.acquire(place(1, false)).await.unwrap();
        assert_eq!(limiter.lock().in_flight, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_holds_every_call() {
        let limiter = limiter(10, None, None);
        let start = Instant::now();
        limiter.pause(Duration::from_secs(3));
        limiter.pause(Duration::from_secs(1));
        let (a, b) = tokio::join!(limiter.acquire(place(1, false)), limiter.acquire(place(2, false)));
        assert!(a.unwrap().granted() >= start + Duration::from_secs(3));
        assert!(b.unwrap().granted() >= start + Duration::from_secs(3));
        limiter.pause(2 * MINUTE);
        assert_eq!(limiter.acquire(place(1, false)).await.unwrap_err(), NoPermit::Paused(2 * MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_s_requests_are_spread_over_the_minute() {
        let limiter = limiter(50, Some(60), None);
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(limiter.acquire(place(1, false)).await.unwrap().granted() - start);
        }
        for (n, time) in (0u32..).zip(&times) {
            let due = Duration::from_secs(1) * n;
            assert!(
                *time >= due.saturating_sub(Duration::from_millis(100)) && *time < due + Duration::from_millis(5),
                "{times:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_settled_when_the_reply_says_what_it_took() {
        let limiter = limiter(50, None, Some(60_000));
        let start = Instant::now();
        let next = async |start: Instant| {
            let permit = limiter.acquire(place(1, false)).await.unwrap();
            (permit.granted() - start, permit)
        };
        let (_, first) = next(start).await;
        let (waited, second) = next(start).await;
        assert!(waited.as_millis().abs_diff(900) <= 10, "1,000 tokens at 1,000 a second, less the slack: {waited:?}");
        first.succeeded(1000);
        second.succeeded(10);
        let (waited, _permit) = next(start).await;
        assert!(waited < Duration::from_millis(1000), "the estimate was given back: {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn overload_shrinks_the_limit_once_a_round_and_success_widens_it() {
        let limiter = limiter(10, None, None);
        let mut permits = Vec::new();
        for _ in 0..3 {
            permits.push(limiter.acquire(place(1, false)).await.unwrap());
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        for permit in permits {
            permit.overloaded(false);
        }
        assert!((limiter.lock().limit - 7.0).abs() < 1e-9);
        tokio::time::advance(MINUTE).await;
        for _ in 0..200 {
            let mut round = Vec::new();
            for _ in 0..7 {
                round.push(limiter.acquire(place(1, false)).await.unwrap());
            }
            for permit in round {
                permit.succeeded(1);
            }
        }
        assert!((limiter.lock().limit - 10.0).abs() < 1e-9);
    }
}
