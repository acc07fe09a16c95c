//! A record without a file: disable now, delete much later and only when everything allows it.

use super::index::{name_is_shared, reference, seen};
use super::own_account::locks_tenantd_out;
use super::reason::{HeldReason, NotCheckedStep, RetentionStart, StepReason};
use super::retention::{deletion_started, record_retention_end, scheduled};
use super::types::{Action, FieldChange, Held, Preview, ScheduledStep, Step, Work};
use super::{Draft, Inputs};
use crate::config::DeletionMode;
use crate::diff::{Field, web_sign_in_is_open};
use crate::model::{
    Completeness, DomainState, InstanceView, PbxDomain, TenantDocument, TenantKey, TenantRecord,
};
use crate::sabotage::{Bug, active};

pub(super) fn without_file(inputs: Inputs<'_>, key: &TenantKey, record: &TenantRecord, draft: &mut Draft) {
    let instance = &record.definition.instance;
    let hold = |action: Action, reason: HeldReason| Held::new(key, instance, action, reason);
    if inputs.desired.is_broken(key) {
        draft.held.push(hold(Action::Update, HeldReason::FileBroken));
        return;
    }
    let next = if record.definition.enabled || record.file_removed_at.is_none() {
        Action::Disable
    } else {
        Action::Delete
    };
    if let Some(file) = inputs.desired.unusual_file_of(key) {
        let reason = HeldReason::FileUnderAnotherName { file: file.file.clone(), mend: file.mend.clone() };
        draft.held.push(hold(next, reason));
        return;
    }
    match &inputs.desired.completeness {
        Completeness::Complete => {}
        Completeness::Partial { .. } if active(Bug::PartialIsComplete) => {}
        Completeness::Partial { reason } | Completeness::Unreadable { reason } => {
            draft.held.push(hold(next, HeldReason::FilesNotFullyRead { problem: reason.clone() }));
            return;
        }
    }
    let domain = match seen(inputs.observed, record) {
        DomainState::Unknown => {
            let InstanceView::Unknown { reason: problem } = inputs.observed.instance(instance) else {
                return;
            };
            let reason = HeldReason::InstanceNotChecked {
                instance: instance.clone(),
                problem: problem.clone(),
                planned: NotCheckedStep::FileRemoved,
            };
            draft.held.push(hold(next, reason));
            return;
        }
        DomainState::Present(domain) => Some(domain),
        DomainState::Absent => None,
    };
    if let Some(reason) = locks_tenantd_out(inputs, record) {
        draft.held.push(hold(next, reason));
        return;
    }
    let disable = |draft: &mut Draft, (reason, changes, counts)| {
        let before = TenantDocument::from(&record.definition);
        let after = TenantDocument { enabled: false, ..before.clone() };
        draft.previews.insert(key.clone(), Preview { before: Some(before), after: Some(after) });
        let work =
            Work::Disable { record: reference(record), expect: domain.cloned(), file_removed: true, counts };
        draft.steps.push(Step {
            tenant: key.clone(),
            instance: record.definition.instance.clone(),
            action: Action::Disable,
            reason,
            changes,
            work,
        });
    };
    if let Some(why) = why_disable(inputs, record, domain) {
        return disable(draft, why);
    }
    let steps = draft.steps.len();
    delete(inputs, key, record, domain, draft);
    // A deletion that started may have removed the web sign-in block, and is not finished in this pass.
    if draft.steps.len() == steps
        && let Some(why) = why_block_again(inputs, record)
    {
        disable(draft, why);
    }
}

/// What there is to disable: reason, changes, and whether it counts against the removal limits.
type Why = (StepReason, Vec<FieldChange>, bool);

/// Whether there is something to close before deletion may be thought of.
fn why_disable(inputs: Inputs<'_>, record: &TenantRecord, domain: Option<&PbxDomain>) -> Option<Why> {
    let file_gone = FieldChange::between(Field::File, "present", "gone");
    if record.definition.enabled {
        return Some((
            StepReason::FileRemoved,
            vec![FieldChange::between(Field::Enabled, "true", "false"), file_gone],
            true,
        ));
    }
    if record.file_removed_at.is_none() {
        return Some((StepReason::FileRemovedWhileDisabled, vec![file_gone], true));
    }
    if record.disable_confirmed_at.is_none() {
        let disabled = FieldChange::between(Field::Enabled, "true", "false");
        let no_file = FieldChange { field: Field::File, before: None, after: Some("gone".to_owned()) };
        let instance = record.definition.instance.clone();
        return Some(match (record.restored_at, domain) {
            (Some(at), None) => (
                StepReason::RestoredWithoutFileAndDomain { at, instance, tenant: record.key.clone() },
                vec![no_file],
                false,
            ),
            (Some(at), Some(domain)) => (
                StepReason::RestoredWithoutFile { at },
                if domain.enabled == Some(false) { vec![no_file] } else { vec![disabled, no_file] },
                false,
            ),
            (None, _) => (StepReason::DisableNotConfirmed, vec![disabled], false),
        });
    }
    let domain = domain?;
    if domain.enabled != Some(false) {
        return Some((
            StepReason::DriftEnabled,
            vec![FieldChange::between(Field::Enabled, "true", "false")],
            false,
        ));
    }
    if deletion_started(inputs, record.id, &record.definition.instance) {
        return None;
    }
    why_block_again(inputs, record)
}

/// Whether its web sign-in is open and must not be.
fn why_block_again(inputs: Inputs<'_>, record: &TenantRecord) -> Option<Why> {
    let unlocked =
        web_sign_in_is_open(inputs.observed.instance(&record.definition.instance), record.domain_id);
    (unlocked && !record.web_sign_in_left_open).then(|| {
        (StepReason::DriftWebSignIn, vec![FieldChange::between(Field::WebSignIn, "open", "locked")], false)
    })
}

fn delete(
    inputs: Inputs<'_>,
    key: &TenantKey,
    record: &TenantRecord,
    domain: Option<&PbxDomain>,
    draft: &mut Draft,
) {
    let Some(until) = record_retention_end(record, inputs.policy.deletion.retention_days) else { return };
    let action = if domain.is_some() { Action::Delete } else { Action::DeleteRecord };
    let hold = |reason: HeldReason| Held::new(key, &record.definition.instance, action, reason);
    if inputs.policy.deletion.mode == DeletionMode::Never {
        return;
    }
    if let Some((until, reason)) =
        scheduled(inputs, until, RetentionStart::Disabled, record.definition.protected)
    {
        draft.scheduled.push(ScheduledStep {
            tenant: key.clone(),
            instance: record.definition.instance.clone(),
            action,
            until,
            reason,
        });
        return;
    }
    draft
        .previews
        .insert(key.clone(), Preview { before: Some(TenantDocument::from(&record.definition)), after: None });
    if record.definition.protected {
        draft.held.push(hold(HeldReason::Protected));
        return;
    }
    if let Some(open) = inputs.recorded.open_sessions.get(&record.id).filter(|open| **open > 0) {
        draft.held.push(hold(HeldReason::SessionsOpen { count: *open }));
        return;
    }
    if let Some(previous) =
        inputs.recorded.previous_placements.iter().find(|previous| previous.tenant == record.id)
    {
        draft.held.push(hold(HeldReason::PreviousPlacementFirst {
            domain: previous.domain.clone(),
            instance: previous.instance.clone(),
        }));
        return;
    }
    if let Some(name) =
        domain.map(|domain| &domain.name).filter(|name| *name != record.definition.domain.as_str())
    {
        draft.held.push(hold(HeldReason::RenamedOnPbx { name: name.clone() }));
        return;
    }
    if let Some(reason) =
        domain.and_then(|domain| name_is_shared(inputs.observed, &record.definition.instance, domain))
    {
        draft.held.push(hold(reason));
        return;
    }
    draft.steps.push(Step {
        tenant: key.clone(),
        instance: record.definition.instance.clone(),
        action,
        reason: match domain {
            Some(_) if deletion_started(inputs, record.id, &record.definition.instance) => {
                StepReason::UnfinishedDelete
            }
            Some(_) => StepReason::RetentionEnded,
            None => StepReason::RetentionEndedWithoutDomain,
        },
        changes: vec![FieldChange {
            field: Field::Domain,
            before: Some(record.definition.domain.to_string()),
            after: None,
        }],
        work: match domain {
            Some(domain) => Work::Delete { record: reference(record), expect: domain.clone() },
            None => Work::DeleteRecord { record: reference(record) },
        },
    });
}
