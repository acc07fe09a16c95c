//! What is not done although it could be: suspensions, the brake, approvals and limits.

use std::collections::BTreeSet;

use super::types::{Action, Held, Step, Work};
use super::{Draft, World, identity, limits};
use crate::config::DeletionMode;
use crate::model::InstanceKey;
use crate::sabotage::{Bug, active};

/// Why and under which word a removal counts.
pub(super) fn is_removal(step: &Step) -> bool {
    match &step.work {
        Work::Disable { counts, .. } | Work::Move { counts, .. } | Work::Recreate { counts, .. } => *counts,
        Work::Delete { .. } | Work::Forget { .. } => true,
        Work::DeleteFormer { expect, .. } => expect.is_some(),
        Work::Create { .. }
        | Work::Adopt { .. }
        | Work::Rekey { .. }
        | Work::Rename { .. }
        | Work::Update { .. }
        | Work::Enable { .. }
        | Work::DisableFormer { .. } => false,
    }
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
    suspended(world, draft);
    if world.policy.no_removals {
        move_steps(draft, is_removal, |step| {
            hold_step(step, "this run was told to remove nothing (--no-removals)".into(), None)
        });
    }
    // What waits for its own approval does not use up the limits, but the plan's approval covers it too.
    let removals: Vec<Step> = draft.steps.iter().filter(|step| is_removal(step)).cloned().collect();
    let would_exceed = limits::exceeded(world, &draft.steps);
    let removals_id = identity_of_gated(&removals, &would_exceed, &draft.steps);
    let approved = removals_id.as_ref().is_some_and(|id| {
        world.recorded.approvals.iter().any(|approval| {
            let of_this = approval.removals_id.as_ref() == Some(id) || active(Bug::AnyApproval);
            of_this && approval.expires_at > world.now
        })
    });
    if !approved {
        unapproved_deletions(world, draft);
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
    draft.held.sort_by(|a, b| (&a.tenant, a.action, &a.reason).cmp(&(&b.tenant, b.action, &b.reason)));
    draft.held.dedup();
    draft.waiting.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    removals_id
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

/// Whether a step changes something on an instance. A move also closes what it leaves behind.
fn touches(world: World<'_>, step: &Step, instance: &InstanceKey) -> bool {
    let left = match &step.work {
        Work::Move { record, .. } => world.recorded.tenants.values().find(|found| found.id == record.id),
        _ => None,
    };
    step.instance == *instance || left.is_some_and(|left| left.instance == *instance)
}

fn suspended(world: World<'_>, draft: &mut Draft) {
    for suspension in world.recorded.suspensions.iter().filter(|suspension| suspension.until > world.now) {
        move_steps(
            draft,
            |step| {
                suspension.key.as_ref().is_none_or(|key| *key == step.tenant)
                    && suspension.instance.as_ref().is_none_or(|instance| touches(world, step, instance))
            },
            |step| {
                hold_step(
                    step,
                    format!(
                        "suspended by {} until {}: {}",
                        suspension.suspended_by,
                        suspension.until.format("%Y-%m-%d %H:%M UTC"),
                        suspension.reason
                    ),
                    Some(match (&suspension.key, &suspension.instance) {
                        (Some(key), _) => format!("tenantd resume {key}"),
                        (None, Some(instance)) => format!("tenantd resume --instance {instance}"),
                        (None, None) => "tenantd resume".to_owned(),
                    }),
                )
            },
        );
    }
}

/// Under `mode: approve` a deletion waits for a person's word on just this tenant.
fn unapproved_deletions(world: World<'_>, draft: &mut Draft) {
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
            deletes && !approved.contains(&step.tenant)
        },
        |step| {
            let what = if step.action == Action::Forget { "forgetting it" } else { "deleting it" };
            hold_step(
                step,
                format!("{what} needs approval (deletion.mode is `approve`); {}", step.reason),
                Some(format!("tenantd approve --tenant {}", step.tenant)),
            )
        },
    );
}
