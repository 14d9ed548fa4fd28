//! One call over tries and models: wait for a turn, try, judge, wait, try again or elsewhere.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::attempt::{Deltas, Try};
use super::breaker::Ticket;
use super::ledger::Meter;
use super::limit::{Permit, Place};
use super::retry::{self, Decision, Failure, StatusFailure};
use super::stats;
use super::wire::{self, Reply, Tokens};
use super::{Call, Llm, LlmError, Purpose};
use crate::tokens::estimate_tokens;

/// How long a call waits for a paused model to be probed; beyond it, failing now serves the asker better.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// One call on its way.
pub(super) struct Flight<'a> {
    /// What to ask.
    pub(super) call: &'a Call,
    /// Counts what it takes.
    pub(super) meter: &'a Meter<'a>,
    /// Streamed where there is somewhere to stream to.
    pub(super) deltas: Option<&'a mut Deltas>,
    /// Told when the first try goes out.
    pub(super) begun: Option<&'a watch::Sender<Option<Instant>>>,
    /// Most tries.
    pub(super) tries: u32,
}

/// A reply that arrived.
pub(super) struct Arrival {
    /// What came.
    pub(super) reply: Reply,
    /// Who answered.
    pub(super) model: String,
    /// How long the successful try took.
    pub(super) took: Duration,
}

/// What a try held, and how it went.
pub(super) struct Tried {
    pub(super) permit: Permit,
    pub(super) ticket: Ticket,
    pub(super) took: Duration,
    /// Whether the call's deadline ended it.
    pub(super) out_of_time: bool,
}

impl Llm {
    /// Tries until there is a reply, nothing more would help, or time is up.
    pub(super) async fn fly(&self, mut flight: Flight<'_>) -> Result<Arrival, LlmError> {
        let Flight { call, meter, begun, tries: most, .. } = flight;
        let prompt = prompt_tokens(call);
        let share = most / u32::try_from(call.models.len()).unwrap_or(u32::MAX);
        let most = most.max(u32::try_from(call.models.len()).unwrap_or(u32::MAX).min(most.saturating_mul(2)));
        let mut models = call.models.as_slice();
        let (mut tries, mut tries_here, mut probes) = (0, 0, 0);
        let mut last = None;
        loop {
            let permit = self.limiter.acquire(self.place(call, prompt)).await?;
            let (model, ticket) = match self.breakers.enter(models) {
                Ok((place, ticket)) => {
                    if place > 0 {
                        models = models.get(place..).unwrap_or_default();
                        tries_here = 0;
                    }
                    let Some(model) = models.first() else { return Err(last.unwrap_or(LlmError::Refused)) };
                    (model, ticket)
                }
                Err(probe_at) => {
                    drop(permit);
                    probes += 1;
                    let patience = call.deadline.min(Instant::now() + PROBE_PATIENCE);
                    if probe_at >= patience || probes > most {
                        let paused = || LlmError::Unavailable { reason: "it kept failing and is paused".to_owned() };
                        return Err(last.unwrap_or_else(paused));
                    }
                    tokio::time::sleep_until(probe_at).await;
                    continue;
                }
            };
            if let Some(begun) = begun {
                begun.send_if_modified(|at| at.is_none() && at.replace(permit.granted()).is_none());
            }
            (tries, tries_here) = (tries + 1, tries_here + 1);
            if tries > 1 {
                stats::count(&self.counters.retries);
                metrics::counter!("dokkai_upstream_retries_total", "model" => model.clone()).increment(1);
            }
            let (reply, failure) =
                self.try_once(call, model, prompt, tries < most, flight.deltas.as_deref_mut(), meter).await;
            let took = permit.granted().elapsed();
            let Some(failure) = failure else {
                permit.succeeded(reply.tokens.map_or(0, |tokens| tokens.prompt + tokens.completion));
                ticket.succeeded();
                return Ok(Arrival { reply, model: model.clone(), took });
            };
            let out_of_time = Instant::now() >= call.deadline;
            let decision = retry::decide(&failure, SystemTime::now());
            // Before the permit goes back, or the next call would slip through.
            if let Decision::After { wait, everyone: true } = decision {
                self.limiter.pause(wait);
            }
            self.judge(&failure, decision, Tried { permit, ticket, took, out_of_time });
            if out_of_time {
                return Err(LlmError::DeadlineExceeded);
            }
            log(&failure, decision, model, tries);
            let error = error(&failure, decision);
            let learnt = matches!(decision, Decision::Without(field) if self.dialects.learn(model, field));
            // What was streamed cannot be taken back, and must not be said twice.
            if flight.deltas.as_deref().is_some_and(|deltas| !deltas.sent().is_empty()) || tries >= most {
                return Err(error);
            }
            let wait = match decision {
                Decision::GiveUp => return Err(error),
                Decision::Without(_) if learnt => continue,
                Decision::NextModel | Decision::NextModelOrOnceMore | Decision::Without(_) if models.len() > 1 => None,
                Decision::NextModel | Decision::Without(_) => return Err(error),
                Decision::NextModelOrOnceMore if tries_here > 1 => return Err(error),
                Decision::AfterBackoff | Decision::After { .. } if models.len() > 1 && tries_here >= share.max(1) => {
                    None
                }
                Decision::AfterBackoff | Decision::NextModelOrOnceMore => {
                    Some(retry::backoff(tries + 1, self.backoff, fastrand::f64()))
                }
                Decision::After { wait, .. } if wait.is_zero() => {
                    Some(retry::backoff(tries + 1, self.backoff, fastrand::f64()))
                }
                Decision::After { wait, .. } => Some(wait),
            };
            match wait {
                None => {
                    models = models.get(1..).unwrap_or_default();
                    tries_here = 0;
                }
                Some(wait) if wait >= call.deadline.saturating_duration_since(Instant::now()) => return Err(error),
                Some(wait) => tokio::time::sleep(wait).await,
            }
            last = Some(error);
        }
    }

    /// One try; the reply is what came of it, even where it failed.
    async fn try_once(
        &self,
        call: &Call,
        model: &str,
        prompt: u32,
        again: bool,
        deltas: Option<&mut Deltas>,
        meter: &Meter<'_>,
    ) -> (Reply, Option<Failure>) {
        let body = Bytes::from(wire::request(call, model, deltas.is_some(), self.dialects.of(model)));
        meter.attempt(model);
        stats::count(&self.counters.attempts);
        let mut unanswered = Unanswered { meter, model, prompt, armed: true };
        let mut reply = Reply::default();
        let result =
            self.endpoint.attempt(Try { model, body, deadline: call.deadline, again }, deltas, &mut reply).await;
        unanswered.armed = matches!(result, Err(Failure::TimedOut(_))) && reply.text.is_empty();
        drop(unanswered);
        let label = match &result {
            Ok(()) => "ok".to_owned(),
            Err(failure) => name(failure),
        };
        metrics::counter!("dokkai_upstream_attempts_total", "model" => model.to_owned(), "outcome" => label)
            .increment(1);
        match reply.tokens {
            Some(tokens) => meter.tokens(model, tokens, false),
            None if result.is_ok() || !reply.text.is_empty() => {
                let tokens = Tokens { prompt: u64::from(prompt), completion: u64::from(estimate_tokens(&reply.text)) };
                reply.tokens = Some(tokens);
                meter.tokens(model, tokens, true);
            }
            None => {}
        }
        (reply, result.err())
    }

    /// Tells the limiter and the breaker what a failure means to them.
    pub(super) fn judge(&self, failure: &Failure, decision: Decision, tried: Tried) {
        let Tried { permit, ticket, took, out_of_time } = tried;
        match failure {
            Failure::Status(StatusFailure { status, .. }) => {
                if *status == 429 {
                    stats::count(&self.counters.rate_limited);
                }
                if retry::is_overload(*status) {
                    // A refusal that names no time may be of one overloaded machine among many.
                    let rate = matches!(decision, Decision::After { wait, .. } if !wait.is_zero());
                    permit.overloaded(*status == 429 && rate);
                }
                if *status >= 500 {
                    ticket.failed();
                }
            }
            // A deadline that left the model little time says nothing about the model.
            Failure::TimedOut(_) if out_of_time && took < self.total_timeout / 2 => {}
            Failure::Connect
            | Failure::Broken(_)
            | Failure::TimedOut(_)
            | Failure::Invalid(_)
            | Failure::Empty
            | Failure::Refused => ticket.failed(),
        }
    }

    fn place(&self, call: &Call, prompt: u32) -> Place {
        Place {
            flow: call.flow,
            background: call.purpose == Purpose::Embedding,
            // Replies are rarely as long as they may be; the real count settles it afterwards.
            tokens: prompt.saturating_add(call.max_tokens / 2),
            deadline: call.deadline,
        }
    }
}

/// Estimated tokens of the prompt, the frame of each message included.
pub(super) fn prompt_tokens(call: &Call) -> u32 {
    call.messages.iter().map(|message| estimate_tokens(&message.content).saturating_add(4)).fold(3, u32::saturating_add)
}

/// A try that was sent and whose reply nobody waited for. The upstream has read the prompt and will bill it.
struct Unanswered<'a> {
    meter: &'a Meter<'a>,
    model: &'a str,
    prompt: u32,
    armed: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.meter.tokens(self.model, Tokens { prompt: u64::from(self.prompt), completion: 0 }, true);
        }
    }
}

/// Notes a failed try.
pub(super) fn log(failure: &Failure, decision: Decision, model: &str, tries: u32) {
    let code = if let Failure::Status(StatusFailure { code: Some(code), .. }) = failure { code } else { "" };
    tracing::debug!(model, tries, failure = name(failure), code, ?decision, "an upstream try failed");
}

/// A short name for figures and logs.
pub(super) fn name(failure: &Failure) -> String {
    match failure {
        Failure::Status(failure) => failure.status.to_string(),
        Failure::Connect => "connect".to_owned(),
        Failure::Broken(_) => "broken".to_owned(),
        Failure::TimedOut(_) => "timeout".to_owned(),
        Failure::Invalid(_) => "invalid".to_owned(),
        Failure::Empty => "empty".to_owned(),
        Failure::Refused => "refused".to_owned(),
    }
}

/// What the caller is told where this failure was the last.
pub(super) fn error(failure: &Failure, decision: Decision) -> LlmError {
    let unavailable = |reason: &str| LlmError::Unavailable { reason: reason.to_owned() };
    match failure {
        Failure::Status(StatusFailure { status, too_long, .. }) => match status {
            401 | 403 => LlmError::Unauthorized { status: *status },
            402 => unavailable("the account's quota is used up"),
            429 if decision == Decision::GiveUp => unavailable("the account's quota is used up"),
            429 => LlmError::RateLimited {
                retry_after: match decision {
                    Decision::After { wait, .. } => Some(wait),
                    Decision::GiveUp
                    | Decision::NextModel
                    | Decision::NextModelOrOnceMore
                    | Decision::Without(_)
                    | Decision::AfterBackoff => None,
                },
            },
            400 | 413 | 422 | 500 if *too_long => LlmError::TooLong,
            408 | 425 | 409 | 500.. => unavailable(&format!("HTTP {status}")),
            _ => LlmError::Rejected { status: *status },
        },
        Failure::Connect => unavailable("no connection"),
        Failure::Broken(what) => unavailable(what),
        Failure::TimedOut(what) => LlmError::TimedOut(what),
        Failure::Invalid(what) => LlmError::InvalidReply(what.clone()),
        Failure::Empty | Failure::Refused => LlmError::Refused,
    }
}
