//! Who does the run of a command that changes something: the command, or the daemon that holds the writer's lease.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::context::{Failure, Result};
use super::output::tell;
use super::stop::stop_on_signal;
use crate::daemon::pass_requests::{self, Request};
use crate::environment::System;
use crate::store::lease_holder::{command, process_of_daemon};
use crate::store::{Database, Lease};

/// Which process does the run.
pub enum Runner {
    /// This command does the run, and holds the writer's lease.
    Own(Lease),
    /// The daemon did it.
    Daemon(Box<pass_requests::PassAnswer>),
}

/// How long the daemon may take to answer: a run over many tenants takes minutes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How often the lease is tried while a daemon holds it, because the daemon may end without an answer.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// How often the lease is tried while another command holds it. A command takes no requests and ends soon.
const TRY_AFTER_COMMAND: Duration = Duration::from_millis(500);

/// Takes the lease, or has the daemon do a run. The daemon reads from the database what to do, so the caller writes it
/// there first.
pub async fn runner(database: &Database) -> Result<Runner> {
    runner_if(database, false, |_| Ok(())).await
}

/// As [`runner`]. The run compares the settings of every tenant if `compares_all` is set. `may_ask` is given the daemon's name, and fails where the daemon must not do the run. A signal while
/// the daemon is asked withdraws the request.
pub async fn runner_if(
    database: &Database,
    compares_all: bool,
    may_ask: impl Fn(&str) -> Result<()>,
) -> Result<Runner> {
    let mut request = None;
    let ended = wait(database, compares_all, may_ask, &mut request).await;
    // The daemon must not serve the request later, when no command waits for the answer.
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
    compares_all: bool,
    may_ask: impl Fn(&str) -> Result<()>,
    request: &mut Option<Request>,
) -> Result<Runner> {
    let until = Instant::now() + PATIENCE;
    let mut announced = None;
    let mut stop: Option<CancellationToken> = None;
    loop {
        let by = match database.lease(&command()).await.map_err(|error| Failure::of(&error))? {
            Ok(lease) => return Ok(Runner::Own(lease)),
            Err(by) => by,
        };
        let daemon = process_of_daemon(&by);
        if daemon.is_some() {
            may_ask(&by)?;
        }
        if announced.as_ref() != Some(&by) {
            tell(&match daemon {
                Some(process) => format!("Asking the daemon ({process}) to do this run.\n"),
                None => format!("Waiting for another command to end ({by}).\n"),
            });
            announced = Some(by.clone());
        }
        if daemon.is_some() {
            // From here on a request may stand, so a signal must not end the process before it is withdrawn.
            let stop = stop.get_or_insert_with(stop_on_signal);
            let id = pass_requests::request_pass(database, &System, *request, compares_all)
                .await
                .map_err(|error| Failure::of(&error))?;
            *request = Some(id);
            let answer = tokio::select! {
                answer = pass_requests::answer(database, id, TRY_EVERY) => answer,
                () = stop.cancelled() => return Err(interrupted(&by)),
            };
            let answer = answer.map_err(|error| Failure::of(&error))?;
            if let Some(answer) = answer {
                return match answer.error {
                    Some(error) => Err(Failure::new(format!("The run of {by} failed: {error}."))),
                    None => Ok(Runner::Daemon(Box::new(answer))),
                };
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep(TRY_AFTER_COMMAND) => {}
                () = cancelled(stop.as_ref()) => return Err(interrupted(&by)),
            }
        }
        if Instant::now() >= until {
            return Err(Failure::new(format!(
                "{by} did not finish within {} minutes. Check its log",
                PATIENCE.as_secs() / 60
            )));
        }
    }
}

/// Waits for a signal. Without a token the signal ends the process by itself.
async fn cancelled(stop: Option<&CancellationToken>) {
    match stop {
        Some(stop) => stop.cancelled().await,
        None => std::future::pending().await,
    }
}

fn interrupted(by: &str) -> Failure {
    Failure::new(format!("interrupted while waiting for {by}. A run that it has already begun goes on"))
}
