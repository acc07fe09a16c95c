//! Which domain is whose: names that two have, and servers that are not the ones we knew.

use std::net::SocketAddr;

use chrono::TimeDelta;
use fusionpbx_standin::{StandIn, StandInOptions};
use tenantd::model::{DomainName, MaxUsers};

use crate::common::rig::{Rig, instance, tenant};
use crate::common::scenario::{failure_of, held_because, steps};
use crate::on_both_databases;

fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

on_both_databases! { async fn of_two_domains_with_one_name_only_our_own_is_touched(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("calm")]);
    rig.converge().await;
    let ours = rig.only("hq", "acme.example.com").uuid;
    let theirs = rig.pbx("hq").add_domain("acme.example.com", Some(true), Some("theirs"));
    let digest = rig.pbx("hq").digest_of_domain(theirs);
    assert!(rig.plan().await.is_empty(), "a domain is ours by its id, not by its name");

    rig.edit("acme", |t| {
        t.definition.name = "Changed".into();
        t.definition.max_users = MaxUsers::Limited(3);
    });
    rig.converge().await;
    rig.edit("acme", |t| t.definition.enabled = false);
    rig.converge().await;
    assert_eq!(rig.pbx("hq").domain(ours).unwrap().enabled, Some(false));
    rig.edit("acme", |t| t.definition.enabled = true);
    rig.converge().await;
    assert_eq!(rig.pbx("hq").digest_of_domain(theirs), digest);

    // What FusionPBX does by name would take theirs along: neither renamed nor deleted.
    let before = rig.mutations();
    rig.edit("acme", |t| t.definition.domain = domain("acme.example.org"));
    let (plan, _) = rig.pass().await;
    assert!(plan.steps.is_empty());
    let why = held_because(&plan, "acme");
    assert!(why.starts_with("another domain on hq is also named acme.example.com"), "{why}");
    assert_eq!(rig.mutations(), before);
    rig.remove_file("acme");
    rig.settle(1).await;
    rig.live_through(TimeDelta::days(31)).await;
    let plan = rig.plan().await;
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert!(held_because(&plan, "acme").starts_with("another domain on hq is also named acme.example.com"));
    assert_eq!(rig.pbx("hq").digest_of_domain(theirs), digest);
    // Theirs gets another name from an operator.
    rig.pbx("hq").edit_domain(theirs, |row| row.name = "theirs.example.com".into());
    let digest = rig.pbx("hq").digest_of_domain(theirs);
    rig.converge().await;
    assert!(rig.pbx("hq").domain(ours).is_none());
    assert_eq!(rig.pbx("hq").digest_of_domain(theirs), digest);
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_name_that_is_shared_after_the_plan_is_neither_renamed_nor_deleted(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("gone"), tenant("calm")]);
    rig.converge().await;
    rig.remove_file("gone");
    rig.settle(1).await;
    rig.live_through(TimeDelta::days(31)).await;
    rig.edit("acme", |t| t.definition.domain = domain("acme.example.org"));
    let look = rig.look().await;
    let plan = look.plan();
    assert_eq!(steps(&plan), ["rename acme", "delete gone"]);
    let theirs = ["acme", "gone"].map(|name| {
        rig.pbx("hq").add_domain(&format!("{name}.example.com"), Some(false), Some("theirs"))
    });
    let digests = theirs.map(|uuid| rig.pbx("hq").digest_of_domain(uuid));
    let outcome = rig.carry_out(&look, &plan).await;
    for name in ["acme", "gone"] {
        assert_eq!(
            failure_of(&outcome, name),
            format!("skipped: a domain {name}.example.com was created on hq since the plan was made")
        );
    }
    assert_eq!(theirs.map(|uuid| rig.pbx("hq").digest_of_domain(uuid)), digests);
    for uuid in theirs {
        rig.pbx("hq").edit_domain(uuid, |row| row.name = format!("theirs-{}", row.name));
    }
    rig.converge().await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_rename_onto_a_name_in_use_is_held_and_comes_when_the_name_is_free(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("calm")]);
    rig.converge().await;
    let taken = rig.pbx("hq").add_domain("wanted.example.com", Some(false), None);
    rig.edit("acme", |t| t.definition.domain = domain("wanted.example.com"));
    let before = rig.mutations();
    for _ in 0..2 {
        let (plan, _) = rig.pass().await;
        assert!(plan.steps.is_empty());
        assert_eq!(held_because(&plan, "acme"), "wanted.example.com already exists on hq, and is not managed by tenantd");
    }
    assert_eq!(rig.mutations(), before);
    rig.only("hq", "acme.example.com");
    rig.pbx("hq").remove_domain(taken);
    assert_eq!(steps(&rig.converge().await), ["rename acme"]);
    rig.only("hq", "wanted.example.com");
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_name_that_is_taken_after_the_plan_is_not_renamed_onto(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("calm")]);
    rig.converge().await;
    rig.edit("acme", |t| t.definition.domain = domain("wanted.example.com"));
    let look = rig.look().await;
    let plan = look.plan();
    assert_eq!(steps(&plan), ["rename acme"]);
    let taken = rig.pbx("hq").add_domain("wanted.example.com", Some(true), None);
    let before = rig.mutations();
    let outcome = rig.carry_out(&look, &plan).await;
    let line = failure_of(&outcome, "acme");
    assert_eq!(line, "skipped: a domain wanted.example.com was created on hq since the plan was made");
    assert_eq!(rig.mutations(), before);
    rig.pbx("hq").remove_domain(taken);
    rig.converge().await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_name_that_is_taken_after_the_plan_is_not_created_a_second_time(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("calm")]);
    let look = rig.look().await;
    let plan = look.plan();
    let taken = rig.pbx("hq").add_domain("acme.example.com", Some(true), Some("theirs"));
    let digest = rig.pbx("hq").digest_of_domain(taken);
    let outcome = rig.carry_out(&look, &plan).await;
    let line = failure_of(&outcome, "acme");
    assert_eq!(line, "skipped: a domain acme.example.com was created on hq since the plan was made");
    assert_eq!(rig.only("hq", "acme.example.com").uuid, taken);
    assert_eq!(rig.pbx("hq").digest_of_domain(taken), digest);
    rig.pbx("hq").remove_domain(taken);
    rig.converge().await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn two_tenants_that_swap_their_domains_are_held_and_nothing_is_mixed_up(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("bolt")]);
    rig.converge().await;
    let (acme, bolt) = (rig.only("hq", "acme.example.com").uuid, rig.only("hq", "bolt.example.com").uuid);
    rig.edit("acme", |t| t.definition.domain = domain("bolt.example.com"));
    rig.edit("bolt", |t| t.definition.domain = domain("acme.example.com"));
    let before = rig.mutations();
    let (plan, _) = rig.pass().await;
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert_eq!(
        held_because(&plan, "acme"),
        "bolt.example.com still belongs to the tenant bolt. Give bolt another domain first"
    );
    assert_eq!(rig.mutations(), before);
    // By way of a third name.
    rig.edit("acme", |t| t.definition.domain = domain("between.example.com"));
    rig.settle(3).await;
    rig.edit("acme", |t| t.definition.domain = domain("bolt.example.com"));
    rig.settle(3).await;
    assert_eq!(rig.only("hq", "bolt.example.com").uuid, acme);
    assert_eq!(rig.only("hq", "acme.example.com").uuid, bolt);
    rig.assert_at_rest(&unmanaged).await;
} }

/// Tenants on both servers, known to tenantd as they are.
async fn prepared(rig: &mut Rig) {
    for n in 0..4 {
        for on in ["hq", "branch"] {
            let mut tenant = tenant(&format!("{on}{n}"));
            tenant.definition.instance = instance(on);
            rig.desired.tenants.insert(tenant.key.clone(), tenant);
        }
    }
    rig.converge().await;
}

on_both_databases! { async fn servers_with_swapped_addresses_are_recognised_and_not_changed(mut rig) {
    let unmanaged = rig.unmanaged();
    prepared(&mut rig).await;
    let address = |server: &StandIn| -> SocketAddr { server.url().trim_start_matches("https://").parse().unwrap() };
    // The same account on both, or the swap would end at a rejected password.
    let mut stopped = Vec::new();
    for name in ["hq", "branch"] {
        let server = rig.servers.remove(&instance(name)).unwrap();
        stopped.push((name, address(&server), server.pbx().clone()));
        server.stop().await;
    }
    for (name, other) in [(0, 1), (1, 0)] {
        let listen = stopped[name].1;
        let server =
            StandIn::resume(StandInOptions { listen, ..StandInOptions::default() }, stopped[other].2.clone());
        rig.servers.insert(instance(stopped[name].0), server.await.unwrap());
    }
    for (name, other) in [("hq", "branch"), ("branch", "hq")] {
        let username = format!("tenantd@{other}-pbx.example.com");
        let server = &rig.servers[&instance(name)];
        let config = crate::common::rig::instance_config(name, server);
        rig.config.instances.insert(instance(name), tenantd::config::InstanceConfig { username, ..config });
    }
    rig.connect();
    rig.edit("hq0", |t| t.definition.name = "Changed".into());
    rig.edit("branch0", |t| t.definition.enabled = false);
    rig.remove_file("hq1");
    let before = rig.mutations();
    for _ in 0..3 {
        let (plan, _) = rig.pass().await;
        assert!(plan.steps.is_empty(), "{plan:#?}");
        assert_eq!(plan.held.len(), 3);
        assert_eq!(plan.warnings.len(), 2, "{:#?}", plan.warnings);
        for (warning, name) in plan.warnings.iter().zip(["branch", "hq"]) {
            assert!(warning.contains(&format!("nothing is changed on {name}")), "{warning}");
            assert!(warning.contains("another server answers at its address"), "{warning}");
            assert!(warning.contains(&format!("tenantd pbx enroll {name}")), "{warning}");
        }
    }
    assert_eq!(rig.mutations(), before);

    // The addresses are corrected in the configuration.
    let (hq, branch) = (instance("hq"), instance("branch"));
    let (one, two) = (rig.servers.remove(&hq).unwrap(), rig.servers.remove(&branch).unwrap());
    rig.servers = [(hq.clone(), two), (branch.clone(), one)].into();
    for name in ["hq", "branch"] {
        let config = crate::common::rig::instance_config(name, &rig.servers[&instance(name)]);
        rig.config.instances.insert(instance(name), config);
    }
    rig.connect();
    rig.settle(2).await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_restored_backup_is_not_written_to(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("old0"), tenant("old1"), tenant("calm")]);
    rig.converge().await;
    let yesterday = rig.pbx("hq").snapshot();
    // A day's work that the backup does not know.
    for n in 0..5 {
        let tenant = tenant(&format!("new{n}"));
        rig.desired.tenants.insert(tenant.key.clone(), tenant);
    }
    rig.edit("old0", |t| t.definition.domain = domain("renamed.example.com"));
    rig.edit("old1", |t| t.definition.enabled = false);
    rig.edit("calm", |t| t.definition.name = "Calm & Co".into());
    rig.converge().await;
    let today = rig.pbx("hq").snapshot();

    rig.pbx("hq").restore(&yesterday);
    let before = rig.mutations();
    let digests = rig.pbx("hq").digests();
    for _ in 0..3 {
        let (plan, _) = rig.pass().await;
        assert!(plan.steps.is_empty(), "{:#?}", plan.steps);
        let why = held_because(&plan, "new0");
        assert!(why.starts_with("5 recorded domains are missing on hq at once"), "{why}");
        assert!(held_because(&plan, "old0").contains("so nothing is changed there"));
        assert_eq!(plan.held.len(), 8);
    }
    assert_eq!(rig.mutations(), before);
    assert_eq!(rig.pbx("hq").digests(), digests);

    // The right state is put back.
    rig.pbx("hq").restore(&today);
    rig.assert_at_rest(&unmanaged).await;
} }
