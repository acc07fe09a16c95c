//! The pages that tenantd reads, as a server shows them, without what is private in them: for a report of a version
//! that is not understood, and for a test that understands it from then on.
//!
//! Nothing is looked for to be hidden. What is kept is a short list (markup, FusionPBX's own names of fields and
//! classes, totals, the version, `true` and `false`); all other text, every address, number, token and uuid, becomes
//! another one of the same shape. The same text becomes the same other text within one capture, so that a page still
//! fits the next one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::anonymise::Anonymiser;
use super::connection::{Connection, Query};
use super::page_spec::{
    DIALPLANS, DOMAIN_EDIT, DOMAIN_JSON, DOMAINS, EXTENSIONS, GATEWAYS, PageSpec, SETTING_EDIT, SETTINGS,
    SYSTEM, USER_JSON, USERS,
};
use super::pages::{
    self, DomainForm, DomainPage, RoutePage, SettingForm, SettingList, UserPage, enabled_domains, json_users,
};
use super::routes::LISTS;
use super::transport::{FORM_BYTES, Request};
use super::{PbxError, PbxErrorKind};

/// The pages of one server. It can be given away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capture {
    pub format_version: u32,
    /// What the server says of its version.
    pub version: Option<String>,
    /// Why there is no more, where the account was not let in.
    pub stopped: Option<String>,
    pub pages: Vec<CapturedPage>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CapturedPage {
    pub page: String,
    /// Names of the query's parameters; their values are left out.
    pub query: Vec<String>,
    pub status: Option<u16>,
    /// Whether it redirects, and to which kind of page.
    pub redirect: Option<String>,
    pub body: String,
    /// What tenantd made of it when it was captured.
    pub understood: std::result::Result<String, String>,
}

const SIGN_IN: PageSpec = PageSpec { path: "/login.php", permission: "", limit: FORM_BYTES };

/// What a page is read as: a line that counts what was found, or why it is not understood.
type ReadAs = fn(&str) -> std::result::Result<String, PbxErrorKind>;

fn read_as(page: &str) -> Option<ReadAs> {
    let read: ReadAs = match page {
        p if p == SIGN_IN.path => |text| match pages::sign_in_page(text) {
            Some(page) => Ok(format!("{page:?}")),
            None => Err(unexpected("the sign-in form", text)),
        },
        p if p == DOMAIN_JSON.path => |text| Ok(format!("{} enabled domains", enabled_domains(text)?.len())),
        p if p == DOMAINS.path => |text| {
            let page = DomainPage::parse(text)?;
            let words: BTreeMap<&str, usize> = page.rows.iter().fold(BTreeMap::new(), |mut words, row| {
                *words.entry(&row.enabled_word).or_default() += 1;
                words
            });
            Ok(format!("{} of {} domains, {} states", page.rows.len(), page.total, words.len()))
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
            None => Err(unexpected("the version", text)),
        },
        p if p == EXTENSIONS.path => |text| routes(text, 0),
        p if p == DIALPLANS.path => |text| routes(text, 2),
        p if p == GATEWAYS.path => |text| routes(text, 1),
        _ => return None,
    };
    Some(read)
}

fn routes(text: &str, list: usize) -> std::result::Result<String, PbxErrorKind> {
    let page = RoutePage::parse(text, &LISTS[list])?;
    Ok(format!("{} of {} rows", page.rows.len(), page.total))
}

fn unexpected(expected: &'static str, text: &str) -> PbxErrorKind {
    PbxErrorKind::UnexpectedPage { expected, found: pages::describe(text) }
}

impl CapturedPage {
    /// Reads the page as tenantd reads it now.
    pub fn read(&self) -> std::result::Result<String, String> {
        match (self.status, read_as(&self.page)) {
            (Some(200), Some(read)) => match pages::instead(&self.body) {
                Some(instead) if self.page != SIGN_IN.path => Err(format!("{instead:?}")),
                _ => read(&self.body).map_err(|kind| kind.to_string()),
            },
            (status, _) => Err(format!("status {}", status.unwrap_or_default())),
        }
    }
}

/// Gets one page of each kind. Only GETs, besides the sign-in.
pub(super) async fn capture(connection: &Connection) -> Result<Capture, PbxError> {
    let mut capture = Capture { format_version: 1, version: None, stopped: None, pages: Vec::new() };
    let mut disguise = Anonymiser::new();
    let mut held = connection.pool.take().await;
    let operation = "capture the pages";
    let session = &mut held.session;
    session.forget();
    let mut take = Taker { connection, disguise: &mut disguise, pages: &mut capture.pages };
    take.page(session, SIGN_IN, &Query::new()).await?;
    if let Err(error) = connection.sign_in(operation, session).await {
        capture.stopped = Some(error.kind.to_string());
        return Ok(capture);
    }
    let version = take.page(session, SYSTEM, &Query::new()).await?;
    let json = take.page(session, DOMAIN_JSON, &Query::new()).await?;
    take.page(session, DOMAINS, &Query::new()).await?;
    let domain = enabled_domains(&json).ok().and_then(|domains| Some(domains.first()?.id.to_string()));
    if let Some(domain) = domain {
        let id = vec![("id", domain.clone())];
        take.page(session, DOMAIN_EDIT, &id).await?;
        let settings = take.page(session, SETTINGS, &id).await?;
        let first =
            SettingList::parse(&settings).ok().and_then(|list| Some(list.rows.first()?.id.to_string()));
        let first = first.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        take.page(session, SETTING_EDIT, &vec![("domain_uuid", domain), ("id", first)]).await?;
    }
    let all = vec![("show", "all".to_owned())];
    for page in [USER_JSON, USERS, EXTENSIONS, DIALPLANS, GATEWAYS] {
        take.page(session, page, &all).await?;
    }
    capture.version = pages::version(&version).map(|version| version.to_string());
    Ok(capture)
}

struct Taker<'a> {
    connection: &'a Connection,
    disguise: &'a mut Anonymiser,
    pages: &'a mut Vec<CapturedPage>,
}

impl Taker<'_> {
    /// Gets a page, keeps it disguised, and gives back what it really says.
    async fn page(
        &mut self,
        session: &mut super::session::Session,
        spec: PageSpec,
        query: &Query,
    ) -> Result<String, PbxError> {
        let request = Request { page: spec.path, query, form: None, cookies: None, limit: spec.limit };
        let answer = self.connection.exchange("capture the pages", session, request).await;
        let answer = answer
            .map_err(|lost| super::connection::error("capture the pages", spec.path, None, lost.kind))?;
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
        page.body = self.disguise.page(&answer.text);
        self.pages.push(page);
        Ok(answer.text)
    }
}
