use std::borrow::Cow;

use crate::model::{DomainId, InstanceView, PbxSetting, SettingId, SettingName};

/// Whether two values of a setting are the same text. A browser posts every line break of a text area as CR LF, so
/// a setting that an operator saved without a change comes back so.
pub fn same_value(a: &str, b: &str) -> bool {
    fn plain(text: &str) -> Cow<'_, str> {
        if text.contains('\r') { text.replace("\r\n", "\n").into() } else { text.into() }
    }
    plain(a) == plain(b)
}

/// The enabled values of a setting, joined for people; `None` where there is none.
pub fn enabled_values(rows: &[PbxSetting], name: &SettingName) -> Option<String> {
    let values: Vec<&str> =
        rows.iter().filter(|row| row.enabled && row.name == *name).map(|row| row.value.as_str()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Whether the rows of a domain do not say what is wanted.
///
/// An `array` setting is a list that others may add to: the wanted value must be among its enabled rows. Any other
/// setting must have enabled rows of the wanted value only. `None` wants no enabled row.
pub fn setting_differs(rows: &[PbxSetting], name: &SettingName, wanted: Option<&str>) -> bool {
    let mut values =
        rows.iter().filter(|row| row.enabled && row.name == *name).map(|row| row.value.as_str()).peekable();
    match wanted {
        None => values.peek().is_some(),
        Some(wanted) if name.kind == "array" => !values.any(|value| same_value(value, wanted)),
        Some(wanted) => values.peek().is_none() || values.any(|value| !same_value(value, wanted)),
    }
}

/// A `cidr` value that matches no one. `0.0.0.0/32` would let every IPv6 client in, because FusionPBX compares
/// their addresses as 0.
pub const NOBODY: &str = "255.255.255.255/32";

/// Whether no one can sign in on the web: the lock's row is enabled and matches no one, and no other `cidr` row is
/// enabled.
///
/// Any one matching row lets a client in, so every other one has to be off.
pub fn web_sign_in_is_blocked(rows: &[PbxSetting], lock: SettingId) -> bool {
    let cidr = SettingName::cidr();
    rows.iter().any(|row| row.id == lock && row.enabled && row.value == NOBODY)
        && !rows.iter().any(|row| row.name == cidr && row.enabled && row.id != lock)
}

/// Whether a domain is seen without a lock in force; never where its settings were not read.
pub fn web_sign_in_is_open(view: &InstanceView, domain: DomainId) -> bool {
    view.settings(domain)
        .is_some_and(|rows| !web_sign_in_is_blocked(rows, SettingId::for_web_sign_in_block(domain)))
}
