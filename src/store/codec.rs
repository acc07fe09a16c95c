//! Values that stand in the database as JSON text.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::StoreError;
use crate::model::{CrossTenant, SettingId, SettingName, TenantKey, WebSignInBlock};

pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    // A map with text keys always has a JSON form.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

pub(super) fn settings_to_json(settings: &BTreeMap<SettingName, String>) -> String {
    to_json(&settings.iter().map(|(name, value)| (name.to_string(), value)).collect::<BTreeMap<_, _>>())
}

pub(super) fn settings_from_json(json: &str) -> Option<BTreeMap<SettingName, String>> {
    let map: BTreeMap<String, String> = serde_json::from_str(json).ok()?;
    map.into_iter().map(|(name, value)| Some((SettingName::parse(&name).ok()?, value))).collect()
}

#[derive(Serialize, Deserialize)]
struct LockJson {
    entry: Uuid,
    switched_off: BTreeSet<Uuid>,
}

pub(super) fn block_to_json(lock: &WebSignInBlock) -> String {
    let WebSignInBlock { entry, switched_off } = lock;
    to_json(&LockJson { entry: entry.0, switched_off: switched_off.iter().map(|id| id.0).collect() })
}

pub(super) fn block_from_json(json: &str) -> Option<WebSignInBlock> {
    let LockJson { entry, switched_off } = serde_json::from_str(json).ok()?;
    Some(WebSignInBlock {
        entry: SettingId(entry),
        switched_off: switched_off.into_iter().map(SettingId).collect(),
    })
}

pub(super) fn sharing_to_json(cross: &CrossTenant) -> String {
    let map: BTreeMap<&str, Vec<&str>> = cross
        .kinds()
        .into_iter()
        .filter(|(_, with)| !with.is_empty())
        .map(|(kind, with)| (kind, with.iter().map(TenantKey::as_str).collect()))
        .collect();
    to_json(&map)
}

pub(super) fn sharing_from_json(json: &str) -> Option<CrossTenant> {
    let map: BTreeMap<String, BTreeSet<String>> = serde_json::from_str(json).ok()?;
    let mut cross = CrossTenant::default();
    for (kind, with) in map {
        let set = match kind.as_str() {
            "presence" => &mut cross.presence,
            "contacts" => &mut cross.contacts,
            "chat" => &mut cross.chat,
            _ => return None,
        };
        for key in with {
            set.insert(TenantKey::parse(&key).ok()?);
        }
    }
    Some(cross)
}

/// A tenant's key as a row holds it.
pub(super) fn key_of(operation: &'static str, text: &str) -> Result<TenantKey, StoreError> {
    TenantKey::parse(text).map_err(|_| StoreError::Row {
        operation,
        object: text.to_owned(),
        found: text.to_owned(),
        expected: "a tenant key",
    })
}
