//! Why the next step of a tenant happens or not.

use crate::config::DeletionMode;
use crate::diff::Field;
use crate::environment::to_the_minute;
use crate::inputs::PassInputs;
use crate::model::{Completeness, InstanceKey, InstanceView, TenantId, TenantKey, TenantRecord, Tombstone};
use crate::plan::{Plan, Work};
use crate::store::AuditEntry;

/// One line for each step of the tenant's plan, for what is held, scheduled or only reported, and for what was not
/// checked. Where there is none of these, one line says why.
pub fn reasons(
    inputs: &PassInputs,
    plan: &Plan,
    key: &TenantKey,
    history: &[AuditEntry],
    tombstones: &[Tombstone],
) -> Vec<String> {
    let record = inputs.recorded.tenants.get(key);
    let mut lines = steps(plan);
    lines.extend(held_steps(inputs, plan, record));
    for scheduled in &plan.scheduled {
        lines.push(format!(
            "{} {}: {}",
            scheduled.what(&of_previous_domain(inputs, record, &scheduled.instance)),
            to_the_minute(scheduled.until),
            scheduled.reason
        ));
    }
    for drifted in &plan.drifted {
        lines.push(format!("`{}` drifted and is only reported (`drift: report`)", drifted.change.field));
    }
    for (reason, line) in not_checked(inputs, record) {
        if !lines.iter().any(|line: &String| line.contains(reason)) {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        lines.push(nothing_to_do(inputs, key, history, tombstones));
    }
    lines
}

fn steps(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &plan.steps {
        // Where only the record changes, no request is sent.
        let only_recorded = matches!(&step.work, Work::Disable { expect: None, .. })
            && step.changes.iter().all(|change| change.field == Field::File);
        lines.push(if only_recorded {
            format!(
                "the next run records that it has no file, and changes nothing on the PBX: {}",
                step.reason
            )
        } else {
            format!("the next run will {} it: {}", step.action, step.reason)
        });
        lines.extend(plan.effects_of_step(step).iter().map(|effect| format!("warning: {effect}")));
    }
    lines
}

fn held_steps(inputs: &PassInputs, plan: &Plan, record: Option<&TenantRecord>) -> Vec<String> {
    let mut lines = Vec::new();
    for held in &plan.held {
        let lifted_by = held
            .lifted_by
            .as_ref()
            .map_or_else(String::new, |lifted_by| format!("; to go ahead: {lifted_by}"));
        let of = of_previous_domain(inputs, record, &held.instance);
        lines.push(format!("{}{of} is held: {}{lifted_by}", held.action, held.why()));
        let effects = plan.effects_of(&held.tenant, &held.instance, held.action);
        lines.extend(effects.iter().map(|effect| format!("warning: {effect}")));
    }
    lines
}

/// Tells a step on a moved tenant's previous domain from a step on the tenant itself.
fn of_previous_domain(inputs: &PassInputs, record: Option<&TenantRecord>, instance: &InstanceKey) -> String {
    let is_previous = record.is_some_and(|record| {
        record.definition.instance != *instance
            && inputs
                .recorded
                .previous_placements
                .iter()
                .any(|previous| previous.tenant == record.id && previous.instance == *instance)
    });
    if is_previous { format!(" of its previous domain on {instance}") } else { String::new() }
}

/// What could not be read about the tenant: the reason, and the line that reports it.
fn not_checked<'i>(inputs: &'i PassInputs, record: Option<&TenantRecord>) -> Vec<(&'i str, String)> {
    let mut found = Vec::new();
    if let Completeness::Unreadable { reason } = &inputs.desired.completeness {
        found.push((
            reason.as_str(),
            format!("its desired state is not known: the tenants directory {reason}"),
        ));
    }
    if let Some(record) = record
        && let InstanceView::Unknown { reason } = inputs.observed.instance(&record.definition.instance)
    {
        found.push((reason.as_str(), format!("{} was not checked: {reason}", record.definition.instance)));
    }
    found
}

/// Why there is nothing to do for the tenant, although everything was read.
fn nothing_to_do(
    inputs: &PassInputs,
    key: &TenantKey,
    history: &[AuditEntry],
    tombstones: &[Tombstone],
) -> String {
    if let Some(record) = inputs.recorded.tenants.get(key) {
        if inputs.desired.tenants.contains_key(key) {
            return "nothing to do: file, record and PBX agree".to_owned();
        }
        let is_its = |work: &Work| matches!(work, Work::Rekey { record: of, .. } if of.id == record.id);
        return match inputs.plan().steps.iter().find(|step| is_its(&step.work)) {
            Some(step) => format!("its file was renamed: the next run renames it to {}", step.tenant),
            None if record.file_removed_at.is_some()
                && inputs.policy.deletion.mode == DeletionMode::Never =>
            {
                "its file was removed and it is disabled; it is never deleted (`deletion.mode: never`)"
                    .to_owned()
            }
            None => "it has no file, and the next run does nothing for it".to_owned(),
        };
    }
    if inputs.desired.is_broken(key) {
        return "its file is broken and it is not recorded, so nothing is done until its file can be read"
            .to_owned();
    }
    if inputs.desired.tenants.contains_key(key) {
        return "it has a file and is not recorded, and the next run does nothing for it".to_owned();
    }
    let was = |id: TenantId| history.iter().any(|entry| entry.tenant == Some(id));
    if let Some(record) = inputs.recorded.tenants.values().find(|record| was(record.id)) {
        return format!("its file was renamed: it is now the tenant {}", record.key);
    }
    match tombstones.iter().rev().find(|tombstone| tombstone.key == *key || was(tombstone.tenant)) {
        Some(tombstone) if tombstone.key == *key => "it was deleted, and only its history remains".to_owned(),
        Some(tombstone) => {
            format!("it was renamed to {}, which was deleted, and only its history remains", tombstone.key)
        }
        None => "it has neither a file nor a record, and its history names no deletion".to_owned(),
    }
}
