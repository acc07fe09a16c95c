//! What is not done although it could be: pauses, the brake, approvals and limits.

use std::collections::{BTreeMap, BTreeSet};

use super::previous_placements::has_no_other_place;
use super::reason::HeldReason;
use super::retention::deletion_started;
use super::types::{Action, Held, Step, Work};
use super::{Draft, Inputs, identity, limits, sms_numbers};
use crate::config::DeletionMode;
use crate::environment::to_the_minute;
use crate::model::{InstanceKey, TenantId, TenantKey, TenantRecord};
use crate::sabotage::{Bug, active};

/// Why and under which word a removal counts.
pub(super) fn is_removal(step: &Step) -> bool {
    match &step.work {
        Work::Disable { counts, .. } | Work::Recreate { counts, .. } => *counts,
        Work::Delete { .. } | Work::DeleteRecord { .. } => true,
        Work::DeletePrevious { expect, .. } => expect.is_some(),
        Work::Create { .. }
        | Work::Adopt { .. }
        | Work::Rekey { .. }
        | Work::Rename { .. }
        | Work::Move { .. }
        | Work::Update { .. }
        | Work::Enable { .. }
        | Work::DisablePrevious { .. } => false,
    }
}

/// Whether the step finishes a deletion that has begun: it was approved and counted then.
fn resumes(inputs: Inputs<'_>, step: &Step) -> bool {
    match &step.work {
        Work::Delete { record, .. } | Work::DeletePrevious { record, .. } | Work::DeleteRecord { record } => {
            deletion_started(inputs, record.id, &step.instance)
        }
        _ => false,
    }
}

/// Records by the identity that steps name them by.
struct Records<'a>(BTreeMap<TenantId, &'a TenantRecord>);

impl<'a> Records<'a> {
    fn of(inputs: Inputs<'a>) -> Self {
        Self(inputs.recorded.tenants.values().map(|record| (record.id, record)).collect())
    }

    fn of_step(&self, step: &Step) -> Option<&'a TenantRecord> {
        self.0.get(&identity::record(&step.work)?.id).copied()
    }
}

/// What `no_removals` holds: every step that disables or deletes, whether it counts or not.
fn takes_away(step: &Step) -> bool {
    matches!(step.action, Action::Disable | Action::Delete | Action::DeleteRecord)
        || step.disables_by_creating()
}

/// Moves the steps that may not be done to the held ones. Returns the id of the plan's removals.
pub(super) fn hold(inputs: Inputs<'_>, draft: &mut Draft) -> Option<String> {
    if !inputs.policy.only.is_empty() {
        let only = &inputs.policy.only;
        draft.steps.retain(|step| only.contains(&step.tenant));
        draft.held.retain(|held| only.contains(&held.tenant));
        draft.scheduled.retain(|scheduled| only.contains(&scheduled.tenant));
        draft.drifted.retain(|drifted| only.contains(&drifted.tenant));
    }
    // Stable: a tenant's steps keep their order.
    draft.steps.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let records = Records::of(inputs);
    known_server_only(inputs, &records, draft);
    paused(inputs, &records, draft);
    beyond_the_tier(inputs, draft);
    if inputs.policy.no_removals {
        hold_where(draft, |step| takes_away(step).then(|| Held::step(step, HeldReason::NoRemovals)));
    }
    // What waits for its own approval does not use up the limits, but the plan's approval covers it too.
    let removals: Vec<Step> =
        draft.steps.iter().filter(|step| is_removal(step) && !resumes(inputs, step)).cloned().collect();
    let would_exceed = limits::exceeded(inputs, &draft.steps);
    let removals_id = identity_of_gated(&removals, &would_exceed, &draft.steps);
    let approved = removals_id.as_ref().is_some_and(|id| {
        inputs.recorded.approvals.iter().any(|approval| {
            let of_this = approval.removals_id.as_ref() == Some(id) || active(Bug::AnyApproval);
            of_this && approval.expires_at > inputs.now
        })
    });
    if !approved {
        unapproved_deletions(inputs, removals_id.as_deref(), draft);
        let over = limits::exceeded(inputs, &draft.steps);
        let lifted_by = removals_id.as_ref().map(|id| format!("tenantd approve {id}"));
        for over in &over {
            let lift =
                lifted_by.as_ref().map_or_else(String::new, |command| format!("; to go ahead: {command}"));
            draft.warnings.push(format!("held: {}{lift}", over.limit));
        }
        hold_where(draft, |step| {
            let over = over.iter().find(|over| over.holds(step))?;
            Some(Held::step(step, HeldReason::Limit(over.limit.clone())).lifted_by(lifted_by.clone()))
        });
    }
    hold_dependent_steps(inputs, &records, draft);
    sms_numbers::hold_unreleased(inputs, draft);
    sort_held(draft);
    draft.held.dedup();
    draft.scheduled.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    removals_id
}

/// Those of one reason stand together.
pub(super) fn sort_held(draft: &mut Draft) {
    draft.held.sort_by(|a, b| (&a.reason, a.action, &a.tenant).cmp(&(&b.reason, b.action, &b.tenant)));
}

/// What would do the work of a held step, or is right only after it, is held with it.
fn hold_dependent_steps(inputs: Inputs<'_>, records: &Records<'_>, draft: &mut Draft) {
    let held: BTreeMap<(TenantKey, InstanceKey, Action), Option<String>> = draft
        .held
        .iter()
        .map(|held| ((held.tenant.clone(), held.instance.clone(), held.action), held.lifted_by.clone()))
        .collect();
    hold_where(draft, |step| {
        let record = records.of_step(step)?;
        let (action, reason) = match &step.work {
            // It makes the tenant as the file says, so it would disable it.
            Work::Move { tenant, .. } if !tenant.definition.enabled => {
                (Action::Disable, HeldReason::DisableHeld)
            }
            Work::DisablePrevious { .. } if has_no_other_place(inputs, &step.tenant, record) => {
                (Action::Create, HeldReason::CreateElsewhereHeld)
            }
            _ => return None,
        };
        let lifted_by = held.get(&(step.tenant.clone(), record.definition.instance.clone(), action))?;
        Some(Held::step(step, reason).lifted_by(lifted_by.clone()))
    });
}

/// The id that an approval names: of every removal, and of what a surge limit holds.
fn identity_of_gated(removals: &[Step], over: &[limits::Exceeded], steps: &[Step]) -> Option<String> {
    let surges = steps.iter().filter(|step| !is_removal(step) && over.iter().any(|over| over.holds(step)));
    let gated: Vec<&Step> = removals.iter().chain(surges).collect();
    (!gated.is_empty()).then(|| identity::of_removals(gated))
}

/// Moves the steps to the held ones for which `held` gives a reason.
fn hold_where(draft: &mut Draft, held: impl Fn(&Step) -> Option<Held>) {
    for step in std::mem::take(&mut draft.steps) {
        match held(&step) {
            Some(held) => draft.held.push(held),
            None => draft.steps.push(step),
        }
    }
}

/// New tenants beyond what the tier allows are held; those that are there stay.
fn beyond_the_tier(inputs: Inputs<'_>, draft: &mut Draft) {
    let Some(allowed) = inputs.policy.max_tenants else { return };
    let managed = inputs.recorded.tenants.values().filter(|record| record.file_removed_at.is_none()).count();
    let is_new = |step: &Step| matches!(step.work, Work::Create { .. } | Work::Adopt { .. });
    let new = draft.steps.iter().filter(|step| is_new(step)).count();
    if new == 0 || managed + new <= usize::try_from(allowed).unwrap_or(usize::MAX) {
        return;
    }
    let reason = HeldReason::TierFull { allowed, managed, new };
    hold_where(draft, |step| is_new(step).then(|| Held::step(step, reason.clone())));
}

/// A server that lost many of our domains at once is not the one we knew, whatever else it shows: nothing is written
/// to it, lest a restored backup be given a day's changes one by one.
fn known_server_only(inputs: Inputs<'_>, records: &Records<'_>, draft: &mut Draft) {
    let vanished = super::index::vanished(inputs);
    if vanished.is_empty() {
        return;
    }
    let writes_to = |step: &Step| -> Option<(InstanceKey, usize)> {
        let recorded = records.of_step(step).map(|record| &record.definition.instance);
        let touched = match &step.work {
            Work::Rekey { .. }
            | Work::DeleteRecord { .. }
            | Work::Disable { expect: None, .. }
            | Work::DeletePrevious { expect: None, .. } => vec![],
            Work::Move { .. } => vec![Some(&step.instance), recorded],
            _ => vec![Some(&step.instance)],
        };
        touched.into_iter().flatten().find_map(|instance| Some((instance.clone(), *vanished.get(instance)?)))
    };
    hold_where(draft, |step| {
        let (instance, missing) = writes_to(step)?;
        Some(Held::step(step, HeldReason::DomainsMissing { instance, missing }))
    });
}

/// What is paused stays so when its file is renamed; a move touches the instance that it leaves, too.
fn paused(inputs: Inputs<'_>, records: &Records<'_>, draft: &mut Draft) {
    for pause in inputs.recorded.pauses.iter().filter(|pause| pause.until > inputs.now) {
        draft.warnings.push(format!(
            "{} is paused until {} by {}: {}",
            pause.scope(),
            to_the_minute(pause.until),
            pause.paused_by,
            pause.reason
        ));
        let covers = |step: &Step| {
            let record = records.of_step(step);
            let is_of_tenant = pause
                .key
                .as_ref()
                .is_none_or(|key| *key == step.tenant || record.is_some_and(|record| *key == record.key));
            let is_on_instance = pause.instance.as_ref().is_none_or(|instance| {
                let leaves = matches!(step.work, Work::Move { .. })
                    && record.is_some_and(|record| *instance == record.definition.instance);
                *instance == step.instance || leaves
            });
            is_of_tenant && is_on_instance
        };
        let reason =
            HeldReason::Paused { by: pause.paused_by.clone(), until: pause.until, why: pause.reason.clone() };
        hold_where(draft, |step| {
            covers(step).then(|| Held::step(step, reason.clone()).lifted_by(pause.resume()))
        });
    }
}

/// Under `mode: approve` a deletion needs an operator's approval of just this tenant.
fn unapproved_deletions(inputs: Inputs<'_>, removals_id: Option<&str>, draft: &mut Draft) {
    if inputs.policy.deletion.mode == DeletionMode::Automatic {
        return;
    }
    let approved: BTreeSet<_> = inputs
        .recorded
        .approvals
        .iter()
        .filter(|approval| approval.expires_at > inputs.now)
        .filter_map(|approval| approval.deletion_of.as_ref())
        .chain(&inputs.policy.allow_delete)
        .cloned()
        .collect();
    hold_where(draft, |step| {
        let deletes = matches!(step.work, Work::Delete { .. } | Work::DeleteRecord { .. })
            || matches!(&step.work, Work::DeletePrevious { expect: Some(_), .. });
        if !deletes || approved.contains(&step.tenant) || resumes(inputs, step) {
            return None;
        }
        let reason = HeldReason::NeedsApproval {
            record_only: step.action == Action::DeleteRecord,
            planned: step.reason.clone(),
        };
        let approve = match (&step.work, removals_id) {
            // The tenant itself has a file, so there is no deletion of it to approve.
            (Work::DeletePrevious { .. }, Some(id)) => format!("tenantd approve {id}"),
            _ => format!("tenantd approve --tenant {}", step.tenant),
        };
        Some(Held::step(step, reason).lifted_by(approve))
    });
}
