//! Whether an instance shows so few of the users that it had that its list is not believed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{SyncState, There, synced_users};
use crate::config::Limit;
use crate::model::{InstanceKey, TenantId, TenantKey, TenantRecord};
use crate::store::{StoreError, StoreWriter};

/// How many of an instance's accounts may be missing at once.
const MISSING: Limit = Limit { count: 3, percent: 20 };

/// Why nothing may be changed: more accounts than [`MISSING`] of the instance's would be disabled at once, only
/// because the list does not name them. Who is shown as disabled does not count, and a tenant that came to the
/// instance since its users were last read has others for a reason.
pub(super) fn too_many(
    store: &mut StoreWriter<'_>,
    instance: &InstanceKey,
    there: &There,
    tenants: &BTreeMap<TenantKey, TenantRecord>,
    note: &SyncState,
) -> Result<Option<String>, StoreError> {
    let came: BTreeMap<TenantId, DateTime<Utc>> =
        store.previous_placements()?.into_iter().fold(BTreeMap::new(), |mut came, previous| {
            let last = came.entry(previous.tenant).or_insert(previous.left_at);
            *last = previous.left_at.max(*last);
            came
        });
    let (mut all, mut missing) = (0, 0);
    let mut of: Vec<&TenantKey> = Vec::new();
    for (key, record) in tenants {
        if came.get(&record.id).is_some_and(|at| note.read_at.is_none_or(|read| *at >= read)) {
            continue;
        }
        let found = store.scope(record.id).users()?;
        let (_, known) = synced_users(&found, there.users_of(record));
        let enabled = || found.iter().filter(|user| user.is_synced() && user.enabled);
        let gone = enabled().filter(|user| !known.contains(&user.id)).count();
        all += enabled().count();
        missing += gone;
        if gone > 0 {
            of.push(key);
        }
    }
    if missing <= MISSING.of(all) {
        return Ok(None);
    }
    let which = match of.as_slice() {
        [one] => format!(" {one}"),
        _ => String::new(),
    };
    Ok(Some(format!(
        "{missing} of {all} users are missing at once on {instance}, so none is disabled. If they were deleted on \
         purpose: tenantd sync{which} --accept-missing"
    )))
}
