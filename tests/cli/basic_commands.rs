//! Commands that need no PBX, or start their own.

use std::process::Stdio;

use fusionpbx_standin::{Fault, FaultKind};

use crate::common::harness::Backend;
use crate::site::{PATIENCE, PROGRAM, Ran, Site, at_both_sites};

/// Runs the program where there is nothing at all, not even a home.
async fn bare(args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let command = tokio::process::Command::new(PROGRAM)
        .args(args)
        .current_dir(dir.path())
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, command).await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

const COMMANDS: [&str; 21] = [
    "validate",
    "plan",
    "apply",
    "run",
    "status",
    "show",
    "import",
    "adopt",
    "block",
    "init",
    "pbx",
    "approve",
    "pause",
    "resume",
    "isolation",
    "stats",
    "archive",
    "restore",
    "sync",
    "sandbox",
    "man",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_lists_every_command_the_exit_codes_and_first_steps() {
    let help = bare(&["--help"]).await;
    help.ended_with(0);
    for word in
        COMMANDS.iter().chain(&["completions", "--config", "TENANTD_CONFIG", "--output", "TENANTD_LOG"])
    {
        assert!(help.stdout.contains(word), "--help does not name {word}");
    }
    for code in [
        "0 done",
        "1 error",
        "2 changes",
        "3 something is held",
        "4 some steps",
        "5 stale plan",
        "6 drift",
        "64 usage",
    ] {
        let one_line = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains(code), "--help does not name the exit code {code}");
    }
    assert!(help.stdout.contains("tenantd sandbox"));
    for command in COMMANDS {
        let ran = bare(&[command, "--help"]).await;
        assert!(ran.ended_with(0).stdout.contains("Usage: tenantd"), "{command}: {ran:#?}");
        assert!(ran.stderr.is_empty(), "{command}");
    }
    let version = bare(&["--version"]).await;
    assert_eq!(version.ended_with(0).stdout, format!("tenantd {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_and_the_manual_come_from_the_program() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = bare(&["completions", shell]).await;
        assert!(ran.ended_with(0).stdout.len() > 1000, "{shell}");
        assert!(ran.stdout.contains("detailed-exitcode"), "{shell}");
    }
    let man = bare(&["man"]).await;
    assert!(man.ended_with(0).stdout.contains(".TH tenantd"));
    for part in ["EXIT STATUS", "FILES", "ENVIRONMENT"] {
        assert!(man.stdout.contains(part), "the manual has no {part}");
    }
    let plain = man.stdout.replace('\\', "");
    for told in [
        "TENANTD PLAN",
        "--detailed-exitcode",
        "TENANTD PBX CHECK",
        "--allow-delete",
        "--until",
        "--matching",
    ] {
        assert!(plain.contains(told), "the manual does not tell {told}: {plain}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_needs_no_network_no_database_and_no_secret() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(2);
    std::fs::remove_file(site.path("password")).unwrap();
    std::fs::remove_dir_all(site.path("state")).unwrap();
    let ran = site.run(&["validate"]).await;
    assert!(ran.ended_with(0).stdout.contains("2 valid tenants, 0 errors"), "{ran:#?}");
    assert!(site.pbx("hq").requests().is_empty());

    site.write("wrong.yaml", "name: Wrong\ndomain: Not A Host\npbx_instance: hk\nenabeld: no\n");
    site.write("twice.yaml", "name: Twice\ndomain: t00.example.com\npbx_instance: hq\n");
    site.write("empty.yaml", "");
    let ran = site.run(&["validate"]).await;
    ran.ended_with(1);
    for told in [
        "wrong.yaml:2:9: error: ",
        "wrong.yaml:3:15: error: ",
        "wrong.yaml:4:1: error: ",
        "Did you mean `enabled`?",
        "empty.yaml",
        "twice.yaml",
        "domain: Not A Host",
    ] {
        assert!(ran.stderr.contains(told), "{told} is missing from: {}", ran.stderr);
    }
    assert!(ran.stdout.contains("1 valid tenant"), "t01 alone: {ran:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_shows_everything_once_and_ends_with_0() {
    let ran = bare(&["sandbox", "--once"]).await;
    ran.ended_with(0);
    for told in
        ["6 to create: acme, ", "6 done, 0 failed, 0 skipped", "umbrella.example.com", "disabled", "KEY"]
    {
        assert!(ran.stdout.contains(told), "{told}: {ran:#?}");
    }
    // The repository's own examples, and a directory by name.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("one.yaml"), "name: One\ndomain: one.example.com\npbx_instance: hq\n")
        .unwrap();
    let ran = bare(&["sandbox", "--once", "--tenants", dir.path().to_str().unwrap()]).await;
    assert!(ran.ended_with(0).stdout.contains("1 to create: one"), "{ran:#?}");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/tenants.d");
    bare(&["sandbox", "--once", "--tenants", examples]).await.ended_with(0);
    std::fs::remove_file(dir.path().join("one.yaml")).unwrap();
    bare(&["sandbox", "--once", "--tenants", dir.path().to_str().unwrap()]).await.ended_with(1);
}

at_both_sites! { async fn pbx_check_says_what_to_grant_and_what_is_wrong(site) {
    site.tenant("acme");
    let ran = site.run(&["pbx", "check"]).await;
    assert!(ran.ended_with(0).stdout.contains("ok: signed in"), "{ran:#?}");
    assert!(ran.stdout.contains("its clock agrees with this machine's"), "{ran:#?}");
    site.pbx("hq").revoke("domain_delete");
    let ran = site.run(&["pbx", "check"]).await;
    assert!(ran.ended_with(0).stdout.contains("lacks the permission `domain_delete`"), "{ran:#?}");
    assert!(ran.stdout.contains("Group Manager"), "{ran:#?}");
    site.pbx("hq").revoke("domain_edit");
    site.run(&["pbx", "check", "--instance", "hq"]).await.ended_with(1);
    site.run(&["pbx", "check", "--instance", "branch"]).await.ended_with(0);
    site.run(&["pbx", "check", "--instance", "nowhere"]).await.ended_with(1);
    site.pbx("hq").grant("domain_edit");
    site.pbx("hq").advance_clock(std::time::Duration::from_secs(3600));
    let ran = site.run(&["pbx", "check", "--instance", "hq"]).await;
    assert!(ran.stdout.contains("s ahead of ours"), "{ran:#?}");
    let account = site.pbx("hq").users()[0].uuid;
    site.pbx("hq").set_password(account, "another");
    let ran = site.run(&["pbx", "check"]).await;
    assert!(ran.ended_with(1).stdout.contains("the server rejected the user name or password"), "{ran:#?}");
    assert!(ran.stdout.contains("ok: signed in"), "the other one is checked all the same: {ran:#?}");
    site.pbx("hq").set_password(account, &site.password);
    site.pbx("branch").inject(Fault::new(FaultKind::HtmlForJson).page("domain_json.php"));
    let ran = site.run(&["pbx", "check"]).await;
    assert!(ran.ended_with(1).stdout.contains("expected a JSON list of domains"), "{ran:#?}");
    site.pbx("branch").clear_faults();
    site.apply().await;
    site.comes_to_rest().await;
} }

at_both_sites! { async fn tenant_data_commands_work_and_refuse_unknown_tenants(site) {
    site.tenant("acme");
    site.apply().await;
    site.run(&["isolation", "check"]).await.ended_with(0);
    let stats = site.run(&["stats", "-o", "json"]).await;
    assert_eq!(stats.ended_with(0).json()["tenants"].as_array().unwrap().len(), 1);
    site.run(&["stats", "nobody"]).await.ended_with(1);
    site.run(&["sync"]).await.ended_with(0);
    let archive = site.run(&["archive", "acme", "--to", "archives", "-o", "json"]).await;
    let path = archive.ended_with(0).json()["path"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&path).exists());
    site.run(&["restore", &path]).await.ended_with(1);
    site.run(&["archive", "nobody"]).await.ended_with(1);
    site.comes_to_rest().await;
} }
