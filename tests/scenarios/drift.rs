//! What someone else changed on a PBX: corrected, or only shown.

use fusionpbx_standin::{Handle, NewSetting};
use tenantd::model::{DriftPolicy, MaxUsers, SettingName, Tenant};
use tenantd::plan::StepReason;
use uuid::Uuid;

use crate::common::harness::tenant;
use crate::common::scenario::steps;
use crate::on_both_databases;

fn rich(name: &str) -> Tenant {
    let mut tenant = tenant(name);
    tenant.definition.max_users = MaxUsers::Limited(5);
    tenant
        .definition
        .pbx_settings
        .insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
    tenant
}

/// Changes everything that tenantd manages of a domain.
fn meddle(pbx: &Handle, domain: Uuid) {
    pbx.edit_domain(domain, |row| {
        row.description = Some("meddled".into());
        row.enabled = Some(false);
    });
    for row in pbx.settings(domain) {
        match row.subcategory.as_str() {
            "users" => pbx.edit_setting(row.uuid, |row| row.value = Some("500".into())),
            "time_zone" => pbx.remove_setting(domain, row.uuid),
            _ => {}
        }
    }
}

on_both_databases! { async fn drift_is_put_right(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([rich("acme"), rich("calm")]);
    harness.converge().await;
    let pbx = harness.pbx("hq").clone();
    let acme = harness.only("hq", "acme.example.com").uuid;
    let calm = pbx.digest_of_domain(harness.only("hq", "calm.example.com").uuid);
    meddle(&pbx, acme);
    pbx.add_setting(acme, NewSetting::new("theme", "title", "text", "theirs"));

    let plan = harness.converge().await;
    assert_eq!(steps(&plan), ["update acme", "enable acme"]);
    assert!(plan.steps.iter().all(|step| step.reason == StepReason::DriftOnPbx), "{plan:#?}");
    let domain = harness.only("hq", "acme.example.com");
    assert_eq!((domain.uuid, domain.enabled, domain.description.as_deref()), (acme, Some(true), Some("acme Ltd")));
    let value = |subcategory: &str| {
        let rows: Vec<_> = pbx.settings(acme).into_iter().filter(|row| row.subcategory == subcategory).collect();
        assert_eq!(rows.len(), 1, "{subcategory}");
        rows[0].value.clone().unwrap()
    };
    assert_eq!(value("users"), "5");
    assert_eq!(value("time_zone"), "Europe/Berlin");
    assert_eq!(value("title"), "theirs", "what no file names is not drift");
    assert_eq!(pbx.digest_of_domain(harness.only("hq", "calm.example.com").uuid), calm);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn drift_is_only_shown_where_the_file_says_report(mut harness) {
    let unmanaged = harness.unmanaged();
    let mut acme = rich("acme");
    acme.definition.drift = DriftPolicy::Report;
    harness.want([acme]);
    harness.converge().await;
    let pbx = harness.pbx("hq").clone();
    let uuid = harness.only("hq", "acme.example.com").uuid;
    meddle(&pbx, uuid);
    let meddled = pbx.digest_of_domain(uuid);
    let before = harness.mutations();
    for _ in 0..3 {
        let (plan, _) = harness.pass().await;
        assert!(plan.is_empty(), "{plan:#?}");
        let mut fields: Vec<_> = plan.drifted.iter().map(|drifted| drifted.change.field.to_string()).collect();
        fields.sort();
        assert_eq!(fields, ["enabled", "max_users", "name", "pbx_settings.domain.time_zone.name"]);
    }
    assert_eq!(harness.mutations(), before, "nothing is undone");
    assert_eq!(pbx.digest_of_domain(uuid), meddled);

    // A change of the file is carried out all the same, and takes only its own field along.
    harness.edit("acme", |t| t.definition.max_users = MaxUsers::Limited(6));
    let (plan, _) = harness.pass().await;
    assert_eq!(steps(&plan), ["update acme"]);
    assert_eq!(plan.steps[0].changes.len(), 1);
    assert_eq!(harness.only("hq", "acme.example.com").description.as_deref(), Some("meddled"));

    // The word is taken back.
    harness.edit("acme", |t| t.definition.drift = DriftPolicy::Correct);
    harness.settle(2).await;
    assert_eq!(harness.only("hq", "acme.example.com").description.as_deref(), Some("acme Ltd"));
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_domain_that_was_deleted_by_hand_is_made_again_under_its_identity(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([rich("acme"), rich("calm"), rich("other")]);
    harness.converge().await;
    let uuid = harness.only("hq", "acme.example.com").uuid;
    harness.pbx("hq").remove_domain(uuid);
    let plan = harness.converge().await;
    assert_eq!(steps(&plan), ["create acme"]);
    assert_eq!(plan.steps[0].reason, StepReason::DriftDomainMissing);
    assert_eq!(harness.only("hq", "acme.example.com").uuid, uuid);
    assert_eq!(harness.pbx("hq").settings(uuid).len(), 2);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_web_sign_in_block_removed_on_the_pbx_is_set_again(mut harness) {
    let unmanaged = harness.unmanaged();
    let mut acme = tenant("acme");
    acme.definition.enabled = false;
    harness.want([acme, tenant("calm")]);
    harness.converge().await;
    let pbx = harness.pbx("hq").clone();
    let uuid = harness.only("hq", "acme.example.com").uuid;
    let cidr = pbx.add_setting(uuid, NewSetting::new("domain", "cidr", "array", "0.0.0.0/0"));
    assert_eq!(steps(&harness.converge().await), ["disable acme"]);
    let row = |id| pbx.settings(uuid).into_iter().find(|row| row.uuid == id).unwrap();
    assert_eq!(row(cidr).enabled, Some(false));
    pbx.edit_domain(uuid, |row| row.enabled = Some(true));
    assert_eq!(steps(&harness.converge().await), ["disable acme"]);
    assert_eq!(harness.only("hq", "acme.example.com").enabled, Some(false));
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn enabled_set_to_null_by_hand_is_put_right(mut harness) {
    let unmanaged = harness.unmanaged();
    let mut shut = tenant("shut");
    shut.definition.enabled = false;
    harness.want([tenant("open"), shut, tenant("calm")]);
    harness.converge().await;
    for name in ["open.example.com", "shut.example.com"] {
        let uuid = harness.only("hq", name).uuid;
        harness.pbx("hq").edit_domain(uuid, |row| row.enabled = None);
    }
    assert_eq!(steps(&harness.converge().await), ["enable open", "disable shut"]);
    assert_eq!(harness.only("hq", "open.example.com").enabled, Some(true));
    assert_eq!(harness.only("hq", "shut.example.com").enabled, Some(false));
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_name_changed_by_hand_is_put_right(mut harness) {
    let unmanaged = harness.unmanaged();
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    let uuid = harness.only("hq", "acme.example.com").uuid;
    harness.pbx("hq").edit_domain(uuid, |row| row.name = "acme.example.org".into());
    assert_eq!(steps(&harness.converge().await), ["rename acme"]);
    assert_eq!(harness.only("hq", "acme.example.com").uuid, uuid);
    assert!(harness.pbx("hq").domains_named("acme.example.org").is_empty());
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn line_breaks_as_a_browser_posts_them_are_no_change(mut harness) {
    let unmanaged = harness.unmanaged();
    let [text, list] = [("theme", "custom_css", "text"), ("theme", "notes", "array")]
        .map(|(category, sub, kind)| SettingName::new(category, sub, kind));
    let mut acme = tenant("acme");
    acme.definition.pbx_settings.insert(text.clone(), "one\ntwo\n\nthree".into());
    acme.definition.pbx_settings.insert(list, "a\nb".into());
    harness.want([acme, tenant("calm")]);
    harness.converge().await;
    let pbx = harness.pbx("hq").clone();
    let uuid = harness.only("hq", "acme.example.com").uuid;
    // An operator opened each row and saved it.
    for row in pbx.settings(uuid) {
        pbx.edit_setting(row.uuid, |row| row.value = row.value.as_ref().map(|value| value.replace('\n', "\r\n")));
    }
    harness.assert_converged(&unmanaged).await;
    // Another text is a change, and the rest of the row stays what it was.
    let row = pbx.settings(uuid).into_iter().find(|row| row.name == "text").unwrap();
    pbx.edit_setting(row.uuid, |row| row.value = Some("one\r\ntwo".into()));
    assert_eq!(steps(&harness.converge().await), ["update acme"]);
    harness.edit("acme", |t| t.definition.pbx_settings.insert(text, "one\ntwo".into()).map_or((), drop));
    assert_eq!(steps(&harness.converge().await), ["update acme"]);
    harness.assert_converged(&unmanaged).await;
} }
