//! The whole state behind the pages, and the rules that span tables.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::fault::Faults;
use super::language::Language;
use super::profile::PbxProfile;
use super::request_log::RequestLog;
use super::rules::{self, BadMask};
use super::session::{Account, Session, Sessions};
use super::tables::{Db, Setting, SettingRow, UserRow};

/// One line of FusionPBX's user log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    pub at: DateTime<Utc>,
    pub username: String,
    pub domain: Option<Uuid>,
    pub client: IpAddr,
    /// Whether the sign-in succeeded. Failures are what fail2ban counts.
    pub accepted: bool,
}

/// A row of `v_user_logs`: a sign-in, or the new id of a session.
#[derive(Debug)]
pub(super) struct LogRow {
    pub at: DateTime<Utc>,
    pub domain: Option<Uuid>,
    pub username: String,
    pub client: IpAddr,
    pub user_agent: String,
    pub session: String,
    pub accepted: bool,
}

/// Everything the pages read and write.
#[derive(Debug)]
pub(super) struct PbxState {
    pub db: Db,
    pub sessions: Sessions,
    pub journal: RequestLog,
    pub faults: Faults,
    pub sign_ins: Vec<SignIn>,
    pub user_log: Vec<LogRow>,
    pub language: Language,
    pub page_rows: usize,
    pub cookie_secure: bool,
    /// Permissions that no group has, although a superadmin would.
    pub denied: BTreeSet<&'static str>,
    /// How far the server's clock is ahead of the machine's.
    pub clock_ahead: Duration,
    /// An address that every client seems to come from.
    pub client: Option<IpAddr>,
    pub profile: PbxProfile,
    /// The secret of the second factor that every account has, in base 32.
    pub totp_secret: Option<String>,
    /// Whether a second factor is asked for while no account has a secret yet.
    pub totp_enrols: bool,
    /// Whether flags are shown as switches (`theme`/`input_toggle_style`).
    pub has_switches: bool,
    /// Whether pages carry the list of domains, and do not load it by a script.
    pub has_domain_menus: bool,
    /// The path that everything stands below, as `/fusionpbx`.
    pub base_path: String,
    /// What [`super::FaultKind::EchoPassword`] repeats.
    pub last_password: String,
}

/// All permissions that the pages ask for.
const PERMISSIONS: [&str; 32] = [
    "domain_view",
    "domain_add",
    "domain_edit",
    "domain_delete",
    "domain_all",
    "domain_select",
    "domain_setting_view",
    "domain_setting_add",
    "domain_setting_edit",
    "domain_setting_delete",
    "domain_setting_all",
    "user_view",
    "system_view_info",
    "user_log_view",
    "user_log_all",
    "user_add",
    "user_edit",
    "user_delete",
    "user_all",
    "user_domain",
    "extension_view",
    "extension_all",
    "extension_edit",
    "extension_user_context",
    "gateway_view",
    "gateway_all",
    "gateway_edit",
    "gateway_domain",
    "dialplan_view",
    "dialplan_all",
    "dialplan_edit",
    "dialplan_context",
];

/// Finds the fixed name of a permission.
pub(super) fn permission(name: &str) -> Option<&'static str> {
    PERMISSIONS.into_iter().find(|known| *known == name)
}

impl PbxState {
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.clock_ahead
    }

    /// The effective value of a domain's setting: enabled rows with a value only. Array rows make a list; of
    /// single rows the last one made counts.
    pub fn setting(&self, domain: Uuid, category: &str, subcategory: &str) -> Option<Setting> {
        let rows = self.db.settings_of(domain).filter(|row| {
            row.enabled == Some(true) && row.category == category && row.subcategory == subcategory
        });
        let mut found = None;
        for SettingRow { name, value, .. } in rows {
            if name == "array" && !matches!(found, Some(Setting::Many(_))) {
                found = Some(Setting::Many(Vec::new()));
            }
            let Some(value) = value.clone().filter(|value| !value.is_empty()) else { continue };
            match &mut found {
                Some(Setting::Many(list)) if name == "array" => list.push(value),
                _ => found = Some(Setting::One(value)),
            }
        }
        found
    }

    /// The language of the pages in a domain: its setting `domain`/`language`, else the server's.
    pub fn language_of(&self, domain: Option<Uuid>) -> Language {
        match domain.and_then(|domain| self.setting(domain, "domain", "language")) {
            Some(Setting::One(code)) if code.starts_with("de-") => Language::German,
            Some(Setting::One(code)) if code.starts_with("fr-") => Language::French,
            Some(Setting::One(code)) if code.starts_with("en-") => Language::English,
            _ => self.language,
        }
    }

    /// Whether a request may continue in a session of this domain. FusionPBX asks at every request, up to 5.4.4 with
    /// the addresses that the session loaded at its sign-in.
    pub fn admits_request(
        &self,
        domain: Option<Uuid>,
        session: &Session,
        client: IpAddr,
    ) -> Result<bool, BadMask> {
        let block = if self.profile.block_ends_sessions() {
            domain.and_then(|domain| self.block(domain))
        } else {
            session.block.clone()
        };
        match block {
            None => Ok(true),
            Some(Setting::Many(list)) => rules::cidr_list_matches(&list, client),
            // A single value is walked like a list and matches nothing.
            Some(Setting::One(_)) => Ok(false),
        }
    }

    /// The addresses that a domain admits.
    pub fn block(&self, domain: Uuid) -> Option<Setting> {
        self.setting(domain, "domain", "cidr")
    }

    /// Whether a user of this domain may sign in from this address.
    pub fn admits_sign_in(&self, domain: Uuid, client: IpAddr) -> Result<bool, BadMask> {
        match self.setting(domain, "domain", "cidr") {
            None => Ok(true),
            Some(Setting::Many(list)) => rules::cidr_list_matches(&list, client),
            Some(Setting::One(entry)) => rules::cidr_matches(&entry, client),
        }
    }

    /// The domain and the bare user name that a typed name stands for: `user@domain` where the domain exists,
    /// else the whole name in the domain of the Host header.
    pub fn split_username<'a>(&self, typed: &'a str, host: &str) -> (Option<Uuid>, &'a str) {
        if let Some((user, domain)) = typed.rsplit_once('@')
            && let Some(uuid) = self.domain_called(domain)
        {
            return (Some(uuid), user);
        }
        (self.domain_called(host), typed)
    }

    /// A domain by name as the sign-in looks it up: without regard to case.
    pub fn domain_called(&self, name: &str) -> Option<Uuid> {
        self.db.named(&name.to_lowercase()).next().map(|row| row.uuid)
    }

    /// The enabled account with this name and password. Whether its domain is enabled does not matter.
    pub fn authenticate(&self, domain: Uuid, username: &str, password: &str) -> Option<&UserRow> {
        let username = username.to_lowercase();
        self.db
            .users_of(domain)
            .filter(|user| user.enabled != Some(false))
            .find(|user| {
                user.username.to_lowercase() == username
                    || user.email.as_deref().is_some_and(|email| email.to_lowercase() == username)
            })
            .filter(|user| !password.is_empty() && user.password == password)
    }

    /// The session's view of an account: what its groups allow now.
    pub fn account(&self, user: &UserRow) -> Account {
        let allowed = |permission: &&'static str| {
            let by_group = user.groups.contains("superadmin")
                || (user.groups.contains("admin")
                    && matches!(*permission, "user_view" | "user_add" | "user_edit" | "user_delete"));
            by_group && !self.denied.contains(permission)
        };
        Account {
            user_uuid: user.uuid,
            username: user.username.clone(),
            permissions: PERMISSIONS.into_iter().filter(allowed).collect(),
        }
    }

    /// The list of domains that a session keeps a copy of.
    pub fn domain_menu(&self) -> Arc<Vec<(Uuid, String)>> {
        Arc::new(self.db.domains().map(|row| (row.uuid, row.name.clone())).collect())
    }
}
