//! The command line: scopes, ids, unknown names, usage errors, and the examples of the help.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenantd::store::Access;

use crate::common::harness::Backend;
use crate::site::{PATIENCE, PROGRAM, Site, at_both_sites, signal_process, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_id_is_a_usage_error_and_not_a_stale_plan() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    for args in [
        &["apply", "--plan", "garbage"][..],
        &["apply", "--plan", "r-0123456789abcdef"],
        &["apply", "--plan", "p-0123456789ABCDEF"],
        &["apply", "--plan", "p-0123456789abcde"],
        &["approve", "garbage"],
        &["approve", "p-"],
        &["approve", "acme"],
    ] {
        let ran = site.run_as_it_is(args).await;
        assert!(ran.ended_with(64).stderr.contains("16 hexadecimal digits"), "{args:?}: {ran:#?}");
    }
    let ran = site.run(&["approve"]).await;
    assert!(ran.ended_with(64).stderr.contains("ID|--tenant <KEY>"), "both forms are named: {ran:#?}");
    // Well formed, and of another plan.
    site.run_as_it_is(&["apply", "--plan", "p-0123456789abcdef"]).await.ended_with(5);
    assert_eq!(site.mutations(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_without_a_scope_are_refused() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(2);
    site.apply().await;
    for args in [
        &["pause", "--until", "1h", "--reason", "x"][..],
        &["suspend", "--until", "1h", "--reason", "x"],
        &["resume"],
        &["pause", "t00", "--all", "--until", "1h", "--reason", "x"],
    ] {
        let ran = site.run(args).await;
        assert!(ran.ended_with(64).stderr.contains("--all"), "{args:?}: {ran:#?}");
    }
    let all = ["pause", "--all", "--until", "1h", "--reason", "x"];
    let ran = site.run(&all).await;
    assert!(ran.ended_with(0).stdout.starts_with("all tenants stay in service, and "), "{ran:#?}");
    let ran = site.run(&["plan"]).await;
    assert!(ran.stdout.contains("everything is paused until"), "{ran:#?}");
    site.tenant_with("t00", "max_users: 3\n");
    let held = site.plan().await["held"][0].clone();
    assert_eq!(held["lifted_by"], "tenantd resume --all", "{held:#}");
    site.run(&["resume", "--all"]).await.ended_with(0);
    site.apply().await;
    // The help does not show the old name, which still works.
    assert!(!site.run(&["--help"]).await.stdout.contains("suspend"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_says_that_the_tenant_stays_in_service_and_ends_within_90_days() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    site.apply().await;
    for until in ["91d", "400d", "2099-01-01T00:00:00Z", "1000000y"] {
        let ran = site.run(&["pause", "t00", "--until", until, "--reason", "x"]).await;
        assert!(ran.ended_with(1).stderr.contains("too far away"), "{until}: {ran:#?}");
    }
    assert!(site.plan().await["warnings"].as_array().unwrap().is_empty(), "nothing is paused");
    let ran = site.run(&["pause", "t00", "--until", "89d", "--reason", "x"]).await;
    let told = &ran.ended_with(0).stdout;
    assert!(told.starts_with("t00 stays in service, and tenantd does not change it until "), "{told}");
    assert!(told.contains("tenantd resume t00"), "{told}");
    site.run(&["resume", "t00"]).await.ended_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_tenants_and_instances_are_reported_alike_with_a_suggestion() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(2);
    site.apply().await;
    site.tenant("fresh");
    for args in [
        &["stats", "t0o"][..],
        &["archive", "t0o"],
        &["sync", "t0o"],
        &["plan", "--tenant", "t0o"],
        &["apply", "--allow-delete", "t0o"],
        &["approve", "--tenant", "t0o"],
        &["pause", "t0o", "--until", "1h", "--reason", "x"],
    ] {
        let ran = site.run(args).await;
        let error = &ran.ended_with(1).stderr;
        assert!(
            error.contains("unknown tenant t0o: it has neither a file nor a record; did you mean `t00`?"),
            "{args:?}: {error}"
        );
    }
    let ran = site.run(&["show", "nobody"]).await;
    assert!(ran.ended_with(1).stderr.contains("unknown tenant nobody"), "{ran:#?}");
    for args in [&["stats", "fresh"][..], &["archive", "fresh"], &["sync", "fresh"]] {
        let ran = site.run(args).await;
        assert!(
            ran.ended_with(1).stderr.contains("has a file and is not recorded yet"),
            "{args:?}: {ran:#?}"
        );
    }
    for args in [
        &["pbx", "check", "--instance", "hqq"][..],
        &["pbx", "enroll", "hqq"],
        &["import", "--instance", "hqq"],
        &["pause", "--instance", "hqq", "--until", "1h", "--reason", "x"],
        &["resume", "--instance", "hqq"],
    ] {
        let ran = site.run(args).await;
        let error = &ran.ended_with(1).stderr;
        assert!(
            error.contains("unknown instance hqq: it is not in the configuration; did you mean `hq`?"),
            "{args:?}: {error}"
        );
    }
}

at_both_sites! { async fn allow_delete_without_effect_says_why(site) {
    site.configure("deletion: { mode: approve, retention_days: 30 }\n");
    site.tenants(3);
    site.apply().await;
    let why = async |key: &str, why: &str| {
        let ran = site.run(&["apply", "--allow-delete", key]).await;
        let told = format!("--allow-delete {key} has no effect: {why}");
        assert!(ran.stdout.contains(&told), "{told}: {ran:#?}");
        let ran = site.run(&["apply", "--allow-delete", key, "-o", "json"]).await;
        let warnings = ran.json()["warnings"].to_string();
        assert!(warnings.contains(&told), "{warnings}");
    };
    why("t00", "it has a file").await;
    site.remove("t00.yaml");
    site.apply().await;
    why("t00", "its retention ends on ").await;
    assert_eq!(site.deletions(), 0);
    let ran = site.run(&["apply"]).await;
    assert!(!ran.stdout.contains("has no effect"), "{ran:#?}");
} }

/// A daemon that looks by itself only once an hour.
fn rarely(site: &Site) {
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    assert!(config.contains("interval: 5s"), "{config}");
    std::fs::write(site.path("tenantd.yaml"), config.replace("interval: 5s", "interval: 1h")).unwrap();
}

at_both_sites! { async fn a_running_daemon_acts_at_once_on_an_approval_and_on_the_end_of_a_pause(site) {
    site.tenants(6);
    site.apply().await;
    rarely(&site);
    let daemon = site.daemon("daemon");
    until("the first run", || daemon.told().contains("plan p-")).await;
    let ran = site.run(&["pause", "t05", "--until", "1h", "--reason", "x"]).await;
    ran.ended_with(0);
    site.tenant_with("t05", "enabled: false\n");
    site.remove("t00.yaml");
    site.remove("t01.yaml");
    until("the holds", || daemon.told().contains("t05 on hq: paused by") && daemon.told().contains("tenantd approve")).await;
    let disabled = || site.pbx("hq").domains().iter().filter(|row| row.enabled == Some(false)).count();
    assert_eq!(disabled(), 0);

    let begun = Instant::now();
    let ran = site.run(&["resume", "t05"]).await;
    assert!(ran.ended_with(0).stdout.contains("applies it now"), "{ran:#?}");
    until("t05 is disabled", || disabled() == 1).await;
    let removals = site.plan().await["removals_id"].as_str().unwrap().to_owned();
    let ran = site.run(&["approve", &removals, "-o", "json"]).await;
    assert!(ran.ended_with(0).json()["woken"].as_str().unwrap().starts_with("tenantd on "), "{ran:#?}");
    until("both are disabled", || disabled() == 3).await;
    assert!(begun.elapsed().as_secs() < 90);
    daemon.stop().await;
    // Without one, it is said how to continue.
    site.run(&["pause", "t05", "--until", "1h", "--reason", "x"]).await.ended_with(0);
    let ran = site.run(&["resume", "t05"]).await;
    assert!(ran.ended_with(0).stdout.contains("now with `tenantd apply`"), "{ran:#?}");
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_subcommand_shows_the_help_whatever_the_environment() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    // The configuration is named by the environment here.
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    for args in [&[][..], &["-o", "json"], &["--wide"]] {
        let ran = site.run_as_it_is(args).await;
        assert!(ran.ended_with(64).stderr.contains("Commands:"), "{args:?}: {ran:#?}");
        let help = site.run(&["-h"]).await;
        assert_eq!(first_line(&ran.stderr), first_line(&help.stdout), "{args:?}");
        assert_eq!(
            first_line(&ran.stderr),
            "Manage the tenants of the CrystalQore platform as YAML files: tenantd makes the platform's database"
        );
    }
    for args in [&["pbx"][..], &["pbx", "-o", "json"]] {
        let ran = site.run(args).await;
        assert!(ran.ended_with(64).stderr.contains("enroll"), "{ran:#?}");
        assert!(!ran.stderr.contains("sandbox"), "the help of pbx: {ran:#?}");
        assert_eq!(first_line(&ran.stderr), "Check and enroll the connections to PBX instances", "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_does_not_show_options_set_by_the_environment_as_required() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    for args in
        [&["pause"][..], &["approve"], &["import"], &["show"], &["pbx", "enroll"], &["plan", "--nosuch"]]
    {
        let ran = site.run_as_it_is(args).await;
        assert!(ran.ended_with(64).stderr.contains("Usage: tenantd "), "{args:?}: {ran:#?}");
        assert!(!ran.stderr.contains("--config"), "{args:?}: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_option_that_the_command_would_ignore_is_refused() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    for args in [
        &["sandbox", "-c", "tenantd.yaml", "--once"][..],
        &["--config", "tenantd.yaml", "sandbox", "--once"],
        &["sandbox", "--once", "-o", "json"],
        &["sandbox", "--once", "-c", "tenantd.yaml"],
        &["run", "--output", "json"],
        &["man", "-o", "json"],
        &["completions", "bash", "-o", "json"],
    ] {
        let ran = site.run(args).await;
        assert!(ran.ended_with(64).stderr.contains("so it takes no --"), "{args:?}: {ran:#?}");
        match args.contains(&"json") {
            true => assert!(ran.json()["error"].is_string(), "{args:?}: {ran:#?}"),
            false => assert!(ran.stdout.is_empty(), "{args:?}: {ran:#?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_writes_one_json_document_on_success_and_on_failure() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.configure("deletion: { mode: approve, retention_days: 0 }\n");
    site.tenants(3);
    site.pbx("hq").add_domain("found.example.com", Some(true), None);
    site.apply().await;
    site.remove("t00.yaml");
    site.apply().await;
    let commands: &[&[&str]] = &[
        &["validate"],
        &["plan"],
        &["status"],
        &["show", "t01"],
        &["stats"],
        &["sync"],
        &["pbx", "check"],
        &["pbx", "enroll", "hq"],
        &["isolation", "check"],
        &["archive", "t01"],
        &["approve", "--tenant", "t00"],
        &["pause", "t01", "--until", "1h", "--reason", "x"],
        &["resume", "t01"],
        &["apply"],
        &["import", "--instance", "hq"],
    ];
    let json = async |args: &[&str]| site.run(&[args, &["-o", "json"]].concat()).await;
    for args in commands {
        let ran = json(args).await;
        let document = ran.ended_with(0).json();
        assert!(document.get("error").is_none_or(Value::is_null), "{args:?}: {document:#}");
    }
    assert!(site.path("tenants.d/found.yaml").exists());
    // A configuration with an error: where it is stands in the document.
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    std::fs::write(site.path("tenantd.yaml"), format!("{config}foo: bar\n")).unwrap();
    for args in commands {
        let ran = json(args).await;
        let document = ran.ended_with(1).json();
        let problems = document["problems"].as_array().unwrap();
        let problem = problems.iter().find(|problem| problem["severity"] == "error").unwrap();
        assert!(problem["what"].to_string().contains("foo"), "{args:?}: {document:#}");
        assert!(problem["line"].as_u64().unwrap() > 3, "{args:?}: {document:#}");
        assert!(args[0] == "validate" || document["error"].is_string(), "{args:?}: {document:#}");
    }
}

/// The lines below `Examples:` in a help, as words.
fn examples(help: &str) -> Vec<Vec<String>> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = lines.filter_map(|line| line.trim().strip_prefix("tenantd "));
    let words = |line: &str| {
        line.split('\'')
            .enumerate()
            .flat_map(|(number, part)| match number % 2 {
                1 => vec![part.to_owned()],
                _ => part.split_whitespace().map(str::to_owned).collect(),
            })
            .collect()
    };
    lines.map(words).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_help_runs() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    site.apply().await;
    let commands = [
        &["validate"][..],
        &["plan"],
        &["apply"],
        &["status"],
        &["show"],
        &["import"],
        &["pbx", "check"],
        &["pbx", "enroll"],
        &["approve"],
        &["pause"],
        &["resume"],
        &["isolation", "check"],
        &["stats"],
        &["archive"],
        &["restore"],
        &["sync"],
        &["sandbox"],
        &["completions"],
        &["man"],
    ];
    let mut ran_well = 0;
    for command in commands {
        let help = site.run(&[command, &["--help"]].concat()).await;
        let examples = examples(&help.ended_with(0).stdout);
        assert!(!examples.is_empty(), "{command:?}: {help:#?}");
        for example in examples {
            let words: Vec<&str> = example.iter().map(String::as_str).collect();
            // This one watches until it is reported to stop.
            if words == ["sandbox"] {
                continue;
            }
            let ran = site.run(&words).await;
            if command == ["pause"] {
                for scope in [&["acme"][..], &["--instance", "hq"], &["--all"]] {
                    site.run(&[&["resume"], scope].concat()).await;
                }
            }
            // There is nothing to approve, no such plan, no such file, and the date is another one.
            let refused = ["p-", "r-", "--tenant acme --for", "restore", "2026-12-01", "resume"];
            let may_fail = refused.iter().any(|part| words.join(" ").contains(part));
            // A check ends with what it found, and there is no daemon here.
            let may_fail = may_fail || (words.contains(&"--check") && ran.stdout.starts_with("TENANTD "));
            let wrong = ran.stderr.contains("panicked") || ran.code == 64;
            assert!(!wrong && (ran.code == 0 || may_fail), "{words:?}: {ran:#?}");
            ran_well += usize::from(ran.code == 0);
        }
    }
    assert!(ran_well > 25, "only {ran_well} examples did something");
}

/// The pass request that is in the database.
async fn pass_request(site: &Site) -> Option<String> {
    let database = site.database(Access::ReadOnly).await;
    database.read(|store| store.fact("pass.requested")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_apply_withdraws_its_request_to_the_daemon() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    let daemon = site.daemon("daemon");
    until("the daemon creates t00", || !site.pbx("hq").domains_named("t00.example.com").is_empty()).await;
    site.comes_to_rest().await;
    let earlier = pass_request(&site).await;
    daemon.signal("STOP");
    let mut command = tokio::process::Command::new(PROGRAM);
    site.surround(&mut command);
    let apply = command.args(["apply", "--yes"]).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while pass_request(&site).await == earlier {
        assert!(Instant::now() < deadline, "apply makes no request");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    signal_process(apply.id().unwrap(), "INT");
    let ended = tokio::time::timeout(PATIENCE, apply.wait_with_output()).await.unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("interrupted while waiting for "), "{stderr}");
    assert_eq!(pass_request(&site).await, None, "the request is withdrawn");
    daemon.kill().await;
}
