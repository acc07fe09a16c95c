//! What `show` collects about one tenant, and its JSON. Times are RFC 3339.

use serde::Serialize;

use crate::model::{Condition, TenantDocument};
use crate::report::PlanJson;

/// `show --output json`.
#[derive(Debug, Serialize)]
pub struct ShowJson {
    pub format_version: u32,
    pub key: String,
    /// The condition of the tenant, as in `status`. `None` for a deleted tenant.
    pub condition: Option<ConditionJson>,
    pub file: Option<TenantDocument>,
    pub broken: Vec<String>,
    pub recorded: Option<RecordedJson>,
    pub pbx: Option<PbxJson>,
    /// Why the next step does or does not happen.
    pub why: Vec<String>,
    pub plan: Option<PlanJson>,
    pub history: Vec<HistoryJson>,
    /// Earlier tenants that had this key.
    pub earlier: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct ConditionJson {
    pub condition: Condition,
    pub reason: Option<String>,
    pub lifted_by: Option<String>,
    pub until: Option<String>,
    pub since: Option<String>,
    #[serde(skip)]
    pub text: String,
}

#[derive(Debug, Serialize)]
pub struct RecordedJson {
    #[serde(flatten)]
    pub document: TenantDocument,
    pub id: String,
    pub domain_id: String,
    pub created_at: String,
    pub updated_at: String,
    pub disabled_at: Option<String>,
    pub disable_confirmed_at: Option<String>,
    pub file_removed_at: Option<String>,
    pub previous_placements: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct PbxJson {
    pub instance: String,
    pub state: String,
    pub name: Option<String>,
    pub enabled: Option<bool>,
    pub description: Option<String>,
    pub settings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct HistoryJson {
    pub at: String,
    pub actor: String,
    pub event: String,
    pub done: bool,
    /// What changed, by field; secrets are hidden.
    pub changes: Vec<HistoryChangeJson>,
    pub detail: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct HistoryChangeJson {
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}
