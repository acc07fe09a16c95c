use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tracing::debug;

use super::refusal::{SIGN_IN_ANSWER, SIGNED_IN};
use super::{PbxError, PbxErrorKind};
use crate::model::InstanceKey;

/// How often and how long reads are tried.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Tries of a read, the first included.
    pub tries: usize,
    /// Before the second try; longer before later ones, and changed at random.
    pub pause: Duration,
    /// The longest `Retry-After` that is waited for. A longer one is an error at once.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { tries: 3, pause: Duration::from_millis(250), longest_wait: Duration::from_secs(10) }
    }
}

impl RetryPolicy {
    pub(super) fn tries(self, instance: &InstanceKey) -> Tries<'_> {
        let Self { tries, pause, longest_wait } = self;
        let delays = ExponentialBuilder::default()
            .with_min_delay(pause)
            .with_factor(3.0)
            .with_jitter()
            .with_max_times(tries.saturating_sub(1))
            .build();
        Tries { instance, delays, longest_wait }
    }
}

/// The tries that a read has left.
pub(super) struct Tries<'a> {
    instance: &'a InstanceKey,
    delays: ExponentialBackoff,
    longest_wait: Duration,
}

impl Tries<'_> {
    /// Waits until the next try, or gives the error back where there is none.
    pub async fn pause_after(&mut self, error: PbxError) -> Result<(), PbxError> {
        if !is_worth_another_try(&error) {
            return Err(error);
        }
        let Some(mut delay) = self.delays.next() else { return Err(error) };
        if let PbxErrorKind::Busy { retry_after: Some(asked) } = error.kind {
            if asked > self.longest_wait {
                return Err(error);
            }
            delay = delay.max(asked);
        }
        debug!(
            instance = %self.instance, page = error.page, status = error.status, error = %error.kind,
            delay_ms = delay.as_millis(), "a read failed and is tried again"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

fn is_worth_another_try(error: &PbxError) -> bool {
    match error.kind {
        PbxErrorKind::UnexpectedPage { expected, .. } => expected != SIGNED_IN && expected != SIGN_IN_ANSWER,
        _ => error.is_passing(),
    }
}
