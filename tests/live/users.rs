//! A tenant's users: they cannot sign in while it is disabled, can again after, and are synchronised to the platform.

use std::time::Instant;

use tenantd::environment::Environment as _;
use tenantd::model::MaxUsers;
use tenantd::sync::{self, InstanceSync};

use crate::browser::Browser;
use crate::common::harness::instance;
use crate::common::scenario::steps;
use crate::common::sql_client::SqlClient;
use crate::site::Live;
use crate::{live, request_counts};

const PASSWORD: &str = "Anna-Secret-123";

live! { async fn a_web_user_stays_out_while_the_tenant_is_disabled_and_its_cidr_entries_come_back_exactly(mut live) {
    let acme = live.tenant("acme");
    live.harness.want([acme]);
    live.converge().await;
    let site = live.sites[&crate::common::harness::instance("hq")].clone();
    let browser = live.browser("hq");
    let domain = browser.only(&live.name("acme")).await;
    browser.add_user(domain, "anna", PASSWORD).await;
    browser.add_setting(domain, "domain.cidr.array", "0.0.0.0/0", true, "it's \"everybody\" & more").await;
    browser.add_setting(domain, "domain.cidr.array", "192.0.2.0/24", false, "switched off by a browser").await;
    let (settings, users) = (browser.settings(domain).await, browser.users(domain).await);
    let anna = format!("anna@{}", live.name("acme"));
    assert!(live.plan().await.is_empty(), "what no file names is not tenantd's business");

    assert!(Browser::new(&site).signs_in(&anna, PASSWORD).await, "an enabled tenant's user gets in");
    assert!(!Browser::new(&site).signs_in(&anna, "wrong").await, "with the right password only");
    let session = Browser::new(&site);
    assert!(session.signs_in(&anna, PASSWORD).await);

    live.harness.edit("acme", |t| t.definition.enabled = false);
    assert_eq!(steps(&live.converge().await), ["disable acme"]);
    assert!(!Browser::new(&site).signs_in(&anna, PASSWORD).await, "a disabled tenant's user stays out");
    let turned_away = session.get("/core/dashboard/").await.is_access_denied();
    assert_eq!(turned_away, live.block_ends_sessions(), "an open session is turned away where tenantd says so");
    let browser = live.browser("hq");
    assert_eq!(browser.users(domain).await, users, "the users' data is kept");
    assert_eq!(browser.values(domain, "cidr").await, ["255.255.255.255/32"]);

    live.harness.edit("acme", |t| t.definition.enabled = true);
    assert_eq!(steps(&live.converge().await), ["enable acme"]);
    assert!(Browser::new(&site).signs_in(&anna, PASSWORD).await, "and gets in again after");
    let browser = live.browser("hq");
    assert_eq!(browser.settings(domain).await, settings, "every entry is back exactly as it was");
    assert_eq!(browser.users(domain).await, users);
} }

live! { async fn a_removed_tenants_user_stays_out_and_gets_in_again_when_the_file_comes_back(mut live) {
    let tenants = [live.tenant("acme"), live.tenant("calm")];
    live.harness.want(tenants);
    live.converge().await;
    let site = live.sites[&crate::common::harness::instance("hq")].clone();
    let domain = live.browser("hq").only(&live.name("acme")).await;
    live.browser("hq").add_user(domain, "anna", PASSWORD).await;
    let anna = format!("anna@{}", live.name("acme"));
    let file = live.harness.desired.tenants.remove(&crate::common::harness::key("acme")).unwrap();
    let (_, outcome) = live.harness.pass().await;
    assert_eq!(outcome.done(), 1);
    assert!(!Browser::new(&site).signs_in(&anna, PASSWORD).await);
    live.harness.desired.tenants.insert(file.key.clone(), file);
    live.harness.settle(2).await;
    assert!(Browser::new(&site).signs_in(&anna, PASSWORD).await);
    assert!(live.browser("hq").settings(domain).await.is_empty(), "the lock is gone");
} }

/// More than FusionPBX's JSON list shows, which stops at 300 without saying so.
const MANY: usize = 310;

live! { Second: async fn users_made_on_the_pbx_arrive_and_after_a_move_they_are_those_of_the_new_instance(mut live) {
    let (acme, calm) = (live.tenant("acme"), live.tenant("calm"));
    live.harness.want([acme, calm]);
    live.converge().await;
    let browser = live.browser("hq");
    let domain = browser.only(&live.name("acme")).await;
    let other = browser.only(&live.name("calm")).await;
    browser.add_many_users(domain, (0..MANY).map(|n| format!("user{n:03}")), PASSWORD).await;
    browser.add_user_in("user", other, "olga", PASSWORD).await;
    let (report, seconds, requests) = synchronised(live, "hq").await;
    live.log(&format!("{MANY} users arrived in {seconds:.1} s with {requests} requests"));
    assert_eq!(report.problem, None);
    let added: Vec<_> = report.tenants.iter().map(|tenant| (&*tenant.tenant, tenant.added.len())).collect();
    assert_eq!(added, [("acme", MANY), ("calm", 1)]);
    let mut db = SqlClient::connect(&live.harness.config.database).await;
    let everybody = i64::try_from(MANY).unwrap() + 1;
    let enabled = "SELECT count(*) FROM users WHERE enabled AND source = 'fusionpbx'";
    assert_eq!(db.number(enabled).await, everybody);
    assert_eq!(
        db.texts("SELECT email FROM users WHERE username = 'user007'").await,
        [format!("user007@{}", live.name("acme"))]
    );
    let (again, ..) = synchronised(live, "hq").await;
    assert!(again.tenants.is_empty(), "a second time there is nothing to do: {again:?}");

    live.harness.edit("acme", |tenant| tenant.definition.max_users = MaxUsers::Limited(2));
    if live.has_second() {
        live.harness.edit("acme", |tenant| tenant.definition.instance = instance("branch"));
    }
    live.converge().await;
    if !live.has_second() {
        return;
    }
    let browser = live.browser("branch");
    let domain = browser.only(&live.name("acme")).await;
    // FusionPBX itself refuses the third user if `max_users` is 2, so it is created in another way.
    for name in ["user001", "fresh"] {
        browser.add_user(domain, name, PASSWORD).await;
    }
    let (report, ..) = synchronised(live, "branch").await;
    let acme = &report.tenants[0];
    assert_eq!((acme.added.as_slice(), acme.disabled.len()), (&["fresh".to_owned()][..], MANY - 1));
    assert_eq!(
        db.texts("SELECT username FROM users WHERE enabled ORDER BY username").await,
        ["fresh", "olga", "user001"]
    );
    assert_eq!(db.number("SELECT count(*) FROM users").await, everybody + 1, "nobody is lost");
    let (back, ..) = synchronised(live, "hq").await;
    assert!(back.tenants.is_empty(), "the old instance has no word in it any more: {back:?}");
} }

/// What a synchronisation did, in how many seconds and requests.
async fn synchronised(live: &Live, on: &str) -> (InstanceSync, f32, usize) {
    let (key, now) = (instance(on), live.harness.clock.now());
    let (started, requests) = (Instant::now(), request_counts::requests());
    let report = sync::sync_instance(
        &live.harness.database,
        &key,
        &*live.harness.readers[&key],
        &sync::Rules::of(&live.harness.config.tier),
        now,
    )
    .await
    .unwrap();
    (report, started.elapsed().as_secs_f32(), request_counts::requests() - requests)
}
