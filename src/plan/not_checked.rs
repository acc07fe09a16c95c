//! What a plan says nothing about, because its instance could not be checked.

use std::collections::{BTreeMap, BTreeSet};

use super::Inputs;
use super::types::NotChecked;
use crate::model::{InstanceKey, InstanceView, TenantKey};

/// The instances that are not known, each with the number of tenants that a run over this scope would have checked.
/// Where the run is for some tenants alone, an instance that has none of them is not missed.
pub(super) fn not_checked(inputs: Inputs<'_>) -> Vec<NotChecked> {
    let only = &inputs.policy.only;
    let in_scope = |key: &&TenantKey| only.is_empty() || only.contains(*key);
    let mut tenants: BTreeMap<&InstanceKey, BTreeSet<&TenantKey>> = BTreeMap::new();
    for (key, record) in inputs.recorded.tenants.iter().filter(|(key, _)| in_scope(key)) {
        tenants.entry(&record.definition.instance).or_default().insert(key);
    }
    for (key, tenant) in inputs.desired.tenants.iter().filter(|(key, _)| in_scope(key)) {
        tenants.entry(&tenant.definition.instance).or_default().insert(key);
    }
    let reason = |key: &InstanceKey| match inputs.observed.instance(key) {
        InstanceView::Unknown { reason } => Some(reason.clone()),
        InstanceView::Seen { .. } => None,
    };
    // Also those that stand in no configuration any more, as long as a tenant is on them.
    let instances: BTreeSet<&InstanceKey> =
        inputs.observed.instances.keys().chain(tenants.keys().copied()).collect();
    instances
        .into_iter()
        .filter_map(|key| {
            let count = tenants.get(key).map_or(0, BTreeSet::len);
            let reason = reason(key).filter(|_| only.is_empty() || count > 0)?;
            Some(NotChecked { instance: key.clone(), reason, tenants: count })
        })
        .collect()
}
