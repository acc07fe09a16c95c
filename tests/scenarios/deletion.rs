//! Deleting: refused without the permission, resumed where it died half-way, never begun twice.

use chrono::TimeDelta;
use fusionpbx_standin::{Fault, FaultKind, NewUser, TABLES};
use tenantd::config::DeletionMode;
use tenantd::plan::Action;
use tenantd::plan::StepReason;

use crate::common::harness::{Harness, key, tenant};
use crate::common::scenario::{UnmanagedDomains, failure_of, held_because, steps};
use crate::on_both_databases;

/// A tenant whose file was removed and whose retention is over.
async fn due(harness: &mut Harness, name: &str) {
    let mut wanted = tenant(name);
    wanted.definition.max_users = tenantd::model::MaxUsers::Limited(9);
    harness.desired.tenants.insert(wanted.key.clone(), wanted);
    harness.settle(1).await;
    let uuid = harness.only("hq", &format!("{name}.example.com")).uuid;
    harness.pbx("hq").add_user(NewUser {
        domain: uuid,
        username: "anna".into(),
        password: "pw".into(),
        enabled: Some(true),
        groups: vec!["user".into()],
    });
    for table in TABLES {
        harness.pbx("hq").set_rows(uuid, table, 3);
    }
    harness.remove_file(name);
    harness.clock.advance(TimeDelta::hours(25));
    harness.settle(1).await;
    harness.live_through(TimeDelta::days(30) + TimeDelta::minutes(1)).await;
}

async fn prepared(harness: &mut Harness) -> UnmanagedDomains {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("calm")]);
    harness.converge().await;
    unmanaged
}

on_both_databases! { async fn without_the_permission_to_delete_a_line_names_it_and_nothing_is_lost(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    due(&mut harness, "acme").await;
    harness.pbx("hq").revoke("domain_delete");
    harness.pbx("hq").end_sessions();
    let uuid = harness.only("hq", "acme.example.com").uuid;
    let digest = harness.pbx("hq").digest_of_domain(uuid);
    let before = harness.mutations();
    for _ in 0..2 {
        let (plan, outcome) = harness.pass().await;
        assert_eq!(steps(&plan), ["delete acme"]);
        let line = failure_of(&outcome, "acme");
        assert!(line.contains("lacks the permission `domain_delete`"), "{line}");
    }
    assert_eq!(harness.mutations(), before, "what the page does not offer is not posted");
    assert_eq!(harness.pbx("hq").digest_of_domain(uuid), digest);
    assert!(!harness.record("acme").await.definition.enabled);

    // Granted: at the next sign-in it is seen.
    harness.pbx("hq").grant("domain_delete");
    harness.pbx("hq").end_sessions();
    assert_eq!(steps(&harness.converge().await), ["delete acme"]);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_deletion_that_died_half_way_is_finished_and_not_started_again(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    for tables in 0..=TABLES.len() {
        let name = format!("t{tables}");
        due(&mut harness, &name).await;
        let domain = format!("{name}.example.com");
        let died = Fault::new(FaultKind::DieAtDeleteTable(tables)).page("domains.php").method("POST");
        let died = harness.pbx("hq").inject(died);

        let (plan, outcome) = harness.pass().await;
        assert_eq!(steps(&plan), [format!("delete {name}")]);
        let line = failure_of(&outcome, &name);
        assert!(line.contains("got no answer"), "{line}");
        assert_eq!(harness.pbx("hq").fired(died), 1);
        harness.pbx("hq").remove_fault(died);
        let half = harness.only("hq", &domain);
        assert_eq!(half.enabled, Some(false));
        assert!(harness.recorded().await.tenants.contains_key(&key(&name)), "what survives stays recorded");

        let (plan, _) = harness.pass().await;
        assert_eq!(
            steps(&plan),
            [format!("delete {name}")],
            "after {tables} tables it is finished at once, neither made again nor kept for another retention"
        );
        assert!(harness.pbx("hq").domains_named(&domain).is_empty());
        assert_eq!(harness.pbx("hq").rows(half.uuid, "v_users"), 0);
        assert!(!harness.recorded().await.tenants.contains_key(&key(&name)));
        let tombstones = harness.database.read(|store| store.tombstones()).await.unwrap();
        assert_eq!(tombstones.iter().filter(|stone| stone.key == key(&name)).count(), 1);
        harness.assert_converged(&unmanaged).await;
    }
} }

on_both_databases! { async fn a_deletion_that_fails_every_time_is_reported_every_time_and_succeeds_after_the_server_is_repaired(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    due(&mut harness, "acme").await;
    harness.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(12)).page("domains.php").method("POST"));
    for _ in 0..4 {
        harness.connect();
        let (plan, outcome) = harness.pass().await;
        assert_eq!(steps(&plan), ["delete acme"]);
        assert!(failure_of(&outcome, "acme").contains("got no answer"));
    }
    harness.pbx("hq").clear_faults();
    harness.connect();
    harness.settle(1).await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_file_that_comes_back_after_half_a_deletion_gets_its_domain_whole(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    due(&mut harness, "acme").await;
    harness.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(11)).page("domains.php").method("POST").first(1));
    harness.pass().await;
    let uuid = harness.only("hq", "acme.example.com").uuid;
    let mut acme = tenant("acme");
    acme.definition.max_users = tenantd::model::MaxUsers::Limited(9);
    harness.desired.tenants.insert(acme.key.clone(), acme);
    harness.settle(2).await;
    let domain = harness.only("hq", "acme.example.com");
    assert_eq!((domain.uuid, domain.enabled), (uuid, Some(true)));
    let rows = harness.pbx("hq").settings(uuid);
    assert_eq!(rows.len(), 1, "the user limit, and no lock: {rows:#?}");
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_domain_enabled_on_the_pbx_in_the_meantime_is_not_deleted(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    due(&mut harness, "acme").await;
    let uuid = harness.only("hq", "acme.example.com").uuid;
    harness.pbx("hq").edit_domain(uuid, |row| row.enabled = Some(true));
    let (plan, _) = harness.pass().await;
    assert_eq!(steps(&plan), ["disable acme"]);
    let plan = harness.plan().await;
    assert_eq!(plan.count(Action::Delete), 0, "its retention starts anew");
    assert_eq!(plan.scheduled.len(), 1);
    harness.live_through(TimeDelta::days(31) + TimeDelta::minutes(1)).await;
    // Between the plan and the deletion someone enables it: the page is checked once more, right before.
    let look = harness.look().await;
    let plan = look.plan();
    assert_eq!(steps(&plan), ["delete acme"]);
    harness.pbx("hq").edit_domain(uuid, |row| row.enabled = Some(true));
    let outcome = harness.carry_out(&look, &plan).await;
    let line = failure_of(&outcome, "acme");
    assert_eq!(line, "skipped: the domain of acme changed on hq since the plan was made");
    assert_eq!(harness.only("hq", "acme.example.com").enabled, Some(true));
    harness.settle(1).await;
    harness.live_through(TimeDelta::days(31) + TimeDelta::minutes(1)).await;
    harness.converge().await;
    assert!(harness.pbx("hq").domains_named("acme.example.com").is_empty());
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn an_unfinished_deletion_needs_no_second_approval_and_a_refused_one_does(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    harness.config.deletion.mode = DeletionMode::Approve;
    due(&mut harness, "acme").await;
    assert!(held_because(&harness.plan().await, "acme").contains("needs approval"));

    // The account may not delete: nothing has begun, so the word is needed again.
    harness.pbx("hq").revoke("domain_delete");
    harness.pbx("hq").end_sessions();
    harness.allow_delete = [key("acme")].into();
    let (_, outcome) = harness.pass().await;
    assert!(failure_of(&outcome, "acme").contains("domain_delete"));
    harness.allow_delete.clear();
    assert!(held_because(&harness.plan().await, "acme").contains("needs approval"));

    harness.pbx("hq").grant("domain_delete");
    harness.pbx("hq").end_sessions();
    harness.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(12)).page("domains.php").method("POST").first(1));
    harness.allow_delete = [key("acme")].into();
    harness.pass().await;
    harness.allow_delete.clear();
    let plan = harness.converge().await;
    assert_eq!(steps(&plan), ["delete acme"]);
    assert_eq!(plan.steps[0].reason, StepReason::UnfinishedDelete);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn the_previous_domain_of_a_move_is_deleted_completely(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    harness.desired.tenants.insert(key("acme"), tenant("acme"));
    harness.converge().await;
    harness.edit("acme", |t| t.definition.instance = crate::common::harness::instance("branch"));
    harness.converge().await;
    harness.live_through(TimeDelta::days(31) + TimeDelta::minutes(1)).await;
    harness.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(12)).page("domains.php").method("POST").first(1));
    let (plan, outcome) = harness.pass().await;
    assert_eq!(steps(&plan), ["delete acme"]);
    assert!(failure_of(&outcome, "acme").contains("got no answer"));
    assert_eq!(steps(&harness.converge().await), ["delete acme"]);
    assert!(harness.pbx("hq").domains_named("acme.example.com").is_empty());
    assert_eq!(harness.only("branch", "acme.example.com").enabled, Some(true));
    harness.assert_converged(&unmanaged).await;
} }
