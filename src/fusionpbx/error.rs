//! What can go wrong between tenantd and a PBX, with the texts for operators.

use std::fmt;
use std::time::Duration;

use crate::model::{InstanceKey, PbxVersion};

/// An operation on a PBX that failed.
///
/// Its text says what tenantd tried, what happened and what to do. The page is logged at debug level only. The error
/// never holds a body, a cookie, a token or the values of a form.
#[derive(Debug)]
pub struct PbxError {
    /// What tenantd tried, with its object: `read the domains`, `create the domain acme.example.com`.
    pub operation: String,
    /// The path of the page, without its query.
    pub page: Option<String>,
    /// The HTTP status, if the server answered.
    pub status: Option<u16>,
    /// The instance whose pages help to report the error: it sent a complete page that tenantd cannot read.
    pub capture: Option<Box<InstanceKey>>,
    pub kind: PbxErrorKind,
}

/// The kinds of failure that callers treat differently.
#[derive(Debug)]
pub enum PbxErrorKind {
    /// The server could not be connected to, or did not answer a read in time. Nothing was changed.
    Unreachable { detail: String },
    /// The server's certificate is not the configured one, or its issuer is not trusted.
    Certificate { detail: String },
    /// The server rejected the user name or password. Never retried: FusionPBX reports failed sign-ins to fail2ban.
    CredentialsRejected,
    /// FusionPBX asks for a second factor, and no secret for it is configured. Never retried.
    SecondFactorNeeded,
    /// The server rejected the code of the second factor. Never retried. `skew` is the number of seconds by which the
    /// server's clock is ahead of this machine's, if the server sent its time.
    CodeRejected { skew: Option<i64> },
    /// FusionPBX shows a page of the sign-in that only a person can complete.
    SignInStopped { found: &'static str, help: &'static str },
    /// A proxy or firewall rejected the request: FusionPBX itself never answers with this status.
    Blocked { status: u16 },
    /// The page does not exist, so the address is not that of a FusionPBX.
    NoSuchPage,
    /// The server redirected the request to a page where FusionPBX does not send it.
    UnexpectedRedirect { expected: &'static str, to: String },
    /// A complete page of FusionPBX that tenantd cannot read, as of a version that it does not know.
    NotUnderstood(Box<NotUnderstood>),
    /// The page does not offer the action. Most likely the account's group lacks the permission.
    NotOffered { permission: &'static str },
    /// FusionPBX denied the account access to the page.
    AccessDenied { permission: Option<&'static str> },
    /// The answer has another form than the page: HTML instead of JSON, a page without its form, the sign-in form
    /// right after signing in.
    UnexpectedPage { expected: &'static str, found: String },
    /// A list whose rows do not add up to the total that the server reports.
    Incomplete { expected: usize, found: usize },
    /// The server is busy (429, or 503 with `Retry-After`).
    Busy { retry_after: Option<Duration> },
    /// The server failed (5xx).
    Server,
    /// FusionPBX refused the form and says why, or tenantd refused to send it.
    Refused { message: String },
    /// A changing request was sent and not confirmed: the server may have carried it out.
    OutcomeUnknown { detail: String },
    /// The client could not be set up: a secret or a CA file cannot be read, or the configuration is not safe.
    Setup { detail: String },
    /// Not sent, because another tenantd holds the lease now.
    Superseded,
    /// Not sent, because the last requests to this instance failed.
    CircuitOpen { retry_in: Duration, last: String },
}

/// A complete page that tenantd cannot read.
#[derive(Debug)]
pub struct NotUnderstood {
    /// What the page must show: `the list of domains`.
    pub expected: &'static str,
    /// What was found instead: `a row without its state`.
    pub found: String,
    pub version: Option<PbxVersion>,
}

impl PbxError {
    pub fn new(operation: impl Into<String>, kind: PbxErrorKind) -> Self {
        Self { operation: operation.into(), page: None, status: None, capture: None, kind }
    }

    #[must_use]
    pub fn on_page(mut self, page: impl Into<String>) -> Self {
        let page = page.into();
        tracing::debug!(operation = self.operation, page, error = %self.kind, "a page could not be used");
        self.page = Some(page);
        self
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Names the command that captures the instance's pages for a report.
    #[must_use]
    pub fn with_capture_of(mut self, instance: InstanceKey) -> Self {
        self.capture = Some(Box::new(instance));
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
        // The page is for `--log debug`: its name does not help an operator.
        let Self { operation, page: _, status, capture, kind } = self;
        write!(f, "cannot {operation}: {kind}")?;
        if let (Some(status), PbxErrorKind::Server | PbxErrorKind::Busy { .. }) = (status, kind) {
            write!(f, " (status {status})")?;
        }
        match capture {
            Some(instance) => write!(f, ". To report it: tenantd pbx capture {instance}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PbxErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { detail } => write!(f, "the server cannot be reached: {detail}"),
            Self::Certificate { detail } => write!(f, "the server's certificate is not trusted: {detail}"),
            Self::CredentialsRejected | Self::SecondFactorNeeded | Self::CodeRejected { .. } => {
                self.fmt_sign_in(f)
            }
            Self::SignInStopped { found, help } => write!(f, "{found}. {help}"),
            Self::Blocked { status } => write!(
                f,
                "a proxy or firewall in front of FusionPBX rejected the request (status {status}). Allow tenantd's \
                 address there"
            ),
            Self::NoSuchPage => f.write_str(
                "the page does not exist (status 404). Check `url`: it must be the address of FusionPBX's start page",
            ),
            Self::UnexpectedRedirect { expected: _, to } => write!(
                f,
                "the server redirected tenantd to {to}. Check `url`, or sign in once with a browser and complete what \
                 FusionPBX asks for"
            ),
            Self::NotUnderstood(page) => {
                let NotUnderstood { expected, found, version } = &**page;
                match version {
                    Some(version) => write!(f, "FusionPBX {version} shows {expected} in a form that ")?,
                    None => write!(f, "{expected} has a form that ")?,
                }
                write!(f, "tenantd does not understand: {found}")
            }
            Self::NotOffered { permission } => write!(
                f,
                "FusionPBX does not offer this to the account. Its group probably lacks the permission `{permission}`"
            ),
            Self::AccessDenied { permission: Some(permission) } => write!(
                f,
                "access denied. The account's group lacks the permission `{permission}`: grant it under Advanced → \
                 Group Manager"
            ),
            Self::AccessDenied { permission: None } => {
                f.write_str("access denied. Check the permissions of the account's group")
            }
            Self::UnexpectedPage { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Incomplete { expected, found } => {
                write!(f, "the list was not fully read: the server reports {expected} rows, and {found} were read")
            }
            Self::Busy { retry_after: Some(after) } => {
                write!(f, "the server is busy and asks tenantd to wait {} s", after.as_secs())
            }
            Self::Busy { retry_after: None } => f.write_str("the server is busy"),
            Self::Server => f.write_str("the server failed"),
            Self::Refused { message } => write!(f, "the server refused it: {message}"),
            Self::OutcomeUnknown { detail } => write!(
                f,
                "the request got no answer that confirms it ({detail}). The next run checks whether it was carried out"
            ),
            Self::Setup { detail } => f.write_str(detail),
            Self::Superseded => f.write_str("not sent, because another tenantd took over"),
            Self::CircuitOpen { retry_in, last } => write!(
                f,
                "not sent, because the last requests failed: {last}. tenantd tries again in {} s",
                retry_in.as_secs()
            ),
        }
    }
}

impl PbxErrorKind {
    /// The texts of a rejected sign-in.
    fn fmt_sign_in(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Codes are valid for this long, in seconds, so a smaller difference of the clocks does not matter.
        const CODE_SECONDS: i64 = 30;
        match self {
            Self::SecondFactorNeeded => f.write_str(
                "the account needs a second factor. Set `totp:` to the secret of its authenticator, or use an \
                 account without one (tenantd cannot receive codes by e-mail)",
            ),
            Self::CodeRejected { skew: Some(skew) } if skew.abs() > CODE_SECONDS => write!(
                f,
                "the server rejected the code of the second factor, and its clock is {} s {} this machine's. Set the \
                 clocks, then check the secret in `totp:`",
                skew.abs(),
                if *skew > 0 { "ahead of" } else { "behind" }
            ),
            Self::CodeRejected { skew } => write!(
                f,
                "the server rejected the code of the second factor{}. Check the secret in `totp:`",
                if skew.is_some() { " although both clocks agree" } else { "" }
            ),
            _ => f.write_str(
                "the server rejected the user name or password. Correct them in the configuration: tenantd does not \
                 try the same ones again, because fail2ban would block it",
            ),
        }
    }
}
