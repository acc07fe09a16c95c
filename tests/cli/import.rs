//! `import` takes over a PBX's domains unchanged: the plan right after it is empty.

use fusionpbx_standin::NewSetting;

use crate::site::{at_both_sites, until};

at_both_sites! { async fn after_an_import_the_plan_is_empty_and_the_pbx_unchanged(site) {
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
    assert!(ran.ended_with(0).stdout.contains("5 would be imported, 1 skipped"), "{ran:#?}");
    assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 1, "nothing was written");
    let before = site.mutations();
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(0).stdout.contains("5 imported, 1 skipped"), "{ran:#?}");

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
    assert!(ran.ended_with(0).stdout.contains("0 imported, 1 skipped"), "{ran:#?}");
    site.apply().await;
    assert_eq!(pbx.digests(), digests);
    assert!(site.run(&["status"]).await.stdout.contains("tenantd block closed"), "a closed one was left open");

    // From then on the files rule.
    let text = read("closed.yaml").replace("enabled: false", "enabled: true");
    site.write("closed.yaml", text);
    site.apply().await;
    assert_eq!(pbx.domain(closed).unwrap().enabled, Some(true));
    site.comes_to_rest().await;
} }

at_both_sites! { async fn import_skips_domains_that_cannot_be_tenants_and_reports_them(site) {
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
    for line in ["1 imported, 4 skipped", "its `enabled` is NULL", "is not allowed in a host name", "`many`, which is not a number"] {
        assert!(ran.stdout.contains(line), "{line}: {ran:#?}");
    }
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(0);
    assert_eq!(pbx.digests(), digests);
    let ran = site.run(&["import", "--instance", "hq", "--matching", "nothing-like-it"]).await;
    assert!(ran.ended_with(0).stdout.contains("0 imported, 0 skipped"), "{ran:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn domains_are_imported_unchanged_and_skipped_ones_suggest_a_rename(site) {
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
        "skipped trailing.: it has an empty label (two dots in a row, or one at an end). Rename it to `trailing` on \
         the PBX",
        "skipped a b'c: ` ` is not allowed in a host name",
        "Rename it to `a-b-c` on the PBX and import again",
        "skipped 2001:db8::1: it is an IPv6 address",
        "Give it a host name on the PBX and import again",
        "5 imported, 4 skipped",
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
        site.write(file, format!("{text}enabled: false\n"));
        site.apply().await;
        assert_eq!(pbx.domain(uuid).unwrap().enabled, Some(false), "{file}");
        site.comes_to_rest().await;
        site.write(file, text);
        site.apply().await;
        assert_eq!(pbx.domain(uuid).unwrap().enabled, Some(true), "{file}");
    }
    site.comes_to_rest().await;
} }

at_both_sites! { async fn import_refuses_to_exceed_the_tenant_limit_of_the_tier(site) {
    site.tenant("already");
    site.apply().await;
    for name in ["acme", "beta"] {
        site.pbx("hq").add_domain(&format!("{name}.example.com"), Some(true), None);
    }
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    std::fs::write(site.path("tenantd.yaml"), format!("{config}tier: {{name: small, max_tenants: 2}}\n")).unwrap();
    for args in [&["import", "--instance", "hq"][..], &["import", "--instance", "hq", "--dry-run"]] {
        let ran = site.run(args).await;
        let expected = "the tier allows 2 tenants (`tier.max_tenants`), 1 exist, and 2 would be added";
        assert!(ran.ended_with(1).stderr.contains(expected), "{ran:#?}");
        assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 1);
    }
    let ran = site.run(&["import", "--instance", "hq", "--matching", "acme"]).await;
    assert!(ran.ended_with(0).stdout.contains("1 imported, 0 skipped"), "{ran:#?}");
} }

at_both_sites! { async fn import_is_refused_while_a_file_is_broken(site) {
    site.tenant("already");
    site.apply().await;
    site.pbx("hq").add_domain("acme.example.com", Some(true), None);
    site.write("broken.yaml", "name: [");
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(1).stderr.contains("correct the broken files first"), "{ran:#?}");
    assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 2);
    site.remove("broken.yaml");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn a_running_daemon_takes_over_imported_domains(site) {
    site.tenant("already");
    site.apply().await;
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains("plan p-")).await;
    let digests = site.pbx("hq").digests();
    site.pbx("hq").add_domain("acme.example.com", Some(true), None);
    site.pbx("hq").add_domain("shut.example.com", Some(false), Some("Shut"));
    let there = site.pbx("hq").digests();
    let ran = site.run(&["import", "--instance", "hq", "--dry-run"]).await;
    assert!(ran.ended_with(0).stdout.contains("2 would be imported, 1 skipped"), "{ran:#?}");
    assert_eq!(std::fs::read_dir(site.path("tenants.d")).unwrap().count(), 1, "to look writes nothing");
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(0).stderr.contains("to do this run"), "{ran:#?}");
    for line in ["imported acme.example.com as acme", "imported shut.example.com as shut", "2 imported, 1 skipped"] {
        assert!(ran.stdout.contains(line), "{line}: {ran:#?}");
    }
    assert_eq!(site.pbx("hq").digests(), there, "the PBX is as it was");
    assert!(digests.iter().all(|(uuid, digest)| there[uuid] == *digest));
    let status = site.run(&["status"]).await;
    assert!(status.stdout.contains("tenantd block shut"), "{status:#?}");
    // A command that holds the lock is no daemon: what is asked beside a daemon that ends is done without it.
    site.pbx("hq").add_domain("late.example.com", Some(true), None);
    daemon.signal("STOP");
    if site.backend == Backend::Sqlite {
        let args = ["import", "--instance", "hq"];
        let (ran, ()) = tokio::join!(site.run(&args), async {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            daemon.kill().await;
        });
        assert!(ran.ended_with(0).stdout.contains("imported late.example.com as late"), "{ran:#?}");
    } else {
        daemon.kill().await;
        site.expire_lease().await;
        let ran = site.run(&["import", "--instance", "hq"]).await;
        assert!(ran.ended_with(0).stdout.contains("imported late.example.com as late"), "{ran:#?}");
    }
    site.comes_to_rest().await;
} }

at_both_sites! { async fn import_creates_the_directory_and_omits_default_values(site) {
    std::fs::remove_dir(site.path("tenants.d")).unwrap();
    site.pbx("hq").add_domain("acme.example.com", Some(true), Some("Acme Corp"));
    let limited = site.pbx("hq").add_domain("limited.example.com", Some(true), Some("Limited"));
    site.pbx("hq").add_setting(limited, NewSetting::new("limit", "users", "numeric", "25"));
    let ran = site.run(&["import", "--instance", "hq", "--dry-run"]).await;
    assert!(ran.ended_with(0).stdout.contains("2 would be imported, 1 skipped"), "{ran:#?}");
    assert!(!site.path("tenants.d").exists(), "a preview makes nothing");
    let ran = site.run(&["import", "--instance", "hq"]).await;
    for line in ["skipped pbx.example.com: it holds tenantd's own account", "2 imported, 1 skipped"] {
        assert!(ran.ended_with(0).stdout.contains(line), "{line}: {ran:#?}");
    }
    let read = |file: &str| std::fs::read_to_string(site.path("tenants.d").join(file)).unwrap();
    assert_eq!(read("acme.yaml"), "name: Acme Corp\ndomain: acme.example.com\npbx_instance: hq\n");
    assert!(read("limited.yaml").ends_with("pbx_instance: hq\nmax_users: 25\n"), "{}", read("limited.yaml"));
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(0);
    // A change of the deployment's defaults reaches whom the file says nothing else of.
    site.configure("defaults: { session_timeout: 30, max_users: 100 }\n");
    let plan = site.plan().await;
    assert_eq!(crate::actions(&plan, "steps"), ["update acme", "update limited"], "{plan:#}");
} }

at_both_sites! { async fn import_suggests_the_command_for_a_directory_it_cannot_create(site) {
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    std::fs::write(site.path("in-the-way"), "").unwrap();
    let dir = site.path("in-the-way/tenants.d").display().to_string();
    std::fs::write(site.path("tenantd.yaml"), config.replace("tenants_dir: tenants.d", &format!("tenants_dir: {dir}")))
        .unwrap();
    let ran = site.run(&["import", "--instance", "hq"]).await;
    let expected = format!("cannot create the tenants directory {dir}");
    assert!(ran.ended_with(1).stderr.contains(&expected), "{ran:#?}");
    assert!(ran.stderr.contains(&format!("`install -d {dir}`")) && !ran.stderr.contains(".import-"), "{ran:#?}");
} }

at_both_sites! { async fn block_blocks_the_web_sign_in_without_enabling_the_domain(site) {
    let pbx = site.pbx("hq").clone();
    let open = pbx.add_domain("open.example.com", Some(false), Some("Open"));
    let office = pbx.add_setting(open, NewSetting::new("domain", "cidr", "array", "192.0.2.0/24"));
    site.run(&["import", "--instance", "hq"]).await.ended_with(0);
    assert!(site.run(&["status"]).await.stdout.contains("tenantd block open"));
    let sent = pbx.requests().len();
    let ran = site.run(&["block", "open"]).await;
    assert!(ran.ended_with(0).stdout.contains("open: its web sign-in is blocked; it stays disabled"), "{ran:#?}");
    let rows = pbx.settings(open);
    let enabled: Vec<&str> = rows.iter().filter(|row| row.enabled == Some(true)).filter_map(|row| row.value.as_deref()).collect();
    assert_eq!(enabled, ["255.255.255.255/32"]);
    let posts = pbx.requests().into_iter().skip(sent).filter(|request| request.method == "POST");
    assert!(posts.clone().count() > 0 && posts.into_iter().all(|request| !request.path.contains("domain_edit")));
    assert_eq!(pbx.domain(open).unwrap().enabled, Some(false));
    let status = site.run(&["status"]).await.stdout;
    assert!(!status.contains("tenantd block") && !status.contains("still open"), "{status}");
    let ran = site.run(&["block", "open"]).await;
    assert!(ran.ended_with(0).stdout.contains("already blocked"), "{ran:#?}");
    // To enable it gives the office its entry back.
    let text = std::fs::read_to_string(site.path("tenants.d/open.yaml")).unwrap().replace("enabled: false", "enabled: true");
    site.write("open.yaml", text);
    site.apply().await;
    assert_eq!(pbx.settings(open).into_iter().find(|row| row.uuid == office).unwrap().enabled, Some(true));
    let ran = site.run(&["block", "open"]).await;
    assert!(ran.ended_with(1).stderr.contains("write `enabled: false` in its file"), "{ran:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn import_recognises_an_existing_web_sign_in_block(site) {
    site.tenant_with("acme", "enabled: false\n");
    site.apply().await;
    let digests = site.pbx("hq").digests();
    site.lose_the_database().await;
    site.remove("acme.yaml");
    let ran = site.run(&["import", "--instance", "hq"]).await;
    assert!(ran.ended_with(0).stdout.contains("imported acme.example.com as acme"), "{ran:#?}");
    let status = site.run(&["status"]).await.stdout;
    assert!(status.contains("acme") && !status.contains("tenantd block") && !status.contains("still open"), "{status}");
    assert_eq!(site.pbx("hq").digests(), digests);
    // Anyone who opens it again, it is drift.
    let domain = site.pbx("hq").domains_named("acme.example.com")[0].uuid;
    let block = site.pbx("hq").settings(domain)[0].uuid;
    site.pbx("hq").remove_setting(domain, block);
    site.run(&["apply", "--yes"]).await.ended_with(0);
    assert_eq!(site.pbx("hq").settings(domain)[0].value.as_deref(), Some("255.255.255.255/32"));
    site.comes_to_rest().await;
} }
