//! What is not done although it could be: suspensions, the brake, approvals and limits.

use std::collections::{BTreeMap, BTreeSet};

use super::former::has_no_other_place;
use super::removal::deletion_begun;
use super::types::{Action, Held, Step, Work};
use super::{Draft, World, decide, identity, limits, numbers};
use crate::config::DeletionMode;
use crate::environment::to_the_minute;
use crate::model::{InstanceKey, TenantId, TenantKey, TenantRecord};
use crate::sabotage::{Bug, active};

/// Why and under which word a removal counts.
pub(super) fn is_removal(step: &Step) -> bool {
    match &step.work {
        Work::Disable { counts, .. } | Work::Recreate { counts, .. } => *counts,
        Work::Delete { .. } | Work::Forget { .. } => true,
        Work::DeleteFormer { expect, .. } => expect.is_some(),
        Work::Create { .. }
        | Work::Adopt { .. }
        | Work::Rekey { .. }
        | Work::Rename { .. }
        | Work::Move { .. }
        | Work::Update { .. }
        | Work::Enable { .. }
        | Work::DisableFormer { .. } => false,
    }
}

/// Whether the step finishes a deletion that was begun: it was approved and counted then.
fn resumes(world: World<'_>, step: &Step) -> bool {
    match &step.work {
        Work::Delete { record, .. } | Work::DeleteFormer { record, .. } | Work::Forget { record } => {
            deletion_begun(world, record.id, &step.instance)
        }
        _ => false,
    }
}

/// Records by the identity that steps name them by.
struct Records<'a>(BTreeMap<TenantId, &'a TenantRecord>);

impl<'a> Records<'a> {
    fn of(world: World<'a>) -> Self {
        Self(world.recorded.tenants.values().map(|record| (record.id, record)).collect())
    }

    fn of_step(&self, step: &Step) -> Option<&'a TenantRecord> {
        self.0.get(&identity::record(&step.work)?.id).copied()
    }
}

/// Whether the step makes a domain, or takes one over, whose tenant could sign in until now and then cannot.
pub(super) fn closes_by_making(step: &Step) -> bool {
    match &step.work {
        Work::Recreate { counts, .. } => *counts,
        Work::Adopt { tenant, found, .. } => !tenant.enabled && found.enabled != Some(false),
        _ => false,
    }
}

/// What the brake stops: everything that closes, deletes or forgets, whether it counts or not.
fn takes_away(step: &Step) -> bool {
    matches!(step.action, Action::Disable | Action::Delete | Action::Forget) || closes_by_making(step)
}

fn hold_step(step: &Step, reason: String, lift: Option<String>) -> Held {
    Held { tenant: step.tenant.clone(), instance: step.instance.clone(), action: step.action, reason, lift }
}

/// Moves the steps that may not be done to the held ones. Returns the id of the plan's removals.
pub(super) fn hold(world: World<'_>, draft: &mut Draft) -> Option<String> {
    if !world.policy.only.is_empty() {
        let only = &world.policy.only;
        draft.steps.retain(|step| only.contains(&step.tenant));
        draft.held.retain(|held| only.contains(&held.tenant));
        draft.waiting.retain(|waiting| only.contains(&waiting.tenant));
        draft.drifted.retain(|drifted| only.contains(&drifted.tenant));
    }
    // Stable: a tenant's steps keep their order.
    draft.steps.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    let records = Records::of(world);
    another_server(world, &records, draft);
    suspended(world, &records, draft);
    beyond_the_tier(world, draft);
    if world.policy.no_removals {
        move_steps(draft, takes_away, |step| {
            hold_step(step, "this run was told to remove nothing (--no-removals)".into(), None)
        });
    }
    // What waits for its own approval does not use up the limits, but the plan's approval covers it too.
    let removals: Vec<Step> =
        draft.steps.iter().filter(|step| is_removal(step) && !resumes(world, step)).cloned().collect();
    let would_exceed = limits::exceeded(world, &draft.steps);
    let removals_id = identity_of_gated(&removals, &would_exceed, &draft.steps);
    let approved = removals_id.as_ref().is_some_and(|id| {
        world.recorded.approvals.iter().any(|approval| {
            let of_this = approval.removals_id.as_ref() == Some(id) || active(Bug::AnyApproval);
            of_this && approval.expires_at > world.now
        })
    });
    if !approved {
        unapproved_deletions(world, removals_id.as_deref(), draft);
        let over = limits::exceeded(world, &draft.steps);
        let lift = removals_id.as_ref().map(|id| format!("tenantd approve {id}"));
        for over in &over {
            draft.warnings.push(over.message(lift.as_deref()));
        }
        move_steps(
            draft,
            |step| over.iter().any(|over| over.holds(step)),
            |step| {
                let reason =
                    over.iter().find(|over| over.holds(step)).map_or_else(String::new, |over| over.reason());
                hold_step(step, reason, lift.clone())
            },
        );
    }
    what_rests_on_held_steps(world, &records, draft);
    numbers::hold_what_waits(world, draft);
    sort_held(draft);
    draft.held.dedup();
    draft.waiting.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    removals_id
}

/// Those of one reason stand together.
pub(super) fn sort_held(draft: &mut Draft) {
    draft.held.sort_by(|a, b| (&a.reason, a.action, &a.tenant).cmp(&(&b.reason, b.action, &b.tenant)));
}

/// What would do the work of a held step, or is right only after it, is held with it.
fn what_rests_on_held_steps(world: World<'_>, records: &Records<'_>, draft: &mut Draft) {
    let held: BTreeMap<(TenantKey, InstanceKey, Action), Option<String>> = draft
        .held
        .iter()
        .map(|held| ((held.tenant.clone(), held.instance.clone(), held.action), held.lift.clone()))
        .collect();
    let rests_on = |step: &Step| {
        let record = records.of_step(step)?;
        let (action, reason) = match &step.work {
            // It makes the tenant as the file says, so it would disable it.
            Work::Move { tenant, .. } if !tenant.enabled => {
                (Action::Disable, "it waits for its disabling, which is held")
            }
            Work::DisableFormer { .. } if has_no_other_place(world, &step.tenant, record) => {
                (Action::Create, "it stays open until the tenant is made elsewhere, which is held")
            }
            _ => return None,
        };
        let lift = held.get(&(step.tenant.clone(), record.instance.clone(), action))?;
        Some(hold_step(step, reason.to_owned(), lift.clone()))
    };
    let steps = std::mem::take(&mut draft.steps);
    for step in steps {
        match rests_on(&step) {
            Some(held) => draft.held.push(held),
            None => draft.steps.push(step),
        }
    }
}

/// The id that an approval names: of every removal, and of what a surge limit holds.
fn identity_of_gated(removals: &[Step], over: &[limits::Exceeded], steps: &[Step]) -> Option<String> {
    let surges = steps.iter().filter(|step| !is_removal(step) && over.iter().any(|over| over.holds(step)));
    let gated: Vec<&Step> = removals.iter().chain(surges).collect();
    (!gated.is_empty()).then(|| identity::of_removals(gated))
}

fn move_steps(draft: &mut Draft, which: impl Fn(&Step) -> bool, held: impl Fn(&Step) -> Held) {
    let steps = std::mem::take(&mut draft.steps);
    for step in steps {
        if which(&step) {
            draft.held.push(held(&step));
        } else {
            draft.steps.push(step);
        }
    }
}

/// New tenants beyond what the tier allows are held; those that are there stay.
fn beyond_the_tier(world: World<'_>, draft: &mut Draft) {
    let Some(allowed) = world.policy.max_tenants else { return };
    let managed = world.recorded.tenants.values().filter(|record| record.removed_at.is_none()).count();
    let is_new = |step: &Step| matches!(step.work, Work::Create { .. } | Work::Adopt { .. });
    let new = draft.steps.iter().filter(|step| is_new(step)).count();
    if new == 0 || managed + new <= usize::try_from(allowed).unwrap_or(usize::MAX) {
        return;
    }
    move_steps(draft, is_new, |step| {
        hold_step(
            step,
            format!(
                "the tier allows {allowed} tenants (tier.max_tenants); there are {managed}, and {new} are new"
            ),
            None,
        )
    });
}

/// A server that lost many of our domains at once is not the one we knew, whatever else it shows: nothing is written
/// to it, lest a restored backup be given a day's changes one by one.
fn another_server(world: World<'_>, records: &Records<'_>, draft: &mut Draft) {
    let vanished = decide::vanished(world);
    if vanished.is_empty() {
        return;
    }
    let writes_to = |step: &Step| -> Option<(InstanceKey, usize)> {
        let recorded = records.of_step(step).map(|record| &record.instance);
        let touched = match &step.work {
            Work::Rekey { .. }
            | Work::Forget { .. }
            | Work::Disable { expect: None, .. }
            | Work::DeleteFormer { expect: None, .. } => vec![],
            Work::Move { .. } => vec![Some(&step.instance), recorded],
            _ => vec![Some(&step.instance)],
        };
        touched.into_iter().flatten().find_map(|instance| Some((instance.clone(), *vanished.get(instance)?)))
    };
    move_steps(
        draft,
        |step| writes_to(step).is_some(),
        |step| {
            let reason = writes_to(step).map_or_else(String::new, |(instance, missing)| {
                format!(
                    "{missing} recorded domains are missing on {instance} at once: it may be another server or a \
                     restored backup, so nothing is changed there"
                )
            });
            hold_step(step, reason, None)
        },
    );
}

/// What is suspended stays so when its file is renamed; a move touches the instance that it leaves, too.
fn suspended(world: World<'_>, records: &Records<'_>, draft: &mut Draft) {
    for suspension in world.recorded.suspensions.iter().filter(|suspension| suspension.until > world.now) {
        draft.warnings.push(format!(
            "{} is paused until {} by {}: {}",
            suspension.scope(),
            to_the_minute(suspension.until),
            suspension.suspended_by,
            suspension.reason
        ));
        move_steps(
            draft,
            |step| {
                let record = records.of_step(step);
                suspension
                    .key
                    .as_ref()
                    .is_none_or(|key| *key == step.tenant || record.is_some_and(|record| *key == record.key))
                    && suspension.instance.as_ref().is_none_or(|instance| {
                        let leaves = matches!(step.work, Work::Move { .. })
                            && record.is_some_and(|record| *instance == record.instance);
                        *instance == step.instance || leaves
                    })
            },
            |step| {
                hold_step(
                    step,
                    format!(
                        "paused by {} until {}: {}",
                        suspension.suspended_by,
                        to_the_minute(suspension.until),
                        suspension.reason
                    ),
                    Some(suspension.resume()),
                )
            },
        );
    }
}

/// Under `mode: approve` a deletion waits for a person's word on just this tenant.
fn unapproved_deletions(world: World<'_>, removals_id: Option<&str>, draft: &mut Draft) {
    if world.policy.deletion.mode == DeletionMode::Automatic {
        return;
    }
    let approved: BTreeSet<_> = world
        .recorded
        .approvals
        .iter()
        .filter(|approval| approval.expires_at > world.now)
        .filter_map(|approval| approval.deletion_of.as_ref())
        .chain(&world.policy.allow_delete)
        .cloned()
        .collect();
    move_steps(
        draft,
        |step| {
            let deletes = matches!(step.work, Work::Delete { .. } | Work::Forget { .. })
                || matches!(&step.work, Work::DeleteFormer { expect: Some(_), .. });
            deletes && !approved.contains(&step.tenant) && !resumes(world, step)
        },
        |step| {
            let what = if step.action == Action::Forget { "forgetting it" } else { "deleting it" };
            hold_step(
                step,
                format!("{what} needs approval (deletion.mode is `approve`); {}", step.reason),
                match (&step.work, removals_id) {
                    // The tenant itself is there, so its deletion is nothing to approve.
                    (Work::DeleteFormer { .. }, Some(id)) => Some(format!("tenantd approve {id}")),
                    _ => Some(format!("tenantd approve --tenant {}", step.tenant)),
                },
            )
        },
    );
}
