//! A circuit breaker: a server that keeps failing is left alone for a while.
//!
//! No crate does this well enough: `tower` has no breaker, and `failsafe` and `recloser` tell only whether a call is
//! allowed. An operator must also read how long the pause is and what failed, and a probe that its caller abandoned must
//! not block the next one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

/// This many failures in a row open the breaker.
const MAX_FAILURES: u32 = 5;
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Stops requests to a failing server, so that waiting clients do not keep it down.
///
/// Five failures in a row open it. Nothing is sent for ten seconds, then one request as a probe. If that fails too, the
/// pause doubles, up to five minutes. Every pause is lengthened at random by up to a quarter.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    pause: Duration,
    open_until: Option<Instant>,
    probing: bool,
    last: String,
}

impl State {
    fn check(&self) -> Result<(), (Duration, String)> {
        let Some(until) = self.open_until else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && !self.probing {
            return Ok(());
        }
        Err((left.max(Duration::from_secs(1)), self.last.clone()))
    }
}

impl Breaker {
    /// Whether a request may be sent now.
    ///
    /// *Errors*: the time until one may be sent, and the last failure.
    pub fn check(&self) -> Result<(), (Duration, String)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).check()
    }

    /// As [`Self::check`], for a request that is sent at once. While the breaker is open it is the probe.
    pub fn admit(&self) -> Result<Admission<'_>, (Duration, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.check()?;
        state.probing = state.open_until.is_some();
        Ok(Admission { breaker: self, settled: false })
    }

    fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::default();
    }

    fn failed(&self, why: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures += 1;
        state.probing = false;
        state.last = why.to_owned();
        if state.failures >= MAX_FAILURES {
            state.pause = (state.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            let pause = state.pause.mul_f64(rand::rng().random_range(1.0..1.25));
            state.open_until = Some(Instant::now() + pause);
        }
    }

    fn abandoned(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).probing = false;
    }
}

/// One admitted request. Dropped without a result, it counts as abandoned: its caller stopped waiting.
#[must_use]
#[derive(Debug)]
pub(super) struct Admission<'a> {
    breaker: &'a Breaker,
    settled: bool,
}

impl Admission<'_> {
    pub fn succeeded(mut self) {
        self.settled = true;
        self.breaker.succeeded();
    }

    pub fn failed(mut self, why: &str) {
        self.settled = true;
        self.breaker.failed(why);
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.abandoned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_a_successful_probe_closes_it() {
        let breaker = Breaker::default();
        for _ in 0..MAX_FAILURES {
            breaker.admit().unwrap().failed("status 503");
        }
        let (left, last) = breaker.admit().unwrap_err();
        assert!(left <= SHORTEST_PAUSE.mul_f64(1.25));
        assert_eq!(last, "status 503");
        tokio::time::advance(Duration::from_secs(13)).await;
        let probe = breaker.admit().unwrap();
        breaker.admit().unwrap_err();
        probe.succeeded();
        let _one = breaker.admit().unwrap();
        let _another = breaker.admit().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_doubles_the_pause() {
        let breaker = Breaker::default();
        for _ in 0..MAX_FAILURES {
            breaker.failed("x");
        }
        tokio::time::advance(Duration::from_secs(13)).await;
        breaker.admit().unwrap().failed("x");
        tokio::time::advance(Duration::from_secs(13)).await;
        breaker.admit().unwrap_err();
        tokio::time::advance(Duration::from_secs(13)).await;
        drop(breaker.admit().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_probe_lets_the_next_one_through() {
        let breaker = Breaker::default();
        for _ in 0..MAX_FAILURES {
            breaker.failed("x");
        }
        tokio::time::advance(Duration::from_secs(13)).await;
        drop(breaker.admit().unwrap());
        drop(breaker.admit().unwrap());
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let breaker = Breaker::default();
        for _ in 0..20 {
            breaker.failed("x");
            breaker.failed("x");
            breaker.succeeded();
        }
        drop(breaker.admit().unwrap());
    }
}
