//! One pass of the daemon, and what of it is news.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::service::{self, Readiness};
use super::{Equipment, Witness, next_wait};
use crate::apply::Outcome;
use crate::environment::Environment;
use crate::load::{self, Loaded};
use crate::model::{Completeness, Desired};
use crate::observe::Rotation;
use crate::plan::{Plan, Policy};
use crate::reconcile::{self, Reader, Writer};
use crate::report::{self, count};
use crate::store::{Database, StoreError};

/// What was told already, so that a pass that finds nothing new does not tell it again.
#[derive(Debug, Default)]
pub(super) struct Told {
    files: report::ToldFiles,
    plan: report::Told,
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

/// What a pass needs besides its equipment.
pub(super) struct Surroundings<'a> {
    pub database: &'a Database,
    pub environment: &'a dyn Environment,
    pub witness: &'a dyn Witness,
    pub stop: &'a CancellationToken,
    pub readiness: &'a Readiness,
}

pub(super) async fn pass(
    equipment: &Equipment,
    around: &Surroundings<'_>,
    told: &mut Told,
) -> Result<(Plan, Outcome), StoreError> {
    let Equipment { config, database: _, readers, writers } = equipment;
    let Surroundings { database, environment, witness, stop, readiness } = *around;
    let instances = count(config.instances.len(), "instance");
    service::status(&format!("looking at the tenant files and at {instances}"));
    let loaded = crate::cli::read_directory(config).await;
    tell_files(&loaded, told);
    let reader = Reader {
        config,
        database,
        pbxs: readers,
        environment,
        rotation: Rotation::Share { interval: config.daemon.interval, cycle: config.daemon.settings_cycle },
    };
    let revision = loaded.desired.revision.clone();
    let look = reconcile::look(&reader, loaded.desired, Policy::new(config)).await?;
    readiness.ready();
    if !matches!(look.desired.completeness, Completeness::Unreadable { .. }) {
        told.strange_files(&look.desired);
    }
    let plan = look.plan();
    let news = told.plan.news(&plan);
    if plan.steps.is_empty() && news.is_empty() {
        witness.unchanged(&plan);
    } else {
        witness.planned(&plan, &news);
    }
    told.plan = std::mem::take(&mut told.plan).after(&plan);
    if !plan.steps.is_empty() {
        service::status(&format!(
            "carrying out the plan {} with {}",
            plan.id,
            count(plan.steps.len(), "step")
        ));
    }
    let actor = actor(revision.as_deref(), &plan);
    let writer = Writer { database, pbxs: writers, environment, actor, stop: stop.clone() };
    let outcome = reconcile::act(&writer, config, &look, &plan).await?;
    if !plan.steps.is_empty() {
        witness.applied(&plan, &outcome);
    }
    // A tenth more or less, as the pass itself: many daemons do not read their PBXs' users in step.
    let interval = config.daemon.user_sync.map(next_wait);
    reconcile::sync_users(&reader, &writer, &look, &outcome, interval).await;
    match &look.desired.completeness {
        Completeness::Unreadable { reason } => service::status(&format!("the tenants directory {reason}")),
        Completeness::Complete | Completeness::Partial { .. } => service::status(&format!(
            "{}; last plan {}: {} done, {} failed, {} held",
            count(look.desired.tenants.len(), "tenant"),
            plan.id,
            outcome.done(),
            outcome.failed(),
            plan.held.len()
        )),
    }
    Ok((plan, outcome))
}

/// Tells the problems of files that were not told yet, and which of them are over.
fn tell_files(loaded: &Loaded, told: &mut Told) {
    // That nothing could be read is told by the plan, and unusual files by themselves.
    let is_readable = !matches!(loaded.desired.completeness, Completeness::Unreadable { .. });
    let unusual = load::unusual_problems(&loaded.desired.unusual);
    let problems: Vec<_> =
        loaded.problems.iter().filter(|problem| is_readable && !unusual.contains(problem)).collect();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let news = told.files.news(&loaded.desired, &texts);
    for at in &news.problems {
        let (problem, file) = (problems[*at], problems[*at].file.as_str());
        if problem.is_error() {
            error!(file, "{problem}");
        } else {
            warn!(file, "{problem}");
        }
    }
    report::log_files(&news);
    if let Completeness::Unreadable { reason } = &loaded.desired.completeness {
        service::status(&format!("the tenants directory {reason}"));
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
