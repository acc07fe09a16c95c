//! What a tenant previous when it moved: kept disabled, then deleted under the same rule as a removed tenant.

use std::collections::BTreeMap;

use super::index::{name_is_shared, reference};
use super::own_account::our_own_account;
use super::reason::{HeldReason, RetentionStart, StepReason};
use super::retention::{deletion_started, retention_end, scheduled};
use super::types::{Action, FieldChange, Held, ScheduledStep, Step, Work};
use super::{Draft, Inputs};
use crate::config::DeletionMode;
use crate::diff::{Field, web_sign_in_is_open};
use crate::model::{Completeness, DomainState, PbxDomain, PreviousPlacement, TenantKey, TenantRecord};

/// Domains that tenants previous on other instances: kept disabled, then deleted under the same rule.
///
/// `taken_over` has the new keys of records whose files were renamed.
pub(super) fn previous_placements(
    inputs: Inputs<'_>,
    taken_over: &BTreeMap<&TenantKey, &TenantKey>,
    draft: &mut Draft,
) {
    let mut placements: Vec<&PreviousPlacement> = inputs.recorded.previous_placements.iter().collect();
    placements.sort_by_key(|placement| (&placement.key, &placement.instance, placement.domain_id));
    for placement in placements {
        let Some(record) = inputs.recorded.tenants.get(&placement.key) else { continue };
        let key = taken_over.get(&placement.key).copied().unwrap_or(&placement.key);
        previous(inputs, key, record, placement, draft);
    }
}

/// Whether a tenant's previous domain is all that it has: a move was cut short before its new domain was made.
pub(super) fn has_no_other_place(inputs: Inputs<'_>, key: &TenantKey, record: &TenantRecord) -> bool {
    record.definition.enabled
        && !record.provisioned
        && inputs.desired.tenants.get(key).is_none_or(|tenant| tenant.definition.enabled)
}

fn previous(
    inputs: Inputs<'_>,
    key: &TenantKey,
    record: &TenantRecord,
    placement: &PreviousPlacement,
    draft: &mut Draft,
) {
    // A tenant that is on its way back uses this domain again.
    if inputs.desired.tenants.get(key).is_some_and(|tenant| tenant.definition.instance == placement.instance)
    {
        return;
    }
    let view = inputs.observed.instance(&placement.instance);
    let domain = match view.domain(placement.domain_id) {
        DomainState::Unknown => return,
        DomainState::Absent => {
            let reason = StepReason::PreviousDomainGone;
            draft.steps.push(delete_step(key, record, placement, None, reason));
            return;
        }
        DomainState::Present(domain) => domain,
    };
    let started = deletion_started(inputs, record.id, &placement.instance);
    let unlocked = web_sign_in_is_open(view, placement.domain_id);
    // Since the tenant left, tenantd's account came to live there.
    if our_own_account(inputs, &placement.instance, &domain.name).is_some() {
        return;
    }
    let close = || Step {
        tenant: key.clone(),
        instance: placement.instance.clone(),
        action: Action::Disable,
        reason: StepReason::PreviousStaysDisabled { instance: record.definition.instance.clone() },
        changes: vec![FieldChange::between(Field::Enabled, "true", "false")],
        work: Work::DisablePrevious {
            record: reference(record),
            placement: placement.clone(),
            expect: domain.clone(),
        },
    };
    let open = domain.enabled != Some(false) || placement.disable_confirmed_at.is_none();
    if open || (unlocked && !started) {
        let is_made = |step: &Step| matches!(&step.work, Work::Recreate { record: reference, .. } if reference.id == record.id);
        if has_no_other_place(inputs, key, record) && !draft.steps.iter().any(is_made) {
            let reason = HeldReason::CreateElsewhereUnfinished;
            draft.held.push(hold(key, placement, Action::Disable, reason));
            return;
        }
        draft.steps.push(close());
        return;
    }
    let steps = draft.steps.len();
    delete_previous(inputs, key, record, placement, domain, draft);
    if draft.steps.len() == steps && unlocked {
        draft.steps.push(close());
    }
}

fn delete_previous(
    inputs: Inputs<'_>,
    key: &TenantKey,
    record: &TenantRecord,
    placement: &PreviousPlacement,
    domain: &PbxDomain,
    draft: &mut Draft,
) {
    let hold = |reason: HeldReason| hold(key, placement, Action::Delete, reason);
    let Some(confirmed_at) = placement.disable_confirmed_at else { return };
    if inputs.policy.deletion.mode == DeletionMode::Never {
        return;
    }
    let until = retention_end(placement.left_at, confirmed_at, inputs.policy.deletion.retention_days);
    if let Some((until, reason)) =
        scheduled(inputs, until, RetentionStart::Moved, record.definition.protected)
    {
        draft.scheduled.push(ScheduledStep {
            tenant: key.clone(),
            instance: placement.instance.clone(),
            action: Action::Delete,
            until,
            reason,
        });
        return;
    }
    if record.definition.protected {
        draft.held.push(hold(HeldReason::PreviousProtected));
        return;
    }
    if let Completeness::Partial { reason } | Completeness::Unreadable { reason } =
        &inputs.desired.completeness
    {
        draft.held.push(hold(HeldReason::PreviousFilesNotFullyRead { problem: reason.clone() }));
        return;
    }
    if domain.name != placement.domain.as_str() {
        draft.held.push(hold(HeldReason::RenamedOnPbx { name: domain.name.clone() }));
        return;
    }
    if let Some(reason) = name_is_shared(inputs.observed, &placement.instance, domain) {
        draft.held.push(hold(reason));
        return;
    }
    let reason = if deletion_started(inputs, record.id, &placement.instance) {
        StepReason::UnfinishedDeleteOfPrevious
    } else {
        StepReason::RetentionOfPreviousEnded
    };
    draft.steps.push(delete_step(key, record, placement, Some(domain), reason));
}

fn hold(key: &TenantKey, placement: &PreviousPlacement, action: Action, reason: HeldReason) -> Held {
    Held::new(key, &placement.instance, action, reason)
}

/// Deletes what is there of it, or drops it where nothing is.
fn delete_step(
    key: &TenantKey,
    record: &TenantRecord,
    placement: &PreviousPlacement,
    domain: Option<&PbxDomain>,
    reason: StepReason,
) -> Step {
    Step {
        tenant: key.clone(),
        instance: placement.instance.clone(),
        action: if domain.is_some() { Action::Delete } else { Action::DeleteRecord },
        reason,
        changes: vec![FieldChange {
            field: Field::Domain,
            before: Some(placement.domain.to_string()),
            after: None,
        }],
        work: Work::DeletePrevious {
            record: reference(record),
            placement: placement.clone(),
            expect: domain.cloned(),
        },
    }
}
