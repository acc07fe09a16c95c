//! Whether so many users of an instance are missing that the list may be wrong.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::matching::match_users;
use super::state::SyncState;
use crate::config::Limit;
use crate::model::{InstanceKey, PbxUser, TenantId, TenantKey, TenantRecord};
use crate::report::count;
use crate::store::{StoreError, StoreWriter};

/// How many accounts of an instance may be missing at once.
const MAX_MISSING: Limit = Limit { count: 3, percent: 20 };

/// The reason to change nothing: more accounts than [`MAX_MISSING`] would be disabled only because the PBX does not show
/// them. Users shown as disabled do not count. Tenants that came to the instance since its last reading do not count
/// either, because a move changes their users.
pub(super) fn too_many<'a>(
    store: &mut StoreWriter<'_>,
    instance: &InstanceKey,
    observed: impl Fn(&TenantRecord) -> &'a [PbxUser],
    tenants: &BTreeMap<TenantKey, TenantRecord>,
    state: &SyncState,
) -> Result<Option<String>, StoreError> {
    let moved_at = last_moves(store)?;
    let (mut all, mut missing) = (0, 0);
    let mut affected: Vec<&TenantKey> = Vec::new();
    for (key, record) in tenants {
        let is_new = |moved_at: &DateTime<Utc>| state.read_at.is_none_or(|read_at| *moved_at >= read_at);
        if moved_at.get(&record.id).is_some_and(is_new) {
            continue;
        }
        let accounts = store.scope(record.id).users()?;
        let (_, paired) = match_users(&accounts, observed(record));
        let enabled = || accounts.iter().filter(|account| account.is_synced() && account.enabled);
        let missing_here = enabled().filter(|account| !paired.contains(&account.id)).count();
        all += enabled().count();
        missing += missing_here;
        if missing_here > 0 {
            affected.push(key);
        }
    }
    if missing <= MAX_MISSING.of(all) {
        return Ok(None);
    }
    let tenant = match affected.as_slice() {
        [one] => format!(" {one}"),
        _ => String::new(),
    };
    Ok(Some(format!(
        "{missing} of {} are missing at once on {instance}, so none is disabled. If they were deleted on \
         purpose: tenantd sync{tenant} --accept-missing",
        count(all, "user")
    )))
}

/// When each tenant was last moved.
fn last_moves(store: &mut StoreWriter<'_>) -> Result<BTreeMap<TenantId, DateTime<Utc>>, StoreError> {
    let mut moves = BTreeMap::new();
    for previous in store.previous_placements()? {
        let last = moves.entry(previous.tenant).or_insert(previous.left_at);
        *last = previous.left_at.max(*last);
    }
    Ok(moves)
}
