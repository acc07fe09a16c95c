//! What the PBX shows, in the form of the tenant file, for the preview's lines before a change.

use crate::diff::Field;
use crate::model::{MaxUsers, TenantDocument};

/// Puts an observed value into a document. A field that the PBX does not show stays as it is.
pub(super) fn show(document: &mut TenantDocument, field: &Field, value: Option<String>) {
    match field {
        Field::Name => document.name = value.unwrap_or_default(),
        Field::Domain => document.domain = value.unwrap_or_default(),
        Field::Enabled => document.enabled = value.as_deref() == Some("true"),
        Field::MaxUsers => {
            let number = value.as_deref().and_then(|value| value.parse().ok());
            document.max_users = number.map_or(MaxUsers::Unlimited, MaxUsers::Limited).into();
        }
        Field::Setting(name) => {
            match value {
                Some(value) => document.pbx_settings.insert(name.to_string(), value),
                None => document.pbx_settings.remove(&name.to_string()),
            };
        }
        Field::Key
        | Field::Instance
        | Field::SessionTimeout
        | Field::Protected
        | Field::CrossTenant(_)
        | Field::Drift
        | Field::SmsNumbers
        | Field::WebSignIn
        | Field::File => {}
    }
}
