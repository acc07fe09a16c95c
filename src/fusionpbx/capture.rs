//! The pages that tenantd reads, captured without anything private. A capture reports a version of FusionPBX that
//! tenantd does not understand, and becomes the test by which it learns to.
//!
//! The anonymiser does not search for private text. It keeps a short list (markup, FusionPBX's own names of fields and
//! classes, totals, the version, `true` and `false`) and replaces all other text, every address, number, token and uuid
//! by another one of the same shape. Within one capture the same text gets the same replacement, so that the pages still
//! fit each other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::anonymise::Anonymiser;
use super::connection::{Connection, Query};
use super::failure::error;
use super::page_spec::{
    DIALPLANS, DOMAIN_EDIT, DOMAIN_JSON, DOMAINS, EXTENSIONS, GATEWAYS, PageSpec, SETTING_EDIT, SETTINGS,
    SYSTEM, USER_JSON, USERS,
};
use super::pages::{
    self, DomainForm, DomainPage, RouteList, RoutePage, SettingForm, SettingList, UserPage, enabled_domains,
    json_users,
};
use super::routes::{DIALPLAN_LIST, EXTENSION_LIST, GATEWAY_LIST};
use super::session::Session;
use super::transport::{FORM_BYTES, Request};
use super::{PbxError, PbxErrorKind};

/// The captured pages of one server. It holds nothing private and can be published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capture {
    pub format_version: u32,
    /// The version that the server shows.
    pub version: Option<String>,
    /// Why the capture ends early: the sign-in failed.
    pub stopped: Option<String>,
    pub pages: Vec<CapturedPage>,
}

/// One captured page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CapturedPage {
    pub page: String,
    /// The names of the query's parameters, without their values.
    pub query: Vec<String>,
    pub status: Option<u16>,
    /// The file name of the page that it redirects to, if it does.
    pub redirect: Option<String>,
    pub body: String,
    /// How tenantd read the page when it captured it: a summary, or why it did not understand it.
    pub understood: std::result::Result<String, String>,
}

const OPERATION: &str = "capture the pages";

const SIGN_IN: PageSpec = PageSpec { path: "/login.php", permission: "", limit: FORM_BYTES };

/// Reads a page: a summary of what it shows, or why it is not understood.
type Summarise = fn(&str) -> std::result::Result<String, PbxErrorKind>;

fn summarise(page: &str) -> Option<Summarise> {
    let read: Summarise = match page {
        p if p == SIGN_IN.path => |text| match pages::sign_in_page(text) {
            Some(page) => Ok(format!("{page:?}")),
            None => Err(pages::unexpected("the sign-in form", text)),
        },
        p if p == DOMAIN_JSON.path => |text| Ok(format!("{} enabled domains", enabled_domains(text)?.len())),
        p if p == DOMAINS.path => |text| {
            let page = DomainPage::parse(text)?;
            let labels: BTreeSet<&str> = page.rows.iter().map(|row| row.enabled_label.as_str()).collect();
            Ok(format!("{} of {} domains, {} states", page.rows.len(), page.total, labels.len()))
        },
        p if p == DOMAIN_EDIT.path => |text| {
            let form = DomainForm::parse(text)?;
            Ok(format!("a domain, named: {}, enabled: {}", !form.name.is_empty(), form.enabled.value))
        },
        p if p == SETTINGS.path => |text| Ok(format!("{} settings", SettingList::parse(text)?.rows.len())),
        p if p == SETTING_EDIT.path => |text| {
            let form = SettingForm::parse(text)?;
            Ok(format!("a setting, enabled: {}, order: {:?}", form.enabled.value, form.order))
        },
        p if p == USER_JSON.path => |text| Ok(format!("{} users", json_users(text)?.len())),
        p if p == USERS.path => |text| {
            let page = UserPage::parse(text)?;
            Ok(format!("{} of {} users, of all domains: {}", page.rows.len(), page.total, page.all_domains))
        },
        p if p == SYSTEM.path => |text| match pages::version(text) {
            Some(version) => Ok(format!("version {version}")),
            None => Err(pages::unexpected("the version", text)),
        },
        p if p == EXTENSIONS.path => |text| routes(text, &EXTENSION_LIST),
        p if p == DIALPLANS.path => |text| routes(text, &DIALPLAN_LIST),
        p if p == GATEWAYS.path => |text| routes(text, &GATEWAY_LIST),
        _ => return None,
    };
    Some(read)
}

fn routes(text: &str, list: &RouteList) -> std::result::Result<String, PbxErrorKind> {
    let page = RoutePage::parse(text, list)?;
    Ok(format!("{} of {} rows", page.rows.len(), page.total))
}

impl CapturedPage {
    /// Reads the page as this version of tenantd does.
    pub fn read(&self) -> std::result::Result<String, String> {
        match (self.status, summarise(&self.page)) {
            (Some(200), Some(read)) => match pages::substitute_page(&self.body) {
                Some(substitute) if self.page != SIGN_IN.path => Err(format!("{substitute:?}")),
                _ => read(&self.body).map_err(|kind| kind.to_string()),
            },
            (status, _) => Err(format!("status {}", status.unwrap_or_default())),
        }
    }
}

/// Captures one page of each kind. Apart from the sign-in it sends GET requests only.
pub(super) async fn capture(connection: &Connection) -> Result<Capture, PbxError> {
    let mut capture = Capture { format_version: 1, version: None, stopped: None, pages: Vec::new() };
    let mut anonymiser = Anonymiser::new();
    let mut held = connection.pool.take().await;
    let session = &mut held.session;
    session.forget();
    let mut record = Recorder { connection, anonymiser: &mut anonymiser, pages: &mut capture.pages };
    record.page(session, SIGN_IN, &Query::new()).await?;
    if let Err(error) = connection.sign_in(OPERATION, session).await {
        capture.stopped = Some(error.kind.to_string());
        return Ok(capture);
    }
    let version = record.page(session, SYSTEM, &Query::new()).await?;
    let json = record.page(session, DOMAIN_JSON, &Query::new()).await?;
    record.page(session, DOMAINS, &Query::new()).await?;
    let domain = enabled_domains(&json).ok().and_then(|domains| Some(domains.first()?.id.to_string()));
    if let Some(domain) = domain {
        let id = vec![("id", domain.clone())];
        record.page(session, DOMAIN_EDIT, &id).await?;
        let settings = record.page(session, SETTINGS, &id).await?;
        let first =
            SettingList::parse(&settings).ok().and_then(|list| Some(list.rows.first()?.id.to_string()));
        let first = first.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        record.page(session, SETTING_EDIT, &vec![("domain_uuid", domain), ("id", first)]).await?;
    }
    let all = vec![("show", "all".to_owned())];
    for page in [USER_JSON, USERS, EXTENSIONS, DIALPLANS, GATEWAYS] {
        record.page(session, page, &all).await?;
    }
    capture.version = pages::version(&version).map(|version| version.to_string());
    Ok(capture)
}

struct Recorder<'a> {
    connection: &'a Connection,
    anonymiser: &'a mut Anonymiser,
    pages: &'a mut Vec<CapturedPage>,
}

impl Recorder<'_> {
    /// Gets a page, records it anonymised and returns its real text.
    async fn page(
        &mut self,
        session: &mut Session,
        spec: PageSpec,
        query: &Query,
    ) -> Result<String, PbxError> {
        let request = Request { page: spec.path, query, form: None, cookies: None, limit: spec.limit };
        let answer = self
            .connection
            .exchange(OPERATION, session, request)
            .await
            .map_err(|failed| error(OPERATION, spec.path, None, failed.kind))?;
        let redirect = answer.location.as_ref().map(|to| {
            to.path().rsplit('/').next().filter(|file| file.ends_with(".php")).unwrap_or("/").to_owned()
        });
        let mut page = CapturedPage {
            page: spec.path.to_owned(),
            query: query.iter().map(|(key, _)| (*key).to_owned()).collect(),
            status: Some(answer.status),
            redirect,
            body: answer.text.clone(),
            understood: Err(String::new()),
        };
        page.understood = page.read();
        page.body = self.anonymiser.page(&answer.text);
        self.pages.push(page);
        Ok(answer.text)
    }
}
