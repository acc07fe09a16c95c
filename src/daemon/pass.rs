//! One pass of the daemon, and what of it is new.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::service::ServiceManager;
use super::{PassListener, Resources, next_wait};
use crate::apply::Outcome;
use crate::environment::Environment;
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
}

pub(super) async fn pass(
    resources: &Resources,
    context: &PassContext<'_>,
    reported: &mut Reported,
) -> Result<(Plan, Outcome), StoreError> {
    let Resources { config, database: _, readers, writers } = resources;
    let PassContext { database, environment, listener, stop, service_manager } = *context;
    let instances = count(config.instances.len(), "instance");
    service_manager.status(&format!("reading the tenant files and {instances}"));
    let loaded = load::read(config).await;
    report_files(&loaded, service_manager, reported);
    let reader = Reader {
        config,
        database,
        pbxs: readers,
        environment,
        rotation: Rotation::Share { interval: config.daemon.interval, cycle: config.daemon.settings_cycle },
    };
    let revision = loaded.desired.revision.clone();
    let inputs = reconcile::gather(&reader, loaded.desired, Policy::new(config)).await?;
    service_manager.ready();
    if !matches!(inputs.desired.completeness, Completeness::Unreadable { .. }) {
        reported.strange_files(&inputs.desired);
    }
    let plan = inputs.plan();
    let changes = reported.plan.changes(&plan);
    if plan.steps.is_empty() && changes.is_empty() {
        listener.unchanged(&plan);
    } else {
        listener.planned(&plan, &changes);
    }
    reported.plan = std::mem::take(&mut reported.plan).after(&plan);
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
    let interval = config.daemon.user_sync.map(next_wait);
    reconcile::sync_users(&reader, &writer, &inputs, &outcome, interval).await;
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
    Ok((plan, outcome))
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
