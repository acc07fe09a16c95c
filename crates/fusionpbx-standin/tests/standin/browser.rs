//! An operator's browser: keeps cookies, follows no redirect, posts forms with their tokens.

use fusionpbx_standin::{PbxProfile, StandIn, StandInOptions};
use reqwest::redirect::Policy;
use scraper::{ElementRef, Html, Selector};
use uuid::Uuid;

pub const EDIT: &str = "/core/domains/domain_edit.php";
pub const LIST: &str = "/core/domains/domains.php";
pub const JSON: &str = "/core/domains/domain_json.php";
pub const SETTINGS: &str = "/core/domain_settings/domain_settings.php";
pub const SETTING: &str = "/core/domain_settings/domain_setting_edit.php";
pub const USERS: &str = "/core/users/users.php";
pub const USERS_JSON: &str = "/core/users/user_json.php";
pub const USER: &str = "/core/users/user_edit.php";

/// An answer, read to its end.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub location: Option<String>,
    pub cookie: Option<String>,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub body: String,
}

impl Seen {
    pub fn is_login_form(&self) -> bool {
        self.status == 200 && self.body.contains("name=\"password\"") && self.body.contains("btn_login")
    }

    pub fn html(&self) -> Html {
        Html::parse_document(&self.body)
    }

    /// The text of the first element that matches.
    pub fn text(&self, selector: &str) -> String {
        let html = self.html();
        html.select(&select(selector)).next().map(text_of).unwrap_or_default()
    }

    /// The texts of all elements that match.
    pub fn texts(&self, selector: &str) -> Vec<String> {
        self.html().select(&select(selector)).map(text_of).collect()
    }

    /// An attribute of all elements that match.
    pub fn attributes(&self, selector: &str, name: &str) -> Vec<String> {
        let html = self.html();
        html.select(&select(selector)).filter_map(|found| found.attr(name)).map(str::to_owned).collect()
    }

    /// An attribute of the first element that matches.
    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        self.attributes(selector, name).into_iter().next()
    }

    /// The form token: a hidden input whose name is 64 hexadecimal digits.
    pub fn token(&self) -> (String, String) {
        let mut tokens = self.tokens();
        assert_eq!(tokens.len(), 1, "one token a page");
        tokens.remove(0)
    }

    /// The tokens of the page; a sign-in form of a release has none.
    pub fn tokens(&self) -> Vec<(String, String)> {
        let html = self.html();
        html.select(&select("form input[type=hidden]"))
            .filter_map(|input| Some((input.attr("name")?.to_owned(), input.attr("value")?.to_owned())))
            .filter(|(name, _)| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .collect()
    }

    /// The texts that the page shows as messages.
    pub fn messages(&self) -> Vec<(String, String)> {
        self.body
            .split("display_message('")
            .skip(1)
            .filter_map(|rest| {
                let (text, rest) = rest.split_once("', '")?;
                Some((text.to_owned(), rest.split_once('\'')?.0.to_owned()))
            })
            .collect()
    }
}

fn text_of(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().trim().to_owned()
}

fn select(selector: &str) -> Selector {
    Selector::parse(selector).expect("a selector")
}

#[derive(Debug, Clone)]
pub struct Browser {
    http: reqwest::Client,
    base: String,
}

impl Browser {
    pub fn new(server: &StandIn) -> Browser {
        Browser::with_agent(server, "browser/1")
    }

    pub fn with_agent(server: &StandIn, agent: &str) -> Browser {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder =
            reqwest::Client::builder().redirect(Policy::none()).cookie_store(true).user_agent(agent);
        if let Some(pem) = server.certificate_pem() {
            let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
            builder = builder.tls_certs_only([certificate]);
        }
        Browser { http: builder.build().expect("a client"), base: server.url().to_owned() }
    }

    /// A browser that is signed in as the superadmin.
    pub async fn signed_in(server: &StandIn) -> Browser {
        let browser = Browser::new(server);
        let StandInOptions { username, password, .. } = StandInOptions::default();
        let answer = browser.sign_in(&username, &password).await;
        assert_eq!(answer.location.as_deref(), Some("/core/dashboard/"));
        browser
    }

    pub async fn try_get(&self, path: &str) -> reqwest::Result<Seen> {
        seen(self.http.get(format!("{}{path}", self.base)).send().await?).await
    }

    pub async fn get(&self, path: &str) -> Seen {
        self.try_get(path).await.expect("an answer")
    }

    pub async fn get_with_cookie(&self, path: &str, cookie: &str) -> Seen {
        let request = self.http.get(format!("{}{path}", self.base)).header("cookie", cookie);
        seen(request.send().await.expect("an answer")).await.expect("a body")
    }

    pub async fn try_post(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::Result<Seen> {
        seen(self.http.post(format!("{}{path}", self.base)).form(fields).send().await?).await
    }

    /// Posts exactly these fields.
    pub async fn post_bare(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        self.try_post(path, fields).await.expect("an answer")
    }

    /// Gets the page for its token and posts the fields with it.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let (name, value) = self.get(path).await.token();
        let mut fields = fields.to_vec();
        fields.push((&name, &value));
        self.post_bare(path, &fields).await
    }

    pub async fn sign_in(&self, username: &str, password: &str) -> Seen {
        let token = self.get("/login.php").await.tokens();
        let mut fields = vec![("username", username), ("password", password)];
        fields.extend(token.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.post_bare("/core/dashboard/", &fields).await
    }

    /// Answers a page of the sign-in that asks for the code of a second factor.
    pub async fn enter_code(&self, page: &Seen, code: &str) -> Seen {
        let token = page.tokens();
        let mut fields = vec![("authentication_code", code)];
        fields.extend(token.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.post_bare("/core/dashboard/", &fields).await
    }

    /// Changes a domain, with every field as its form has it.
    pub async fn save_domain(&self, uuid: Uuid, name: &str, enabled: &str, description: &str) -> Seen {
        let id = uuid.to_string();
        let fields = [
            ("domain_uuid", id.as_str()),
            ("domain_name", name),
            ("domain_enabled", enabled),
            ("domain_description", description),
        ];
        self.post(&format!("{EDIT}?id={uuid}"), &fields).await
    }

    /// Makes a domain.
    pub async fn create_domain(&self, name: &str) -> Seen {
        let fields = [("domain_name", name), ("domain_enabled", "true"), ("domain_description", "")];
        self.post(EDIT, &fields).await
    }

    /// Adds a setting, or changes the one with this uuid.
    pub async fn save_setting(&self, domain: Uuid, setting: Option<Uuid>, key: [&str; 4]) -> Seen {
        let [category, subcategory, name, value] = key;
        let id = setting.map(|uuid| format!("&id={uuid}")).unwrap_or_default();
        let uuid = setting.map(|uuid| uuid.to_string());
        let mut fields = vec![
            ("domain_setting_category", category),
            ("domain_setting_subcategory", subcategory),
            ("domain_setting_name", name),
            ("domain_setting_value", value),
            ("domain_setting_order", "10"),
            ("domain_setting_enabled", "true"),
            ("domain_setting_description", ""),
        ];
        if let Some(uuid) = &uuid {
            fields.push(("domain_setting_uuid", uuid));
        }
        self.post(&format!("{SETTING}?domain_uuid={domain}{id}"), &fields).await
    }

    /// Does something to the ticked rows of a list.
    pub async fn act(
        &self,
        path: &str,
        rows: &str,
        action: &str,
        uuids: &[Uuid],
        more: &[(&str, &str)],
    ) -> Seen {
        let mut owned = vec![("action".to_owned(), action.to_owned())];
        for (index, uuid) in uuids.iter().enumerate() {
            owned.push((format!("{rows}[{index}][checked]"), "true".to_owned()));
            owned.push((format!("{rows}[{index}][uuid]"), uuid.to_string()));
        }
        let mut fields: Vec<_> = owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.extend(more);
        self.post(path, &fields).await
    }
}

async fn seen(response: reqwest::Response) -> reqwest::Result<Seen> {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    Ok(Seen {
        status: response.status().as_u16(),
        location: header("location"),
        cookie: header("set-cookie"),
        content_type: header("content-type").unwrap_or_default(),
        retry_after: header("retry-after"),
        body: response.text().await?,
    })
}

/// A stand-in on plain HTTP.
pub async fn server() -> StandIn {
    StandIn::start(StandInOptions::plain()).await.expect("a server")
}

/// A stand-in on plain HTTP that speaks a version.
pub async fn server_of(profile: PbxProfile) -> StandIn {
    StandIn::start(StandInOptions { profile, ..StandInOptions::plain() }).await.expect("a server")
}

/// A stand-in on plain HTTP whose superadmin may delete domains, and a browser that is signed in.
pub async fn server_and_browser() -> (StandIn, Browser) {
    let server = server().await;
    let browser = Browser::signed_in(&server).await;
    (server, browser)
}
