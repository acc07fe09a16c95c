//! FusionPBX over HTTP, the way an operator uses it: sign in, read pages, post forms.
//!
//! [`PbxRead`] and [`PbxWrite`] are the port that the rest of tenantd sees. What can only read holds a
//! [`PbxRead`]; nothing outside `apply` is ever handed a [`PbxWrite`].

mod anonymise;
mod breaker;
mod capture;
mod check;
mod client;
mod connection;
mod cookies;
mod domain_page;
mod error;
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

/// What an account signs in with. It prints as nothing.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub password: Secret,
    /// The secret of a second factor by time, in base 32.
    pub totp: Option<Secret>,
}

impl From<Secret> for Credentials {
    fn from(password: Secret) -> Self {
        Self { password, totp: None }
    }
}

/// Every domain of an instance, read whole.
///
/// An implementation returns it only when the number of rows agrees with the total that the server names;
/// anything less is an error ([`PbxErrorKind::Incomplete`]), never a shorter list.
pub type DomainList = Vec<PbxDomain>;

/// Reading one PBX instance. No method changes anything on the server.
///
/// *Guarantees*: a login page, an error page or half a list is an error, never an empty answer. Reads are retried
/// (with jitter) on passing faults; rejected credentials are not.
#[async_trait]
pub trait PbxRead: Send + Sync {
    /// All domains, enabled or not.
    async fn domains(&self) -> Result<DomainList, PbxError>;

    /// One domain with its exact values, freshly read; `None` where there is no such domain.
    async fn domain(&self, id: DomainId) -> Result<Option<PbxDomain>, PbxError>;

    /// The domains with exactly this name, enabled or not. There can be more than one: FusionPBX has no
    /// unique constraint.
    async fn domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError>;

    /// The enabled domains with exactly this name, at the cost of one request: for a look right before a domain is
    /// made, after all of them were read.
    async fn enabled_domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
        let mut domains = self.domains_named(name).await?;
        domains.retain(|domain| domain.enabled == Some(true));
        Ok(domains)
    }

    /// All settings of a domain with their exact values.
    async fn settings(&self, domain: DomainId) -> Result<Vec<PbxSetting>, PbxError>;

    /// The settings of a domain that have one of these names, with their exact values. Exact values cost one request
    /// a row, so this is the cheaper way to compare what is managed.
    async fn settings_of(
        &self,
        domain: DomainId,
        wanted: &BTreeSet<SettingName>,
    ) -> Result<Vec<PbxSetting>, PbxError> {
        let mut settings = self.settings(domain).await?;
        settings.retain(|setting| wanted.contains(&setting.name));
        Ok(settings)
    }

    /// The server's version; `None` where the account may not see it, or nothing shows it. Read once and kept as long
    /// as the client.
    async fn version(&self) -> Result<Option<PbxVersion>, PbxError> {
        Ok(None)
    }

    /// All user accounts of the instance, read whole.
    async fn users(&self) -> Result<Vec<PbxUser>, PbxError>;

    /// Signs in if need be and proves it with a read. Says what the account may not do.
    async fn check(&self) -> Result<PbxCheck, PbxError>;
}

/// Reading where the calls of one PBX instance go: more than a pass needs, and more requests than one may cost.
#[async_trait]
pub trait PbxRouting: PbxRead {
    /// The extensions, gateways and dialplans of all domains, each list read whole, with the domains that they name.
    async fn routes(&self) -> Result<Vec<PbxRoute>, PbxError>;
}

/// Changing one PBX instance.
///
/// *Guarantees*: a request is sent at most once. `Ok` means that the server answered as it does on success, which
/// proves nothing: the caller reads back. [`PbxErrorKind::OutcomeUnknown`] means that it may have been carried out.
#[async_trait]
pub trait PbxWrite: PbxRead {
    /// Makes a domain under the id that we chose; the same request twice makes one domain.
    async fn create_domain(&self, domain: &NewDomain) -> Result<(), PbxError>;

    /// Sends all fields of a domain: name, enabled, description.
    async fn update_domain(&self, domain: &NewDomain) -> Result<(), PbxError>;

    /// Adds or changes the settings row with this id; the same request twice makes one row.
    async fn put_setting(&self, domain: DomainId, setting: &PbxSetting) -> Result<(), PbxError>;

    /// Removes one settings row.
    async fn delete_setting(&self, domain: DomainId, setting: SettingId) -> Result<(), PbxError>;

    /// Deletes a domain and everything of it. Without the permission `domain_delete` the server says nothing
    /// and does nothing; the caller reads back.
    async fn delete_domain(&self, id: DomainId) -> Result<(), PbxError>;
}

/// What `tenantd pbx check` shows of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxCheck {
    pub version: Option<PbxVersion>,
    pub domains_enabled: usize,
    pub domains_total: usize,
    pub users: Option<usize>,
    /// Seconds by which the server's clock is ahead of tenantd's (its `Date` header), where it said.
    pub clock_skew_seconds: Option<i64>,
    /// Permissions that the account lacks, with what each is for.
    pub missing_permissions: Vec<MissingPermission>,
}

/// A permission that the account lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPermission {
    /// FusionPBX's name of it, as on *Advanced → Group Manager → Permissions*.
    pub permission: &'static str,
    pub needed_for: &'static str,
}
