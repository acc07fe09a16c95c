//! One pass of the daemon, and what of it is new.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::scope::{self, Before, Scope};
use super::service::ServiceManager;
use super::watch::Watch;
use super::{PassListener, Resources, next_wait};
use crate::apply::Outcome;
use crate::environment::Environment;
use crate::inputs::PassInputs;
use crate::load::{self, Loaded};
use crate::model::{Completeness, Desired};
use crate::observe::Rotation;
use crate::plan::{Plan, Policy};
use crate::reconcile::{self, Reader, Writer};
use crate::report::{self, count};
use crate::store::{Database, StoreError};

/// What was reported already, so that a pass that finds nothing new does not report it again.
#[derive(Debug, Default)]
pub(super) struct Reported {
    files: report::ReportedFiles,
    plan: report::Reported,
    /// The unusual and the ignored files that were reported.
    strange: BTreeSet<String>,
}

impl Reported {
    /// What could be a tenant's file, and what is none, each reported once while it is there.
    fn strange_files(&mut self, desired: &Desired) {
        let mut seen = BTreeSet::new();
        for problem in load::unusual_problems(&desired.unusual) {
            let line = problem.to_string();
            if !self.strange.contains(&line) {
                error!(file = problem.file, "{line}");
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

/// What a pass needs besides its resources.
pub(super) struct PassContext<'a> {
    pub database: &'a Database,
    pub environment: &'a dyn Environment,
    pub listener: &'a dyn PassListener,
    pub stop: &'a CancellationToken,
    pub service_manager: &'a ServiceManager,
    /// Whose settings are read.
    pub rotation: Rotation,
    /// What the passes before left, where a change of the directory brings the pass: then it may look at the tenants
    /// whose files changed alone.
    pub before: Option<&'a Before>,
    /// Whether the directory was watched since the last pass, so that files whose stamps did not change are unchanged.
    pub was_watched: bool,
}

/// How a pass ended.
pub(super) enum Passed {
    /// The tenants directory changed while the PBXs were read. Nothing was changed.
    Interrupted,
    Whole(Box<WholePass>),
}

pub(super) struct WholePass {
    /// What it looked at; `None` where that was everything.
    pub scope: Option<Scope>,
    pub inputs: PassInputs,
    pub plan: Plan,
    pub outcome: Outcome,
}

/// One pass. Reading the PBXs is given up when the directory begins to change and `watch` is given: what changed is
/// planned and applied sooner than the rest is looked at.
pub(super) async fn pass(
    resources: &Resources,
    context: PassContext<'_>,
    mut watch: Option<&mut Watch>,
    files: &mut load::Cache,
    reported: &mut Reported,
) -> Result<Passed, StoreError> {
    let Resources { config, database: _, readers, writers } = resources;
    let PassContext { database, environment, listener, stop, service_manager, rotation, before, was_watched } =
        context;
    let instances = count(config.instances.len(), "instance");
    service_manager.status(&format!("reading the tenant files and {instances}"));
    let started = Instant::now();
    let (loaded, read) = tokio::join!(
        load::read_changes(config, files, was_watched),
        reconcile::read_database(database, environment)
    );
    let loaded_at = Instant::now();
    report_files(&loaded, service_manager, reported);
    let scope = before.and_then(|before| scope::narrow(before, &loaded.desired));
    let mut policy = Policy::new(config);
    let mut pbxs = readers.clone();
    if let Some(Scope { tenants, instances }) = &scope {
        debug!(tenants = tenants.len(), "only the tenants whose files changed are looked at");
        policy.only.clone_from(tenants);
        pbxs.retain(|key, _| instances.contains(key));
    }
    let reader = Reader { config, database, pbxs: &pbxs, environment, rotation };
    let revision = loaded.desired.revision.clone();
    let inputs = tokio::select! {
        biased;
        inputs = reconcile::look(&reader, loaded.desired, policy, read?) => inputs?,
        () = begins_to_change(watch.as_deref_mut()) => return Ok(Passed::Interrupted),
    };
    let read_at = Instant::now();
    service_manager.ready();
    if !matches!(inputs.desired.completeness, Completeness::Unreadable { .. }) {
        reported.strange_files(&inputs.desired);
    }
    let plan = inputs.plan();
    debug!(
        files_and_database_ms = milliseconds(loaded_at - started),
        pbxs_ms = milliseconds(read_at - loaded_at),
        plan_ms = milliseconds(read_at.elapsed()),
        "planned {}",
        plan.id
    );
    let already_reported = scope.as_ref().map(|scope| reported.plan.of_tenants(&scope.tenants));
    let changes = already_reported.as_ref().unwrap_or(&reported.plan).changes(&plan);
    if plan.steps.is_empty() && changes.is_empty() {
        listener.unchanged(&plan);
    } else {
        listener.planned(&plan, &changes);
    }
    let already_reported = std::mem::take(&mut reported.plan);
    reported.plan = match &scope {
        Some(scope) => already_reported.after_part(&plan, &scope.tenants),
        None => already_reported.after(&plan),
    };
    if !plan.steps.is_empty() {
        service_manager.status(&format!(
            "applying the plan {} with {}",
            plan.id,
            count(plan.steps.len(), "step")
        ));
    }
    let actor = actor(revision.as_deref(), &plan);
    let writer = Writer { database, pbxs: writers, environment, actor, stop: stop.clone() };
    let outcome = reconcile::carry_out(&writer, config, &inputs, &plan).await?;
    if !plan.steps.is_empty() {
        listener.applied(&plan, &outcome);
    }
    // A tenth more or less, as the pass itself: many daemons do not read their PBXs' users in step.
    // After a change of some files, those of their new tenants alone.
    let interval = config.daemon.user_sync.map(next_wait).filter(|_| scope.is_none());
    // After steps, the users of their tenants come first.
    let watch = watch.filter(|_| plan.steps.is_empty());
    tokio::select! {
        biased;
        _ = reconcile::sync_users(&reader, &writer, &inputs, &outcome, interval) => {}
        () = begins_to_change(watch) => debug!("users are synchronised in a later run: the tenants directory changed"),
    }
    match &inputs.desired.completeness {
        Completeness::Unreadable { reason } => {
            service_manager.status(&format!("the tenants directory {reason}"))
        }
        Completeness::Complete | Completeness::Partial { .. } => service_manager.status(&format!(
            "{}; last plan {}: {} done, {} failed, {} held",
            count(inputs.desired.tenants.len(), "tenant"),
            plan.id,
            outcome.done(),
            outcome.failed(),
            plan.held.len()
        )),
    }
    Ok(Passed::Whole(Box::new(WholePass { scope, inputs, plan, outcome })))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn begins_to_change(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.begins_to_change().await,
        None => std::future::pending().await,
    }
}

/// Reports the problems of files that were not reported yet, and which of them are over.
fn report_files(loaded: &Loaded, service_manager: &ServiceManager, reported: &mut Reported) {
    // That nothing could be read is reported by the plan, and unusual files by themselves.
    let is_readable = !matches!(loaded.desired.completeness, Completeness::Unreadable { .. });
    let unusual = load::unusual_problems(&loaded.desired.unusual);
    let problems: Vec<_> =
        loaded.problems.iter().filter(|problem| is_readable && !unusual.contains(problem)).collect();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let changes = reported.files.changes(&loaded.desired, &texts);
    for at in &changes.problems {
        let (problem, file) = (problems[*at], problems[*at].file.as_str());
        if problem.is_error() {
            error!(file, "{problem}");
        } else {
            warn!(file, "{problem}");
        }
    }
    report::log_files(&changes);
    if let Completeness::Unreadable { reason } = &loaded.desired.completeness {
        service_manager.status(&format!("the tenants directory {reason}"));
    }
}

/// Who is acting, for the audit log.
fn actor(revision: Option<&str>, plan: &Plan) -> String {
    match revision {
        Some(revision) if !plan.steps.is_empty() => {
            format!("daemon ({})", load::commit_text(revision))
        }
        _ => "daemon".to_owned(),
    }
}
