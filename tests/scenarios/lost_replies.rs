//! A changing request whose answer is lost may have been carried out. It never makes a second domain or a second row, and
//! the next passes reconcile everything with the file.

use std::time::Duration;

use chrono::TimeDelta;
use fusionpbx_standin::{Fault, FaultKind, NewSetting, SettingRow};
use tenantd::model::{DomainName, MaxUsers, SettingName};
use uuid::Uuid;

use crate::common::harness::{Harness, instance, key, tenant};
use crate::on_both_databases;

/// The pages that change something, with the greatest number of such requests in the life of a tenant.
const WRITES: [(&str, u32); 4] =
    [("domain_edit.php", 7), ("domain_setting_edit.php", 7), ("domain_settings.php", 2), ("domains.php", 2)];

/// The greatest number of passes after a lost reply until nothing is left to do.
const MAX_PASSES: usize = 6;

/// The life of a tenant, from its file to its deletion, while changing requests lose their answers.
struct Life<'a> {
    harness: &'a mut Harness,
    name: String,
    case: String,
}

impl Life<'_> {
    async fn settle(&mut self, stage: &str) {
        self.harness.settle(MAX_PASSES).await;
        for server in self.harness.servers.values() {
            for domain in [format!("{}.example.com", self.name), format!("{}.example.org", self.name)] {
                let found = server.pbx().domains_named(&domain);
                assert!(found.len() <= 1, "{} at {stage}: {found:#?}", self.case);
            }
        }
    }

    fn rows(&self, uuid: Uuid) -> Vec<SettingRow> {
        let mut rows = self.harness.pbx("hq").settings(uuid);
        rows.iter_mut().for_each(|row| row.updated = None);
        rows
    }

    async fn live(&mut self) {
        let (name, case) = (self.name.clone(), self.case.clone());
        let mut wanted = tenant(&name);
        wanted.definition.max_users = MaxUsers::Limited(3);
        wanted
            .definition
            .pbx_settings
            .insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
        self.harness.desired.tenants.insert(wanted.key.clone(), wanted);
        self.settle("create").await;
        let uuid = self.harness.only("hq", &format!("{name}.example.com")).uuid;
        assert_eq!(self.rows(uuid).len(), 2, "{case}");

        self.harness.edit(&name, |t| {
            t.definition.name = "Another".into();
            t.definition.max_users = MaxUsers::Limited(4);
        });
        self.settle("update").await;
        self.harness.edit(&name, |t| {
            t.definition.domain = DomainName::parse(&format!("{name}.example.org")).unwrap()
        });
        self.settle("rename").await;
        let renamed = self.harness.only("hq", &format!("{name}.example.org"));
        assert_eq!((renamed.uuid, renamed.description.as_deref()), (uuid, Some("Another")), "{case}");

        self.harness.pbx("hq").add_setting(uuid, NewSetting::new("domain", "cidr", "array", "192.0.2.0/24"));
        let before = self.rows(uuid);
        self.harness.edit(&name, |t| t.definition.enabled = false);
        self.settle("disable").await;
        assert!(!self.harness.pbx("hq").switch_accepts(uuid), "{case}");
        assert_eq!(self.rows(uuid).len(), 4, "{case}");
        self.harness.edit(&name, |t| t.definition.enabled = true);
        self.settle("enable").await;
        assert!(self.harness.pbx("hq").switch_accepts(uuid), "{case}");
        assert_eq!(self.rows(uuid), before, "{case}: exactly as before");

        self.harness.edit(&name, |t| t.definition.instance = instance("branch"));
        self.settle("move").await;
        assert_eq!(self.harness.only("branch", &format!("{name}.example.org")).enabled, Some(true), "{case}");
        assert_eq!(self.harness.only("hq", &format!("{name}.example.org")).enabled, Some(false), "{case}");
        self.harness.edit(&name, |t| t.definition.instance = instance("hq"));
        self.settle("move back").await;
        assert_eq!(self.rows(uuid), before, "{case}");

        self.harness.remove_file(&name);
        self.harness.clock.advance(TimeDelta::hours(25));
        self.settle("remove").await;
        self.harness.live_through(TimeDelta::days(31) + TimeDelta::minutes(1)).await;
        self.settle("delete").await;
        self.harness.clock.advance(TimeDelta::hours(25));
        self.settle("delete again").await;
        assert!(self.harness.pbx("hq").domains_named(&format!("{name}.example.org")).is_empty(), "{case}");
        assert!(
            self.harness.pbx("branch").domains_named(&format!("{name}.example.org")).is_empty(),
            "{case}"
        );
        assert!(!self.harness.recorded().await.tenants.contains_key(&key(&name)), "{case}");
    }
}

const KINDS: [FaultKind; 5] = [
    // Carried out, but the answer is lost.
    FaultKind::CommitThenReset,
    FaultKind::CommitThenStatus(500),
    FaultKind::CommitThenHang,
    // Not carried out: lost on the way, or answered as on success.
    FaultKind::ConnectionReset,
    FaultKind::IgnoreWrites,
];

/// The environment variable that combines all kinds with all writes, which takes minutes.
const FULL: &str = "TENANTD_TEST_FULL";

/// How long the client waits for an answer: shortly, if none will come.
fn timeout_for(kind: &FaultKind) -> Duration {
    Duration::from_secs(if *kind == FaultKind::CommitThenHang { 1 } else { 20 })
}

/// One life of a tenant for each fault. Returns how many requests failed.
async fn lives(harness: &mut Harness, faults: Vec<(FaultKind, Fault)>) -> u32 {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("calm")]);
    harness.converge().await;
    let mut failed = 0;
    for (number, (kind, fault)) in faults.into_iter().enumerate() {
        harness.connect_with_short_timeout(timeout_for(&kind));
        let case = format!("{fault:?}");
        let fault = harness.pbx("hq").inject(fault);
        Life { harness, name: format!("t{number}"), case }.live().await;
        failed += harness.pbx("hq").fired(fault);
        harness.pbx("hq").clear_faults();
    }
    harness.assert_converged(&unmanaged).await;
    failed
}

on_both_databases! { async fn one_lost_reply_makes_no_second_domain_and_no_second_row(mut harness) {
    let full = std::env::var_os(FULL).is_some();
    // Each write gets one kind of fault, and another one on the other database.
    let offset = usize::from(matches!(harness.config.database, tenantd::config::DatabaseConfig::Sqlite { .. }));
    let mut faults = Vec::new();
    for (page, most) in WRITES {
        for nth in 1..=most {
            for (number, kind) in KINDS.into_iter().enumerate() {
                if full || (faults.len() + offset) % KINDS.len() == number {
                    let fault = Fault::new(kind.clone()).page(page).method("POST").nth(nth);
                    faults.push((kind, fault));
                    if !full {
                        break;
                    }
                }
            }
        }
    }
    let failed = lives(&mut harness, faults).await;
    assert!(failed >= 12, "only {failed} requests failed");
} }

on_both_databases! { async fn every_write_is_done_once_although_every_reply_is_lost(mut harness) {
    let on = |kind: FaultKind, page: &str| (kind.clone(), Fault::new(kind).page(page).method("POST"));
    let mut faults = Vec::new();
    for (page, _) in WRITES {
        faults.push(on(FaultKind::CommitThenReset, page));
        faults.push(on(FaultKind::CommitThenStatus(502), page));
    }
    faults.push(on(FaultKind::CommitThenHang, "domain_setting_edit.php"));
    assert!(lives(&mut harness, faults).await >= 30);
} }

on_both_databases! { async fn all_writes_are_done_in_the_end_although_every_second_one_fails(mut harness) {
    let mut faults = Vec::new();
    for kind in [FaultKind::ConnectionReset, FaultKind::IgnoreWrites] {
        for page in ["domain_edit.php", "domain_setting_edit.php"] {
            faults.push((kind.clone(), Fault::new(kind.clone()).page(page).method("POST").every(2)));
        }
    }
    assert!(lives(&mut harness, faults).await >= 8);
} }
