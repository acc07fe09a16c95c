//! Operators' decisions: approve, pause, resume, enroll.

use crate::site::{Site, at_both_sites};

/// A tenant that is removed, and past its retention of no days.
async fn removed(site: &Site) {
    site.configure("deletion: { mode: approve, retention_days: 0 }\n");
    site.tenants(3);
    site.apply().await;
    site.remove("t00.yaml");
    site.run(&["apply"]).await;
}

at_both_sites! { async fn a_deletion_needs_an_approval_and_leaves_a_tombstone(site) {
    removed(&site).await;
    let ran = site.run(&["apply"]).await;
    assert!(ran.ended_with(3).stdout.contains("tenantd approve --tenant t00"), "{ran:#?}");
    assert_eq!(site.deletions(), 0);
    site.run(&["approve", "--tenant", "t01"]).await.ended_with(1);
    site.run(&["approve", "--tenant", "t00"]).await.ended_with(0);
    assert_eq!(site.deletions(), 0, "a word is no deed");
    let ran = site.run(&["apply", "-o", "json"]).await;
    assert_eq!(crate::actions(&ran.ended_with(0).json(), "steps"), ["delete t00"]);
    assert_eq!(site.deletions(), 1);
    assert!(site.pbx("hq").domains_named("t00.example.com").is_empty());
    let ran = site.run(&["show", "t00"]).await;
    assert!(ran.ended_with(0).stdout.contains("it was deleted, and only its history remains"), "{ran:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn allow_delete_is_valid_for_one_run_and_one_tenant(site) {
    removed(&site).await;
    site.run(&["apply", "--allow-delete", "t01"]).await.ended_with(3);
    assert_eq!(site.deletions(), 0);
    site.run(&["apply", "--allow-delete", "t00", "--allow-delete", "t02"]).await.ended_with(0);
    assert_eq!(site.deletions(), 1);
    assert_eq!(site.pbx("hq").domain_count(), 3, "t02 has a file, so no word deletes it");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn an_approval_is_valid_only_for_its_plan(site) {
    site.tenants(6);
    site.apply().await;
    site.remove("t00.yaml");
    site.remove("t01.yaml");
    let ran = site.run(&["apply", "-o", "json"]).await;
    let held = ran.ended_with(3).json();
    let removals = held["removals_id"].as_str().unwrap().to_owned();
    assert_eq!(held["held"][0]["lifted_by"], format!("tenantd approve {removals}"));
    for _ in 0..2 {
        let ran = site.run(&["approve", &removals]).await;
        assert!(ran.ended_with(0).stdout.contains("disable t00, disable t01"), "{ran:#?}");
    }
    // Another one goes: that was not approved.
    site.remove("t02.yaml");
    site.run(&["apply"]).await.ended_with(3);
    let disabled = |site: &Site| {
        site.pbx("hq").domains().iter().filter(|row| row.enabled == Some(false)).count()
    };
    assert_eq!(disabled(&site), 0);
    site.tenant("t02");
    site.run(&["apply"]).await.ended_with(0);
    assert_eq!(disabled(&site), 2);
    site.comes_to_rest().await;
} }

at_both_sites! { async fn a_pause_lasts_until_it_is_ended(site) {
    site.tenants(2);
    site.apply().await;
    site.run(&["suspend", "t00", "--until", "2h", "--reason", "a migration"]).await.ended_with(0);
    site.tenant_with("t00", "max_users: 3\n");
    site.tenant_with("t01", "max_users: 3\n");
    let ran = site.run(&["apply", "-o", "json"]).await;
    let applied = ran.ended_with(3).json();
    assert_eq!(crate::actions(&applied, "steps"), ["update t01"]);
    let held = &applied["held"][0];
    assert!(held["reason"].as_str().unwrap().contains("a migration"), "{held:#}");
    assert_eq!(held["lifted_by"], "tenantd resume t00");
    assert!(site.run(&["status"]).await.stdout.contains("a migration"));
    site.run(&["resume", "t00"]).await.ended_with(0);
    site.apply().await;

    site.run(&["suspend", "--instance", "hq", "--until", "2h", "--reason", "maintenance"]).await.ended_with(0);
    site.tenant_with("t00", "max_users: 4\n");
    site.run(&["apply"]).await.ended_with(3);
    site.run(&["resume", "--instance", "hq"]).await.ended_with(0);
    site.apply().await;
    site.comes_to_rest().await;
} }

at_both_sites! { async fn enroll_accepts_a_replaced_server(site) {
    site.tenants(1);
    site.apply().await;
    // Another server with the same account at the address.
    let instances = [site.instance("hq", "branch"), site.instance("branch", "hq")].concat();
    site.write_config(&instances, "");
    let before = site.mutations();
    let ran = site.run(&["plan"]).await;
    assert!(ran.stdout.contains("If the server was replaced on purpose: tenantd pbx enroll hq"), "{ran:#?}");
    site.run(&["pbx", "enroll", "nowhere"]).await.ended_with(1);
    site.run(&["pbx", "enroll", "hq"]).await.ended_with(0);
    site.run(&["pbx", "enroll", "branch"]).await.ended_with(0);
    assert_eq!(site.mutations(), before);
    site.apply().await;
    assert_eq!(site.pbx("branch").domains_named("t00.example.com").len(), 1, "made again where hq is now");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn approve_refuses_a_deletion_that_is_not_due(site) {
    site.configure(
        "deletion: { mode: approve, retention_days: 3 }\nlimits: { removals: { count: 5, percent: 90 } }\n",
    );
    site.tenants(4);
    site.tenant_with("t03", "protected: true\n");
    site.apply().await;
    let refused = async |args: &[&str], why: &str| {
        let ran = site.run(&[&["approve", "--tenant"][..], args].concat()).await;
        assert!(ran.ended_with(1).stderr.contains(why), "{why}: {ran:#?}");
    };
    refused(&["t00"], "it has a file").await;
    refused(&["t0"], "did you mean `t00`?").await;
    site.remove("t00.yaml");
    refused(&["t00"], "it is not disabled yet").await;
    site.apply().await;
    site.write("t01.yaml", "name: [");
    refused(&["t00"], "t01.yaml is broken").await;
    site.tenant("t01");
    std::fs::rename(site.path("tenants.d"), site.path("away")).unwrap();
    refused(&["t00"], "the tenants directory").await;
    std::fs::create_dir(site.path("tenants.d")).unwrap();
    refused(&["t00"], "the tenants directory").await;
    std::fs::remove_dir(site.path("tenants.d")).unwrap();
    std::fs::rename(site.path("away"), site.path("tenants.d")).unwrap();
    refused(&["t00"], "Approve it with `--for 3d`").await;
    let ran = site.run(&["approve", "--tenant", "t00", "--for", "3d"]).await;
    assert!(ran.ended_with(0).stdout.contains("`tenantd apply`"), "{ran:#?}");
    site.tenant("t00");
    site.apply().await;
    site.remove("t03.yaml");
    site.apply().await;
    refused(&["t03"], "it is protected").await;
    assert_eq!(site.deletions(), 0);
    site.comes_to_rest().await;
} }

at_both_sites! { async fn a_mistyped_key_is_refused(site) {
    site.tenants(2);
    site.apply().await;
    site.write("broken.yaml", "name: [");
    for args in [
        &["suspend", "t0o", "--until", "1h", "--reason", "x"][..],
        &["plan", "--tenant", "t0o"],
        &["apply", "--tenant", "t0o"],
        &["apply", "--allow-delete", "t0o"],
    ] {
        let ran = site.run(args).await;
        assert!(ran.ended_with(1).stderr.contains("unknown tenant t0o"), "{args:?}: {ran:#?}");
        assert!(ran.stderr.contains("did you mean `t00`?"), "{args:?}: {ran:#?}");
    }
    site.run(&["plan", "--tenant", "broken"]).await.ended_with(0);
    site.run(&["suspend", "broken", "--until", "1h", "--reason", "x"]).await.ended_with(0);
    site.run(&["resume", "broken"]).await.ended_with(0);
    site.remove("broken.yaml");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn resume_names_the_pauses_that_remain(site) {
    site.tenants(1);
    site.apply().await;
    site.run(&["suspend", "--instance", "hq", "--until", "2h", "--reason", "cables"]).await.ended_with(0);
    let ran = site.run(&["resume", "--all"]).await;
    assert!(ran.ended_with(1).stderr.contains("still paused: the instance hq"), "{ran:#?}");
    site.run(&["suspend", "--all", "--until", "2h", "--reason", "freeze"]).await.ended_with(0);
    let ran = site.run(&["resume", "--all"]).await;
    assert!(ran.ended_with(0).stdout.contains("still paused: the instance hq"), "{ran:#?}");
    assert!(ran.stdout.contains("cables") && !ran.stdout.contains("everything resumed"), "{ran:#?}");
    let ran = site.run(&["resume", "--instance", "hq"]).await;
    assert!(!ran.ended_with(0).stdout.contains("still paused"), "{ran:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn a_newer_pause_replaces_the_older_one_of_its_scope(site) {
    site.tenants(2);
    site.apply().await;
    let pause = async |until: &str| {
        let ran = site.run(&["pause", "t00", "--until", until, "--reason", until]).await;
        ran.ended_with(0).stdout.clone()
    };
    assert!(!pause("3d").await.contains("replaces"));
    // Another scope is another pause.
    site.run(&["pause", "t01", "--until", "5h", "--reason", "other"]).await.ended_with(0);
    let told = pause("1h").await;
    assert!(told.contains("This replaces the pause until ") && told.contains(": 3d\n"), "{told}");
    let status = site.run(&["status"]).await;
    let told = &status.ended_with(0).stdout;
    assert!(told.contains("paused: t00, by ") && told.contains(": 1h. It stays in service."), "{told}");
    assert!(told.contains("paused: t01, by ") && !told.contains("3d"), "{told}");
    let ran = site.run(&["pause", "t00", "--until", "2h", "--reason", "2h", "-o", "json"]).await;
    let replaced = ran.ended_with(0).json()["replaced"].clone();
    assert_eq!(replaced.as_array().unwrap().len(), 1, "{replaced:#}");
    let document = site.run(&["status", "-o", "json"]).await.json();
    assert_eq!(document["pauses"].as_array().unwrap().len(), 2, "{document:#}");
    for text in [told.clone(), document.to_string(), site.run(&["show", "t00"]).await.stdout] {
        assert!(!text.contains("suspen"), "{text}");
    }
    // One command ends what two began.
    site.run(&["resume", "t00"]).await.ended_with(0);
    site.tenant_with("t00", "max_users: 3\n");
    site.apply().await;
    site.run(&["resume", "t01"]).await.ended_with(0);
    site.comes_to_rest().await;
} }

at_both_sites! { async fn resume_names_a_wider_pause_that_still_covers_the_tenant(site) {
    site.tenants(1);
    site.apply().await;
    site.run(&["pause", "t00", "--until", "1h", "--reason", "x"]).await.ended_with(0);
    site.run(&["pause", "--all", "--until", "2h", "--reason", "freeze"]).await.ended_with(0);
    let ran = site.run(&["resume", "t00"]).await;
    let told = &ran.ended_with(0).stdout;
    assert!(told.contains("t00 is still paused by the pause of everything until "), "{told}");
    assert!(told.contains("To end it: tenantd resume --all"), "{told}");
    assert!(!told.contains("takes effect") && !told.contains("applies it now"), "{told}");
    let ran = site.run(&["resume", "t00"]).await;
    assert!(ran.ended_with(1).stderr.contains("t00: no pause"), "{ran:#?}");
    site.run(&["resume", "--all"]).await.ended_with(0);
    site.run(&["pause", "--instance", "hq", "--until", "2h", "--reason", "cables"]).await.ended_with(0);
    site.run(&["pause", "t00", "--until", "1h", "--reason", "x"]).await.ended_with(0);
    let ran = site.run(&["resume", "t00"]).await;
    assert!(ran.ended_with(0).stdout.contains("by the pause of the instance hq"), "{ran:#?}");
    let ran = site.run(&["resume", "--instance", "hq"]).await;
    assert!(ran.ended_with(0).stdout.contains("It takes effect at the next run"), "{ran:#?}");
    site.comes_to_rest().await;
} }
