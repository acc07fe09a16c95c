//! Which keys are known: an order about a mistyped one would be kept, and do nothing.

use std::collections::BTreeMap;

use super::context::{Context, Failure, Result};
use crate::config::{Config, InstanceConfig};
use crate::model::{Completeness, Desired, InstanceKey, TenantKey, TenantRecord};
use crate::yaml::nearest;

/// Refuses keys that have neither a file, be it a broken one, nor a record.
pub fn known<'k>(
    desired: &'k Desired,
    recorded: impl IntoIterator<Item = &'k TenantKey>,
    keys: impl IntoIterator<Item = &'k TenantKey>,
) -> Result<()> {
    let mut all: Vec<&TenantKey> = desired.tenants.keys().collect();
    all.extend(desired.broken.iter().filter_map(|file| file.key.as_ref()));
    all.extend(desired.unusual.iter().flat_map(|file| &file.tenants));
    all.extend(recorded);
    for key in keys {
        if all.contains(&key) {
            continue;
        }
        let meant = did_you_mean(key.as_str(), all.iter().map(|key| key.as_str()));
        return Err(Failure::new(match &desired.completeness {
            Completeness::Unreadable { reason } => {
                format!("unknown tenant {key}: it is not recorded, and the tenants directory {reason}{meant}")
            }
            _ => format!("unknown tenant {key}: it has neither a file nor a record{meant}"),
        }));
    }
    Ok(())
}

/// The record of a tenant, for commands that need one. The files are read only to say what is missing.
pub async fn record_of<'r>(
    context: &Context,
    config: &Config,
    records: &'r BTreeMap<TenantKey, TenantRecord>,
    key: &TenantKey,
) -> Result<&'r TenantRecord> {
    match records.get(key) {
        Some(record) => Ok(record),
        None => {
            let desired = context.load(config).await.desired;
            known(&desired, records.keys(), [key])?;
            Err(Failure::new(format!(
                "the tenant {key} has a file and is not recorded yet. `tenantd apply` creates or adopts it"
            )))
        }
    }
}

/// The configuration of an instance.
pub fn known_instance<'c>(config: &'c Config, key: &InstanceKey) -> Result<&'c InstanceConfig> {
    config.instances.get(key).ok_or_else(|| {
        let meant = did_you_mean(key.as_str(), config.instances.keys().map(InstanceKey::as_str));
        Failure::new(format!("unknown instance {key}: it is not in the configuration{meant}"))
    })
}

fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
