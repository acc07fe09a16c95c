//! The domain that tenantd's own account lives in is neither disabled nor renamed.

use super::Inputs;
use super::index::seen;
use super::reason::HeldReason;
use crate::model::{DomainState, InstanceKey, TenantRecord};

/// Disabling or renaming the domain that tenantd's own account lives in would lock tenantd out of the PBX.
///
/// The name that the PBX shows is the one to sign in with, so it counts like the recorded one.
pub(super) fn locks_tenantd_out(inputs: Inputs<'_>, record: &TenantRecord) -> Option<HeldReason> {
    let shown = match seen(inputs.observed, record) {
        DomainState::Present(domain) => Some(domain.name.as_str()),
        DomainState::Absent | DomainState::Unknown => None,
    };
    [Some(record.definition.domain.as_str()), shown]
        .into_iter()
        .flatten()
        .find_map(|name| our_own_account(inputs, &record.definition.instance, name))
}

/// Why nothing is closed or renamed that has this name on this instance.
pub(super) fn our_own_account(inputs: Inputs<'_>, instance: &InstanceKey, name: &str) -> Option<HeldReason> {
    let own = inputs.policy.own_domains.get(instance)?;
    inputs
        .policy
        .is_own_domain(instance, name)
        .then(|| HeldReason::WouldLockTenantdOut { domain: own.clone(), instance: instance.clone() })
}
