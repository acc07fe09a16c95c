//! Advice on tenants as they are recorded: what no file shows by itself. Each piece has a name, as the advice
//! on a file has, and `accept: [name]` in the file silences it.

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

/// What files accepted of this advice when they were last read, by tenant: the last word of a file that is gone.
pub type Accepted = BTreeMap<String, BTreeSet<String>>;

const FACT: &str = "advice.accepted";
const KINDS: [AdviceKind; 2] = [USERS_NEAR_LIMIT, REMOVED_WHILE_ENABLED];

/// Advice on every tenant that has not accepted it.
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
        if was_removed_while_enabled(desired, key, record) {
            let text = format!(
                "{key}.yaml was deleted while {key} was still in service. Safer: restore it with `enabled: false`, \
                 wait until nobody complains, then delete it"
            );
            found.push(Advice { kind: REMOVED_WHILE_ENABLED, tenant: key.clone(), text });
        }
    }
    found.retain(|advice| {
        let name = advice.kind.name;
        let last_word = || accepted.get(advice.tenant.as_str()).is_some_and(|names| names.contains(name));
        !desired.tenants.get(&advice.tenant).map_or_else(last_word, |tenant| tenant.accept.contains(name))
    });
    found.sort_by(|a, b| (&a.tenant, a.kind.name).cmp(&(&b.tenant, b.kind.name)));
    found
}

fn was_removed_while_enabled(desired: &Desired, key: &TenantKey, record: &TenantRecord) -> bool {
    // What is noted of it is the archive's, and no one removed a file.
    if record.restored_at.is_some() {
        return false;
    }
    match record.file_removed_at {
        // Both are noted in one step then.
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

/// What was remembered by [`remember`].
pub fn accepted(store: &mut Store<'_>) -> Result<Accepted, StoreError> {
    Ok(parse(store.fact(FACT)?))
}

fn parse(text: Option<String>) -> Accepted {
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Remembers what files accept, for when they are gone. Writes only when something changed.
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
