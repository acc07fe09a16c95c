//! A server that does not keep what it is given: three writes, then the field is left alone and an operator is
//! reported.

use fusionpbx_standin::{Fault, FaultKind};
use tenantd::model::{DriftPolicy, MaxUsers, SettingName};
use tenantd::plan::CONTESTED_AFTER;

use crate::common::harness::{Harness, tenant};
use crate::common::scenario::held_because;
use crate::on_both_databases;

/// Passes until the field is held; returns the number of changing requests. Fails if that never happens.
async fn changes_until_held(harness: &mut Harness, field: &str) -> usize {
    let before = harness.mutations();
    for _ in 0..6 {
        harness.connect();
        let (plan, _) = harness.pass().await;
        if plan.steps.is_empty() {
            let reason = held_because(&plan, "acme");
            assert_eq!(
                reason,
                format!(
                    "`{field}` is contested: tenantd set it 3 times, and it was changed back each time. Find out what else sets it; once it has the desired value on the PBX, the hold ends"
                )
            );
            let writes = harness.mutations() - before;
            harness.pass().await;
            assert_eq!(harness.mutations() - before, writes, "it is left alone from then on");
            return writes;
        }
    }
    panic!("it is still fought over: {:#?}", harness.plan().await);
}

/// The server is repaired: another value of the field is set at once, and the wanted one after it.
async fn peace(harness: &mut Harness) {
    harness.pbx("hq").clear_faults();
    harness.connect();
}

on_both_databases! { async fn a_server_that_lower_cases_descriptions_is_written_to_three_times(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    harness.pbx("hq").inject(Fault::new(FaultKind::NormaliseNames).page("domain_edit.php").method("POST"));
    harness.edit("acme", |t| t.definition.name = "ACME Corp".into());
    assert!(changes_until_held(&mut harness, "name").await <= CONTESTED_AFTER as usize);
    assert_eq!(harness.only("hq", "acme.example.com").description.as_deref(), Some("acme corp"));

    peace(&mut harness).await;
    harness.edit("acme", |t| t.definition.name = "ACME Corporation".into());
    harness.settle(2).await;
    harness.edit("acme", |t| t.definition.name = "ACME Corp".into());
    harness.settle(2).await;
    assert_eq!(harness.only("hq", "acme.example.com").description.as_deref(), Some("ACME Corp"));
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_new_tenant_on_such_a_server_is_created_and_then_corrected_three_times(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("calm")]);
    harness.converge().await;
    harness.pbx("hq").inject(Fault::new(FaultKind::NormaliseNames).page("domain_edit.php").method("POST"));
    let mut acme = tenant("acme");
    acme.definition.name = "ACME Corp".into();
    acme.definition.max_users = MaxUsers::Limited(5);
    // Work that was never finished is no drift, so this does not keep it back.
    acme.definition.drift = DriftPolicy::Report;
    harness.desired.tenants.insert(acme.key.clone(), acme);
    let writes = changes_until_held(&mut harness, "name").await;
    assert!(writes <= 2 + CONTESTED_AFTER as usize, "{writes}");
    let domain = harness.only("hq", "acme.example.com");
    assert_eq!(domain.enabled, Some(true));
    assert_eq!(harness.pbx("hq").settings(domain.uuid).len(), 1, "the rest of it is as its file says");

    peace(&mut harness).await;
    harness.edit("acme", |t| t.definition.name = "Acme Corporation".into());
    harness.settle(2).await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_field_that_is_changed_back_is_written_three_times(mut harness) {
    let unmanaged = harness.unmanaged();
    let mut acme = tenant("acme");
    acme.definition.max_users = MaxUsers::Limited(3);
    let zone = SettingName::new("domain", "time_zone", "name");
    acme.definition.pbx_settings.insert(zone.clone(), "Europe/Berlin".into());
    harness.want([acme, tenant("calm")]);
    harness.converge().await;

    let reverts = |field, page: &str| Fault::new(FaultKind::RevertField(field)).page(page.to_owned()).method("POST");
    harness.pbx("hq").inject(reverts("domain_description", "domain_edit.php"));
    harness.edit("acme", |t| t.definition.name = "Another".into());
    assert!(changes_until_held(&mut harness, "name").await <= CONTESTED_AFTER as usize);
    peace(&mut harness).await;
    harness.edit("acme", |t| t.definition.name = "acme Ltd".into());
    harness.settle(2).await;

    harness.pbx("hq").inject(reverts("domain_setting_value", "domain_setting_edit.php"));
    harness.edit("acme", |t| t.definition.max_users = MaxUsers::Limited(4));
    assert!(changes_until_held(&mut harness, "max_users").await <= CONTESTED_AFTER as usize);
    peace(&mut harness).await;
    harness.edit("acme", |t| t.definition.max_users = MaxUsers::Limited(3));
    harness.settle(2).await;

    harness.pbx("hq").inject(reverts("domain_setting_value", "domain_setting_edit.php"));
    harness.edit("acme", |t| t.definition.pbx_settings.insert(zone.clone(), "Europe/Paris".into()).map_or((), drop));
    assert!(changes_until_held(&mut harness, "pbx_settings.domain.time_zone.name").await <= CONTESTED_AFTER as usize);
    peace(&mut harness).await;
    harness.edit("acme", |t| t.definition.pbx_settings.insert(zone.clone(), "Europe/Berlin".into()).map_or((), drop));
    harness.settle(2).await;

    harness.pbx("hq").inject(reverts("domain_name", "domain_edit.php"));
    harness.edit("acme", |t| t.definition.domain = tenantd::model::DomainName::parse("acme.example.org").unwrap());
    assert!(changes_until_held(&mut harness, "domain").await <= CONTESTED_AFTER as usize);
    peace(&mut harness).await;
    harness.edit("acme", |t| t.definition.domain = tenantd::model::DomainName::parse("acme.example.com").unwrap());
    harness.settle(2).await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_field_changed_back_by_an_administrator_is_contested_after_three_times(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    let uuid = harness.only("hq", "acme.example.com").uuid;
    let before = harness.mutations();
    for _ in 0..6 {
        harness.pbx("hq").edit_domain(uuid, |row| row.description = Some("mine".into()));
        harness.pass().await;
    }
    assert_eq!(harness.mutations() - before, CONTESTED_AFTER as usize);
    assert!(held_because(&harness.plan().await, "acme").starts_with("`name` is contested"));
    // The person gives in.
    harness.pbx("hq").edit_domain(uuid, |row| row.description = Some("acme Ltd".into()));
    harness.settle(0).await;
    // Once it lasted, a new change is corrected again.
    harness.pbx("hq").edit_domain(uuid, |row| row.description = Some("mine".into()));
    harness.converge().await;
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_disable_that_does_not_last_is_reported_and_retried_in_every_pass(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    let reverts = Fault::new(FaultKind::RevertField("domain_enabled")).page("domain_edit.php").method("POST");
    harness.pbx("hq").inject(reverts);
    harness.edit("acme", |t| t.definition.enabled = false);
    for _ in 0..3 {
        harness.connect();
        let (plan, outcome) = harness.pass().await;
        let told = crate::common::scenario::failure_of(&outcome, "acme");
        assert_eq!(told, "the PBX reported success, but the domain's `enabled` is still true; expected false");
        assert!(plan.is_empty() || !plan.steps.is_empty());
    }
    peace(&mut harness).await;
    harness.settle(2).await;
    assert_eq!(harness.only("hq", "acme.example.com").enabled, Some(false));
    harness.assert_converged(&unmanaged).await;
} }
