//! Single HTTP requests to one server, over `reqwest`.
//!
//! What `reqwest` (or `tower-http`) could do by itself is switched off: it must follow no redirect, keep no cookie and
//! repeat nothing, because each of these decides whether a change was carried out.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{
    CONTENT_TYPE, COOKIE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE,
};
use reqwest::{Body, Client, Method, Response, StatusCode};
use url::{Host, Url, form_urlencoded};

use super::PbxErrorKind;
use super::write_fence::{FencedBody, Superseded};
use super::{tls, tls_errors};
use crate::config::InstanceConfig;

/// FusionPBX ends a session whose User-Agent changes, so all requests have the same one.
const USER_AGENT: &str = concat!("tenantd/", env!("CARGO_PKG_VERSION"));

/// A list of ten thousand rows is some 30 MB of HTML.
pub(super) const LIST_BYTES: usize = 64 << 20;
/// A form is some 100 kB.
pub(super) const FORM_BYTES: usize = 8 << 20;

/// Sends single requests to one server. It follows no redirect, keeps no cookie and repeats nothing.
pub(super) struct Transport {
    client: Client,
    base: Url,
    timeout: Duration,
}

/// One request.
pub(super) struct Request<'a> {
    pub page: &'static str,
    pub query: &'a [(&'static str, String)],
    /// The fields of a form, which make the request a POST.
    pub form: Option<&'a [(String, String)]>,
    pub cookies: Option<HeaderValue>,
    /// The greatest length of the answer, in bytes.
    pub limit: usize,
}

/// An answer with any status. It has no `Debug`: its text may hold secrets.
pub(super) struct Answer {
    pub status: u16,
    /// The target of a redirect, as an absolute address.
    pub location: Option<Url>,
    pub cookies: Vec<String>,
    pub retry_after: Option<Duration>,
    /// By how much the server's clock is ahead of this machine's, if the server sent its time.
    pub clock_skew: Option<TimeDelta>,
    /// The body; empty unless the status is 200.
    pub text: String,
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    pub kind: PbxErrorKind,
    /// Whether the server may have received the request.
    pub maybe_received: bool,
    pub timed_out: bool,
}

impl NoAnswer {
    /// A request that was not sent.
    pub fn not_sent(kind: PbxErrorKind) -> Self {
        Self { kind, maybe_received: false, timed_out: false }
    }
}

impl Transport {
    pub fn new(config: &InstanceConfig) -> Result<Self, PbxErrorKind> {
        let setup = |detail: String| PbxErrorKind::Setup { detail };
        match config.url.scheme() {
            "https" => {}
            "http" if config.allow_plaintext || is_loopback(&config.url) => {}
            "http" => {
                return Err(setup(format!(
                    "the `url` of {} is plain http://, so anybody on the way could read the password. Use https://, or \
                     set `allow_plaintext: true`",
                    config.key
                )));
            }
            _ => {
                return Err(setup(format!(
                    "the `url` of {} must begin with https://, or with http://",
                    config.key
                )));
            }
        }
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(10)))
            // A stock nginx closes an idle connection after 65 s; a POST must not meet one that is just closing.
            .pool_idle_timeout(Duration::from_secs(20))
            .tls_backend_preconfigured(tls::client_config(&config.tls)?)
            .build()
            .map_err(|error| setup(innermost(&error)))?;
        Ok(Self { client, base: config.url.clone(), timeout: config.timeout })
    }

    pub fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    fn url(&self, page: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{page}", self.base.path().trim_end_matches('/')));
        url.set_query(None);
        url.set_fragment(None);
        url
    }

    pub async fn send(&self, request: Request<'_>) -> Result<Answer, NoAnswer> {
        let Request { page, query, form, cookies, limit } = request;
        let mut url = self.url(page);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(key, value)| (*key, value.as_str())));
        }
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let mut builder = self.client.request(method, url.clone());
        if let Some(form) = form {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            builder = builder
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::wrap(FencedBody::new(body)));
        }
        if let Some(cookies) = cookies {
            builder = builder.header(COOKIE, cookies);
        }
        let sent_at = Utc::now();
        let response = builder.send().await.map_err(|error| self.no_answer(error))?;
        let status = response.status();
        let headers = response.headers();
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let now = Utc::now();
        let mut answer = Answer {
            status: status.as_u16(),
            location: header(LOCATION).and_then(|location| url.join(location).ok()),
            cookies: headers
                .get_all(SET_COOKIE)
                .iter()
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect(),
            retry_after: header(RETRY_AFTER).and_then(|text| retry_after(text, now)),
            clock_skew: header(DATE)
                .and_then(|text| DateTime::parse_from_rfc2822(text).ok())
                // The server wrote its time between the request and the answer.
                .map(|server| server.to_utc() - (sent_at + (now - sent_at) / 2)),
            text: String::new(),
        };
        // The body of a redirect is of no use, and that of a failure may repeat what was sent.
        if status == StatusCode::OK {
            answer.text = self.text(response, limit).await?;
        }
        Ok(answer)
    }

    async fn text(&self, mut response: Response, limit: usize) -> Result<String, NoAnswer> {
        let unusable = |kind| NoAnswer { kind, maybe_received: true, timed_out: false };
        let too_long = || {
            unusable(PbxErrorKind::UnexpectedPage {
                expected: "an answer of the usual size",
                found: format!("more than {} MiB", limit >> 20),
            })
        };
        let charset = charset(response.headers());
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| NoAnswer { maybe_received: true, ..self.no_answer(error) })?
        {
            if body.len() + chunk.len() > limit {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        let other_charset = charset.filter(|charset| !charset.eq_ignore_ascii_case("utf-8"));
        if let Some(charset) = other_charset.filter(|_| !body.is_ascii()) {
            let charset: String = charset.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
            return Err(unusable(PbxErrorKind::UnexpectedPage {
                expected: "text in UTF-8",
                found: format!("text in {charset}"),
            }));
        }
        String::from_utf8(body).map_err(|_| {
            unusable(PbxErrorKind::UnexpectedPage {
                expected: "text in UTF-8",
                found: "bytes that are not UTF-8".to_owned(),
            })
        })
    }

    fn no_answer(&self, error: reqwest::Error) -> NoAnswer {
        let maybe_received = !(error.is_connect() || error.is_builder());
        if is_superseded(&error) {
            return NoAnswer::not_sent(PbxErrorKind::Superseded);
        }
        let timed_out = error.is_timeout();
        let kind = if let Some(detail) = untrusted(&error) {
            PbxErrorKind::Certificate { detail }
        } else if timed_out {
            let detail = if maybe_received {
                format!("no answer within {} s", self.timeout.as_secs_f32().round())
            } else {
                "the connection took too long".to_owned()
            };
            PbxErrorKind::Unreachable { detail }
        } else {
            PbxErrorKind::Unreachable { detail: innermost(&error) }
        };
        NoAnswer { kind, maybe_received, timed_out }
    }
}

fn is_superseded(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Superseded>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn charset(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    kind.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

/// An error and its causes. The error inside an `io::Error` is not its source and is included as well.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn untrusted(error: &reqwest::Error) -> Option<String> {
    chain(error).find_map(|error| match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(tls_errors::explain_certificate(why)),
        _ => None,
    })
}

/// The text of the innermost error. The outer ones add only the address.
fn innermost(error: &reqwest::Error) -> String {
    if let Some(error) = chain(error).find_map(|error| error.downcast_ref::<rustls::Error>()) {
        return tls_errors::explain_handshake(error);
    }
    let text = chain(error).last().map(ToString::to_string).unwrap_or_default();
    match text.as_str() {
        "end of file before message length reached" => "the answer broke off".to_owned(),
        // The text of rustls points to its manual.
        _ if text.starts_with("peer closed connection without sending TLS") => {
            "the connection broke off".to_owned()
        }
        _ => in_plain_words(&text),
    }
}

/// The text of an error of the operating system without its number, as a part of a sentence.
fn in_plain_words(text: &str) -> String {
    let text = text.split_once(" (os error ").map_or(text, |(text, _)| text);
    if let Some(reason) = text.strip_prefix("failed to lookup address information: ") {
        return format!("its host name cannot be resolved ({})", in_plain_words(reason));
    }
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc2822("Mon, 23 Nov 2026 16:00:00 GMT").unwrap().to_utc();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 16:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 15:01:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn an_error_of_the_system_has_no_number_and_no_capital() {
        assert_eq!(in_plain_words("Connection refused (os error 111)"), "connection refused");
        assert_eq!(
            in_plain_words("failed to lookup address information: Name or service not known"),
            "its host name cannot be resolved (name or service not known)"
        );
        assert_eq!(in_plain_words(""), "");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let is = |url: &str| is_loopback(&url.parse().unwrap());
        assert!(is("http://127.0.0.1:8080"));
        assert!(is("http://[::1]/"));
        assert!(is("http://localhost/"));
        assert!(is("http://pbx-a.localhost/"));
        assert!(!is("http://pbx.example.com/"));
        assert!(!is("http://192.0.2.1/"));
        assert!(!is("http://localhost.example.com/"));
    }
}
