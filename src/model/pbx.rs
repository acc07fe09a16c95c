use std::fmt;

use uuid::Uuid;

use super::SettingName;

/// The identity of a domain on a PBX (`domain_uuid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub Uuid);

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a row of a domain's settings (`domain_setting_uuid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingId(pub Uuid);

impl SettingId {
    /// The id under which tenantd adds a setting to a domain. It is always the same for the same domain and
    /// name, so that sending the same addition twice makes one row.
    pub fn for_setting(domain: DomainId, name: &SettingName) -> Self {
        Self(Uuid::new_v5(&domain.0, format!("tenantd:{name}").as_bytes()))
    }

    /// The id of the web sign-in block of a domain: a `domain.cidr.array` row that matches no one.
    pub fn for_web_sign_in_block(domain: DomainId) -> Self {
        Self(Uuid::new_v5(&domain.0, b"tenantd:login-lock"))
    }
}

impl fmt::Display for SettingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A domain as a PBX shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxDomain {
    pub id: DomainId,
    pub name: String,
    /// `None` where the column is NULL, which FusionPBX's next upgrade turns into enabled.
    pub enabled: Option<bool>,
    pub description: String,
}

impl PbxDomain {
    /// The domain with its name as FusionPBX compares it. An old row, or one written by SQL, may have capitals; a form
    /// shows it in lower case, a list as it is stored, and the next change through the pages stores it in lower case.
    #[must_use]
    pub fn in_lower_case(mut self) -> Self {
        self.name.make_ascii_lowercase();
        self
    }
}

/// A domain that is to be made, under an id that we chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDomain {
    pub id: DomainId,
    pub name: String,
    pub enabled: bool,
    pub description: String,
}

/// One row of a domain's settings, with its exact values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxSetting {
    pub id: SettingId,
    pub name: SettingName,
    pub value: String,
    /// FusionPBX orders the rows of an array setting by it; `None` where the column is NULL.
    pub order: Option<i32>,
    pub enabled: bool,
    pub description: String,
}

/// A user account as a PBX shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxUser {
    pub id: Uuid,
    pub domain: DomainId,
    pub domain_name: String,
    pub username: String,
    pub email: Option<String>,
    pub groups: Vec<String>,
    pub enabled: bool,
}
