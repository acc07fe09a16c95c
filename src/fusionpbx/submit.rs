use super::connection::{Connection, Form, Query, Redirect, cause, error, failure};
use super::page_spec::PageSpec;
use super::pages::{self, Instead, Parsed};
use super::session::Held;
use super::transport::{Lost, Request};
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

impl Connection {
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
            let mut tries = self.patience.tries(&self.instance);
            let form = loop {
                let filled = self.get(operation, session, source, source_query).await.and_then(|answer| {
                    fill(&answer.text)
                        .map_err(|kind| self.told_apart(kind, &answer.text))
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
}
