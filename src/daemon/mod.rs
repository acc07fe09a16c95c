//! The daemon: a pass at start, when the directory changes, on SIGHUP, and at an interval.
//!
//! Events only wake it; every pass reads everything. An error ends a pass, never the daemon.

pub mod asked;
mod pass;
mod pulse;
mod restart;
mod service;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::apply::Outcome;
use crate::config::Config;
use crate::environment::{Environment, to_the_minute};
use crate::fusionpbx::{PbxRead, PbxWrite};
use crate::model::{DaemonState, Heartbeat, InstanceKey};
use crate::plan::Plan;
use crate::report::{self, News, chain};
use crate::store::{Database, Lease, StoreError, holder};

use pass::{Surroundings, Told, pass};
use pulse::Pulse;
use service::Readiness;

/// What the daemon works with; made anew when the configuration is read anew.
pub struct Equipment {
    pub config: Config,
    pub database: Database,
    pub readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    pub writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
}

/// Why there is no equipment: the configuration, a credential, or the database.
#[derive(Clone, Debug)]
pub struct NotEquipped {
    pub message: String,
    /// What is wrong in the configuration, a line each.
    pub problems: Vec<String>,
}

impl NotEquipped {
    /// The first problem says more than how many there are.
    fn in_a_line(&self) -> String {
        match self.problems.as_slice() {
            [] => self.message.clone(),
            [only] => only.clone(),
            [first, others @ ..] => format!("{first} (and {} more)", report::count(others.len(), "error")),
        }
    }
}

/// Makes the equipment: at start and on SIGHUP.
#[async_trait::async_trait]
pub trait Equip: Send + Sync {
    async fn equip(&self) -> Result<Equipment, NotEquipped>;

    /// Opens the database again, after it failed. The PBX clients stay: their sessions, and what they learned of a
    /// server that is in trouble or rejects our password, have nothing to do with it.
    async fn reconnect(&self, config: &Config) -> Result<Database, String>;
}

/// After a pass that failed as a whole, the next comes after a tenth of the interval at most.
const RETRY: Duration = Duration::from_secs(15);

/// Told of each pass, for a program that shows them otherwise than in the log.
pub trait Witness: Send + Sync {
    /// There is something to do, or `news`: what was not told yet, or is over.
    fn planned(&self, plan: &Plan, news: &News<'_>);
    /// There is nothing to do, and all that is held was told already.
    fn unchanged(&self, plan: &Plan);
    fn applied(&self, plan: &Plan, outcome: &Outcome);
}

/// The journal is the daemon's witness.
pub struct Log;

impl Witness for Log {
    fn planned(&self, plan: &Plan, news: &News<'_>) {
        report::log_plan(plan, news);
    }

    fn unchanged(&self, plan: &Plan) {
        debug!(plan = %plan.id, held = plan.held.len(), "nothing changed: {} held as before", plan.held.len());
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
) -> Result<(), NotEquipped> {
    service::status("reading the configuration and opening the database");
    let equipment = equip.equip().await?;
    let hangup = signal(SignalKind::hangup()).map_err(|error| NotEquipped {
        message: format!("cannot wait for SIGHUP: {error}"),
        problems: Vec::new(),
    })?;
    let readiness = Readiness::default();
    let interval = equipment.config.daemon.interval;
    let pulse = Pulse::new(equipment.database.clone(), holder::daemon(), interval, environment.now());
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
        readiness: &readiness,
        pulse: &pulse,
        trouble: None,
        old_configuration: None,
    };
    tokio::select! {
        // Fed as long as the runtime turns; it never ends by itself.
        () = service::feed_watchdog() => {}
        () = readiness.ask_for_time() => {}
        () = pulse.go_on(environment) => {}
        () = daemon.turn() => {}
    }
    service::stopping();
    pulse.beat(environment, |beat| (beat.state, beat.next_pass_at) = (DaemonState::Stopped, None)).await;
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
    readiness: &'a Readiness,
    pulse: &'a Pulse,
    /// Why the last run came to nothing, where it did.
    trouble: Option<String>,
    /// Since when, and why, an older configuration than the file's is in use.
    old_configuration: Option<(DateTime<Utc>, String)>,
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
            let passed = self.pass_with_life_signs().await;
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
                Ok(_) => self.in_order_again(),
                Err(StoreError::LeaseLost) => {
                    self.lease = None;
                    continue;
                }
                Err(error) => {
                    wait = wait.min(RETRY);
                    self.tell_trouble(&error, wait);
                    // A connection that broke is not mended by using it again.
                    self.reconnect().await;
                }
            }
            self.readiness.ready();
            if self.stop.is_cancelled() {
                return;
            }
            let next = self.environment.now() + TimeDelta::from_std(wait).unwrap_or_default();
            self.pulse.beat(self.environment, |beat| beat.next_pass_at = Some(next)).await;
            if !self.wait(wait).await {
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
            match self.equipment.database.lease(&holder::daemon()).await {
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
                    self.readiness.ready();
                    let stands_by = |beat: &mut Heartbeat| {
                        (beat.state, beat.next_pass_at) = (DaemonState::StandingBy, None);
                    };
                    self.pulse.beat(self.environment, stands_by).await;
                    told = true;
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    self.tell_trouble(&error, STAND_BY);
                    self.readiness.ready();
                    self.reconnect().await;
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                _ = self.hangup.recv() => self.reload().await,
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
                self.pulse.moved(database.clone(), self.equipment.config.daemon.interval);
                self.equipment.database = database;
            }
            Err(error) => debug!(error, "cannot open the database again"),
        }
    }

    /// Reads the configuration and connects anew. What cannot be had leaves the old in use.
    async fn reload(&mut self) {
        info!("SIGHUP: reading the configuration again");
        self.readiness.reloading();
        match self.equip.equip().await {
            Ok(fresh) => {
                self.give_the_lease_back().await;
                if fresh.config.tenants_dir != self.equipment.config.tenants_dir {
                    self.watch = watch::Watch::new(&fresh.config.tenants_dir);
                }
                self.pulse.moved(fresh.database.clone(), fresh.config.daemon.interval);
                self.equipment = fresh;
                self.old_configuration = None;
                service::old_configuration(None);
                info!("the configuration was read again and is in use");
                self.readiness.reloaded("the configuration was read again");
                self.pulse.beat(self.environment, |beat| note_configuration(beat, None)).await;
            }
            Err(error) => {
                let text = format!("Configuration not reloaded: {}", error.in_a_line());
                let problems = serde_json::to_string(&error.problems).unwrap_or_default();
                error!(problems, "{text}. tenantd keeps running with the previous configuration.");
                self.readiness.reloaded(&text);
                // From the first that failed on: it is that long that the file and what is in use differ.
                let since =
                    self.old_configuration.take().map_or_else(|| self.environment.now(), |(at, _)| at);
                let old = (since, error.in_a_line());
                service::old_configuration(Some(format!(
                    "an old configuration is in use since {}: {}",
                    to_the_minute(since),
                    old.1
                )));
                self.pulse.beat(self.environment, |beat| note_configuration(beat, Some(&old))).await;
                self.old_configuration = Some(old);
            }
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
            _ = self.hangup.recv() => self.reload().await,
        }
        true
    }

    async fn pass(&mut self) -> Result<(Plan, Outcome), StoreError> {
        let Some(lease) = &self.lease else { return Err(StoreError::LeaseLost) };
        let database = lease.database();
        let around = Surroundings {
            database: &database,
            environment: self.environment,
            witness: self.witness,
            stop: &self.stop,
            readiness: self.readiness,
        };
        pass(&self.equipment, &around, &mut self.told).await
    }

    async fn pass_with_life_signs(&mut self) -> Result<(Plan, Outcome), StoreError> {
        let started = self.environment.now();
        let begins = |beat: &mut Heartbeat| {
            (beat.state, beat.pass_started_at, beat.next_pass_at) =
                (DaemonState::Serving, Some(started), None);
        };
        self.pulse.beat(self.environment, begins).await;
        let passed = self.pass().await;
        let ended = self.environment.now();
        let old_configuration = self.old_configuration.clone();
        let ends = |beat: &mut Heartbeat| {
            beat.pass_ended_at = Some(ended);
            match &passed {
                Ok((plan, outcome)) => {
                    beat.pass_result = Some(report::in_a_word(plan, outcome));
                    (beat.last_error, beat.last_error_at) = (None, None);
                    note_configuration(beat, old_configuration.as_ref());
                }
                Err(error) => {
                    beat.pass_result = Some("failed".to_owned());
                    (beat.last_error, beat.last_error_at) = (Some(chain(error)), Some(ended));
                }
            }
        };
        self.pulse.beat(self.environment, ends).await;
        passed
    }

    /// Tells why a run came to nothing, once for each reason.
    fn tell_trouble(&mut self, error: &StoreError, wait: Duration) {
        let error = chain(error);
        if self.trouble.as_ref() == Some(&error) {
            return debug!(error, "the run failed again");
        }
        let seconds = wait.as_secs_f64().ceil();
        error!(error, "run failed: {error}. Nothing more was changed; trying again in {seconds} s.");
        service::status(&format!("run failed: {error}"));
        self.trouble = Some(error);
    }

    fn in_order_again(&mut self) {
        if let Some(before) = self.trouble.take() {
            info!(before, "the database is back: runs are carried out again");
        }
    }
}

/// Where a run failed since, that is what the life sign says: the greater trouble.
fn note_configuration(beat: &mut Heartbeat, old: Option<&(DateTime<Utc>, String)>) {
    if beat.last_error.is_some() && beat.old_configuration().is_none() {
        return;
    }
    match old {
        Some((since, why)) => beat.note_old_configuration(why, *since),
        None => (beat.last_error, beat.last_error_at) = (None, None),
    }
}

/// The interval, a tenth more or less, so that many daemons do not ask their PBXs in step.
fn next_wait(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.9..=1.1))
}
