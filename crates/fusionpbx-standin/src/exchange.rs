//! One request, parsed, and one answer, not yet sent.

use std::net::IpAddr;

use uuid::Uuid;

use super::request_log::{Request, masked};
use super::rules;

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The query as sent.
    pub raw_query: String,
    pub query: Vec<(String, String)>,
    pub form: Vec<(String, String)>,
    /// The `PHPSESSID` cookie.
    pub cookie: Option<String>,
    pub user_agent: String,
    /// The Host header without the port.
    pub host: String,
    pub client: IpAddr,
}

impl Call {
    pub fn is_post(&self) -> bool {
        self.method == "POST"
    }

    /// `$_GET`: the last of several fields with one name.
    pub fn get(&self, name: &str) -> Option<&str> {
        last(&self.query, name)
    }

    /// `$_POST`.
    pub fn post(&self, name: &str) -> Option<&str> {
        last(&self.form, name)
    }

    /// `$_REQUEST`: the form over the query.
    pub fn request(&self, name: &str) -> Option<&str> {
        self.post(name).or_else(|| self.get(name))
    }

    /// A uuid in the query or the form.
    pub fn request_uuid(&self, name: &str) -> Option<Uuid> {
        self.request(name).and_then(rules::uuid)
    }

    /// Whether this is the sign-in form being posted.
    pub fn is_sign_in(&self) -> bool {
        self.is_post() && self.post("username").is_some() && self.post("password").is_some() && {
            self.post("password_confirm").is_none()
        }
    }

    /// The rows of a list form that are checked: `name[n][checked]=true` and `name[n][uuid]`.
    pub fn checked(&self, name: &str) -> Vec<Uuid> {
        let prefix = format!("{name}[");
        let mut rows = Vec::new();
        for (key, value) in &self.form {
            let Some(index) = key.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("][checked]"))
            else {
                continue;
            };
            if value != "true" {
                continue;
            }
            if let Some(uuid) = self.post(&format!("{name}[{index}][uuid]")).and_then(rules::uuid) {
                rows.push(uuid);
            }
        }
        rows
    }

    /// Whether the form has any row of a list, checked or not.
    pub fn has_rows(&self, name: &str) -> bool {
        let prefix = format!("{name}[");
        self.form.iter().any(|(key, _)| key.starts_with(&prefix))
    }

    /// The page number of a list, from 0.
    pub fn page_number(&self) -> usize {
        self.get("page").and_then(|page| page.parse().ok()).unwrap_or(0)
    }

    /// The part of the query that list pages hand on from page to page, with its leading separator.
    pub fn list_query(&self, separator: char) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if self.page_number() > 0 {
            query.append_pair("page", &self.page_number().to_string());
        }
        if let Some(by) = self.get("order_by").filter(|by| !by.is_empty()) {
            query.append_pair("order_by", by);
        }
        if let Some(order) = self.get("order").filter(|order| !order.is_empty()) {
            query.append_pair("order", if order == "desc" { "desc" } else { "asc" });
        }
        if let Some(search) = self.get("search").filter(|search| !search.is_empty()) {
            query.append_pair("search", search);
        }
        if self.get("show") == Some("all") {
            query.append_pair("show", "all");
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("{separator}{query}") }
    }

    /// The journal's entry for this request.
    pub fn entry(&self, at: std::time::Duration) -> Request {
        let sign_in = self.is_sign_in();
        Request {
            seq: 0,
            at,
            took: None,
            session: self.cookie.clone(),
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.raw_query.clone(),
            form: self.form.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect(),
            status: None,
            sign_in,
            mutating: self.is_post() && !sign_in,
            faults: Vec::new(),
        }
    }
}

fn last<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub status: u16,
    pub location: Option<String>,
    /// A new session id for the client.
    pub set_cookie: Option<String>,
    pub retry_after: Option<u64>,
    pub body: String,
    /// The work stopped half way and nothing is to be sent.
    pub died: bool,
}

impl Answer {
    /// 200 with a page.
    pub fn page(body: impl Into<String>) -> Answer {
        Answer { status: 200, body: body.into(), ..Answer::default() }
    }

    /// 302 without a body.
    pub fn to(location: impl Into<String>) -> Answer {
        Answer { status: 302, location: Some(location.into()), ..Answer::default() }
    }

    /// What a page says to an account without the permission.
    pub fn access_denied() -> Answer {
        Answer::page("access denied")
    }

    pub fn not_found() -> Answer {
        Answer { status: 404, body: "File not found.\n".to_owned(), ..Answer::default() }
    }
}
