//! A relay between tenantd and a real server: it sees what passes, and can lose every session as a server does whose
//! session store was emptied.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use tenantd::config::TlsTrust;

use super::browser::http_client;
use super::common::harness::instance;
use super::servers::Site;
use super::site::Live;

/// Headers of an answer that tenantd reads.
const PASSED_ON: [HeaderName; 3] = [header::LOCATION, header::CONTENT_TYPE, header::DATE];

#[derive(Default)]
struct Seen {
    passwords: usize,
    codes: usize,
    cookies: BTreeSet<String>,
    lost: BTreeSet<String>,
    bodies: Vec<String>,
}

struct Inner {
    http: reqwest::Client,
    base: String,
    seen: Mutex<Seen>,
}

pub struct Relay {
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

impl Inner {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    /// Puts a relay between the scenario's tenantd and `hq`.
    pub async fn before_hq(live: &mut Live) -> Self {
        let hq = instance("hq");
        let relay = Self::start(&live.sites[&hq]).await;
        let config = live.harness.config.instances.get_mut(&hq).expect("hq is configured");
        config.url = relay.1.parse().expect("a URL");
        config.tls = TlsTrust::SystemRoots;
        live.harness.connect();
        relay.0
    }

    async fn start(site: &Site) -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Arc::new(Inner {
            http: http_client(site, None),
            base: site.url.trim_end_matches('/').to_owned(),
            seen: Mutex::default(),
        });
        let router = axum::Router::new().fallback(pass_on).with_state(inner.clone());
        let task =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("the relay serves") });
        (Self { inner, task }, url)
    }

    /// Passwords that were sent.
    pub fn passwords(&self) -> usize {
        self.inner.seen().passwords
    }

    /// Codes that were sent.
    pub fn codes(&self) -> usize {
        self.inner.seen().codes
    }

    /// Different session cookies that were sent.
    pub fn sessions(&self) -> usize {
        self.inner.seen().cookies.len()
    }

    /// Every session that was seen so far is over.
    pub fn lose_sessions(&self) {
        let mut seen = self.inner.seen();
        let cookies = std::mem::take(&mut seen.cookies);
        seen.lost.extend(cookies);
    }

    /// What the server answered, body by body.
    pub fn bodies(&self) -> Vec<String> {
        self.inner.seen().bodies.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a form");
    let form = String::from_utf8_lossy(&body);
    let url = format!("{}{}", inner.base, head.uri);
    let mut sent = inner.http.request(head.method, url);
    for name in [header::USER_AGENT, header::CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            sent = sent.header(name, value);
        }
    }
    {
        let mut seen = inner.seen();
        seen.passwords += usize::from(form.contains("&password=") || form.starts_with("password="));
        seen.codes += usize::from(form.contains("authentication_code="));
        if let Some(cookie) = head.headers.get(header::COOKIE).and_then(|value| value.to_str().ok())
            && !seen.lost.contains(cookie)
        {
            seen.cookies.insert(cookie.to_owned());
            sent = sent.header(header::COOKIE, cookie);
        }
    }
    let answer = sent.body(body.to_vec()).send().await.expect("an answer");
    let mut response = Response::builder().status(answer.status());
    for name in PASSED_ON {
        if let Some(value) = answer.headers().get(&name) {
            response = response.header(name, value);
        }
    }
    for cookie in answer.headers().get_all(header::SET_COOKIE) {
        // Here is no TLS, so a cookie that wants it would be kept back.
        let text = cookie.to_str().unwrap_or_default().to_owned();
        let plain: Vec<&str> =
            text.split(';').filter(|part| !part.trim().eq_ignore_ascii_case("secure")).collect();
        let plain = HeaderValue::from_str(&plain.join(";")).expect("a cookie");
        response = response.header(header::SET_COOKIE, plain);
    }
    let body = answer.bytes().await.expect("a page");
    inner.seen().bodies.push(String::from_utf8_lossy(&body).into_owned());
    response.body(Body::from(body)).expect("a response")
}
