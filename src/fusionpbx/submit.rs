use super::connection::{Connection, Form, Query, Redirect, cause, error, failure};
use super::page_spec::PageSpec;
use super::pages::{self, Instead, Parsed};
use super::session::{Held, Session};
use super::transport::{Answer, Lost, Request};
use super::{PbxError, PbxErrorKind};

/// What the page that a form redirects to says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// The server answered as it does on success.
    Done,
    /// The token was not taken, and nothing was done.
    TokenRefused,
    Elsewhere,
}

/// What an answer to a posted form means.
enum Answered {
    Done,
    /// Nothing was done, so the form may be posted once more. With what was found instead.
    NothingDone(NothingDone),
    /// The post failed, or nothing is known of it.
    Failed(PbxErrorKind),
}

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
    /// Fills in a form and posts it: gets the form for its token, lets `fill` make the fields, posts them to
    /// `target`. `done` says whether the page to which the answer redirects is the one of success.
    ///
    /// The post is sent once. Only where the answer proves that nothing was done, because the session was over or
    /// the token not taken, is it sent again, once.
    pub async fn submit(
        &self,
        operation: &str,
        source: (PageSpec, &Query),
        (target, target_query): (PageSpec, &Query),
        fill: impl Fn(&str) -> Parsed<Option<Form>>,
        done: impl Fn(&str) -> Landing,
    ) -> Result<(), PbxError> {
        let Held { session, .. } = &mut self.pool.take().await;
        let mut again = true;
        loop {
            let Some(form) = self.filled(operation, session, source, &fill).await? else { return Ok(()) };
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
                Err(Lost { kind, perhaps_sent: false, .. }) => return fail(None, kind),
                Err(Lost { kind, .. }) => {
                    return fail(None, PbxErrorKind::OutcomeUnknown { detail: cause(&kind) });
                }
            };
            let status = Some(answer.status);
            let nothing_done = match self.judge(&answer, target, &done) {
                Answered::Done => return Ok(()),
                Answered::Failed(kind) => return fail(status, kind),
                Answered::NothingDone(nothing_done) => nothing_done,
            };
            if !again {
                let found = nothing_done.found().to_owned();
                return fail(status, PbxErrorKind::UnexpectedPage { expected: "a redirect", found });
            }
            if matches!(nothing_done, NothingDone::SignedOut) {
                session.forget();
            }
            again = false;
        }
    }

    /// The form with its fields; `None` where there is nothing to post. A read that fails is tried again.
    async fn filled(
        &self,
        operation: &str,
        session: &mut Session,
        (source, query): (PageSpec, &Query),
        fill: &impl Fn(&str) -> Parsed<Option<Form>>,
    ) -> Result<Option<Form>, PbxError> {
        let mut tries = self.patience.tries(&self.instance);
        loop {
            let filled = self.get(operation, session, source, query).await.and_then(|answer| {
                fill(&answer.text)
                    .map_err(|kind| self.with_version(kind, &answer.text))
                    .map_err(|kind| error(operation, source.path, Some(answer.status), kind))
            });
            match filled {
                Ok(form) => return Ok(form),
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    fn judge(&self, answer: &Answer, target: PageSpec, done: &impl Fn(&str) -> Landing) -> Answered {
        let unknown =
            |detail: &str| Answered::Failed(PbxErrorKind::OutcomeUnknown { detail: detail.to_owned() });
        match (answer.status, self.redirect(answer)) {
            (_, Some(Redirect::SignedOut)) => Answered::NothingDone(NothingDone::SignedOut),
            (_, Some(Redirect::Ended)) => unknown("the session was ended"),
            (_, Some(Redirect::Elsewhere)) => {
                match done(answer.location.as_ref().map_or("", |location| location.path())) {
                    Landing::Done => Answered::Done,
                    Landing::TokenRefused => Answered::NothingDone(NothingDone::TokenRefused),
                    Landing::Elsewhere => unknown("a redirect to another page"),
                }
            }
            (200, None) => match pages::instead(&answer.text) {
                Some(Instead::SignInForm) => Answered::NothingDone(NothingDone::SignedOut),
                Some(Instead::AccessDenied) => {
                    Answered::Failed(PbxErrorKind::AccessDenied { permission: Some(target.permission) })
                }
                None => match pages::refusal(&answer.text) {
                    Some(message) => Answered::Failed(PbxErrorKind::Refused { message }),
                    None => unknown(&pages::describe(&answer.text)),
                },
            },
            // Rejected before FusionPBX saw it.
            (429, None) => Answered::Failed(PbxErrorKind::Busy { retry_after: answer.retry_after }),
            (503, None) if answer.retry_after.is_some() => {
                Answered::Failed(PbxErrorKind::Busy { retry_after: answer.retry_after })
            }
            (400..=499, None) => Answered::Failed(failure(answer.status, None, "a redirect")),
            (_, None) => unknown("an answer that says neither"),
        }
    }
}
