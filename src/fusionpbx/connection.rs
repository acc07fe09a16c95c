//! One PBX server as all other files use it: its sessions, and the limits that every request to it obeys.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tracing::debug;

use super::breaker::{Admission, Breaker};
use super::error::NotUnderstood;
use super::failure::{self, Redirect, error};
use super::page_spec::PageSpec;
use super::pages::{self, Parsed, SubstitutePage};
use super::rate_limit::RateLimit;
use super::refusal::Refusal;
use super::retry::RetryPolicy;
use super::session::{Pool, Session};
use super::transport::{Answer, NoAnswer, Request, Transport};
use super::{Credentials, PbxError, PbxErrorKind, write_fence};
use crate::config::InstanceConfig;
use crate::model::{InstanceKey, PbxVersion};

/// A query as it is sent.
pub(super) type Query = Vec<(&'static str, String)>;
/// A form's fields as they are sent.
pub(super) type Form = Vec<(String, String)>;

/// A server and its sessions. Every request obeys the rate limit, the breaker and, if it changes something, the fence.
pub(super) struct Connection {
    pub instance: InstanceKey,
    pub(super) transport: Transport,
    pub(super) username: String,
    pub(super) credentials: Credentials,
    pub(super) retry_policy: RetryPolicy,
    pub pool: Pool,
    breaker: Breaker,
    rate_limit: RateLimit,
    /// One sign-in at a time, so that a wrong password is tried once and not once per session.
    pub(super) signing_in: Mutex<()>,
    /// Why tenantd no longer tries to sign in.
    pub(super) refused: std::sync::Mutex<Option<Refusal>>,
    /// The label for "disabled" in the list of domains, which depends on the account's language.
    disabled_label: std::sync::Mutex<Option<String>>,
    /// The server's version, once it was read; the inner `None` stands for a version that cannot be read.
    version: std::sync::Mutex<Option<Option<PbxVersion>>>,
}

impl Connection {
    pub fn new(
        config: &InstanceConfig,
        credentials: Credentials,
        retry_policy: RetryPolicy,
    ) -> Result<Self, PbxError> {
        let transport = Transport::new(config)
            .map_err(|kind| PbxError::new(format!("set up the connection to `{}`", config.key), kind))?;
        Ok(Self {
            instance: config.key.clone(),
            transport,
            username: config.username.clone(),
            credentials,
            retry_policy,
            pool: Pool::new(config.sessions),
            breaker: Breaker::default(),
            rate_limit: RateLimit::new(config.max_requests_per_second),
            signing_in: Mutex::new(()),
            refused: std::sync::Mutex::default(),
            disabled_label: std::sync::Mutex::default(),
            version: std::sync::Mutex::default(),
        })
    }

    /// The server's version as read before. The outer `None`: it was not read yet; the inner: it cannot be read.
    pub fn known_version(&self) -> Option<Option<PbxVersion>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn learn_version(&self, version: Option<PbxVersion>) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
    }

    pub fn disabled_label(&self) -> Option<String> {
        self.disabled_label.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn learn_disabled_label(&self, label: String) {
        *self.disabled_label.lock().unwrap_or_else(PoisonError::into_inner) = Some(label);
    }

    /// Reads a page and parses it. Failures that may pass are retried, and so is a page that cannot be parsed.
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
        let mut tries = self.retry_policy.tries(&self.instance);
        loop {
            let result = {
                let mut held = self.pool.take().await;
                self.get(operation, &mut held.session, page, query).await
            };
            let parsed = result.and_then(|answer| {
                parse(&answer).map_err(|kind| self.parse_error(operation, page, &answer, kind))
            });
            match parsed {
                Ok(value) => return Ok(value),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    /// Gets a page in a session. Signs in first if necessary, and once more if the session turns out to have ended.
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
                .map_err(|failed| error(operation, page.path, None, failed.kind))?;
            let fail = |kind| Err(error(operation, page.path, Some(answer.status), kind));
            let signed_out = match (answer.status, Redirect::of(&answer)) {
                (200, _) => match pages::substitute_page(&answer.text) {
                    None => return Ok(answer),
                    Some(SubstitutePage::AccessDenied) => {
                        return fail(PbxErrorKind::AccessDenied { permission: Some(page.permission) });
                    }
                    Some(SubstitutePage::SignInForm) => true,
                },
                (_, Some(Redirect::SignedOut | Redirect::Ended)) => true,
                (_, Some(Redirect::Elsewhere)) => false,
                (status, None) => return fail(failure::of_status(status, answer.retry_after, "the page")),
            };
            if !signed_out {
                return fail(failure::unexpected_redirect("the page", &answer));
            }
            if fresh {
                let kind = self.lost_session(session);
                session.forget();
                return fail(kind);
            }
            debug!(instance = %self.instance, session = session.number, "the session has ended");
            session.forget();
        }
    }

    /// The error for an answer that could not be parsed.
    ///
    /// A complete page of FusionPBX stays the same when it is read again, so the error is a final one. Any other page
    /// may be a proxy's or broken off, and the next read may get the right one. A complete page is worth a report.
    pub(super) fn parse_error(
        &self,
        operation: &str,
        page: PageSpec,
        answer: &Answer,
        kind: PbxErrorKind,
    ) -> PbxError {
        let PbxErrorKind::UnexpectedPage { expected, found } = kind else {
            return error(operation, page.path, Some(answer.status), kind);
        };
        let kind = if pages::is_complete_fusionpbx_page(&answer.text) {
            let version = self.known_version().flatten();
            PbxErrorKind::NotUnderstood(Box::new(NotUnderstood { expected, found, version }))
        } else {
            PbxErrorKind::UnexpectedPage { expected, found }
        };
        let error = error(operation, page.path, Some(answer.status), kind);
        if pages::is_complete_html(&answer.text) {
            error.with_capture_of(self.instance.clone())
        } else {
            error
        }
    }

    /// A page as the server sends it to a client that is not signed in.
    #[cfg(test)]
    pub(super) async fn transport_text(&self, page: &'static str) -> String {
        let request = Request { page, query: &Query::new(), form: None, cookies: None, limit: 1 << 20 };
        self.transport.send(request).await.unwrap().text
    }

    /// Sends one request in a session and keeps the cookies of its answer.
    pub(super) async fn exchange(
        &self,
        operation: &str,
        session: &mut Session,
        mut request: Request<'_>,
    ) -> Result<Answer, NoAnswer> {
        let admission = self.admit(&request).await?;
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
                answer.cookies.iter().for_each(|cookie| session.cookies.store(cookie));
                session.timeouts = 0;
                match answer.status {
                    429 | 500.. => admission.failed(&format!("status {}", answer.status)),
                    _ => admission.succeeded(),
                }
            }
            Err(failed) => {
                debug!(
                    instance = %self.instance, session = session.number, operation, method, page,
                    error = %failed.kind, elapsed_ms, "PBX request without an answer"
                );
                admission.failed(&failure::short_text(&failed.kind));
                // PHP may go on working for a session whose client left, and a read in the same session waits for it.
                // That is wanted once, but not for ever.
                session.timeouts += u32::from(failed.timed_out);
                if session.timeouts >= 2 {
                    session.forget();
                }
            }
        }
        result
    }

    /// Waits until a request may be sent, or says why it may not.
    async fn admit(&self, request: &Request<'_>) -> Result<Admission<'_>, NoAnswer> {
        let open = |(retry_in, last)| NoAnswer::not_sent(PbxErrorKind::CircuitOpen { retry_in, last });
        // Asked twice: a request that is not sent must not use up the rate limit, and the breaker may open meanwhile.
        self.breaker.check().map_err(open)?;
        self.rate_limit.wait().await;
        if request.form.is_some() && !write_fence::is_permitted() {
            return Err(NoAnswer::not_sent(PbxErrorKind::Superseded));
        }
        self.breaker.admit().map_err(open)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
