//! `import` takes a server over as it is: the plan right after is empty, and nothing on it changed.

use tenantd::sandbox::standin::NewSetting;

use crate::site::{at_both_sites, until};

at_both_sites! { async fn after_an_import_the_plan_is_empty_and_the_server_is_as_it_was(site) {
    site.tenant("already");
    site.apply().await;
    let pbx = site.pbx("hq").clone();
    pbx.add_domain("acme.example.com", Some(true), Some("Acme Corp"));
    pbx.add_domain("bare.example.com", Some(true), None);
    let limited = pbx.add_domain("limited.example.com", Some(true), Some("It's \"Limited\" & co: yes"));
    pbx.add_setting(limited, NewSetting::new("limit", "users", "numeric", "25"));
    pbx.add_setting(limited, NewSetting::new("domain", "cidr", "array", "192.0.2.0/24"));
    pbx.add_setting(limited, NewSetting::new("domain", "time_zone", "name", "Europe/Berlin"));
    let closed = pbx.add_domain("closed.example.com", Some(false), Some("no"));
    pbx.add_domain("acme.example.net", Some(true), Some("Another Acme"));
    let digests = pbx.digests();

    let ran = site.run(&["import", "--instance", "hq", "--dry-run"]).await;
    assert!(ran.ended_with(0).stdout.contains("5 would be imported, 0 left"), "{ran:#?}");
    assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 1, "nothing was written");
    let before = site.mutations();
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(0).stdout.contains("5 imported, 0 left"), "{ran:#?}");

    let ran = site.run(&["plan", "--detailed-exitcode"]).await;
    ran.ended_with(0);
    site.run(&["validate"]).await.ended_with(0);
    assert_eq!((site.mutations(), pbx.digests()), (before, digests.clone()));
    let read = |file: &str| std::fs::read_to_string(site.path("tenants.d").join(file)).unwrap();
    assert!(read("limited.yaml").contains("max_users: 25"), "{}", read("limited.yaml"));
    assert!(read("closed.yaml").contains("enabled: false"));
    assert!(read("acme.yaml").contains("domain: acme.example"));
    assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 6);

    // Again there is nothing left to import, and apply changes nothing.
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(0).stdout.contains("0 imported, 0 left"), "{ran:#?}");
    site.apply().await;
    assert_eq!(pbx.digests(), digests);
    assert!(site.run(&["status"]).await.stdout.contains("its users can still sign in"), "a closed one was left open");

    // From then on the files rule.
    let text = read("closed.yaml").replace("enabled: false", "enabled: true");
    site.write("closed.yaml", text);
    site.apply().await;
    assert_eq!(pbx.domain(closed).unwrap().enabled, Some(true));
    site.comes_to_rest().await;
} }

at_both_sites! { async fn what_cannot_be_a_tenant_as_it_is_is_left_and_told(site) {
    site.tenant("already");
    site.apply().await;
    let pbx = site.pbx("hq").clone();
    pbx.add_domain("a b'c;drop<", Some(true), None);
    pbx.add_domain("neither.example.com", None, Some("NULL"));
    pbx.add_domain("good.example.com", Some(true), Some("Good"));
    let odd = pbx.add_domain("odd.example.com", Some(true), Some("Odd"));
    pbx.add_setting(odd, NewSetting::new("limit", "users", "numeric", "many"));
    let digests = pbx.digests();
    let ran = site.run(&["import", "--instance", "hq"]).await;
    ran.ended_with(4);
    for line in ["1 imported, 3 left", "its `enabled` is NULL", "cannot stand in a host name", "`many`, not one number"] {
        assert!(ran.stdout.contains(line), "{line}: {ran:#?}");
    }
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(0);
    assert_eq!(pbx.digests(), digests);
    let ran = site.run(&["import", "--instance", "hq", "--matching", "nothing-like-it"]).await;
    assert!(ran.ended_with(0).stdout.contains("0 imported, 0 left"), "{ran:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn domains_are_imported_as_they_are_and_the_rest_says_which_rename_helps(site) {
    site.tenant("already");
    site.apply().await;
    let pbx = site.pbx("hq").clone();
    let address = pbx.add_domain("10.0.0.5", Some(true), Some("The first domain"));
    let capitals = pbx.add_domain("OldCaps.Example", Some(true), Some("Old Capitals"));
    pbx.add_domain("Closed.Example", Some(false), Some("Closed Capitals"));
    pbx.add_domain("under_score.example", Some(true), Some("Under Score"));
    pbx.add_domain("host.example:5060", Some(true), Some("With Port"));
    pbx.add_domain("trailing.", Some(true), None);
    pbx.add_domain("a b'c", Some(true), None);
    pbx.add_domain("2001:db8::1", Some(true), None);
    let digests = pbx.digests();
    let ran = site.run(&["import", "--instance", "hq"]).await;
    ran.ended_with(4);
    for line in [
        "imported 10.0.0.5 as 10.0.0.5\n",
        "imported oldcaps.example as oldcaps\n",
        "imported under_score.example as under_score\n",
        "imported host.example:5060 as host\n",
        "left: trailing.: it has an empty label (two dots in a row, or one at an end). Rename it to `trailing` on the PBX",
        "left: a b'c: ` ` cannot stand in a host name",
        "Rename it to `a-b-c` on the PBX and import again",
        "left: 2001:db8::1: it is an IPv6 address",
        "Give it a host name on the PBX and import again",
        "5 imported, 3 left",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran:#?}");
    }
    // No rename is planned for ever, and nothing was changed.
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(0);
    site.apply().await;
    assert_eq!(pbx.digests(), digests);
    let ran = site.run(&["validate"]).await;
    assert!(ran.ended_with(0).stdout.contains("0 errors, 2 warnings"), "{ran:#?}");
    assert!(ran.stderr.contains("warning[domain-unresolvable]"), "{ran:#?}");

    // They are managed: the name that the PBX stores is the same domain, in capitals or not.
    for (file, uuid) in [("10.0.0.5.yaml", address), ("oldcaps.yaml", capitals)] {
        let text = std::fs::read_to_string(site.path("tenants.d").join(file)).unwrap();
        site.write(file, text.replace("enabled: true", "enabled: false"));
        site.apply().await;
        assert_eq!(pbx.domain(uuid).unwrap().enabled, Some(false), "{file}");
        site.comes_to_rest().await;
        site.write(file, text);
        site.apply().await;
        assert_eq!(pbx.domain(uuid).unwrap().enabled, Some(true), "{file}");
    }
    site.comes_to_rest().await;
} }

at_both_sites! { async fn nothing_is_imported_beyond_the_tier(site) {
    site.tenant("already");
    site.apply().await;
    for name in ["acme", "beta"] {
        site.pbx("hq").add_domain(&format!("{name}.example.com"), Some(true), None);
    }
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    std::fs::write(site.path("tenantd.yaml"), format!("{config}tier: {{name: small, max_tenants: 2}}\n")).unwrap();
    for args in [&["import", "--instance", "hq"][..], &["import", "--instance", "hq", "--dry-run"]] {
        let ran = site.run(args).await;
        let expected = "the tier allows 2 tenants (tier.max_tenants); there are 1, and 2 would be imported";
        assert!(ran.ended_with(1).stderr.contains(expected), "{ran:#?}");
        assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 1);
    }
    let ran = site.run(&["import", "--instance", "hq", "--matching", "acme"]).await;
    assert!(ran.ended_with(0).stdout.contains("1 imported, 0 left"), "{ran:#?}");
} }

at_both_sites! { async fn nothing_is_imported_while_a_file_is_broken(site) {
    site.tenant("already");
    site.apply().await;
    site.pbx("hq").add_domain("acme.example.com", Some(true), None);
    site.write("broken.yaml", "name: [");
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(1).stderr.contains("mend the broken files first"), "{ran:#?}");
    assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 2);
    site.remove("broken.yaml");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn beside_a_running_daemon_nothing_is_imported_and_it_is_said_why(site) {
    site.tenant("already");
    site.apply().await;
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains("plan p-")).await;
    let digests = site.pbx("hq").digests();
    site.pbx("hq").add_domain("acme.example.com", Some(true), None);
    // To look takes no lock.
    let ran = site.run(&["import", "--instance", "hq", "--dry-run"]).await;
    assert!(ran.ended_with(0).stdout.contains("1 would be imported, 0 left"), "{ran:#?}");
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(1).stderr.contains("holds the writer's lock; waiting for it"), "{ran:#?}");
    assert!(ran.stderr.contains("so nothing was imported: stop it for the time of the import"), "{ran:#?}");
    assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 1);
    // It gets the lock of a daemon that ends meanwhile.
    let args = ["import", "--instance", "hq"];
    let (ran, ()) = tokio::join!(site.run(&args), async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        daemon.stop().await;
    });
    assert!(ran.ended_with(0).stdout.contains("imported acme.example.com as acme"), "{ran:#?}");
    let after = site.pbx("hq").digests();
    assert!(digests.iter().all(|(uuid, digest)| after[uuid] == *digest));
    site.comes_to_rest().await;
} }
