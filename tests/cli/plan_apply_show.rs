//! `plan` changes nothing, `apply` does what was shown, and `show` explains it.

use std::collections::BTreeMap;
use std::path::Path;

use fusionpbx_standin::{Fault, FaultKind, NewSetting};

use crate::common::harness::Backend;
use crate::site::{Site, at_both_sites};

/// Everything below a directory: names, contents, and when each was last written.
fn everything(dir: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            let written = path.metadata().unwrap().modified().unwrap();
            found.insert(path.display().to_string(), (std::fs::read(&path).unwrap(), written));
        }
    }
    found
}

/// What makes a tenant's file unlike the others'.
const UNLIKE: &str = "session_timeout: 15\nmax_users: 3\n";

at_both_sites! { async fn read_only_commands_write_nothing(site) {
    site.tenants(3);
    let looking = [
        &["plan"][..],
        &["plan", "-o", "json", "--detailed-exitcode"],
        &["validate"],
        &["status"],
        &["show", "t00"],
        &["pbx", "check"],
        &["import", "--instance", "hq", "--dry-run"],
    ];
    let nothing = async |site: &Site, stage: &str| {
        let (files, mutations) = (everything(site.dir.path()), site.mutations());
        let digests = [site.pbx("hq").digests(), site.pbx("branch").digests()];
        for args in looking {
            let ran = site.run(args).await;
            assert!([0, 2, 3].contains(&ran.code), "{stage}: {args:?}: {ran:#?}");
            assert_eq!(site.mutations(), mutations, "{stage}: {args:?} sent a changing request");
            let now = everything(site.dir.path());
            let names = |files: &BTreeMap<String, _>| files.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&now), names(&files), "{stage}: {args:?} made or removed a file");
            assert!(now == files, "{stage}: {args:?} wrote a file");
        }
        assert_eq!([site.pbx("hq").digests(), site.pbx("branch").digests()], digests);
    };
    nothing(&site, "before the first apply").await;
    site.apply().await;
    nothing(&site, "with nothing to do").await;
    site.tenant_with("t00", "enabled: false\n");
    // Unlike the one that goes, so that no one takes it for that one under another name.
    site.tenant_with("new", UNLIKE);
    site.remove("t02.yaml");
    nothing(&site, "with something of everything to do").await;
    site.apply().await;
    site.comes_to_rest().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_works_with_read_only_access() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    site.apply().await;
    site.tenant_with("acme", "max_users: 7\n");
    let mode = |path: &str, mode| {
        std::fs::set_permissions(site.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("state/tenantd.db", 0o444);
    mode("state", 0o555);
    let ran = site.run(&["plan"]).await;
    assert!(ran.ended_with(0).stdout.contains("max_users: 7"), "{ran:#?}");
    mode("state", 0o755);
    mode("state/tenantd.db", 0o644);
    site.apply().await;
}

at_both_sites! { async fn the_preview_is_a_diff_with_a_heading_a_reason_and_a_closing_count(site) {
    site.tenant_with("acme", "max_users: 5\n");
    let ran = site.run(&["plan"]).await;
    for line in ["create acme on hq — its file is new", "--- /dev/null", "+++ acme.yaml", "+max_users: 5"] {
        assert!(ran.stdout.contains(line), "{line}: {ran:#?}");
    }
    assert!(ran.stdout.trim_end().lines().last().unwrap().contains('1'), "{ran:#?}");
    assert!(!ran.stdout.contains('\u{1b}'), "no colour where no terminal listens");
    let coloured = site.run(&["plan", "--color", "always"]).await;
    assert!(coloured.stdout.contains("\u{1b}["), "{coloured:#?}");
    let never = site.run(&["plan", "--color", "never"]).await;
    assert_eq!(never.stdout, ran.stdout);
    site.apply().await;
    site.tenant_with("acme", "max_users: 6\n");
    let ran = site.run(&["apply"]).await;
    for line in ["-max_users: 5", "+max_users: 6", "done update acme on hq", "1 done, 0 failed, 0 skipped"] {
        assert!(ran.ended_with(0).stdout.contains(line), "{line}: {ran:#?}");
    }
    site.comes_to_rest().await;
} }

at_both_sites! { async fn apply_respects_tenant_and_no_removals(site) {
    site.tenants(3);
    let ran = site.run(&["apply", "--tenant", "t01", "-o", "json"]).await;
    assert_eq!(crate::actions(&ran.ended_with(0).json(), "steps"), ["create t01"]);
    assert_eq!(site.pbx("hq").domain_count(), 2);
    site.apply().await;
    site.remove("t01.yaml");
    site.tenant_with("new", UNLIKE);
    let ran = site.run(&["apply", "--no-removals", "-o", "json"]).await;
    let applied = ran.ended_with(3).json();
    assert_eq!(crate::actions(&applied, "steps"), ["create new"]);
    assert_eq!(crate::actions(&applied, "held"), ["disable t01"]);
    assert_eq!(site.pbx("hq").domains_named("t01.example.com")[0].enabled, Some(true));
    site.apply().await;
    assert_eq!(site.pbx("hq").domains_named("t01.example.com")[0].enabled, Some(false));
    site.comes_to_rest().await;
} }

at_both_sites! { async fn show_explains_why_the_next_step_happens_or_not(site) {
    site.tenant("acme");
    let ran = site.run(&["show", "acme"]).await;
    assert!(ran.ended_with(0).stdout.contains("create: its file is new") || ran.stdout.contains("its file is new"));
    site.apply().await;
    let uuid = site.pbx("hq").domains_named("acme.example.com")[0].uuid;
    site.pbx("hq").add_setting(uuid, NewSetting::new("limit", "users", "numeric", "9"));
    let ran = site.run(&["show", "acme"]).await;
    assert!(ran.stdout.contains("drift: it was changed on the PBX"), "the tenant's settings are read now: {ran:#?}");
    site.remove("acme.yaml");
    site.tenant_with("other", UNLIKE);
    site.apply().await;
    let ran = site.run(&["show", "acme"]).await;
    assert!(ran.stdout.contains("retention of 30 days since it was disabled"), "{ran:#?}");
    assert!(ran.stdout.contains("its file was removed since"), "{ran:#?}");
    site.comes_to_rest().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_continues_when_its_reader_closes_the_pipe() {
    use std::process::Stdio;
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(20);
    let mut child = tokio::process::Command::new(crate::site::PROGRAM)
        .args(["apply", "--yes"])
        .env("TENANTD_CONFIG", site.path("tenantd.yaml"))
        .current_dir(site.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = tokio::time::timeout(crate::site::PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(site.pbx("hq").domain_count(), 21, "what was shown to nobody was done all the same");
    site.comes_to_rest().await;
}

at_both_sites! { async fn show_and_status_do_not_claim_agreement_for_an_unchecked_pbx(site) {
    site.tenants(2);
    site.write("there.yaml", "name: There\ndomain: there.example.com\npbx_instance: branch\n");
    site.apply().await;
    assert!(site.run(&["show", "t00"]).await.stdout.contains("file, record and PBX agree"));
    std::fs::rename(site.path("tenants.d"), site.path("away")).unwrap();
    let ran = site.run(&["show", "t00"]).await;
    assert!(ran.ended_with(0).stdout.contains("the tenants directory"), "{ran:#?}");
    assert!(!ran.stdout.contains("agree"), "{ran:#?}");
    let status = site.run(&["status", "-o", "json"]).await.ended_with(0).json();
    assert!(status["warnings"][0]["text"].as_str().unwrap().contains("the tenants directory"), "{status:#}");
    assert!(site.run(&["status"]).await.stdout.contains("warning: the tenants directory"));
    std::fs::rename(site.path("away"), site.path("tenants.d")).unwrap();

    // A tenant that moved, and one whose file was renamed.
    site.write("there.yaml", "name: There\ndomain: there.example.com\npbx_instance: hq\n");
    std::fs::rename(site.path("tenants.d/t01.yaml"), site.path("tenants.d/t01-new.yaml")).unwrap();
    let ran = site.run(&["show", "t01"]).await;
    assert!(ran.ended_with(0).stdout.contains("renames it to t01-new"), "{ran:#?}");
    site.apply().await;
    site.apply().await;
    let ran = site.run(&["show", "t01"]).await;
    assert!(ran.ended_with(0).stdout.contains("it is now the tenant t01-new"), "{ran:#?}");
    let ran = site.run(&["show", "there"]).await;
    assert!(ran.stdout.contains("delete of its previous domain on branch not before"), "{ran:#?}");

    // An instance that gives no list.
    site.pbx("hq").inject(Fault::new(FaultKind::HtmlForJson).page("domain_json.php"));
    site.run(&["apply"]).await;
    let ran = site.run(&["show", "t00"]).await;
    assert!(ran.ended_with(0).stdout.contains("hq was not checked: "), "{ran:#?}");
    assert!(!ran.stdout.contains("agree"), "{ran:#?}");
    let status = site.run(&["status", "-o", "json"]).await.ended_with(0).json();
    assert!(status["warnings"][0]["text"].as_str().unwrap().contains("hq was not checked"), "{status:#}");
    site.pbx("hq").clear_faults();
    site.comes_to_rest().await;
} }

at_both_sites! { async fn a_pause_does_not_hide_a_failure(site) {
    site.tenants(2);
    let ignored = Fault::new(FaultKind::IgnoreWrites).page("domain_edit.php").method("POST");
    site.pbx("hq").inject(ignored.field("domain_name", "t00.example.com"));
    site.run(&["apply"]).await.ended_with(4);
    site.run(&["suspend", "t00", "--until", "1h", "--reason", "wait"]).await.ended_with(0);
    let status = site.run(&["status", "-o", "json"]).await.ended_with(0).json();
    let problem = status["tenants"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("is still absent") && problem.contains("paused until"), "{status:#}");
    site.run(&["resume", "t00"]).await.ended_with(0);
    site.pbx("hq").clear_faults();
    site.comes_to_rest().await;
} }
