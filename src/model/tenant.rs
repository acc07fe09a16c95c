use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use super::{DomainName, InstanceKey, SettingName, SmsNumber};

/// Bounds of `session_timeout` in minutes: one minute to one week.
pub const SESSION_TIMEOUT_MINUTES: RangeInclusive<u32> = 1..=10_080;
/// Outside these minutes a `session_timeout` is accepted with a warning.
pub const SESSION_TIMEOUT_USUAL: RangeInclusive<u32> = 5..=480;

/// A tenant's identity: the stem of its file (`tenants.d/acme.yaml` is `acme`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantKey(String);

/// Why a text is not a tenant key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tenant key starts with a letter or digit and has only a-z, 0-9, `.`, `_` and `-`, at most 100 characters"
)]
pub struct KeyError;

impl TenantKey {
    /// The longest key that is accepted, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Accepts `^[a-z0-9][a-z0-9._-]*$`, the stem of the file names that tenantd reads.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let first = text.bytes().next().ok_or(KeyError)?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        if text.len() > Self::MAX_CHARS
            || !(first.is_ascii_lowercase() || first.is_ascii_digit())
            || !text.bytes().all(fits)
        {
            return Err(KeyError);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How many user accounts a tenant may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaxUsers {
    /// At most this many, enforced by the database and by FusionPBX (`limit`/`users`).
    Limited(u32),
    /// No limit of its own: the deployment's tier is the limit, if it has one.
    Unlimited,
}

impl fmt::Display for MaxUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(n) => write!(f, "{n}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// What to do about a change someone else made on the PBX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftPolicy {
    /// Undo it.
    #[default]
    Correct,
    /// Show it in the plan and in `status`, change nothing.
    Report,
}

impl DriftPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Report => "report",
        }
    }
}

/// With whom a tenant shares what; in force only where both sides name each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrossTenant {
    pub presence: BTreeSet<TenantKey>,
    pub contacts: BTreeSet<TenantKey>,
    pub chat: BTreeSet<TenantKey>,
}

impl CrossTenant {
    pub fn is_empty(&self) -> bool {
        let Self { presence, contacts, chat } = self;
        presence.is_empty() && contacts.is_empty() && chat.is_empty()
    }

    /// The kinds in the order in which a file lists them.
    pub fn kinds(&self) -> [(&'static str, &BTreeSet<TenantKey>); 3] {
        let Self { presence, contacts, chat } = self;
        [("presence", presence), ("contacts", contacts), ("chat", chat)]
    }
}

/// What a tenant's file and its record have in common: the fields that are compared, applied and recorded.
///
/// A field of the tenant file that is to be recorded stands here and nowhere else. Code that must not forget one
/// destructures the whole struct, so that the compiler names each place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub domain: DomainName,
    pub instance: InstanceKey,
    pub enabled: bool,
    /// Minutes.
    pub session_timeout: u32,
    pub max_users: MaxUsers,
    pub protected: bool,
    /// FusionPBX domain settings owned by the tenant file.
    pub pbx_settings: BTreeMap<SettingName, String>,
    pub cross_tenant: CrossTenant,
    pub drift: DriftPolicy,
}

/// A tenant as its file wants it, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub key: TenantKey,
    pub definition: Definition,
    /// The key this tenant had before, when key and domain change together.
    pub previously: Option<TenantKey>,
    /// Take over a domain that already exists on the PBX and is not managed.
    pub adopt: bool,
    /// The SMS numbers that the tenant has; `None` where its file does not say, and services may give it any.
    pub sms_numbers: Option<BTreeSet<SmsNumber>>,
    /// Names of advice that this file accepts.
    pub accept: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_a_file_stem() {
        for good in ["acme", "a", "0-9", "acme.corp_1"] {
            assert_eq!(TenantKey::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".acme", "-x", "Acme", "ac me", "ä", "a/b", &"a".repeat(101)] {
            assert_eq!(TenantKey::parse(bad), Err(KeyError), "{bad:?}");
        }
    }
}
