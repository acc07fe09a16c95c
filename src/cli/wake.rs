//! What an operator decided takes effect at once where a daemon runs.

use crate::daemon::pass_requests;
use crate::environment::System;
use crate::report::chain;
use crate::store::Database;
use crate::store::lease_holder::{command, process_of_daemon};

/// Wakes a running daemon and returns its name. `None` where no daemon runs, or where waking it failed: the decision
/// then takes effect at the next run.
pub async fn wake(database: &Database) -> Option<String> {
    let woken = match database.lease(&command()).await {
        Ok(Ok(lease)) => {
            lease.release().await;
            return None;
        }
        // A command is done soon, and would not see it.
        Ok(Err(by)) if process_of_daemon(&by).is_none() => return None,
        Ok(Err(by)) => pass_requests::wake(database, &System).await.map(|()| by),
        Err(error) => Err(error),
    };
    woken.inspect_err(|error| tracing::warn!(error = %chain(error), "cannot wake the running daemon")).ok()
}

/// When a decision takes effect, for people.
pub fn when(woken: Option<&str>) -> String {
    match woken {
        Some(by) => format!("{by} applies it now\n"),
        None => "It takes effect at the next run, or now with `tenantd apply`.\n".to_owned(),
    }
}
