//! The daemon: a pass at start, when the directory changes, on SIGHUP, and at an interval.
//!
//! Events only wake it; every pass reads everything. An error ends a pass, never the daemon.

mod heartbeat;
mod pass;
pub mod pass_requests;
mod restart_delay;
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
use crate::report::{self, PlanChanges, chain};
use crate::store::{Database, Lease, StoreError, lease_holder};

use heartbeat::HeartbeatWriter;
use pass::{PassContext, Reported, pass};
use service::ServiceManager;

/// What the daemon works with; created again when the configuration is read again.
pub struct Resources {
    pub config: Config,
    pub database: Database,
    pub readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    pub writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
}

/// Why the daemon cannot be set up: the configuration, a credential, or the database.
#[derive(Clone, Debug)]
pub struct SetUpError {
    pub message: String,
    /// What is wrong in the configuration, a line each.
    pub problems: Vec<String>,
}

impl SetUpError {
    /// The first problem says more than how many there are.
    fn in_a_line(&self) -> String {
        match self.problems.as_slice() {
            [] => self.message.clone(),
            [only] => only.clone(),
            [first, others @ ..] => format!("{first} (and {} more)", report::count(others.len(), "error")),
        }
    }
}

/// Makes the resources: at start and on SIGHUP.
#[async_trait::async_trait]
pub trait SetUp: Send + Sync {
    async fn set_up(&self) -> Result<Resources, SetUpError>;

    /// Opens the database again, after it failed. The PBX clients stay: their sessions, and what they learned of a
    /// server that is in trouble or rejects our password, have nothing to do with it.
    async fn reconnect(&self, config: &Config) -> Result<Database, String>;
}

/// After a pass that failed as a whole, the next comes after a tenth of the interval at most.
const RETRY: Duration = Duration::from_secs(15);

/// Is called with each pass, for a program that shows them otherwise than in the log.
pub trait PassListener: Send + Sync {
    /// There is something to do, or `changes` since the plan before.
    fn planned(&self, plan: &Plan, changes: &PlanChanges<'_>);
    /// There is nothing to do, and all that is held was reported already.
    fn unchanged(&self, plan: &Plan);
    fn applied(&self, plan: &Plan, outcome: &Outcome);
}

/// The journal listens to the daemon's passes.
pub struct LogListener;

impl PassListener for LogListener {
    fn planned(&self, plan: &Plan, changes: &PlanChanges<'_>) {
        report::log_plan(plan, changes);
    }

    fn unchanged(&self, plan: &Plan) {
        debug!(plan = %plan.id, held = plan.held.len(), "no changes; {} held as before", plan.held.len());
    }

    fn applied(&self, plan: &Plan, outcome: &Outcome) {
        report::log_outcome(plan, outcome);
    }
}

/// How often a stand-by asks whether the lease is free.
const STAND_BY: Duration = Duration::from_secs(2);

/// Runs until it is reported to stop. The step in hand is finished then.
pub async fn run(
    set_up: &dyn SetUp,
    environment: &dyn Environment,
    listener: &dyn PassListener,
    stop: CancellationToken,
) -> Result<(), SetUpError> {
    let service_manager = ServiceManager::default();
    service_manager.status("reading the configuration and opening the database");
    let resources = set_up.set_up().await?;
    let hangup = signal(SignalKind::hangup()).map_err(|error| SetUpError {
        message: format!("cannot listen for SIGHUP: {error}"),
        problems: Vec::new(),
    })?;
    let interval = resources.config.daemon.interval;
    let heartbeat =
        HeartbeatWriter::new(resources.database.clone(), lease_holder::daemon(), interval, environment.now());
    info!(
        tenants_dir = %resources.config.tenants_dir.display(),
        instances = resources.config.instances.len(),
        database = %resources.config.database,
        "tenantd {} started", env!("CARGO_PKG_VERSION")
    );
    let watch = watch::Watch::new(&resources.config.tenants_dir);
    let mut daemon = Daemon {
        set_up,
        environment,
        listener,
        stop,
        resources,
        hangup,
        watch,
        lease: None,
        requests: pass_requests::PassRequests::default(),
        reported: Reported::default(),
        service_manager: &service_manager,
        heartbeat: &heartbeat,
        last_failure: None,
        old_configuration: None,
    };
    tokio::select! {
        // Fed as long as the runtime turns; it never ends by itself.
        () = service::feed_watchdog() => {}
        () = service_manager.ask_for_time() => {}
        () = heartbeat.go_on(environment) => {}
        () = daemon.serve() => {}
    }
    service::stopping();
    heartbeat.beat(environment, |beat| (beat.state, beat.next_pass_at) = (DaemonState::Stopped, None)).await;
    if let Some(lease) = daemon.lease.take() {
        lease.release().await;
    }
    info!("tenantd stops");
    Ok(())
}

struct Daemon<'a> {
    set_up: &'a dyn SetUp,
    environment: &'a dyn Environment,
    listener: &'a dyn PassListener,
    stop: CancellationToken,
    resources: Resources,
    hangup: tokio::signal::unix::Signal,
    watch: watch::Watch,
    lease: Option<Lease>,
    requests: pass_requests::PassRequests,
    reported: Reported,
    service_manager: &'a ServiceManager,
    heartbeat: &'a HeartbeatWriter,
    /// Why the last run failed, where it did.
    last_failure: Option<String>,
    /// Since when, and why, an older configuration than the file's is in use.
    old_configuration: Option<(DateTime<Utc>, String)>,
}

impl Daemon<'_> {
    async fn serve(&mut self) {
        if !self.take_lease().await || !self.wait_after_restart().await {
            return;
        }
        while !self.stop.is_cancelled() {
            if !self.take_lease().await {
                return;
            }
            self.watch.renew();
            let request = self.requests.waiting(&self.resources.database).await;
            let passed = self.pass_with_heartbeats().await;
            if let Some(request) = request {
                let answer = match &passed {
                    Ok((plan, outcome)) => Ok((plan, outcome)),
                    Err(error) => Err(chain(error)),
                };
                let database = self.resources.database.clone();
                self.requests.answer(&database, self.environment, request, answer).await;
            }
            let mut wait = next_wait(self.resources.config.daemon.interval);
            match passed {
                Ok(_) => self.report_recovery(),
                Err(StoreError::LeaseLost) => {
                    self.lease = None;
                    continue;
                }
                Err(error) => {
                    wait = wait.min(RETRY);
                    self.report_failure(&error, wait);
                    // A connection that broke is not repaired by using it again.
                    self.reconnect().await;
                }
            }
            self.service_manager.ready();
            if self.stop.is_cancelled() {
                return;
            }
            let next = self.environment.now() + TimeDelta::from_std(wait).unwrap_or_default();
            self.heartbeat.beat(self.environment, |beat| beat.next_pass_at = Some(next)).await;
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
        let mut reported = false;
        loop {
            match self.resources.database.lease(&lease_holder::daemon()).await {
                Ok(Ok(lease)) => {
                    if reported {
                        info!("took over the writer's lease");
                    }
                    self.lease = Some(lease);
                    return true;
                }
                Ok(Err(by)) if !reported => {
                    info!(holder = %by, "standing by, because {by} holds the writer's lease");
                    self.service_manager.status(&format!("standing by for {by}"));
                    self.service_manager.ready();
                    let stands_by = |beat: &mut Heartbeat| {
                        (beat.state, beat.next_pass_at) = (DaemonState::StandingBy, None);
                    };
                    self.heartbeat.beat(self.environment, stands_by).await;
                    reported = true;
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    self.report_failure(&error, STAND_BY);
                    self.service_manager.ready();
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
    async fn wait_after_restart(&self) -> bool {
        let rest = match restart_delay::rest(&self.resources.database, self.environment).await {
            Ok(rest) => rest,
            Err(error) => {
                warn!(error = %chain(&error), "the time of the last start cannot be read");
                None
            }
        };
        let Some(rest) = rest else { return true };
        let rest_ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        info!(
            rest_ms,
            "restarted within a minute; waiting {:.1} s before the first request to a PBX",
            rest.as_secs_f64()
        );
        self.service_manager.status("restarted within a minute; waiting before the first request to a PBX");
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(rest) => true,
        }
    }

    /// Opens the database again. Where it cannot be had, the old one stays in use.
    async fn reconnect(&mut self) {
        match self.set_up.reconnect(&self.resources.config).await {
            Ok(database) => {
                self.release_lease().await;
                self.heartbeat.moved(database.clone(), self.resources.config.daemon.interval);
                self.resources.database = database;
            }
            Err(error) => debug!(error, "cannot reconnect to the database"),
        }
    }

    /// Reads the configuration and connects again. What cannot be had leaves the old in use.
    async fn reload(&mut self) {
        info!("SIGHUP: reloading the configuration");
        self.service_manager.reloading();
        match self.set_up.set_up().await {
            Ok(fresh) => {
                self.release_lease().await;
                if fresh.config.tenants_dir != self.resources.config.tenants_dir {
                    self.watch = watch::Watch::new(&fresh.config.tenants_dir);
                }
                self.heartbeat.moved(fresh.database.clone(), fresh.config.daemon.interval);
                self.resources = fresh;
                self.old_configuration = None;
                self.service_manager.set_old_configuration(None);
                info!("the configuration was reloaded");
                self.service_manager.reloaded("the configuration was reloaded");
                self.heartbeat.beat(self.environment, |beat| note_configuration(beat, None)).await;
            }
            Err(error) => {
                let text = format!("Configuration not reloaded: {}", error.in_a_line());
                let problems = serde_json::to_string(&error.problems).unwrap_or_default();
                error!(problems, "{text}. tenantd keeps running with the previous configuration.");
                self.service_manager.reloaded(&text);
                // From the first that failed on: it is that long that the file and what is in use differ.
                let since =
                    self.old_configuration.take().map_or_else(|| self.environment.now(), |(at, _)| at);
                let old = (since, error.in_a_line());
                self.service_manager.set_old_configuration(Some(format!(
                    "the previous configuration is in use since {}: {}",
                    to_the_minute(since),
                    old.1
                )));
                self.heartbeat.beat(self.environment, |beat| note_configuration(beat, Some(&old))).await;
                self.old_configuration = Some(old);
            }
        }
    }

    async fn release_lease(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release().await;
        }
    }

    /// Waits for whatever brings the next pass. False when asked to stop.
    async fn wait(&mut self, interval: Duration) -> bool {
        let config = self.resources.config.daemon.clone();
        let database = self.resources.database.clone();
        tokio::select! {
            () = self.stop.cancelled() => return false,
            () = tokio::time::sleep(interval) => {}
            () = self.watch.changed(config.quiet, config.quiet_max) => info!("the tenants directory changed"),
            () = self.requests.requested(&database) => info!("a run was requested"),
            _ = self.hangup.recv() => self.reload().await,
        }
        true
    }

    async fn pass(&mut self) -> Result<(Plan, Outcome), StoreError> {
        let Some(lease) = &self.lease else { return Err(StoreError::LeaseLost) };
        let database = lease.database();
        let context = PassContext {
            database: &database,
            environment: self.environment,
            listener: self.listener,
            stop: &self.stop,
            service_manager: self.service_manager,
        };
        pass(&self.resources, &context, &mut self.reported).await
    }

    async fn pass_with_heartbeats(&mut self) -> Result<(Plan, Outcome), StoreError> {
        let started = self.environment.now();
        let begins = |beat: &mut Heartbeat| {
            (beat.state, beat.pass_started_at, beat.next_pass_at) =
                (DaemonState::Serving, Some(started), None);
        };
        self.heartbeat.beat(self.environment, begins).await;
        let passed = self.pass().await;
        let ended = self.environment.now();
        let ends = |beat: &mut Heartbeat| {
            beat.pass_ended_at = Some(ended);
            match &passed {
                Ok((plan, outcome)) => {
                    beat.pass_result = Some(report::in_a_word(plan, outcome));
                    (beat.last_error, beat.last_error_at) = (None, None);
                }
                Err(error) => {
                    beat.pass_result = Some("failed".to_owned());
                    (beat.last_error, beat.last_error_at) = (Some(chain(error)), Some(ended));
                }
            }
        };
        self.heartbeat.beat(self.environment, ends).await;
        passed
    }

    /// Tells why a run failed, once for each reason.
    fn report_failure(&mut self, error: &StoreError, wait: Duration) {
        let error = chain(error);
        if self.last_failure.as_ref() == Some(&error) {
            return debug!(error, "the run failed again");
        }
        let seconds = wait.as_secs_f64().ceil();
        error!(error, "run failed: {error}. Nothing more was changed; trying again in {seconds} s.");
        self.service_manager.status(&format!("run failed: {error}"));
        self.last_failure = Some(error);
    }

    fn report_recovery(&mut self) {
        if let Some(before) = self.last_failure.take() {
            info!(before, "the database is available again");
        }
    }
}

fn note_configuration(beat: &mut Heartbeat, old: Option<&(DateTime<Utc>, String)>) {
    beat.configuration_error = old.map(|(_, why)| why.clone());
    beat.configuration_error_at = old.map(|(since, _)| *since);
}

/// The interval, a tenth more or less, so that many daemons do not ask their PBXs in step.
fn next_wait(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.9..=1.1))
}
