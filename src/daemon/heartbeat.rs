//! The daemon's heartbeat in the database, for `tenantd status`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::environment::Environment;
use crate::model::{DaemonState, Heartbeat};
use crate::report::chain;
use crate::store::Database;

/// The longest time between two heartbeats.
const BEAT: Duration = Duration::from_secs(60);
/// A database that does not answer must not keep the daemon from ending.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was written last, and where to.
pub(super) struct HeartbeatWriter {
    now: Mutex<(Database, Heartbeat)>,
}

impl HeartbeatWriter {
    pub(super) fn new(database: Database, holder: String, interval: Duration, now: DateTime<Utc>) -> Self {
        // Until it has the lease, it stands by.
        let beat = Heartbeat::new(holder, DaemonState::StandingBy, seconds(interval), now);
        Self { now: Mutex::new((database, beat)) }
    }

    /// Changes what the heartbeat says, and writes it. A database that does not take it is reported where it matters:
    /// in the run.
    pub(super) async fn beat(&self, environment: &dyn Environment, change: impl FnOnce(&mut Heartbeat)) {
        let (database, beat) = {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut now.1);
            now.1.seen_at = environment.now();
            now.clone()
        };
        let written = database.write(move |store| store.put_heartbeat(&beat));
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %chain(&error), "no heartbeat was written"),
            Err(_) => tracing::debug!("no heartbeat was written: the database does not answer"),
        }
    }

    /// The database that is in use from now on, and how often runs come.
    pub(super) fn moved(&self, database: Database, interval: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.0 = database;
        now.1.interval_seconds = seconds(interval);
    }

    /// Beats as long as the runtime turns, also while a run or a stand-by lasts.
    pub(super) async fn go_on(&self, environment: &dyn Environment) {
        loop {
            let interval = {
                let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
                Duration::from_secs(u64::try_from(now.1.interval_seconds).unwrap_or(0))
            };
            tokio::time::sleep(interval.clamp(Duration::from_secs(1), BEAT)).await;
            self.beat(environment, |_| {}).await;
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    TimeDelta::from_std(duration).map_or(0, |duration| duration.num_seconds())
}
