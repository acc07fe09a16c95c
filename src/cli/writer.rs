//! A run for a command that changes something: its own, or one by the daemon that holds the writer's lease.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::context::{Failure, Result};
use super::output::tell;
use crate::daemon::pass_requests;
use crate::environment::System;
use crate::store::lease_holder::{command, process_of_daemon};
use crate::store::{Database, Lease};

/// Whose run it is.
pub enum Runner {
    /// Nobody else writes: the command does the run.
    Own(Lease),
    /// The daemon did it.
    Daemon(Box<pass_requests::PassAnswer>),
}

/// How long the daemon may take to answer: a run over many tenants takes minutes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How often the lease is tried beside a daemon: it may end without an answer.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// The same beside a command, which takes no requests and is done soon.
const TRY_AFTER_COMMAND: Duration = Duration::from_millis(500);

/// Takes the lease, or has the daemon do a run. What that run is to do must stand in the database before.
pub async fn runner(database: &Database) -> Result<Runner> {
    runner_if(database, |_| Ok(())).await
}

/// As [`runner`], where `may_ask` decides whether the daemon (named to it) may do the run.
pub async fn runner_if(database: &Database, may_ask: impl Fn(&str) -> Result<()>) -> Result<Runner> {
    let mut request = None;
    let ended = wait(database, may_ask, &mut request).await;
    // Nobody is to serve a request later that nobody waits for.
    if let (Some(id), Ok(Runner::Own(_)) | Err(_)) = (request, &ended) {
        let withdrawn = pass_requests::withdraw(database, id).await;
        if let (Err(error), Ok(_)) = (withdrawn, &ended) {
            return Err(Failure::of(&error));
        }
    }
    ended
}

async fn wait(
    database: &Database,
    may_ask: impl Fn(&str) -> Result<()>,
    request: &mut Option<Uuid>,
) -> Result<Runner> {
    let until = Instant::now() + PATIENCE;
    let mut told = None;
    loop {
        let by = match database.lease(&command()).await.map_err(|error| Failure::of(&error))? {
            Ok(lease) => return Ok(Runner::Own(lease)),
            Err(by) => by,
        };
        let daemon = process_of_daemon(&by);
        if daemon.is_some() {
            may_ask(&by)?;
        }
        if told.as_ref() != Some(&by) {
            tell(&match daemon {
                Some(process) => format!("Asking the daemon ({process}) to do this run.\n"),
                None => format!("Waiting for another command to end ({by}).\n"),
            });
            told = Some(by.clone());
        }
        if daemon.is_some() {
            let id = pass_requests::request_pass(database, &System, *request)
                .await
                .map_err(|error| Failure::of(&error))?;
            *request = Some(id);
            let answer =
                pass_requests::answer(database, id, TRY_EVERY).await.map_err(|error| Failure::of(&error))?;
            if let Some(answer) = answer {
                return match answer.error {
                    Some(error) => Err(Failure::new(format!("The run of {by} failed: {error}."))),
                    None => Ok(Runner::Daemon(Box::new(answer))),
                };
            }
        } else {
            tokio::time::sleep(TRY_AFTER_COMMAND).await;
        }
        if Instant::now() >= until {
            return Err(Failure::new(format!(
                "{by} did not finish within {} minutes. Check its log",
                PATIENCE.as_secs() / 60
            )));
        }
    }
}
