//! Signing in. Each page asks for something, and the answer leads to the next page, until one leads to a page for a
//! signed-in user. The versions of FusionPBX differ in what they ask for and in which order.

use std::sync::PoisonError;

use chrono::Utc;
use tracing::debug;

use super::connection::{Connection, Form};
use super::failure::{self, Redirect, error, is_sign_in_refusal};
use super::pages::{self, SignInForm, SignInPage, SubstitutePage};
use super::refusal::{Refusal, SIGN_IN_ANSWER, SIGNED_IN};
use super::session::Session;
use super::transport::{Answer, FORM_BYTES, Request};
use super::{PbxError, PbxErrorKind, totp};

/// The page with the first form.
const FORM_PAGE: &str = "/login.php";

/// The page to which the forms are sent.
const TARGET_PAGE: &str = "/core/dashboard/";

const SIGN_IN_FORM: &str = "the sign-in form";

/// User name, password and code may be asked for on a page each, and one of them once more.
const MAX_PAGES: usize = 5;

/// What was sent so far in one sign-in.
#[derive(Default)]
struct Sent {
    username: bool,
    password: bool,
    code: Option<SentCode>,
}

/// A code of the second factor was sent.
#[derive(Clone, Copy)]
struct SentCode {
    /// The seconds by which the server's clock is ahead, if it sent its time.
    skew: Option<i64>,
}

impl Connection {
    /// Signs a session in, without any cookie of the one before. A rejected password or code is never tried again.
    pub(super) async fn sign_in(&self, operation: &str, session: &mut Session) -> Result<(), PbxError> {
        let _one_at_a_time = self.signing_in.lock().await;
        if let Some(refusal) = *self.refused.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(error(operation, TARGET_PAGE, None, refusal.kind()));
        }
        session.forget();
        let result = self.answer_forms(operation, session).await;
        if result.is_ok() {
            session.signed_in = true;
            debug!(instance = %self.instance, session = session.number, "signed in");
        } else {
            session.forget();
        }
        result
    }

    /// Answers one form after the other until the session is signed in.
    async fn answer_forms(&self, operation: &str, session: &mut Session) -> Result<(), PbxError> {
        let mut page = FORM_PAGE;
        let mut answer = self.sign_in_request(operation, session, page, None).await?;
        let mut sent = Sent::default();
        for _ in 0..MAX_PAGES {
            let status = Some(answer.status);
            let fields = match self.reply(session, &answer, &mut sent, page) {
                Ok(None) => return Ok(()),
                Ok(Some(fields)) => fields,
                Err(kind) => return Err(error(operation, page, status, kind)),
            };
            page = TARGET_PAGE;
            answer = self.sign_in_request(operation, session, page, Some(&fields)).await?;
        }
        let kind = PbxErrorKind::UnexpectedPage {
            expected: SIGN_IN_ANSWER,
            found: "more forms than a sign-in has".to_owned(),
        };
        Err(error(operation, page, Some(answer.status), kind))
    }

    async fn sign_in_request(
        &self,
        operation: &str,
        session: &mut Session,
        page: &'static str,
        form: Option<&[(String, String)]>,
    ) -> Result<Answer, PbxError> {
        let request = Request { page, query: &[], form, cookies: None, limit: FORM_BYTES };
        self.exchange(operation, session, request)
            .await
            .map_err(|failed| error(operation, page, None, failed.kind))
    }

    /// The fields to send as the answer to a page; `None` once the session is signed in.
    fn reply(
        &self,
        session: &Session,
        answer: &Answer,
        sent: &mut Sent,
        page: &str,
    ) -> Result<Option<Form>, PbxErrorKind> {
        let first = page == FORM_PAGE;
        match (answer.status, Redirect::of(answer)) {
            (_, Some(_)) if first => Err(failure::unexpected_redirect(SIGN_IN_FORM, answer)),
            (_, Some(Redirect::SignedOut)) if is_sign_in_refusal(answer) => {
                let refusal =
                    sent.code.map_or(Refusal::Credentials, |SentCode { skew }| Refusal::Code { skew });
                Err(self.refuse(refusal))
            }
            // The server did not accept the form's token, as without the cookie that came with the form.
            (_, Some(Redirect::SignedOut | Redirect::Ended)) => Err(self.lost_session(session)),
            (_, Some(Redirect::Elsewhere)) => Ok(None),
            (200, None) => match pages::sign_in_page(&answer.text) {
                Some(page) => self.fill(page, answer, sent).map(Some),
                None if pages::substitute_page(&answer.text) == Some(SubstitutePage::AccessDenied) => {
                    Err(PbxErrorKind::AccessDenied { permission: None })
                }
                None if first => Err(PbxErrorKind::UnexpectedPage {
                    expected: SIGN_IN_FORM,
                    found: pages::describe(&answer.text),
                }),
                None => Err(PbxErrorKind::SignInStopped {
                    found: "FusionPBX shows another page first, such as terms to accept",
                    help: "Sign in once with a browser and complete what it asks for",
                }),
            },
            // Older versions have the same form and another target.
            (404, None) if !first => Err(PbxErrorKind::SignInStopped {
                found: "the server has no dashboard page, so it is a FusionPBX older than 5.2",
                help: "Upgrade FusionPBX to 5.2 or later",
            }),
            (status, None) => {
                let expected = if first { SIGN_IN_FORM } else { SIGN_IN_ANSWER };
                Err(failure::of_status(status, answer.retry_after, expected))
            }
        }
    }

    /// Fills in a form of the sign-in. Nothing is sent twice: the same form once more means that it was refused.
    fn fill(&self, page: SignInPage, answer: &Answer, sent: &mut Sent) -> Result<Form, PbxErrorKind> {
        match page {
            SignInPage::Credentials(form) => self.fill_credentials(form, sent),
            SignInPage::Code(form) => self.fill_code(form, answer, sent),
            SignInPage::Enrolment => Err(self.refuse(Refusal::Enrolment)),
            SignInPage::NewPassword => Err(self.refuse(Refusal::NewPassword)),
        }
    }

    fn fill_credentials(&self, form: SignInForm, sent: &mut Sent) -> Result<Form, PbxErrorKind> {
        let SignInForm { asks_username, asks_password, asks_domain, hidden: mut fields } = form;
        if (asks_password && sent.password) || (asks_username && !asks_password && sent.username) {
            return Err(same_form_again());
        }
        if asks_username {
            fields.push(("username".to_owned(), self.username.clone()));
            sent.username = true;
        }
        if asks_domain {
            let domain = self.username.rsplit_once('@').map_or("", |(_, domain)| domain);
            fields.push(("domain_name".to_owned(), domain.to_owned()));
        }
        if asks_password {
            fields.push(("password".to_owned(), self.credentials.password.expose().to_owned()));
            sent.password = true;
        }
        Ok(fields)
    }

    fn fill_code(&self, form: SignInForm, answer: &Answer, sent: &mut Sent) -> Result<Form, PbxErrorKind> {
        if sent.code.is_some() {
            return Err(same_form_again());
        }
        let Some(secret) = &self.credentials.totp else {
            return Err(self.refuse(Refusal::CodeNeeded));
        };
        // The code must be valid by the server's clock, which may be wrong.
        let now = Utc::now() + answer.clock_skew.unwrap_or_default();
        let code = totp::code(secret, now).map_err(|detail| PbxErrorKind::Setup {
            detail: format!("the `totp:` secret of {} {detail}", self.instance),
        })?;
        sent.code = Some(SentCode { skew: answer.clock_skew.map(|skew| skew.num_seconds()) });
        let mut fields = form.hidden;
        fields.push(("authentication_code".to_owned(), code));
        Ok(fields)
    }

    fn refuse(&self, refusal: Refusal) -> PbxErrorKind {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        refusal.kind()
    }

    /// Why a session is signed out right after it signed in.
    pub(super) fn lost_session(&self, session: &Session) -> PbxErrorKind {
        if !self.transport.is_encrypted() && session.cookies.has_secure() {
            return PbxErrorKind::Setup {
                detail: "the server's session cookie is marked `Secure`, as in a stock FusionPBX, so it works over \
                         https:// only. Set `url` to an https:// address (a self-signed certificate can be pinned)"
                    .to_owned(),
            };
        }
        PbxErrorKind::UnexpectedPage {
            expected: SIGNED_IN,
            found: "the sign-in form right after signing in".to_owned(),
        }
    }
}

fn same_form_again() -> PbxErrorKind {
    PbxErrorKind::UnexpectedPage { expected: SIGN_IN_ANSWER, found: "the sign-in form once more".to_owned() }
}
