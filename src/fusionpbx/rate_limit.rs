use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Keeps the requests to a server at a rate. What a second leaves unused is saved up, a second's worth at most.
///
/// A wait that is given up keeps its place: the rate is never exceeded, however callers come and go.
#[derive(Debug)]
pub(super) struct Budget {
    /// The time that one request uses up.
    each: Duration,
    /// When all that was taken is used up.
    spent_until: Mutex<Option<Instant>>,
}

/// How much may be saved up.
const SAVED: Duration = Duration::from_secs(1);

impl Budget {
    pub fn new(per_second: u32) -> Self {
        Self { each: Duration::from_secs(1) / per_second.max(1), spent_until: Mutex::new(None) }
    }

    /// Returns when a request may be sent.
    pub async fn take(&self) {
        let wait = self.reserve();
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn reserve(&self) -> Duration {
        let now = Instant::now();
        let mut spent = self.spent_until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = spent.map_or(now, |until| until.max(now)) + self.each;
        *spent = Some(until);
        until.saturating_duration_since(now).saturating_sub(SAVED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_is_saved_up_and_then_the_rate_holds() {
        let budget = Budget::new(50);
        let begun = Instant::now();
        for _ in 0..50 {
            budget.take().await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..100 {
            budget.take().await;
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1990) && took <= Duration::from_millis(2200), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_saves_no_more_than_a_second() {
        let budget = Budget::new(10);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        for _ in 0..30 {
            budget.take().await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(1990), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn any_second_sees_at_most_twice_the_rate() {
        let budget = std::sync::Arc::new(Budget::new(20));
        let begun = Instant::now();
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let budget = budget.clone();
                tokio::spawn(async move {
                    budget.take().await;
                    begun.elapsed()
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
