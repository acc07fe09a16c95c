use uuid::Uuid;

use super::connection::{Connection, Query};
use super::page_spec::{DOMAIN_EDIT, DOMAIN_JSON, DOMAINS, SETTING_EDIT};
use super::pages::{DomainForm, DomainPage, SettingForm, enabled_domains};
use super::{MissingPermission, PbxCheck, PbxError, PbxErrorKind, reader, users};

/// Domains whose settings are checked to see what the account may do with settings; the page shows it only where
/// there is a setting.
const DOMAINS_LOOKED_AT: usize = 5;

/// Signs in, checks every page that is needed, and says what is missing. Only GETs.
pub(super) async fn check(connection: &Connection) -> Result<PbxCheck, PbxError> {
    let operation = "check the account";
    let mut missing = Missing::default();

    let (enabled, clock_skew_seconds) = connection
        .read_answer(operation, DOMAIN_JSON, &Query::new(), |answer| {
            let skew = answer.clocks.map(|(theirs, ours)| (theirs - ours).num_seconds());
            Ok((enabled_domains(&answer.text)?, skew))
        })
        .await?;
    let list = connection.read(operation, DOMAINS, &Query::new(), DomainPage::parse).await?;
    if !list.may_add {
        missing.add("domain_add");
    }
    if list.may_edit == Some(false) {
        missing.add("domain_edit");
    }
    if list.may_delete == Some(false) {
        missing.add("domain_delete");
    }

    let nowhere = Uuid::now_v7().to_string();
    missing.unless(
        connection.read(operation, DOMAIN_EDIT, &vec![("id", nowhere.clone())], DomainForm::parse).await,
    )?;

    for domain in enabled.iter().take(DOMAINS_LOOKED_AT) {
        let Some(list) = missing.unless(reader::setting_list(connection, operation, domain.id).await)? else {
            break;
        };
        if !list.may_add {
            missing.add("domain_setting_add");
        }
        if list.may_edit == Some(false) {
            missing.add("domain_setting_edit");
        }
        if list.may_delete == Some(false) {
            missing.add("domain_setting_delete");
        }
        if !list.rows.is_empty() {
            break;
        }
    }
    if let Some(domain) = enabled.first() {
        let query: Query = vec![("domain_uuid", domain.id.to_string()), ("id", nowhere)];
        missing.unless(connection.read(operation, SETTING_EDIT, &query, SettingForm::parse).await)?;
    }
    let users = missing.unless(users::count(connection).await)?;

    let version = reader::version(connection).await?;

    Ok(PbxCheck {
        version,
        domains_enabled: enabled.len(),
        domains_total: list.total,
        users,
        clock_skew_seconds,
        missing_permissions: missing.found,
    })
}

#[derive(Default)]
struct Missing {
    found: Vec<MissingPermission>,
}

impl Missing {
    fn add(&mut self, permission: &'static str) {
        if self.found.iter().all(|known| known.permission != permission) {
            self.found.push(MissingPermission { permission, needed_for: needed_for(permission) });
        }
    }

    /// Notes a permission whose absence made a read fail; another failure stays one.
    fn unless<T>(&mut self, result: Result<T, PbxError>) -> Result<Option<T>, PbxError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(PbxError { kind: PbxErrorKind::AccessDenied { permission: Some(permission) }, .. }) => {
                self.add(permission);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn needed_for(permission: &str) -> &'static str {
    match permission {
        "domain_add" => "creating domains, and reading one by its id",
        "domain_edit" => "changing, renaming, disabling and enabling domains",
        "domain_delete" => "deleting domains (no group of a stock FusionPBX has it)",
        "domain_setting_view" => "reading the settings of domains",
        "domain_setting_add" => "adding settings, such as the web sign-in block",
        "domain_setting_edit" => "changing settings",
        "domain_setting_delete" => "removing settings, such as the web sign-in block",
        "user_view" => "counting the users of tenants",
        "user_all" => "seeing the users of all domains",
        "user_edit" => "telling the users of the list apart",
        _ => "reading the domains",
    }
}
