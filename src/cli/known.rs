//! Which keys are known: a word about a mistyped one would be kept, and do nothing.

use super::context::{Failure, Result};
use crate::model::{Completeness, Desired, TenantKey};
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
        let meant = nearest(key.as_str(), all.iter().map(|key| key.as_str()))
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(Failure::new(match &desired.completeness {
            Completeness::Unreadable { reason } => {
                format!("there is no record of the tenant {key}, and the tenants directory {reason}{meant}")
            }
            _ => format!("there is no tenant {key}: no file and no record{meant}"),
        }));
    }
    Ok(())
}
