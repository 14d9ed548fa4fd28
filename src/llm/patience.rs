//! How long a try waits for its reply to begin. Most hang for ever or not at all: where a model usually begins within a
//! second, a try that has said nothing after several is better made anew while there is time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A try waits so many times as long as the model usually takes, but never less than `LEAST`.
const FACTOR: f64 = 6.0;
const LEAST: Duration = Duration::from_secs(3);

/// The weight of the latest reply in what is usual.
const NEWEST: f64 = 0.2;

/// What is usual for each model, streamed replies and whole ones apart: a whole one begins when it is complete.
#[derive(Debug, Default)]
pub(super) struct Patience(Mutex<HashMap<(String, bool), Duration>>);

impl Patience {
    /// How long to wait; `None` while nothing is known of the model.
    pub(super) fn with(&self, model: &str, streamed: bool) -> Option<Duration> {
        let usual = self.lock().get(&(model.to_owned(), streamed)).copied()?;
        Some(usual.mul_f64(FACTOR).max(LEAST))
    }

    /// Notes how long a reply took to begin.
    pub(super) fn learn(&self, model: &str, streamed: bool, took: Duration) {
        let mut usual = self.lock();
        let usual = usual.entry((model.to_owned(), streamed)).or_insert(took);
        *usual = usual.mul_f64(1.0 - NEWEST) + took.mul_f64(NEWEST);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, bool), Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_what_is_usual_and_has_a_lower_bound() {
        let patience = Patience::default();
        let ms = Duration::from_millis;
        assert_eq!(patience.with("m", true), None);
        patience.learn("m", true, ms(100));
        assert_eq!(patience.with("m", true), Some(LEAST));
        for _ in 0..50 {
            patience.learn("m", true, ms(2_000));
        }
        let learnt = patience.with("m", true).unwrap();
        assert!(learnt > ms(11_900) && learnt <= ms(12_000), "{learnt:?}");
        assert_eq!(patience.with("m", false), None);
        assert_eq!(patience.with("other", true), None);
    }
}
