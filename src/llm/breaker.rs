//! One circuit breaker a model. A model that fails again and again is left alone for a while; then one probe is let
//! through, and its outcome decides; where it is long in coming, another follows. Failures count in a row: a bad tenth of
//! the calls never opens it, an outage does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open the circuit: what an outage reaches at once and chance does not.
const OPENS_AFTER: u32 = 8;
/// The first pause; it doubles with each failed probe.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The breakers of all models.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    circuits: Mutex<HashMap<String, Circuit>>,
}

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    /// Set while the circuit is open: when the next probe may go, and how long the pause is.
    open: Option<(Instant, Duration)>,
    /// Probes that are out.
    probing: u32,
}

/// Leave to try one model. Dropped without a verdict it leaves everything as it was, but that the next probe may go.
#[derive(Debug)]
pub(super) struct Ticket {
    breakers: Arc<Breakers>,
    model: String,
    probe: bool,
}

impl Breakers {
    /// Leave to try the first of `models` whose circuit lets it pass, with its place in the list.
    ///
    /// # Errors
    /// When asking again makes sense, where every circuit is open.
    pub(super) fn enter(self: &Arc<Self>, models: &[String]) -> Result<(usize, Ticket), Instant> {
        let now = Instant::now();
        let mut circuits = self.lock();
        let mut earliest = None::<Instant>;
        for (place, model) in models.iter().enumerate() {
            let mut probe = false;
            if let Some(circuit) = circuits.get_mut(model)
                && let Some((until, pause)) = &mut circuit.open
            {
                if now < *until {
                    // While a probe is out, its outcome may be near; look again in a fraction of the pause.
                    let again = if circuit.probing > 0 { (now + *pause / 8).min(*until) } else { *until };
                    earliest = Some(earliest.map_or(again, |e| e.min(again)));
                    continue;
                }
                *until = now + *pause;
                circuit.probing += 1;
                probe = true;
            }
            return Ok((place, Ticket { breakers: Arc::clone(self), model: model.clone(), probe }));
        }
        Err(earliest.unwrap_or(now))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The model answered.
    pub(super) fn succeeded(mut self) {
        let mut circuits = self.breakers.lock();
        if let Some(circuit) = circuits.get_mut(&self.model) {
            if circuit.open.is_some() {
                tracing::info!(model = %self.model, "the model answers again");
                gauge(&self.model, 0.0);
            }
            *circuit = Circuit::default();
        }
        drop(circuits);
        self.probe = false;
    }

    /// The model failed in a way that says something about the model.
    pub(super) fn failed(mut self) {
        let now = Instant::now();
        let mut circuits = self.breakers.lock();
        let circuit = circuits.entry(self.model.clone()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        match circuit.open {
            // Late failures of calls that began before it opened say nothing new.
            Some((_, pause)) if self.probe => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                circuit.open = Some((now + pause, pause));
                circuit.probing = circuit.probing.saturating_sub(1);
            }
            Some(_) => {}
            None if circuit.failures >= OPENS_AFTER => {
                circuit.open = Some((now + FIRST_PAUSE, FIRST_PAUSE));
                tracing::warn!(model = %self.model, failures = circuit.failures, "the model keeps failing; pausing its calls");
                gauge(&self.model, 1.0);
            }
            None => {}
        }
        drop(circuits);
        self.probe = false;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.probe
            && let Some(circuit) = self.breakers.lock().get_mut(&self.model)
        {
            circuit.probing = circuit.probing.saturating_sub(1);
            // It says nothing; the next one need not wait for it.
            if let Some((until, _)) = &mut circuit.open {
                *until = Instant::now();
            }
        }
    }
}

fn gauge(model: &str, open: f64) {
    metrics::gauge!("dokkai_upstream_breaker_open", "model" => model.to_owned()).set(open);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn fail(breakers: &Arc<Breakers>, model: &str, times: u32) {
        for _ in 0..times {
            breakers.enter(&models(&[model])).unwrap().1.failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_failure_opens_and_the_fallback_takes_over() {
        let breakers = Arc::new(Breakers::default());
        fail(&breakers, "a", OPENS_AFTER - 1);
        assert_eq!(breakers.enter(&models(&["a", "b"])).unwrap().0, 0);
        fail(&breakers, "a", 1);
        assert_eq!(breakers.enter(&models(&["a", "b"])).unwrap().0, 1);
        assert_eq!(breakers.enter(&models(&["a"])).unwrap_err(), Instant::now() + FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_keeps_it_closed() {
        let breakers = Arc::new(Breakers::default());
        for _ in 0..5 {
            fail(&breakers, "a", OPENS_AFTER - 1);
            breakers.enter(&models(&["a"])).unwrap().1.succeeded();
        }
        assert!(breakers.enter(&models(&["a"])).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_decides_and_a_failed_one_doubles_the_pause() {
        let breakers = Arc::new(Breakers::default());
        fail(&breakers, "a", OPENS_AFTER);
        tokio::time::advance(FIRST_PAUSE).await;
        let probe = breakers.enter(&models(&["a"])).unwrap().1;
        assert!(breakers.enter(&models(&["a"])).is_err(), "a second probe went through");
        tokio::time::advance(FIRST_PAUSE).await;
        let second = breakers.enter(&models(&["a"])).expect("a slow probe does not hold the others up").1;
        drop(second);
        probe.failed();
        assert_eq!(breakers.enter(&models(&["a"])).unwrap_err(), Instant::now() + FIRST_PAUSE * 2);
        tokio::time::advance(FIRST_PAUSE * 2).await;
        drop(breakers.enter(&models(&["a"])).unwrap());
        breakers.enter(&models(&["a"])).unwrap().1.succeeded();
        assert!(breakers.enter(&models(&["a"])).is_ok());
        assert!(breakers.enter(&models(&["a"])).is_ok(), "closed again for everybody");
    }
}
