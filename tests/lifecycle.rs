//! From an empty directory to ten tenants on two instances and back, on both databases, each step followed by an
//! empty plan; what is not managed stays as it was.

mod common;
#[path = "lifecycle/earlier_database.rs"]
mod earlier_database;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::TimeDelta;
use common::harness::{instance, key, tenant};
use fusionpbx_standin::{NewSetting, NewUser};
use tenantd::model::{DomainName, MaxUsers, SettingName};
use tenantd::plan::Action;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

on_both_databases! { async fn ten_tenants_there_and_back(mut harness) {
    let foreign = harness.pbx("hq").add_domain("foreign.example.net", Some(true), Some("not ours"));
    let own_digest = harness.pbx("hq").digest_of_domain(foreign);

    // Create ten on two instances.
    let mut tenants: Vec<_> = (0..10).map(|n| tenant(&format!("t{n}"))).collect();
    for tenant in &mut tenants[5..] {
        tenant.definition.instance = instance("branch");
    }
    harness.want(tenants);
    let plan = harness.converge().await;
    assert_eq!(plan.count(Action::Create), 10);
    assert_eq!(harness.pbx("branch").domains_named("t7.example.com").len(), 1);

    // Edit each field.
    harness.edit("t0", |t| {
        t.definition.name = "Zero & Söhne".into();
        t.definition.session_timeout = 30;
        t.definition.max_users = MaxUsers::Limited(25);
        t.definition.protected = true;
        t.definition.pbx_settings.insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
    });
    let plan = harness.converge().await;
    assert_eq!(plan.count(Action::Update), 1);
    let t0 = harness.pbx("hq").domains_named("t0.example.com")[0].clone();
    assert_eq!(harness.pbx("hq").settings(t0.uuid).len(), 2);
    harness.edit("t0", |t| {
        t.definition.max_users = MaxUsers::Unlimited;
        t.definition.protected = false;
        t.definition.pbx_settings.clear();
    });
    harness.converge().await;

    // Renames and moves count as disables, and this day has more of them than most.
    harness.config.limits.disables.count = 10;

    // Rename.
    harness.edit("t1", |t| t.definition.domain = domain("one.example.com"));
    let plan = harness.converge().await;
    assert_eq!(plan.count(Action::Rename), 1);
    assert_eq!(harness.pbx("hq").domains_named("t1.example.com").len(), 0);
    assert_eq!(harness.pbx("hq").domains_named("one.example.com").len(), 1);

    // `git mv`: the PBX is not touched.
    let mut moved = harness.desired.tenants.remove(&key("t2")).unwrap();
    moved.key = key("two");
    harness.desired.tenants.insert(key("two"), moved);
    let before = harness.mutations();
    let plan = harness.converge().await;
    assert_eq!(plan.count(Action::Rename), 1);
    assert_eq!(harness.mutations(), before);

    // Key and domain at once need `previously`.
    let mut moved = harness.desired.tenants.remove(&key("two")).unwrap();
    moved.key = key("deux");
    moved.definition.domain = domain("deux.example.com");
    moved.previously = Some(key("two"));
    harness.desired.tenants.insert(key("deux"), moved);
    let plan = harness.converge().await;
    assert_eq!(plan.count(Action::Rename), 2);
    assert_eq!(plan.count(Action::Create), 0);

    // To the other instance and back again.
    harness.edit("t3", |t| t.definition.instance = instance("branch"));
    let plan = harness.converge().await;
    assert_eq!(plan.count(Action::Move), 1);
    assert_eq!(harness.pbx("hq").domains_named("t3.example.com")[0].enabled, Some(false));
    assert_eq!(harness.pbx("branch").domains_named("t3.example.com")[0].enabled, Some(true));
    harness.edit("t3", |t| t.definition.instance = instance("hq"));
    harness.converge().await;
    assert_eq!(harness.pbx("hq").domains_named("t3.example.com").len(), 1);
    assert_eq!(harness.pbx("hq").domains_named("t3.example.com")[0].enabled, Some(true));
    assert_eq!(harness.pbx("branch").domains_named("t3.example.com")[0].enabled, Some(false));

    // Disable and enable.
    harness.edit("t4", |t| t.definition.enabled = false);
    assert_eq!(harness.converge().await.count(Action::Disable), 1);
    harness.edit("t4", |t| t.definition.enabled = true);
    assert_eq!(harness.converge().await.count(Action::Enable), 1);

    // Remove all of them, one a day, as the limit allows; delete them when their retention is over.
    let keys: Vec<_> = harness.desired.tenants.keys().cloned().collect();
    for key in &keys {
        harness.remove_file(key.as_str());
        harness.pass().await;
        harness.clock.advance(TimeDelta::hours(25));
    }
    harness.clock.advance(TimeDelta::days(31));
    let (plan, _) = harness.pass().await;
    assert!(plan.steps.is_empty(), "a clock that jumped a month ends no retention");
    harness.clock.advance(TimeDelta::hours(25));
    let (plan, _) = harness.pass().await;
    assert_eq!(plan.count(Action::Delete), 1, "what t3 left behind is no tenant, so no limit counts it");
    let plan = harness.plan().await;
    assert!(plan.steps.is_empty(), "past the limit every deletion is held: {:#?}", plan.steps);
    assert_eq!(plan.held.len(), 10);
    harness.approve(plan.removals_id.unwrap()).await;
    let plan = harness.converge().await;
    assert_eq!(plan.count(Action::Delete), 10);
    assert!(harness.plan().await.is_empty(), "{:#?}", harness.plan().await);
    let tombstones = harness.database.read(|store| store.tombstones()).await.unwrap();
    assert_eq!(tombstones.len(), 10);
    assert_eq!(harness.pbx("hq").domain_count(), 2, "tenantd's own and the foreign one");
    assert_eq!(harness.pbx("branch").domain_count(), 1);
    assert_eq!(harness.pbx("hq").digest_of_domain(foreign), own_digest);
} }

on_both_databases! { async fn disabled_users_stay_out_until_enabled(mut harness) {
    harness.want([tenant("acme")]);
    harness.converge().await;
    let pbx = harness.pbx("hq");
    let uuid = pbx.domains_named("acme.example.com")[0].uuid;
    pbx.add_setting(uuid, NewSetting::new("domain", "cidr", "array", "192.0.2.0/24"));
    pbx.add_user(NewUser {
        domain: uuid,
        username: "anna".into(),
        password: "pw".into(),
        enabled: Some(true),
        groups: vec!["user".into()],
    });
    let settings = pbx.settings(uuid);
    assert!(pbx.can_sign_in(uuid, "anna", "pw", V4));
    harness.edit("acme", |t| t.definition.enabled = false);
    harness.converge().await;
    let pbx = harness.pbx("hq");
    assert!(!pbx.can_sign_in(uuid, "anna", "pw", V4));
    assert!(!pbx.can_sign_in(uuid, "anna", "pw", V6));
    assert!(!pbx.switch_accepts(uuid));
    harness.edit("acme", |t| t.definition.enabled = true);
    harness.converge().await;
    let pbx = harness.pbx("hq");
    assert!(pbx.can_sign_in(uuid, "anna", "pw", V4));
    assert!(pbx.switch_accepts(uuid));
    let mut restored = pbx.settings(uuid);
    restored.iter_mut().for_each(|row| row.updated = None);
    assert_eq!(restored, settings, "the cidr entry is back exactly as it was");
} }
