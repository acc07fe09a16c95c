//! F20, F22, F23, F24 and F26: secrets, content that may not say so, contests, half a delete, absurd flags.

use chrono::TimeDelta;
use fusionpbx_standin::{Fault, FaultKind, TABLES};
use tenantd::model::MaxUsers;

use crate::common::harness::{Backend, key, tenant};
use crate::common::scenario::held_because;
use crate::git;
use crate::on_both_databases;
use crate::site::{Site, at_both_sites, installed, text_of};

/// A text as it is, and as JSON, HTML, forms and Base64 write it.
fn disguises(secret: &str) -> Vec<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let base64 = |bytes: &[u8]| -> Vec<u8> {
        bytes
            .chunks_exact(3)
            .flat_map(|chunk| {
                let bits = u32::from_be_bytes([0, chunk[0], chunk[1], chunk[2]]);
                [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift) as usize & 63])
            })
            .collect()
    };
    let json = serde_json::to_string(secret).unwrap();
    let mut all = vec![
        secret.as_bytes().to_vec(),
        json.trim_matches('"').as_bytes().to_vec(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>().into_bytes(),
        secret.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").into_bytes(),
    ];
    all.extend((0..3).map(|skip| base64(&secret.as_bytes()[skip..])));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_no_secret_is_in_anything_that_is_written() {
    let secret = "Canary\"1/é&<+%>-never-shown";
    let site = Site::with(Backend::Sqlite, fusionpbx_standin::Latency::none(), secret).await.unwrap();
    site.tenants(2);
    let forbidden = disguises(secret);
    let assert_clean = |what: &str, bytes: &[u8]| {
        for text in &forbidden {
            let found = bytes.windows(text.len()).any(|window| window == text);
            assert!(!found, "{what} shows the password as {:?}", String::from_utf8_lossy(text));
        }
    };
    let faults = [
        None,
        Some(FaultKind::EchoPassword),
        Some(FaultKind::CommitThenReset),
        Some(FaultKind::LoginPageWith200),
        Some(FaultKind::RejectCredentials),
        Some(FaultKind::HtmlForJson),
    ];
    for fault in faults {
        let shown = format!("{fault:?}");
        site.pbx("hq").end_sessions();
        if let Some(fault) = fault {
            site.pbx("hq").inject(Fault::new(fault));
        }
        let name = format!("n{}", site.pbx("hq").domain_count());
        site.tenant(&name);
        for args in [
            &["plan"][..],
            &["plan", "-o", "json"],
            &["apply"],
            &["apply", "-o", "json"],
            &["status"],
            &["show", "t00"],
            &["validate"],
            &["pbx", "check"],
            &["import", "--instance", "hq", "--dry-run"],
        ] {
            let mut all = vec!["--log", "trace"];
            all.extend(args);
            let ran = site.run(&all).await;
            assert_clean(&format!("{shown}: the output of {args:?}"), ran.stdout.as_bytes());
            assert_clean(&format!("{shown}: the log of {args:?}"), ran.stderr.as_bytes());
        }
        site.pbx("hq").clear_faults();
    }
    for entry in std::fs::read_dir(site.path("state")).unwrap() {
        let path = entry.unwrap().path();
        assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    site.apply().await;
    site.comes_to_rest().await;
}

at_both_sites! { async fn f22_a_tenants_file_changes_no_credential_address_or_guard(site) {
    site.tenants(2);
    site.apply().await;
    let before = site.mutations();
    for (line, named) in [
        ("password: x", "password"),
        ("url: https://elsewhere.example.com", "url"),
        ("deletion: { mode: automatic, retention_days: 0 }", "deletion"),
        ("limits: { removals: { count: 100, percent: 100 } }", "limits"),
        ("pbx_instances: { evil: { url: https://elsewhere.example.com } }", "pbx_instances"),
        ("tier: { name: free }", "tier"),
        ("retention_days: 0", "retention_days"),
    ] {
        site.tenant_with("t00", &format!("{line}\n"));
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 3, "{line}: {ran:#?}");
        assert!(ran.stderr.contains(named) && ran.stderr.contains("t00.yaml"), "{line}: {ran:#?}");
        assert_eq!(site.mutations(), before, "{line}");
    }
    site.tenant("t00");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn f22_files_that_differ_from_the_signed_commit_change_nothing(site) {
    if !installed("git") || !installed("ssh-keygen") { return }
    site.tenants(2);
    let repository = git::Repository::new(&site.path(""));
    repository.git(&["add", "tenants.d"]);
    repository.git(&["commit", "-q", "-S", "-m", "two tenants"]);
    let signers = repository.allowed_signers(&site.path("allowed_signers"));
    site.configure(&format!("git: {{ branch: main, allowed_signers: {} }}\n", signers.display()));
    site.apply().await;
    site.comes_to_rest().await;
    let before = site.mutations();
    let refused = async |why: &str| {
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 1, "{why}: {ran:#?}");
        assert!(ran.stderr.contains(why), "{why}: {ran:#?}");
        assert!(ran.stderr.contains("nothing is changed"), "{ran:#?}");
        assert_eq!(site.mutations(), before, "{why}");
    };

    // What is edited, added or taken away in the worktree only.
    site.tenant_with("t00", "session_timeout: 30\n");
    refused("t00.yaml differs").await;
    repository.git(&["checkout", "-q", "tenants.d/t00.yaml"]);
    site.tenant("evil");
    refused("evil.yaml is not in the commit; commit the file or delete it").await;
    std::fs::remove_file(site.path("tenants.d/evil.yaml")).unwrap();
    std::fs::remove_file(site.path("tenants.d/t01.yaml")).unwrap();
    refused("t01.yaml is missing; commit its removal").await;
    // Also where git is reported not to see it, or to see something else.
    site.tenant_with("t01", "enabled: false\n");
    repository.git(&["update-index", "--assume-unchanged", "tenants.d/t01.yaml"]);
    refused("t01.yaml differs").await;
    repository.git(&["update-index", "--no-assume-unchanged", "tenants.d/t01.yaml"]);
    // A commit without a signature, and one that someone else has signed.
    repository.git(&["commit", "-q", "--no-gpg-sign", "-am", "t01 is closed"]);
    refused("not signed by a key in").await;
    let stranger = repository.another_key("stranger");
    repository.git(&["-c", &stranger, "commit", "-q", "--amend", "-S", "-m", "t01 is closed"]);
    refused("not signed by a key in").await;
    // What the repository's own configuration says of programs is not listened to.
    repository.git(&["config", "gpg.ssh.program", "true"]);
    repository.git(&["config", "gpg.minTrustLevel", "undefined"]);
    repository.git(&["config", "gpg.ssh.allowedSignersFile", "/dev/null"]);
    refused("not signed by a key in").await;
    for key in ["gpg.ssh.program", "gpg.minTrustLevel", "gpg.ssh.allowedSignersFile"] {
        repository.git(&["config", "--unset", key]);
    }
    // The same content of another branch, or of none.
    repository.git(&["checkout", "-q", "-f", "-b", "feature", "HEAD~1"]);
    refused("is checked out at `feature`, but `git.branch` requires `main`").await;
    repository.git(&["checkout", "-q", "--detach"]);
    refused("is checked out at no branch").await;
    std::fs::rename(site.path(".git"), site.path("away")).unwrap();
    refused("is not a checked-out commit").await;
    std::fs::rename(site.path("away"), site.path(".git")).unwrap();

    repository.git(&["checkout", "-q", "main"]);
    repository.git(&["commit", "-q", "--amend", "-S", "-m", "t01 is closed"]);
    site.write("notes.txt", "no tenant's file, and of no commit");
    let ran = site.run(&["apply"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("done disable t01"), "{ran:#?}");
    site.comes_to_rest().await;
} }

on_both_databases! { async fn f23_a_field_that_comes_back_is_left_alone(mut harness) {
    harness.want([tenant("acme"), tenant("calm")]);
    harness.converge().await;
    for kind in [FaultKind::RevertField("domain_description"), FaultKind::NormaliseNames] {
        let what = format!("{kind:?}");
        let fault = harness.pbx("hq").inject(Fault::new(kind).page("domain_edit.php"));
        let before = harness.mutations_of("hq");
        let name = format!("  Acme {what}").trim().to_owned();
        harness.edit("acme", |t| t.definition.name.clone_from(&name));
        for _ in 0..10 {
            harness.pass().await;
        }
        let writes = harness.mutations_of("hq") - before;
        assert!((1..=3).contains(&writes), "{what}: {writes} writes");
        let plan = harness.plan().await;
        assert!(held_because(&plan, "acme").starts_with("`name` is contested"), "{what}: {plan:#?}");
        // The others are looked after, and once it is as wanted, so is this one.
        harness.edit("calm", |t| t.definition.name = what.clone());
        harness.pbx("hq").remove_fault(fault);
        harness.pass().await;
        assert_eq!(harness.only("hq", "calm.example.com").description.as_deref(), Some(what.as_str()));
        let uuid = harness.only("hq", "acme.example.com").uuid;
        harness.pbx("hq").edit_domain(uuid, |row| row.description = Some(name.clone()));
        harness.settle(3).await;
    }
} }

on_both_databases! { async fn f24_a_delete_that_died_half_way_is_finished(mut harness) {
    harness.config.limits.removals.count = 100;
    let dies = [0, 1, 3, TABLES.len() / 2, TABLES.len() - 1];
    let names: Vec<String> = dies.iter().map(|table| format!("gone{table}")).collect();
    harness.want(names.iter().map(|name| tenant(name)).chain([tenant("kept")]));
    harness.edit("kept", |t| t.definition.max_users = MaxUsers::Limited(3));
    harness.converge().await;
    for name in &names {
        let uuid = harness.only("hq", &format!("{name}.example.com")).uuid;
        harness.pbx("hq").set_rows(uuid, "v_extensions", 5);
        harness.remove_file(name);
    }
    harness.pass().await;
    harness.clock.advance(TimeDelta::days(31));
    harness.pass().await;
    harness.clock.advance(TimeDelta::hours(25));
    // Whichever comes first dies first; each table's death strikes one of them.
    for (number, table) in dies.into_iter().enumerate() {
        let number = u32::try_from(number).unwrap() + 1;
        harness.pbx("hq").inject(Fault::new(FaultKind::DieAtDeleteTable(table)).page("domains.php").method("POST").nth(number));
    }
    let created = |harness: &crate::common::harness::Harness| harness.pbx("hq").domain_count();
    let before = created(&harness);
    for _ in 0..8 {
        harness.pass().await;
        assert!(created(&harness) <= before, "what is half deleted is not made again");
    }
    harness.pbx("hq").clear_faults();
    // Time continues, whatever the deletions wait for.
    for _ in 0..2 {
        for step in [TimeDelta::hours(25), TimeDelta::days(31), TimeDelta::hours(25)] {
            harness.clock.advance(step);
            harness.pass().await;
        }
    }
    let recorded = harness.recorded().await;
    for name in &names {
        assert!(harness.pbx("hq").domains_named(&format!("{name}.example.com")).is_empty(), "{name}");
        assert!(!recorded.tenants.contains_key(&key(name)), "{name}");
    }
    assert_eq!(harness.only("hq", "kept.example.com").enabled, Some(true));
    harness.settle(2).await;
} }

at_both_sites! { async fn f26_empty_filters_and_absurd_numbers_are_refused(site) {
    let names = site.tenants(3);
    site.apply().await;
    // There is something to do, all of which an empty filter must not mean.
    site.tenant_with("t00", "enabled: false\n");
    site.tenant("t03");
    let before = site.mutations();
    for args in [
        &["apply", "--tenant", ""][..],
        &["apply", "--tenant="],
        &["apply", "--tenant", "*"],
        &["apply", "--tenant", " "],
        &["apply", "--tenant", "../t00"],
        &["apply", "--allow-delete", ""],
        &["plan", "--tenant", ""],
        &["import", "--instance", ""],
        &["approve", "--tenant", ""],
        &["approve"],
        &["approve", "--tenant", "t00", "--for", "0s"],
        &["approve", "--tenant", "t00", "--for", "1y"],
        &["approve", "--tenant", "t00", "--for", "-1h"],
        &["suspend", "--instance", "", "--until", "1h", "--reason", "x"],
        &["pbx", "enroll", ""],
        &["show", ""],
        &["apply", "--parallelism", "0"],
    ] {
        let ran = site.run(args).await;
        assert_eq!(ran.code, 64, "{args:?}: {ran:#?}");
    }
    for args in [
        &["apply", "--plan", ""][..],
        &["approve", ""],
        &["suspend", "--all", "--until", "", "--reason", "x"],
        &["suspend", "--all", "--until", "-1h", "--reason", "x"],
        &["suspend", "--all", "--until", "1h", "--reason", " "],
        &["suspend", "t00", "--until", "1970-01-01T00:00:00Z", "--reason", "x"],
    ] {
        let ran = site.run(args).await;
        assert_ne!(ran.code, 0, "{args:?}: {ran:#?}");
    }
    for (line, named) in [
        ("limits: { removals: { count: -1, percent: 10 } }", "limits.removals.count"),
        ("limits: { removals: { count: 1, percent: 101 } }", "limits.removals.percent"),
        ("limits: { disables: { count: 1e9, percent: 10 } }", "limits.disables.count"),
        ("limits: { removals: { percent: 10 } }", "count"),
        ("deletion: { mode: automatic, retention_days: -30 }", "retention_days"),
        ("deletion: { mode: automatic, retention_days: 99999999999 }", "retention_days"),
    ] {
        site.configure(&format!("{line}\n"));
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 1, "{line}: {ran:#?}");
        assert!(ran.stderr.contains(named) && ran.stderr.contains("tenantd.yaml:"), "{line}: {ran:#?}");
    }
    let instances = site.instance("hq", "hq") + &site.instance("branch", "branch");
    for (from, to) in [
        ("sessions: 2", "sessions: 0"),
        ("sessions: 2", "sessions: -1"),
        ("sessions: 2", "sessions: 1000000"),
        ("max_requests_per_second: 1000", "max_requests_per_second: 0"),
        ("max_requests_per_second: 1000", "max_requests_per_second: -5"),
        ("max_requests_per_second: 1000", "max_requests_per_second: 1.5"),
        ("sessions: 2", "timeout: 0s"),
    ] {
        site.write_config(&instances.replace(from, to), "");
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 1, "{to}: {ran:#?}");
        assert!(ran.stderr.contains(to.split(':').next().unwrap()), "{to}: {ran:#?}");
    }
    assert_eq!(site.mutations(), before, "nothing of it changed anything");
    site.configure("");
    site.write("t00.yaml", text_of("t00", ""));
    site.apply().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
} }
