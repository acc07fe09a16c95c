//! Domains that exist already, two domains with one name, and changes by an operator.

use tenantd::model::{DriftPolicy, MaxUsers, SettingName};
use tenantd::observe::Rotation;
use uuid::Uuid;

use crate::common::scenario::{failure_of, held_because, steps};
use crate::{live, request_counts};

live! { async fn an_unmanaged_domain_is_held_until_the_file_says_adopt(mut live) {
    let name = live.name("acme");
    let browser = live.browser("hq");
    let domain = browser.create_domain(&name, true, "somebody's").await;
    browser.add_setting(domain, "domain.cidr.array", "0.0.0.0/0", true, "the office").await;
    browser.add_setting(domain, "theme.title.text", "Théâtre & <b>", true, "").await;
    let zone = browser.add_setting(domain, "domain.time_zone.name", "America/Chicago", true, "").await;
    browser.add_setting(domain, "limit.users.numeric", "3", true, "").await;
    let before = browser.all_of(domain).await;

    let mut acme = live.tenant("acme");
    acme.definition.max_users = MaxUsers::Limited(9);
    acme.definition.pbx_settings.insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
    live.harness.want([acme]);
    let changes = request_counts::changes();
    let (plan, _) = live.harness.pass().await;
    assert!(plan.steps.is_empty());
    assert!(held_because(&plan, "acme").contains("already exists on hq and is not managed by tenantd"));
    assert_eq!(request_counts::changes(), changes);
    assert_eq!(live.browser("hq").all_of(domain).await, before);

    live.harness.edit("acme", |t| t.adopt = true);
    assert_eq!(steps(&live.converge().await), ["adopt acme"]);
    let browser = live.browser("hq");
    assert_eq!(browser.only(&name).await, domain, "the same domain, not another");
    assert_eq!(browser.settings(domain).await.len(), 4, "no row was added");
    assert_eq!(browser.settings(domain).await[&zone]["domain_setting_value"], "Europe/Berlin");
    assert_eq!(browser.values(domain, "users").await, ["9"]);
    assert_eq!(browser.values(domain, "title").await, ["Théâtre & <b>"]);
    assert_eq!(browser.values(domain, "cidr").await, ["0.0.0.0/0"]);
    assert_eq!(browser.domain(domain).await["domain_description"], "acme Ltd");
} }

live! { async fn drift_is_put_right_or_only_shown(mut live) {
    let mut acme = live.tenant("acme");
    acme.definition.max_users = MaxUsers::Limited(5);
    let mut shown = live.tenant("shown");
    shown.definition.drift = DriftPolicy::Report;
    live.harness.want([acme, shown]);
    live.converge().await;
    let browser = live.browser("hq");
    let (acme, shown) = (browser.only(&live.name("acme")).await, browser.only(&live.name("shown")).await);
    for domain in [acme, shown] {
        let meddled = [("domain_enabled", Some("false")), ("domain_description", Some("meddled"))];
        browser.edit_domain(domain, &meddled).await;
    }
    browser.add_setting(acme, "limit.users.numeric", "500", true, "").await;
    let left = browser.all_of(shown).await;

    let plan = live.converge().await;
    assert_eq!(steps(&plan), ["update acme", "enable acme"]);
    assert_eq!(plan.drifted.len(), 2, "{:#?}", plan.drifted);
    let browser = live.browser("hq");
    assert_eq!(browser.domain(acme).await["domain_description"], "acme Ltd");
    assert!(browser.is_enabled(acme).await);
    assert_eq!(browser.values(acme, "users").await, ["5"]);
    assert_eq!(browser.all_of(shown).await, left, "what is only shown is left alone");

    // NULL in `enabled`, which FusionPBX's next upgrade would make enabled.
    browser.edit_domain(acme, &[("domain_enabled", None)]).await;
    assert!(!browser.is_enabled(acme).await);
    assert_eq!(steps(&live.converge().await), ["enable acme"]);
    assert!(live.browser("hq").is_enabled(acme).await);

    // Renamed by an operator.
    let another = live.name("another");
    live.browser("hq").edit_domain(acme, &[("domain_name", Some(&another))]).await;
    assert_eq!(steps(&live.converge().await), ["rename acme"]);
    assert_eq!(live.browser("hq").only(&live.name("acme")).await, acme);

    // Deleted by an operator.
    if live.may_delete {
        live.browser("hq").delete_domain(acme).await;
        assert_eq!(steps(&live.converge().await), ["create acme"]);
        assert_eq!(live.browser("hq").only(&live.name("acme")).await, acme, "under its own identity");
        assert_eq!(live.browser("hq").values(acme, "users").await, ["5"]);
    }
} }

live! { async fn of_two_domains_with_one_name_only_our_own_is_touched(mut live) {
    let tenants = [live.tenant("acme"), live.tenant("calm")];
    live.harness.want(tenants);
    live.converge().await;
    let name = live.name("acme");
    let ours = live.browser("hq").only(&name).await;
    let theirs = Uuid::new_v4();
    live.browser("hq").create_domain_as(theirs, &name).await;
    assert_eq!(live.browser("hq").named(&name).await.len(), 2, "FusionPBX takes a name in use");
    let before = live.browser("hq").all_of(theirs).await;
    assert!(live.plan().await.is_empty(), "a domain is ours by its id, not by its name");
    live.harness.edit("acme", |t| {
        t.definition.name = "Changed".into();
        t.definition.enabled = false;
    });
    live.converge().await;
    assert_eq!(live.browser("hq").domain(ours).await["domain_enabled"], "false");
    // A rename would take their directories along, and onto their name is onto a name in use.
    let domain = live.domain("elsewhere");
    live.harness.edit("acme", |t| t.definition.domain = domain);
    let (plan, _) = live.harness.pass().await;
    assert!(held_because(&plan, "acme").starts_with("another domain on hq is also named"));
    let taken = live.domain("acme");
    live.harness.edit("acme", |t| t.definition.domain = taken.clone());
    live.harness.edit("calm", |t| t.definition.domain = taken);
    let (plan, _) = live.harness.pass().await;
    assert!(plan.steps.is_empty());
    assert!(held_because(&plan, "calm").contains("still belongs to the tenant acme"));
    let calm = live.domain("calm");
    live.harness.edit("calm", |t| t.definition.domain = calm);
    assert_eq!(live.browser("hq").all_of(theirs).await, before);
} }

live! { async fn a_name_that_is_taken_after_the_plan_is_neither_created_nor_renamed_onto(mut live) {
    let acme = live.tenant("acme");
    live.harness.want([acme]);
    live.converge().await;
    let wanted = live.domain("wanted");
    live.harness.edit("acme", |t| t.definition.domain = wanted);
    let new = live.tenant("new");
    live.harness.desired.tenants.insert(new.key.clone(), new);
    let look = live.harness.look().await;
    let plan = look.plan();
    assert_eq!(steps(&plan), ["rename acme", "create new"]);
    for name in ["wanted", "new"] {
        live.browser("hq").create_domain(&live.name(name), true, "").await;
    }
    let changes = request_counts::changes();
    let outcome = live.harness.carry_out(&look, &plan).await;
    for (tenant, name) in [("acme", "wanted"), ("new", "new")] {
        let told = format!("skipped: a domain {} was created on hq since the plan was made", live.name(name));
        assert_eq!(failure_of(&outcome, tenant), told);
    }
    assert_eq!(request_counts::changes(), changes);
    let (acme, free) = (live.domain("acme"), live.domain("free"));
    live.harness.edit("acme", |t| t.definition.domain = acme);
    live.harness.edit("new", |t| t.definition.domain = free);
    live.harness.settle(1).await;
} }

live! { Second: async fn an_idle_pass_costs_a_few_requests_and_no_change(mut live) {
    let tenants: Vec<_> = (0..6).map(|n| live.tenant(&format!("t{n}"))).collect();
    live.harness.want(tenants);
    live.harness.edit("t5", |t| t.definition.enabled = false);
    live.converge().await;
    live.harness.rotation = Rotation::oldest(0);
    for _ in 0..3 {
        let (requests, settings, changes) =
            (request_counts::requests(), request_counts::of_settings(), request_counts::changes());
        let (plan, _) = live.harness.pass().await;
        assert!(plan.is_empty());
        let spent = request_counts::requests() - requests - (request_counts::of_settings() - settings);
        assert!(spent <= 15 * live.sites.len(), "{spent} requests");
        assert_eq!(request_counts::changes(), changes);
    }
} }
