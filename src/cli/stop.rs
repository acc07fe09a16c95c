//! SIGINT and SIGTERM.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// The token that SIGINT and SIGTERM cancel: the current steps are finished, and no other is started.
///
/// All callers get the same token. From the first call on, a signal does not end the process by itself, so a signal
/// that came before a later call must be visible there as well.
pub fn stop_on_signal() -> CancellationToken {
    static STOP: OnceLock<CancellationToken> = OnceLock::new();
    STOP.get_or_init(listen).clone()
}

fn listen() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    // The handlers are in place when this returns, not only when the task first runs.
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping after the current step");
        cancelled.cancel();
    });
    stop
}
