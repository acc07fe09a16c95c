//! The greatest number of requests a second to one server.
//!
//! `governor` has the same algorithm (GCRA), but its clock is not tokio's: paused time in tests would need a clock of
//! our own. And callers wait in line here, while those of `governor` race for the next free place.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Limits the rate of requests to a server. Unused requests are saved up, those of one second at most.
///
/// A caller that stops waiting keeps its place in the line, so the rate is never exceeded.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// The time between two requests at the full rate.
    interval: Duration,
    /// The end of the last reserved interval.
    reserved_until: Mutex<Option<Instant>>,
}

/// The longest time whose unused requests are saved up.
const BURST: Duration = Duration::from_secs(1);

impl RateLimit {
    pub fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), reserved_until: Mutex::new(None) }
    }

    /// Waits until a request may be sent.
    pub async fn wait(&self) {
        let wait = self.reserve();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn reserve(&self) -> Duration {
        let now = Instant::now();
        let mut reserved = self.reserved_until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = reserved.map_or(now, |until| until.max(now)) + self.interval;
        *reserved = Some(until);
        until.saturating_duration_since(now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_requests_of_one_second_are_saved_up_and_then_the_rate_holds() {
        let limit = RateLimit::new(50);
        let started = Instant::now();
        for _ in 0..50 {
            limit.wait().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..100 {
            limit.wait().await;
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(1990) && took <= Duration::from_millis(2200), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_saves_up_no_more_than_one_second() {
        let limit = RateLimit::new(10);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let started = Instant::now();
        for _ in 0..30 {
            limit.wait().await;
        }
        assert!(started.elapsed() >= Duration::from_millis(1990), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn any_second_sees_at_most_twice_the_rate() {
        let limit = std::sync::Arc::new(RateLimit::new(20));
        let started = Instant::now();
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let limit = limit.clone();
                tokio::spawn(async move {
                    limit.wait().await;
                    started.elapsed()
                })
            })
            .collect();
        let mut sent = Vec::new();
        for task in tasks {
            sent.push(task.await.unwrap());
        }
        sent.sort();
        for (index, at) in sent.iter().enumerate() {
            let within = sent[index..].iter().filter(|later| **later < *at + Duration::from_secs(1)).count();
            assert!(within <= 41, "{within} in the second from {at:?}");
        }
    }
}
