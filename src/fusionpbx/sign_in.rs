use std::sync::atomic::Ordering;

use tracing::debug;

use super::connection::{Connection, Redirect, error, failure};
use super::pages::{self, Instead};
use super::session::Session;
use super::transport::{FORM_BYTES, Request};
use super::{PbxError, PbxErrorKind};

const SIGN_IN_FORM: &str = "/login.php";
const SIGN_IN: &str = "/core/dashboard/";

/// What a page right after a successful sign-in must be. An error with it is not retried: every try would be one
/// more sign-in.
pub(super) const SIGNED_IN: &str = "a page for a signed-in user";
pub(super) const SIGN_IN_ANSWER: &str = "the answer to a sign-in";

impl Connection {
    /// Signs a session in, without any cookie of the one before. What it says of the password is final.
    pub(super) async fn sign_in(&self, operation: &str, session: &mut Session) -> Result<(), PbxError> {
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
    pub(super) fn lost_session(&self, session: &Session) -> PbxErrorKind {
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
}
