//! Stage 3: what differs between the file (wanted), the database (recorded) and the PBX (seen).
//!
//! Pure functions of values: no I/O, no clock, no log.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::{
    Definition, MaxUsers, PbxDomain, PbxSetting, SettingId, SettingName, SmsNumber, Tenant, TenantKey,
    TenantRecord,
};

pub use settings::{
    NOBODY, enabled_values, same_value, setting_differs, web_sign_in_is_blocked, web_sign_in_is_open,
};

/// A field of a tenant that tenantd manages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Key,
    Name,
    Domain,
    Instance,
    Enabled,
    SessionTimeout,
    MaxUsers,
    Protected,
    Setting(SettingName),
    CrossTenant(&'static str),
    Drift,
    SmsNumbers,
    /// Whether the PBX's web sign-in is open or locked.
    WebSignIn,
    /// Whether the tenant's file is there.
    File,
}

impl Field {
    /// The field that a setting of the domain holds.
    pub fn of_setting(name: &SettingName) -> Self {
        if *name == SettingName::user_limit() { Self::MaxUsers } else { Self::Setting(name.clone()) }
    }

    /// The setting of the domain that holds the field; `None` where no setting does.
    pub fn setting(&self) -> Option<SettingName> {
        match self {
            Self::MaxUsers => Some(SettingName::user_limit()),
            Self::Setting(name) => Some(name.clone()),
            Self::Key
            | Self::Name
            | Self::Domain
            | Self::Instance
            | Self::Enabled
            | Self::SessionTimeout
            | Self::Protected
            | Self::CrossTenant(_)
            | Self::Drift
            | Self::SmsNumbers
            | Self::WebSignIn
            | Self::File => None,
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Name => f.write_str("name"),
            Self::Domain => f.write_str("domain"),
            Self::Instance => f.write_str("pbx_instance"),
            Self::Enabled => f.write_str("enabled"),
            Self::SessionTimeout => f.write_str("session_timeout"),
            Self::MaxUsers => f.write_str("max_users"),
            Self::Protected => f.write_str("protected"),
            Self::Setting(name) => write!(f, "pbx_settings.{name}"),
            Self::CrossTenant(kind) => write!(f, "cross_tenant.{kind}"),
            Self::Drift => f.write_str("drift"),
            Self::SmsNumbers => f.write_str("sms_numbers"),
            Self::WebSignIn => f.write_str("web_sign_in"),
            Self::File => f.write_str("file"),
        }
    }
}

/// Who made the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The file wants something else than what was recorded.
    File,
    /// The PBX shows something else than what was recorded; no one changed the file.
    Drift,
}

/// One field that differs. `None` means that there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub field: Field,
    pub before: Option<String>,
    pub after: Option<String>,
    pub origin: Origin,
}

/// The settings that a tenant's definition wants on its domain; `None` wants no enabled row of that name.
pub fn wanted_settings(tenant: &Tenant) -> BTreeMap<SettingName, Option<String>> {
    let mut wanted: BTreeMap<SettingName, Option<String>> = tenant
        .definition
        .pbx_settings
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())))
        .collect();
    wanted.insert(SettingName::user_limit(), user_limit(tenant.definition.max_users));
    wanted
}

/// What stands in `limit.users.numeric` for a number of users.
pub fn user_limit(max_users: MaxUsers) -> Option<String> {
    match max_users {
        MaxUsers::Limited(n) => Some(n.to_string()),
        MaxUsers::Unlimited => None,
    }
}

/// What the PBX shows of a tenant's domain.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub domain: &'a PbxDomain,
    /// Known only when it was this domain's turn.
    pub settings: Option<&'a [PbxSetting]>,
}

/// Compares a tenant's file with its record and with what the PBX shows.
///
/// `seen` is `None` while the domain is to be made (then only file and record are compared).
pub fn tenant(wanted: &Tenant, record: &TenantRecord, seen: Option<Seen<'_>>) -> Vec<Difference> {
    let mut differences = file_and_record(wanted, record);
    if let Some(seen) = seen {
        pbx(wanted, record, seen, &mut differences);
    }
    differences.sort_by(|a, b| a.field.cmp(&b.field));
    differences
}

/// The fields that the PBX shows otherwise than wanted, whatever was recorded.
pub fn shown_otherwise(wanted: &Tenant, record: &TenantRecord, seen: Seen<'_>) -> BTreeSet<Field> {
    let mut differences = Vec::new();
    pbx(wanted, record, seen, &mut differences);
    differences.into_iter().map(|difference| difference.field).collect()
}

/// Fields that the file wants otherwise than recorded.
fn file_and_record(wanted: &Tenant, record: &TenantRecord) -> Vec<Difference> {
    // `sms_numbers` are compared with the platform's own table, by the function of that name.
    let Tenant { key, definition: desired, previously: _, adopt: _, sms_numbers: _, accept: _ } = wanted;
    let recorded = &record.definition;
    let mut found = Vec::new();
    let mut compare = |field: Field, before: Option<String>, after: Option<String>| {
        if before != after {
            found.push(Difference { field, before, after, origin: Origin::File });
        }
    };
    let file = |gone: bool| Some(if gone { "gone" } else { "present" }.to_owned());
    compare(Field::File, file(record.file_removed_at.is_some()), file(false));
    compare(Field::Key, Some(record.key.to_string()), Some(key.to_string()));
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
    } = desired;
    let mut compare_text = |field: Field, before: &dyn fmt::Display, after: &dyn fmt::Display| {
        compare(field, Some(before.to_string()), Some(after.to_string()));
    };
    compare_text(Field::Name, &recorded.name, name);
    compare_text(Field::Domain, &recorded.domain, domain);
    compare_text(Field::Instance, &recorded.instance, instance);
    compare_text(Field::Enabled, &recorded.enabled, enabled);
    compare_text(Field::SessionTimeout, &recorded.session_timeout, session_timeout);
    compare_text(Field::MaxUsers, &recorded.max_users, max_users);
    compare_text(Field::Protected, &recorded.protected, protected);
    compare_text(Field::Drift, &recorded.drift.as_str(), &drift.as_str());
    let names: BTreeSet<&SettingName> = recorded.pbx_settings.keys().chain(pbx_settings.keys()).collect();
    for name in names {
        let (before, after) = (recorded.pbx_settings.get(name), pbx_settings.get(name));
        compare(Field::Setting(name.clone()), before.cloned(), after.cloned());
    }
    for ((kind, before), (_, after)) in recorded.cross_tenant.kinds().into_iter().zip(cross_tenant.kinds()) {
        let list = |with: &BTreeSet<TenantKey>| {
            (!with.is_empty()).then(|| with.iter().map(TenantKey::as_str).collect::<Vec<_>>().join(", "))
        };
        compare(Field::CrossTenant(kind), list(before), list(after));
    }
    found
}

/// The SMS numbers, where the file says which they are and the platform has others.
pub fn sms_numbers(wanted: &Tenant, assigned: Option<&BTreeSet<SmsNumber>>) -> Option<Difference> {
    let wanted = wanted.sms_numbers.as_ref()?;
    let assigned = assigned.cloned().unwrap_or_default();
    (assigned != *wanted).then(|| Difference {
        field: Field::SmsNumbers,
        before: number_list(&assigned),
        after: number_list(wanted),
        origin: Origin::File,
    })
}

/// Numbers as one value of a field; `None` where there are none.
pub fn number_list(numbers: &BTreeSet<SmsNumber>) -> Option<String> {
    let list: Vec<&str> = numbers.iter().map(SmsNumber::as_str).collect();
    (!list.is_empty()).then(|| list.join(", "))
}

/// Fields that the PBX shows otherwise than the file wants, where the record already agrees with the file.
fn pbx(wanted: &Tenant, record: &TenantRecord, seen: Seen<'_>, found: &mut Vec<Difference>) {
    let known = |found: &[Difference], field: &Field| found.iter().any(|other| other.field == *field);
    let drift = |found: &mut Vec<Difference>, field: Field, before: Option<String>, after: Option<String>| {
        if !known(found, &field) {
            found.push(Difference { field, before, after, origin: Origin::Drift });
        }
    };
    let Seen { domain, settings } = seen;
    let PbxDomain { id: _, name, enabled, description } = domain;
    if *name != wanted.definition.domain.as_str() {
        drift(found, Field::Domain, Some(name.clone()), Some(wanted.definition.domain.to_string()));
    }
    // A name that only repeats the domain needs no description: an imported domain without one is as it should be.
    let nameless = description.is_empty() && wanted.definition.name == wanted.definition.domain.as_str();
    if *description != wanted.definition.name && !nameless {
        drift(found, Field::Name, Some(description.clone()), Some(wanted.definition.name.clone()));
    }
    if *enabled != Some(wanted.definition.enabled) {
        let before = enabled.map(|enabled| enabled.to_string());
        drift(found, Field::Enabled, before, Some(wanted.definition.enabled.to_string()));
    } else if !wanted.definition.enabled && record.disable_confirmed_at.is_none() {
        // Cut short before its end was recorded: whether everything is closed has to be checked again.
        drift(found, Field::Enabled, None, Some(wanted.definition.enabled.to_string()));
    }
    if wanted.definition.enabled && record.definition.enabled && record.web_sign_in_block.is_some() {
        // What the web sign-in block disabled is still to be restored.
        drift(found, Field::WebSignIn, Some("locked".into()), Some("open".into()));
    }
    let Some(rows) = settings else { return };
    for (name, value) in wanted_settings(wanted) {
        if setting_differs(rows, &name, value.as_deref()) {
            let field = Field::of_setting(&name);
            let shown = |value: Option<String>| match field {
                Field::MaxUsers => Some(value.unwrap_or_else(|| "unlimited".to_owned())),
                _ => value,
            };
            let before = shown(enabled_values(rows, &name));
            drift(found, field.clone(), before, shown(value));
        }
    }
    let lock = SettingId::for_web_sign_in_block(domain.id);
    let locked = web_sign_in_is_blocked(rows, lock);
    if wanted.definition.enabled && rows.iter().any(|row| row.id == lock && row.enabled) {
        drift(found, Field::WebSignIn, Some("locked".into()), Some("open".into()));
    } else if !wanted.definition.enabled
        && !record.definition.enabled
        && !locked
        && !record.web_sign_in_left_open
    {
        drift(found, Field::WebSignIn, Some("open".into()), Some("locked".into()));
    }
}

#[cfg(test)]
mod tests;
