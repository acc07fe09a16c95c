//! Whose retention begins anew: what was confirmed closed and is seen open, also where it cannot be closed again now,
//! and who was removed and has a file again, also where nothing can be done for it now.

use super::World;
use super::removal::deletion_begun;
use crate::diff::is_seen_unlocked;
use crate::model::{DomainId, DomainState, InstanceKey, Reopened, TenantId};

/// A tenant that never lost its file is left out: what happens to it is drift, and no retention runs.
pub(super) fn reopened(world: World<'_>) -> Reopened {
    let removed = world.recorded.tenants.values().filter(|record| {
        record.removed_at.is_some()
            && record.disable_confirmed_at.is_some()
            && is_open(world, record.id, &record.instance, record.domain_id, record.lock_left_open)
    });
    let left = world.recorded.former.iter().filter(|former| {
        former.disable_confirmed_at.is_some()
            && is_open(world, former.tenant, &former.instance, former.domain_id, false)
    });
    let returned = world
        .recorded
        .tenants
        .values()
        .filter(|record| record.removed_at.is_some() && world.desired.tenants.contains_key(&record.key));
    Reopened {
        returned: returned.map(|record| record.id).collect(),
        tenants: removed.map(|record| record.id).collect(),
        former: left.map(|former| (former.instance.clone(), former.domain_id)).collect(),
    }
}

fn is_open(
    world: World<'_>,
    tenant: TenantId,
    on: &InstanceKey,
    domain: DomainId,
    lock_left_open: bool,
) -> bool {
    let view = world.observed.instance(on);
    let DomainState::Present(found) = view.domain(domain) else { return false };
    // Half a deletion may have taken the lock away.
    let lock_matters = !lock_left_open && !deletion_begun(world, tenant, on);
    found.enabled != Some(false) || (lock_matters && is_seen_unlocked(view, domain))
}
