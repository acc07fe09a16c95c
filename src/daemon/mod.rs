//! The daemon: a pass at start, when the directory changes, on SIGHUP, and at an interval.
//!
//! Events only wake it; every pass reads all files and the database. A change of files is planned against the instances of
//! the tenants that it concerns, everything else against all of them. An error ends a pass, never the daemon.

mod compare;
mod heartbeat;
mod pass;
pub mod pass_requests;
mod restart_delay;
pub mod scope;
mod service;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::apply::Outcome;
use crate::config::Config;
use crate::environment::{Environment, to_the_minute};
use crate::fusionpbx::{PbxRead, PbxWrite};
use crate::load;
use crate::model::{DaemonState, Heartbeat, InstanceKey};
use crate::observe::Rotation;
use crate::plan::Plan;
use crate::report::{self, PlanChanges, chain};
use crate::store::{Database, Lease, StoreError, lease_holder};

use compare::Comparisons;
use heartbeat::HeartbeatWriter;
use pass::{PassContext, Passed, Reported, WholePass, pass};
use pass_requests::Request;
use scope::Before;
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

/// What brings a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// The tenants directory changed.
    Directory,
    /// The start, the interval, a request, a decision or a signal: the pass looks at everything.
    Everything,
}

/// Until something else than time brings the next pass.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// How many passes in a row a changing directory may interrupt. The next one is not interrupted.
const MAX_INTERRUPTIONS: usize = 5;

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
        comparisons: Comparisons::default(),
        files: load::Cache::default(),
        before: None,
        full_pass_due: Instant::now(),
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
    comparisons: Comparisons,
    files: load::Cache,
    /// What the last passes left.
    before: Option<Before>,
    /// When the next pass over everything comes.
    full_pass_due: Instant,
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
        let mut interrupted = 0;
        let mut wake = Wake::Everything;
        while !self.stop.is_cancelled() {
            if !self.take_lease().await {
                return;
            }
            self.watch.renew();
            let (request, is_woken) = self.requests.waiting(&self.resources.database).await;
            if request.is_some() || is_woken || self.comparisons.has_differences() {
                wake = Wake::Everything;
            }
            let may_be_interrupted = request.is_none() && interrupted < MAX_INTERRUPTIONS;
            let passed = self.pass_with_heartbeats(request.as_ref(), wake, may_be_interrupted).await;
            if let Some(request) = request {
                let answer = match &passed {
                    Ok(Passed::Whole(pass)) => Ok((&pass.plan, &pass.outcome)),
                    Ok(Passed::Interrupted) => Err("the tenants directory changed".to_owned()),
                    Err(error) => Err(chain(error)),
                };
                let database = self.resources.database.clone();
                self.requests.answer(&database, self.environment, request, answer).await;
            }
            let mut wait = self.full_pass_due.saturating_duration_since(Instant::now());
            match passed {
                // What changed comes first, and everything after it.
                Ok(Passed::Interrupted) => {
                    interrupted += 1;
                    wait = FOREVER;
                }
                Ok(Passed::Whole(pass)) => {
                    interrupted = 0;
                    self.report_recovery();
                    if self.note_pass(*pass) {
                        wait = next_wait(self.resources.config.daemon.interval);
                        self.full_pass_due = Instant::now() + wait;
                    }
                }
                Err(StoreError::LeaseLost) => {
                    self.lease = None;
                    wake = Wake::Everything;
                    continue;
                }
                Err(error) => {
                    wait = next_wait(self.resources.config.daemon.interval).min(RETRY);
                    self.before = None;
                    self.report_failure(&error, wait);
                    // A connection that broke is not repaired by using it again.
                    self.reconnect().await;
                }
            }
            self.service_manager.ready();
            if self.stop.is_cancelled() {
                return;
            }
            if wait < FOREVER {
                let next = self.environment.now() + TimeDelta::from_std(wait).unwrap_or_default();
                self.heartbeat.beat(self.environment, |beat| beat.next_pass_at = Some(next)).await;
            }
            match self.wait(wait).await {
                Some(by) => wake = by,
                None => return,
            }
        }
    }

    /// Notes what a pass leaves for the next one. Returns whether it looked at everything.
    fn note_pass(&mut self, pass: WholePass) -> bool {
        let WholePass { scope, inputs, plan, outcome } = pass;
        match scope {
            None => {
                let inputs = Arc::new(inputs);
                self.before = Some(Before::full_pass(Arc::clone(&inputs), &plan, &outcome));
                self.comparisons.after(inputs, &plan, self.resources.config.daemon.settings_cycle);
                true
            }
            Some(scope) => {
                if let Some(before) = &mut self.before {
                    before.narrow_pass(inputs.desired, &plan, &outcome);
                }
                self.comparisons.leave_out(&scope.tenants);
                false
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
                // Files are parsed against the configuration.
                self.files = load::Cache::default();
                self.before = None;
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

    /// Waits for whatever brings the next pass. `None` when asked to stop.
    async fn wait(&mut self, interval: Duration) -> Option<Wake> {
        let config = self.resources.config.daemon.clone();
        let database = self.resources.database.clone();
        let leased = self.lease.as_ref().map_or_else(|| database.clone(), Lease::database);
        tokio::select! {
            () = self.stop.cancelled() => return None,
            () = tokio::time::sleep(interval) => {}
            () = self.watch.changed(config.quiet, config.quiet_max) => {
                info!("the tenants directory changed");
                return Some(Wake::Directory);
            }
            () = self.requests.requested(&database) => info!("a run was requested"),
            () = self.comparisons.find_difference(&self.resources.readers, &leased, self.environment) => {
                debug!("the settings of tenants differ from their files");
            }
            _ = self.hangup.recv() => self.reload().await,
        }
        Some(Wake::Everything)
    }

    async fn pass(
        &mut self,
        rotation: Rotation,
        wake: Wake,
        may_be_interrupted: bool,
    ) -> Result<Passed, StoreError> {
        let Some(lease) = &self.lease else { return Err(StoreError::LeaseLost) };
        let database = lease.database();
        self.comparisons.save(&database, self.environment).await;
        let context = PassContext {
            database: &database,
            environment: self.environment,
            listener: self.listener,
            stop: &self.stop,
            service_manager: self.service_manager,
            rotation,
            before: self.before.as_ref().filter(|_| wake == Wake::Directory),
            was_watched: wake == Wake::Directory && self.watch.sends_events(),
        };
        let watch = may_be_interrupted.then_some(&mut self.watch);
        pass(&self.resources, context, watch, &mut self.files, &mut self.reported).await
    }

    async fn pass_with_heartbeats(
        &mut self,
        request: Option<&Request>,
        wake: Wake,
        may_be_interrupted: bool,
    ) -> Result<Passed, StoreError> {
        let started = self.environment.now();
        let begins = |beat: &mut Heartbeat| {
            (beat.state, beat.pass_started_at, beat.next_pass_at) =
                (DaemonState::Serving, Some(started), None);
        };
        self.heartbeat.beat(self.environment, begins).await;
        let rotation = match request {
            Some(request) if request.compares_all => Rotation::All,
            _ => Rotation::Some { named: self.comparisons.differences(), oldest: 0 },
        };
        let passed = self.pass(rotation, wake, may_be_interrupted).await;
        let ended = self.environment.now();
        let ends = |beat: &mut Heartbeat| {
            beat.pass_ended_at = Some(ended);
            match &passed {
                Ok(Passed::Interrupted) => {
                    beat.pass_result = Some("interrupted by a change of the tenants directory".to_owned());
                }
                Ok(Passed::Whole(pass)) => {
                    beat.pass_result = Some(report::in_a_word(&pass.plan, &pass.outcome));
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
