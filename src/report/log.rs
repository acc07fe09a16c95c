//! The plan and its outcome in the log: one record for each step, a sentence and fields. What was reported is not
//! reported again.

use tracing::{debug, error, info, warn};

use super::changes::{FileChanges, PlanChanges};
use super::text::count;
use super::{chain, preview};
use crate::apply::{Outcome, StepResult};
use crate::environment::to_the_minute;
use crate::model::{InstanceKey, TenantKey};
use crate::plan::{Action, Plan, Step, Work};
use crate::sync::{InstanceSync, SyncState};

/// Logs what a plan will do, before anything of it is done, and what changed of all that it will not do.
pub fn plan(plan: &Plan, changes: &PlanChanges<'_>) {
    plan.steps.iter().for_each(|step| planned(plan, step));
    log_start(plan, changes);
    ended(changes);
    info!(
        plan = %plan.id,
        steps = plan.steps.len(),
        held = plan.held.len(),
        scheduled = plan.scheduled.len(),
        unchanged = plan.counts.unchanged,
        foreign_domains = plan.counts.foreign_domains,
        "plan {}: {}, {} held, {} scheduled, {} unchanged",
        plan.id,
        count(plan.steps.len(), "step"),
        plan.held.len(),
        plan.scheduled.len(),
        count(plan.counts.unchanged, "tenant")
    );
}

fn planned(plan: &Plan, step: &Step) {
    let changes: Vec<String> = step.changes.iter().map(preview::change_text).collect();
    let changes = if changes.is_empty() { String::new() } else { format!(": {}", changes.join("; ")) };
    info!(
        plan = %plan.id,
        tenant = %step.tenant,
        instance = %step.instance,
        action = %step.action,
        code = step.reason.code(),
        reason = %step.reason,
        "planned: {} {} on {}, because {}{changes}",
        step.action,
        step.tenant,
        step.instance,
        step.reason,
    );
    if !matches!(step.work, Work::Rekey { .. }) {
        effects(plan, &step.tenant, &step.instance, step.action);
    }
}

fn log_start(plan: &Plan, changes: &PlanChanges<'_>) {
    for held in &changes.held {
        let lifted_by = held
            .lifted_by
            .as_ref()
            .map_or_else(String::new, |lifted_by| format!("; to go ahead: {lifted_by}"));
        warn!(
            plan = %plan.id,
            tenant = %held.tenant,
            instance = %held.instance,
            action = %held.action,
            code = held.reason.code(),
            reason = held.why(),
            lifted_by = held.lifted_by.as_deref(),
            "held: {} {} on {}: {}{lifted_by}",
            held.action,
            held.tenant,
            held.instance,
            held.why()
        );
        effects(plan, &held.tenant, &held.instance, held.action);
    }
    for drifted in &changes.drifted {
        warn!(
            tenant = %drifted.tenant,
            instance = %drifted.instance,
            field = %drifted.change.field,
            "drifted and only reported (`drift: report`): {} on {}: {}",
            drifted.tenant,
            drifted.instance,
            preview::change_text(&drifted.change)
        );
    }
    for scheduled in &changes.scheduled {
        info!(
            tenant = %scheduled.tenant,
            instance = %scheduled.instance,
            action = %scheduled.action,
            until = %scheduled.until.to_rfc3339(),
            code = scheduled.reason.code(),
            reason = %scheduled.reason,
            "scheduled: {} {} on {} not before {}: {}",
            scheduled.action,
            scheduled.tenant,
            scheduled.instance,
            to_the_minute(scheduled.until),
            scheduled.reason
        );
    }
    for one in &changes.not_checked {
        warn!(
            instance = %one.instance,
            reason = %one.reason,
            "{} was not checked, so nothing is changed there and its {} not checked: {}",
            one.instance,
            if one.tenants == 1 { "tenant is".to_owned() } else { format!("{} tenants are", one.tenants) },
            one.reason
        );
    }
    for warning in &changes.warnings {
        warn!(plan = %plan.id, "{warning}");
    }
}

fn ended(changes: &PlanChanges<'_>) {
    for instance in &changes.checked_again {
        info!(%instance, "{instance} is checked again");
    }
    for (tenant, instance, action) in &changes.released {
        info!(%tenant, %instance, %action, "no longer held: {action} {tenant} on {instance}");
    }
    for (tenant, instance, field) in &changes.settled {
        info!(%tenant, %instance, field, "no longer drifted: {tenant} on {instance}: {field}");
    }
    if changes.all_in_order {
        info!(
            "everything is in order again: no step is held, no tenant has drifted, and every instance was checked"
        );
    }
}

/// Logs what became of broken files.
pub fn files(changes: &FileChanges) {
    if changes.readable_again {
        info!("the tenants directory can be read again");
    }
    for (file, key) in &changes.repaired {
        info!(tenant = key.as_ref().map(tracing::field::display), "{file} is in order again");
    }
    for (file, key) in &changes.gone {
        info!(tenant = key.as_ref().map(tracing::field::display), "{file}, which was broken, was removed");
    }
}

/// Logs what a step means for people.
fn effects(plan: &Plan, tenant: &TenantKey, instance: &InstanceKey, action: Action) {
    for effect in plan.effects_of(tenant, instance, action) {
        warn!(
            plan = %plan.id,
            %tenant,
            %instance,
            %action,
            effect = effect.kind(),
            "to {action} {tenant} on {instance}: {effect}"
        );
    }
}

/// Logs what became of each step; a failure is logged here and nowhere else.
pub fn outcome(plan: &Plan, outcome: &Outcome) {
    for step in &outcome.steps {
        match &step.result {
            StepResult::Done => info!(
                plan = %plan.id, tenant = %step.tenant, instance = %step.instance, action = %step.action,
                "done: {} {} on {}{}", step.action, step.tenant, step.instance,
                step.note().map_or_else(String::new, |note| format!(": {note}"))
            ),
            StepResult::Failed(failure) => error!(
                plan = %plan.id, tenant = %step.tenant, instance = %step.instance, action = %step.action,
                error = %chain(failure),
                "failed: {} {} on {}: {}", step.action, step.tenant, step.instance, chain(failure)
            ),
            StepResult::Skipped(why) => warn!(
                plan = %plan.id, tenant = %step.tenant, instance = %step.instance, action = %step.action,
                reason = %why,
                "skipped: {} {} on {}: {why}", step.action, step.tenant, step.instance
            ),
        }
    }
    info!(
        plan = %plan.id,
        done = outcome.done(),
        failed = outcome.failed(),
        skipped = outcome.skipped(),
        "applied {}: {} done, {} failed, {} skipped",
        plan.id,
        outcome.done(),
        outcome.failed(),
        outcome.skipped()
    );
}

/// Logs what became of an instance's users. What was reported before, as `before` has it, is not reported again.
pub fn users(report: &InstanceSync, before: &SyncState) {
    let InstanceSync { instance, tenants, skipped: _, problem } = report;
    let changes = before.is_news(report);
    match problem {
        Some(reason) if changes => warn!(
            instance,
            reason, "the users of {instance} were not fully read, so none of its users is changed: {reason}"
        ),
        Some(reason) => debug!(instance, reason, "the users of {instance} were again not fully read"),
        None if before.problem.is_some() => info!(instance, "the users of {instance} were fully read again"),
        None => {}
    }
    for tenant in tenants {
        let (added, changed, disabled) = (tenant.added.len(), tenant.changed.len(), tenant.disabled.len());
        if tenant.has_changes() {
            info!(
                tenant = tenant.tenant,
                instance,
                added,
                changed,
                disabled,
                "users of {} synchronised from {instance}: {added} added, {changed} changed, {disabled} disabled",
                tenant.tenant
            );
        }
        let (over_limit, refused) = (tenant.over_limit.len(), tenant.refused.len());
        if changes && tenant.without_access() > 0 {
            warn!(
                tenant = tenant.tenant,
                instance,
                over_limit,
                refused,
                "users of {} are disabled: {over_limit} over `max_users`, {refused} because their address or name \
                 is taken",
                tenant.tenant
            );
        }
    }
}
