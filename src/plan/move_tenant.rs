//! A tenant whose file names another instance: created there, disabled here.

use super::index::{Index, reference, seen};
use super::own_account::locks_tenantd_out;
use super::reason::{HeldReason, NotCheckedStep, StepReason};
use super::rename::{rekey_first, taken};
use super::types::{Action, FieldChange, Held, Step, Work};
use super::{Draft, Inputs, sms_numbers};
use crate::diff::{self, Difference, Field};
use crate::model::{DomainState, InstanceView, Tenant, TenantRecord};

/// Another instance: made there, disabled here.
pub(super) fn moving<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    draft: &mut Draft,
) {
    let hold = |reason: HeldReason| Held::new(&tenant.key, &tenant.definition.instance, Action::Move, reason);
    for instance in [&tenant.definition.instance, &record.definition.instance] {
        if let InstanceView::Unknown { reason: problem } = inputs.observed.instance(instance) {
            draft.held.push(hold(HeldReason::InstanceNotChecked {
                instance: instance.clone(),
                problem: problem.clone(),
                planned: NotCheckedStep::Move,
            }));
            return;
        }
    }
    if let Some(reason) = locks_tenantd_out(inputs, record) {
        draft.held.push(hold(reason));
        return;
    }
    let returns_to = inputs
        .recorded
        .previous_placements
        .iter()
        .find(|previous| previous.tenant == record.id && previous.instance == tenant.definition.instance)
        .map(|previous| previous.domain_id);
    if let Some(taken) = taken(index, tenant, record, returns_to)
        .or_else(|| sms_numbers::taken(inputs, index, tenant, Some(record.id)))
    {
        draft.held.push(hold(taken));
        return;
    }
    let mut differences = diff::tenant(tenant, record, None);
    differences.extend(diff::sms_numbers(tenant, inputs.recorded.sms_numbers.get(&record.id)));
    draft.warnings.push(format!(
        "{}: moving from {} to {} does not move extensions and call routing. Its users are synchronised from {} \
         afterwards",
        tenant.key, record.definition.instance, tenant.definition.instance, tenant.definition.instance
    ));
    rekey_first(tenant, record, &differences, draft);
    // Disabled first and where it is, so that this counts like any other disabling.
    let disables = record.definition.enabled && !tenant.definition.enabled;
    let (switched, differences): (Vec<&Difference>, Vec<&Difference>) =
        differences.iter().partition(|difference| disables && difference.field == Field::Enabled);
    if disables {
        draft.steps.push(Step {
            tenant: tenant.key.clone(),
            instance: record.definition.instance.clone(),
            action: Action::Disable,
            reason: StepReason::FileChanged,
            changes: switched.into_iter().map(FieldChange::from).collect(),
            work: Work::Disable {
                record: reference(record),
                expect: match seen(inputs.observed, record) {
                    DomainState::Present(domain) => Some(domain.clone()),
                    DomainState::Absent | DomainState::Unknown => None,
                },
                file_removed: false,
                counts: true,
            },
        });
    }
    draft.steps.push(Step {
        tenant: tenant.key.clone(),
        instance: tenant.definition.instance.clone(),
        action: Action::Move,
        reason: StepReason::InstanceChanged {
            from: record.definition.instance.clone(),
            to: tenant.definition.instance.clone(),
        },
        changes: differences.into_iter().filter(|d| d.field != Field::Key).map(FieldChange::from).collect(),
        work: Work::Move { record: reference(record), tenant: tenant.clone(), returns_to },
    });
}
