//! Retries of reads. Changing requests are never retried.
//!
//! `backon` gives the delays. Its own loop is not used: an operation that borrows a session needs
//! `retry_with_context`, and that cannot lengthen a delay to the server's `Retry-After`.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tracing::debug;

use super::refusal::{SIGN_IN_ANSWER, SIGNED_IN};
use super::{PbxError, PbxErrorKind};
use crate::model::InstanceKey;

/// How often a failed read is tried, and how long tenantd waits in between.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The greatest number of tries, the first one included.
    pub tries: usize,
    /// The pause before the second try. It triples for each further one, and is lengthened at random.
    pub pause: Duration,
    /// The longest `Retry-After` that tenantd waits for. A longer one is an error at once.
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

/// The remaining tries of one read.
pub(super) struct Tries<'a> {
    instance: &'a InstanceKey,
    delays: ExponentialBackoff,
    longest_wait: Duration,
}

impl Tries<'_> {
    /// Waits until the next try.
    ///
    /// *Errors*: the error itself, if there is no further try or another try cannot help.
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
            delay_ms = delay.as_millis(), "a read failed, trying again"
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
