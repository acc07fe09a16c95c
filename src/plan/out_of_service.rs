//! A tenant that is to be enabled and is disabled on its PBX: its phones cannot register, whatever keeps tenantd from
//! enabling it. Whoever reads of a held step has to know.

use super::types::Action;
use super::{Draft, Inputs, gates};
use crate::model::{Desired, DomainState, Observed, Recorded, TenantKey};

/// How the sentence ends, whatever the instance.
pub const NO_PHONES: &str = "phones cannot register";

/// What is to be said of a tenant that should be enabled and is disabled on its PBX.
pub fn out_of_service(
    desired: &Desired,
    recorded: &Recorded,
    observed: &Observed,
    key: &TenantKey,
) -> Option<String> {
    let tenant = desired.tenants.get(key);
    let record = recorded
        .tenants
        .get(key)
        .or_else(|| recorded.tenants.get(tenant.and_then(|tenant| tenant.previously.as_ref())?))?;
    // Where the file cannot be believed, what is recorded was desired last.
    if !tenant.map_or(record.definition.enabled, |tenant| tenant.definition.enabled) || !record.provisioned {
        return None;
    }
    match observed.instance(&record.definition.instance).domain(record.domain_id) {
        DomainState::Present(domain) if domain.enabled == Some(false) => {
            Some(format!("disabled on {} now; {NO_PHONES}", record.definition.instance))
        }
        DomainState::Present(_) | DomainState::Absent | DomainState::Unknown => None,
    }
}

/// Adds it to the tenant's held steps.
pub(super) fn tell(inputs: Inputs<'_>, draft: &mut Draft) {
    for held in &mut draft.held {
        let takes_away = matches!(held.action, Action::Disable | Action::Delete | Action::DeleteRecord);
        if !takes_away
            && let Some(now) = out_of_service(inputs.desired, inputs.recorded, inputs.observed, &held.tenant)
        {
            held.reason = format!("{}; {now}", held.reason);
        }
    }
    gates::sort_held(draft);
}
