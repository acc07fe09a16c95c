use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::page_spec::PageSpec;
use super::retry::RetryPolicy;
use tokio::sync::Mutex;
use tracing::debug;

use super::breaker::Breaker;
use super::error::NotUnderstood;
use super::pages::{self, Instead, Parsed};
use super::rate_limit::Budget;
use super::refusal::Refusal;
use super::session::{Pool, Session};
use super::transport::{Answer, Lost, Request, Transport};
use super::{Credentials, PbxError, PbxErrorKind, write_fence};
use crate::config::InstanceConfig;
use crate::model::{InstanceKey, PbxVersion};

/// A query as it is sent.
pub(super) type Query = Vec<(&'static str, String)>;
/// A form's fields as they are sent.
pub(super) type Form = Vec<(String, String)>;

/// Where a redirect leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// The request was not made in a session that is signed in, and nothing was done.
    SignedOut,
    /// The session was ended while the request was being worked on.
    Ended,
    Elsewhere,
}

/// A server, its sessions, and the rules of talking to it.
pub(super) struct Connection {
    pub instance: InstanceKey,
    pub(super) transport: Transport,
    pub(super) username: String,
    pub(super) credentials: Credentials,
    pub(super) patience: RetryPolicy,
    pub pool: Pool,
    breaker: Breaker,
    budget: Budget,
    /// One sign-in at a time, so that a wrong password is tried once and not once per session.
    pub(super) signing_in: Mutex<()>,
    /// Why no sign-in is tried any more.
    pub(super) refused: std::sync::Mutex<Option<Refusal>>,
    /// How the list of domains says "disabled" in the account's language.
    disabled_word: std::sync::Mutex<Option<String>>,
    /// The server's version, once it was looked for; `None` inside where it could not be read.
    version: std::sync::Mutex<Option<Option<PbxVersion>>>,
}

impl Connection {
    pub fn new(
        config: &InstanceConfig,
        credentials: Credentials,
        patience: RetryPolicy,
    ) -> Result<Self, PbxError> {
        let transport = Transport::new(config)
            .map_err(|kind| PbxError::new(format!("set up the connection to `{}`", config.key), kind))?;
        Ok(Self {
            instance: config.key.clone(),
            transport,
            username: config.username.clone(),
            credentials,
            patience,
            pool: Pool::new(config.sessions),
            breaker: Breaker::default(),
            budget: Budget::new(config.max_requests_per_second),
            signing_in: Mutex::new(()),
            refused: std::sync::Mutex::default(),
            disabled_word: std::sync::Mutex::default(),
            version: std::sync::Mutex::default(),
        })
    }

    /// What is known of the server's version; the outer `None` where no one has looked yet.
    pub fn known_version(&self) -> Option<Option<PbxVersion>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn learn_version(&self, version: Option<PbxVersion>) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
    }

    pub fn disabled_word(&self) -> Option<String> {
        self.disabled_word.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn learn_disabled_word(&self, word: String) {
        *self.disabled_word.lock().unwrap_or_else(PoisonError::into_inner) = Some(word);
    }

    /// Reads a page and parses it. Passing faults are tried again, a page that cannot be parsed included.
    pub async fn read<T>(
        &self,
        operation: &str,
        page: PageSpec,
        query: &Query,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Result<T, PbxError> {
        self.read_answer(operation, page, query, |answer| parse(&answer.text)).await
    }

    /// As [`Self::read`], with the answer's headers.
    pub async fn read_answer<T>(
        &self,
        operation: &str,
        page: PageSpec,
        query: &Query,
        parse: impl Fn(&Answer) -> Parsed<T>,
    ) -> Result<T, PbxError> {
        let mut tries = self.patience.tries(&self.instance);
        loop {
            let result = {
                let mut held = self.pool.take().await;
                self.get(operation, &mut held.session, page, query).await
            };
            let parsed = result.and_then(|answer| {
                parse(&answer).map_err(|kind| {
                    let kind = self.with_version(kind, &answer.text);
                    error(operation, page.path, Some(answer.status), kind)
                })
            });
            match parsed {
                Ok(value) => return Ok(value),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    /// Gets a page in a session, signing in first if need be, and once more if the session turns out to be over.
    pub(super) async fn get(
        &self,
        operation: &str,
        session: &mut Session,
        page: PageSpec,
        query: &Query,
    ) -> Result<Answer, PbxError> {
        let mut fresh = false;
        loop {
            if !session.signed_in {
                self.sign_in(operation, session).await?;
                fresh = true;
            }
            let request = Request { page: page.path, query, form: None, cookies: None, limit: page.limit };
            let answer = self
                .exchange(operation, session, request)
                .await
                .map_err(|lost| error(operation, page.path, None, lost.kind))?;
            let fail = |kind| Err(error(operation, page.path, Some(answer.status), kind));
            let signed_out = match (answer.status, self.redirect(&answer)) {
                (200, _) => match pages::instead(&answer.text) {
                    None => return Ok(answer),
                    Some(Instead::AccessDenied) => {
                        return fail(PbxErrorKind::AccessDenied { permission: Some(page.permission) });
                    }
                    Some(Instead::SignInForm) => true,
                },
                (_, Some(Redirect::SignedOut | Redirect::Ended)) => true,
                (_, Some(Redirect::Elsewhere)) => false,
                (status, None) => return fail(failure(status, answer.retry_after, "the page")),
            };
            if !signed_out {
                return fail(led_elsewhere("the page", &answer));
            }
            if fresh {
                let kind = self.lost_session(session);
                session.forget();
                return fail(kind);
            }
            debug!(instance = %self.instance, session = session.number, "the session is over");
            session.forget();
        }
    }

    /// A page that came whole and is not understood stays so: it is another version's, or another program's. What broke
    /// off may come whole the next time.
    pub(super) fn with_version(&self, kind: PbxErrorKind, text: &str) -> PbxErrorKind {
        match kind {
            PbxErrorKind::UnexpectedPage { expected, found } if pages::is_whole(text) => {
                PbxErrorKind::NotUnderstood(Box::new(NotUnderstood {
                    expected,
                    found,
                    version: self.known_version().flatten(),
                    instance: self.instance.clone(),
                }))
            }
            kind => kind,
        }
    }

    /// A page as anyone who is not signed in gets it.
    #[cfg(test)]
    pub(super) async fn transport_text(&self, page: &'static str) -> String {
        let request = Request { page, query: &Query::new(), form: None, cookies: None, limit: 1 << 20 };
        self.transport.send(request).await.unwrap().text
    }

    pub(super) fn redirect(&self, answer: &Answer) -> Option<Redirect> {
        if !(300..400).contains(&answer.status) {
            return None;
        }
        let path = answer.location.as_ref().map_or("", |location| location.path());
        Some(if path.ends_with("/login.php") || self.is_refusal(answer) {
            Redirect::SignedOut
        } else if path.ends_with("/logout.php") {
            Redirect::Ended
        } else {
            Redirect::Elsewhere
        })
    }

    /// A sign-in that was refused, or a page that wants one, leads to `/?path=…`.
    pub(super) fn is_refusal(&self, answer: &Answer) -> bool {
        answer.location.as_ref().is_some_and(|location| {
            location.query_pairs().any(|(key, _)| key == "path") && location.path().ends_with('/')
        })
    }

    /// Sends one request in a session and takes the cookies of its answer.
    pub(super) async fn exchange(
        &self,
        operation: &str,
        session: &mut Session,
        mut request: Request<'_>,
    ) -> Result<Answer, Lost> {
        let closed = |(retry_in, last)| {
            let kind = PbxErrorKind::CircuitOpen { retry_in, last };
            Lost { kind, perhaps_sent: false, timed_out: false }
        };
        // What is not sent uses up no budget, and what waited for it asks again.
        self.breaker.check().map_err(closed)?;
        self.budget.take().await;
        if request.form.is_some() && !write_fence::is_permitted() {
            return Err(Lost { kind: PbxErrorKind::Superseded, perhaps_sent: false, timed_out: false });
        }
        self.breaker.admit().map_err(closed)?;
        let admitted = Admitted { breaker: &self.breaker, settled: false };
        request.cookies = session.cookies.header(self.transport.is_encrypted());
        let (page, method) = (request.page, if request.form.is_some() { "POST" } else { "GET" });
        let started = Instant::now();
        let result = self.transport.send(request).await;
        let elapsed_ms = millis(started.elapsed());
        match &result {
            Ok(answer) => {
                debug!(
                    instance = %self.instance, session = session.number, operation, method, page,
                    status = answer.status, elapsed_ms, "PBX request"
                );
                answer.cookies.iter().for_each(|cookie| session.cookies.take(cookie));
                session.timeouts = 0;
                match answer.status {
                    429 | 500.. => admitted.failed(&format!("status {}", answer.status)),
                    _ => admitted.succeeded(),
                }
            }
            Err(lost) => {
                debug!(
                    instance = %self.instance, session = session.number, operation, method, page,
                    error = %lost.kind, elapsed_ms, "PBX request without an answer"
                );
                admitted.failed(&cause(&lost.kind));
                // PHP may continue working for a session whose client left. To read in the same session waits for
                // that, which is wanted once, but not for ever.
                session.timeouts += u32::from(lost.timed_out);
                if session.timeouts >= 2 {
                    session.forget();
                }
            }
        }
        result
    }
}

/// Tells the breaker how a request ended, also when no one waits for it any more.
struct Admitted<'a> {
    breaker: &'a Breaker,
    settled: bool,
}

impl Admitted<'_> {
    fn succeeded(mut self) {
        self.settled = true;
        self.breaker.succeeded();
    }

    fn failed(mut self, why: &str) {
        self.settled = true;
        self.breaker.failed(why);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.abandoned();
        }
    }
}

pub(super) fn error(operation: &str, page: &str, status: Option<u16>, kind: PbxErrorKind) -> PbxError {
    PbxError { operation: operation.to_owned(), page: Some(page.to_owned()), status, kind }
}

/// The meaning of a status that no FusionPBX page answers with.
pub(super) fn failure(status: u16, retry_after: Option<Duration>, expected: &'static str) -> PbxErrorKind {
    match status {
        429 => PbxErrorKind::Busy { retry_after },
        503 if retry_after.is_some() => PbxErrorKind::Busy { retry_after },
        500.. => PbxErrorKind::Server,
        300..=399 => {
            PbxErrorKind::UnexpectedPage { expected, found: "a redirect to another page".to_owned() }
        }
        // FusionPBX itself answers with neither.
        401 | 403 => PbxErrorKind::Blocked { status },
        404 => PbxErrorKind::NotThere,
        _ => PbxErrorKind::UnexpectedPage { expected, found: format!("status {status}") },
    }
}

/// A redirect that no one expects, with the path that it leads to: an expired password or terms to accept have pages of
/// their own, and a wrong address is redirected to the right one.
pub(super) fn led_elsewhere(expected: &'static str, answer: &Answer) -> PbxErrorKind {
    let Some(location) = &answer.location else {
        return PbxErrorKind::UnexpectedPage { expected, found: "a redirect to nowhere".to_owned() };
    };
    let path: String = location.path().chars().filter(char::is_ascii_graphic).take(60).collect();
    let host: String = location.host_str().unwrap_or_default().chars().take(60).collect();
    PbxErrorKind::LedElsewhere { expected, to: format!("{host}{path}") }
}

/// A kind's own words, without what is said around them.
pub(super) fn cause(kind: &PbxErrorKind) -> String {
    match kind {
        PbxErrorKind::Unreachable { detail } => detail.clone(),
        other => other.to_string(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
