//! What a synchronisation did, for programs and for people.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::InstanceKey;

/// What a synchronisation did to one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantSync {
    pub tenant: String,
    pub added: Vec<String>,
    pub changed: Vec<String>,
    /// Disabled on the PBX, or missing there.
    pub disabled: Vec<String>,
    /// All users that are enabled on the PBX and disabled on the platform, because the tenant has reached `max_users`.
    pub over_limit: Vec<String>,
    /// Users whose address or name belongs to another account, with the reason.
    pub refused: Vec<RefusedUser>,
}

/// A user who exists on the PBX and cannot have an account on the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedUser {
    pub username: String,
    pub reason: String,
}

/// What a synchronisation did to the tenants of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceSync {
    pub instance: String,
    /// The tenants with changed or refused users.
    pub tenants: Vec<TenantSync>,
    /// The tenants whose users were not synchronised, with the reason.
    #[serde(rename = "left_alone")]
    pub skipped: BTreeMap<String, String>,
    /// Why nothing was changed: the users were not fully read, or too many are missing.
    #[serde(rename = "unknown")]
    pub problem: Option<String>,
}

impl InstanceSync {
    /// Nothing was changed, for this reason.
    pub fn unchanged(instance: &InstanceKey, problem: String) -> Self {
        Self { instance: instance.to_string(), problem: Some(problem), ..Self::default() }
    }
}

impl TenantSync {
    pub(super) fn is_empty(&self) -> bool {
        let Self { tenant: _, added, changed, disabled, over_limit, refused } = self;
        added.is_empty()
            && changed.is_empty()
            && disabled.is_empty()
            && over_limit.is_empty()
            && refused.is_empty()
    }

    /// Whether an account was added, changed or disabled.
    pub fn has_changes(&self) -> bool {
        !(self.added.is_empty() && self.changed.is_empty() && self.disabled.is_empty())
    }

    /// The number of users that are enabled on the PBX and cannot use the platform.
    pub fn without_access(&self) -> usize {
        self.over_limit.len() + self.refused.len()
    }
}

/// The reports for people.
pub fn text(reports: &[InstanceSync]) -> String {
    let mut text: String = reports.iter().map(instance_text).collect();
    if text.is_empty() {
        text.push_str("Users are up to date on all instances.\n");
    }
    text
}

fn instance_text(report: &InstanceSync) -> String {
    let InstanceSync { instance, tenants, skipped, problem } = report;
    let mut text = String::new();
    if let Some(problem) = problem {
        text.push_str(&format!(
            "{instance}: no user is changed, because its users were not fully read: {problem}\n"
        ));
    }
    for (tenant, reason) in skipped {
        text.push_str(&format!("{tenant}: users not synchronised this time: {reason}\n"));
    }
    for synced in tenants {
        let TenantSync { tenant, added, changed, disabled, over_limit, refused } = synced;
        text.push_str(&format!(
            "{tenant}: {} added, {} changed, {} disabled, {} without access\n",
            added.len(),
            changed.len(),
            disabled.len(),
            synced.without_access()
        ));
        if !over_limit.is_empty() {
            text.push_str(&format!("  over the user limit: {}\n", over_limit.join(", ")));
        }
        for RefusedUser { username, reason } in refused {
            text.push_str(&format!("  not added: {username}: {reason}\n"));
        }
    }
    text
}
