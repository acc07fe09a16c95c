//! Deleting: refused without the permission, resumed where it died half-way, never begun twice.

use chrono::TimeDelta;
use fusionpbx_standin::{Fault, FaultKind, NewUser, TABLES};
use tenantd::config::DeletionMode;
use tenantd::plan::Action;
use tenantd::plan::StepReason;

use crate::common::rig::{Rig, key, tenant};
use crate::common::scenario::{Strangers, failure_of, held_because, steps};
use crate::on_both_databases;

/// A tenant whose file was removed and whose retention is over.
async fn due(rig: &mut Rig, name: &str) {
    let mut wanted = tenant(name);
    wanted.definition.max_users = tenantd::model::MaxUsers::Limited(9);
    rig.desired.tenants.insert(wanted.key.clone(), wanted);
    rig.settle(1).await;
    let uuid = rig.only("hq", &format!("{name}.example.com")).uuid;
    rig.pbx("hq").add_user(NewUser {
        domain: uuid,
        username: "anna".into(),
        password: "pw".into(),
        enabled: Some(true),
        groups: vec!["user".into()],
    });
    for table in TABLES {
        rig.pbx("hq").set_rows(uuid, table, 3);
    }
    rig.remove_file(name);
    rig.clock.advance(TimeDelta::hours(25));
    rig.settle(1).await;
    rig.live_through(TimeDelta::days(30) + TimeDelta::minutes(1)).await;
}

async fn prepared(rig: &mut Rig) -> Strangers {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("calm")]);
    rig.converge().await;
    unmanaged
}

on_both_databases! { async fn without_the_permission_to_delete_a_line_names_it_and_nothing_is_lost(mut rig) {
    let unmanaged = prepared(&mut rig).await;
    due(&mut rig, "acme").await;
    rig.pbx("hq").revoke("domain_delete");
    rig.pbx("hq").end_sessions();
    let uuid = rig.only("hq", "acme.example.com").uuid;
    let digest = rig.pbx("hq").digest_of_domain(uuid);
    let before = rig.mutations();
    for _ in 0..2 {
        let (plan, outcome) = rig.pass().await;
        assert_eq!(steps(&plan), ["delete acme"]);
        let line = failure_of(&outcome, "acme");
        assert!(line.contains("lacks the permission `domain_delete`"), "{line}");
    }
    assert_eq!(rig.mutations(), before, "what the page does not offer is not posted");
    assert_eq!(rig.pbx("hq").digest_of_domain(uuid), digest);
    assert!(!rig.record("acme").await.definition.enabled);

    // Granted: at the next sign-in it is seen.
    rig.pbx("hq").grant("domain_delete");
    rig.pbx("hq").end_sessions();
    assert_eq!(steps(&rig.converge().await), ["delete acme"]);
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_deletion_that_died_half_way_is_finished_and_not_started_again(mut rig) {
    let unmanaged = prepared(&mut rig).await;
    for tables in 0..=TABLES.len() {
        let name = format!("t{tables}");
        due(&mut rig, &name).await;
        let domain = format!("{name}.example.com");
        let died = Fault::new(FaultKind::DieAtDeleteTable(tables)).page("domains.php").method("POST");
        let died = rig.pbx("hq").inject(died);

        let (plan, outcome) = rig.pass().await;
        assert_eq!(steps(&plan), [format!("delete {name}")]);
        let line = failure_of(&outcome, &name);
        assert!(line.contains("got no answer"), "{line}");
        assert_eq!(rig.pbx("hq").fired(died), 1);
        rig.pbx("hq").remove_fault(died);
        let half = rig.only("hq", &domain);
        assert_eq!(half.enabled, Some(false));
        assert!(rig.recorded().await.tenants.contains_key(&key(&name)), "what survives stays recorded");

        let (plan, _) = rig.pass().await;
        assert_eq!(
            steps(&plan),
            [format!("delete {name}")],
            "after {tables} tables it is finished at once, neither made again nor kept for another retention"
        );
        assert!(rig.pbx("hq").domains_named(&domain).is_empty());
        assert_eq!(rig.pbx("hq").rows(half.uuid, "v_users"), 0);
        assert!(!rig.recorded().await.tenants.contains_key(&key(&name)));
        let tombstones = rig.database.read(|store| store.tombstones()).await.unwrap();
        assert_eq!(tombstones.iter().filter(|stone| stone.key == key(&name)).count(), 1);
        rig.assert_at_rest(&unmanaged).await;
    }
} }

on_both_databases! { async fn a_deletion_that_fails_every_time_is_reported_every_time_and_succeeds_after_the_server_is_repaired(mut rig) {
    let unmanaged = prepared(&mut rig).await;
    due(&mut rig, "acme").await;
    rig.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(12)).page("domains.php").method("POST"));
    for _ in 0..4 {
        rig.connect();
        let (plan, outcome) = rig.pass().await;
        assert_eq!(steps(&plan), ["delete acme"]);
        assert!(failure_of(&outcome, "acme").contains("got no answer"));
    }
    rig.pbx("hq").clear_faults();
    rig.connect();
    rig.settle(1).await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_file_that_comes_back_after_half_a_deletion_gets_its_domain_whole(mut rig) {
    let unmanaged = prepared(&mut rig).await;
    due(&mut rig, "acme").await;
    rig.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(11)).page("domains.php").method("POST").first(1));
    rig.pass().await;
    let uuid = rig.only("hq", "acme.example.com").uuid;
    let mut acme = tenant("acme");
    acme.definition.max_users = tenantd::model::MaxUsers::Limited(9);
    rig.desired.tenants.insert(acme.key.clone(), acme);
    rig.settle(2).await;
    let domain = rig.only("hq", "acme.example.com");
    assert_eq!((domain.uuid, domain.enabled), (uuid, Some(true)));
    let rows = rig.pbx("hq").settings(uuid);
    assert_eq!(rows.len(), 1, "the user limit, and no lock: {rows:#?}");
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_domain_enabled_on_the_pbx_in_the_meantime_is_not_deleted(mut rig) {
    let unmanaged = prepared(&mut rig).await;
    due(&mut rig, "acme").await;
    let uuid = rig.only("hq", "acme.example.com").uuid;
    rig.pbx("hq").edit_domain(uuid, |row| row.enabled = Some(true));
    let (plan, _) = rig.pass().await;
    assert_eq!(steps(&plan), ["disable acme"]);
    let plan = rig.plan().await;
    assert_eq!(plan.count(Action::Delete), 0, "its retention starts anew");
    assert_eq!(plan.scheduled.len(), 1);
    rig.live_through(TimeDelta::days(31) + TimeDelta::minutes(1)).await;
    // Between the plan and the deletion someone enables it: the page is checked once more, right before.
    let look = rig.look().await;
    let plan = look.plan();
    assert_eq!(steps(&plan), ["delete acme"]);
    rig.pbx("hq").edit_domain(uuid, |row| row.enabled = Some(true));
    let outcome = rig.carry_out(&look, &plan).await;
    let line = failure_of(&outcome, "acme");
    assert_eq!(line, "skipped: the domain of acme changed on hq since the plan was made");
    assert_eq!(rig.only("hq", "acme.example.com").enabled, Some(true));
    rig.settle(1).await;
    rig.live_through(TimeDelta::days(31) + TimeDelta::minutes(1)).await;
    rig.converge().await;
    assert!(rig.pbx("hq").domains_named("acme.example.com").is_empty());
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn an_unfinished_deletion_needs_no_second_approval_and_a_refused_one_does(mut rig) {
    let unmanaged = prepared(&mut rig).await;
    rig.config.deletion.mode = DeletionMode::Approve;
    due(&mut rig, "acme").await;
    assert!(held_because(&rig.plan().await, "acme").contains("needs approval"));

    // The account may not delete: nothing has begun, so the word is needed again.
    rig.pbx("hq").revoke("domain_delete");
    rig.pbx("hq").end_sessions();
    rig.allow_delete = [key("acme")].into();
    let (_, outcome) = rig.pass().await;
    assert!(failure_of(&outcome, "acme").contains("domain_delete"));
    rig.allow_delete.clear();
    assert!(held_because(&rig.plan().await, "acme").contains("needs approval"));

    rig.pbx("hq").grant("domain_delete");
    rig.pbx("hq").end_sessions();
    rig.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(12)).page("domains.php").method("POST").first(1));
    rig.allow_delete = [key("acme")].into();
    rig.pass().await;
    rig.allow_delete.clear();
    let plan = rig.converge().await;
    assert_eq!(steps(&plan), ["delete acme"]);
    assert_eq!(plan.steps[0].reason, StepReason::UnfinishedDelete);
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn the_previous_domain_of_a_move_is_deleted_completely(mut rig) {
    let unmanaged = prepared(&mut rig).await;
    rig.desired.tenants.insert(key("acme"), tenant("acme"));
    rig.converge().await;
    rig.edit("acme", |t| t.definition.instance = crate::common::rig::instance("branch"));
    rig.converge().await;
    rig.live_through(TimeDelta::days(31) + TimeDelta::minutes(1)).await;
    rig.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(12)).page("domains.php").method("POST").first(1));
    let (plan, outcome) = rig.pass().await;
    assert_eq!(steps(&plan), ["delete acme"]);
    assert!(failure_of(&outcome, "acme").contains("got no answer"));
    assert_eq!(steps(&rig.converge().await), ["delete acme"]);
    assert!(rig.pbx("hq").domains_named("acme.example.com").is_empty());
    assert_eq!(rig.only("branch", "acme.example.com").enabled, Some(true));
    rig.assert_at_rest(&unmanaged).await;
} }
