use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::Mutex;
use tracing::debug;

use super::breaker::Breaker;
use super::pages::{self, Instead, Parsed};
use super::session::{Held, Pool, Session};
use super::transport::{Answer, FORM_BYTES, LIST_BYTES, Lost, Request, Transport};
use super::{PbxError, PbxErrorKind};
use crate::config::InstanceConfig;
use crate::model::{InstanceKey, Secret};

/// A page of FusionPBX, and the permission whose absence it answers with `access denied`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageSpec {
    pub path: &'static str,
    pub permission: &'static str,
    pub limit: usize,
}

macro_rules! pages {
    ($($name:ident = $path:literal, $permission:literal, $limit:expr;)*) => {
        $(pub(super) const $name: PageSpec = PageSpec { path: $path, permission: $permission, limit: $limit };)*
    };
}
pages! {
    DOMAIN_JSON = "/core/domains/domain_json.php", "domain_view", LIST_BYTES;
    DOMAINS = "/core/domains/domains.php", "domain_all", LIST_BYTES;
    DOMAIN_EDIT = "/core/domains/domain_edit.php", "domain_edit", FORM_BYTES;
    SETTINGS = "/core/domain_settings/domain_settings.php", "domain_setting_view", LIST_BYTES;
    SETTING_EDIT = "/core/domain_settings/domain_setting_edit.php", "domain_setting_edit", FORM_BYTES;
    USER_JSON = "/core/users/user_json.php", "user_view", LIST_BYTES;
    USERS = "/core/users/users.php", "user_view", LIST_BYTES;
}
pub(super) const SIGN_IN_FORM: &str = "/login.php";
pub(super) const SIGN_IN: &str = "/core/dashboard/";

/// What a page right after a successful sign-in must be. An error with it is not retried: every try would be one
/// more sign-in.
const SIGNED_IN: &str = "a page for a signed-in user";
const SIGN_IN_ANSWER: &str = "the answer to a sign-in";

/// A query as it is sent.
pub(super) type Query = Vec<(&'static str, String)>;
/// A form's fields as they are sent.
pub(super) type Form = Vec<(String, String)>;

/// How often and how long reads are tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries of a read, the first included.
    pub tries: usize,
    /// Before the second try; longer before later ones, and changed at random.
    pub pause: Duration,
    /// The longest `Retry-After` that is waited for. A longer one is an error at once.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 3, pause: Duration::from_millis(250), longest_wait: Duration::from_secs(10) }
    }
}

/// Where a redirect leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Redirect {
    /// The request was not made in a session that is signed in, and nothing was done.
    SignedOut,
    /// The session was ended while the request was being worked on.
    Ended,
    Elsewhere,
}

/// A server, its sessions, and the rules of talking to it.
pub(super) struct Connection {
    pub instance: InstanceKey,
    transport: Transport,
    username: String,
    password: Secret,
    patience: Patience,
    pub pool: Pool,
    breaker: Breaker,
    /// One sign-in at a time, so that a wrong password is tried once and not once per session.
    signing_in: Mutex<()>,
    rejected: AtomicBool,
}

impl Connection {
    pub fn new(config: &InstanceConfig, password: Secret, patience: Patience) -> Result<Self, PbxError> {
        let transport = Transport::new(config)
            .map_err(|kind| PbxError::new(format!("set up the connection to `{}`", config.key), kind))?;
        Ok(Self {
            instance: config.key.clone(),
            transport,
            username: config.username.clone(),
            password,
            patience,
            pool: Pool::new(config.sessions),
            breaker: Breaker::default(),
            signing_in: Mutex::new(()),
            rejected: AtomicBool::new(false),
        })
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
        let mut tries = self.tries();
        loop {
            let result = {
                let mut held = self.pool.take().await;
                self.get(operation, &mut held.session, page, query).await
            };
            let parsed = result.and_then(|answer| {
                parse(&answer).map_err(|kind| error(operation, page.path, Some(answer.status), kind))
            });
            match parsed {
                Ok(value) => return Ok(value),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    fn tries(&self) -> Tries<'_> {
        let Patience { tries, pause, longest_wait } = self.patience;
        let delays = ExponentialBuilder::default()
            .with_min_delay(pause)
            .with_factor(3.0)
            .with_jitter()
            .with_max_times(tries.saturating_sub(1))
            .build();
        Tries { instance: &self.instance, delays, longest_wait }
    }

    /// Gets a page in a session, signing in first if need be, and once more if the session turns out to be over.
    async fn get(
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
                return fail(PbxErrorKind::UnexpectedPage {
                    expected: "the page",
                    found: "a redirect to another page".to_owned(),
                });
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

    /// Fills in a form and posts it: gets the form for its token, lets `fill` make the fields, posts them to
    /// `target`. `done` says whether the page to which the answer redirects is the one of success.
    ///
    /// The post is sent once. Only where the answer proves that nothing was done, because the session was over or
    /// the token not taken, is it sent again, once.
    pub async fn submit(
        &self,
        operation: &str,
        (source, source_query): (PageSpec, &Query),
        (target, target_query): (PageSpec, &Query),
        fill: impl Fn(&str) -> Parsed<Option<Form>>,
        done: impl Fn(&str) -> Landing,
    ) -> Result<(), PbxError> {
        let Held { session, .. } = &mut self.pool.take().await;
        let mut again = true;
        loop {
            let mut tries = self.tries();
            let form = loop {
                let filled = self.get(operation, session, source, source_query).await.and_then(|answer| {
                    fill(&answer.text)
                        .map_err(|kind| error(operation, source.path, Some(answer.status), kind))
                });
                match filled {
                    Ok(form) => break form,
                    Err(error) => tries.pause_after(error).await?,
                }
            };
            let Some(form) = form else { return Ok(()) };
            let request = Request {
                page: target.path,
                query: target_query,
                form: Some(&form),
                cookies: None,
                limit: target.limit,
            };
            let fail = |status, kind| Err(error(operation, target.path, status, kind));
            let unknown = |status, detail: &str| {
                fail(status, PbxErrorKind::OutcomeUnknown { detail: detail.to_owned() })
            };
            let answer = match self.exchange(operation, session, request).await {
                Ok(answer) => answer,
                Err(Lost { kind, perhaps_sent: false, .. }) => return fail(None, kind),
                Err(Lost { kind, .. }) => return unknown(None, &cause(&kind)),
            };
            let status = Some(answer.status);
            let nothing_done = match (answer.status, self.redirect(&answer)) {
                (_, Some(Redirect::SignedOut)) => "the sign-in form",
                (_, Some(Redirect::Ended)) => return unknown(status, "the session was ended"),
                (_, Some(Redirect::Elsewhere)) => {
                    match done(answer.location.as_ref().map_or("", |location| location.path())) {
                        Landing::Done => return Ok(()),
                        Landing::TokenRefused => "a redirect as for a wrong form token",
                        Landing::Elsewhere => return unknown(status, "a redirect to another page"),
                    }
                }
                (200, None) => match pages::instead(&answer.text) {
                    Some(Instead::SignInForm) => "the sign-in form",
                    Some(Instead::AccessDenied) => {
                        return fail(
                            status,
                            PbxErrorKind::AccessDenied { permission: Some(target.permission) },
                        );
                    }
                    None => match pages::refusal(&answer.text) {
                        Some(message) => return fail(status, PbxErrorKind::Refused { message }),
                        None => return unknown(status, &pages::describe(&answer.text)),
                    },
                },
                // Turned away before FusionPBX saw it.
                (429, None) => return fail(status, PbxErrorKind::Busy { retry_after: answer.retry_after }),
                (503, None) if answer.retry_after.is_some() => {
                    return fail(status, PbxErrorKind::Busy { retry_after: answer.retry_after });
                }
                (400..=499, None) => return fail(status, failure(answer.status, None, "a redirect")),
                (_, None) => return unknown(status, "an answer that says neither"),
            };
            if !again {
                return fail(
                    status,
                    PbxErrorKind::UnexpectedPage { expected: "a redirect", found: nothing_done.to_owned() },
                );
            }
            if nothing_done == "the sign-in form" {
                session.forget();
            }
            again = false;
        }
    }

    async fn sign_in(&self, operation: &str, session: &mut Session) -> Result<(), PbxError> {
        let _one_at_a_time = self.signing_in.lock().await;
        let fail = |page, status, kind| Err(error(operation, page, status, kind));
        if self.rejected.load(Ordering::Relaxed) {
            return fail(SIGN_IN, None, PbxErrorKind::CredentialsRejected);
        }
        session.forget();
        let form = Vec::new();
        let request =
            Request { page: SIGN_IN_FORM, query: &form, form: None, cookies: None, limit: FORM_BYTES };
        let answer = match self.exchange(operation, session, request).await {
            Ok(answer) => answer,
            Err(lost) => return fail(SIGN_IN_FORM, None, lost.kind),
        };
        let status = Some(answer.status);
        let token = match (answer.status, pages::instead(&answer.text)) {
            (200, Some(Instead::AccessDenied)) => {
                return fail(SIGN_IN_FORM, status, PbxErrorKind::AccessDenied { permission: None });
            }
            (200, Some(Instead::SignInForm)) => pages::sign_in_token(&answer.text),
            (200, None) => None,
            (status, _) => {
                return fail(
                    SIGN_IN_FORM,
                    Some(status),
                    failure(status, answer.retry_after, "the sign-in form"),
                );
            }
        };
        let Some(token) = token else {
            let found = pages::describe(&answer.text);
            return fail(
                SIGN_IN_FORM,
                status,
                PbxErrorKind::UnexpectedPage { expected: "the sign-in form", found },
            );
        };
        let fields = [
            ("username".to_owned(), self.username.clone()),
            ("password".to_owned(), self.password.expose().to_owned()),
            (token.name, token.value),
        ];
        let request = Request {
            page: SIGN_IN,
            query: &Vec::new(),
            form: Some(&fields),
            cookies: None,
            limit: FORM_BYTES,
        };
        let answer = match self.exchange(operation, session, request).await {
            Ok(answer) => answer,
            Err(lost) => return fail(SIGN_IN, None, lost.kind),
        };
        let status = Some(answer.status);
        let odd =
            |found: &str| PbxErrorKind::UnexpectedPage { expected: SIGN_IN_ANSWER, found: found.to_owned() };
        match (answer.status, self.redirect(&answer)) {
            (_, Some(Redirect::SignedOut)) if self.is_refusal(&answer) => {
                self.rejected.store(true, Ordering::Relaxed);
                session.forget();
                fail(SIGN_IN, status, PbxErrorKind::CredentialsRejected)
            }
            (_, Some(Redirect::SignedOut | Redirect::Ended)) => {
                // The form's token was not taken, as without the cookie that came with it.
                let kind = self.lost_session(session);
                session.forget();
                fail(SIGN_IN, status, kind)
            }
            (_, Some(Redirect::Elsewhere)) => {
                session.signed_in = true;
                debug!(instance = %self.instance, session = session.number, "signed in");
                Ok(())
            }
            (200, None) => match pages::instead(&answer.text) {
                Some(Instead::AccessDenied) => {
                    fail(SIGN_IN, status, PbxErrorKind::AccessDenied { permission: None })
                }
                Some(Instead::SignInForm) => fail(SIGN_IN, status, odd("the sign-in form once more")),
                None => fail(SIGN_IN, status, odd("a page, as for a second factor")),
            },
            (code, None) => fail(SIGN_IN, status, failure(code, answer.retry_after, SIGN_IN_ANSWER)),
        }
    }

    /// Why a session that was just signed in is not.
    fn lost_session(&self, session: &Session) -> PbxErrorKind {
        if !self.transport.is_encrypted() && session.cookies.has_secure() {
            return PbxErrorKind::Setup {
                detail: "the server marks its session cookie `Secure`, as a stock FusionPBX does, so it may not be \
                         sent over plain http://; use https:// (a self-signed certificate can be pinned)"
                    .to_owned(),
            };
        }
        PbxErrorKind::UnexpectedPage {
            expected: SIGNED_IN,
            found: "the sign-in form right after signing in".to_owned(),
        }
    }

    fn redirect(&self, answer: &Answer) -> Option<Redirect> {
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
    fn is_refusal(&self, answer: &Answer) -> bool {
        answer.location.as_ref().is_some_and(|location| {
            location.query_pairs().any(|(key, _)| key == "path") && location.path().ends_with('/')
        })
    }

    /// Sends one request in a session and takes the cookies of its answer.
    async fn exchange(
        &self,
        operation: &str,
        session: &mut Session,
        mut request: Request<'_>,
    ) -> Result<Answer, Lost> {
        if let Err((retry_in, last)) = self.breaker.admit() {
            let kind = PbxErrorKind::CircuitOpen { retry_in, last };
            return Err(Lost { kind, perhaps_sent: false, timed_out: false });
        }
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
                // PHP may go on working for a session whose client left. To read in the same session waits for
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

/// The tries that a read has left.
struct Tries<'a> {
    instance: &'a InstanceKey,
    delays: ExponentialBackoff,
    longest_wait: Duration,
}

impl Tries<'_> {
    /// Waits until the next try, or gives the error back where there is none.
    async fn pause_after(&mut self, error: PbxError) -> Result<(), PbxError> {
        if !is_worth_another_try(&error) {
            return Err(error);
        }
        let Some(mut delay) = self.delays.next() else { return Err(error) };
        if let PbxErrorKind::Busy { retry_after: Some(asked) } = error.kind {
            if asked > self.longest_wait {
                return Err(error);
            }
            delay = delay.max(asked);
        }
        debug!(
            instance = %self.instance, page = error.page, status = error.status, error = %error.kind,
            delay_ms = millis(delay), "a read failed and will be tried again"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// What the page that a form redirects to says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// The server answered as it does on success.
    Done,
    /// The token was not taken, and nothing was done.
    TokenRefused,
    Elsewhere,
}

/// Tells the breaker how a request ended, also when nobody waits for it any more.
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
fn failure(status: u16, retry_after: Option<Duration>, expected: &'static str) -> PbxErrorKind {
    match status {
        429 => PbxErrorKind::Busy { retry_after },
        503 if retry_after.is_some() => PbxErrorKind::Busy { retry_after },
        500.. => PbxErrorKind::Server,
        300..=399 => {
            PbxErrorKind::UnexpectedPage { expected, found: "a redirect to another page".to_owned() }
        }
        _ => PbxErrorKind::UnexpectedPage { expected, found: format!("status {status}") },
    }
}

/// A kind's own words, without what is said around them.
fn cause(kind: &PbxErrorKind) -> String {
    match kind {
        PbxErrorKind::Unreachable { detail } => detail.clone(),
        other => other.to_string(),
    }
}

fn is_worth_another_try(error: &PbxError) -> bool {
    match error.kind {
        PbxErrorKind::UnexpectedPage { expected, .. } => expected != SIGNED_IN && expected != SIGN_IN_ANSWER,
        _ => error.is_passing(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
