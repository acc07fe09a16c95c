//! Stage 4: from differences to steps, and to what is held with its reason.
//!
//! `decide` applies the decision table tenant by tenant; `gates` then holds what suspensions, deletion rules and
//! limits do not allow. Pure functions of values: no I/O, no clock, no log.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod adoption;
mod decide;
mod disabled_now;
mod effects;
mod former;
mod gates;
mod identity;
mod likely_rename;
mod likeness;
mod limits;
mod numbers;
mod policy;
mod removal;
mod reopened;
mod sessions;
mod types;
mod unchecked;
mod update;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::model::{Completeness, Desired, InstanceKey, InstanceView, Observed, Recorded, TenantKey};

pub use adoption::holds_own_account;
pub use disabled_now::{NO_PHONES, disabled_now};
pub use effects::{Effect, affected};
pub use identity::{definition_hash, record as record_of};
pub use numbers::wanted_by;
pub use policy::Policy;
pub use removal::{KEPT_THEN_TOO, SINCE_DISABLED, kept_for, record_retention_end, retention_end};
pub use sessions::{SESSIONS_MAY_GO_ON, sessions_go_on};
pub use types::{
    Action, Counts, Drifted, FieldChange, Held, NotChecked, Plan, Preview, RecordRef, Step, Waiting, Work,
};
pub use update::FIGHTING_AFTER;
pub(crate) use update::fight_key;

/// Everything that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub desired: &'a Desired,
    pub recorded: &'a Recorded,
    pub observed: &'a Observed,
    pub policy: &'a Policy,
    pub now: DateTime<Utc>,
}

/// What the planner collects on its way.
#[derive(Debug, Default)]
struct Draft {
    steps: Vec<Step>,
    held: Vec<Held>,
    waiting: Vec<Waiting>,
    drifted: Vec<Drifted>,
    warnings: Vec<String>,
    previews: BTreeMap<crate::model::TenantKey, Preview>,
    settled: BTreeMap<crate::model::TenantKey, BTreeSet<String>>,
    /// Tenants that were changed on the PBX.
    changed_outside: BTreeSet<crate::model::TenantKey>,
    unchanged: usize,
}

/// Instances that lost more recorded domains at once than the removal limit allows, with how many: perhaps another
/// server, or a restored backup. What it shows of anything else is not to be believed either.
pub fn vanished(world: World<'_>) -> BTreeMap<InstanceKey, usize> {
    decide::vanished(world).into_iter().map(|(instance, missing)| (instance.clone(), missing)).collect()
}

/// Makes the plan of one pass.
pub fn make(world: World<'_>) -> Plan {
    let mut draft = Draft::default();
    let not_checked = unchecked::not_checked(world);
    warn_about_the_unknown(world, &not_checked, &mut draft);
    let rekeyed = decide::all_tenants(world, &mut draft);
    // Before anything is held, so that what is held shows its effects as well.
    let effects = effects::all(world, &draft.steps);
    likely_rename::without_effect(world, &rekeyed, &mut draft);
    // Before a run is narrowed to single tenants: the other half of a rename is not one of them.
    likely_rename::hold(world, &rekeyed, &mut draft);
    let removals_id = gates::hold(world, &mut draft);
    sessions::tell(world, &mut draft);
    disabled_now::tell(world, &mut draft);
    let Draft {
        steps,
        held,
        waiting,
        drifted,
        warnings,
        mut previews,
        settled,
        mut changed_outside,
        unchanged,
    } = draft;
    let only = &world.policy.only;
    changed_outside.retain(|key| only.is_empty() || only.contains(key));
    let touched: BTreeSet<_> =
        steps.iter().map(|step| &step.tenant).chain(held.iter().map(|held| &held.tenant)).collect();
    let unchanged = match only.is_empty() {
        true => unchanged,
        false => unchanged_of(world, &touched, &waiting, &not_checked),
    };
    previews.retain(|key, _| touched.contains(key));
    Plan {
        id: identity::of_plan(&steps, &held),
        removals_id,
        counts: Counts {
            unchanged,
            not_checked: not_checked.iter().map(|one| one.tenants).sum(),
            drift: changed_outside.len(),
            foreign_domains: foreign_domains(world),
            broken_files: world.desired.broken.len(),
            unknown_instances: unknown_instances(world.observed),
        },
        steps,
        held,
        waiting,
        drifted,
        not_checked,
        warnings,
        previews,
        effects,
        settled,
        reopened: reopened::reopened(world),
    }
}

/// Of the tenants that a run is for, those that were looked at and need nothing.
fn unchanged_of(
    world: World<'_>,
    touched: &BTreeSet<&TenantKey>,
    waiting: &[Waiting],
    not_checked: &[NotChecked],
) -> usize {
    let waits = |key: &TenantKey| waiting.iter().any(|waiting| waiting.tenant == *key);
    let is_unchanged = |key: &&TenantKey| {
        let record = world.recorded.tenants.get(*key);
        let is_known =
            record.is_some_and(|record| not_checked.iter().all(|one| one.instance != record.instance));
        is_known && world.desired.tenants.contains_key(*key) && !touched.contains(*key) && !waits(key)
    };
    world.policy.only.iter().filter(is_unchanged).count()
}

fn warn_about_the_unknown(world: World<'_>, not_checked: &[NotChecked], draft: &mut Draft) {
    match &world.desired.completeness {
        Completeness::Complete => {}
        Completeness::Partial { reason } => {
            draft.warnings.push(format!("{reason}: nothing is removed until every file can be read"));
        }
        Completeness::Unreadable { reason } => draft
            .warnings
            .push(format!("the tenants directory {reason}: nothing is changed until it can be read")),
    }
    for NotChecked { instance, reason, tenants } in not_checked {
        let its_tenants = match tenants {
            0 => String::new(),
            1 => ", and its tenant is not checked".to_owned(),
            many => format!(", and its {many} tenants are not checked"),
        };
        draft.warnings.push(format!("nothing is changed on {instance}{its_tenants}: {reason}"));
    }
}

fn unknown_instances(observed: &Observed) -> usize {
    observed.instances.values().filter(|view| matches!(view, InstanceView::Unknown { .. })).count()
}

/// Domains that nobody recorded as ours. They are counted and never touched.
fn foreign_domains(world: World<'_>) -> usize {
    let ours: BTreeSet<_> = world
        .recorded
        .tenants
        .values()
        .map(|record| (&record.instance, record.domain_id))
        .chain(world.recorded.former.iter().map(|former| (&former.instance, former.domain_id)))
        .collect();
    world
        .observed
        .instances
        .iter()
        .map(|(key, view)| match view {
            InstanceView::Seen { domains, .. } => {
                domains.keys().filter(|id| !ours.contains(&(key, **id))).count()
            }
            InstanceView::Unknown { .. } => 0,
        })
        .sum()
}
