//! Whose retention begins again: what was confirmed disabled and is observed enabled, also where it cannot be closed
//! again now, and who was removed and has a file again, also where nothing can be done for it now.

use super::Inputs;
use super::retention::deletion_started;
use crate::diff::web_sign_in_is_open;
use crate::model::{DomainId, DomainState, InstanceKey, RetentionResets, TenantId};

/// A tenant that never lost its file is left out: what happens to it is drift, and no retention runs.
pub(super) fn reopened(inputs: Inputs<'_>) -> RetentionResets {
    let removed = inputs.recorded.tenants.values().filter(|record| {
        record.file_removed_at.is_some()
            && record.disable_confirmed_at.is_some()
            && is_open(
                inputs,
                record.id,
                &record.definition.instance,
                record.domain_id,
                record.web_sign_in_left_open,
            )
    });
    let left = inputs.recorded.previous_placements.iter().filter(|previous| {
        previous.disable_confirmed_at.is_some()
            && is_open(inputs, previous.tenant, &previous.instance, previous.domain_id, false)
    });
    let returned = inputs.recorded.tenants.values().filter(|record| {
        record.file_removed_at.is_some() && inputs.desired.tenants.contains_key(&record.key)
    });
    RetentionResets {
        returned: returned.map(|record| record.id).collect(),
        tenants: removed.map(|record| record.id).collect(),
        previous: left.map(|previous| (previous.instance.clone(), previous.domain_id)).collect(),
    }
}

fn is_open(
    inputs: Inputs<'_>,
    tenant: TenantId,
    on: &InstanceKey,
    domain: DomainId,
    web_sign_in_left_open: bool,
) -> bool {
    let view = inputs.observed.instance(on);
    let DomainState::Present(found) = view.domain(domain) else { return false };
    // An unfinished deletion may have removed the web sign-in block.
    let lock_matters = !web_sign_in_left_open && !deletion_started(inputs, tenant, on);
    found.enabled != Some(false) || (lock_matters && web_sign_in_is_open(view, domain))
}
