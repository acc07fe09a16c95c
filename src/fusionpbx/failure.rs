//! What an answer means that is not the page asked for: its status, or where it redirects to.

use std::time::Duration;

use super::transport::Answer;
use super::{PbxError, PbxErrorKind};

/// Where a redirect leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// To the sign-in: the session was not signed in, and nothing was done.
    SignedOut,
    /// To the sign-out: the session was ended while FusionPBX worked on the request.
    Ended,
    Elsewhere,
}

impl Redirect {
    /// The redirect of an answer, if it is one.
    pub fn of(answer: &Answer) -> Option<Self> {
        if !(300..400).contains(&answer.status) {
            return None;
        }
        let path = answer.location.as_ref().map_or("", |location| location.path());
        Some(if path.ends_with("/login.php") || is_sign_in_refusal(answer) {
            Self::SignedOut
        } else if path.ends_with("/logout.php") {
            Self::Ended
        } else {
            Self::Elsewhere
        })
    }
}

/// Whether an answer redirects to `/?path=…`, as after a refused sign-in and from a page that needs one.
pub(super) fn is_sign_in_refusal(answer: &Answer) -> bool {
    answer.location.as_ref().is_some_and(|location| {
        location.query_pairs().any(|(key, _)| key == "path") && location.path().ends_with('/')
    })
}

pub(super) fn error(operation: &str, page: &str, status: Option<u16>, kind: PbxErrorKind) -> PbxError {
    PbxError { page: Some(page.to_owned()), status, ..PbxError::new(operation, kind) }
}

/// The meaning of a status with which no page of FusionPBX answers.
pub(super) fn of_status(status: u16, retry_after: Option<Duration>, expected: &'static str) -> PbxErrorKind {
    match status {
        429 => PbxErrorKind::Busy { retry_after },
        503 if retry_after.is_some() => PbxErrorKind::Busy { retry_after },
        500.. => PbxErrorKind::Server,
        300..=399 => {
            PbxErrorKind::UnexpectedPage { expected, found: "a redirect to another page".to_owned() }
        }
        // FusionPBX itself answers with neither.
        401 | 403 => PbxErrorKind::Blocked { status },
        404 => PbxErrorKind::NoSuchPage,
        _ => PbxErrorKind::UnexpectedPage { expected, found: format!("status {status}") },
    }
}

/// A redirect where none is expected, with the path that it leads to. An expired password and terms to accept have
/// pages of their own, and a wrong address is redirected to the right one.
pub(super) fn unexpected_redirect(expected: &'static str, answer: &Answer) -> PbxErrorKind {
    let Some(location) = &answer.location else {
        return PbxErrorKind::UnexpectedPage { expected, found: "a redirect without a target".to_owned() };
    };
    let path: String = location.path().chars().filter(char::is_ascii_graphic).take(60).collect();
    let host: String = location.host_str().unwrap_or_default().chars().take(60).collect();
    PbxErrorKind::UnexpectedRedirect { expected, to: format!("{host}{path}") }
}

/// The text of a kind as a part of another sentence.
pub(super) fn short_text(kind: &PbxErrorKind) -> String {
    match kind {
        PbxErrorKind::Unreachable { detail } => detail.clone(),
        other => other.to_string(),
    }
}
