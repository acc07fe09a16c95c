//! From an empty directory to tenants on the servers and back, each step followed by an empty plan.

use chrono::TimeDelta;
use tenantd::model::{MaxUsers, SettingName};
use tenantd::plan::Action;

use crate::common::harness::{instance, key};
use crate::common::scenario::{failure_of, steps};
use crate::live;
use crate::site::Live;

/// The fields of a domain's form that tenantd sends: name, enabled, description.
async fn shown(live: &Live, on: &str, name: &str) -> (String, String, String) {
    let browser = live.browser(on);
    let mut form = browser.domain(browser.only(&live.name(name)).await).await;
    let mut field = |name: &str| form.remove(name).unwrap_or_default();
    (field("domain_name"), field("domain_enabled"), field("domain_description"))
}

fn texts(name: &str, enabled: &str, description: &str) -> (String, String, String) {
    (name.to_owned(), enabled.to_owned(), description.to_owned())
}

live! { Second: async fn ten_tenants_there_and_back(mut live) {
    let mut tenants: Vec<_> = (0..10).map(|n| live.tenant(&format!("t{n}"))).collect();
    if live.has_second() {
        tenants[5..].iter_mut().for_each(|tenant| tenant.definition.instance = instance("branch"));
    }
    let home = if live.has_second() { "branch" } else { "hq" };
    live.harness.want(tenants);
    assert_eq!(live.converge().await.count(Action::Create), 10);
    for (name, on) in [("t0", "hq"), ("t9", home)] {
        assert_eq!(shown(live, on, name).await, texts(&live.name(name), "true", &format!("{name} Ltd")));
    }

    // Edit each field, one after the other.
    let zone = SettingName::new("domain", "time_zone", "name");
    let t0 = live.browser("hq").only(&live.name("t0")).await;
    live.harness.edit("t0", |t| t.definition.name = "Zero & Söhne <\"'`\\> 漢字".into());
    assert_eq!(steps(&live.converge().await), ["update t0"]);
    assert_eq!(shown(live, "hq", "t0").await.2, "Zero & Söhne <\"'`\\> 漢字");
    live.harness.edit("t0", |t| t.definition.session_timeout = 30);
    assert_eq!(steps(&live.converge().await), ["update t0"]);
    live.harness.edit("t0", |t| t.definition.max_users = MaxUsers::Limited(25));
    assert_eq!(steps(&live.converge().await), ["update t0"]);
    assert_eq!(live.browser("hq").values(t0, "users").await, ["25"]);
    live.harness.edit("t0", |t| {
        t.definition.protected = true;
        t.definition.pbx_settings.insert(zone.clone(), "Europe/Berlin".into());
        t.definition.pbx_settings.insert(SettingName::new("theme", "title", "text"), "a \"b\" & <c> 'd'".into());
    });
    assert_eq!(steps(&live.converge().await), ["update t0"]);
    assert_eq!(live.browser("hq").values(t0, "time_zone").await, ["Europe/Berlin"]);
    assert_eq!(live.browser("hq").values(t0, "title").await, ["a \"b\" & <c> 'd'"]);
    live.harness.edit("t0", |t| {
        t.definition.max_users = MaxUsers::Unlimited;
        t.definition.protected = false;
        t.definition.pbx_settings.insert(zone, "America/New_York".into());
    });
    live.converge().await;
    assert!(live.browser("hq").values(t0, "users").await.is_empty());
    assert_eq!(live.browser("hq").values(t0, "time_zone").await, ["America/New_York"]);

    // Renames and moves count as disables, and this day has more of them than most.
    live.harness.config.limits.disables.count = 10;

    // Rename.
    let t1 = live.browser("hq").only(&live.name("t1")).await;
    let one = live.domain("one");
    live.harness.edit("t1", |t| t.definition.domain = one);
    assert_eq!(steps(&live.converge().await), ["rename t1"]);
    assert_eq!(live.browser("hq").only(&live.name("one")).await, t1);
    assert!(live.browser("hq").named(&live.name("t1")).await.is_empty());

    // `git mv`, and key and domain at once.
    let mut moved = live.harness.desired.tenants.remove(&key("t2")).unwrap();
    moved.key = key("two");
    live.harness.desired.tenants.insert(key("two"), moved);
    assert_eq!(live.converge().await.count(Action::Rename), 1);
    let mut moved = live.harness.desired.tenants.remove(&key("two")).unwrap();
    (moved.key, moved.definition.domain, moved.previously) = (key("deux"), live.domain("deux"), Some(key("two")));
    live.harness.desired.tenants.insert(key("deux"), moved);
    let plan = live.converge().await;
    assert_eq!((plan.count(Action::Rename), plan.count(Action::Create)), (2, 0));
    live.browser("hq").only(&live.name("deux")).await;

    // To the other instance and back again.
    if live.has_second() {
        let t3 = live.browser("hq").only(&live.name("t3")).await;
        live.harness.edit("t3", |t| t.definition.instance = instance("branch"));
        assert_eq!(live.converge().await.count(Action::Move), 1);
        assert_eq!(shown(live, "hq", "t3").await.1, "false");
        assert_eq!(shown(live, "branch", "t3").await.1, "true");
        live.harness.edit("t3", |t| t.definition.instance = instance("hq"));
        live.converge().await;
        assert_eq!(live.browser("hq").only(&live.name("t3")).await, t3, "its old domain is used again");
        assert_eq!(shown(live, "hq", "t3").await.1, "true");
        assert!(live.browser("hq").settings(t3).await.is_empty(), "the lock is gone");
        assert_eq!(shown(live, "branch", "t3").await.1, "false");
    }

    // Disable and enable.
    live.harness.edit("t4", |t| t.definition.enabled = false);
    assert_eq!(steps(&live.converge().await), ["disable t4"]);
    let t4 = live.browser("hq").only(&live.name("t4")).await;
    assert_eq!(live.browser("hq").values(t4, "cidr").await, ["255.255.255.255/32"]);
    assert!(!live.browser("hq").is_enabled(t4).await);
    live.harness.edit("t4", |t| t.definition.enabled = true);
    assert_eq!(steps(&live.converge().await), ["enable t4"]);
    assert!(live.browser("hq").settings(t4).await.is_empty());
    assert!(live.browser("hq").is_enabled(t4).await);

    // Remove all of them, one a day, as the limit allows.
    let keys: Vec<_> = live.harness.desired.tenants.keys().cloned().collect();
    for key in &keys {
        live.harness.remove_file(key.as_str());
        let (_, outcome) = live.harness.pass().await;
        assert_eq!((outcome.done(), outcome.failed()), (1, 0), "{outcome:#?}");
        live.harness.live_through(TimeDelta::hours(25)).await;
    }
    assert!(!live.browser("hq").is_enabled(t0).await);
    live.harness.live_through(TimeDelta::days(31)).await;
    if !live.may_delete {
        // A stock server does not delete: each error names the permission to grant, and nothing is lost.
        live.harness.config.limits.removals.count = 20;
        let (plan, outcome) = live.harness.pass().await;
        assert_eq!(plan.count(Action::Delete), plan.steps.len());
        assert!(outcome.failed() >= 10, "{outcome:#?}");
        let line = failure_of(&outcome, "t0");
        assert!(line.contains("lacks the permission `domain_delete`"), "{line}");
        live.browser("hq").only(&live.name("t0")).await;
        // The files are restored, so that the scenario ends with an empty plan.
        live.harness.config.limits.removals.count = 1;
        live.harness.config.deletion.mode = tenantd::config::DeletionMode::Never;
        return;
    }
    // The previous placement of t3 is deleted first.
    live.harness.pass().await;
    let plan = live.plan().await;
    assert!(plan.steps.is_empty(), "past the limit every deletion is held: {:#?}", plan.steps);
    assert_eq!(plan.held.len(), 10);
    live.harness.approve(plan.removals_id.unwrap()).await;
    assert_eq!(live.converge().await.count(Action::Delete), 10);
    let tombstones = live.harness.database.read(|store| store.tombstones()).await.unwrap();
    assert_eq!(tombstones.len(), 10);
    for (site, browser) in &live.people {
        let own = live.name("");
        let own = own.trim_end_matches(".example.com");
        let left: Vec<_> = browser.domains().await.into_values().filter(|name| name.starts_with(own)).collect();
        assert_eq!(left.len(), 2, "only the unmanaged are left on {site}: {left:?}");
    }
} }
