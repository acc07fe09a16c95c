//! A test between tenantd and a PBX.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use tenantd::fusionpbx::{DomainList, PbxCheck, PbxError, PbxRead, PbxWrite};
use tenantd::model::{
    DomainId, NewDomain, PbxDomain, PbxSetting, PbxUser, PbxVersion, SettingId, SettingName,
};

pub type Answer = Result<(), PbxError>;

/// A PBX of which a test sees what is to be written, and whose answers it changes.
pub struct PbxWrapper {
    pub pbx: Arc<dyn PbxWrite>,
    /// Sees a domain before it is sent.
    pub before: fn(&NewDomain),
    /// Makes the answer to a changing request into the one that tenantd gets.
    pub after: fn(Answer) -> Answer,
}

impl PbxWrapper {
    /// Passes everything on as it is.
    pub fn new(pbx: Arc<dyn PbxWrite>) -> Self {
        Self { pbx, before: |_| {}, after: |answer| answer }
    }
}

#[async_trait]
impl PbxRead for PbxWrapper {
    async fn domains(&self) -> Result<DomainList, PbxError> {
        self.pbx.domains().await
    }
    async fn domain(&self, id: DomainId) -> Result<Option<PbxDomain>, PbxError> {
        self.pbx.domain(id).await
    }
    async fn domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
        self.pbx.domains_named(name).await
    }
    async fn enabled_domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
        self.pbx.enabled_domains_named(name).await
    }
    async fn settings(&self, domain: DomainId) -> Result<Vec<PbxSetting>, PbxError> {
        self.pbx.settings(domain).await
    }
    async fn settings_of(
        &self,
        domain: DomainId,
        wanted: &BTreeSet<SettingName>,
    ) -> Result<Vec<PbxSetting>, PbxError> {
        self.pbx.settings_of(domain, wanted).await
    }
    async fn version(&self) -> Result<Option<PbxVersion>, PbxError> {
        self.pbx.version().await
    }
    async fn users(&self) -> Result<Vec<PbxUser>, PbxError> {
        self.pbx.users().await
    }
    async fn check(&self) -> Result<PbxCheck, PbxError> {
        self.pbx.check().await
    }
}

#[async_trait]
impl PbxWrite for PbxWrapper {
    async fn create_domain(&self, domain: &NewDomain) -> Answer {
        (self.before)(domain);
        (self.after)(self.pbx.create_domain(domain).await)
    }
    async fn update_domain(&self, domain: &NewDomain) -> Answer {
        (self.before)(domain);
        (self.after)(self.pbx.update_domain(domain).await)
    }
    async fn put_setting(&self, domain: DomainId, setting: &PbxSetting) -> Answer {
        (self.after)(self.pbx.put_setting(domain, setting).await)
    }
    async fn delete_setting(&self, domain: DomainId, setting: SettingId) -> Answer {
        (self.after)(self.pbx.delete_setting(domain, setting).await)
    }
    async fn delete_domain(&self, id: DomainId) -> Answer {
        (self.after)(self.pbx.delete_domain(id).await)
    }
}
