//! What [`super::PbxWrite`] changes: domains and their settings.

use super::connection::{Connection, Form, Query};
use super::domain_page::checked_form;
use super::page_spec::{DOMAIN_EDIT, DOMAINS, SETTING_EDIT, SETTINGS};
use super::pages::{DomainPage, SettingForm, SettingList, Token};
use super::submit::Landing;
use super::{PbxError, PbxErrorKind};
use crate::model::{DomainId, NewDomain, PbxSetting, SettingId};

pub(super) async fn create_domain(connection: &Connection, domain: &NewDomain) -> Result<(), PbxError> {
    let operation = format!("create the domain {}", domain.name);
    put_domain(connection, &operation, domain, |stored| {
        if stored.is_empty() || stored == domain.name {
            Ok(())
        } else {
            Err("its id already belongs to another domain")
        }
    })
    .await
}

pub(super) async fn update_domain(connection: &Connection, domain: &NewDomain) -> Result<(), PbxError> {
    let operation = format!("update the domain {}", domain.name);
    put_domain(connection, &operation, domain, |stored| {
        // FusionPBX would create one.
        if stored.is_empty() { Err("no domain has its id") } else { Ok(()) }
    })
    .await
}

/// Posts all fields of a domain, because FusionPBX sets a missing one to NULL. `check_stored` gets the name that is stored
/// under the id now (empty if there is none) and refuses the change with a reason.
async fn put_domain(
    connection: &Connection,
    operation: &str,
    domain: &NewDomain,
    check_stored: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<(), PbxError> {
    let NewDomain { id, name, enabled, description } = domain;
    let query: Query = vec![("id", id.to_string())];
    let fill = |text: &str| {
        let form = checked_form(text, *id)?;
        check_stored(&form.name).map_err(|why| PbxErrorKind::Refused { message: why.to_owned() })?;
        Ok(Some(fields(
            [
                ("domain_uuid", id.to_string()),
                ("domain_name", name.clone()),
                ("domain_enabled", enabled.to_string()),
                ("domain_description", description.clone()),
            ],
            form.token,
        )))
    };
    connection.submit(operation, (DOMAIN_EDIT, &query), (DOMAIN_EDIT, &query), fill, domain_landing).await
}

pub(super) async fn put_setting(
    connection: &Connection,
    domain: DomainId,
    setting: &PbxSetting,
) -> Result<(), PbxError> {
    let PbxSetting { id, name, value, order, enabled, description } = setting;
    let operation = format!("set {name} of the domain {domain}");
    let query: Query = vec![("domain_uuid", domain.to_string()), ("id", id.to_string())];
    let fill = |text: &str| {
        let form = SettingForm::parse(text)?;
        if form.id != Some(*id) || form.domain != Some(domain) {
            return Err(PbxErrorKind::UnexpectedPage {
                expected: "the form of a setting",
                found: "the form of another setting".to_owned(),
            });
        }
        Ok(Some(fields(
            [
                ("domain_uuid", domain.to_string()),
                ("domain_setting_uuid", id.to_string()),
                ("domain_setting_category", name.category.clone()),
                ("domain_setting_subcategory", name.subcategory.clone()),
                ("domain_setting_name", name.kind.clone()),
                ("domain_setting_value", value.clone()),
                // Three digits, as in the form: FusionPBX accepts `000` and refuses `0`. It cannot store NULL.
                ("domain_setting_order", format!("{:03}", order.unwrap_or(10))),
                ("domain_setting_enabled", enabled.to_string()),
                ("domain_setting_description", description.clone()),
            ],
            form.token,
        )))
    };
    connection.submit(&operation, (SETTING_EDIT, &query), (SETTING_EDIT, &query), fill, setting_landing).await
}

pub(super) async fn delete_setting(
    connection: &Connection,
    domain: DomainId,
    setting: SettingId,
) -> Result<(), PbxError> {
    let operation = format!("remove the setting {setting} of the domain {domain}");
    let query: Query = vec![("id", domain.to_string())];
    let fill = |text: &str| {
        let list = SettingList::parse(text)?;
        if !list.domain_name.is_empty() && !list.rows.iter().any(|row| row.id == setting) {
            return Ok(None);
        }
        if list.may_delete == Some(false) {
            return Err(PbxErrorKind::NotOffered { permission: "domain_setting_delete" });
        }
        Ok(Some(fields(
            [
                ("action", "delete".to_owned()),
                ("domain_uuid", domain.to_string()),
                ("domain_settings[0][checked]", "true".to_owned()),
                ("domain_settings[0][uuid]", setting.to_string()),
            ],
            list.token,
        )))
    };
    let target = (SETTINGS, &Query::new());
    connection.submit(&operation, (SETTINGS, &query), target, fill, setting_landing).await
}

pub(super) async fn delete_domain(connection: &Connection, id: DomainId) -> Result<(), PbxError> {
    let operation = format!("delete the domain {id}");
    let query = Query::new();
    let fill = |text: &str| {
        let page = DomainPage::parse(text)?;
        // Without the permission the server answers as on success and deletes nothing.
        if page.may_delete == Some(false) {
            return Err(PbxErrorKind::NotOffered { permission: "domain_delete" });
        }
        Ok(Some(fields(
            [
                ("action", "delete".to_owned()),
                ("domains[0][checked]", "true".to_owned()),
                ("domains[0][uuid]", id.to_string()),
            ],
            page.token,
        )))
    };
    connection.submit(&operation, (DOMAINS, &query), (DOMAINS, &query), fill, domain_landing).await
}

/// After a change of a domain FusionPBX shows the list, and after a wrong token as well: the caller reads back.
fn domain_landing(path: &str) -> Landing {
    if path.ends_with("/domains.php") { Landing::Done } else { Landing::Elsewhere }
}

/// After a change of a setting FusionPBX shows the list; after a wrong token, the domain.
fn setting_landing(path: &str) -> Landing {
    if path.ends_with("/domain_settings.php") {
        Landing::Done
    } else if path.ends_with("/domain_edit.php") {
        Landing::TokenRefused
    } else {
        Landing::Elsewhere
    }
}

fn fields<const N: usize>(fields: [(&str, String); N], token: Token) -> Form {
    let mut form: Form = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    form.push((token.name, token.value));
    form
}
