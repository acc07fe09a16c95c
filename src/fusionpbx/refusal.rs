//! Why FusionPBX does not let the account sign in. It is remembered, so that tenantd does not try again.

use super::PbxErrorKind;

/// What is expected right after a successful sign-in. An error with it is not retried: every try would sign in once
/// more.
pub(super) const SIGNED_IN: &str = "a page for a signed-in user";

/// What is expected after a form of the sign-in was sent. An error with it is not retried either.
pub(super) const SIGN_IN_ANSWER: &str = "the answer to a sign-in";

/// Why a sign-in failed for good. tenantd does not try again until the configuration is reloaded, because FusionPBX
/// reports failed sign-ins to fail2ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Credentials,
    /// The code was rejected. `skew`: the seconds by which the server's clock is ahead.
    Code {
        skew: Option<i64>,
    },
    /// FusionPBX asks for a code, and no secret is configured.
    CodeNeeded,
    Enrolment,
    NewPassword,
}

impl Refusal {
    pub(super) fn kind(self) -> PbxErrorKind {
        match self {
            Self::Credentials => PbxErrorKind::CredentialsRejected,
            Self::Code { skew } => PbxErrorKind::CodeRejected { skew },
            Self::CodeNeeded => PbxErrorKind::SecondFactorNeeded,
            Self::Enrolment => PbxErrorKind::SignInStopped {
                found: "FusionPBX has just created a new secret for the account's second factor",
                help: "Sign in once with a browser, and set `totp:` to the new secret",
            },
            Self::NewPassword => PbxErrorKind::SignInStopped {
                found: "FusionPBX asks for a new password",
                help: "Sign in once with a browser and change it, then give the new one to tenantd",
            },
        }
    }
}
