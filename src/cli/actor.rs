//! Who is acting, for the audit log.

use super::context::{Failure, Result};
use crate::load;
use crate::model::TenantKey;
use chrono::{DateTime, Utc};

use crate::store::AuditEntry;

/// Who is acting, for the audit log: `apply by alice (commit 1a2b3c4d)`.
pub fn actor(how: &str, revision: Option<&str>) -> String {
    let who = by_hand(how);
    match revision {
        Some(revision) => format!("{who} ({})", load::commit_text(revision)),
        None => who,
    }
}

/// Who is acting, where no file is what makes it so: `restore by alice`.
pub fn by_hand(how: &str) -> String {
    format!("{how} by {}", user())
}

/// The person at the keyboard, also behind sudo.
pub fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// An entry of the audit log for a decision of an operator.
pub fn audit_entry(
    event: &str,
    key: Option<TenantKey>,
    detail: String,
    now: DateTime<Utc>,
) -> Result<AuditEntry> {
    // What concerns no single tenant stands under a key that no file can have... a file could be named `all`; the
    // event tells the two apart.
    let key = match key {
        Some(key) => key,
        None => TenantKey::parse("all").map_err(|error| Failure::of(&error))?,
    };
    Ok(AuditEntry { detail: Some(detail), ..AuditEntry::new(now, by_hand("command"), event, key) })
}
