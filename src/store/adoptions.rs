//! Which domains an operator said are to be taken over. The daemon, or the command itself, does it in its next pass.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::connection::AnyConnection;
use super::{StoreError, facts};
use crate::model::{AdoptHow, Adoption, DomainId, InstanceKey, TenantKey};

const FACT: &str = "adoptions";

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    instance: String,
    domain_id: uuid::Uuid,
    as_it_is: bool,
    by: String,
    until: DateTime<Utc>,
}

/// Those that are still in force.
pub(super) fn all(
    conn: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<BTreeMap<TenantKey, Adoption>, StoreError> {
    // What cannot be read allows nothing.
    let entries: Vec<Entry> =
        facts::get(conn, FACT)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let adoption = |entry: Entry| {
        let adoption = Adoption {
            instance: InstanceKey::parse(&entry.instance).ok()?,
            domain_id: DomainId(entry.domain_id),
            how: if entry.as_it_is { AdoptHow::AsItIs } else { AdoptHow::AsItsFileSays },
            by: entry.by,
            until: entry.until,
        };
        Some((TenantKey::parse(&entry.key).ok()?, adoption))
    };
    Ok(entries.into_iter().filter(|entry| entry.until > now).filter_map(adoption).collect())
}

/// Adds to those in force; the newest word on a key counts.
pub(super) fn add(
    conn: &mut AnyConnection,
    adoptions: &BTreeMap<TenantKey, Adoption>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut all = all(conn, now)?;
    all.extend(adoptions.clone());
    let entries: Vec<Entry> = all
        .into_iter()
        .map(|(key, Adoption { instance, domain_id, how, by, until })| Entry {
            key: key.to_string(),
            instance: instance.to_string(),
            domain_id: domain_id.0,
            as_it_is: how == AdoptHow::AsItIs,
            by,
            until,
        })
        .collect();
    facts::put(conn, FACT, &serde_json::to_string(&entries).unwrap_or_default(), now)
}
