//! A tenant's people: out while it is disabled, in again after.

use crate::common::scenario::steps;
use crate::live;
use crate::person::Person;

const PASSWORD: &str = "Anna-Secret-123";

live! { async fn a_web_user_stays_out_while_the_tenant_is_disabled_and_its_cidr_entries_come_back_exactly(mut live) {
    let acme = live.tenant("acme");
    live.rig.want([acme]);
    live.converge().await;
    let site = live.sites[&crate::common::rig::instance("hq")].clone();
    let person = live.person("hq");
    let domain = person.only(&live.name("acme")).await;
    person.add_user(domain, "anna", PASSWORD).await;
    person.add_setting(domain, "domain.cidr.array", "0.0.0.0/0", true, "it's \"everybody\" & more").await;
    person.add_setting(domain, "domain.cidr.array", "192.0.2.0/24", false, "switched off by a person").await;
    let (settings, users) = (person.settings(domain).await, person.users(domain).await);
    let anna = format!("anna@{}", live.name("acme"));
    assert!(live.plan().await.is_empty(), "what no file names is not tenantd's business");

    assert!(Person::new(&site).signs_in(&anna, PASSWORD).await, "an enabled tenant's user gets in");
    assert!(!Person::new(&site).signs_in(&anna, "wrong").await, "with the right password only");
    let session = Person::new(&site);
    assert!(session.signs_in(&anna, PASSWORD).await);

    live.rig.edit("acme", |t| t.enabled = false);
    assert_eq!(steps(&live.converge().await), ["disable acme"]);
    assert!(!Person::new(&site).signs_in(&anna, PASSWORD).await, "a disabled tenant's user stays out");
    assert!(session.get("/core/dashboard/").await.is_access_denied(), "an open session is turned away");
    let person = live.person("hq");
    assert_eq!(person.users(domain).await, users, "the users' data is kept");
    assert_eq!(person.values(domain, "cidr").await, ["255.255.255.255/32"]);

    live.rig.edit("acme", |t| t.enabled = true);
    assert_eq!(steps(&live.converge().await), ["enable acme"]);
    assert!(Person::new(&site).signs_in(&anna, PASSWORD).await, "and gets in again after");
    let person = live.person("hq");
    assert_eq!(person.settings(domain).await, settings, "every entry is back exactly as it was");
    assert_eq!(person.users(domain).await, users);
} }

live! { async fn a_removed_tenants_user_stays_out_and_gets_in_again_when_the_file_comes_back(mut live) {
    let tenants = [live.tenant("acme"), live.tenant("calm")];
    live.rig.want(tenants);
    live.converge().await;
    let site = live.sites[&crate::common::rig::instance("hq")].clone();
    let domain = live.person("hq").only(&live.name("acme")).await;
    live.person("hq").add_user(domain, "anna", PASSWORD).await;
    let anna = format!("anna@{}", live.name("acme"));
    let file = live.rig.desired.tenants.remove(&crate::common::rig::key("acme")).unwrap();
    let (_, outcome) = live.rig.pass().await;
    assert_eq!(outcome.done(), 1);
    assert!(!Person::new(&site).signs_in(&anna, PASSWORD).await);
    live.rig.desired.tenants.insert(file.key.clone(), file);
    live.rig.settle(2).await;
    assert!(Person::new(&site).signs_in(&anna, PASSWORD).await);
    assert!(live.person("hq").settings(domain).await.is_empty(), "the lock is gone");
} }
