//! The clients that the rest of tenantd holds: one that reads, and one that also writes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::connection::Connection;
use super::retry::RetryPolicy;
use super::{
    Capture, Credentials, DomainList, PbxCheck, PbxError, PbxRead, PbxRouting, PbxWrite, capture, check,
    reader, routes, users, writer,
};
use crate::config::InstanceConfig;
use crate::model::{
    DomainId, NewDomain, PbxDomain, PbxRoute, PbxSetting, PbxUser, PbxVersion, SettingId, SettingName,
};

/// Reads and changes one FusionPBX server. Keep it as long as possible: its sessions stay signed in.
///
/// Once the server has rejected the user name or password, every further call fails with
/// [`super::PbxErrorKind::CredentialsRejected`] without asking the server. Make a new client to try others.
#[derive(Clone)]
pub struct PbxClient {
    connection: Arc<Connection>,
}

/// Reads one FusionPBX server and cannot change it. A preview holds this one.
#[derive(Clone)]
pub struct PbxReader {
    connection: Arc<Connection>,
}

impl PbxClient {
    /// Sets up a client. Nothing is sent before the first call.
    ///
    /// *Errors*: [`super::PbxErrorKind::Setup`] if the CA file cannot be read, or if the address is plain `http://` to
    /// another machine and `allow_plaintext` is not set.
    pub fn new(config: &InstanceConfig, credentials: impl Into<Credentials>) -> Result<Self, PbxError> {
        Self::with_retries(config, credentials, RetryPolicy::default())
    }

    /// As [`Self::new`], with another policy for retrying reads.
    pub fn with_retries(
        config: &InstanceConfig,
        credentials: impl Into<Credentials>,
        retry_policy: RetryPolicy,
    ) -> Result<Self, PbxError> {
        Ok(Self { connection: Arc::new(Connection::new(config, credentials.into(), retry_policy)?) })
    }

    /// A reader on the same sessions.
    pub fn reader(&self) -> PbxReader {
        PbxReader { connection: self.connection.clone() }
    }
}

impl PbxReader {
    /// Sets up a reader. Nothing is sent before the first call.
    ///
    /// *Errors*: as [`PbxClient::new`].
    pub fn new(config: &InstanceConfig, credentials: impl Into<Credentials>) -> Result<Self, PbxError> {
        Ok(PbxClient::new(config, credentials)?.reader())
    }
}

impl PbxReader {
    /// Captures one page of each kind that tenantd reads, without anything private in it.
    ///
    /// *Errors*: the server cannot be reached. A refused sign-in makes a shorter capture, not an error.
    pub async fn capture(&self) -> Result<Capture, PbxError> {
        capture::capture(&self.connection).await
    }
}

macro_rules! reads {
    ($($client:ty),*) => {$(
        impl fmt::Debug for $client {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($client))
                    .field("instance", &self.connection.instance)
                    .finish_non_exhaustive()
            }
        }

        #[async_trait]
        impl PbxRead for $client {
            async fn domains(&self) -> Result<DomainList, PbxError> {
                reader::domains(&self.connection).await
            }

            async fn domain(&self, id: DomainId) -> Result<Option<PbxDomain>, PbxError> {
                reader::domain(&self.connection, id).await
            }

            async fn domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
                reader::domains_named(&self.connection, name).await
            }

            async fn enabled_domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
                reader::enabled_domains_named(&self.connection, name).await
            }

            async fn settings(&self, domain: DomainId) -> Result<Vec<PbxSetting>, PbxError> {
                reader::settings(&self.connection, domain, None).await
            }

            async fn settings_of(
                &self,
                domain: DomainId,
                wanted: &BTreeSet<SettingName>,
            ) -> Result<Vec<PbxSetting>, PbxError> {
                reader::settings(&self.connection, domain, Some(wanted)).await
            }

            async fn version(&self) -> Result<Option<PbxVersion>, PbxError> {
                reader::version(&self.connection).await
            }

            async fn users(&self) -> Result<Vec<PbxUser>, PbxError> {
                users::users(&self.connection).await
            }

            async fn check(&self) -> Result<PbxCheck, PbxError> {
                check::check(&self.connection).await
            }
        }

        #[async_trait]
        impl PbxRouting for $client {
            async fn routes(&self) -> Result<Vec<PbxRoute>, PbxError> {
                routes::routes(&self.connection).await
            }
        }
    )*};
}
reads!(PbxClient, PbxReader);

#[async_trait]
impl PbxWrite for PbxClient {
    async fn create_domain(&self, domain: &NewDomain) -> Result<(), PbxError> {
        writer::create_domain(&self.connection, domain).await
    }

    async fn update_domain(&self, domain: &NewDomain) -> Result<(), PbxError> {
        writer::update_domain(&self.connection, domain).await
    }

    async fn put_setting(&self, domain: DomainId, setting: &PbxSetting) -> Result<(), PbxError> {
        writer::put_setting(&self.connection, domain, setting).await
    }

    async fn delete_setting(&self, domain: DomainId, setting: SettingId) -> Result<(), PbxError> {
        writer::delete_setting(&self.connection, domain, setting).await
    }

    async fn delete_domain(&self, id: DomainId) -> Result<(), PbxError> {
        writer::delete_domain(&self.connection, id).await
    }
}
