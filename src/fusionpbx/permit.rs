//! The right to change something, asked for right before a changing request is sent.
//!
//! A form is read before it is posted, and either may wait. A process that was paused in between must not post what it
//! had the right to post when it began.

use std::future::Future;
use std::sync::Arc;

type May = Arc<dyn Fn() -> bool + Send + Sync>;

tokio::task_local! {
    static MAY: May;
}

/// Does work whose changing requests are sent only while `may` says so.
pub async fn permitted_while<W: Future>(
    may: impl Fn() -> bool + Send + Sync + 'static,
    work: W,
) -> W::Output {
    MAY.scope(Arc::new(may), work).await
}

/// Whether a changing request may be sent now. Where nobody said otherwise, it may.
pub fn is_permitted() -> bool {
    MAY.try_with(|may| may()).unwrap_or(true)
}
