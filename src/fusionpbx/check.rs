//! `tenantd pbx check`: whether the account may do what tenantd needs.

use uuid::Uuid;

use super::connection::{Connection, Query};
use super::page_spec::{DOMAIN_EDIT, DOMAIN_JSON, DOMAINS, SETTING_EDIT};
use super::pages::{DomainForm, DomainPage, SettingForm, enabled_domains};
use super::{MissingPermission, PbxCheck, PbxError, PbxErrorKind, reader, users};

/// How many domains are read to find out whether the account may change settings. The page shows that only if the
/// domain has a setting.
const DOMAINS_READ: usize = 5;

/// Signs in, reads every page that tenantd needs, and lists the missing permissions. It sends GET requests only.
pub(super) async fn check(connection: &Connection) -> Result<PbxCheck, PbxError> {
    let operation = "check the account";
    let mut missing = MissingPermissions::default();

    let (enabled, clock_skew_seconds) = connection
        .read_answer(operation, DOMAIN_JSON, &Query::new(), |answer| {
            let skew = answer.clock_skew.map(|skew| skew.num_seconds());
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

    let no_domain = Uuid::now_v7().to_string();
    missing.allowed(
        connection.read(operation, DOMAIN_EDIT, &vec![("id", no_domain.clone())], DomainForm::parse).await,
    )?;

    for domain in enabled.iter().take(DOMAINS_READ) {
        let Some(list) = missing.allowed(reader::setting_list(connection, operation, domain.id).await)?
        else {
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
        let query: Query = vec![("domain_uuid", domain.id.to_string()), ("id", no_domain)];
        missing.allowed(connection.read(operation, SETTING_EDIT, &query, SettingForm::parse).await)?;
    }
    let users = missing.allowed(users::count(connection).await)?;

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
struct MissingPermissions {
    found: Vec<MissingPermission>,
}

impl MissingPermissions {
    fn add(&mut self, permission: &'static str) {
        if self.found.iter().all(|known| known.permission != permission) {
            self.found.push(MissingPermission { permission, needed_for: needed_for(permission) });
        }
    }

    /// The value of a read; `None` if a permission is missing, which is then added. Other errors are returned.
    fn allowed<T>(&mut self, result: Result<T, PbxError>) -> Result<Option<T>, PbxError> {
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
        "user_edit" => "seeing the ids of users",
        _ => "reading the domains",
    }
}
