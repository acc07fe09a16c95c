//! Failures: servers that cannot be reached, wrong accounts and certificates, lost answers.

use std::sync::Arc;
use std::time::Duration;

use tenantd::config::TlsTrust;
use tenantd::fusionpbx::{PbxError, PbxErrorKind};
use tenantd::model::{MaxUsers, Secret, SettingName};

use crate::common::harness::instance;
use crate::common::pbx_wrapper::{Answer, PbxWrapper};
use crate::common::scenario::{all_done, held_because, steps};
use crate::site::Live;
use crate::{live, request_counts};

/// One pass while `hq` cannot be read; returns the line that reports it.
async fn line_of_a_pass_without_hq(live: &Live) -> String {
    let changes = request_counts::changes();
    let (plan, outcome) = live.harness.pass().await;
    assert!(held_because(&plan, "acme").contains("hq was not checked"), "{plan:#?}");
    assert_eq!(plan.warnings.len(), 1, "{:#?}", plan.warnings);
    if live.has_second() {
        assert!(all_done(&outcome, "other"), "the other server's tenants go on: {outcome:#?}");
    } else {
        assert_eq!(request_counts::changes(), changes);
    }
    let line = &plan.warnings[0];
    assert!(line.starts_with("nothing is changed on hq, and its "), "{line}");
    let (_, reason) =
        line.split_once(" not checked: cannot read the domains: ").unwrap_or_else(|| panic!("{line}"));
    reason.to_owned()
}

/// Something to do on `hq`, and on the other server if there is one.
fn ask_for_something(live: &mut Live, what: &str) {
    for name in ["acme", "other"] {
        if live.harness.desired.tenants.contains_key(&crate::common::harness::key(name)) {
            live.harness.edit(name, |t| t.definition.name = what.into());
        }
    }
}

live! { Second: async fn an_unreadable_server_is_reported_in_one_line_and_holds_only_its_own_tenants(mut live) {
    let acme = live.tenant("acme");
    live.harness.want([acme]);
    if live.has_second() {
        let mut other = live.tenant("other");
        other.definition.instance = instance("branch");
        live.harness.desired.tenants.insert(other.key.clone(), other);
    }
    live.converge().await;
    let (hq, good) = (instance("hq"), live.harness.config.clone());
    let password = live.harness.passwords[&hq].clone();

    // No one listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    live.harness.config.instances.get_mut(&hq).unwrap().url = format!("https://{free}").parse().unwrap();
    live.harness.connect();
    ask_for_something(live, "one");
    let line = line_of_a_pass_without_hq(live).await;
    assert!(line.starts_with("the server cannot be reached: connection refused"), "{line}");

    // Another certificate than the pinned one: the password is not sent.
    live.harness.config = good.clone();
    live.harness.config.instances.get_mut(&hq).unwrap().tls = TlsTrust::Fingerprint([7; 32]);
    live.harness.connect();
    ask_for_something(live, "two");
    let line = line_of_a_pass_without_hq(live).await;
    assert!(line.starts_with("the server's certificate is not trusted: its fingerprint is sha256:"), "{line}");

    // A wrong password: tried once, and no more.
    live.harness.config = good;
    live.harness.passwords.insert(hq.clone(), Secret::new("not-the-password"));
    live.harness.connect();
    ask_for_something(live, "three");
    let line = line_of_a_pass_without_hq(live).await;
    assert!(line.starts_with("the server rejected the user name or password. "), "{line}");
    let requests = request_counts::requests();
    ask_for_something(live, "four");
    line_of_a_pass_without_hq(live).await;
    if !live.has_second() {
        assert_eq!(request_counts::requests(), requests, "rejected credentials are not tried again");
    }

    live.harness.passwords.insert(hq, password);
    live.harness.connect();
    live.harness.settle(1).await;
    let domain = live.browser("hq").only(&live.name("acme")).await;
    assert_eq!(live.browser("hq").domain(domain).await["domain_description"], "four");
} }

/// Every answer to a changing request gets lost.
fn lost(answer: Answer) -> Answer {
    answer?;
    Err(PbxError::new("change something", PbxErrorKind::OutcomeUnknown { detail: "lost by a test".into() }))
}

live! { async fn where_every_answer_is_lost_every_write_is_still_done_once(mut live) {
    let hq = instance("hq");
    let forgetful = PbxWrapper { after: lost, ..PbxWrapper::new(live.harness.writers[&hq].clone()) };
    live.harness.writers.insert(hq, Arc::new(forgetful));
    let mut acme = live.tenant("acme");
    acme.definition.max_users = MaxUsers::Limited(3);
    acme.definition.pbx_settings.insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
    live.harness.want([acme]);
    live.harness.settle(6).await;
    let domain = live.browser("hq").only(&live.name("acme")).await;
    assert_eq!(live.browser("hq").settings(domain).await.len(), 2, "no row twice");
    live.browser("hq").add_setting(domain, "domain.cidr.array", "0.0.0.0/0", true, "").await;
    let settings = live.browser("hq").settings(domain).await;
    let renamed = live.domain("renamed");
    live.harness.edit("acme", |t| {
        t.definition.name = "Another".into();
        t.definition.domain = renamed;
    });
    live.harness.settle(6).await;
    assert_eq!(live.browser("hq").only(&live.name("renamed")).await, domain);
    live.harness.edit("acme", |t| t.definition.enabled = false);
    live.harness.settle(6).await;
    assert_eq!(live.browser("hq").values(domain, "cidr").await, ["255.255.255.255/32"]);
    live.harness.edit("acme", |t| t.definition.enabled = true);
    live.harness.settle(6).await;
    assert_eq!(live.browser("hq").settings(domain).await, settings);
    live.harness.connect();
} }

live! { async fn the_check_of_the_account_names_missing_permissions(mut live) {
    for reader in live.harness.readers.values() {
        let check = reader.check().await.unwrap();
        assert!(check.domains_enabled >= 1 && check.domains_total >= check.domains_enabled, "{check:?}");
        let lacks: Vec<_> = check.missing_permissions.iter().map(|missing| missing.permission).collect();
        let expected: &[&str] = if live.may_delete { &[] } else { &["domain_delete"] };
        assert_eq!(lacks, expected);
        assert!(check.clock_skew_seconds.is_some());
    }
    live.harness.want([]);
} }

live! { async fn several_sessions_work_side_by_side_and_each_tenant_is_made_once(mut live) {
    let tenants: Vec<_> = (0..16).map(|n| live.tenant(&format!("t{n}"))).collect();
    live.harness.want(tenants);
    let started = std::time::Instant::now();
    let plan = live.converge().await;
    assert_eq!(steps(&plan).len(), 16);
    assert!(started.elapsed() < Duration::from_secs(300), "bounded, also on a busy server");
    let named = live.browser("hq").domains().await;
    for n in 0..16 {
        let name = live.name(&format!("t{n}"));
        assert_eq!(named.values().filter(|found| **found == name).count(), 1);
    }
} }
