//! The cookies of one session with one server.
//!
//! `cookie_store` decides by domain, path and date, none of which matters here. It hides
//! the two things that do: a sign-in must start without any cookie, and a `Secure` cookie that plain HTTP holds back
//! must be noticed.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::header::HeaderValue;

/// Cookies by name. `Debug` shows the names only.
#[derive(Default)]
pub(super) struct Cookies {
    by_name: BTreeMap<String, Cookie>,
}

struct Cookie {
    value: String,
    secure: bool,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl Cookies {
    pub fn clear(&mut self) {
        self.by_name.clear();
    }

    /// Stores or removes the cookie of a `Set-Cookie` header.
    pub fn store(&mut self, header: &str) {
        let mut parts = header.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        let mut secure = false;
        let mut expired = value == "deleted";
        for attribute in parts {
            let (key, setting) = attribute.split_once('=').unwrap_or((attribute, ""));
            let key = key.trim();
            secure |= key.eq_ignore_ascii_case("secure");
            expired |= key.eq_ignore_ascii_case("max-age")
                && setting.trim().parse::<i64>().is_ok_and(|seconds| seconds <= 0);
        }
        if expired {
            self.by_name.remove(name);
        } else if !name.is_empty() {
            self.by_name.insert(name.to_owned(), Cookie { value: value.to_owned(), secure });
        }
    }

    /// The `Cookie` header of a request; `encrypted`: the request goes over TLS.
    pub fn header(&self, encrypted: bool) -> Option<HeaderValue> {
        let pairs: Vec<_> = self
            .by_name
            .iter()
            .filter(|(_, cookie)| encrypted || !cookie.secure)
            .map(|(name, cookie)| format!("{name}={}", cookie.value))
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let mut header = HeaderValue::from_str(&pairs.join("; ")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Whether a cookie may not be sent over plain HTTP.
    pub fn has_secure(&self) -> bool {
        self.by_name.values().any(|cookie| cookie.secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(cookies: &Cookies, encrypted: bool) -> Option<String> {
        cookies.header(encrypted).map(|header| header.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_secure_cookie_is_not_sent_over_plain_http() {
        let mut cookies = Cookies::default();
        cookies.store("PHPSESSID=abc; path=/; secure; HttpOnly; SameSite=Lax");
        assert_eq!(sent(&cookies, true).as_deref(), Some("PHPSESSID=abc"));
        assert_eq!(sent(&cookies, false), None);
        assert!(cookies.has_secure());
    }

    #[test]
    fn a_newer_value_replaces_an_older_one_and_an_expired_cookie_is_removed() {
        let mut cookies = Cookies::default();
        cookies.store("PHPSESSID=abc; path=/");
        cookies.store("other=1");
        cookies.store("PHPSESSID=def; path=/");
        assert_eq!(sent(&cookies, false).as_deref(), Some("PHPSESSID=def; other=1"));
        cookies.store("other=; Max-Age=0");
        assert_eq!(sent(&cookies, false).as_deref(), Some("PHPSESSID=def"));
        cookies.store("nonsense");
        cookies.clear();
        assert_eq!(sent(&cookies, true), None);
    }

    #[test]
    fn debug_does_not_show_the_value_of_a_cookie() {
        let mut cookies = Cookies::default();
        cookies.store("PHPSESSID=canary; secure");
        assert!(!format!("{cookies:?}").contains("canary"));
    }
}
