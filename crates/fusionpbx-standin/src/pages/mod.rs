//! The pages. Each file here is one page of FusionPBX, or two that belong together.

mod domain_edit;
mod domain_setting_edit;
mod domain_settings;
mod domains;
mod layout;
mod routes;
mod sign_in;
mod system;
mod user_edit;
mod user_logs;
mod users;

pub(super) use sign_in::{error_page_with_secret, stray_sign_in_page};

use maud::html;
use uuid::Uuid;

use super::exchange::{Answer, Call};
use super::fault::{FaultKind, Strike};
use super::language::{Language, Word};
use super::rules::{self, BadMask};
use super::session::{Mood, Session};
use super::state::{LogRow, PbxState};
use super::tables::{Db, RouteKind};

const DASHBOARD: &str = "/core/dashboard/";

/// PHP's `PHP_SELF` for a path that has a page; tokens are bound to it.
fn php_self(path: &str) -> Option<&'static str> {
    Some(match path {
        "/" | "/index.php" => "/index.php",
        "/login.php" => "/login.php",
        "/logout.php" => "/logout.php",
        "/core/dashboard/" | "/core/dashboard/index.php" => "/core/dashboard/index.php",
        "/core/domains/domain_json.php" => "/core/domains/domain_json.php",
        "/core/domains/domains.php" => "/core/domains/domains.php",
        "/core/domains/domain_edit.php" => "/core/domains/domain_edit.php",
        "/core/domain_settings/domain_settings.php" => "/core/domain_settings/domain_settings.php",
        "/core/domain_settings/domain_setting_edit.php" => "/core/domain_settings/domain_setting_edit.php",
        "/app/system/system.php" => "/app/system/system.php",
        "/core/users/user_json.php" => "/core/users/user_json.php",
        "/core/users/users.php" => "/core/users/users.php",
        "/core/users/user_edit.php" => "/core/users/user_edit.php",
        "/core/user_logs/user_logs.php" => "/core/user_logs/user_logs.php",
        "/app/extensions/extensions.php" => "/app/extensions/extensions.php",
        "/app/gateways/gateways.php" => "/app/gateways/gateways.php",
        "/app/gateways/gateway_edit.php" => "/app/gateways/gateway_edit.php",
        "/app/dialplans/dialplans.php" => "/app/dialplans/dialplans.php",
        _ => return None,
    })
}

/// Works on one request.
pub(super) fn answer(state: &mut PbxState, call: &Call, strike: &Strike) -> Answer {
    let path = call.path.strip_prefix(state.base_path.as_str());
    let Some(php_self) = path.and_then(php_self) else { return Answer::not_found() };
    let before = (call.is_post() && meddles(strike)).then(|| state.db.clone());
    let mut session = state.sessions.open(call.cookie.as_deref());
    let language = state.language;
    let mut page =
        Page { state, session: &mut session, call, strike, php_self, language, session_ends: false };
    let mut answer = page.run();
    let ends = page.session_ends;
    if call.cookie.as_deref() != Some(session.id.as_str()) {
        answer.set_cookie = Some(cookie(state, &session.id));
    }
    if !ends {
        state.sessions.close(session);
    }
    if let Some(before) = before {
        meddle(state, before, strike);
    }
    if state.base_path.is_empty() { answer } else { below(&state.base_path, answer) }
}

/// The answer of a FusionPBX below a path: its absolute links and redirects lead there.
fn below(base: &str, mut answer: Answer) -> Answer {
    answer.location = answer.location.map(|location| match location.strip_prefix("/?path=%2F") {
        // The page that was asked for is named with the path too.
        Some(page) => format!("{base}/?path={}%2F{page}", base.replace('/', "%2F")),
        None if location.starts_with('/') => format!("{base}{location}"),
        None => location,
    });
    for attribute in ["href=\"/", "href='/", "src=\"/", "action=\"/", "action='/", "(\"GET\", \"/"] {
        let below = format!("{}{base}/", attribute.trim_end_matches('/'));
        answer.body = answer.body.replace(attribute, &below);
    }
    answer
}

fn dashboard(page: &mut Page<'_>) -> String {
    let version = page.state.profile.version();
    let status = page.may("system_view_info");
    let content = html! {
        b { "Dashboard" }
        @if status {
            div class="hud_details hud_box" id="hud_system_status_details" {
                table class="tr_hover" {
                    tr { th class="hud_heading" { "Item" } th class="hud_heading" { "Value" } }
                    tr class="tr_link_void" {
                        td class="row_style0 hud_text" { "FusionPBX" }
                        td class="row_style0 hud_text" { (version) }
                    }
                }
            }
        }
    };
    layout::shell(page, "Dashboard", content)
}

fn cookie(state: &PbxState, id: &str) -> String {
    let secure = if state.cookie_secure { "; secure" } else { "" };
    match state.profile.hardens_answers() {
        true => format!("PHPSESSID={id}; path=/{secure}; HttpOnly; SameSite=Lax"),
        false => format!("PHPSESSID={id}; path=/"),
    }
}

/// A request at work on a page.
struct Page<'a> {
    state: &'a mut PbxState,
    session: &'a mut Session,
    call: &'a Call,
    strike: &'a Strike,
    php_self: &'static str,
    language: Language,
    session_ends: bool,
}

impl Page<'_> {
    fn run(&mut self) -> Answer {
        if self.state.profile.knows_the_domain_of_the_host_at_once() {
            self.find_domain();
        }
        match self.state.admits_request(self.session.domain, self.session, self.call.client) {
            Ok(true) => {}
            Ok(false) => return Answer::access_denied(),
            Err(BadMask) => return fatal_error(),
        }
        if let Some(domain) = self.domain_change() {
            self.session.domain = Some(domain);
            self.session.domains = None;
            self.load_block();
        }
        match self.php_self {
            "/index.php" if self.session.username.is_some() => return Answer::to(DASHBOARD),
            "/index.php" => return Answer::to("/login.php"),
            "/logout.php" => {
                self.session_ends = true;
                return Answer::to("/");
            }
            _ => {}
        }
        if let Some(answer) = self.check_auth() {
            return answer;
        }
        let mut answer = match self.php_self {
            "/login.php" => Answer::to(DASHBOARD),
            "/core/domains/domain_json.php" => domains::json(self),
            "/core/domains/domains.php" => domains::list(self),
            "/core/domains/domain_edit.php" => domain_edit::page(self),
            "/core/domain_settings/domain_settings.php" => domain_settings::page(self),
            "/core/domain_settings/domain_setting_edit.php" => domain_setting_edit::page(self),
            "/core/users/user_json.php" => users::json(self),
            "/core/users/users.php" => users::list(self),
            "/core/users/user_edit.php" => user_edit::page(self),
            "/core/user_logs/user_logs.php" => user_logs::page(self),
            "/app/extensions/extensions.php" => routes::list(self, RouteKind::Extension),
            "/app/gateways/gateways.php" => routes::list(self, RouteKind::Gateway),
            "/app/gateways/gateway_edit.php" => routes::gateway(self),
            "/app/dialplans/dialplans.php" => routes::list(self, RouteKind::Dialplan),
            "/app/system/system.php" => system::page(self),
            _ => Answer::page(dashboard(self)),
        };
        if self.session_ends && answer.location.is_none() {
            // The page has been worked on all the same: the check of the browser does not end the script.
            answer.status = 302;
            answer.location = Some("/logout.php".to_owned());
        }
        answer
    }

    /// The domain that a `domain_change=true` asks the session to move to.
    fn domain_change(&self) -> Option<Uuid> {
        let domain = self.call.get("domain_uuid").and_then(rules::uuid)?;
        (self.call.get("domain_change") == Some("true") && self.session.may("domain_select"))
            .then_some(domain)
    }

    /// Signs in, or keeps a session fresh. `Some` ends the request.
    fn check_auth(&mut self) -> Option<Answer> {
        let now = self.state.now();
        if self.session.account.is_some() {
            match self.session.created {
                None => self.session.created = Some(now),
                Some(created) if now - created > self.state.profile.session_id_lives() => {
                    self.session.rotate();
                    self.session.created = Some(now);
                    self.log(true);
                }
                Some(_) => {}
            }
        }
        if self.session.domains.is_none() {
            self.find_domain();
            let domains = self.state.domain_menu();
            if self.session.username.is_none() && domains.len() == 1 {
                self.session.domain = domains.first().map(|(uuid, _)| *uuid);
            }
            self.session.domains = Some(domains);
            self.load_block();
        }
        if self.session.account.is_none() {
            return Some(sign_in::page(self));
        }
        if self.session.user_agent != self.call.user_agent {
            self.session_ends = true;
        }
        self.language = self.state.language_of(self.session.domain);
        None
    }

    /// Without a sign-in, a session works in the domain of the Host header.
    fn find_domain(&mut self) {
        if self.session.domain.is_none() {
            let name = self.call.request("domain_name").filter(|name| !name.is_empty());
            let name = name.unwrap_or(&self.call.host).split(':').next().unwrap_or_default();
            self.session.domain = self.state.db.named(name).next().map(|row| row.uuid);
        }
    }

    /// Loads the addresses that the session's domain admits.
    fn load_block(&mut self) {
        self.session.block = self.session.domain.and_then(|domain| self.state.block(domain));
    }

    /// Writes the user log.
    fn log(&mut self, accepted: bool) {
        let at = self.state.now();
        self.state.user_log.push(LogRow {
            at,
            domain: self.session.domain,
            username: self.session.username.clone().unwrap_or_default(),
            client: self.call.client,
            user_agent: self.call.user_agent.clone(),
            session: self.session.id.clone(),
            accepted,
        });
    }

    /// What links and redirects repeat of the query, with its leading separator.
    fn query(&self, separator: char) -> String {
        if self.state.profile.repeats_queries() {
            return self.call.list_query(separator);
        }
        match self.call.request("search").filter(|search| !search.is_empty()) {
            Some(search) => {
                let search: String = url::form_urlencoded::byte_serialize(search.as_bytes()).collect();
                format!("{separator}search={search}")
            }
            None => String::new(),
        }
    }

    fn may(&self, permission: &str) -> bool {
        self.session.may(permission)
    }

    fn good_news(&mut self, word: Word) {
        self.session.say(Mood::Positive, self.language.say(word));
    }

    fn bad_news(&mut self, word: Word) {
        self.session.say(Mood::Negative, self.language.say(word));
    }

    /// Whether the request carries a token of this page; if not, the next page says so.
    fn has_token(&mut self) -> bool {
        let call = self.call;
        let valid = self.session.take_token(self.php_self, |name| call.request(name));
        if !valid {
            self.bad_news(Word::InvalidToken);
        }
        valid
    }
}

/// A flag as it is saved: what is left out means something else in each version.
fn posted_flag<'a>(page: &Page<'a>, name: &str) -> Option<&'a str> {
    page.call.post(name).or(page.state.profile.flag_left_out())
}

/// What PHP prints when a page dies, under a 200.
fn fatal_error() -> Answer {
    Answer::page("<br />\n<b>Fatal error</b>:  Uncaught ArithmeticError: Bit shift by negative number")
}

/// Whether a fault changes what a write leaves behind.
fn meddles(strike: &Strike) -> bool {
    strike.kinds.iter().any(|kind| {
        matches!(kind, FaultKind::IgnoreWrites | FaultKind::NormaliseNames | FaultKind::RevertField(_))
    })
}

/// Changes what a write has previous.
fn meddle(state: &mut PbxState, before: Db, strike: &Strike) {
    if strike.has(&FaultKind::IgnoreWrites) {
        state.db = before;
        return;
    }
    let written: Vec<_> =
        state.db.domains().filter(|row| before.domain(row.uuid) != Some(row)).cloned().collect();
    for mut row in written {
        if strike.has(&FaultKind::NormaliseNames) {
            row.description = row.description.map(|text| text.trim().to_lowercase());
        }
        if let Some(old) = before.domain(row.uuid) {
            for kind in &strike.kinds {
                match kind {
                    FaultKind::RevertField("domain_name") => row.name.clone_from(&old.name),
                    FaultKind::RevertField("domain_enabled") => row.enabled = old.enabled,
                    FaultKind::RevertField("domain_description") => {
                        row.description.clone_from(&old.description);
                    }
                    _ => {}
                }
            }
        }
        state.db.put_domain(row);
    }
    let written: Vec<_> =
        state.db.settings().filter(|row| before.setting(row.uuid) != Some(row)).cloned().collect();
    for mut row in written {
        let Some(old) = before.setting(row.uuid) else { continue };
        for kind in &strike.kinds {
            match kind {
                FaultKind::RevertField("domain_setting_value") => row.value.clone_from(&old.value),
                FaultKind::RevertField("domain_setting_enabled") => row.enabled = old.enabled,
                _ => {}
            }
        }
        state.db.put_setting(row);
    }
}
