use serde::Serialize;
use std::collections::BTreeMap;

use super::{Definition, MaxUsers, Tenant, TenantKey};

/// A tenant in canonical form: what the preview shows and what `import` writes.
///
/// The order of the fields is the order of the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantDocument {
    pub name: String,
    pub domain: String,
    pub pbx_instance: String,
    pub enabled: bool,
    pub session_timeout: u32,
    pub max_users: DocumentMaxUsers,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pbx_settings: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cross_tenant: BTreeMap<&'static str, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<&'static str>,
    /// Absent where the file does not say; an empty list wants none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms_numbers: Option<Vec<String>>,
}

/// `max_users` as it stands in YAML: a number, or the word `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DocumentMaxUsers {
    Number(u32),
    Word(&'static str),
}

impl From<MaxUsers> for DocumentMaxUsers {
    fn from(max: MaxUsers) -> Self {
        match max {
            MaxUsers::Limited(n) => Self::Number(n),
            MaxUsers::Unlimited => Self::Word("unlimited"),
        }
    }
}

fn shares(cross: &super::CrossTenant) -> BTreeMap<&'static str, Vec<String>> {
    cross
        .kinds()
        .into_iter()
        .filter(|(_, with)| !with.is_empty())
        .map(|(kind, with)| (kind, with.iter().map(TenantKey::to_string).collect()))
        .collect()
}

impl From<&Definition> for TenantDocument {
    fn from(definition: &Definition) -> Self {
        let Definition {
            name,
            domain,
            instance,
            enabled,
            session_timeout,
            max_users,
            protected,
            pbx_settings,
            cross_tenant,
            drift,
        } = definition;
        Self {
            name: name.clone(),
            domain: domain.to_string(),
            pbx_instance: instance.to_string(),
            enabled: *enabled,
            session_timeout: *session_timeout,
            max_users: (*max_users).into(),
            protected: *protected,
            pbx_settings: pbx_settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            cross_tenant: shares(cross_tenant),
            drift: (*drift != Default::default()).then_some(drift.as_str()),
            sms_numbers: None,
        }
    }
}

impl From<&Tenant> for TenantDocument {
    fn from(tenant: &Tenant) -> Self {
        let Tenant { key: _, definition, previously: _, adopt: _, sms_numbers, accept: _ } = tenant;
        let numbers = sms_numbers.as_ref();
        Self {
            sms_numbers: numbers.map(|numbers| numbers.iter().map(ToString::to_string).collect()),
            ..Self::from(definition)
        }
    }
}
