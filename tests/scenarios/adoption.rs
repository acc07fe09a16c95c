//! Taking over domains that are already there.

use fusionpbx_standin::NewSetting;
use tenantd::model::{MaxUsers, SettingName};
use tenantd::plan::Action;

use crate::common::rig::tenant;
use crate::common::scenario::{held_because, steps};
use crate::on_both_databases;

on_both_databases! { async fn an_adopted_domain_keeps_what_its_file_does_not_name(mut rig) {
    let unmanaged = rig.unmanaged();
    let pbx = rig.pbx("hq").clone();
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
    rig.want([acme]);
    let plan = rig.converge().await;
    assert_eq!(steps(&plan), ["adopt acme"]);

    let domain = rig.only("hq", "acme.example.com");
    assert_eq!((domain.uuid, domain.enabled), (uuid, Some(true)), "the same domain, not another");
    assert_eq!(domain.description.as_deref(), Some("acme Ltd"));
    assert_eq!([row(cidr), row(off), row(theme)], before, "rows that the file does not name are untouched");
    assert_eq!(row(zone).unwrap().value.as_deref(), Some("Europe/Berlin"), "one row, changed in place");
    assert_eq!(row(limit).unwrap().value.as_deref(), Some("9"));
    assert_eq!(pbx.settings(uuid).len(), 5, "no row was added");
    assert_eq!(rig.record("acme").await.domain_id.0, uuid);
    rig.assert_at_rest(&unmanaged).await;

    // The same domain, disabled and enabled: its entries come back as they were.
    rig.edit("acme", |t| t.definition.enabled = false);
    rig.converge().await;
    assert_eq!(row(cidr).unwrap().enabled, Some(false));
    rig.edit("acme", |t| t.definition.enabled = true);
    rig.converge().await;
    let without_date = |row: Option<fusionpbx_standin::SettingRow>| {
        row.map(|row| fusionpbx_standin::SettingRow { updated: None, ..row })
    };
    assert_eq!([row(cidr), row(off), row(theme)].map(without_date), before.map(without_date));
    assert_eq!(pbx.settings(uuid).len(), 5, "the lock is gone");
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn an_adopted_domain_can_be_disabled_at_once(mut rig) {
    let unmanaged = rig.unmanaged();
    let pbx = rig.pbx("hq").clone();
    let uuid = pbx.add_domain("acme.example.com", Some(true), None);
    let cidr = pbx.add_setting(uuid, NewSetting::new("domain", "cidr", "array", "0.0.0.0/0"));
    let mut acme = tenant("acme");
    acme.adopt = true;
    acme.definition.enabled = false;
    rig.want([acme]);
    rig.converge().await;
    assert_eq!(rig.only("hq", "acme.example.com").enabled, Some(false));
    let enabled = || pbx.settings(uuid).into_iter().find(|row| row.uuid == cidr).unwrap().enabled;
    assert_eq!(enabled(), Some(false));
    rig.assert_at_rest(&unmanaged).await;
    rig.edit("acme", |t| t.definition.enabled = true);
    rig.converge().await;
    assert_eq!(enabled(), Some(true), "what was there before the adoption comes back");
    assert_eq!(pbx.settings(uuid).len(), 1);
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn an_unmanaged_domain_is_held_until_the_file_says_adopt(mut rig) {
    let unmanaged = rig.unmanaged();
    let uuid = rig.pbx("hq").add_domain("acme.example.com", Some(true), Some("somebody's"));
    let digest = rig.pbx("hq").digest_of_domain(uuid);
    rig.want([tenant("acme"), tenant("other")]);
    let (plan, outcome) = rig.pass().await;
    assert_eq!(steps(&plan), ["create other"], "the others go on");
    assert_eq!(outcome.done(), 1);
    assert_eq!(
        held_because(&plan, "acme"),
        "acme.example.com already exists on hq, and is not managed by tenantd"
    );
    assert_eq!(plan.held[0].action, Action::Adopt);
    let before = rig.mutations();
    rig.pass().await;
    assert_eq!(rig.mutations(), before, "held in every pass, and nothing is sent");
    assert_eq!(rig.pbx("hq").digest_of_domain(uuid), digest);
    assert!(!rig.recorded().await.tenants.contains_key(&crate::common::rig::key("acme")));

    rig.edit("acme", |t| t.adopt = true);
    assert_eq!(steps(&rig.converge().await), ["adopt acme"]);
    assert_eq!(rig.only("hq", "acme.example.com").uuid, uuid);
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn adopt_of_a_name_that_two_domains_have_is_held(mut rig) {
    let unmanaged = rig.unmanaged();
    let mut acme = tenant("acme");
    acme.adopt = true;
    let first = rig.pbx("hq").add_domain("acme.example.com", Some(true), Some("one"));
    let second = rig.pbx("hq").add_domain("acme.example.com", Some(false), Some("two"));
    rig.want([acme]);
    let (plan, _) = rig.pass().await;
    assert!(plan.steps.is_empty());
    assert_eq!(held_because(&plan, "acme"), "2 domains on hq are named acme.example.com. Rename all but one on the PBX");
    assert_eq!(rig.mutations(), 0);
    // An operator deletes one of them.
    rig.pbx("hq").remove_domain(second);
    rig.converge().await;
    assert_eq!(rig.only("hq", "acme.example.com").uuid, first);
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn a_domain_with_enabled_null_is_adopted_and_gets_a_value(mut rig) {
    let unmanaged = rig.unmanaged();
    for (name, enabled) in [("open", true), ("shut", false)] {
        rig.pbx("hq").add_domain(&format!("{name}.example.com"), None, Some("set by hand"));
        let mut tenant = tenant(name);
        tenant.adopt = true;
        tenant.definition.enabled = enabled;
        rig.desired.tenants.insert(tenant.key.clone(), tenant);
    }
    rig.converge().await;
    assert_eq!(rig.only("hq", "open.example.com").enabled, Some(true));
    assert_eq!(rig.only("hq", "shut.example.com").enabled, Some(false));
    rig.assert_at_rest(&unmanaged).await;
} }
