//! Taking over domains that are already there.

use fusionpbx_standin::NewSetting;
use tenantd::model::{MaxUsers, SettingName};
use tenantd::plan::Action;

use crate::common::harness::tenant;
use crate::common::scenario::{held_because, steps};
use crate::on_both_databases;

on_both_databases! { async fn an_adopted_domain_keeps_what_its_file_does_not_name(mut harness) {
    let unmanaged = harness.unmanaged();
    let pbx = harness.pbx("hq").clone();
    let uuid = pbx.add_domain("acme.example.com", Some(true), Some("somebody's"));
    let cidr = pbx.add_setting(uuid, NewSetting {
        description: "the office",
        ..NewSetting::new("domain", "cidr", "array", "192.0.2.0/24")
    });
    let off = pbx.add_setting(uuid, NewSetting {
        enabled: false,
        ..NewSetting::new("domain", "cidr", "array", "198.51.100.0/24")
    });
    let theme = pbx.add_setting(uuid, NewSetting::new("theme", "title", "text", "Théâtre & <b>"));
    let zone = pbx.add_setting(uuid, NewSetting::new("domain", "time_zone", "name", "America/Chicago"));
    let limit = pbx.add_setting(uuid, NewSetting::new("limit", "users", "numeric", "3"));
    let row = |id| pbx.settings(uuid).into_iter().find(|row| row.uuid == id);
    let before = [row(cidr), row(off), row(theme)];

    let mut acme = tenant("acme");
    acme.adopt = true;
    acme.definition.max_users = MaxUsers::Limited(9);
    acme.definition.pbx_settings.insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
    harness.want([acme]);
    let plan = harness.converge().await;
    assert_eq!(steps(&plan), ["adopt acme"]);

    let domain = harness.only("hq", "acme.example.com");
    assert_eq!((domain.uuid, domain.enabled), (uuid, Some(true)), "the same domain, not another");
    assert_eq!(domain.description.as_deref(), Some("acme Ltd"));
    assert_eq!([row(cidr), row(off), row(theme)], before, "rows that the file does not name are untouched");
    assert_eq!(row(zone).unwrap().value.as_deref(), Some("Europe/Berlin"), "one row, changed in place");
    assert_eq!(row(limit).unwrap().value.as_deref(), Some("9"));
    assert_eq!(pbx.settings(uuid).len(), 5, "no row was added");
    assert_eq!(harness.record("acme").await.domain_id.0, uuid);
    harness.assert_converged(&unmanaged).await;

    // The same domain, disabled and enabled: its entries come back as they were.
    harness.edit("acme", |t| t.definition.enabled = false);
    harness.converge().await;
    assert_eq!(row(cidr).unwrap().enabled, Some(false));
    harness.edit("acme", |t| t.definition.enabled = true);
    harness.converge().await;
    let without_date = |row: Option<fusionpbx_standin::SettingRow>| {
        row.map(|row| fusionpbx_standin::SettingRow { updated: None, ..row })
    };
    assert_eq!([row(cidr), row(off), row(theme)].map(without_date), before.map(without_date));
    assert_eq!(pbx.settings(uuid).len(), 5, "the lock is gone");
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn an_adopted_domain_can_be_disabled_at_once(mut harness) {
    let unmanaged = harness.unmanaged();
    let pbx = harness.pbx("hq").clone();
    let uuid = pbx.add_domain("acme.example.com", Some(true), None);
    let cidr = pbx.add_setting(uuid, NewSetting::new("domain", "cidr", "array", "0.0.0.0/0"));
    let mut acme = tenant("acme");
    acme.adopt = true;
    acme.definition.enabled = false;
    harness.want([acme]);
    harness.converge().await;
    assert_eq!(harness.only("hq", "acme.example.com").enabled, Some(false));
    let enabled = || pbx.settings(uuid).into_iter().find(|row| row.uuid == cidr).unwrap().enabled;
    assert_eq!(enabled(), Some(false));
    harness.assert_converged(&unmanaged).await;
    harness.edit("acme", |t| t.definition.enabled = true);
    harness.converge().await;
    assert_eq!(enabled(), Some(true), "what was there before the adoption comes back");
    assert_eq!(pbx.settings(uuid).len(), 1);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn an_unmanaged_domain_is_held_until_the_file_says_adopt(mut harness) {
    let unmanaged = harness.unmanaged();
    let uuid = harness.pbx("hq").add_domain("acme.example.com", Some(true), Some("somebody's"));
    let digest = harness.pbx("hq").digest_of_domain(uuid);
    harness.want([tenant("acme"), tenant("other")]);
    let (plan, outcome) = harness.pass().await;
    assert_eq!(steps(&plan), ["create other"], "the others go on");
    assert_eq!(outcome.done(), 1);
    assert_eq!(
        held_because(&plan, "acme"),
        "acme.example.com already exists on hq and is not managed by tenantd"
    );
    assert_eq!(plan.held[0].action, Action::Adopt);
    let before = harness.mutations();
    harness.pass().await;
    assert_eq!(harness.mutations(), before, "held in every pass, and nothing is sent");
    assert_eq!(harness.pbx("hq").digest_of_domain(uuid), digest);
    assert!(!harness.recorded().await.tenants.contains_key(&crate::common::harness::key("acme")));

    harness.edit("acme", |t| t.adopt = true);
    assert_eq!(steps(&harness.converge().await), ["adopt acme"]);
    assert_eq!(harness.only("hq", "acme.example.com").uuid, uuid);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn adopt_of_a_name_that_two_domains_have_is_held(mut harness) {
    let unmanaged = harness.unmanaged();
    let mut acme = tenant("acme");
    acme.adopt = true;
    let first = harness.pbx("hq").add_domain("acme.example.com", Some(true), Some("one"));
    let second = harness.pbx("hq").add_domain("acme.example.com", Some(false), Some("two"));
    harness.want([acme]);
    let (plan, _) = harness.pass().await;
    assert!(plan.steps.is_empty());
    assert_eq!(held_because(&plan, "acme"), "2 domains on hq are named acme.example.com. Rename all but one on the PBX");
    assert_eq!(harness.mutations(), 0);
    // An operator deletes one of them.
    harness.pbx("hq").remove_domain(second);
    harness.converge().await;
    assert_eq!(harness.only("hq", "acme.example.com").uuid, first);
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_domain_with_enabled_null_is_adopted_and_gets_a_value(mut harness) {
    let unmanaged = harness.unmanaged();
    for (name, enabled) in [("open", true), ("shut", false)] {
        harness.pbx("hq").add_domain(&format!("{name}.example.com"), None, Some("set by hand"));
        let mut tenant = tenant(name);
        tenant.adopt = true;
        tenant.definition.enabled = enabled;
        harness.desired.tenants.insert(tenant.key.clone(), tenant);
    }
    harness.converge().await;
    assert_eq!(harness.only("hq", "open.example.com").enabled, Some(true));
    assert_eq!(harness.only("hq", "shut.example.com").enabled, Some(false));
    harness.assert_converged(&unmanaged).await;
} }
