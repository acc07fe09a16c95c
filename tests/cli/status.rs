//! `status`: each tenant's condition, the daemon, and the line for a monitoring system.

use std::collections::BTreeMap;

use fusionpbx_standin::{Fault, FaultKind};
use serde_json::Value;

use crate::site::{Site, at_both_sites, until};

impl Site {
    async fn status(&self, more: &[&str]) -> Value {
        let args: Vec<&str> = ["status", "-o", "json"].into_iter().chain(more.iter().copied()).collect();
        self.run(&args).await.ended_with(0).json()
    }

    fn edit_name(&self, key: &str, name: &str) {
        let uuid = self.pbx("hq").domains_named(&format!("{key}.example.com"))[0].uuid;
        self.pbx("hq").edit_domain(uuid, |row| row.description = Some(name.to_owned()));
    }
}

/// Each tenant's condition.
fn conditions(status: &Value) -> BTreeMap<String, String> {
    let tenants = status["tenants"].as_array().unwrap().iter();
    tenants.map(|tenant| (text(&tenant["key"]), text(&tenant["condition"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn of<'v>(status: &'v Value, key: &str) -> &'v Value {
    status["tenants"].as_array().unwrap().iter().find(|tenant| tenant["key"] == key).unwrap()
}

at_both_sites! { async fn status_shows_the_condition_of_each_tenant_and_since_when(site) {
    site.configure("limits: { removals: { count: 1, percent: 1 } }\n");
    site.tenants(1);
    site.tenant_with("shown", "drift: report\n");
    for key in ["fought", "gone", "kept", "quiet"] {
        site.tenant(key);
    }
    site.apply().await;
    for _ in 0..3 {
        site.edit_name("fought", "by hand");
        site.apply().await;
    }
    site.edit_name("fought", "by hand");
    site.edit_name("shown", "by hand");
    site.pbx("hq").add_domain("taken.example.com", Some(true), None);
    site.tenant("taken");
    for key in ["gone", "kept"] {
        site.remove(&format!("{key}.yaml"));
    }
    site.run(&["pause", "quiet", "--until", "2h", "--reason", "a migration"]).await.ended_with(0);
    // Two at once are beyond the limit, so one is disabled in a run of its own.
    site.run(&["apply", "--tenant", "gone"]).await.ended_with(0);
    site.run(&["apply"]).await.ended_with(3);
    // Not like `kept`, so that no one takes it for that one under another name.
    site.tenant_with("new", "session_timeout: 15\nmax_users: 3\n");
    site.write("broken.yaml", "name: [\n");
    let status = site.status(&[]).await;
    let expected = [
        ("broken", "held"),
        ("fought", "contested"),
        ("gone", "scheduled"),
        ("kept", "held"),
        ("new", "pending"),
        ("quiet", "paused"),
        ("shown", "drifted"),
        ("t00", "in_sync"),
        ("taken", "held"),
    ];
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(key, condition)| (key.to_owned(), condition.to_owned())).collect();
    assert_eq!(conditions(&status), expected, "{status:#}");
    assert!(text(&of(&status, "kept")["lifted_by"]).starts_with("tenantd approve r-"), "{status:#}");
    assert!(text(&of(&status, "gone")["until"]).contains('T'), "{status:#}");
    assert!(text(&of(&status, "shown")["reason"]).contains("by hand → shown Ltd"), "{status:#}");
    assert!(text(&of(&status, "quiet")["reason"]).contains("a migration"), "{status:#}");
    let last = &of(&status, "t00")["last_change"];
    assert_eq!(last["action"], "created");
    assert!(last["at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok(), "{status:#}");
    assert!(last["actor"].as_str().unwrap().starts_with("apply by "), "{status:#}");
    assert_eq!((&status["summary"]["held"], &status["summary"]["in sync"]), (&3.into(), &1.into()));
    assert_eq!(status["holds"].as_array().unwrap().len(), 3, "{status:#}");

    // While a file is broken nothing is removed, which is another reason.
    site.remove("broken.yaml");
    // Another run that finds the same does not change since when; one that finds it repaired does.
    site.run(&["apply"]).await.ended_with(3);
    let again = site.status(&[]).await;
    for key in ["fought", "gone", "kept", "shown", "taken"] {
        assert_eq!(of(&again, key)["since"], of(&status, key)["since"], "{key}");
        assert!(of(&again, key)["since"].is_string(), "{key}");
        let shown = site.run(&["show", key, "-o", "json"]).await.ended_with(0).json();
        for field in ["condition", "reason", "lifted_by", "until", "since"] {
            assert_eq!(shown["condition"][field], of(&again, key)[field], "{key}: {field}");
        }
    }
    site.edit_name("shown", "shown Ltd");
    site.run(&["apply"]).await;
    let status = site.status(&[]).await;
    assert_eq!(of(&status, "shown")["condition"], "in_sync", "{status:#}");
    assert_ne!(of(&status, "shown")["since"], of(&again, "shown")["since"]);
} }

at_both_sites! { async fn status_filters_tenants_and_counts_all_of_them(site) {
    site.tenants(2);
    site.write("there.yaml", "name: There\ndomain: there.example.com\npbx_instance: branch\n");
    site.apply().await;
    site.pbx("hq").add_domain("taken.example.com", Some(true), None);
    site.tenant("taken");
    site.run(&["apply"]).await.ended_with(3);
    let keys = async |more: &[&str]| -> Vec<String> {
        conditions(&site.status(more).await).into_keys().collect()
    };
    assert_eq!(keys(&["--problems"]).await, ["taken"]);
    assert_eq!(keys(&["--instance", "branch"]).await, ["there"]);
    assert_eq!(keys(&["--state", "in-sync"]).await, ["t00", "t01", "there"]);
    assert_eq!(keys(&["--state", "new"]).await, ["taken"]);
    assert_eq!(keys(&["t01", "there"]).await, ["t01", "there"]);
    let shown = site.run(&["status", "--problems"]).await;
    assert!(shown.ended_with(0).stdout.contains("4 tenants: 1 held, 3 in sync. Shown: 1."), "{shown:#?}");
    assert!(!shown.stdout.contains("t00"), "{shown:#?}");
    assert!(site.run(&["status", "taken2"]).await.ended_with(1).stderr.contains("did you mean `taken`"));
    site.run(&["status", "--state", "nonsense"]).await.ended_with(64);
    // What is in force, and what is desired where it differs.
    site.write("t00.yaml", "name: Another Name\ndomain: t00.example.com\npbx_instance: hq\n");
    let shown = site.run(&["status", "t00"]).await;
    assert!(shown.stdout.contains("t00 Ltd (desired: Another Name)"), "{shown:#?}");
    assert!(shown.stdout.contains("pending") && shown.stdout.contains("name changed"), "{shown:#?}");
    // Numbers are for a wide screen.
    assert!(!shown.stdout.contains("SESSIONS"), "{shown:#?}");
    assert!(site.run(&["status", "--wide"]).await.stdout.contains("SESSIONS"));
} }

at_both_sites! { async fn status_shows_the_daemon_and_each_instance(site) {
    site.tenants(2);
    let none = site.run(&["status"]).await;
    assert!(none.ended_with(0).stdout.contains("no daemon has run with this database yet"), "{none:#?}");
    site.apply().await;
    let alone = site.run(&["status"]).await;
    assert!(alone.stdout.contains("Last run ") && alone.stdout.contains(" old."), "{alone:#?}");
    let daemon = site.daemon("daemon");
    until("the first run", || daemon.told().contains(": 0 steps, ")).await;
    let mut status = Value::Null;
    for _ in 0..100 {
        status = site.status(&[]).await;
        if status["daemon"]["next_pass_at"].is_string() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!((&status["daemon"]["running"], &status["daemon"]["state"]), (&true.into(), &"serving".into()));
    assert!(text(&status["daemon"]["holder"]).contains("process"), "{status:#}");
    assert_eq!(status["last_pass"]["result"], "no changes", "{status:#}");
    let hq = status["instances"].as_array().unwrap().iter().find(|one| one["key"] == "hq").unwrap();
    assert!(text(&hq["version"]).starts_with("5."), "{status:#}");
    assert!(hq["last_seen"].is_string(), "{status:#}");
    let shown = site.run(&["status"]).await.stdout;
    assert!(shown.contains("tenantd: running; tenantd on ") && shown.contains("Next run "), "{shown}");
    assert!(shown.contains("hq: FusionPBX 5.") && shown.contains("last success "), "{shown}");
    daemon.stop().await;
    let shown = site.run(&["status"]).await.stdout;
    assert!(shown.contains("not running;") && shown.contains(" was stopped at "), "{shown}");
} }

at_both_sites! { async fn status_does_not_show_a_killed_daemon_as_running(site) {
    site.tenants(2);
    let mut daemon = site.daemon("daemon");
    until("the first run", || daemon.told().contains("2 done")).await;
    let check = async || site.run(&["status", "--check"]).await;
    assert_eq!(check().await.code, 0);
    daemon.child.kill().await.unwrap();
    // At once where the process can be seen to be gone, and when its lease has run out where it cannot.
    let retries = if site.backend == crate::common::harness::Backend::Sqlite { 0 } else { 20 };
    let killed = std::time::Instant::now();
    let mut ran = check().await;
    while ran.code != 2 && killed.elapsed().as_secs() < retries {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        ran = check().await;
    }
    assert!(ran.ended_with(2).stdout.contains("CRITICAL - no daemon is running: tenantd on "), "{ran:#?}");
    let shown = site.run(&["status"]).await;
    assert!(shown.stdout.contains("tenantd: not running; tenantd on "), "{shown:#?}");
    assert!(!shown.stdout.contains("Next run "), "{shown:#?}");
    let status = site.status(&[]).await;
    assert_eq!((&status["daemon"]["running"], &status["daemon"]["ended_abruptly"]), (&false.into(), &true.into()));
} }

at_both_sites! { async fn status_reports_a_tenant_that_is_disabled_against_its_file(site) {
    site.tenants(2);
    site.tenant_with("shown", "drift: report\n");
    site.apply().await;
    let disable = |key: &str| {
        let uuid = site.pbx("hq").domains_named(&format!("{key}.example.com"))[0].uuid;
        site.pbx("hq").edit_domain(uuid, |row| row.enabled = Some(false));
    };
    for _ in 0..3 {
        disable("t00");
        site.apply().await;
    }
    disable("t00");
    disable("shown");
    let plan = site.plan().await;
    assert!(text(&plan["held"][0]["reason"]).ends_with(". It is disabled on hq now, so its phones cannot register"), "{plan:#}");
    site.run(&["apply"]).await.ended_with(3);
    for key in ["t00", "shown"] {
        let status = site.status(&[key]).await;
        assert!(text(&of(&status, key)["reason"]).ends_with("It is disabled on hq now, so its phones cannot register"), "{status:#}");
    }
    // Also while tenantd's work on it is paused.
    site.run(&["pause", "t00", "--until", "2h", "--reason", "a migration"]).await.ended_with(0);
    site.run(&["apply"]).await;
    let status = site.status(&["t00"]).await;
    assert_eq!(of(&status, "t00")["condition"], "paused");
    assert!(text(&of(&status, "t00")["reason"]).ends_with("a migration. It is disabled on hq now, so its phones cannot register"), "{status:#}");
    assert_eq!(text(&of(&site.status(&[]).await, "t01")["reason"]), "");
} }

at_both_sites! { async fn status_check_prints_one_line_and_sets_the_exit_code(site) {
    site.tenants(2);
    site.tenant_with("shown", "drift: report\n");
    let check = async |code: i32, word: &str| {
        let ran = site.run(&["status", "--check"]).await;
        assert_eq!(ran.stdout.lines().count(), 1, "{ran:#?}");
        assert!(ran.stdout.starts_with(&format!("TENANTD {word} - ")), "{ran:#?}");
        ran.ended_with(code).stdout.clone()
    };
    check(3, "UNKNOWN").await;
    site.apply().await;
    assert!(check(2, "CRITICAL").await.contains("no daemon has run"));
    let daemon = site.daemon("daemon");
    until("the first run", || daemon.told().contains(": 0 steps, ")).await;
    assert!(check(0, "OK").await.contains("3 tenants: 3 in sync | in_sync=3"));
    site.edit_name("shown", "by hand");
    site.run(&["apply"]).await;
    assert!(check(1, "WARNING").await.contains("1 drifted (shown)"));
    site.pbx("hq").inject(Fault::new(FaultKind::HtmlForJson).page("domain_json.php"));
    site.run(&["apply"]).await;
    assert!(check(2, "CRITICAL").await.contains("3 not checked (shown, t00, t01)"));
    site.pbx("hq").clear_faults();
    daemon.stop().await;
    assert!(check(2, "CRITICAL").await.contains("the daemon was stopped"));
    std::fs::write(site.path("tenantd.yaml"), "nonsense: 1\n").unwrap();
    check(3, "UNKNOWN").await;
    let ran = site.run(&["status", "--check", "-o", "json"]).await.ended_with(3).json();
    assert_eq!((&ran["check"]["state"], &ran["check"]["exit_code"]), (&"UNKNOWN".into(), &3.into()));
} }

at_both_sites! { async fn a_tenant_with_a_failed_step_is_failed_and_not_in_sync(site) {
    site.tenants(2);
    let ignored = Fault::new(FaultKind::IgnoreWrites).page("domain_edit.php").method("POST");
    site.pbx("hq").inject(ignored.field("domain_name", "t00.example.com"));
    site.run(&["apply"]).await.ended_with(4);
    let status = site.status(&[]).await;
    assert_eq!(of(&status, "t00")["condition"], "failed", "{status:#}");
    assert!(text(&of(&status, "t00")["reason"]).contains("is still absent"), "{status:#}");
    assert_eq!(of(&status, "t01")["condition"], "in_sync", "{status:#}");
    site.pbx("hq").clear_faults();
    site.comes_to_rest().await;
    assert_eq!(of(&site.status(&[]).await, "t00")["condition"], "in_sync");
} }

at_both_sites! { async fn history_shows_changes_and_survives_a_rename_of_the_key(site) {
    site.tenant("acme");
    site.apply().await;
    site.tenant_with("acme", "session_timeout: 30\n");
    site.apply().await;
    std::fs::rename(site.path("tenants.d/acme.yaml"), site.path("tenants.d/acme-corp.yaml")).unwrap();
    site.apply().await;
    let shown = site.run(&["show", "acme-corp", "-o", "json"]).await.ended_with(0).json();
    let history = shown["history"].as_array().unwrap();
    let events: Vec<String> = history.iter().map(|entry| text(&entry["event"])).collect();
    assert_eq!(events, ["tenant.renamed", "tenant.updated", "tenant.created"], "{shown:#}");
    let change = &history[1]["changes"][0];
    assert_eq!((&change["field"], &change["after"]), (&"session_timeout".into(), &"30".into()), "{shown:#}");
    let ran = site.run(&["show", "acme-corp"]).await.stdout;
    assert!(ran.contains("session_timeout: 60 → 30"), "{ran}");
    let line = ran.lines().find(|line| line.contains("tenant.created")).unwrap();
    assert!(line.contains(" UTC tenant.created — apply by ") && !line.contains("+00:00"), "{line}");
} }

at_both_sites! { async fn history_of_a_reused_key_shows_only_the_current_tenant(site) {
    site.configure("deletion: { mode: automatic, retention_days: 30 }\n");
    site.tenant_with("acme", "max_users: 50\n");
    site.apply().await;
    std::fs::rename(site.path("tenants.d/acme.yaml"), site.path("tenants.d/other.yaml")).unwrap();
    site.apply().await;
    // Another tenant under the key that became free.
    site.write("acme.yaml", "name: New\ndomain: new.example.com\npbx_instance: hq\nmax_users: 7\n");
    site.run(&["pause", "acme", "--until", "1h", "--reason", "first the contract"]).await.ended_with(0);
    site.run(&["resume", "acme"]).await.ended_with(0);
    site.apply().await;
    let shown = site.run(&["show", "acme", "-o", "json"]).await.ended_with(0).json();
    let events = |shown: &serde_json::Value| -> Vec<String> {
        shown["history"].as_array().unwrap().iter().map(|entry| text(&entry["event"])).collect()
    };
    assert_eq!(events(&shown), ["tenant.created", "pause.ended", "pause.begun"], "{shown:#}");
    let earlier = text(&shown["earlier"][0]);
    assert_eq!(earlier, "an earlier tenant with the key acme now has the key other: tenantd show other");
    let ran = site.run(&["show", "acme"]).await.stdout;
    assert!(ran.contains(&earlier) && !ran.contains("max_users: 50"), "{ran}");
    let ran = site.run(&["show", "acme", "--earlier"]).await.stdout;
    assert_eq!(ran.matches("tenant.created").count(), 2, "{ran}");
    assert_eq!(events(&site.run(&["show", "other", "-o", "json"]).await.json()), ["tenant.renamed", "tenant.created"]);
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_shows_that_the_file_differs_from_the_commit() {
    let site = Site::new(crate::common::harness::Backend::Sqlite).await.unwrap();
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "-c",
            "init.defaultBranch=main",
        ]);
        let done = command.args(args).current_dir(site.path("tenants.d")).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    site.tenant("acme");
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    site.apply().await;
    site.tenant_with("acme", "session_timeout: 30\n");
    site.apply().await;
    let shown = site.run(&["show", "acme", "-o", "json"]).await.ended_with(0).json();
    let actor = |at: usize| text(&shown["history"][at]["actor"]);
    assert!(actor(0).ends_with(", with uncommitted changes)"), "{shown:#}");
    assert!(actor(1).contains("(commit ") && !actor(1).contains("uncommitted"), "{shown:#}");
    let newest = async |key: &str| {
        let shown = site.run(&["show", key, "-o", "json"]).await.ended_with(0).json();
        text(&shown["history"][0]["actor"])
    };
    // The file of another tenant says nothing about this one's.
    git(&["commit", "-q", "-a", "-m", "second"]);
    site.tenant_with("acme", "session_timeout: 45\n");
    git(&["commit", "-q", "-a", "-m", "third"]);
    site.tenant("beta");
    site.apply().await;
    assert!(!newest("acme").await.contains("uncommitted"), "{}", newest("acme").await);
    assert!(newest("beta").await.ends_with(", with uncommitted changes)"), "{}", newest("beta").await);
    // git can be told to look away, and bytes cannot.
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        git(&["update-index", flag, "acme.yaml"]);
        site.tenant_with("acme", &format!("session_timeout: {}\n", 100 + flag.len()));
        site.apply().await;
        assert!(newest("acme").await.ends_with(", with uncommitted changes)"), "{flag}");
    }
}
