//! FusionPBX over HTTP, used as an operator uses it: sign in, read pages, post forms.
//!
//! The rest of tenantd knows only the traits [`PbxRead`], [`PbxRouting`] and [`PbxWrite`]. Code that only reads holds a
//! [`PbxRead`]; only `apply` gets a [`PbxWrite`].
//!
//! From the bottom up: `transport` sends one request, `connection` adds sessions and limits, `sign_in` and `submit` add
//! the two kinds of POST, `pages` parses what was read, and `reader`, `users`, `routes` and `writer` implement the traits.

mod anonymise;
mod breaker;
mod capture;
mod check;
mod client;
mod connection;
mod cookies;
mod domain_page;
mod error;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod listing;
mod page_spec;
mod pages;
mod paging;
mod rate_limit;
mod reader;
mod refusal;
mod retry;
mod routes;
mod session;
mod sign_in;
mod submit;
mod tls;
mod tls_errors;
mod totp;
mod transport;
mod users;
mod write_fence;
mod writer;

pub use capture::{Capture, CapturedPage};
pub use client::{PbxClient, PbxReader};
pub use error::{NotUnderstood, PbxError, PbxErrorKind};
pub use retry::RetryPolicy;
pub use write_fence::{is_permitted, permitted_while};

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::model::{
    DomainId, NewDomain, PbxDomain, PbxRoute, PbxSetting, PbxUser, PbxVersion, Secret, SettingId, SettingName,
};

/// What an account signs in with. `Debug` shows neither secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub password: Secret,
    /// The secret of a time-based second factor (RFC 6238), in base 32.
    pub totp: Option<Secret>,
}

impl From<Secret> for Credentials {
    fn from(password: Secret) -> Self {
        Self { password, totp: None }
    }
}

/// Every domain of an instance.
///
/// An implementation returns it only if the number of rows agrees with the total that the server reports. Otherwise it
/// returns [`PbxErrorKind::Incomplete`], never a shorter list.
pub type DomainList = Vec<PbxDomain>;

/// Reads one PBX instance. No method changes anything on the server.
///
/// *Guarantees*: a sign-in form, an error page or a part of a list is an error, never an empty or shorter answer.
///
/// *Assumptions*: the account sees all domains. [`Self::check`] tells which permissions it lacks.
///
/// *Errors*: a read is retried (with random pauses) while [`PbxError::is_passing`] holds. Rejected credentials are never
/// retried, because FusionPBX reports failed sign-ins to fail2ban.
#[async_trait]
pub trait PbxRead: Send + Sync {
    /// All domains, enabled or not.
    async fn domains(&self) -> Result<DomainList, PbxError>;

    /// One domain with its exact values, read from the server at every call; `None` if it does not exist.
    async fn domain(&self, id: DomainId) -> Result<Option<PbxDomain>, PbxError>;

    /// The domains with exactly this name, enabled or not. There may be several: FusionPBX has no unique constraint.
    async fn domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError>;

    /// The enabled domains with exactly this name, in one request. For a last check right before a domain is created,
    /// after all domains were read.
    async fn enabled_domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
        let mut domains = self.domains_named(name).await?;
        domains.retain(|domain| domain.enabled == Some(true));
        Ok(domains)
    }

    /// All settings of a domain with their exact values, at one request for each.
    ///
    /// *Errors*: also if the domain does not exist.
    async fn settings(&self, domain: DomainId) -> Result<Vec<PbxSetting>, PbxError>;

    /// The settings of a domain that have one of these names, with their exact values. It costs fewer requests than
    /// [`Self::settings`].
    async fn settings_of(
        &self,
        domain: DomainId,
        wanted: &BTreeSet<SettingName>,
    ) -> Result<Vec<PbxSetting>, PbxError> {
        let mut settings = self.settings(domain).await?;
        settings.retain(|setting| wanted.contains(&setting.name));
        Ok(settings)
    }

    /// The server's version; `None` if the account may not see it or no page shows it. Read once for each client.
    async fn version(&self) -> Result<Option<PbxVersion>, PbxError> {
        Ok(None)
    }

    /// All user accounts of the instance, of all domains.
    async fn users(&self) -> Result<Vec<PbxUser>, PbxError>;

    /// Signs in if necessary, reads every page that tenantd needs, and lists the permissions that the account lacks.
    async fn check(&self) -> Result<PbxCheck, PbxError>;
}

/// Reads where the calls of one PBX instance are routed. This costs more requests than a pass may use.
///
/// *Guarantees*, *assumptions* and *errors*: as for [`PbxRead`].
#[async_trait]
pub trait PbxRouting: PbxRead {
    /// The extensions, gateways and dialplans of all domains, with the domains that they refer to.
    async fn routes(&self) -> Result<Vec<PbxRoute>, PbxError>;
}

/// Changes one PBX instance.
///
/// *Guarantees*: a request is sent at most once, unless the server proved that it did not carry out the first one. No
/// request is sent while [`is_permitted`] is `false`.
///
/// *Assumptions*: the caller reads back. `Ok` means that the server answered as on success, which proves nothing.
///
/// *Errors*: after [`PbxErrorKind::OutcomeUnknown`] the server may have carried out the request.
#[async_trait]
pub trait PbxWrite: PbxRead {
    /// Creates a domain under an id chosen by tenantd. The same request twice creates one domain.
    ///
    /// *Errors*: [`PbxErrorKind::Refused`] if the id belongs to another domain.
    async fn create_domain(&self, domain: &NewDomain) -> Result<(), PbxError>;

    /// Sets all fields of a domain: name, enabled, description.
    ///
    /// *Errors*: [`PbxErrorKind::Refused`] if the domain does not exist.
    async fn update_domain(&self, domain: &NewDomain) -> Result<(), PbxError>;

    /// Adds or changes the setting with this id. The same request twice makes one row.
    async fn put_setting(&self, domain: DomainId, setting: &PbxSetting) -> Result<(), PbxError>;

    /// Removes one setting. Sends nothing if the domain does not have it.
    async fn delete_setting(&self, domain: DomainId, setting: SettingId) -> Result<(), PbxError>;

    /// Deletes a domain with everything in it.
    ///
    /// *Errors*: [`PbxErrorKind::NotOffered`] if the page shows that the account lacks `domain_delete`. If the page does
    /// not show it, the server ignores the request and answers as on success.
    async fn delete_domain(&self, id: DomainId) -> Result<(), PbxError>;
}

/// The result of `tenantd pbx check` for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxCheck {
    pub version: Option<PbxVersion>,
    pub domains_enabled: usize,
    pub domains_total: usize,
    /// The number of users; `None` if the account may not see them.
    pub users: Option<usize>,
    /// The seconds by which the server's clock is ahead of this machine's; `None` if the server did not send its time.
    pub clock_skew_seconds: Option<i64>,
    pub missing_permissions: Vec<MissingPermission>,
}

/// A permission that the account lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPermission {
    /// FusionPBX's name of the permission, as shown under *Advanced → Group Manager → Permissions*.
    pub permission: &'static str,
    pub needed_for: &'static str,
}
