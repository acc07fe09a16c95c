//! From a connection to a page and back: sessions in turn, latency, faults, journal.

use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use futures_util::stream;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore};
use tokio_util::sync::CancellationToken;

use super::exchange::{Answer, Call};
use super::fault::{FaultKind, Strike};
use super::latency::Latency;
use super::net::Connections;
use super::pages;
use super::proxy;
use super::state::PbxState;

/// What all requests of one server share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Arc<Mutex<PbxState>>,
    started: Instant,
    latency: Latency,
    workers: Option<Semaphore>,
    turns: Mutex<HashMap<String, Arc<Turn<()>>>>,
    pub connections: Connections,
    pub stopped: CancellationToken,
}

/// The longest form that is read; a real server has a limit too.
const LONGEST_BODY: usize = 4 << 20;

impl Shared {
    pub fn new(state: Arc<Mutex<PbxState>>, started: Instant, latency: Latency) -> Shared {
        let workers = (latency.workers > 0).then(|| Semaphore::new(latency.workers));
        Shared {
            state,
            started,
            latency,
            workers,
            turns: Mutex::default(),
            connections: Connections::default(),
            stopped: CancellationToken::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, PbxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// PHP works on one request of a session at a time.
    async fn turn(&self, session: Option<&str>) -> Option<OwnedMutexGuard<()>> {
        let turn = self
            .turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(session?.to_owned())
            .or_default()
            .clone();
        Some(turn.lock_owned().await)
    }
}

/// The one handler: every path comes here.
pub(super) async fn entry(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: axum::extract::Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let client = shared.state().client.unwrap_or(peer.ip());
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let raw_query = parts.uri.query().unwrap_or_default();
    let call = Call {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        raw_query: raw_query.to_owned(),
        query: url::form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect(),
        form: url::form_urlencoded::parse(&body).into_owned().collect(),
        cookie: session_cookie(&parts.headers),
        user_agent: text(header::USER_AGENT).unwrap_or_default().to_owned(),
        // A bracketed IPv6 address is cut at its first colon, as PHP's `explode` does.
        host: host.split(':').next().unwrap_or_default().to_owned(),
        client,
    };
    // The page continues working when the client hangs up.
    let work = tokio::spawn({
        let shared = shared.clone();
        async move { shared.clone().stopped.run_until_cancelled(serve(shared, call, peer)).await }
    });
    match work.await {
        Ok(Some(response)) => response,
        _ => plain(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Takes a request off the journal's count of those under way, also when it is never answered.
struct UnderWay {
    shared: Arc<Shared>,
    session: Option<String>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.state().journal.leave(self.session.as_deref());
    }
}

async fn serve(shared: Arc<Shared>, call: Call, peer: SocketAddr) -> Response<Body> {
    let arrived = Instant::now();
    let (seq, strike) = {
        let mut state = shared.state();
        let seq = state.journal.arrive(call.entry(shared.started.elapsed()));
        let strike = state.faults.strike(&call);
        if let Some(entry) = state.journal.entry(seq) {
            entry.faults = strike.kinds.iter().map(FaultKind::name).collect();
        }
        (seq, strike)
    };
    let under_way = UnderWay { shared: shared.clone(), session: call.cookie.clone() };
    if strike.has(&FaultKind::ConnectionReset) {
        return reset(&shared, peer);
    }
    if strike.has(&FaultKind::HangForever) {
        return pending().await;
    }
    let turn = shared.turn(call.cookie.as_deref()).await;
    work_time(&shared, &call, &strike).await;
    let answer = {
        let mut state = shared.state();
        let mut answer = canned(&strike, &state).unwrap_or_else(|| pages::answer(&mut state, &call, &strike));
        if let Some(code) = strike.find(|kind| match kind {
            FaultKind::CommitThenStatus(code) => Some(*code),
            _ => None,
        }) {
            answer = Answer { status: code, body: "<h1>Server Error</h1>".to_owned(), ..Answer::default() };
        }
        if strike.has(&FaultKind::Unbuffered) && answer.location.is_some() {
            answer = Answer { set_cookie: answer.set_cookie, ..Answer::page("\n") };
        }
        let lost =
            answer.died || strike.has(&FaultKind::CommitThenReset) || strike.has(&FaultKind::CommitThenHang);
        if let Some(entry) = state.journal.entry(seq)
            && !lost
        {
            entry.status = Some(answer.status);
            entry.took = Some(arrived.elapsed());
        }
        answer
    };
    drop(turn);
    if answer.died || strike.has(&FaultKind::CommitThenReset) {
        return reset(&shared, peer);
    }
    if strike.has(&FaultKind::CommitThenHang) {
        return pending().await;
    }
    drop(under_way);
    let (clock, hardened) = {
        let state = shared.state();
        (state.now(), state.profile.hardens_answers())
    };
    response(answer, &strike, clock, hardened)
}

async fn work_time(shared: &Shared, call: &Call, strike: &Strike) {
    let extra = strike.find(|kind| match kind {
        FaultKind::Latency(time) => Some(*time),
        _ => None,
    });
    if let Some(extra) = extra {
        tokio::time::sleep(extra).await;
    }
    let time = shared.latency.of(call, |uuid| shared.state().db.domain(uuid).is_some());
    if time.is_zero() {
        return;
    }
    let _worker = match &shared.workers {
        Some(workers) => workers.acquire().await.ok(),
        None => None,
    };
    tokio::time::sleep(time).await;
}

/// The answer of a fault that replaces the work.
fn canned(strike: &Strike, state: &PbxState) -> Option<Answer> {
    strike.find(|kind| match kind {
        FaultKind::Status { code, retry_after } => Some(Answer {
            status: *code,
            retry_after: *retry_after,
            body: format!("<html><body><h1>{code}</h1></body></html>"),
            ..Answer::default()
        }),
        FaultKind::LoginPageWith200 => Some(Answer::page(pages::stray_sign_in_page(state.language))),
        FaultKind::HtmlForJson => {
            Some(Answer::page("<!DOCTYPE html><html><body><p>Under maintenance</p></body></html>"))
        }
        FaultKind::ProxyPage(code) => Some(proxy::proxy_page(*code)),
        FaultKind::FirewallPage(code) => Some(proxy::firewall_page(*code)),
        FaultKind::TermsPage => Some(Answer::page(proxy::terms_page())),
        FaultKind::NewPasswordPage => Some(Answer::page(proxy::new_password_page())),
        FaultKind::EmptyJsonArray => Some(Answer::page("[]")),
        FaultKind::Redirect302(location) => Some(Answer::to(location.clone())),
        FaultKind::AccessDenied => Some(Answer::access_denied()),
        FaultKind::EchoPassword => Some(Answer {
            status: 500,
            body: pages::error_page_with_secret(&state.last_password),
            ..Answer::default()
        }),
        _ => None,
    })
}

fn reset(shared: &Shared, peer: SocketAddr) -> Response<Body> {
    shared.connections.cut(peer);
    plain(StatusCode::SERVICE_UNAVAILABLE)
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn session_cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix("PHPSESSID=").map(str::to_owned))
        .filter(|id| !id.is_empty())
}

fn response(
    answer: Answer,
    strike: &Strike,
    clock: chrono::DateTime<chrono::Utc>,
    hardened: bool,
) -> Response<Body> {
    let Answer { status, location, set_cookie, retry_after, body, died: _ } = answer;
    let mut response = Response::new(body_of(body, strike));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::SERVER, "nginx/1.22.1"),
        (header::CONTENT_TYPE, "text/html; charset=UTF-8"),
        (header::EXPIRES, "Thu, 19 Nov 1981 08:52:00 GMT"),
        (header::CACHE_CONTROL, "no-store, no-cache, must-revalidate"),
        (header::PRAGMA, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if hardened {
        for (name, value) in [
            (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
            (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'self';"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    let date = clock.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (name, value) in [
        (header::DATE, Some(date)),
        (header::LOCATION, location),
        (header::SET_COOKIE, set_cookie),
        (header::RETRY_AFTER, retry_after.map(|seconds| seconds.to_string())),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

fn body_of(body: String, strike: &Strike) -> Body {
    let mut bytes = body.into_bytes();
    if strike.has(&FaultKind::WrongCharset) {
        bytes = String::from_utf8_lossy(&bytes).encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
    }
    if strike.has(&FaultKind::TruncatedJson) {
        bytes.truncate(bytes.len() / 2);
    }
    if strike.has(&FaultKind::TruncatedBody) {
        bytes.truncate(bytes.len() / 2);
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        return Body::from_stream(stream::iter([Ok(Bytes::from(bytes)), Err(broken)]));
    }
    let pause = strike.find(|kind| match kind {
        FaultKind::SlowLoris(pause) => Some(*pause),
        _ => None,
    });
    if let Some(pause) = pause {
        return Body::from_stream(stream::unfold(bytes.into_iter(), move |mut rest| async move {
            tokio::time::sleep(pause).await;
            let byte = rest.next()?;
            Some((Ok::<_, std::io::Error>(Bytes::copy_from_slice(&[byte])), rest))
        }));
    }
    Body::from(bytes)
}
