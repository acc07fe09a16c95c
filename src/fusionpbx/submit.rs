//! Changing requests: a form is read for its token, filled in and posted once.

use super::connection::{Connection, Form, Query};
use super::failure::{self, Redirect, error};
use super::page_spec::PageSpec;
use super::pages::{self, Parsed, SubstitutePage};
use super::session::{Held, Session};
use super::transport::{Answer, NoAnswer, Request};
use super::{PbxError, PbxErrorKind};

/// What a posted form's redirect means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// The server answered as it does on success.
    Done,
    /// The token was refused, and nothing was done.
    TokenRefused,
    Elsewhere,
}

/// What the answer to a posted form means.
enum PostResult {
    Done,
    /// Nothing was done, so the form may be posted once more.
    NothingDone(NothingDone),
    /// The server refused the form, or did not confirm it.
    Failed(PbxErrorKind),
}

/// Why nothing was done.
enum NothingDone {
    SignedOut,
    TokenRefused,
}

impl NothingDone {
    fn found(&self) -> &'static str {
        match self {
            Self::SignedOut => "the sign-in form",
            Self::TokenRefused => "a redirect as for a wrong form token",
        }
    }
}

impl Connection {
    /// Posts a form: reads `source` for its token, lets `fill` make the fields, and posts them to `target`. `landing`
    /// says what the path means to which the answer redirects. Nothing is posted if `fill` returns `None`.
    ///
    /// The form is posted once. It is posted once more only if the answer proves that nothing was done, because the
    /// session had ended or the token was refused.
    pub async fn submit(
        &self,
        operation: &str,
        source: (PageSpec, &Query),
        (target, target_query): (PageSpec, &Query),
        fill: impl Fn(&str) -> Parsed<Option<Form>>,
        landing: impl Fn(&str) -> Landing,
    ) -> Result<(), PbxError> {
        let Held { session, .. } = &mut self.pool.take().await;
        let mut may_repeat = true;
        loop {
            let Some(form) = self.filled_form(operation, session, source, &fill).await? else {
                return Ok(());
            };
            let request = Request {
                page: target.path,
                query: target_query,
                form: Some(&form),
                cookies: None,
                limit: target.limit,
            };
            let fail = |status, kind| Err(error(operation, target.path, status, kind));
            let answer = match self.exchange(operation, session, request).await {
                Ok(answer) => answer,
                Err(NoAnswer { kind, maybe_received: false, .. }) => return fail(None, kind),
                Err(NoAnswer { kind, .. }) => {
                    let detail = failure::short_text(&kind);
                    return fail(None, PbxErrorKind::OutcomeUnknown { detail });
                }
            };
            let status = Some(answer.status);
            let nothing_done = match self.evaluate(&answer, target, &landing) {
                PostResult::Done => return Ok(()),
                PostResult::Failed(kind) => return fail(status, kind),
                PostResult::NothingDone(nothing_done) => nothing_done,
            };
            if !may_repeat {
                let found = nothing_done.found().to_owned();
                return fail(status, PbxErrorKind::UnexpectedPage { expected: "a redirect", found });
            }
            if matches!(nothing_done, NothingDone::SignedOut) {
                session.forget();
            }
            may_repeat = false;
        }
    }

    /// The filled-in form; `None` if there is nothing to post. A failed read is retried.
    async fn filled_form(
        &self,
        operation: &str,
        session: &mut Session,
        (source, query): (PageSpec, &Query),
        fill: &impl Fn(&str) -> Parsed<Option<Form>>,
    ) -> Result<Option<Form>, PbxError> {
        let mut tries = self.retry_policy.tries(&self.instance);
        loop {
            let filled = self.get(operation, session, source, query).await.and_then(|answer| {
                fill(&answer.text).map_err(|kind| self.parse_error(operation, source, &answer, kind))
            });
            match filled {
                Ok(form) => return Ok(form),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    fn evaluate(&self, answer: &Answer, target: PageSpec, landing: &impl Fn(&str) -> Landing) -> PostResult {
        let unconfirmed =
            |detail: &str| PostResult::Failed(PbxErrorKind::OutcomeUnknown { detail: detail.to_owned() });
        match (answer.status, Redirect::of(answer)) {
            (_, Some(Redirect::SignedOut)) => PostResult::NothingDone(NothingDone::SignedOut),
            (_, Some(Redirect::Ended)) => unconfirmed("the session was ended"),
            (_, Some(Redirect::Elsewhere)) => {
                match landing(answer.location.as_ref().map_or("", |location| location.path())) {
                    Landing::Done => PostResult::Done,
                    Landing::TokenRefused => PostResult::NothingDone(NothingDone::TokenRefused),
                    Landing::Elsewhere => unconfirmed("a redirect to another page"),
                }
            }
            (200, None) => match pages::substitute_page(&answer.text) {
                Some(SubstitutePage::SignInForm) => PostResult::NothingDone(NothingDone::SignedOut),
                Some(SubstitutePage::AccessDenied) => {
                    PostResult::Failed(PbxErrorKind::AccessDenied { permission: Some(target.permission) })
                }
                None => match pages::refusal(&answer.text) {
                    Some(message) => PostResult::Failed(PbxErrorKind::Refused { message }),
                    None => unconfirmed(&pages::describe(&answer.text)),
                },
            },
            // Rejected before it reached FusionPBX.
            (429, None) => PostResult::Failed(PbxErrorKind::Busy { retry_after: answer.retry_after }),
            (503, None) if answer.retry_after.is_some() => {
                PostResult::Failed(PbxErrorKind::Busy { retry_after: answer.retry_after })
            }
            (400..=499, None) => PostResult::Failed(failure::of_status(answer.status, None, "a redirect")),
            (status, None) => unconfirmed(&format!("status {status}")),
        }
    }
}
