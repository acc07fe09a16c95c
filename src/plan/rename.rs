//! Another key or another domain for a tenant, and why it cannot have the domain that its file wants.

use super::index::{Index, name_is_shared, reference, seen};
use super::own_account::locks_tenantd_out;
use super::reason::{HeldReason, StepReason};
use super::types::{Action, Step, Work};
use super::{Draft, Inputs};
use crate::diff::{Difference, Field};
use crate::model::{Definition, DomainId, DomainState, Tenant, TenantRecord};

pub(super) fn rekey_first(
    tenant: &Tenant,
    record: &TenantRecord,
    differences: &[Difference],
    draft: &mut Draft,
) {
    let Some(change) = differences.iter().find(|difference| difference.field == Field::Key) else { return };
    draft.steps.push(Step {
        tenant: tenant.key.clone(),
        instance: record.definition.instance.clone(),
        action: Action::Rename,
        reason: StepReason::FileRenamed {
            from: record.key.clone(),
            declared: tenant.previously.as_ref() == Some(&record.key),
        },
        changes: vec![change.into()],
        work: Work::Rekey { record: reference(record), to: tenant.key.clone() },
    });
}

pub(super) fn may_rename<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
) -> Result<(), HeldReason> {
    let shared = || match seen(inputs.observed, record) {
        DomainState::Present(domain) if domain.name != tenant.definition.domain.as_str() => {
            name_is_shared(inputs.observed, &record.definition.instance, domain)
        }
        _ => None,
    };
    match locks_tenantd_out(inputs, record)
        .or_else(|| taken(index, tenant, record, Some(record.domain_id)))
        .or_else(shared)
    {
        Some(reason) => Err(reason),
        None => Ok(()),
    }
}

/// Why the tenant cannot have the domain that its file wants: a record has it, or another domain of its instance.
///
/// FusionPBX takes a name in use and has then two domains of one name: so look first. `own` is the domain that is
/// to have the name, where it is there already.
pub(super) fn taken<'a>(
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    own: Option<DomainId>,
) -> Option<HeldReason> {
    let Definition { domain, instance, .. } = &tenant.definition;
    if let Some(owner) = index.recorded_with(domain).filter(|owner| **owner != record.key) {
        return Some(HeldReason::DomainOfAnotherTenant { domain: domain.clone(), owner: owner.clone() });
    }
    let named = index.named(instance, domain.as_str());
    let found = named.iter().find(|found| Some(found.id) != own)?;
    let owner = index.owner(instance, found.id);
    let (domain, instance) = (domain.clone(), instance.clone());
    Some(match owner {
        Some(owner) => HeldReason::DomainRecordedFor { domain, instance, owner: owner.clone() },
        None => HeldReason::DomainExists { domain: Some(domain), instance },
    })
}
