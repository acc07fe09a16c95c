//! A tenant that should be enabled and is disabled on its PBX: its phones cannot register, whatever keeps tenantd from
//! enabling it. A held step of such a tenant says so.

use super::types::{Action, OutOfService};
use super::{Draft, Inputs};
use crate::model::{Desired, DomainState, Observed, Recorded, TenantKey};

/// Where the tenant is disabled although it should be enabled.
pub fn out_of_service(
    desired: &Desired,
    recorded: &Recorded,
    observed: &Observed,
    key: &TenantKey,
) -> Option<OutOfService> {
    let tenant = desired.tenants.get(key);
    let record = recorded
        .tenants
        .get(key)
        .or_else(|| recorded.tenants.get(tenant.and_then(|tenant| tenant.previously.as_ref())?))?;
    // Where the file cannot be believed, the recorded state was the last desired one.
    let should_be_enabled = tenant.map_or(record.definition.enabled, |tenant| tenant.definition.enabled);
    if !should_be_enabled || !record.provisioned {
        return None;
    }
    let instance = &record.definition.instance;
    match observed.instance(instance).domain(record.domain_id) {
        DomainState::Present(domain) if domain.enabled == Some(false) => {
            Some(OutOfService { instance: instance.clone() })
        }
        DomainState::Present(_) | DomainState::Absent | DomainState::Unknown => None,
    }
}

/// Notes it at the tenant's held steps.
pub(super) fn note(inputs: Inputs<'_>, draft: &mut Draft) {
    for held in &mut draft.held {
        let takes_away = matches!(held.action, Action::Disable | Action::Delete | Action::DeleteRecord);
        if !takes_away {
            held.out_of_service =
                out_of_service(inputs.desired, inputs.recorded, inputs.observed, &held.tenant);
        }
    }
}
