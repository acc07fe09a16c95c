//! A server that does not keep what it is given: three writes, then the field is left alone and an operator is
//! reported.

use fusionpbx_standin::{Fault, FaultKind};
use tenantd::model::{DriftPolicy, MaxUsers, SettingName};
use tenantd::plan::CONTESTED_AFTER;

use crate::common::rig::{Rig, tenant};
use crate::common::scenario::held_because;
use crate::on_both_databases;

/// Passes until the server is left alone; says how many changing requests that took. Fails where it never is.
async fn fought(rig: &mut Rig, field: &str) -> usize {
    let before = rig.mutations();
    for _ in 0..6 {
        rig.connect();
        let (plan, _) = rig.pass().await;
        if plan.steps.is_empty() {
            let told = held_because(&plan, "acme");
            assert_eq!(
                told,
                format!(
                    "`{field}` is contested: tenantd set it 3 times, and it was changed back each time. Find out what else sets it"
                )
            );
            let writes = rig.mutations() - before;
            rig.pass().await;
            assert_eq!(rig.mutations() - before, writes, "it is left alone from then on");
            return writes;
        }
    }
    panic!("it is still fought over: {:#?}", rig.plan().await);
}

/// The server is repaired: another value of the field is set at once, and the wanted one after it.
async fn peace(rig: &mut Rig) {
    rig.pbx("hq").clear_faults();
    rig.connect();
}

on_both_databases! { async fn a_server_that_lower_cases_descriptions_is_written_to_three_times(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("calm")]);
    rig.converge().await;
    rig.pbx("hq").inject(Fault::new(FaultKind::NormaliseNames).page("domain_edit.php").method("POST"));
    rig.edit("acme", |t| t.definition.name = "ACME Corp".into());
    assert!(fought(&mut rig, "name").await <= CONTESTED_AFTER as usize);
    assert_eq!(rig.only("hq", "acme.example.com").description.as_deref(), Some("acme corp"));

    peace(&mut rig).await;
    rig.edit("acme", |t| t.definition.name = "ACME Corporation".into());
    rig.settle(2).await;
    rig.edit("acme", |t| t.definition.name = "ACME Corp".into());
    rig.settle(2).await;
    assert_eq!(rig.only("hq", "acme.example.com").description.as_deref(), Some("ACME Corp"));
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_tenant_that_is_new_on_such_a_server_is_made_and_then_fought_over_three_times(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("calm")]);
    rig.converge().await;
    rig.pbx("hq").inject(Fault::new(FaultKind::NormaliseNames).page("domain_edit.php").method("POST"));
    let mut acme = tenant("acme");
    acme.definition.name = "ACME Corp".into();
    acme.definition.max_users = MaxUsers::Limited(5);
    // Work that was never finished is no drift, so this does not keep it back.
    acme.definition.drift = DriftPolicy::Report;
    rig.desired.tenants.insert(acme.key.clone(), acme);
    let writes = fought(&mut rig, "name").await;
    assert!(writes <= 2 + CONTESTED_AFTER as usize, "{writes}");
    let domain = rig.only("hq", "acme.example.com");
    assert_eq!(domain.enabled, Some(true));
    assert_eq!(rig.pbx("hq").settings(domain.uuid).len(), 1, "the rest of it is as its file says");

    peace(&mut rig).await;
    rig.edit("acme", |t| t.definition.name = "Acme Corporation".into());
    rig.settle(2).await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_field_that_is_changed_back_is_written_three_times(mut rig) {
    let unmanaged = rig.unmanaged();
    let mut acme = tenant("acme");
    acme.definition.max_users = MaxUsers::Limited(3);
    let zone = SettingName::new("domain", "time_zone", "name");
    acme.definition.pbx_settings.insert(zone.clone(), "Europe/Berlin".into());
    rig.want([acme, tenant("calm")]);
    rig.converge().await;

    let reverts = |field, page: &str| Fault::new(FaultKind::RevertField(field)).page(page.to_owned()).method("POST");
    rig.pbx("hq").inject(reverts("domain_description", "domain_edit.php"));
    rig.edit("acme", |t| t.definition.name = "Another".into());
    assert!(fought(&mut rig, "name").await <= CONTESTED_AFTER as usize);
    peace(&mut rig).await;
    rig.edit("acme", |t| t.definition.name = "acme Ltd".into());
    rig.settle(2).await;

    rig.pbx("hq").inject(reverts("domain_setting_value", "domain_setting_edit.php"));
    rig.edit("acme", |t| t.definition.max_users = MaxUsers::Limited(4));
    assert!(fought(&mut rig, "max_users").await <= CONTESTED_AFTER as usize);
    peace(&mut rig).await;
    rig.edit("acme", |t| t.definition.max_users = MaxUsers::Limited(3));
    rig.settle(2).await;

    rig.pbx("hq").inject(reverts("domain_setting_value", "domain_setting_edit.php"));
    rig.edit("acme", |t| t.definition.pbx_settings.insert(zone.clone(), "Europe/Paris".into()).map_or((), drop));
    assert!(fought(&mut rig, "pbx_settings.domain.time_zone.name").await <= CONTESTED_AFTER as usize);
    peace(&mut rig).await;
    rig.edit("acme", |t| t.definition.pbx_settings.insert(zone.clone(), "Europe/Berlin".into()).map_or((), drop));
    rig.settle(2).await;

    rig.pbx("hq").inject(reverts("domain_name", "domain_edit.php"));
    rig.edit("acme", |t| t.definition.domain = tenantd::model::DomainName::parse("acme.example.org").unwrap());
    assert!(fought(&mut rig, "domain").await <= CONTESTED_AFTER as usize);
    peace(&mut rig).await;
    rig.edit("acme", |t| t.definition.domain = tenantd::model::DomainName::parse("acme.example.com").unwrap());
    rig.settle(2).await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_field_changed_back_by_an_administrator_is_contested_after_three_times(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("calm")]);
    rig.converge().await;
    let uuid = rig.only("hq", "acme.example.com").uuid;
    let before = rig.mutations();
    for _ in 0..6 {
        rig.pbx("hq").edit_domain(uuid, |row| row.description = Some("mine".into()));
        rig.pass().await;
    }
    assert_eq!(rig.mutations() - before, CONTESTED_AFTER as usize);
    assert!(held_because(&rig.plan().await, "acme").starts_with("`name` is contested"));
    // The person gives in.
    rig.pbx("hq").edit_domain(uuid, |row| row.description = Some("acme Ltd".into()));
    rig.settle(0).await;
    // Once it lasted, a new change is corrected again.
    rig.pbx("hq").edit_domain(uuid, |row| row.description = Some("mine".into()));
    rig.converge().await;
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_disable_that_does_not_last_is_reported_and_retried_in_every_pass(mut rig) {
    let unmanaged = rig.unmanaged();
    rig.want([tenant("acme"), tenant("calm")]);
    rig.converge().await;
    let reverts = Fault::new(FaultKind::RevertField("domain_enabled")).page("domain_edit.php").method("POST");
    rig.pbx("hq").inject(reverts);
    rig.edit("acme", |t| t.definition.enabled = false);
    for _ in 0..3 {
        rig.connect();
        let (plan, outcome) = rig.pass().await;
        let told = crate::common::scenario::failure_of(&outcome, "acme");
        assert_eq!(told, "the PBX reported success, but the domain's `enabled` is still true; expected false");
        assert!(plan.is_empty() || !plan.steps.is_empty());
    }
    peace(&mut rig).await;
    rig.settle(2).await;
    assert_eq!(rig.only("hq", "acme.example.com").enabled, Some(false));
    rig.assert_at_rest(&unmanaged).await;
} }
