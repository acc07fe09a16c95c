//! Each exit code of the manual, produced once.

use fusionpbx_standin::{Fault, FaultKind};

use crate::common::harness::Backend;
use crate::site::{Site, at_both_sites, until};

at_both_sites! { async fn plan_detailed_exitcode_separates_no_changes_changes_and_held(site) {
    site.tenant("acme");
    site.run(&["plan"]).await.ended_with(0);
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(2);
    site.apply().await;
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(0);
    site.pbx("hq").add_domain("theirs.example.com", Some(true), None);
    site.tenant("theirs");
    site.tenant("new");
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(3);
    site.run(&["plan"]).await.ended_with(0);
    site.remove("theirs.yaml");
    site.apply().await;
    site.comes_to_rest().await;
} }

at_both_sites! { async fn apply_exits_with_0_done_3_held_4_failed_and_5_stale(site) {
    site.tenant("acme");
    site.run(&["apply"]).await.ended_with(0);
    site.run(&["apply"]).await.ended_with(0);

    site.pbx("hq").add_domain("theirs.example.com", Some(true), None);
    site.tenant("theirs");
    site.run(&["apply"]).await.ended_with(3);
    site.remove("theirs.yaml");

    site.pbx("hq").inject(Fault::new(FaultKind::IgnoreWrites).page("domain_edit.php").method("POST"));
    site.tenant("new");
    let ran = site.run(&["apply"]).await;
    ran.ended_with(4);
    assert!(ran.stdout.contains("failed create new on hq: the PBX reported success, but the domain new.example.com is still absent"), "{ran:#?}");
    site.pbx("hq").clear_faults();

    let id = site.plan().await["plan_id"].as_str().unwrap().to_owned();
    site.tenant_with("acme", "session_timeout: 30\n");
    let before = site.mutations();
    let ran = site.run(&["apply", "--plan", &id]).await;
    ran.ended_with(5);
    assert!(ran.stderr.contains("is out of date: files, database or PBX changed since it was made. Nothing was done."), "{ran:#?}");
    assert_eq!(site.mutations(), before);
    let ran = site.run(&["apply", "--plan", &id, "--output", "json"]).await;
    assert!(ran.ended_with(5).json()["error"].as_str().unwrap().contains("is out of date"));
    assert_eq!(site.mutations(), before);

    let id = site.plan().await["plan_id"].as_str().unwrap().to_owned();
    site.run(&["apply", "--plan", &id]).await.ended_with(0);
    site.comes_to_rest().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_else_is_wrong_ends_with_1() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    // No tenant files: nothing can be said of what is wanted.
    for args in [&["plan"][..], &["apply"]] {
        let ran = site.run(args).await;
        ran.ended_with(1);
        assert!(
            ran.stderr.contains("nothing is changed") || ran.stderr.contains("has no tenant files"),
            "{ran:#?}"
        );
    }
    site.tenant("acme");
    site.run(&["show", "nobody"]).await.ended_with(1);
    site.run(&["import", "--instance", "nowhere"]).await.ended_with(1);
    site.run(&["approve", "p-0123456789abcdef"]).await.ended_with(1);
    site.run(&["suspend", "acme", "--until", "yesterday", "--reason", "x"]).await.ended_with(1);

    // A secret that is not there.
    let password = site.path("password");
    std::fs::rename(&password, site.path("elsewhere")).unwrap();
    let ran = site.run(&["plan"]).await;
    assert!(ran.ended_with(1).stderr.contains("password"), "{ran:#?}");
    std::fs::rename(site.path("elsewhere"), &password).unwrap();

    // A database that cannot be opened.
    std::fs::remove_dir_all(site.path("state")).unwrap();
    std::fs::write(site.path("state"), "not a directory").unwrap();
    let ran = site.run(&["apply"]).await;
    assert!(ran.ended_with(1).stderr.contains("cannot open the database"), "{ran:#?}");

    // No configuration, and one that is broken.
    std::fs::write(site.path("tenantd.yaml"), "database_url: sqlite:x.db\ntenant_dir: tenants.d\n").unwrap();
    let ran = site.run(&["plan"]).await;
    assert!(ran.ended_with(1).stderr.contains("tenants_dir"), "{ran:#?}");
    std::fs::remove_file(site.path("tenantd.yaml")).unwrap();
    site.run(&["plan"]).await.ended_with(1);
    assert_eq!(site.mutations(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_that_is_not_understood_ends_with_64_and_does_nothing() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    for args in [
        &[][..],
        &["aply"],
        &["apply", "--everything"],
        &["apply", "--tenant", ""],
        &["apply", "--tenant", "No Key"],
        &["apply", "--plan"],
        &["apply", "--allow-delete", "../acme"],
        &["plan", "extra"],
        &["plan", "--output", "xml"],
        &["show"],
        &["import"],
        &["import", "--instance", "H Q"],
        &["approve"],
        &["approve", "p-1", "--tenant", "acme"],
        &["approve", "p-1", "--for", "8d"],
        &["suspend", "acme"],
        &["pbx"],
        &["completions"],
        &["completions", "cmd"],
    ] {
        let ran = site.run(args).await;
        assert_eq!(ran.code, 64, "{args:?}: {ran:#?}");
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}: {ran:#?}");
    }
    assert!(site.pbx("hq").requests().is_empty(), "nobody was asked");
    assert!(!site.path("state/tenantd.db").exists());
}

at_both_sites! { async fn a_broken_file_counts_as_held_even_if_its_tenant_has_no_record(site) {
    site.tenant("acme");
    site.apply().await;
    site.write("new.yaml", "name: [");
    let before = site.mutations();
    for args in [&["apply"][..], &["plan", "--detailed-exitcode"]] {
        let ran = site.run(args).await;
        assert!(ran.ended_with(3).stderr.contains("new.yaml"), "{ran:#?}");
        assert!(ran.stdout.contains("1 broken file"), "{ran:#?}");
    }
    let ran = site.run(&["apply"]).await;
    assert!(ran.stdout.contains("new.yaml is broken: no tenant is disabled or deleted until `tenantd validate` finds every file readable"), "{ran:#?}");
    let ran = site.run(&["apply", "-o", "json"]).await;
    assert_eq!(ran.ended_with(3).json()["summary"]["broken_files"], 1, "{ran:#?}");
    assert_eq!(site.mutations(), before);
    // What was asked for by name is not held by a unmanaged domain's file.
    site.run(&["apply", "--tenant", "acme"]).await.ended_with(0);
    site.run(&["plan", "--tenant", "acme", "--detailed-exitcode"]).await.ended_with(0);
    site.run(&["apply", "--tenant", "new"]).await.ended_with(3);
    // Changes continue, and something that failed says more than something that is held.
    site.tenant_with("acme", "session_timeout: 30\n");
    site.run(&["plan", "--detailed-exitcode"]).await.ended_with(3);
    site.run(&["apply"]).await.ended_with(3);
    site.remove("new.yaml");
    site.run(&["apply"]).await.ended_with(0);
    // The same beside a daemon, which does the pass.
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains("plan p-")).await;
    site.run(&["apply"]).await.ended_with(0);
    site.write("new.yaml", "name: [");
    let ran = site.run(&["apply"]).await;
    assert!(ran.ended_with(3).stderr.contains("broken: new.yaml: nothing is removed"), "{ran:#?}");
    site.remove("new.yaml");
    daemon.stop().await;
    site.comes_to_rest().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_log_filter_is_a_usage_error() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    for filter in ["debgu", "tenantd=loud"] {
        let ran = site.run(&["validate", "--log", filter]).await;
        assert!(ran.ended_with(64).stderr.contains(filter), "{ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_tenants_directory_appears_once_in_the_plans_json() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    std::fs::remove_dir(site.path("tenants.d")).unwrap();
    let ran = site.run(&["plan", "--detailed-exitcode", "-o", "json"]).await;
    let document = ran.ended_with(1).json();
    assert_eq!(document["errors"].as_array().unwrap().len(), 1, "{document:#}");
    assert_eq!(document["warnings"], serde_json::json!([]), "{document:#}");
    let path = site.path("tenants.d").display().to_string();
    assert!(document["error"].as_str().unwrap().contains(&path), "{document:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_database_secret_or_certificate_is_reported_with_its_configuration_key() {
    let mut site = Site::new(Backend::Sqlite).await.unwrap();
    site.database_url = "postgres://tenantd@127.0.0.1:1/tenantd".to_owned();
    std::fs::write(site.path("empty"), "\n").unwrap();
    for (file, why) in [("nowhere", "it cannot be read"), ("empty", "it is empty")] {
        site.configure(&format!("database_password: {{ file: {file} }}\n"));
        // Secrets are no matter of `validate`.
        site.tenant("acme");
        site.run(&["validate"]).await.ended_with(0);
        for command in [&["status"][..], &["plan"], &["stats"]] {
            let ran = site.run(command).await;
            let told = &ran.ended_with(1).stderr;
            assert!(
                told.contains("`database_password`: no secret in the file ") && told.contains(why),
                "{told}"
            );
            assert!(told.contains("install -m 600 /dev/stdin"), "what to do: {told}");
        }
    }
    for (file, why) in [("nowhere", "cannot be read"), ("empty", "holds no certificate")] {
        site.configure(&format!("database_ca_file: {file}\n"));
        let ran = site.run(&["validate"]).await;
        let told = &ran.ended_with(1).stderr;
        assert!(told.contains("`database_ca_file`: ") && told.contains(why), "{told}");
    }
    site.database_url += "?sslmode=wrong";
    site.configure("");
    let ran = site.run(&["validate"]).await;
    let told = &ran.ended_with(1).stderr;
    assert!(told.contains("sslmode") && !told.contains("sqlite:"), "{told}");
}
