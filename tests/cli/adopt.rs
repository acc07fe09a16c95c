//! `adopt` takes over existing domains that tenant files name.

use fusionpbx_standin::NewSetting;

use crate::actions;
use crate::site::{at_both_sites, until};

at_both_sites! { async fn adopt_all_takes_over_every_tenant_unchanged_after_the_database_is_lost(site) {
    let names = site.tenants(30);
    site.tenant_with("shut", "enabled: false\nmax_users: 5\npbx_settings: { domain.time_zone.name: Europe/Berlin }\n");
    // Limits that any other way would be in the way of.
    site.configure("limits: { creates: { count: 1, percent: 1 }, disables: { count: 0, percent: 1 } }\n");
    let first = site.run(&["apply", "--yes"]).await;
    let approve = first.stdout.split("tenantd approve ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    site.run(&["approve", approve]).await.ended_with(0);
    site.apply().await;
    let digests = site.pbx("hq").digests();
    site.lose_the_database().await;

    let plan = site.plan().await;
    assert_eq!(plan["held"].as_array().unwrap().len(), 31);
    assert_eq!(plan["held"][0]["lifted_by"], "tenantd adopt --all", "what the plan advises is what is typed below");
    let ran = site.run(&["adopt", "--all", "--dry-run"]).await;
    assert!(ran.ended_with(0).stdout.contains("31 to adopt, 0 with changes on the PBX"), "{ran:#?}");
    assert_eq!(site.plan().await["held"].as_array().unwrap().len(), 31, "a preview does nothing");
    let ran = site.run(&["adopt", "--all"]).await;
    assert!(ran.ended_with(64).stderr.contains("Run it again with `--yes`"), "{ran:#?}");
    let before = site.mutations();
    let ran = site.run(&["adopt", "--all", "--yes"]).await;
    assert!(ran.ended_with(0).stdout.contains("31 adopted, 0 not"), "{ran:#?}");
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(0);
    assert_eq!((site.mutations(), site.pbx("hq").digests()), (before, digests));
    site.has_one_domain_each("hq", &names);
    let ran = site.run(&["adopt", "--all", "--yes"]).await;
    assert!(ran.ended_with(0).stdout.contains("Nothing to adopt."), "{ran:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn adopt_shows_the_differences_before_it_applies_the_file(site) {
    let pbx = site.pbx("hq").clone();
    let acme = pbx.add_domain("acme.example.com", Some(true), Some("Somebody"));
    pbx.add_setting(acme, NewSetting::new("limit", "users", "numeric", "3"));
    pbx.add_setting(acme, NewSetting::new("domain", "time_zone", "name", "America/Chicago"));
    pbx.add_setting(acme, NewSetting::new("theme", "title", "text", "theirs"));
    let other = pbx.add_domain("other.example.com", Some(true), Some("other Ltd"));
    site.tenant_with("acme", "max_users: 9\npbx_settings: { domain.time_zone.name: Europe/Berlin }\n");
    site.tenant("other");
    site.tenant("new");
    let digests = pbx.digests();

    let plan = site.plan().await;
    assert_eq!(plan["held"][0]["lifted_by"], "tenantd adopt acme");
    let ran = site.run(&["adopt", "acme", "--dry-run"]).await;
    for line in ["-name: Somebody", "+name: acme Ltd", "-max_users: 3", "+max_users: 9", "America/Chicago", "Europe/Berlin"] {
        assert!(ran.ended_with(0).stdout.contains(line), "{line}: {ran:#?}");
    }
    assert!(ran.stdout.contains("1 to adopt, 1 with changes on the PBX"), "{ran:#?}");
    let json = site.run(&["adopt", "acme", "--dry-run", "-o", "json"]).await.ended_with(0).json();
    assert_eq!(actions(&json, "steps"), ["adopt acme"]);
    assert_eq!(pbx.digests(), digests);

    site.run(&["adopt", "acme", "--yes"]).await.ended_with(0);
    assert_eq!(pbx.domain(acme).unwrap().description.as_deref(), Some("acme Ltd"));
    let value = |name: &str| {
        let row = pbx.settings(acme).into_iter().find(|row| row.subcategory == name);
        row.and_then(|row| row.value)
    };
    assert_eq!(value("users").as_deref(), Some("9"));
    assert_eq!(value("time_zone").as_deref(), Some("Europe/Berlin"));
    assert_eq!(value("title").as_deref(), Some("theirs"));
    assert_eq!(pbx.digests()[&other], digests[&other], "only what was named");
    assert!(pbx.domains_named("new.example.com").is_empty(), "nothing else is done on the way");

    // What cannot be adopted is named with what does it.
    let ran = site.run(&["adopt", "acme", "new", "--yes"]).await;
    assert!(ran.ended_with(4).stderr.contains("skipped acme: it is already managed"), "{ran:#?}");
    assert!(ran.stderr.contains("new.example.com does not exist on hq; `tenantd apply` creates it"), "{ran:#?}");
    site.run(&["adopt", "nobody"]).await.ended_with(1);
    site.run(&["adopt"]).await.ended_with(64);
    let ran = site.run(&["adopt", "--instance", "hq", "--yes"]).await;
    assert!(ran.ended_with(0).stdout.contains("1 adopted, 0 not"), "{ran:#?}");
    site.run(&["apply", "--yes"]).await.ended_with(0);
    assert_eq!(pbx.domains_named("new.example.com").len(), 1);
    site.comes_to_rest().await;
} }

at_both_sites! { async fn import_suggests_adopt_for_a_domain_with_a_tenant_file(site) {
    site.pbx("hq").add_domain("acme.example.com", Some(true), Some("acme Ltd"));
    site.pbx("hq").add_domain("moved.example.com", Some(true), Some("moved Ltd"));
    site.tenant("acme");
    site.write("moved.yaml", crate::site::text_of("moved", "").replace("hq", "branch"));
    let ran = site.run(&["import", "--instance", "hq"]).await;
    let advice = "skipped acme.example.com: acme.yaml already names it. To take it over: tenantd adopt acme";
    assert!(ran.ended_with(4).stdout.contains(advice), "{ran:#?}");
    assert!(ran.stdout.contains("moved.yaml already names it, on branch. To take it over here, write `pbx_instance: \
                                 hq`"));
    site.run(&["adopt", "acme", "--yes"]).await.ended_with(0);
    site.tenant("moved");
    site.run(&["adopt", "moved", "--yes"]).await.ended_with(0);
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(0).stdout.contains("0 imported, 1 skipped"), "{ran:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn a_running_daemon_does_the_adoption(site) {
    site.tenant("already");
    site.apply().await;
    let domain = site.pbx("hq").add_domain("acme.example.com", Some(true), Some("Somebody"));
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains("plan p-")).await;
    site.tenant("acme");
    let ran = site.run(&["adopt", "acme", "--yes"]).await;
    assert!(ran.ended_with(0).stdout.contains("1 adopted, 0 not"), "{ran:#?}");
    assert_eq!(site.pbx("hq").domain(domain).unwrap().description.as_deref(), Some("acme Ltd"));
    let shown = site.run(&["show", "acme"]).await;
    assert!(shown.stdout.contains("adoption.approved") && shown.stdout.contains("tenant.adopted"), "{shown:#?}");
    daemon.stop().await;
    site.comes_to_rest().await;
} }

at_both_sites! { async fn adopt_disables_no_more_domains_than_the_limit_allows(site) {
    site.configure("limits: { disables: { count: 1, percent: 1 } }\n");
    for name in ["one", "two"] {
        site.pbx("hq").add_domain(&format!("{name}.example.com"), Some(true), Some(&format!("{name} Ltd")));
        site.tenant_with(name, "enabled: false\n");
    }
    let ran = site.run(&["adopt", "--all", "--yes"]).await;
    let expected = "Adopt fewer tenants at once, or set `enabled: true` in their files";
    assert!(ran.ended_with(3).stdout.contains(expected), "{ran:#?}");
    assert!(!ran.stdout.contains("tenantd approve"), "{ran:#?}");
    assert_eq!(site.mutations(), 0);
    site.run(&["adopt", "one", "--yes"]).await.ended_with(0);
    assert_eq!(site.pbx("hq").domains_named("one.example.com")[0].enabled, Some(false));
    site.run(&["adopt", "two", "--yes"]).await.ended_with(3);
    site.tenant("two");
    site.run(&["adopt", "two", "--yes"]).await.ended_with(0);
    site.comes_to_rest().await;
} }

at_both_sites! { async fn the_domain_of_tenantds_own_account_is_never_adopted(site) {
    let own = "pbx.example.com";
    let file = format!("name: Ours\ndomain: {own}\npbx_instance: hq\n");
    let before = site.pbx("hq").digests();
    for text in [file.clone(), format!("{file}adopt: true\n")] {
        site.write("own.yaml", text);
        let plan = site.plan().await;
        assert_eq!(actions(&plan, "held"), ["adopt own"]);
        assert_eq!(plan["held"][0]["lifted_by"], serde_json::Value::Null, "nothing advises it");
        let expected = format!("{own} holds tenantd's own account on hq, so it cannot become a tenant");
        assert!(plan["held"][0]["reason"].as_str().unwrap().starts_with(&expected), "{plan:#?}");
        let ran = site.run(&["apply", "--yes"]).await;
        assert!(ran.ended_with(3).stdout.contains(&expected), "{ran:#?}");
        for which in ["own", "--all"] {
            let ran = site.run(&["adopt", which, "--yes"]).await;
            assert!(ran.ended_with(4).stderr.contains(&expected), "{ran:#?}");
            assert!(ran.stdout.contains("0 adopted, 1 skipped"), "{ran:#?}");
        }
        let ran = site.run(&["import", "--instance", "hq"]).await;
        assert!(ran.ended_with(0).stdout.contains("it holds tenantd's own account"), "{ran:#?}");
    }
    let shown = site.run(&["status", "own"]).await;
    assert!(!shown.stdout.contains("tenantd adopt"), "{shown:#?}");
    assert_eq!(site.pbx("hq").digests(), before);
} }
