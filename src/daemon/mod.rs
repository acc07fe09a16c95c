//! The daemon: a pass at start, when the directory changes, on SIGHUP, and at an interval.
//!
//! Events only wake it; every pass reads everything. An error ends a pass, never the daemon.

pub mod asked;
mod restart;
mod service;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::apply::Outcome;
use crate::config::Config;
use crate::environment::Environment;
use crate::fusionpbx::{PbxRead, PbxWrite};
use crate::load;
use crate::model::{Completeness, Desired, InstanceKey};
use crate::observe::Rotation;
use crate::plan::{Plan, Policy};
use crate::reconcile::{self, Reader, Writer};
use crate::report::{self, chain};
use crate::store::{Database, Lease, StoreError};

/// What the daemon works with; made anew when the configuration is read anew.
pub struct Equipment {
    pub config: Config,
    pub database: Database,
    pub readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    pub writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
}

/// Makes the equipment: at start and on SIGHUP.
#[async_trait::async_trait]
pub trait Equip: Send + Sync {
    async fn equip(&self) -> Result<Equipment, String>;

    /// Opens the database again, after it failed. The PBX clients stay: their sessions, and what they learned of a
    /// server that is in trouble or rejects our password, have nothing to do with it.
    async fn reconnect(&self, config: &Config) -> Result<Database, String>;
}

/// After a pass that failed as a whole, the next comes after a tenth of the interval at most.
const RETRY: Duration = Duration::from_secs(15);

/// Told of each pass, for a program that shows them otherwise than in the log.
pub trait Witness: Send + Sync {
    fn planned(&self, plan: &Plan);
    /// The plan is the last one again, and there is still nothing to do: what is held was told already.
    fn unchanged(&self, plan: &Plan);
    fn applied(&self, plan: &Plan, outcome: &Outcome);
}

/// The journal is the daemon's witness.
pub struct Log;

impl Witness for Log {
    fn planned(&self, plan: &Plan) {
        report::log_plan(plan);
    }

    fn unchanged(&self, plan: &Plan) {
        info!(plan = %plan.id, held = plan.held.len(), "nothing changed: {} held as before", plan.held.len());
    }

    fn applied(&self, plan: &Plan, outcome: &Outcome) {
        report::log_outcome(plan, outcome);
    }
}

/// How often a stand-by asks whether the lease is free.
const STAND_BY: Duration = Duration::from_secs(2);

/// Runs until it is told to stop. The step in hand is finished then.
pub async fn run(
    equip: &dyn Equip,
    environment: &dyn Environment,
    witness: &dyn Witness,
    stop: CancellationToken,
) -> Result<(), String> {
    let equipment = equip.equip().await?;
    let hangup = signal(SignalKind::hangup()).map_err(|error| format!("cannot wait for SIGHUP: {error}"))?;
    service::ready();
    info!(
        tenants_dir = %equipment.config.tenants_dir.display(),
        instances = equipment.config.instances.len(),
        database = %equipment.config.database,
        "tenantd {} runs", env!("CARGO_PKG_VERSION")
    );
    let watch = watch::Watch::new(&equipment.config.tenants_dir);
    let mut daemon = Daemon {
        equip,
        environment,
        witness,
        stop,
        equipment,
        hangup,
        watch,
        lease: None,
        requests: asked::Requests::default(),
        told: Told::default(),
    };
    tokio::select! {
        // Fed as long as the runtime turns; it never ends by itself.
        () = service::feed_watchdog() => {}
        () = daemon.turn() => {}
    }
    service::stopping();
    if let Some(lease) = daemon.lease.take() {
        lease.release().await;
    }
    info!("tenantd stops");
    Ok(())
}

struct Daemon<'a> {
    equip: &'a dyn Equip,
    environment: &'a dyn Environment,
    witness: &'a dyn Witness,
    stop: CancellationToken,
    equipment: Equipment,
    hangup: tokio::signal::unix::Signal,
    watch: watch::Watch,
    lease: Option<Lease>,
    requests: asked::Requests,
    told: Told,
}

/// What was told already, so that a pass that finds nothing new does not tell it again.
#[derive(Debug, Default)]
struct Told {
    /// The directory whose problems were told.
    digest: Option<String>,
    /// The plan whose holds were told.
    plan: Option<String>,
    /// The unusual and the ignored files that were told.
    strange: BTreeSet<String>,
}

impl Told {
    /// What could be a tenant's file, and what is none, each told once while it is there.
    fn strange_files(&mut self, desired: &Desired) {
        let mut seen = BTreeSet::new();
        for problem in load::unusual_problems(&desired.unusual) {
            let line = problem.to_string();
            if !self.strange.contains(&line) {
                error!("{line}");
            }
            seen.insert(line);
        }
        let shown =
            desired.ignored.iter().filter(|file| !file.file.split('/').any(|part| part.starts_with('.')));
        for file in shown {
            let line = format!("{} is ignored: {}", file.file, file.reason);
            if !self.strange.contains(&line) {
                info!(file = file.file, "{line}");
            }
            seen.insert(line);
        }
        self.strange = seen;
    }
}

impl Daemon<'_> {
    async fn turn(&mut self) {
        if !self.take_lease().await || !self.rest_after_restart().await {
            return;
        }
        while !self.stop.is_cancelled() {
            if !self.take_lease().await {
                return;
            }
            self.watch.renew();
            let asked = self.requests.waiting(&self.equipment.database).await;
            let passed = self.pass().await;
            if let Some(asked) = asked {
                let answer = match &passed {
                    Ok((plan, outcome)) => Ok((plan, outcome)),
                    Err(error) => Err(chain(error)),
                };
                let database = self.equipment.database.clone();
                self.requests.answer(&database, self.environment, asked, answer).await;
            }
            let mut wait = next_wait(self.equipment.config.daemon.interval);
            match passed {
                Ok(_) => {}
                Err(StoreError::LeaseLost) => {
                    self.lease = None;
                    continue;
                }
                Err(error) => {
                    error!(error = %chain(&error), "the pass came to nothing");
                    wait = wait.min(RETRY);
                    // A connection that broke is not mended by using it again.
                    self.reconnect().await;
                }
            }
            if self.stop.is_cancelled() || !self.wait(wait).await {
                return;
            }
        }
    }

    /// Waits for the lease if another tenantd has it. False when asked to stop meanwhile.
    async fn take_lease(&mut self) -> bool {
        if self.lease.as_ref().is_some_and(Lease::is_live) {
            return true;
        }
        self.lease = None;
        let mut told = false;
        loop {
            match self.equipment.database.lease(&holder()).await {
                Ok(Ok(lease)) => {
                    if told {
                        info!("took over the writer's lease");
                    }
                    self.lease = Some(lease);
                    return true;
                }
                Ok(Err(by)) if !told => {
                    info!(holder = %by, "standing by: {by} holds the writer's lease");
                    service::status(&format!("standing by for {by}"));
                    told = true;
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    error!(error = %chain(&error), "cannot ask for the writer's lease");
                    self.reconnect().await;
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(STAND_BY) => {}
            }
        }
    }

    /// A start soon after another waits before its first request. False when asked to stop meanwhile.
    async fn rest_after_restart(&self) -> bool {
        let rest = match restart::rest(&self.equipment.database, self.environment).await {
            Ok(rest) => rest,
            Err(error) => {
                warn!(error = %chain(&error), "when tenantd started last is not known");
                None
            }
        };
        let Some(rest) = rest else { return true };
        let rest_ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        info!(rest_ms, "started again so soon: the first pass comes in {:.1} s", rest.as_secs_f64());
        service::status("started again so soon: resting before the first pass");
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(rest) => true,
        }
    }

    /// Opens the database again. Where it cannot be had, the old one stays in use.
    async fn reconnect(&mut self) {
        match self.equip.reconnect(&self.equipment.config).await {
            Ok(database) => {
                self.give_the_lease_back().await;
                self.equipment.database = database;
            }
            Err(error) => error!(error, "cannot open the database again"),
        }
    }

    /// Reads the configuration and connects anew. What cannot be had leaves the old in use.
    async fn equip_again(&mut self) {
        match self.equip.equip().await {
            Ok(fresh) => {
                self.give_the_lease_back().await;
                if fresh.config.tenants_dir != self.equipment.config.tenants_dir {
                    self.watch = watch::Watch::new(&fresh.config.tenants_dir);
                }
                self.equipment = fresh;
            }
            Err(error) => error!(error, "cannot set up again; what was there stays in use"),
        }
    }

    async fn give_the_lease_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release().await;
        }
    }

    /// Waits for whatever brings the next pass. False when asked to stop.
    async fn wait(&mut self, interval: Duration) -> bool {
        let config = self.equipment.config.daemon.clone();
        let database = self.equipment.database.clone();
        tokio::select! {
            () = self.stop.cancelled() => return false,
            () = tokio::time::sleep(interval) => {}
            () = self.watch.changed(config.quiet, config.quiet_max) => info!("the tenants directory changed"),
            () = self.requests.asked(&database) => info!("a pass was asked for"),
            _ = self.hangup.recv() => {
                info!("SIGHUP: reading the configuration again");
                self.equip_again().await;
            }
        }
        true
    }

    async fn pass(&mut self) -> Result<(Plan, Outcome), StoreError> {
        let Some(lease) = &self.lease else { return Err(StoreError::LeaseLost) };
        let database = lease.database();
        pass(&self.equipment, &database, self.environment, self.witness, &self.stop, &mut self.told).await
    }
}

/// Who holds a lease, for whoever waits for it.
pub fn holder() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("tenantd on {machine}, process {}", std::process::id())
}

/// The interval, a tenth more or less, so that many daemons do not ask their PBXs in step.
fn next_wait(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.9..=1.1))
}

async fn pass(
    equipment: &Equipment,
    database: &Database,
    environment: &dyn Environment,
    witness: &dyn Witness,
    stop: &CancellationToken,
    told: &mut Told,
) -> Result<(Plan, Outcome), StoreError> {
    let Equipment { config, database: _, readers, writers } = equipment;
    let loaded = crate::cli::read_directory(config).await;
    // A problem is told once, when the directory changed, and not in every pass.
    let is_readable = !matches!(loaded.desired.completeness, Completeness::Unreadable { .. });
    if told.digest.as_ref() != Some(&loaded.desired.digest) {
        // That nothing could be read is told below, in every pass, and unusual files by themselves.
        let unusual = load::unusual_problems(&loaded.desired.unusual);
        for problem in loaded.problems.iter().filter(|problem| is_readable && !unusual.contains(problem)) {
            if problem.is_error() {
                error!("{problem}");
            } else {
                warn!("{problem}");
            }
        }
        told.digest = Some(loaded.desired.digest.clone());
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
    if is_readable {
        told.strange_files(&look.desired);
    }
    let plan = look.plan();
    if plan.steps.is_empty() && told.plan.as_ref() == Some(&plan.id) {
        witness.unchanged(&plan);
    } else {
        witness.planned(&plan);
    }
    told.plan = Some(plan.id.clone());
    let writer = Writer { database, pbxs: writers, environment, actor, stop: stop.clone() };
    let outcome = reconcile::act(&writer, config, &look, &plan).await?;
    if !plan.steps.is_empty() {
        witness.applied(&plan, &outcome);
    }
    // A tenth more or less, as the pass itself: many daemons do not read their PBXs' users in step.
    let interval = config.daemon.user_sync.map(next_wait);
    reconcile::sync_users(&reader, &writer, &look, &outcome, interval).await;
    service::status(&format!(
        "{} tenants; last plan {}: {} done, {} failed, {} held",
        look.desired.tenants.len(),
        plan.id,
        outcome.done(),
        outcome.failed(),
        plan.held.len()
    ));
    Ok((plan, outcome))
}
