//! The daemon: a pass at start, when the directory changes, on SIGHUP, and at an interval.
//!
//! Events only wake it; every pass reads everything. An error ends a pass, never the daemon.

mod service;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::environment::Environment;
use crate::fusionpbx::{PbxRead, PbxWrite};
use crate::model::{Completeness, InstanceKey};
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::reconcile::{self, Reader, Writer};
use crate::report::{self, chain};
use crate::store::{Database, StoreError};

/// What the daemon works with; made anew when the configuration is read anew.
pub struct Equipment {
    pub config: Config,
    pub database: Database,
    pub readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    pub writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
}

/// Makes the equipment: at start, on SIGHUP, and after the database was lost.
#[async_trait::async_trait]
pub trait Equip: Send + Sync {
    async fn equip(&self) -> Result<Equipment, String>;
}

/// After a pass that failed as a whole, the next comes after a tenth of the interval at most.
const RETRY: Duration = Duration::from_secs(15);

/// Told of each pass, for a program that shows them otherwise than in the log.
pub trait Witness: Send + Sync {
    fn planned(&self, plan: &crate::plan::Plan);
    fn applied(&self, plan: &crate::plan::Plan, outcome: &crate::apply::Outcome);
}

/// The journal is the daemon's witness.
pub struct Log;

impl Witness for Log {
    fn planned(&self, plan: &crate::plan::Plan) {
        report::log_plan(plan);
    }

    fn applied(&self, plan: &crate::plan::Plan, outcome: &crate::apply::Outcome) {
        report::log_outcome(plan, outcome);
    }
}

/// Runs until it is told to stop. The step in hand is finished then.
pub async fn run(
    equip: &dyn Equip,
    environment: &dyn Environment,
    witness: &dyn Witness,
    stop: CancellationToken,
) -> Result<(), String> {
    let mut equipment = equip.equip().await?;
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| format!("cannot wait for SIGHUP: {error}"))?;
    let mut watch = watch::Watch::new(&equipment.config.tenants_dir);
    service::ready();
    info!(
        tenants_dir = %equipment.config.tenants_dir.display(),
        instances = equipment.config.instances.len(),
        database = %equipment.config.database,
        "tenantd {} runs", env!("CARGO_PKG_VERSION")
    );
    let watchdog = service::feed_watchdog();
    tokio::pin!(watchdog);
    let mut last_digest = None;
    loop {
        let passed = tokio::select! {
            // Fed meanwhile; it never ends by itself.
            () = &mut watchdog => continue,
            passed = pass(&equipment, environment, witness, &stop, &mut last_digest) => passed,
        };
        let mut wait = next_wait(equipment.config.daemon.interval);
        if let Err(error) = passed {
            error!(error = %chain(&error), "the pass came to nothing");
            wait = wait.min(RETRY);
            // A connection that broke is not mended by using it again.
            match equip.equip().await {
                Ok(fresh) => equipment = fresh,
                Err(error) => error!(error, "cannot set up again; the old connections are kept"),
            }
        }
        if stop.is_cancelled() {
            break;
        }
        watch.renew();
        let daemon = equipment.config.daemon.clone();
        tokio::select! {
            () = &mut watchdog => {}
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
            () = watch.changed(daemon.quiet, daemon.quiet_max) => info!("the tenants directory changed"),
            _ = hangup.recv() => {
                info!("SIGHUP: reading the configuration again");
                match equip.equip().await {
                    Ok(fresh) => {
                        equipment = fresh;
                        watch = watch::Watch::new(&equipment.config.tenants_dir);
                    }
                    Err(error) => error!(error, "the new configuration is not used; the old one stays"),
                }
            }
        }
    }
    service::stopping();
    info!("tenantd stops");
    Ok(())
}

/// The interval, a tenth more or less, so that many daemons do not ask their PBXs in step.
fn next_wait(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.9..=1.1))
}

async fn pass(
    equipment: &Equipment,
    environment: &dyn Environment,
    witness: &dyn Witness,
    stop: &CancellationToken,
    last_digest: &mut Option<String>,
) -> Result<(), StoreError> {
    let Equipment { config, database, readers, writers } = equipment;
    let loaded = crate::cli::read_directory(config).await;
    // A problem is told once, when the directory changed, and not in every pass.
    if last_digest.as_ref() != Some(&loaded.desired.digest) {
        for problem in &loaded.problems {
            if problem.is_error() {
                error!("{problem}");
            } else {
                warn!("{problem}");
            }
        }
        *last_digest = Some(loaded.desired.digest.clone());
    }
    if let Completeness::Unreadable { reason } = &loaded.desired.completeness {
        warn!(reason, "the tenants directory {reason}: nothing is changed until it can be read");
        service::status(&format!("the tenants directory {reason}"));
    }
    let reader = Reader {
        config,
        database,
        pbxs: readers,
        environment,
        rotation: Rotation::Share { interval: config.daemon.interval, cycle: config.daemon.settings_cycle },
    };
    let actor = match &loaded.desired.revision {
        Some(revision) => format!("daemon (commit {})", &revision[..revision.len().min(12)]),
        None => "daemon".to_owned(),
    };
    let look = reconcile::look(&reader, loaded.desired, Policy::new(config)).await?;
    let plan = look.plan();
    witness.planned(&plan);
    let writer = Writer { database, pbxs: writers, environment, actor, stop: stop.clone() };
    let outcome = reconcile::act(&writer, config, &look, &plan).await?;
    if !plan.steps.is_empty() {
        witness.applied(&plan, &outcome);
    }
    service::status(&format!(
        "{} tenants; last plan {}: {} done, {} failed, {} held",
        look.desired.tenants.len(),
        plan.id,
        outcome.done(),
        outcome.failed(),
        plan.held.len()
    ));
    Ok(())
}
