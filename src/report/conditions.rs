//! What a run concluded about each tenant: one condition with its reason, from what it saw, planned and did.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::{Outcome, StepResult};
use crate::config::DeletionMode;
use crate::environment::to_the_minute;
use crate::inputs::PassInputs;
use crate::model::{
    BrokenFile, Completeness, Condition, InstanceKey, InstanceView, Recorded, TenantCondition, TenantKey,
    TenantRecord, UnusualFile,
};
use crate::plan::{self, Action, Held, Plan, Policy, RetentionStart, ScheduledReason, ScheduledStep, Work};

use super::{chain, preview};

/// How every tenant stands after a run. `after` is what is recorded now; without an `outcome`, nothing was done yet.
pub fn conditions(
    inputs: &PassInputs,
    plan: &Plan,
    outcome: Option<&Outcome>,
    after: &Recorded,
) -> BTreeMap<TenantKey, TenantCondition> {
    let only = &inputs.policy.only;
    let mut keys: BTreeSet<&TenantKey> = inputs.desired.tenants.keys().chain(after.tenants.keys()).collect();
    keys.extend(inputs.desired.broken.iter().filter_map(|file| file.key.as_ref()));
    let findings = Findings::of(inputs, plan, outcome, after);
    keys.into_iter()
        .filter(|key| only.is_empty() || only.contains(*key))
        .map(|key| (key.clone(), findings.with_out_of_service(key)))
        .collect()
}

/// The findings of a run by tenant.
struct Findings<'a> {
    inputs: &'a PassInputs,
    plan: &'a Plan,
    after: &'a Recorded,
    failed: BTreeMap<&'a TenantKey, TenantCondition>,
    held: BTreeMap<&'a TenantKey, &'a Held>,
    contested: BTreeMap<&'a TenantKey, &'a Held>,
    drifted: BTreeMap<&'a TenantKey, Vec<String>>,
    pending: BTreeMap<&'a TenantKey, TenantCondition>,
    scheduled: BTreeMap<&'a TenantKey, &'a ScheduledStep>,
    not_checked: BTreeMap<&'a InstanceKey, &'a str>,
    done: BTreeSet<&'a TenantKey>,
}

impl<'a> Findings<'a> {
    fn of(inputs: &'a PassInputs, plan: &'a Plan, outcome: Option<&'a Outcome>, after: &'a Recorded) -> Self {
        let mut found = Self {
            inputs,
            plan,
            after,
            failed: BTreeMap::new(),
            held: BTreeMap::new(),
            contested: BTreeMap::new(),
            drifted: BTreeMap::new(),
            pending: BTreeMap::new(),
            scheduled: BTreeMap::new(),
            not_checked: BTreeMap::new(),
            done: BTreeSet::new(),
        };
        for held in &plan.held {
            let of_its_kind = if held.is_contested() { &mut found.contested } else { &mut found.held };
            // One that a command lifts says what to do.
            let shown = of_its_kind.entry(&held.tenant).or_insert(held);
            if shown.lifted_by.is_none() && held.lifted_by.is_some() {
                *shown = held;
            }
        }
        for drifted in &plan.drifted {
            let texts = found.drifted.entry(&drifted.tenant).or_default();
            texts.push(preview::change_text(&drifted.change));
        }
        for scheduled in &plan.scheduled {
            let first = found.scheduled.entry(&scheduled.tenant).or_insert(scheduled);
            if scheduled.until < first.until {
                *first = scheduled;
            }
        }
        for one in &plan.not_checked {
            found.not_checked.insert(&one.instance, &one.reason);
        }
        found.note_steps(outcome);
        found
    }

    fn note_steps(&mut self, outcome: Option<&'a Outcome>) {
        let Some(outcome) = outcome else {
            for step in &self.plan.steps {
                let text = format!("{} on {}: {}", step.action, step.instance, step.reason);
                self.pending.entry(&step.tenant).or_insert(TenantCondition::new(Condition::Pending, text));
            }
            return;
        };
        for step in &outcome.steps {
            match &step.result {
                StepResult::Done => {
                    self.done.insert(&step.tenant);
                }
                StepResult::Failed(error) => {
                    let text = format!("{} on {} failed: {}", step.action, step.instance, chain(error));
                    self.failed.entry(&step.tenant).or_insert(TenantCondition::new(Condition::Failed, text));
                }
                StepResult::Skipped(why) => {
                    let text = format!("{} on {} was skipped: {why}", step.action, step.instance);
                    self.pending
                        .entry(&step.tenant)
                        .or_insert(TenantCondition::new(Condition::Pending, text));
                }
            }
        }
    }

    /// The condition, and that the tenant's phones are refused where they should not be.
    fn with_out_of_service(&self, key: &TenantKey) -> TenantCondition {
        let condition = self.condition(key);
        let PassInputs { desired, recorded, observed, .. } = self.inputs;
        match plan::out_of_service(desired, recorded, observed, key) {
            Some(out_of_service) if !self.done.contains(key) && condition.condition != Condition::InSync => {
                let reason = condition.reason.as_ref().map_or_else(
                    || out_of_service.to_string(),
                    |reason| format!("{reason}. {out_of_service}"),
                );
                TenantCondition { reason: Some(reason), ..condition }
            }
            _ => condition,
        }
    }

    fn condition(&self, key: &TenantKey) -> TenantCondition {
        let record = self.after.tenants.get(key);
        let desired = self.inputs.desired.tenants.get(key);
        let instance = record
            .map(|record| &record.definition.instance)
            .or(desired.map(|tenant| &tenant.definition.instance));
        paused(self.after, key, instance)
            .or_else(|| self.failed.get(key).cloned())
            .or_else(|| self.not_looked_at(instance))
            .or_else(|| self.contested.get(key).map(|held| of_held(held, Condition::Contested)))
            .or_else(|| self.broken(key))
            .or_else(|| self.inputs.desired.unusual_file_of(key).map(unusual_file))
            .or_else(|| self.held.get(key).map(|held| of_held(held, Condition::Held)))
            .or_else(|| {
                self.drifted
                    .get(key)
                    .map(|fields| TenantCondition::new(Condition::Drifted, fields.join("; ")))
            })
            .or_else(|| self.pending.get(key).cloned())
            .or_else(|| self.scheduled.get(key).map(|scheduled| scheduled_condition(scheduled)))
            .or_else(|| {
                record.filter(|_| desired.is_none()).and_then(|record| self.without_file(key, record))
            })
            .or_else(|| record.and_then(|record| self.sessions_may_go_on(record)))
            .or_else(|| {
                let new = record.is_none() && !self.done.contains(key);
                new.then(|| TenantCondition::new(Condition::Pending, "it has a file and no record yet"))
            })
            .unwrap_or_else(TenantCondition::in_sync)
    }

    fn not_looked_at(&self, instance: Option<&InstanceKey>) -> Option<TenantCondition> {
        if let Completeness::Unreadable { reason } = &self.inputs.desired.completeness {
            return Some(TenantCondition::new(
                Condition::NotChecked,
                format!("the tenants directory {reason}"),
            ));
        }
        let instance = instance?;
        let reason = match self.not_checked.get(instance) {
            Some(reason) => *reason,
            None => match self.inputs.observed.instance(instance) {
                InstanceView::Unknown { reason } => reason.as_str(),
                InstanceView::Seen { .. } => return None,
            },
        };
        Some(TenantCondition::new(Condition::NotChecked, format!("{instance}: {reason}")))
    }

    /// One that was disabled in this run: the next plan says the same of it.
    fn sessions_may_go_on(&self, record: &TenantRecord) -> Option<TenantCondition> {
        let until = record
            .disable_confirmed_at
            .filter(|until| !record.definition.enabled && *until > self.inputs.now)?;
        plan::sessions_go_on(&self.inputs.observed, &self.inputs.policy)
            .contains_key(&record.definition.instance)
            .then(|| {
                scheduled_condition(&ScheduledStep {
                    tenant: record.key.clone(),
                    instance: record.definition.instance.clone(),
                    action: Action::Disable,
                    until,
                    reason: ScheduledReason::WebSessionsOpen,
                })
            })
    }

    fn broken(&self, key: &TenantKey) -> Option<TenantCondition> {
        let file = self.inputs.desired.broken.iter().find(|file| file.key.as_ref() == Some(key))?;
        Some(broken_file(file))
    }

    /// A record whose tenant has no file, and that nothing was planned for.
    fn without_file(&self, key: &TenantKey, record: &TenantRecord) -> Option<TenantCondition> {
        let renamed = self.plan.steps.iter().find(
            |step| matches!(step.work, Work::Rekey { record: of, .. } if of.id == record.id && step.tenant != *key),
        );
        if let Some(step) = renamed {
            let text = format!("its file was renamed, so it becomes the tenant {}", step.tenant);
            return Some(TenantCondition::new(Condition::Pending, text));
        }
        Some(removed(record, &self.inputs.policy).unwrap_or_else(|| {
            TenantCondition::new(
                Condition::Held,
                "its file was removed, and this run disables and deletes no tenant",
            )
        }))
    }
}

/// How a tenant stands whose file was removed and that was disabled because of it.
fn removed(record: &TenantRecord, policy: &Policy) -> Option<TenantCondition> {
    record.file_removed_at.filter(|_| !record.definition.enabled)?;
    if policy.deletion.mode == DeletionMode::Never {
        let text = "its file was removed and it is disabled; it is never deleted (`deletion.mode: never`)";
        return Some(TenantCondition::new(Condition::InSync, text));
    }
    let days = policy.deletion.retention_days;
    // In the words of a plan that says so itself, so that `since` continues.
    let reason = ScheduledReason::Retention {
        days,
        since: RetentionStart::Disabled,
        protected: record.definition.protected,
    };
    let text = format!("{} on {}: {reason}", Action::Delete, record.definition.instance);
    Some(match plan::record_retention_end(record, days) {
        Some(until) => {
            TenantCondition { until: Some(until), ..TenantCondition::new(Condition::Scheduled, text) }
        }
        None => TenantCondition::new(
            Condition::Pending,
            "its file was removed; the PBX has not confirmed yet that it is disabled",
        ),
    })
}

/// How the tenant of a broken file stands.
pub fn broken_file(file: &BrokenFile) -> TenantCondition {
    let why = file.problems.first().cloned().unwrap_or_else(|| format!("{} cannot be used", file.file));
    TenantCondition::new(Condition::Held, format!("its file is broken: {why}"))
}

/// How the tenant stands whose file is there under another spelling.
pub fn unusual_file(file: &UnusualFile) -> TenantCondition {
    let text = format!("its file may be {}: {}; {}", file.shown, file.what, file.mend);
    TenantCondition::new(Condition::Held, text)
}

/// A pause that is in force for a tenant.
pub fn paused(
    recorded: &Recorded,
    key: &TenantKey,
    instance: Option<&InstanceKey>,
) -> Option<TenantCondition> {
    let pause = recorded.pauses.iter().find(|pause| pause.covers(key, instance))?;
    let text = format!("paused by {}: {}", pause.paused_by, pause.reason);
    Some(TenantCondition { until: Some(pause.until), ..TenantCondition::new(Condition::Paused, text) })
}

fn of_held(held: &Held, condition: Condition) -> TenantCondition {
    let text = format!("{} on {}: {}", held.action, held.instance, held.reason);
    TenantCondition { lifted_by: held.lifted_by.clone(), ..TenantCondition::new(condition, text) }
}

fn scheduled_condition(scheduled: &ScheduledStep) -> TenantCondition {
    let text = format!("{} on {}: {}", scheduled.action, scheduled.instance, scheduled.reason);
    TenantCondition { until: Some(scheduled.until), ..TenantCondition::new(Condition::Scheduled, text) }
}

/// What a run came to: `2 done, 1 held`.
pub fn in_a_word(plan: &Plan, outcome: &Outcome) -> String {
    let counted = [
        (outcome.done(), "done"),
        (outcome.failed(), "failed"),
        (outcome.skipped(), "skipped"),
        (plan.held.len(), "held"),
        (plan.drifted.len(), "drifted"),
        (plan.not_checked.len(), "not checked"),
    ];
    let parts: Vec<String> = counted
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    if parts.is_empty() { "no changes".to_owned() } else { parts.join(", ") }
}

/// A standing's reason for people, with what it waits for and what lifts it.
pub fn reason_text(standing: &TenantCondition) -> String {
    let mut text = standing.reason.clone().unwrap_or_default();
    if let Some(until) = standing.until {
        let word = if standing.condition == Condition::Scheduled { "not before" } else { "until" };
        text.push_str(&format!(" ({word} {})", to_the_minute(until)));
    }
    if let Some(lifted_by) = &standing.lifted_by {
        text.push_str(&format!("; to go ahead: {lifted_by}"));
    }
    text
}
