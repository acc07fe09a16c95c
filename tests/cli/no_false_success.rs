//! A failure is never reported as success: an unchecked instance, a skipped comparison, or a result that could not be
//! written has an exit code of its own.

use std::fs::File;
use std::process::Stdio;

use tokio::process::Command;

use crate::common::harness::Backend;
use crate::site::{PATIENCE, PROGRAM, Site, at_both_sites, until};

const DETAILED: &[&str] = &["plan", "--detailed-exitcode"];

at_both_sites! { async fn an_unchecked_instance_is_never_reported_as_unchanged(site) {
    let mut site = site;
    site.tenants(3);
    site.write("there.yaml", "name: There\ndomain: there.example.com\npbx_instance: branch\n");
    site.apply().await;
    site.run(DETAILED).await.ended_with(0);
    site.servers.remove("hq").unwrap().stop().await;
    let ran = site.run(DETAILED).await;
    ran.ended_with(4);
    assert!(ran.stdout.contains("nothing is changed on hq, and its 3 tenants were not checked: "), "{ran:#?}");
    let closing = ran.stdout.lines().last().unwrap();
    assert!(closing.contains("1 unchanged; 3 tenants not checked; "), "{closing}");
    assert!(closing.contains("1 instance not checked") && !closing.contains("nothing to do"), "{closing}");
    let ran = site.run(&["plan", "--detailed-exitcode", "-o", "json"]).await;
    let plan = ran.ended_with(4).json();
    assert_eq!((&plan["summary"]["unchanged"], &plan["summary"]["not_checked"]), (&1.into(), &3.into()));
    assert_eq!(plan["detailed_exitcode"], 4);
    let error = &plan["errors"][0];
    assert_eq!((&error["instance"], &error["tenants"]), (&"hq".into(), &3.into()));
    assert!(error["text"].as_str().unwrap().contains("connection refused"), "{error:#}");
    // Nor is it for what carries out.
    site.run(&["apply"]).await.ended_with(4);
    // Asked about a tenant of the other instance only, all of it was seen.
    site.run(&["plan", "--detailed-exitcode", "--tenant", "there"]).await.ended_with(0);
    site.run(&["plan", "--detailed-exitcode", "--tenant", "t00"]).await.ended_with(4);
    // Without the option, a plan was made.
    site.run(&["plan"]).await.ended_with(0);
    // The same beside a daemon.
    let daemon = site.daemon("daemon");
    until("the first run", || daemon.told().contains("plan p-")).await;
    site.run(&["apply"]).await.ended_with(4);
    daemon.stop().await;
} }

at_both_sites! { async fn drift_has_an_exit_code_of_its_own(site) {
    site.tenant("corrected");
    site.tenant_with("reported", "drift: report\n");
    site.apply().await;
    site.run(DETAILED).await.ended_with(0);
    let rename = |name: &str, text: &str| {
        let id = site.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        site.pbx("hq").edit_domain(id, |row| row.description = Some(text.to_owned()));
    };
    rename("reported", "by hand");
    let ran = site.run(&["plan", "--detailed-exitcode", "-o", "json"]).await;
    let plan = ran.ended_with(6).json();
    assert_eq!((&plan["summary"]["steps"], &plan["summary"]["drift"]), (&0.into(), &1.into()), "{plan:#}");
    rename("reported", "reported Ltd");
    site.run(DETAILED).await.ended_with(0);
    rename("corrected", "by hand");
    let ran = site.run(&["plan", "--detailed-exitcode", "-o", "json"]).await;
    assert_eq!(ran.ended_with(6).json()["summary"]["steps"], 1, "{ran:#?}");
    // A file's change is none.
    rename("corrected", "corrected Ltd");
    site.tenant_with("corrected", "max_users: 3\n");
    site.run(DETAILED).await.ended_with(2);
    site.apply().await;
    site.comes_to_rest().await;
} }

/// A setting that someone changed is found whatever its turn is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_code_0_means_the_settings_of_every_tenant_were_compared() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    // A share of one tenant in each run.
    site.configure("");
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    let config = config.replace("interval: 5s,", "interval: 5s, settings_cycle: 1h,");
    std::fs::write(site.path("tenantd.yaml"), config).unwrap();
    let names = site.tenants(6);
    for name in &names {
        site.tenant_with(name, "max_users: 5\n");
    }
    site.apply().await;
    let mut found = 0;
    for name in &names {
        let id = site.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        let rows = site.pbx("hq").settings(id);
        let limit =
            rows.iter().find(|row| row.subcategory == "users").expect("max_users is a setting").clone();
        site.pbx("hq").edit_setting(limit.uuid, |row| row.value = Some("7".to_owned()));
        site.run(DETAILED).await.ended_with(6);
        // What it found can be carried out by the id that it named.
        let plan = site.run(&["plan", "--detailed-exitcode", "-o", "json"]).await.json();
        site.run(&["apply", "--plan", plan["plan_id"].as_str().unwrap()]).await.ended_with(0);
        site.run(DETAILED).await.ended_with(0);
        found += 1;
    }
    assert_eq!(found, 6);
}

/// Runs the program with its standard output, or its standard error, somewhere else.
async fn into(site: &Site, args: &[&str], stdout: Stdio, stderr: Stdio) -> i32 {
    let mut command = Command::new(PROGRAM);
    site.surround(&mut command);
    command.args(args).stdout(stdout).stderr(stderr);
    let ended = tokio::time::timeout(PATIENCE, command.status()).await.expect("it ends").unwrap();
    ended.code().unwrap_or(-1)
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that no one reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

const WRITING: &[&[&str]] = &[
    &["validate"],
    &["plan"],
    &["status"],
    &["show", "acme"],
    &["stats"],
    &["sync"],
    &["pbx", "check"],
    &["isolation", "check"],
    &["archive", "acme"],
    &["import", "--instance", "hq", "--dry-run"],
    &["pause", "acme", "--until", "1h", "--reason", "x"],
    &["resume", "acme"],
    &["pbx", "enroll", "hq"],
    &["completions", "bash"],
    &["completions", "zsh"],
    &["man"],
    &["--help"],
    &["--version"],
    &["plan", "--help"],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_fails_if_its_result_cannot_be_written() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    site.apply().await;
    for args in WRITING {
        assert_eq!(into(&site, args, full(), Stdio::null()).await, 1, "{args:?}");
        // Nor does it panic where it cannot even say so.
        assert_eq!(into(&site, args, full(), full()).await, 1, "{args:?}");
        if !["--help", "--version"].contains(args.last().unwrap()) {
            let json = [*args, &["-o", "json"]].concat();
            let expected = if ["man", "completions"].contains(&args[0]) { 64 } else { 1 };
            assert_eq!(into(&site, &json, full(), Stdio::null()).await, expected, "{json:?}");
        }
    }
    // A command that says nothing but its error.
    let ended = into(&site, &["show", "nobody"], Stdio::null(), full()).await;
    assert_eq!(ended, 1);
    let ended = into(&site, &["bogus"], Stdio::null(), full()).await;
    assert_eq!(ended, 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_changes_nothing_if_the_plan_could_not_be_printed() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    assert_eq!(into(&site, &["apply", "--yes"], full(), Stdio::null()).await, 1);
    assert_eq!(site.mutations(), 0);
    // A reader that has seen enough is another matter.
    assert_eq!(into(&site, &["apply", "--yes"], closed(), Stdio::null()).await, 0);
    assert!(site.mutations() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_is_neither_an_error_nor_a_panic() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    site.apply().await;
    for args in WRITING {
        assert_eq!(into(&site, args, closed(), Stdio::null()).await, 0, "{args:?}");
    }
    for args in WRITING {
        assert_eq!(into(&site, args, closed(), closed()).await, 0, "{args:?}");
    }
    assert_eq!(into(&site, &["sandbox", "--once"], closed(), Stdio::null()).await, 0);
    // It ends although it would watch for ever.
    assert_eq!(into(&site, &["sandbox"], closed(), Stdio::null()).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_holds_something_does_not_end_with_0() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    let tenants = site.path("tenants.d");
    let args = ["sandbox", "--once", "--tenants", tenants.to_str().unwrap()];
    site.run(&args).await.ended_with(0);
    site.write("broken.yaml", "name: [");
    let ran = site.run(&args).await;
    assert!(ran.ended_with(3).stderr.contains("broken.yaml"), "{ran:#?}");
}

at_both_sites! { async fn the_closing_line_says_how_many_tenants_settings_were_compared(site) {
    let names = site.tenants(25);
    site.apply().await;
    let ran = site.run(&["plan"]).await;
    let compared = "Settings compared: 20 of 25 tenants; oldest comparison 20";
    assert!(ran.ended_with(0).stdout.contains(compared), "{ran:#?}");
    assert!(ran.stdout.contains(" UTC; --full compares all.\n"), "{ran:#?}");
    let plan = site.run(&["plan", "-o", "json"]).await.ended_with(0).json();
    assert_eq!(plan["summary"]["settings_compared"], 20, "{plan:#}");
    assert_eq!(plan["summary"]["settings_not_compared"], 5, "{plan:#}");
    assert!(plan["summary"]["oldest_comparison"].is_string(), "{plan:#}");
    let ran = site.run(&["plan", "--full"]).await;
    assert!(!ran.ended_with(0).stdout.contains("Settings compared"), "{ran:#?}");
    // A tenant that is named, or whose file changed, is compared whatever its turn.
    for name in &names {
        let plan = site.run(&["plan", "--tenant", name, "-o", "json"]).await.ended_with(0).json();
        assert_eq!(plan["summary"]["settings_not_compared"], 0, "{plan:#}");
    }
} }

/// The daemon does the run, and compares what it was asked to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apply_full_beside_a_daemon_finds_every_changed_setting_at_once() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant_with("acme", "max_users: 5\n");
    site.apply().await;
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains(": 0 steps, ")).await;
    let id = site.pbx("hq").domains_named("acme.example.com")[0].uuid;
    let limit = site.pbx("hq").settings(id).into_iter().find(|row| row.subcategory == "users").unwrap();
    site.pbx("hq").edit_setting(limit.uuid, |row| row.value = Some("7".to_owned()));
    // Compared within the hour, so its turn has not come.
    let ran = site.run(&["apply"]).await;
    assert!(ran.ended_with(0).stdout.contains("nothing to do"), "{ran:#?}");
    assert!(ran.stdout.contains("Settings compared: 0 of 1 tenant; oldest comparison"), "{ran:#?}");
    let ran = site.run(&["apply", "--full", "--yes"]).await;
    assert!(ran.ended_with(0).stdout.contains("1 done"), "{ran:#?}");
    daemon.stop().await;
}
