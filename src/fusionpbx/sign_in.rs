//! Signing in, as a conversation: each page says what it asks for, and the answer to it is the next page, until one
//! leads to a page for a signed-in user. The versions differ in what they ask for and in which order.

use std::sync::PoisonError;

use chrono::Utc;
use tracing::debug;

use super::connection::{Connection, Redirect, error, failure};
use super::pages::{self, Instead, SignInPage};
use super::refusal::{Refusal, SIGN_IN_ANSWER, SIGNED_IN};
use super::session::Session;
use super::transport::{Answer, FORM_BYTES, Lost, Request};
use super::{PbxError, PbxErrorKind, totp};

const SIGN_IN_FORM: &str = "/login.php";

const SIGN_IN: &str = "/core/dashboard/";

const SIGN_IN_PAGE: &str = "the sign-in form";

/// A user name, a password and a code make three; one more may be shown again.
const MOST_PAGES: usize = 5;

/// What was sent so far.
#[derive(Default)]
struct Sent {
    username: bool,
    password: bool,
    code: Option<Option<i64>>,
}

impl Connection {
    /// Signs a session in, without any cookie of the one before. What it says of the password is final.
    pub(super) async fn sign_in(&self, operation: &str, session: &mut Session) -> Result<(), PbxError> {
        let _one_at_a_time = self.signing_in.lock().await;
        if let Some(refusal) = *self.refused.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(error(operation, SIGN_IN, None, refusal.kind()));
        }
        session.forget();
        let result = self.converse(operation, session).await;
        if result.is_ok() {
            session.signed_in = true;
            debug!(instance = %self.instance, session = session.number, "signed in");
        } else {
            session.forget();
        }
        result
    }

    async fn converse(&self, operation: &str, session: &mut Session) -> Result<(), PbxError> {
        let lost = |page: &str, Lost { kind, .. }: Lost| error(operation, page, None, kind);
        let request =
            Request { page: SIGN_IN_FORM, query: &Vec::new(), form: None, cookies: None, limit: FORM_BYTES };
        let mut page = SIGN_IN_FORM;
        let mut answer = self.exchange(operation, session, request).await.map_err(|why| lost(page, why))?;
        let mut sent = Sent::default();
        for _ in 0..MOST_PAGES {
            let status = Some(answer.status);
            let fields = match self.reply(session, &answer, &mut sent, page) {
                Ok(None) => return Ok(()),
                Ok(Some(fields)) => fields,
                Err(kind) => return Err(error(operation, page, status, kind)),
            };
            let request = Request {
                page: SIGN_IN,
                query: &Vec::new(),
                form: Some(&fields),
                cookies: None,
                limit: FORM_BYTES,
            };
            page = SIGN_IN;
            answer = self.exchange(operation, session, request).await.map_err(|why| lost(page, why))?;
        }
        let kind = PbxErrorKind::UnexpectedPage {
            expected: SIGN_IN_ANSWER,
            found: "one form after another".to_owned(),
        };
        Err(error(operation, page, Some(answer.status), kind))
    }

    /// What to send as the answer to a page; `None` once the session is signed in.
    fn reply(
        &self,
        session: &Session,
        answer: &Answer,
        sent: &mut Sent,
        page: &str,
    ) -> Result<Option<Vec<(String, String)>>, PbxErrorKind> {
        let first = page == SIGN_IN_FORM;
        match (answer.status, self.redirect(answer)) {
            (_, Some(_)) if first => Err(super::connection::led_elsewhere(SIGN_IN_PAGE, answer)),
            (_, Some(Redirect::SignedOut)) if self.is_refusal(answer) => {
                let refusal = sent.code.map_or(Refusal::Credentials, |skew| Refusal::Code { skew });
                Err(self.refuse(refusal))
            }
            // The form's token was not taken, as without the cookie that came with it.
            (_, Some(Redirect::SignedOut | Redirect::Ended)) => Err(self.lost_session(session)),
            (_, Some(Redirect::Elsewhere)) => Ok(None),
            (200, None) => match pages::sign_in_page(&answer.text) {
                Some(page) => self.fill(page, answer, sent).map(Some),
                None if pages::instead(&answer.text) == Some(Instead::AccessDenied) => {
                    Err(PbxErrorKind::AccessDenied { permission: None })
                }
                None if first => Err(PbxErrorKind::UnexpectedPage {
                    expected: SIGN_IN_PAGE,
                    found: pages::describe(&answer.text),
                }),
                None => Err(PbxErrorKind::SignInStopped {
                    found: "FusionPBX shows another page first, such as terms to accept",
                    help: "sign in once with a browser and complete what it asks for",
                }),
            },
            // The older ones have the same form, and sign in on another page.
            (404, None) if !first => Err(PbxErrorKind::SignInStopped {
                found: "the server has no dashboard page, so it is a FusionPBX older than 5.2",
                help: "upgrade FusionPBX to 5.2 or later",
            }),
            (status, None) => {
                let expected = if first { SIGN_IN_PAGE } else { SIGN_IN_ANSWER };
                Err(failure(status, answer.retry_after, expected))
            }
        }
    }

    /// Fills in a form of the sign-in. Nothing is asked twice: the same form once more is a refusal of another make.
    fn fill(
        &self,
        page: SignInPage,
        answer: &Answer,
        sent: &mut Sent,
    ) -> Result<Vec<(String, String)>, PbxErrorKind> {
        let again = || PbxErrorKind::UnexpectedPage {
            expected: SIGN_IN_ANSWER,
            found: "the sign-in form once more".to_owned(),
        };
        match page {
            SignInPage::Credentials(form) => {
                if (form.asks_password && sent.password)
                    || (form.asks_username && !form.asks_password && sent.username)
                {
                    return Err(again());
                }
                let mut fields = form.hidden;
                if form.asks_username {
                    fields.push(("username".to_owned(), self.username.clone()));
                    sent.username = true;
                }
                if form.asks_domain {
                    let domain = self.username.rsplit_once('@').map_or("", |(_, domain)| domain);
                    fields.push(("domain_name".to_owned(), domain.to_owned()));
                }
                if form.asks_password {
                    fields.push(("password".to_owned(), self.credentials.password.expose().to_owned()));
                    sent.password = true;
                }
                Ok(fields)
            }
            SignInPage::Code(form) => {
                if sent.code.is_some() {
                    return Err(again());
                }
                let Some(secret) = &self.credentials.totp else {
                    return Err(self.refuse(Refusal::CodeWanted));
                };
                // The code must fit the server's clock, which may be wrong.
                let (now, skew) = match answer.clocks {
                    Some((theirs, ours)) => {
                        (Utc::now() + (theirs - ours), Some((theirs - ours).num_seconds()))
                    }
                    None => (Utc::now(), None),
                };
                let code = totp::code(secret, now).map_err(|detail| PbxErrorKind::Setup {
                    detail: format!("`totp` of `{}` {detail}", self.instance),
                })?;
                sent.code = Some(skew);
                let mut fields = form.hidden;
                fields.push(("authentication_code".to_owned(), code));
                Ok(fields)
            }
            SignInPage::Enrolment => Err(self.refuse(Refusal::Enrolment)),
            SignInPage::NewPassword => Err(self.refuse(Refusal::NewPassword)),
        }
    }

    fn refuse(&self, refusal: Refusal) -> PbxErrorKind {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        refusal.kind()
    }

    /// Why a session that was just signed in is not.
    pub(super) fn lost_session(&self, session: &Session) -> PbxErrorKind {
        if !self.transport.is_encrypted() && session.cookies.has_secure() {
            return PbxErrorKind::Setup {
                detail: "the server marks its session cookie `Secure`, as a stock FusionPBX does, so it works over \
                         https:// only. Use https:// (a self-signed certificate can be pinned)"
                    .to_owned(),
            };
        }
        PbxErrorKind::UnexpectedPage {
            expected: SIGNED_IN,
            found: "the sign-in form right after signing in".to_owned(),
        }
    }
}
