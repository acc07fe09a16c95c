//! A panic in one tenant's work, or in the reading of one server, ends nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use tenantd::fusionpbx::{DomainList, PbxCheck, PbxError, PbxRead, PbxWrite};
use tenantd::model::{DomainId, NewDomain, PbxDomain, PbxSetting, PbxUser, PbxVersion, SettingId};

use crate::common::harness::{instance, tenant};
use crate::common::scenario::{all_done, failure_of, held_because, steps};
use crate::on_both_databases;

/// A server's client with a bug that one name brings out.
struct Buggy {
    inner: Arc<dyn PbxWrite>,
    name: &'static str,
    reading: bool,
}

#[async_trait]
impl PbxRead for Buggy {
    async fn domains(&self) -> Result<DomainList, PbxError> {
        let domains = self.inner.domains().await?;
        let hit = self.reading && domains.iter().any(|domain| domain.name == self.name);
        assert!(!hit, "a bug in reading {}", self.name);
        Ok(domains)
    }
    async fn domain(&self, id: DomainId) -> Result<Option<PbxDomain>, PbxError> {
        self.inner.domain(id).await
    }
    async fn domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
        self.inner.domains_named(name).await
    }
    async fn settings(&self, domain: DomainId) -> Result<Vec<PbxSetting>, PbxError> {
        self.inner.settings(domain).await
    }
    async fn version(&self) -> Result<Option<PbxVersion>, PbxError> {
        self.inner.version().await
    }
    async fn users(&self) -> Result<Vec<PbxUser>, PbxError> {
        self.inner.users().await
    }
    async fn check(&self) -> Result<PbxCheck, PbxError> {
        self.inner.check().await
    }
}

#[async_trait]
impl PbxWrite for Buggy {
    async fn create_domain(&self, domain: &NewDomain) -> Result<(), PbxError> {
        assert!(domain.name != self.name, "a bug in making {}", self.name);
        self.inner.create_domain(domain).await
    }
    async fn update_domain(&self, domain: &NewDomain) -> Result<(), PbxError> {
        assert!(domain.name != self.name, "a bug in changing {}", self.name);
        self.inner.update_domain(domain).await
    }
    async fn put_setting(&self, domain: DomainId, setting: &PbxSetting) -> Result<(), PbxError> {
        self.inner.put_setting(domain, setting).await
    }
    async fn delete_setting(&self, domain: DomainId, setting: SettingId) -> Result<(), PbxError> {
        self.inner.delete_setting(domain, setting).await
    }
    async fn delete_domain(&self, id: DomainId) -> Result<(), PbxError> {
        self.inner.delete_domain(id).await
    }
}

on_both_databases! { async fn a_panic_in_one_tenants_work_fails_that_tenant_alone(mut harness) {
    let unmanaged = harness.unmanaged();
    let hq = instance("hq");
    let buggy = Buggy { inner: harness.writers[&hq].clone(), name: "t3.example.com", reading: false };
    harness.writers.insert(hq.clone(), Arc::new(buggy));
    harness.want((0..8).map(|n| tenant(&format!("t{n}"))));
    let (_, outcome) = harness.pass().await;
    assert_eq!(failure_of(&outcome, "t3"), "tenantd stopped this step because of an error in tenantd itself (a bug in making t3.example.com). The next run checks what was done; please report it");
    for n in [0, 1, 2, 4, 5, 6, 7] {
        assert!(all_done(&outcome, &format!("t{n}")), "{outcome:#?}");
    }
    assert!(harness.pbx("hq").domains_named("t3.example.com").is_empty());

    // Again with other work in every pass, and the others still continue.
    harness.edit("t4", |t| t.definition.name = "Changed".into());
    let (plan, outcome) = harness.pass().await;
    assert_eq!(steps(&plan), ["create t3", "update t4"]);
    assert!(all_done(&outcome, "t4"));
    assert!(failure_of(&outcome, "t3").starts_with("tenantd stopped this step because of an error in tenantd itself ("));

    // The bug is repaired.
    harness.connect();
    harness.settle(1).await;
    harness.only("hq", "t3.example.com");
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_panic_in_reading_one_server_makes_that_server_unknown(mut harness) {
    let unmanaged = harness.unmanaged();
    let hq = instance("hq");
    let mut there = tenant("there");
    there.definition.instance = instance("branch");
    harness.want([tenant("acme"), there]);
    harness.converge().await;
    let buggy = Buggy { inner: harness.writers[&hq].clone(), name: "acme.example.com", reading: true };
    harness.readers.insert(hq.clone(), Arc::new(buggy));
    for name in ["acme", "there"] {
        harness.edit(name, |t| t.definition.name = "Changed".into());
    }
    let (plan, outcome) = harness.pass().await;
    assert!(all_done(&outcome, "there"));
    assert!(held_because(&plan, "acme").contains("reading it panicked: a bug in reading acme.example.com"));
    harness.connect();
    harness.settle(1).await;
    harness.assert_converged(&unmanaged).await;
} }
