//! `tenantd status` as programs read it, and its table.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text::{count, table};
use crate::model::{Condition, DaemonState};

/// `status --output json`. Times are RFC 3339.
#[derive(Debug, Default, Serialize)]
pub struct StatusJson {
    pub format_version: u32,
    /// The tenants that were asked for.
    pub tenants: Vec<TenantStatusJson>,
    /// How many tenants there are in each condition, whatever was asked for.
    pub summary: BTreeMap<String, usize>,
    /// What waits for an operator, with the command that lets it go ahead.
    pub holds: Vec<HoldJson>,
    pub daemon: DaemonJson,
    /// Daemons that wait to take over.
    pub standing_by: Vec<String>,
    pub last_pass: Option<PassJson>,
    pub instances: Vec<InstanceStatusJson>,
    pub ignored_files: Vec<IgnoredJson>,
    /// What could be a tenant's file and is not read as one; nothing is removed meanwhile.
    pub unusual_files: Vec<UnusualJson>,
    pub pauses: Vec<String>,
    pub open_intents: usize,
    /// Advice on files and tenants. Each has a name where a file can accept it.
    pub warnings: Vec<WarningJson>,
    /// What `status --check` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckJson>,
    /// Why there is no status, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct TenantStatusJson {
    pub key: String,
    /// In force; desired where nothing is in force yet.
    pub name: String,
    /// What the file says, where it differs.
    pub desired_name: Option<String>,
    pub domain: String,
    pub domain_unicode: Option<String>,
    pub desired_domain: Option<String>,
    pub instance: String,
    /// `enabled`, `disabled`, `disabling`, `removed` (disabled because its file was removed), `restored` (its records
    /// came back from an archive, as disabled), `new` (no record yet), `unfinished`, `broken file`.
    pub state: String,
    pub condition: Condition,
    pub reason: Option<String>,
    /// The command that lifts a hold.
    pub lifted_by: Option<String>,
    /// When the time has come that it waits for.
    pub until: Option<String>,
    /// Since when condition and reason have been so.
    pub since: Option<String>,
    /// Reason, date and command as people read them.
    #[serde(skip)]
    pub reason_text: String,
    pub last_change: Option<ChangeNoteJson>,
    pub problem: Option<String>,
    /// Absent for a tenant without a record.
    pub stats: Option<crate::stats::StatsJson>,
}

/// The newest line of a tenant's history.
#[derive(Debug, Serialize)]
pub struct ChangeNoteJson {
    pub at: String,
    pub action: String,
    pub actor: String,
    pub done: bool,
}

#[derive(Debug, Serialize)]
pub struct HoldJson {
    pub tenant: String,
    pub condition: Condition,
    pub reason: Option<String>,
    pub lifted_by: Option<String>,
}

/// The heartbeat of the daemon that serves, or that served last.
#[derive(Debug, Default, Serialize)]
pub struct DaemonJson {
    /// Whether one was seen within twice its interval.
    pub running: bool,
    /// Its last state is that it serves, but it no longer has the writer's lease: it was killed, or its machine failed.
    pub ended_abruptly: bool,
    pub holder: Option<String>,
    /// What it wrote down last; absent where no daemon ever ran with this database.
    pub state: Option<DaemonState>,
    pub seen_at: Option<String>,
    pub interval_seconds: Option<i64>,
    pub next_pass_at: Option<String>,
    pub last_error: Option<String>,
    pub last_error_at: Option<String>,
    /// Since when a changed configuration could not be read, so that an older one is in use, and why.
    pub old_configuration_since: Option<String>,
    pub old_configuration_reason: Option<String>,
}

/// The last run, of the daemon or from the command line.
#[derive(Clone, Debug, Serialize)]
pub struct PassJson {
    pub by: String,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub result: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct CheckJson {
    /// `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`.
    pub state: &'static str,
    pub exit_code: u8,
    pub text: String,
}

#[derive(Debug, Serialize)]
pub struct WarningJson {
    /// What `accept` in the tenant's file silences it by.
    pub advice: Option<String>,
    /// The tenant's key, or the file.
    pub subject: Option<String>,
    pub text: String,
}

#[derive(Debug, Serialize)]
pub struct InstanceStatusJson {
    pub key: String,
    pub url: String,
    /// The FusionPBX version that it showed last.
    pub version: Option<String>,
    pub last_seen: Option<String>,
    pub problem: Option<String>,
    pub problem_at: Option<String>,
    /// When its users were last read whole.
    pub users_read: Option<String>,
    /// Why they could not be since.
    pub users_problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct IgnoredJson {
    pub file: String,
    pub reason: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub struct UnusualJson {
    pub file: String,
    pub tenants: Vec<String>,
    pub what: String,
    pub mend: String,
}

/// What is in force and, where it differs, what is desired.
fn with_desired(in_force: &str, desired: Option<&String>) -> String {
    desired.map_or_else(|| in_force.to_owned(), |desired| format!("{in_force} (desired: {desired})"))
}

/// The tenants, one line each. Numbers and the last change are for a wide screen.
pub fn status_table(status: &StatusJson, wide: bool, time: impl Fn(&str) -> String) -> String {
    let mut header = vec!["KEY", "NAME", "DOMAIN", "INSTANCE", "STATE", "CONDITION"];
    // Columns that are empty for all leave their room to the others.
    let some_time = status.tenants.iter().any(|tenant| tenant.condition != Condition::InSync);
    let some_reason = status.tenants.iter().any(|tenant| !tenant.reason_text.is_empty());
    header.extend(some_time.then_some("SINCE"));
    header.extend(some_reason.then_some("REASON"));
    if wide {
        header.extend(["LAST CHANGE", "USERS", "SESSIONS", "FILES"]);
    }
    let mut table = table(header);
    for tenant in &status.tenants {
        let domain = match &tenant.domain_unicode {
            Some(unicode) => format!("{} ({unicode})", tenant.domain),
            None => tenant.domain.clone(),
        };
        // What is in sync needs no word more.
        let since = match tenant.condition {
            Condition::InSync => String::new(),
            _ => tenant.since.as_deref().map_or_else(String::new, &time),
        };
        let mut row = vec![
            tenant.key.clone(),
            with_desired(&tenant.name, tenant.desired_name.as_ref()),
            with_desired(&domain, tenant.desired_domain.as_ref()),
            tenant.instance.clone(),
            tenant.state.clone(),
            tenant.condition.to_string(),
        ];
        row.extend(some_time.then_some(since));
        row.extend(some_reason.then(|| tenant.reason_text.clone()));
        if wide {
            let number = |of: fn(&crate::stats::StatsJson) -> i64| {
                tenant.stats.as_ref().map_or_else(String::new, |stats| of(stats).to_string())
            };
            let change = tenant.last_change.as_ref();
            row.extend([
                change.map_or_else(String::new, |change| format!("{} {}", time(&change.at), change.action)),
                number(|stats| stats.active_users),
                number(|stats| stats.open_sessions),
                number(|stats| stats.files),
            ]);
        }
        table.add_row(row);
    }
    table.trim_fmt()
}

/// `7 tenants: 1 held, 6 in sync.`
pub fn status_summary(summary: &BTreeMap<String, usize>) -> String {
    let number = |condition: &Condition| summary.get(condition.as_str()).copied().unwrap_or(0);
    let all: usize = summary.values().sum();
    let parts: Vec<String> = Condition::ALL
        .iter()
        .filter(|condition| number(condition) > 0)
        .map(|condition| format!("{} {condition}", number(condition)))
        .collect();
    match parts.is_empty() {
        true => "no tenants.".to_owned(),
        false => format!("{}: {}.", count(all, "tenant"), parts.join(", ")),
    }
}
