//! The plan and its outcome in the log: one event for each step, a sentence and fields.

use tracing::{debug, error, info, warn};

use super::text::Paint;
use super::{chain, preview};
use crate::apply::{Outcome, StepResult};
use crate::model::{InstanceKey, TenantKey};
use crate::plan::{Action, Plan, Work};
use crate::sync::{InstanceSync, SyncNote};

/// Logs the preview of a plan, before anything of it is done.
pub fn plan(plan: &Plan) {
    for step in &plan.steps {
        let changes: Vec<String> = step.changes.iter().map(preview::change_text).collect();
        info!(
            plan = %plan.id,
            tenant = %step.tenant,
            instance = %step.instance,
            action = %step.action,
            reason = %step.reason,
            "planned: {} {} on {}, because {}: {}",
            step.action,
            step.tenant,
            step.instance,
            step.reason,
            changes.join("; ")
        );
        if !matches!(step.work, Work::Rekey { .. }) {
            effects(plan, &step.tenant, &step.instance, step.action);
        }
    }
    for steps in plan.steps.chunk_by(|a, b| a.tenant == b.tenant) {
        if let Some(step) = steps.first() {
            let diff = preview::tenant_diff(&step.tenant, plan, Paint(false));
            for line in diff.lines() {
                info!(plan = %plan.id, tenant = %step.tenant, "preview: {line}");
            }
        }
    }
    for held in &plan.held {
        warn!(
            plan = %plan.id,
            tenant = %held.tenant,
            instance = %held.instance,
            action = %held.action,
            reason = %held.reason,
            lift = held.lift.as_deref(),
            "held: {} {} on {}: {}",
            held.action,
            held.tenant,
            held.instance,
            held.reason
        );
        effects(plan, &held.tenant, &held.instance, held.action);
    }
    for drifted in &plan.drifted {
        warn!(
            tenant = %drifted.tenant,
            instance = %drifted.instance,
            field = %drifted.change.field,
            "drifted and left alone: {} on {}: {}",
            drifted.tenant,
            drifted.instance,
            preview::change_text(&drifted.change)
        );
    }
    for warning in plan.warnings.iter().filter(|warning| !warning.starts_with("held: ")) {
        warn!(plan = %plan.id, "{warning}");
    }
    info!(
        plan = %plan.id,
        steps = plan.steps.len(),
        held = plan.held.len(),
        waiting = plan.waiting.len(),
        unchanged = plan.counts.unchanged,
        foreign_domains = plan.counts.foreign_domains,
        "plan {}: {} steps, {} held, {} waiting, {} tenants unchanged",
        plan.id,
        plan.steps.len(),
        plan.held.len(),
        plan.waiting.len(),
        plan.counts.unchanged
    );
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
                "done: {} {} on {}", step.action, step.tenant, step.instance
            ),
            StepResult::Failed(failure) => error!(
                plan = %plan.id, tenant = %step.tenant, instance = %step.instance, action = %step.action,
                error = %chain(failure),
                "failed: {} {} on {}", step.action, step.tenant, step.instance
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

/// Logs what became of an instance's users. What was told before, as `before` has it, is not told again.
pub fn users(report: &InstanceSync, before: &SyncNote) {
    let InstanceSync { instance, tenants, left_alone: _, unknown } = report;
    let news = before.is_news(report);
    match unknown {
        Some(reason) if news => warn!(
            instance,
            reason,
            "the users of {instance} are not known for certain, so none of its users is changed: {reason}"
        ),
        Some(reason) => debug!(instance, reason, "the users of {instance} are still not known for certain"),
        None if before.problem.is_some() => info!(instance, "the users of {instance} are known again"),
        None => {}
    }
    for tenant in tenants {
        let (added, changed, disabled) = (tenant.added.len(), tenant.changed.len(), tenant.disabled.len());
        if tenant.did_something() {
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
        if news && tenant.kept_out() > 0 {
            warn!(
                tenant = tenant.tenant,
                instance,
                over_limit,
                refused,
                "users of {} are kept out: {over_limit} beyond max_users, {refused} whose address or name is taken",
                tenant.tenant
            );
        }
    }
}
