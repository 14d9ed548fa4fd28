//! One call over tries and models: wait for a turn, try, judge, wait, try again or elsewhere.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::attempt::{Deltas, Try};
use super::judge::{Tried, count_outcome};
use super::ledger::Meter;
use super::limit::Place;
use super::retry::{self, Decision, Failure};
use super::wire::{self, Reply, Tokens};
use super::{Call, Llm, LlmError, Purpose};
use crate::tokens::estimate_tokens;

/// How long a call waits for a paused model to be probed; beyond it, failing now serves the asker better.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// One call on its way.
pub(super) struct Flight<'a, 'd> {
    /// What to ask.
    pub(super) call: &'a Call,
    /// Counts what it takes.
    pub(super) meter: &'a Meter<'a>,
    /// Streamed where there is somewhere to stream to.
    pub(super) deltas: Option<&'a mut Deltas<'d>>,
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

impl Llm {
    /// Tries until there is a reply, nothing more would help, or time is up.
    pub(super) async fn fly(&self, mut flight: Flight<'_, '_>) -> Result<Arrival, LlmError> {
        let Flight { call, meter, begun, tries: most, .. } = flight;
        let prompt = Prompt { call, tokens: OnceLock::new() };
        let share = most / u32::try_from(call.models.len()).unwrap_or(u32::MAX);
        let most = most.max(u32::try_from(call.models.len()).unwrap_or(u32::MAX).min(most.saturating_mul(2)));
        let mut models = call.models.as_slice();
        let (mut tries, mut tries_here, mut probes) = (0, 0, 0);
        let mut last = None;
        loop {
            let permit = self.limiter.acquire(self.place(&prompt)).await?;
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
            (tries, tries_here) = (tries + 1, tries_here + 1);
            let dialect = self.dialects.of(model);
            let body = Bytes::from(wire::request(call, model, flight.deltas.is_some(), dialect));
            if let Some(gate) = &call.gate
                && !timeout_at(call.deadline, gate.passed()).await.unwrap_or(false)
            {
                // Or it is shut: then whoever wanted the call has broken it off.
                return Err(LlmError::DeadlineExceeded);
            }
            if let Some(begun) = begun {
                begun.send_if_modified(|at| at.is_none() && at.replace(permit.granted()).is_none());
            }
            let attempt = Try { model, body, deadline: call.deadline, again: tries < most };
            let (reply, failure) = self.try_once(attempt, &prompt, tries, flight.deltas.as_deref_mut(), meter).await;
            let took = permit.granted().elapsed();
            let Some(failure) = failure else {
                permit.succeeded(reply.tokens.map_or(0, |tokens| tokens.prompt + tokens.completion));
                ticket.succeeded();
                return Ok(Arrival { reply, model: model.clone(), took });
            };
            let tried = Tried { permit, ticket, model, tries, deadline: call.deadline };
            let (decision, error) = self.judge(&failure, tried)?;
            if matches!(decision, Decision::Without(field) if self.dialects.learn(model, field, dialect)) {
                // Each field can be refused once: a question of form, not one of the tries.
                (tries, tries_here) = (tries - 1, tries_here - 1);
                continue;
            }
            // What was streamed cannot be taken back, and must not be said twice.
            if flight.deltas.as_deref().is_some_and(|deltas| !deltas.sent().is_empty()) || tries >= most {
                return Err(error);
            }
            let wait = match decision {
                Decision::GiveUp => return Err(error),
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
        attempt: Try<'_>,
        prompt: &Prompt<'_>,
        tries: u32,
        deltas: Option<&mut Deltas<'_>>,
        meter: &Meter<'_>,
    ) -> (Reply, Option<Failure>) {
        let model = attempt.model;
        self.count_try(meter, model, tries);
        let mut unanswered = Unanswered { meter, model, prompt, armed: true };
        let mut reply = Reply::default();
        let result = self.endpoint.attempt(attempt, deltas, &mut reply).await;
        unanswered.armed = matches!(result, Err(Failure::TimedOut(_) | Failure::TooSlow)) && reply.text.is_empty();
        drop(unanswered);
        count_outcome(model, result.as_ref().err());
        match reply.tokens {
            Some(tokens) => meter.tokens(model, tokens, false),
            None if result.is_ok() || !reply.text.is_empty() => {
                let tokens =
                    Tokens { prompt: u64::from(prompt.tokens()), completion: u64::from(estimate_tokens(&reply.text)) };
                reply.tokens = Some(tokens);
                meter.tokens(model, tokens, true);
            }
            None => {}
        }
        (reply, result.err())
    }

    fn place(&self, prompt: &Prompt<'_>) -> Place {
        let call = prompt.call;
        // Replies are rarely as long as they may be; the real count settles it afterwards.
        let tokens = || prompt.tokens().saturating_add(call.max_tokens / 2);
        Place {
            flow: call.flow,
            background: call.purpose == Purpose::Embedding,
            tokens: if self.limiter.counts_tokens() { tokens() } else { 0 },
            deadline: call.deadline,
        }
    }
}

/// A prompt and its size, which takes a walk through all of its text: counted once, where something asks for it.
struct Prompt<'a> {
    call: &'a Call,
    tokens: OnceLock<u32>,
}

impl Prompt<'_> {
    fn tokens(&self) -> u32 {
        *self.tokens.get_or_init(|| prompt_tokens(self.call))
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
    prompt: &'a Prompt<'a>,
    armed: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.meter.tokens(self.model, Tokens { prompt: u64::from(self.prompt.tokens()), completion: 0 }, true);
        }
    }
}
