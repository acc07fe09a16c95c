use std::fmt;
use std::time::Duration;

use crate::model::{InstanceKey, PbxVersion};

/// A request to a PBX that did not give what was asked for.
///
/// It says what the answer meant; the page it knows is logged at debug. It never holds a body, a cookie, a token or a
/// form's values.
#[derive(Debug)]
pub struct PbxError {
    /// What was being done, with its object: `read the domains`, `create the domain acme.example.com`.
    pub operation: String,
    /// Path of the page, without its query.
    pub page: Option<String>,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    pub kind: PbxErrorKind,
}

/// What went wrong, as far as the caller must tell it apart.
#[derive(Debug)]
pub enum PbxErrorKind {
    /// No connection, or none that answered in time, and nothing was changed.
    Unreachable { detail: String },
    /// The server's certificate is not the one that is trusted.
    Certificate { detail: String },
    /// User name or password was refused. Never retried: FusionPBX reports failed sign-ins to fail2ban.
    CredentialsRejected,
    /// The account has a second factor and no secret for it is configured. Never retried.
    SecondFactorNeeded,
    /// The code of the second factor was refused. Never retried. `skew` is by how many seconds the server's clock is
    /// ahead of tenantd's, where it said.
    CodeRejected { skew: Option<i64> },
    /// The sign-in leads to a page that only an operator can continue from.
    SignInStopped { found: &'static str, help: &'static str },
    /// Something in front of FusionPBX turned the request away: it never answers with this status.
    Blocked { status: u16 },
    /// There is no such page: the address is not that of a FusionPBX.
    NotThere,
    /// A redirect to another page than FusionPBX sends to.
    LedElsewhere { expected: &'static str, to: String },
    /// A page that came whole and does not show what is looked for: another version, or another program.
    NotUnderstood(Box<NotUnderstood>),
    /// The page does not offer what the account is to do. Most likely its group lacks the permission.
    NotOffered { permission: &'static str },
    /// The account may not see this page.
    AccessDenied { permission: Option<&'static str> },
    /// An answer of another form than this page gives: HTML for JSON, a page without its form, a login page
    /// right after signing in.
    UnexpectedPage { expected: &'static str, found: String },
    /// A list whose rows do not add up to the total that the server names.
    Incomplete { expected: usize, found: usize },
    /// The server asked to be left alone (429 or 503 with `Retry-After`).
    Busy { retry_after: Option<Duration> },
    /// The server failed (5xx).
    Server,
    /// The form was refused with a text for people.
    Refused { message: String },
    /// A changing request was sent and got no answer: it may have been carried out.
    OutcomeUnknown { detail: String },
    /// A secret could not be read, or the client could not be set up.
    Setup { detail: String },
    /// Not sent: another tenantd may change things now, and this one may not.
    Superseded,
    /// Not tried: this instance failed too often just now.
    CircuitOpen { retry_in: Duration, last: String },
}

/// What was looked for on a page, and what was found.
#[derive(Debug)]
pub struct NotUnderstood {
    pub expected: &'static str,
    pub found: String,
    pub version: Option<PbxVersion>,
    pub instance: InstanceKey,
}

impl PbxError {
    pub fn new(operation: impl Into<String>, kind: PbxErrorKind) -> Self {
        Self { operation: operation.into(), page: None, status: None, kind }
    }

    #[must_use]
    pub fn on_page(mut self, page: impl Into<String>) -> Self {
        let page = page.into();
        tracing::debug!(operation = self.operation, page, error = %self.kind, "a page gave an error");
        self.page = Some(page);
        self
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Whether the same read may succeed when it is tried again shortly.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.kind,
            PbxErrorKind::Unreachable { .. }
                | PbxErrorKind::Incomplete { .. }
                | PbxErrorKind::Busy { .. }
                | PbxErrorKind::Server
                | PbxErrorKind::UnexpectedPage { .. }
        )
    }
}

impl std::error::Error for PbxError {}

impl fmt::Display for PbxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The page is for `--log debug`: its name tells a sysadmin nothing.
        let Self { operation, page: _, status, kind } = self;
        write!(f, "cannot {operation}: {kind}")?;
        match status {
            Some(status) => write!(f, " (status {status})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PbxErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { detail } => write!(f, "the server cannot be reached: {detail}"),
            Self::Certificate { detail } => write!(f, "the server's certificate is not trusted: {detail}"),
            Self::CredentialsRejected => f.write_str("the server rejected the user name or password"),
            Self::SecondFactorNeeded => f.write_str(
                "the account needs a second factor. Set `totp:` to the secret of its authenticator, or use an \
                 account without one (codes by e-mail are not supported)",
            ),
            Self::CodeRejected { skew: Some(skew) } if skew.abs() > 30 => write!(
                f,
                "the server rejected the code of the second factor, and its clock is {} s {} ours. Set the clock, \
                 then check the secret in `totp:`",
                skew.abs(),
                if *skew > 0 { "ahead of" } else { "behind" }
            ),
            Self::CodeRejected { skew } => write!(
                f,
                "the server rejected the code of the second factor{}. Check the secret in `totp:`",
                if skew.is_some() { " although both clocks agree" } else { "" }
            ),
            Self::SignInStopped { found, help } => write!(f, "{found}; {help}"),
            Self::Blocked { status } => write!(
                f,
                "a proxy or firewall in front of FusionPBX rejected the request (status {status}). Allow tenantd's \
                 address there"
            ),
            Self::NotThere => {
                f.write_str("the page does not exist. Check `url`, which must lead to FusionPBX's start page")
            }
            Self::LedElsewhere { expected, to } => write!(
                f,
                "expected {expected}, and was redirected to {to}. Check `url`, or sign in once with a browser and complete what it asks for"
            ),
            Self::NotUnderstood(page) => {
                let NotUnderstood { expected, found, version, instance } = &**page;
                match version {
                    Some(version) => write!(f, "FusionPBX {version} shows {expected} in a form that tenantd does \
                                                not understand: {found}")?,
                    None => write!(f, "{expected} has a form that tenantd does not understand: {found}")?,
                }
                write!(f, "; to report it: tenantd pbx capture {instance}")
            }
            Self::NotOffered { permission } => {
                write!(f, "the page does not offer it. The account's group probably lacks the permission \
                           `{permission}`")
            }
            Self::AccessDenied { permission: Some(permission) } => {
                write!(f, "access denied. The account's group lacks the permission `{permission}`")
            }
            Self::AccessDenied { permission: None } => f.write_str("access denied"),
            Self::UnexpectedPage { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Incomplete { expected, found } => {
                write!(f, "the list was not fully read: the server reports {expected} rows, and {found} were read")
            }
            Self::Busy { retry_after: Some(after) } => {
                write!(f, "the server asks tenantd to wait {} s", after.as_secs())
            }
            Self::Busy { retry_after: None } => f.write_str("the server is busy"),
            Self::Server => f.write_str("the server failed"),
            Self::Refused { message } => write!(f, "the server refused it: {message}"),
            Self::OutcomeUnknown { detail } => {
                write!(
                    f,
                    "the request was sent and got no answer ({detail}). The next run checks whether it was carried out"
                )
            }
            Self::Setup { detail } => f.write_str(detail),
            Self::Superseded => f.write_str("not sent, because another tenantd took over"),
            Self::CircuitOpen { retry_in, last } => {
                write!(f, "not tried for another {} s, because it failed before: {last}", retry_in.as_secs())
            }
        }
    }
}
