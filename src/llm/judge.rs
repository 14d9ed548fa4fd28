//! What follows from a try: what is counted, and what a failure means to the limiter, the breaker and the caller.

use std::time::SystemTime;

use tokio::time::Instant;

use super::breaker::Ticket;
use super::ledger::Meter;
use super::limit::Permit;
use super::retry::{self, Decision, Failure, StatusFailure};
use super::{Llm, LlmError, stats};

/// A try that failed, and what it held.
pub(super) struct Tried<'a> {
    pub(super) permit: Permit,
    pub(super) ticket: Ticket,
    pub(super) model: &'a str,
    /// Tries of the call so far, this one included.
    pub(super) tries: u32,
    /// The call's.
    pub(super) deadline: Instant,
}

impl Llm {
    /// Counts a try that goes out, the `tries`th of its call.
    pub(super) fn count_try(&self, meter: &Meter<'_>, model: &str, tries: u32) {
        if tries > 1 {
            stats::count(&self.counters.retries);
            metrics::counter!("dokkai_upstream_retries_total", "model" => model.to_owned()).increment(1);
        }
        meter.attempt(model);
        stats::count(&self.counters.attempts);
    }

    /// Tells the limiter and the breaker what a failure means to them; what to do next, and what the caller is told
    /// where nothing is.
    ///
    /// # Errors
    /// [`LlmError::DeadlineExceeded`] where the call's time is up.
    pub(super) fn judge(&self, failure: &Failure, tried: Tried<'_>) -> Result<(Decision, LlmError), LlmError> {
        let Tried { permit, ticket, model, tries, deadline } = tried;
        let took = permit.granted().elapsed();
        let out_of_time = Instant::now() >= deadline;
        let decision = retry::decide(failure, SystemTime::now());
        // Before the permit goes back, or the next call would slip through.
        if let Decision::After { wait, everyone: true } = decision {
            self.limiter.pause(wait);
        }
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
            Failure::TimedOut(_) | Failure::TooSlow if out_of_time && took < self.total_timeout / 2 => {}
            Failure::Connect
            | Failure::Broken(_)
            | Failure::TimedOut(_)
            | Failure::TooSlow
            | Failure::Invalid(_)
            | Failure::Empty
            | Failure::Refused => ticket.failed(),
        }
        if out_of_time {
            return Err(LlmError::DeadlineExceeded);
        }
        let code = if let Failure::Status(StatusFailure { code: Some(code), .. }) = failure { code } else { "" };
        tracing::debug!(model, tries, failure = name(failure), code, ?decision, "an upstream try failed");
        Ok((decision, error(failure, decision)))
    }
}

/// Counts how a try went.
pub(super) fn count_outcome(model: &str, failure: Option<&Failure>) {
    let outcome = failure.map_or_else(|| "ok".to_owned(), name);
    metrics::counter!("dokkai_upstream_attempts_total", "model" => model.to_owned(), "outcome" => outcome).increment(1);
}

/// A short name for figures and logs.
fn name(failure: &Failure) -> String {
    match failure {
        Failure::Status(failure) => failure.status.to_string(),
        Failure::Connect => "connect".to_owned(),
        Failure::Broken(_) => "broken".to_owned(),
        Failure::TimedOut(_) | Failure::TooSlow => "timeout".to_owned(),
        Failure::Invalid(_) => "invalid".to_owned(),
        Failure::Empty => "empty".to_owned(),
        Failure::Refused => "refused".to_owned(),
    }
}

/// What the caller is told where this failure was the last.
fn error(failure: &Failure, decision: Decision) -> LlmError {
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
        Failure::TooSlow => LlmError::TimedOut("no complete reply in time"),
        Failure::Invalid(what) => LlmError::InvalidReply(what.clone()),
        Failure::Empty | Failure::Refused => LlmError::Refused,
    }
}
