//! What [`super::PbxRead`] reads: domains, settings and the version.

use std::collections::BTreeSet;

use super::connection::{Connection, Query};
use super::domain_page::domain_form;
use super::page_spec::{DOMAIN_EDIT, DOMAIN_JSON, SETTING_EDIT, SETTINGS, SYSTEM};
use super::pages::{self, DomainForm, SettingForm, SettingList, SettingRow, enabled_domains};
use super::{DomainList, PbxError, PbxErrorKind, listing};
use crate::model::{DomainId, PbxDomain, PbxSetting, PbxVersion, SettingName};

pub(super) async fn domains(connection: &Connection) -> Result<DomainList, PbxError> {
    listing::list(connection, "read the domains", None).await
}

/// The version that the page *Status → System* shows, read once. tenantd also works with an account that may not see the
/// page, so only a failure that may pass is an error.
pub(super) async fn version(connection: &Connection) -> Result<Option<PbxVersion>, PbxError> {
    if let Some(known) = connection.known_version() {
        return Ok(known);
    }
    let read =
        connection.read("read the version", SYSTEM, &Query::new(), |text| Ok(pages::version(text))).await;
    let version = match read {
        Ok(version) => version,
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => {
            tracing::debug!(instance = %connection.instance, %error, "the version cannot be read");
            None
        }
    };
    tracing::debug!(instance = %connection.instance, version = version.as_ref().map(PbxVersion::as_str), "FusionPBX");
    connection.learn_version(version.clone());
    Ok(version)
}

/// Reads a domain's form, and from the JSON list what the form cannot tell: whether a domain shown as enabled is enabled
/// or has no value, and whether a domain that is not shown does not exist or could not be read.
pub(super) async fn domain(connection: &Connection, id: DomainId) -> Result<Option<PbxDomain>, PbxError> {
    let operation = format!("read the domain {id}");
    let mut may_repeat = true;
    loop {
        let form = domain_form(connection, &operation, id).await?;
        // A checkbox shows "disabled" by a missing attribute, which alone does not prove it.
        if !form.name.is_empty() && !form.enabled.value && !form.enabled.by_absence {
            let DomainForm { name, description, .. } = form;
            return Ok(Some(PbxDomain { id, name, enabled: Some(false), description }));
        }
        let query: Query =
            if is_plain(&form.name) { vec![("search", form.name.clone())] } else { Vec::new() };
        let enabled = connection.read(&operation, DOMAIN_JSON, &query, enabled_domains).await?;
        let any_enabled = !enabled.is_empty();
        match enabled.into_iter().find(|domain| domain.id == id) {
            Some(domain) if !form.name.is_empty() => return Ok(Some(domain)),
            // Changed between the two reads.
            _ if may_repeat => may_repeat = false,
            Some(_) => {
                let kind = PbxErrorKind::UnexpectedPage {
                    expected: "the form of a domain",
                    found: "an empty form for a listed domain".to_owned(),
                };
                return Err(PbxError::new(operation, kind).on_page(DOMAIN_EDIT.path));
            }
            None if form.name.is_empty() && any_enabled => return Ok(None),
            None if form.name.is_empty() => {
                // FusionPBX shows an empty form and an empty list also when its database fails.
                let kind = PbxErrorKind::UnexpectedPage {
                    expected: "a list of at least the account's own domain",
                    found: "an empty list".to_owned(),
                };
                return Err(PbxError::new(operation, kind).on_page(DOMAIN_JSON.path));
            }
            // An empty checkbox means "disabled" or NULL. The list of all domains tells which.
            None if form.enabled.by_absence => {
                let listed = domains_named(connection, &form.name).await?;
                return Ok(listed.into_iter().find(|domain| domain.id == id));
            }
            None => {
                let DomainForm { name, description, enabled, .. } = form;
                let enabled = if enabled.value { None } else { Some(false) };
                return Ok(Some(PbxDomain { id, name, enabled, description }));
            }
        }
    }
}

/// Whether FusionPBX's search finds a text literally; an empty text finds everything. `_` stands for any character, so it
/// finds too much but never too little.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

pub(super) async fn domains_named(connection: &Connection, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
    let operation = format!("find the domain {name}");
    let search = (!name.is_empty() && is_plain(name)).then_some(name);
    let mut domains = listing::list(connection, &operation, search).await?;
    domains.retain(|domain| domain.name.eq_ignore_ascii_case(name));
    Ok(domains)
}

pub(super) async fn enabled_domains_named(
    connection: &Connection,
    name: &str,
) -> Result<Vec<PbxDomain>, PbxError> {
    let operation = format!("find the domain {name}");
    let search = !name.is_empty() && is_plain(name);
    let query: Query = if search { vec![("search", name.to_owned())] } else { Vec::new() };
    let mut domains = connection.read(&operation, DOMAIN_JSON, &query, enabled_domains).await?;
    domains.retain(|domain| domain.name.eq_ignore_ascii_case(name));
    Ok(domains)
}

/// Reads the list of settings, and the form of each row for its exact values. With `wanted`, only rows that may have one
/// of these names are read.
///
/// The list is not exact: it translates, masks and shortens values, does not show the order, and shows a type that
/// FusionPBX does not know as `Array`.
pub(super) async fn settings(
    connection: &Connection,
    domain: DomainId,
    wanted: Option<&BTreeSet<SettingName>>,
) -> Result<Vec<PbxSetting>, PbxError> {
    let operation = format!("read the settings of the domain {domain}");
    let mut may_repeat = true;
    'reading: loop {
        let list = setting_list(connection, &operation, domain).await?;
        if list.domain_name.is_empty() {
            // An empty list proves nothing if the page does not even show the domain.
            let kind = PbxErrorKind::UnexpectedPage {
                expected: "the settings of an existing domain",
                found: "a page that names no domain".to_owned(),
            };
            return Err(PbxError::new(operation, kind).on_page(SETTINGS.path));
        }
        let mut settings = Vec::new();
        for row in list.rows {
            if wanted.is_some_and(|wanted| !wanted.iter().any(|name| row.may_be(name))) {
                continue;
            }
            let form = setting_form(connection, &operation, domain, &row).await?;
            if form.is_empty() && may_repeat {
                // Removed since the list was read.
                may_repeat = false;
                continue 'reading;
            }
            if form.is_empty() {
                let kind = PbxErrorKind::UnexpectedPage {
                    expected: "the form of a setting",
                    found: "an empty form for a listed setting".to_owned(),
                };
                return Err(PbxError::new(operation, kind).on_page(SETTING_EDIT.path));
            }
            let setting = form.into_setting(&row);
            if wanted.is_none_or(|wanted| wanted.contains(&setting.name)) {
                settings.push(setting);
            }
        }
        return Ok(settings);
    }
}

pub(super) async fn setting_list(
    connection: &Connection,
    operation: &str,
    domain: DomainId,
) -> Result<SettingList, PbxError> {
    connection.read(operation, SETTINGS, &vec![("id", domain.to_string())], SettingList::parse).await
}

async fn setting_form(
    connection: &Connection,
    operation: &str,
    domain: DomainId,
    row: &SettingRow,
) -> Result<SettingForm, PbxError> {
    let query: Query = vec![("domain_uuid", domain.to_string()), ("id", row.id.to_string())];
    connection
        .read(operation, SETTING_EDIT, &query, |text| {
            let form = SettingForm::parse(text)?;
            if form.id == Some(row.id) && form.domain == Some(domain) {
                return Ok(form);
            }
            Err(PbxErrorKind::UnexpectedPage {
                expected: "the form of a setting",
                found: "the form of another setting".to_owned(),
            })
        })
        .await
}
