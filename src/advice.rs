//! Advice that follows from the recorded state of a tenant and not from its file alone. Like the advice on files, each
//! kind has a name, and `accept: [name]` in the file silences it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::config::Tier;
use crate::load::advice::{AdviceKind, REMOVED_WHILE_ENABLED, USERS_NEAR_LIMIT};
use crate::model::{Completeness, Desired, Recorded, TenantKey, TenantRecord};
use crate::stats;
use crate::store::data::TenantStats;
use crate::store::{Store, StoreError, StoreWriter};

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    pub kind: AdviceKind,
    pub tenant: TenantKey,
    pub text: String,
}

/// The accepted advice of each tenant, as in its file when it was last read. It holds after the file is removed.
pub type Accepted = BTreeMap<String, BTreeSet<String>>;

const FACT: &str = "advice.accepted";
const KINDS: [AdviceKind; 2] = [USERS_NEAR_LIMIT, REMOVED_WHILE_ENABLED];

/// The advice that its tenant has not accepted, by tenant and name.
pub fn all(
    desired: &Desired,
    recorded: &Recorded,
    stats: &[TenantStats],
    tier: &Tier,
    accepted: &Accepted,
) -> Vec<Advice> {
    let mut found: Vec<Advice> = stats::near_limits(stats, tier)
        .into_iter()
        .filter_map(|(tenant, text)| Some(Advice { kind: USERS_NEAR_LIMIT, tenant: tenant?, text }))
        .collect();
    for (key, record) in &recorded.tenants {
        if file_removed_while_enabled(desired, key, record) {
            let text = format!(
                "{key}.yaml was deleted while {key} was still in service. Safer: restore it with `enabled: false`, \
                 wait until nobody complains, then delete it"
            );
            found.push(Advice { kind: REMOVED_WHILE_ENABLED, tenant: key.clone(), text });
        }
    }
    found.retain(|advice| {
        let name = advice.kind.name;
        let remembered = || accepted.get(advice.tenant.as_str()).is_some_and(|names| names.contains(name));
        !desired.tenants.get(&advice.tenant).map_or_else(remembered, |tenant| tenant.accept.contains(name))
    });
    found.sort_by(|a, b| (&a.tenant, a.kind.name).cmp(&(&b.tenant, b.kind.name)));
    found
}

fn file_removed_while_enabled(desired: &Desired, key: &TenantKey, record: &TenantRecord) -> bool {
    // A restored tenant has the times of its archive, and its file was not removed.
    if record.restored_at.is_some() {
        return false;
    }
    match record.file_removed_at {
        // If it was enabled, one step recorded both times.
        Some(removed) => record.disabled_at.is_none_or(|disabled| disabled >= removed),
        None => {
            record.definition.enabled
                && desired.completeness == Completeness::Complete
                && !desired.tenants.contains_key(key)
                && desired.tenants.values().all(|tenant| tenant.previously.as_ref() != Some(key))
                && desired.tenants.values().all(|tenant| tenant.definition.domain != record.definition.domain)
        }
    }
}

/// The accepted advice as [`remember`] stored it.
pub fn accepted(store: &mut Store<'_>) -> Result<Accepted, StoreError> {
    Ok(parse(store.fact(FACT)?))
}

fn parse(text: Option<String>) -> Accepted {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Remembers the advice that files accept, for the time after they are removed. Writes only changes.
pub fn remember(
    store: &mut StoreWriter<'_>,
    desired: &Desired,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let before = parse(store.fact(FACT)?);
    let mut after = before.clone();
    for (key, tenant) in &desired.tenants {
        let names: BTreeSet<String> = KINDS
            .iter()
            .map(|kind| kind.name.to_owned())
            .filter(|name| tenant.accept.contains(name))
            .collect();
        if names.is_empty() {
            after.remove(key.as_str());
        } else {
            after.insert(key.to_string(), names);
        }
    }
    if after == before {
        return Ok(());
    }
    store.put_fact(FACT, &serde_json::to_string(&after).unwrap_or_default(), now)
}
