//! Why FusionPBX does not let the account in, remembered so that it is not tried again.

use super::PbxErrorKind;

/// What a page right after a successful sign-in must be. An error with it is not retried: every try would be one
/// more sign-in.
pub(super) const SIGNED_IN: &str = "a page for a signed-in user";

pub(super) const SIGN_IN_ANSWER: &str = "the answer to a sign-in";

/// Why a sign-in failed for good. It is not tried again until the configuration is read again: FusionPBX reports
/// failed sign-ins to fail2ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Credentials,
    /// The code was rejected; by how many seconds the server's clock is ahead.
    Code {
        skew: Option<i64>,
    },
    /// A code is asked for and none is configured.
    CodeWanted,
    Enrolment,
    NewPassword,
}

impl Refusal {
    pub(super) fn kind(self) -> PbxErrorKind {
        match self {
            Self::Credentials => PbxErrorKind::CredentialsRejected,
            Self::Code { skew } => PbxErrorKind::CodeRejected { skew },
            Self::CodeWanted => PbxErrorKind::SecondFactorNeeded,
            Self::Enrolment => PbxErrorKind::SignInStopped {
                found: "FusionPBX has just created a new secret for the account's second factor",
                help: "sign in once with a browser, and set `totp:` to the new secret",
            },
            Self::NewPassword => PbxErrorKind::SignInStopped {
                found: "FusionPBX asks for a new password",
                help: "sign in once with a browser, change it, and give the new one to tenantd",
            },
        }
    }
}
