//! Stage 4: from differences to steps, and to what is held with its reason.
//!
//! `decide` applies the decision table tenant by tenant; `gates` then holds what pauses, deletion rules and
//! limits do not allow. Pure functions of values: no I/O, no clock, no log.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod adoption;
mod decision_table;
mod effect;
mod effects;
mod file_removed;
mod gates;
mod identity;
mod index;
mod likely_rename;
mod likeness;
mod limits;
mod move_tenant;
mod not_checked;
mod observed_values;
mod out_of_service;
mod own_account;
mod policy;
mod previous_placements;
mod reason;
mod recreate;
mod rename;
mod retention;
mod retention_resets;
mod sessions;
mod sms_numbers;
mod types;
mod update;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::model::{
    Completeness, Desired, DomainState, InstanceKey, InstanceView, Observed, Recorded, TenantKey,
};

pub use effect::Effect;
pub use effects::affected;
pub use identity::{definition_hash, record as record_of};
pub use out_of_service::out_of_service;
pub use policy::Policy;
pub use reason::{
    HeldReason, LikelyRename, Likeness, LimitExceeded, NotCheckedStep, RetentionStart, ScheduledReason,
    StepReason,
};
pub use retention::{record_retention_end, retention_end};
pub use sessions::sessions_go_on;
pub use sms_numbers::wanted_by;
pub use types::{
    Action, Counts, Drifted, FieldChange, Held, NotChecked, OutOfService, Plan, Preview, RecordRef,
    ScheduledStep, Step, Work,
};
pub use update::CONTESTED_AFTER;
pub(crate) use update::correction_key;

/// Everything that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
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
    scheduled: Vec<ScheduledStep>,
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
pub fn vanished(inputs: Inputs<'_>) -> BTreeMap<InstanceKey, usize> {
    index::vanished(inputs).into_iter().map(|(instance, missing)| (instance.clone(), missing)).collect()
}

/// Makes the plan of one pass.
pub fn make(inputs: Inputs<'_>) -> Plan {
    let mut draft = Draft::default();
    let not_checked = not_checked::not_checked(inputs);
    warn_about_the_unknown(inputs, &not_checked, &mut draft);
    let rekeyed = decision_table::all_tenants(inputs, &mut draft);
    // Before anything is held, so that what is held shows its effects as well.
    let effects = effects::all(inputs, &draft.steps);
    likely_rename::without_effect(inputs, &rekeyed, &mut draft);
    // Before a run is narrowed to single tenants: the other half of a rename is not one of them.
    likely_rename::hold(inputs, &rekeyed, &mut draft);
    let removals_id = gates::hold(inputs, &mut draft);
    sessions::tell(inputs, &mut draft);
    out_of_service::note(inputs, &mut draft);
    let Draft {
        steps,
        held,
        scheduled,
        drifted,
        warnings,
        mut previews,
        settled,
        mut changed_outside,
        unchanged,
    } = draft;
    let only = &inputs.policy.only;
    changed_outside.retain(|key| only.is_empty() || only.contains(key));
    let touched: BTreeSet<_> =
        steps.iter().map(|step| &step.tenant).chain(held.iter().map(|held| &held.tenant)).collect();
    let unchanged = match only.is_empty() {
        true => unchanged,
        false => unchanged_of(inputs, &touched, &scheduled, &not_checked),
    };
    previews.retain(|key, _| touched.contains(key));
    Plan {
        id: identity::of_plan(&steps, &held),
        removals_id,
        counts: Counts {
            unchanged,
            not_checked: not_checked.iter().map(|one| one.tenants).sum(),
            drift: changed_outside.len(),
            foreign_domains: foreign_domains(inputs),
            broken_files: inputs.desired.broken.len(),
            unknown_instances: unknown_instances(inputs.observed),
            ..settings_compared(inputs)
        },
        steps,
        held,
        scheduled,
        drifted,
        not_checked,
        warnings,
        previews,
        effects,
        settled,
        reopened: retention_resets::reopened(inputs),
    }
}

/// Of the tenants that a run is for, those that were checked and need nothing.
fn unchanged_of(
    inputs: Inputs<'_>,
    touched: &BTreeSet<&TenantKey>,
    scheduled: &[ScheduledStep],
    not_checked: &[NotChecked],
) -> usize {
    let waits = |key: &TenantKey| scheduled.iter().any(|scheduled| scheduled.tenant == *key);
    let is_unchanged = |key: &&TenantKey| {
        let record = inputs.recorded.tenants.get(*key);
        let is_known = record
            .is_some_and(|record| not_checked.iter().all(|one| one.instance != record.definition.instance));
        is_known && inputs.desired.tenants.contains_key(*key) && !touched.contains(*key) && !waits(key)
    };
    inputs.policy.only.iter().filter(is_unchanged).count()
}

fn warn_about_the_unknown(inputs: Inputs<'_>, not_checked: &[NotChecked], draft: &mut Draft) {
    match &inputs.desired.completeness {
        Completeness::Complete => {}
        Completeness::Partial { reason } => {
            draft
                .warnings
                .push(format!("{reason}: no tenant is disabled or deleted until `tenantd validate` finds every file readable"));
        }
        Completeness::Unreadable { reason } => draft
            .warnings
            .push(format!("the tenants directory {reason}: nothing is changed until it can be read")),
    }
    for NotChecked { instance, reason, tenants } in not_checked {
        let its_tenants = match tenants {
            0 => String::new(),
            1 => ", and its tenant was not checked".to_owned(),
            many => format!(", and its {many} tenants were not checked"),
        };
        draft.warnings.push(format!("nothing is changed on {instance}{its_tenants}: {reason}"));
    }
}

fn unknown_instances(observed: &Observed) -> usize {
    observed.instances.values().filter(|view| matches!(view, InstanceView::Unknown { .. })).count()
}

/// How many tenants' settings were compared, of those that the run is for.
fn settings_compared(inputs: Inputs<'_>) -> Counts {
    let only = &inputs.policy.only;
    let mut counts = Counts::default();
    let mut never = false;
    for record in inputs.recorded.tenants.values() {
        let view = inputs.observed.instance(&record.definition.instance);
        if (!only.is_empty() && !only.contains(&record.key))
            || !matches!(view.domain(record.domain_id), DomainState::Present(_))
        {
            continue;
        }
        if view.settings(record.domain_id).is_some() {
            counts.settings_compared += 1;
            continue;
        }
        counts.settings_not_compared += 1;
        never |= record.settings_checked_at.is_none();
        let oldest = counts.oldest_comparison.into_iter().chain(record.settings_checked_at).min();
        counts.oldest_comparison = oldest.filter(|_| !never);
    }
    counts
}

/// Domains that no one recorded as ours. They are counted and never touched.
fn foreign_domains(inputs: Inputs<'_>) -> usize {
    let managed = inputs.recorded.managed_domains();
    inputs
        .observed
        .instances
        .iter()
        .map(|(key, view)| match view {
            InstanceView::Seen { domains, .. } => {
                domains.keys().filter(|id| !managed.contains(&(key, **id))).count()
            }
            InstanceView::Unknown { .. } => 0,
        })
        .sum()
}
