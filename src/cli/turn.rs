//! A pass for a command that changes something: its own, or one by the daemon that holds the writer's lock.

use std::time::Duration;

use super::context::{Failure, Result};
use crate::daemon::{asked, holder};
use crate::environment::System;
use crate::store::{Database, Lease};

/// Whose pass it is.
pub enum Turn {
    /// Nobody else writes: the command does the pass.
    Own(Lease),
    /// The daemon did it.
    Daemon(Box<asked::Answer>),
}

/// How long the daemon may take to answer: a pass over many tenants takes minutes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How often it is tried whether the lock has become free: what holds it may be no daemon, or end.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Takes the lock, or has the daemon do a pass. What that pass is to do must stand in the database before.
pub async fn turn(database: &Database) -> Result<Turn> {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut asked = None;
    loop {
        let by = match database.lease(&holder()).await.map_err(|error| Failure::of(&error))? {
            Ok(lease) => return Ok(Turn::Own(lease)),
            Err(by) => by,
        };
        let id = match asked {
            Some(id) => id,
            None => {
                eprintln!("{by} holds the writer's lock; it is asked to do the work");
                asked::ask(database, &System).await.map_err(|error| Failure::of(&error))?
            }
        };
        asked = Some(id);
        let answer = asked::answer(database, id, TRY_EVERY).await.map_err(|error| Failure::of(&error))?;
        match answer {
            Some(asked::Answer { error: Some(error), .. }) => {
                return Err(Failure::new(format!("the run of {by} failed: {error}")));
            }
            Some(answer) => return Ok(Turn::Daemon(Box::new(answer))),
            None if tokio::time::Instant::now() >= until => {
                return Err(Failure::new(format!("{by} did not answer; look at its log")));
            }
            None => {}
        }
    }
}
