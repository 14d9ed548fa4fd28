//! What to do after a failed try, as a value: one pure function from the failure to the decision.

use std::time::{Duration, SystemTime};

use super::dialect::Field;

/// The longest upper bound of a backoff.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How one try failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    /// The upstream answered with another status than 2xx, or with an error object that means as much.
    Status(StatusFailure),
    /// No connection: refused, unresolvable, no TLS.
    Connect,
    /// The connection broke before or within the reply; what broke, for people.
    Broken(&'static str),
    /// The attempt was given up at a sign that its reply would not come; at which, for people.
    TimedOut(&'static str),
    /// The attempt's whole time was up before its reply was complete.
    TooSlow,
    /// The reply is not what the protocol says; what is wrong, for people.
    Invalid(String),
    /// A proper reply that says nothing.
    Empty,
    /// The model declined.
    Refused,
}

/// What a failed status says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StatusFailure {
    /// HTTP status.
    pub(super) status: u16,
    /// Every `Retry-After` value as it came.
    pub(super) retry_after: Vec<String>,
    /// `retry-after-ms`, which some upstreams send beside it.
    pub(super) retry_after_ms: Option<u64>,
    /// `x-should-retry`, where the upstream says so itself.
    pub(super) should_retry: Option<bool>,
    /// `error.code` or `error.type` of the body.
    pub(super) code: Option<String>,
    /// Whether the body complains that the prompt is longer than the model can read.
    pub(super) too_long: bool,
    /// The optional field that the body complains of.
    pub(super) refused_field: Option<Field>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing would help.
    GiveUp,
    /// This model will not do it; another may.
    NextModel,
    /// Another model; where there is none, this one once more: declining is partly chance, and so is hanging.
    NextModelOrOnceMore,
    /// At once, without this field; a request that was refused is never sent again as it was.
    Without(Field),
    /// The same again after a backoff.
    AfterBackoff,
    /// The same again, not before this wait is over.
    After {
        /// From now.
        wait: Duration,
        /// Whether every call to this upstream should wait as long.
        everyone: bool,
    },
}

/// Decides what to do after `failure`; `now` resolves a `Retry-After` given as a date.
pub(super) fn decide(failure: &Failure, now: SystemTime) -> Decision {
    match failure {
        Failure::Connect | Failure::Broken(_) | Failure::TimedOut(_) | Failure::Invalid(_) | Failure::Empty => {
            Decision::AfterBackoff
        }
        // A model that is slow is as slow again, and a busy machine only busier; once, something may have hung.
        Failure::Refused | Failure::TooSlow => Decision::NextModelOrOnceMore,
        Failure::Status(failure) => decide_status(failure, now),
    }
}

fn decide_status(failure: &StatusFailure, now: SystemTime) -> Decision {
    let code = failure.code.as_deref().unwrap_or_default();
    match failure.status {
        401 => Decision::GiveUp,
        400 | 422 if let Some(field) = failure.refused_field => Decision::Without(field),
        // Longer waiting makes no prompt shorter.
        500 if failure.too_long => Decision::NextModel,
        // The key, the prompt or the name does not suit this model; it may suit the next.
        400 | 403 | 404 | 413 | 422 => Decision::NextModel,
        // Sent with 429 and never over by waiting.
        402 => Decision::GiveUp,
        429 if matches!(code, "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active") => {
            Decision::GiveUp
        }
        501 | 505 => Decision::GiveUp,
        408 | 409 | 425 | 429 | 500..=599 => {
            if failure.should_retry == Some(false) {
                return Decision::GiveUp;
            }
            match latest_wait(failure, now) {
                Some(wait) => Decision::After { wait, everyone: is_overload(failure.status) },
                None => Decision::AfterBackoff,
            }
        }
        _ => Decision::GiveUp,
    }
}

/// Whether the status says that the upstream has more than it can take.
pub(super) fn is_overload(status: u16) -> bool {
    matches!(status, 429 | 503 | 529)
}

/// The latest of all the times that the upstream named, as a wait from `now`.
fn latest_wait(failure: &StatusFailure, now: SystemTime) -> Option<Duration> {
    let milliseconds = failure.retry_after_ms.map(Duration::from_millis);
    failure.retry_after.iter().filter_map(|text| parse_retry_after(text, now)).chain(milliseconds).max()
}

/// The wait that one `Retry-After` value names: seconds or an HTTP date; a date in the past is no wait.
fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0)
            .then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or(Duration::ZERO))
}

/// The wait before try number `next` (the first try is 1): full jitter, so uniform between nothing and `base`
/// doubled with every try, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). `random` is in 0..1.
pub(super) fn backoff(next: u32, base: Duration, random: f64) -> Duration {
    let doublings = next.saturating_sub(2).min(20);
    base.saturating_mul(1 << doublings).min(LONGEST_BACKOFF).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn now() -> SystemTime {
        httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap()
    }

    fn status(status: u16) -> StatusFailure {
        StatusFailure { status, ..StatusFailure::default() }
    }

    #[test]
    fn every_status_has_its_decision() {
        let check = |codes: &[u16], expected: Decision| {
            for &code in codes {
                assert_eq!(decide(&Failure::Status(status(code)), now()), expected, "{code}");
            }
        };
        check(&[401, 402, 301, 302, 307, 405, 410, 415, 418, 451, 501, 505], Decision::GiveUp);
        check(&[400, 403, 404, 413, 422], Decision::NextModel);
        check(&[408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529], Decision::AfterBackoff);
    }

    #[test]
    fn every_other_failure_has_its_decision() {
        let check = |failure: Failure, expected: Decision| assert_eq!(decide(&failure, now()), expected, "{failure:?}");
        check(Failure::Connect, Decision::AfterBackoff);
        check(Failure::Broken("reset"), Decision::AfterBackoff);
        check(Failure::TimedOut("idle"), Decision::AfterBackoff);
        check(Failure::Invalid("no JSON".into()), Decision::AfterBackoff);
        check(Failure::Empty, Decision::AfterBackoff);
        check(Failure::Refused, Decision::NextModelOrOnceMore);
        check(Failure::TooSlow, Decision::NextModelOrOnceMore);
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_the_latest_counts() {
        let check = |values: &[&str], milliseconds: Option<u64>, expected: Option<Duration>| {
            let failure = StatusFailure {
                retry_after: values.iter().map(|v| (*v).to_owned()).collect(),
                retry_after_ms: milliseconds,
                ..status(429)
            };
            let expected = expected.map_or(Decision::AfterBackoff, |wait| Decision::After { wait, everyone: true });
            assert_eq!(decide(&Failure::Status(failure), now()), expected, "{values:?} {milliseconds:?}");
        };
        check(&["7"], None, Some(7 * SECOND));
        check(&[" 0.5 "], None, Some(SECOND / 2));
        check(&["1", "3", "2"], None, Some(3 * SECOND));
        check(&["Wed, 21 Oct 2026 07:28:09 GMT"], None, Some(9 * SECOND));
        check(&["2", "Wed, 21 Oct 2026 07:28:09 GMT"], None, Some(9 * SECOND));
        check(&["Wed, 21 Oct 2026 07:00:00 GMT"], None, Some(Duration::ZERO));
        check(&["1"], Some(1500), Some(3 * SECOND / 2));
        check(&[], Some(20), Some(SECOND / 50));
        check(&["-1", "soon", "NaN", ""], None, None);
        check(&["1e300"], None, Some(Duration::MAX));
    }

    #[test]
    fn only_overload_makes_everyone_wait() {
        let check = |code: u16, expected: Decision| {
            let failure = StatusFailure { retry_after: vec!["1".into()], ..status(code) };
            assert_eq!(decide(&Failure::Status(failure), now()), expected, "{code}");
        };
        for code in [429, 503, 529] {
            check(code, Decision::After { wait: SECOND, everyone: true });
        }
        for code in [408, 500, 502] {
            check(code, Decision::After { wait: SECOND, everyone: false });
        }
        check(401, Decision::GiveUp);
        check(404, Decision::NextModel);
    }

    #[test]
    fn the_body_and_the_upstream_s_own_advice_can_end_it() {
        let check = |failure: StatusFailure, expected: Decision| {
            assert_eq!(decide(&Failure::Status(failure.clone()), now()), expected, "{failure:?}");
        };
        check(StatusFailure { code: Some("insufficient_quota".into()), ..status(429) }, Decision::GiveUp);
        check(StatusFailure { code: Some("rate_limit_exceeded".into()), ..status(429) }, Decision::AfterBackoff);
        check(StatusFailure { should_retry: Some(false), ..status(500) }, Decision::GiveUp);
        check(StatusFailure { should_retry: Some(true), ..status(500) }, Decision::AfterBackoff);
        check(StatusFailure { should_retry: Some(true), ..status(400) }, Decision::NextModel);
        let field = Field::Temperature;
        check(StatusFailure { refused_field: Some(field), ..status(400) }, Decision::Without(field));
        check(StatusFailure { refused_field: Some(field), ..status(500) }, Decision::AfterBackoff);
        check(StatusFailure { too_long: true, ..status(500) }, Decision::NextModel);
    }

    #[test]
    fn backoff_doubles_is_capped_and_fully_jittered() {
        let check = |next: u32, random: f64, expected: Duration| {
            assert_eq!(backoff(next, SECOND / 2, random), expected, "{next} {random}");
        };
        check(2, 1.0, SECOND / 2);
        check(3, 1.0, SECOND);
        check(4, 1.0, 2 * SECOND);
        check(4, 0.0, Duration::ZERO);
        check(4, 0.5, SECOND);
        check(40, 1.0, LONGEST_BACKOFF);
        check(u32::MAX, 1.0, LONGEST_BACKOFF);
    }
}
