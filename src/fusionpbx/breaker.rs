use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

/// Failures in a row after which a server is left alone for a while.
const FAILURES: u32 = 5;
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// Leaves a failing server alone, so that it is not kept down by those who wait for it.
///
/// After five failures in a row nothing is sent for ten seconds, then one request; if that fails too, for twice as
/// long, up to five minutes. The times are lengthened at random by up to a quarter.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    pause: Duration,
    closed_until: Option<Instant>,
    probing: bool,
    last: String,
}

impl State {
    fn check(&self) -> Result<(), (Duration, String)> {
        let Some(until) = self.closed_until else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && !self.probing {
            return Ok(());
        }
        Err((left.max(Duration::from_secs(1)), self.last.clone()))
    }
}

impl Breaker {
    /// Whether a request could be sent now; if not, in what time one may, and the last failure.
    pub fn check(&self) -> Result<(), (Duration, String)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).check()
    }

    /// As [`Self::check`], for a request that is sent right after: it may be the one that tries whether the server is
    /// back.
    pub fn admit(&self) -> Result<(), (Duration, String)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.check()?;
        state.probing = state.closed_until.is_some();
        Ok(())
    }

    pub fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::default();
    }

    pub fn failed(&self, why: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures += 1;
        state.probing = false;
        state.last = why.to_owned();
        if state.failures >= FAILURES {
            state.pause = (state.pause * 2).clamp(SHORTEST, LONGEST);
            let pause = state.pause.mul_f64(rand::rng().random_range(1.0..1.25));
            state.closed_until = Some(Instant::now() + pause);
        }
    }

    /// A request that was admitted came to no end, because its caller stopped waiting.
    pub fn abandoned(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_close_it_and_one_probe_opens_it() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.admit().unwrap();
            breaker.failed("status 503");
        }
        let (left, last) = breaker.admit().unwrap_err();
        assert!(left <= SHORTEST.mul_f64(1.25));
        assert_eq!(last, "status 503");
        tokio::time::advance(Duration::from_secs(13)).await;
        breaker.admit().unwrap();
        breaker.admit().unwrap_err();
        breaker.succeeded();
        breaker.admit().unwrap();
        breaker.admit().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_doubles_the_pause() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed("x");
        }
        tokio::time::advance(Duration::from_secs(13)).await;
        breaker.admit().unwrap();
        breaker.failed("x");
        tokio::time::advance(Duration::from_secs(13)).await;
        breaker.admit().unwrap_err();
        tokio::time::advance(Duration::from_secs(13)).await;
        breaker.admit().unwrap();
    }

    #[test]
    fn a_success_between_failures_keeps_it_open() {
        let breaker = Breaker::default();
        for _ in 0..20 {
            breaker.failed("x");
            breaker.failed("x");
            breaker.succeeded();
        }
        breaker.admit().unwrap();
    }
}
