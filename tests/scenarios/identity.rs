//! Which domain is whose: names that two have, and servers that are not the ones we knew.

use std::net::SocketAddr;

use chrono::TimeDelta;
use fusionpbx_standin::{StandIn, StandInOptions};
use tenantd::model::{DomainName, MaxUsers};

use crate::common::harness::{Harness, instance, tenant};
use crate::common::scenario::{failure_of, held_because, steps};
use crate::on_both_databases;

fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

on_both_databases! { async fn of_two_domains_with_one_name_only_our_own_is_touched(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    let ours = harness.only("hq", "acme.example.com").uuid;
    let theirs = harness.pbx("hq").add_domain("acme.example.com", Some(true), Some("theirs"));
    let digest = harness.pbx("hq").digest_of_domain(theirs);
    assert!(harness.plan().await.is_empty(), "a domain is ours by its id, not by its name");

    harness.edit("acme", |t| {
        t.definition.name = "Changed".into();
        t.definition.max_users = MaxUsers::Limited(3);
    });
    harness.converge().await;
    harness.edit("acme", |t| t.definition.enabled = false);
    harness.converge().await;
    assert_eq!(harness.pbx("hq").domain(ours).unwrap().enabled, Some(false));
    harness.edit("acme", |t| t.definition.enabled = true);
    harness.converge().await;
    assert_eq!(harness.pbx("hq").digest_of_domain(theirs), digest);

    // What FusionPBX does by name would take theirs along: neither renamed nor deleted.
    let before = harness.mutations();
    harness.edit("acme", |t| t.definition.domain = domain("acme.example.org"));
    let (plan, _) = harness.pass().await;
    assert!(plan.steps.is_empty());
    let why = held_because(&plan, "acme");
    assert!(why.starts_with("another domain on hq is also named acme.example.com"), "{why}");
    assert_eq!(harness.mutations(), before);
    harness.remove_file("acme");
    harness.settle(1).await;
    harness.live_through(TimeDelta::days(31)).await;
    let plan = harness.plan().await;
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert!(held_because(&plan, "acme").starts_with("another domain on hq is also named acme.example.com"));
    assert_eq!(harness.pbx("hq").digest_of_domain(theirs), digest);
    // Theirs gets another name from an operator.
    harness.pbx("hq").edit_domain(theirs, |row| row.name = "theirs.example.com".into());
    let digest = harness.pbx("hq").digest_of_domain(theirs);
    harness.converge().await;
    assert!(harness.pbx("hq").domain(ours).is_none());
    assert_eq!(harness.pbx("hq").digest_of_domain(theirs), digest);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_name_that_is_shared_after_the_plan_is_neither_renamed_nor_deleted(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("gone"), tenant("calm")]);
    harness.converge().await;
    harness.remove_file("gone");
    harness.settle(1).await;
    harness.live_through(TimeDelta::days(31)).await;
    harness.edit("acme", |t| t.definition.domain = domain("acme.example.org"));
    let look = harness.look().await;
    let plan = look.plan();
    assert_eq!(steps(&plan), ["rename acme", "delete gone"]);
    let theirs = ["acme", "gone"].map(|name| {
        harness.pbx("hq").add_domain(&format!("{name}.example.com"), Some(false), Some("theirs"))
    });
    let digests = theirs.map(|uuid| harness.pbx("hq").digest_of_domain(uuid));
    let outcome = harness.carry_out(&look, &plan).await;
    for name in ["acme", "gone"] {
        assert_eq!(
            failure_of(&outcome, name),
            format!("skipped: a domain {name}.example.com was created on hq since the plan was made")
        );
    }
    assert_eq!(theirs.map(|uuid| harness.pbx("hq").digest_of_domain(uuid)), digests);
    for uuid in theirs {
        harness.pbx("hq").edit_domain(uuid, |row| row.name = format!("theirs-{}", row.name));
    }
    harness.converge().await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_rename_onto_a_name_in_use_is_held_and_comes_when_the_name_is_free(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    let taken = harness.pbx("hq").add_domain("wanted.example.com", Some(false), None);
    harness.edit("acme", |t| t.definition.domain = domain("wanted.example.com"));
    let before = harness.mutations();
    for _ in 0..2 {
        let (plan, _) = harness.pass().await;
        assert!(plan.steps.is_empty());
        assert_eq!(held_because(&plan, "acme"), "wanted.example.com already exists on hq and is not managed by tenantd");
    }
    assert_eq!(harness.mutations(), before);
    harness.only("hq", "acme.example.com");
    harness.pbx("hq").remove_domain(taken);
    assert_eq!(steps(&harness.converge().await), ["rename acme"]);
    harness.only("hq", "wanted.example.com");
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_name_that_is_taken_after_the_plan_is_not_renamed_onto(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    harness.edit("acme", |t| t.definition.domain = domain("wanted.example.com"));
    let look = harness.look().await;
    let plan = look.plan();
    assert_eq!(steps(&plan), ["rename acme"]);
    let taken = harness.pbx("hq").add_domain("wanted.example.com", Some(true), None);
    let before = harness.mutations();
    let outcome = harness.carry_out(&look, &plan).await;
    let line = failure_of(&outcome, "acme");
    assert_eq!(line, "skipped: a domain wanted.example.com was created on hq since the plan was made");
    assert_eq!(harness.mutations(), before);
    harness.pbx("hq").remove_domain(taken);
    harness.converge().await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_name_that_is_taken_after_the_plan_is_not_created_a_second_time(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    let look = harness.look().await;
    let plan = look.plan();
    let taken = harness.pbx("hq").add_domain("acme.example.com", Some(true), Some("theirs"));
    let digest = harness.pbx("hq").digest_of_domain(taken);
    let outcome = harness.carry_out(&look, &plan).await;
    let line = failure_of(&outcome, "acme");
    assert_eq!(line, "skipped: a domain acme.example.com was created on hq since the plan was made");
    assert_eq!(harness.only("hq", "acme.example.com").uuid, taken);
    assert_eq!(harness.pbx("hq").digest_of_domain(taken), digest);
    harness.pbx("hq").remove_domain(taken);
    harness.converge().await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn two_tenants_that_swap_their_domains_are_held_and_nothing_is_mixed_up(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("bolt")]);
    harness.converge().await;
    let (acme, bolt) = (harness.only("hq", "acme.example.com").uuid, harness.only("hq", "bolt.example.com").uuid);
    harness.edit("acme", |t| t.definition.domain = domain("bolt.example.com"));
    harness.edit("bolt", |t| t.definition.domain = domain("acme.example.com"));
    let before = harness.mutations();
    let (plan, _) = harness.pass().await;
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert_eq!(
        held_because(&plan, "acme"),
        "bolt.example.com still belongs to the tenant bolt. Give bolt another domain first"
    );
    assert_eq!(harness.mutations(), before);
    // By way of a third name.
    harness.edit("acme", |t| t.definition.domain = domain("between.example.com"));
    harness.settle(3).await;
    harness.edit("acme", |t| t.definition.domain = domain("bolt.example.com"));
    harness.settle(3).await;
    assert_eq!(harness.only("hq", "bolt.example.com").uuid, acme);
    assert_eq!(harness.only("hq", "acme.example.com").uuid, bolt);
    harness.assert_converged(&unmanaged).await;
} }

/// Tenants on both servers, known to tenantd as they are.
async fn prepared(harness: &mut Harness) {
    for n in 0..4 {
        for on in ["hq", "branch"] {
            let mut tenant = tenant(&format!("{on}{n}"));
            tenant.definition.instance = instance(on);
            harness.desired.tenants.insert(tenant.key.clone(), tenant);
        }
    }
    harness.converge().await;
}

on_both_databases! { async fn servers_with_swapped_addresses_are_recognised_and_not_changed(mut harness) {
    let unmanaged = harness.unmanaged();
    prepared(&mut harness).await;
    let address = |server: &StandIn| -> SocketAddr { server.url().trim_start_matches("https://").parse().unwrap() };
    // The same account on both, or the swap would end at a rejected password.
    let mut stopped = Vec::new();
    for name in ["hq", "branch"] {
        let server = harness.servers.remove(&instance(name)).unwrap();
        stopped.push((name, address(&server), server.pbx().clone()));
        server.stop().await;
    }
    for (name, other) in [(0, 1), (1, 0)] {
        let listen = stopped[name].1;
        let server =
            StandIn::resume(StandInOptions { listen, ..StandInOptions::default() }, stopped[other].2.clone());
        harness.servers.insert(instance(stopped[name].0), server.await.unwrap());
    }
    for (name, other) in [("hq", "branch"), ("branch", "hq")] {
        let username = format!("tenantd@{other}-pbx.example.com");
        let server = &harness.servers[&instance(name)];
        let config = crate::common::harness::instance_config(name, server);
        harness.config.instances.insert(instance(name), tenantd::config::InstanceConfig { username, ..config });
    }
    harness.connect();
    harness.edit("hq0", |t| t.definition.name = "Changed".into());
    harness.edit("branch0", |t| t.definition.enabled = false);
    harness.remove_file("hq1");
    let before = harness.mutations();
    for _ in 0..3 {
        let (plan, _) = harness.pass().await;
        assert!(plan.steps.is_empty(), "{plan:#?}");
        assert_eq!(plan.held.len(), 3);
        assert_eq!(plan.warnings.len(), 2, "{:#?}", plan.warnings);
        for (warning, name) in plan.warnings.iter().zip(["branch", "hq"]) {
            assert!(warning.contains(&format!("nothing is changed on {name}")), "{warning}");
            assert!(warning.contains("another server answers at its address"), "{warning}");
            assert!(warning.contains(&format!("tenantd pbx enroll {name}")), "{warning}");
        }
    }
    assert_eq!(harness.mutations(), before);

    // The addresses are corrected in the configuration.
    let (hq, branch) = (instance("hq"), instance("branch"));
    let (one, two) = (harness.servers.remove(&hq).unwrap(), harness.servers.remove(&branch).unwrap());
    harness.servers = [(hq.clone(), two), (branch.clone(), one)].into();
    for name in ["hq", "branch"] {
        let config = crate::common::harness::instance_config(name, &harness.servers[&instance(name)]);
        harness.config.instances.insert(instance(name), config);
    }
    harness.connect();
    harness.settle(2).await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_restored_backup_is_not_written_to(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("old0"), tenant("old1"), tenant("calm")]);
    harness.converge().await;
    let yesterday = harness.pbx("hq").snapshot();
    // A day's work that the backup does not know.
    for n in 0..5 {
        let tenant = tenant(&format!("new{n}"));
        harness.desired.tenants.insert(tenant.key.clone(), tenant);
    }
    harness.edit("old0", |t| t.definition.domain = domain("renamed.example.com"));
    harness.edit("old1", |t| t.definition.enabled = false);
    harness.edit("calm", |t| t.definition.name = "Calm & Co".into());
    harness.converge().await;
    let today = harness.pbx("hq").snapshot();

    harness.pbx("hq").restore(&yesterday);
    let before = harness.mutations();
    let digests = harness.pbx("hq").digests();
    for _ in 0..3 {
        let (plan, _) = harness.pass().await;
        assert!(plan.steps.is_empty(), "{:#?}", plan.steps);
        let why = held_because(&plan, "new0");
        assert!(why.starts_with("5 recorded domains are missing on hq at once"), "{why}");
        assert!(held_because(&plan, "old0").contains("so nothing is changed there"));
        assert_eq!(plan.held.len(), 8);
    }
    assert_eq!(harness.mutations(), before);
    assert_eq!(harness.pbx("hq").digests(), digests);

    // The right state is put back.
    harness.pbx("hq").restore(&today);
    harness.assert_converged(&unmanaged).await;
} }
