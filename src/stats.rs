//! Statistics of tenants for people and for programs, and warnings about limits.

use chrono::DateTime;
use comfy_table::CellAlignment;
use serde::Serialize;

use crate::config::Tier;
use crate::environment::to_the_minute;
use crate::model::{MaxUsers, TenantKey};
use crate::report::{count, table as table_for};
use crate::store::data::TenantStats;

/// The statistics of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatsJson {
    pub key: String,
    pub enabled: bool,
    pub active_users: i64,
    /// The lower of the tenant's own limit and the tier's; absent if there is none.
    pub max_users: Option<u32>,
    /// Users that are enabled on the PBX and disabled here, because the tenant has reached its limit.
    pub users_over_limit: i64,
    pub files: i64,
    pub file_bytes: i64,
    pub open_sessions: i64,
    /// In RFC 3339; absent if there was no activity yet.
    pub last_activity: Option<String>,
}

/// The greatest number of users of a tenant; `None` if it is unlimited.
pub fn user_limit(max_users: MaxUsers, tier: &Tier) -> Option<u32> {
    let own = match max_users {
        MaxUsers::Limited(n) => Some(n),
        MaxUsers::Unlimited => None,
    };
    own.into_iter().chain(tier.max_users_per_tenant).min()
}

/// The statistics for programs.
pub fn json(stats: &[TenantStats], tier: &Tier) -> Vec<StatsJson> {
    stats
        .iter()
        .map(|tenant| StatsJson {
            key: tenant.key.to_string(),
            enabled: tenant.enabled,
            active_users: tenant.active_users,
            max_users: user_limit(tenant.max_users, tier),
            users_over_limit: tenant.users_over_limit,
            files: tenant.files,
            file_bytes: tenant.file_bytes,
            open_sessions: tenant.open_sessions,
            last_activity: tenant.last_activity.map(|at| at.to_rfc3339()),
        })
        .collect()
}

/// A warning for each tenant, and for the platform (without a tenant), that has 80 % or more of what its limit allows.
pub fn near_limits(stats: &[TenantStats], tier: &Tier) -> Vec<(Option<TenantKey>, String)> {
    let mut warnings = Vec::new();
    for tenant in stats {
        let Some(limit) = user_limit(tenant.max_users, tier) else { continue };
        let Some(nearness) = nearness(tenant.active_users, limit) else { continue };
        let limit_name =
            if tenant.max_users == MaxUsers::Limited(limit) { "max_users" } else { "the tier's limit" };
        let over_limit = match tenant.users_over_limit {
            0 => String::new(),
            over_limit => format!(", and {} over the limit", count(over_limit, "more user")),
        };
        let text = format!(
            "{} {nearness} {limit_name}: {} of {limit} users{over_limit}",
            tenant.key, tenant.active_users
        );
        warnings.push((Some(tenant.key.clone()), text));
    }
    if let Some(limit) = tier.max_tenants {
        let count = i64::try_from(stats.len()).unwrap_or(i64::MAX);
        if let Some(nearness) = nearness(count, limit) {
            warnings.push((
                None,
                format!("the platform {nearness} the tier's limit: {count} of {limit} tenants"),
            ));
        }
    }
    warnings
}

/// How near a number is to its limit; `None` below 80 %.
fn nearness(count: i64, limit: u32) -> Option<&'static str> {
    let limit = i64::from(limit);
    if count > limit {
        Some("is above")
    } else if count == limit {
        Some("has reached")
    } else if count.saturating_mul(5) >= limit.saturating_mul(4) {
        Some("is near")
    } else {
        None
    }
}

/// The table for people.
pub fn table(stats: &[TenantStats], tier: &Tier) -> String {
    table_of(&json(stats, tier))
}

/// [`table`] of statistics that were read before.
pub fn table_of(stats: &[StatsJson]) -> String {
    let mut table = table_for(["TENANT", "USERS", "LIMIT", "SESSIONS", "FILES", "SIZE", "LAST ACTIVITY"]);
    for column in 1..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for tenant in stats {
        let users = match tenant.users_over_limit {
            0 => tenant.active_users.to_string(),
            over_limit => format!("{} (+{over_limit} over the limit)", tenant.active_users),
        };
        let last_activity =
            tenant.last_activity.as_deref().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        table.add_row([
            if tenant.enabled { tenant.key.clone() } else { format!("{} (disabled)", tenant.key) },
            users,
            tenant.max_users.map_or("unlimited".to_owned(), |limit| limit.to_string()),
            tenant.open_sessions.to_string(),
            tenant.files.to_string(),
            bytes(tenant.file_bytes),
            last_activity.map_or("never".to_owned(), |at| to_the_minute(at.to_utc()).to_string()),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

/// A size as people read it, in binary units.
fn bytes(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_one_decimal() {
        for (size, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (5 << 40, "5.0 TiB")]
        {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn warnings_begin_at_80_percent() {
        assert_eq!(nearness(7, 10), None);
        assert_eq!(nearness(8, 10), Some("is near"));
        assert_eq!(nearness(10, 10), Some("has reached"));
        assert_eq!(nearness(11, 10), Some("is above"));
        assert_eq!(nearness(0, 0), Some("has reached"));
    }
}
