//! An operator's browser on a real server.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::redirect::Policy;
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;
use uuid::Uuid;

use super::servers::Site;

const EDIT: &str = "/core/domains/domain_edit.php";
const LIST: &str = "/core/domains/domains.php";
const JSON: &str = "/core/domains/domain_json.php";
const SETTINGS: &str = "/core/domain_settings/domain_settings.php";
const SETTING: &str = "/core/domain_settings/domain_setting_edit.php";
const USER: &str = "/core/users/user_edit.php";
const USERS_JSON: &str = "/core/users/user_json.php";
const DASHBOARD: &str = "/core/dashboard/";

/// A page, read to its end.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub location: String,
    pub body: String,
}

fn select(selector: &str) -> Selector {
    Selector::parse(selector).expect("a selector")
}

fn is_token(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Page {
    fn html(&self) -> Html {
        Html::parse_document(&self.body)
    }

    fn token(&self) -> (String, String) {
        self.token_if_any().unwrap_or_else(|| {
            panic!("a page without a form token, status {}: {}", self.status, self.location)
        })
    }

    /// Only the newest sign-in form has one.
    fn token_if_any(&self) -> Option<(String, String)> {
        let html = self.html();
        html.select(&select("form input[type=hidden]"))
            .filter_map(|input| Some((input.attr("name")?.to_owned(), input.attr("value")?.to_owned())))
            .find(|(name, _)| is_token(name))
    }

    fn asks_for_a_code(&self) -> bool {
        self.status == 200 && self.html().select(&select("input[name=authentication_code]")).next().is_some()
    }

    /// The total of a list: beside its title, or in brackets behind it.
    fn total(&self) -> usize {
        let html = self.html();
        let text = |selector: &str| html.select(&select(selector)).next().map(|found| found.text().collect());
        let total: Option<String> = text("div.heading div.count");
        let total = total.or_else(|| {
            let title: String = text("div.heading b")?;
            Some(title.trim().strip_suffix(')')?.rsplit_once('(')?.1.to_owned())
        });
        let total = total.unwrap_or_else(|| panic!("a list without its total, status {}", self.status));
        let digits: String = total.chars().filter(char::is_ascii_digit).collect();
        digits.parse().expect("a number of rows")
    }

    /// The fields of the page's form with their exact values, without the token.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let html = self.html();
        let mut fields = BTreeMap::new();
        for element in html.select(&select("form#frm [name]")) {
            let name = element.attr("name").unwrap_or_default().to_owned();
            if !is_token(&name) {
                fields.insert(name, value_of(element));
            }
        }
        fields
    }

    pub fn is_access_denied(&self) -> bool {
        self.body.trim() == "access denied"
    }

    fn is_signed_in(&self) -> bool {
        self.status == 200 && self.body.contains("logout.php") && !self.body.contains("btn_login")
    }
}

fn value_of(element: ElementRef<'_>) -> String {
    match element.value().name() {
        "select" => {
            let chosen = element.select(&select("option[selected]")).next();
            let option = chosen.or_else(|| element.select(&select("option")).next());
            option.and_then(|option| option.attr("value")).unwrap_or_default().to_owned()
        }
        "textarea" => element.text().collect(),
        "input" if element.attr("type") == Some("checkbox") && element.attr("checked").is_none() => {
            "false".to_owned()
        }
        _ => element.attr("value").unwrap_or_default().to_owned(),
    }
}

/// The present code of an authenticator.
fn code_of(secret: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).expect("a secret in base 32");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970");
    totp_rs::Builder::new().with_secret(secret).build_noncompliant().generate(now.as_secs()).to_string()
}

/// A client for a site; a browser keeps cookies and names itself.
pub fn http_client(site: &Site, browser: Option<&str>) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .cookie_store(browser.is_some())
        .timeout(std::time::Duration::from_secs(60));
    if let Some(name) = browser {
        builder = builder.user_agent(name);
    }
    if let Some(pem) = &site.ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).expect("certificates in the CA file");
        builder = builder.tls_certs_only(certificates);
    } else if site.fingerprint.is_some() {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build().expect("a client")
}

/// An operator with a browser of their own.
pub struct Browser {
    http: reqwest::Client,
    base: String,
    totp: Option<String>,
}

impl Browser {
    pub fn new(site: &Site) -> Self {
        Self {
            http: http_client(site, Some("a browser's browser")),
            base: site.url.trim_end_matches('/').to_owned(),
            totp: site.totp.clone(),
        }
    }

    /// The superadmin.
    pub async fn superadmin(site: &Site) -> Self {
        let browser = Self::new(site);
        assert!(browser.signs_in(&site.user, &site.password).await, "the account cannot sign in");
        browser
    }

    async fn page(request: reqwest::RequestBuilder) -> Page {
        let response = request.send().await.expect("an answer");
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let location = location.unwrap_or_default().to_owned();
        Page { status: response.status().as_u16(), location, body: response.text().await.expect("a page") }
    }

    pub async fn get(&self, path: &str) -> Page {
        Self::page(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Gets a page for its form token and posts fields to another with it.
    async fn post(&self, form: &str, target: &str, fields: &[(&str, &str)]) -> Page {
        let (name, value) = self.get(form).await.token();
        let mut fields = fields.to_vec();
        fields.push((&name, &value));
        let page = Self::page(self.http.post(format!("{}{target}", self.base)).form(&fields)).await;
        assert!(page.status < 400, "{target}: status {}", page.status);
        page
    }

    /// Signs in over the login page, as `user@domain`; proved by the page after it, as some versions answer like a
    /// success and let no one in.
    pub async fn signs_in(&self, user: &str, password: &str) -> bool {
        let form = self.get("/login.php").await;
        if form.is_access_denied() {
            return false;
        }
        let answer = self.answer(&form, &[("username", user), ("password", password)]).await;
        let answer = match &self.totp {
            Some(secret) if answer.asks_for_a_code() => {
                let code = code_of(secret);
                self.answer(&answer, &[("authentication_code", &code)]).await
            }
            _ => answer,
        };
        answer.status == 302 && answer.location == DASHBOARD && self.is_in().await
    }

    /// Answers a form of the sign-in.
    async fn answer(&self, form: &Page, fields: &[(&str, &str)]) -> Page {
        let token = form.token_if_any();
        let mut fields = fields.to_vec();
        fields.extend(token.as_ref().map(|(name, value)| (name.as_str(), value.as_str())));
        Self::page(self.http.post(format!("{}{DASHBOARD}", self.base)).form(&fields)).await
    }

    /// Whether this account is asked for a code after its password.
    pub async fn is_asked_for_a_code(&self, user: &str, password: &str) -> bool {
        let form = self.get("/login.php").await;
        self.answer(&form, &[("username", user), ("password", password)]).await.asks_for_a_code()
    }

    /// Whether the session is still let in.
    pub async fn is_in(&self) -> bool {
        self.get(DASHBOARD).await.is_signed_in()
    }

    /// Domains by id, with their names: all of them, whatever their state.
    pub async fn domains(&self) -> BTreeMap<Uuid, String> {
        self.listed("").await
    }

    async fn listed(&self, search: &str) -> BTreeMap<Uuid, String> {
        let mut found = BTreeMap::new();
        for number in 0.. {
            let path = format!("{LIST}?search={search}&page={number}&order_by=domain_uuid&order=asc");
            let page = self.get(&path).await;
            let (html, total) = (page.html(), page.total());
            let before = found.len();
            found.extend(html.select(&select("tr.list-row")).filter_map(|row| {
                let id = row.select(&select("input[name$='[uuid]']")).next()?.attr("value")?;
                let link = row.select(&select("a[href^='domain_edit.php']")).next()?;
                let name: String = link.text().collect();
                Some((id.parse::<Uuid>().ok()?, name.trim().to_owned()))
            }));
            if found.len() >= total {
                break;
            }
            assert!(found.len() > before, "{} of {total} domains were listed", found.len());
        }
        found
    }

    pub async fn named(&self, name: &str) -> Vec<Uuid> {
        self.listed(name).await.into_iter().filter(|(_, found)| found == name).map(|(id, _)| id).collect()
    }

    /// The one domain with this name.
    pub async fn only(&self, name: &str) -> Uuid {
        let named = self.named(name).await;
        assert_eq!(named.len(), 1, "domains named {name}");
        named[0]
    }

    async fn json(&self, path: &str) -> Vec<Value> {
        let page = self.get(path).await;
        serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{path} gave no JSON list"))
    }

    /// The rows that the server gives of its enabled domains, dates included, by id.
    pub async fn enabled_rows(&self) -> BTreeMap<String, Value> {
        let rows = self.json(JSON).await;
        rows.into_iter()
            .map(|row| (row["domain_uuid"].as_str().unwrap_or_default().to_owned(), row))
            .collect()
    }

    pub async fn is_enabled(&self, domain: Uuid) -> bool {
        self.enabled_rows().await.contains_key(&domain.to_string())
    }

    /// The form of a domain.
    pub async fn domain(&self, domain: Uuid) -> BTreeMap<String, String> {
        self.get(&format!("{EDIT}?id={domain}")).await.fields()
    }

    async fn setting_ids(&self, domain: Uuid) -> BTreeSet<Uuid> {
        let list = self.get(&format!("{SETTINGS}?id={domain}")).await;
        list.html()
            .select(&select("tr.list-row input[name$='[uuid]']"))
            .filter_map(|input| input.attr("value")?.parse().ok())
            .collect()
    }

    /// The settings of a domain: the exact values of each row's form, by id.
    pub async fn settings(&self, domain: Uuid) -> BTreeMap<Uuid, BTreeMap<String, String>> {
        let mut settings = BTreeMap::new();
        for id in self.setting_ids(domain).await {
            let form = self.get(&format!("{SETTING}?domain_uuid={domain}&id={id}")).await;
            settings.insert(id, form.fields());
        }
        settings
    }

    /// The values of one setting's rows that are switched on.
    pub async fn values(&self, domain: Uuid, subcategory: &str) -> Vec<String> {
        let rows = self.settings(domain).await.into_values();
        rows.filter(|row| {
            row["domain_setting_subcategory"] == subcategory && row["domain_setting_enabled"] == "true"
        })
        .map(|row| row["domain_setting_value"].clone())
        .collect()
    }

    /// Users of a domain, as the server lists them.
    pub async fn users(&self, domain: Uuid) -> Vec<Value> {
        let rows = self.json(&format!("{USERS_JSON}?show=all")).await;
        rows.into_iter().filter(|row| row["domain_uuid"] == domain.to_string()).collect()
    }

    /// Everything that the pages say of a domain.
    pub async fn all_of(&self, domain: Uuid) -> String {
        format!(
            "{:#?}\n{:#?}\n{:#?}",
            self.domain(domain).await,
            self.settings(domain).await,
            self.users(domain).await
        )
    }

    pub async fn create_domain(&self, name: &str, enabled: bool, description: &str) -> Uuid {
        let enabled = enabled.to_string();
        let fields =
            [("domain_name", name), ("domain_enabled", &enabled), ("domain_description", description)];
        self.post(EDIT, EDIT, &fields).await;
        let id = self.only(name).await;
        if enabled == "false" && self.is_enabled(id).await {
            // Up to 5.4 a new domain is enabled whatever the form said.
            self.edit_domain(id, &[("domain_enabled", Some("false"))]).await;
        }
        id
    }

    /// Makes a domain under an id of one's own: FusionPBX does not look for the name then.
    pub async fn create_domain_as(&self, id: Uuid, name: &str) {
        let uuid = id.to_string();
        let fields = [
            ("domain_uuid", uuid.as_str()),
            ("domain_name", name),
            ("domain_enabled", "true"),
            ("domain_description", ""),
        ];
        let path = format!("{EDIT}?id={id}");
        self.post(&path, &path, &fields).await;
    }

    /// Changes some fields of a domain and sends the others as they are; `None` leaves one out, which sets it to NULL.
    pub async fn edit_domain(&self, id: Uuid, changes: &[(&str, Option<&str>)]) {
        let mut fields = self.domain(id).await;
        fields.retain(|name, _| name.starts_with("domain_"));
        for (name, value) in changes {
            match value {
                Some(value) => fields.insert((*name).to_owned(), (*value).to_owned()),
                None => fields.remove(*name),
            };
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let path = format!("{EDIT}?id={id}");
        self.post(&path, &path, &fields).await;
    }

    /// Adds a setting, `category.subcategory.type`.
    pub async fn add_setting(
        &self,
        domain: Uuid,
        name: &str,
        value: &str,
        enabled: bool,
        description: &str,
    ) -> Uuid {
        let before = self.setting_ids(domain).await;
        let uuid = domain.to_string();
        let parts: Vec<&str> = name.split('.').collect();
        let enabled = enabled.to_string();
        let fields = [
            ("domain_uuid", uuid.as_str()),
            ("domain_setting_category", parts[0]),
            ("domain_setting_subcategory", parts[1]),
            ("domain_setting_name", parts[2]),
            ("domain_setting_value", value),
            ("domain_setting_order", "020"),
            ("domain_setting_enabled", enabled.as_str()),
            ("domain_setting_description", description),
        ];
        let path = format!("{SETTING}?domain_uuid={domain}");
        self.post(&path, &path, &fields).await;
        let after = self.setting_ids(domain).await;
        let new: Vec<_> = after.difference(&before).collect();
        assert_eq!(new.len(), 1, "the setting {name} was added");
        *new[0]
    }

    /// Makes a user in the group `user`, on the page where an operator makes one.
    pub async fn add_user(&self, domain: Uuid, username: &str, password: &str) {
        self.add_user_in("user", domain, username, password).await;
        let users = self.users(domain).await;
        assert!(
            users.iter().any(|user| user["username"] == username),
            "the user {username} was made: {users:?}"
        );
    }

    /// The same in another group, without looking whether it was made.
    pub async fn add_user_in(&self, group: &str, domain: Uuid, username: &str, password: &str) {
        let form = self.get(USER).await;
        self.send_user(&form, group, domain, username, password).await;
    }

    /// Makes many users. Each form is fetched again: what FusionPBX said of the last user waits for the next page, and
    /// as long as it waits the form is refused (`message::count` in user_edit.php).
    pub async fn add_many_users(&self, domain: Uuid, names: impl Iterator<Item = String>, password: &str) {
        for name in names {
            let form = self.get(USER).await;
            self.send_user(&form, "user", domain, &name, password).await;
        }
    }

    /// The same where the page may not be shown any more: then nothing is sent.
    pub async fn try_to_add_user(&self, group: &str, domain: Uuid, username: &str, password: &str) {
        let form = self.get(USER).await;
        if form.token_if_any().is_some() && form.body.contains("group_uuid_name") {
            self.send_user(&form, group, domain, username, password).await;
        }
    }

    async fn send_user(&self, form: &Page, group: &str, domain: Uuid, username: &str, password: &str) {
        let group = form
            .html()
            .select(&select("select[name='group_uuid_name'] option"))
            .filter_map(|option| option.attr("value").map(str::to_owned))
            .find(|value| value.ends_with(&format!("|{group}")))
            .unwrap_or_else(|| panic!("no group {group} on the page, status {}", form.status));
        let uuid = domain.to_string();
        let email = format!("{username}@example.com");
        let (token, value) = form.token();
        let fields = [
            ("username", username),
            ("password", password),
            ("password_confirm", password),
            ("user_email", email.as_str()),
            ("group_uuid_name", group.as_str()),
            ("domain_uuid", uuid.as_str()),
            ("user_enabled", "true"),
            (token.as_str(), value.as_str()),
        ];
        let page = Self::page(self.http.post(format!("{}{USER}", self.base)).form(&fields)).await;
        assert!(page.status < 400, "{USER}: status {}", page.status);
    }

    /// Whether the list offers to delete.
    pub async fn may_delete(&self) -> bool {
        self.get(LIST).await.body.contains("id='btn_delete'")
    }

    pub async fn delete_domain(&self, id: Uuid) {
        self.delete_domains(&[id]).await;
    }

    /// Deletes them with one request, as an operator does who ticks several.
    pub async fn delete_domains(&self, ids: &[Uuid]) {
        let mut fields = vec![("action".to_owned(), "delete".to_owned())];
        for (at, id) in ids.iter().enumerate() {
            fields.push((format!("domains[{at}][checked]"), "true".to_owned()));
            fields.push((format!("domains[{at}][uuid]"), id.to_string()));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(LIST, LIST, &fields).await;
    }
}
