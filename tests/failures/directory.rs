//! F1 to F7: the tenants directory is not what it seems.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tenantd::load::{self, Snapshot};
use tenantd::model::Completeness;
use tenantd::plan::Action;

use crate::common::harness::tenant;
use crate::on_both_databases;
use crate::site::{at_both_sites, installed, signal_process, text_of, until};

at_both_sites! { async fn f01_an_empty_or_vanished_directory_removes_nothing(site) {
    let names = site.tenants(3);
    site.apply().await;
    let daemon = site.daemon("daemon");
    let (dir, away) = (site.path("tenants.d"), site.path("away"));
    let before = site.mutations();
    let reports = || daemon.told().matches("nothing is changed until it can be read").count();
    type Vandal = fn(&Path);
    let vandals: [(&str, Vandal); 6] = [
        ("moved away", |_| {}),
        ("replaced by an empty one", |dir| std::fs::create_dir(dir).unwrap()),
        ("replaced by a file", |dir| std::fs::write(dir, "x").unwrap()),
        ("a dangling link", |dir| symlink("nowhere", dir).unwrap()),
        ("a link to itself", |dir| symlink("tenants.d", dir).unwrap()),
        ("nothing but other files", |dir| {
            std::fs::create_dir(dir).unwrap();
            std::fs::write(dir.join("README.md"), "x").unwrap();
        }),
    ];
    for (what, vandal) in vandals {
        let seen = reports();
        std::fs::rename(&dir, &away).unwrap();
        vandal(&dir);
        until(what, || reports() > seen).await;
        let plan = site.run(&["plan"]).await;
        assert_eq!(plan.code, 1, "{what}: {plan:#?}");
        assert!(plan.stderr.contains("the tenants directory"), "{what}: {plan:#?}");
        let apply = site.run(&["apply"]).await;
        assert_eq!(apply.code, 1, "{what}: {apply:#?}");
        let _ = std::fs::remove_file(&dir);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::rename(&away, &dir).unwrap();
        assert_eq!(site.mutations(), before, "{what}");
    }
    daemon.stop().await;
    site.comes_to_rest().await;
    assert_eq!(site.mutations(), before);
    site.has_one_domain_each("hq", &names);
} }

on_both_databases! { async fn f02_a_broken_file_is_never_a_removal(mut harness) {
    harness.want([tenant("acme"), tenant("other"), tenant("third")]);
    harness.converge().await;
    let text = text_of("acme", "enabled: true\nmax_users: 10\nsession_timeout: 45\n");
    let mut look = harness.look().await;
    let mut desired = |bytes: Vec<u8>, what: &str| {
        // While it is broken, another file goes too.
        let files = [("acme.yaml", bytes), ("third.yaml", text_of("third", "").into_bytes())];
        let loaded = load::parse(&Snapshot::from_files("tenants.d", files), &harness.config);
        let is_broken = loaded.desired.completeness != Completeness::Complete;
        look.desired = loaded.desired;
        let plan = look.plan();
        for step in &plan.steps {
            let closes = matches!(step.action, Action::Disable | Action::Delete | Action::DeleteRecord);
            assert!(!closes || (!is_broken && step.tenant.as_str() == "other"), "{what}: {step:#?}");
        }
    };
    for length in 0..text.len() {
        desired(text.as_bytes()[..length].to_vec(), &format!("cut at {length}"));
    }
    for at in 0..text.len() {
        for with in [text.as_bytes()[at] ^ 1, text.as_bytes()[at] ^ 0x20, 0, 0xff, b'\n'] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = with;
            desired(bytes, &format!("byte {at} is {with}"));
        }
    }
    let boms = ["\u{feff}", "\0", "\r\n"].map(|start| format!("{start}{text}"));
    for odd in boms.into_iter().chain([text.replace('\n', "\r\n"), text.repeat(2), text.replace('\n', "\r")]) {
        desired(odd.clone().into_bytes(), &format!("{odd:?}"));
    }
} }

at_both_sites! { async fn f02_the_others_go_on_beside_a_broken_file(site) {
    let names = site.tenants(4);
    site.apply().await;
    // 100 MB of nothing, while one file was removed and another one is edited.
    std::fs::File::create(site.path("tenants.d/t00.yaml")).unwrap().set_len(100 << 20).unwrap();
    site.remove("t01.yaml");
    site.tenant_with("t02", "max_users: 7\n");
    let ran = site.run(&["apply"]).await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    let row = |name: &str| site.pbx("hq").domains_named(&format!("{name}.example.com"))[0].clone();
    assert_eq!(row("t00").enabled, Some(true));
    assert_eq!(row("t01").enabled, Some(true), "nothing is removed while a file is broken");
    assert_eq!(site.pbx("hq").settings(row("t02").uuid).len(), 1, "the others go on");
    site.tenant("t00");
    site.tenant("t01");
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_hostile_files_are_located_errors_in_little_memory() {
    let site = crate::site::Site::new(crate::common::harness::Backend::Sqlite).await.unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/tenant");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, site.path("tenants.d").join(path.file_name().unwrap())).unwrap();
        count += 1;
    }
    // All of them at once within 64 MiB of data: the kernel refuses more.
    let below = ["sh", "-c", "ulimit -d 65536; exec \"$@\"", "sh"];
    let ran = site.run_below(&below, &["validate", "--output", "json"]).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["tenants"], 0, "none of them is a tenant");
    let problems = report["problems"].as_array().unwrap();
    let files: BTreeSet<String> = problems.iter().map(|problem| problem["file"].to_string()).collect();
    assert!(files.len() >= count, "{} of {count} files have a problem", files.len());
    assert_eq!(site.mutations(), 0);
}

fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(dir).args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "gc.auto=0"]);
    git
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn f04_a_checkout_in_progress_is_never_half_read() {
    if !installed("git") {
        return;
    }
    const FILES: usize = 400;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tenants.d");
    succeed(git(root.path()).args(["init", "-q"]));
    let mut sets = BTreeMap::new();
    for branch in ["a", "b"] {
        succeed(git(root.path()).args(["checkout", "-q", "-b", branch]));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        for number in 0..FILES {
            // Some files are in one set only.
            if number % 5 != 0 || (number % 2 == 0) == (branch == "a") {
                std::fs::write(dir.join(format!("t{number}.yaml")), format!("name: {branch}{number}\n"))
                    .unwrap();
            }
        }
        succeed(git(root.path()).args(["add", "-A"]));
        succeed(git(root.path()).args(["commit", "-q", "-m", branch]));
        sets.insert(Snapshot::read(&dir).digest, branch);
    }
    assert_eq!(sets.len(), 2);
    let over = AtomicBool::new(false);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = StdRng::seed_from_u64(4);
            let mut round = 0;
            while !over.load(Ordering::SeqCst) {
                let branch = if round % 2 == 0 { "a" } else { "b" };
                let mut child = git(root.path()).args(["checkout", "-q", branch]).spawn().unwrap();
                std::thread::sleep(Duration::from_micros(rng.random_range(0..15_000)));
                // It may have ended; then there is no one to stop.
                if child.try_wait().unwrap().is_none() {
                    signal_process(child.id(), "STOP");
                    std::thread::sleep(Duration::from_millis(rng.random_range(20..150)));
                    signal_process(child.id(), "CONT");
                }
                assert!(child.wait().unwrap().success());
                std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
                round += 1;
            }
        });
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until {
            let snapshot = load::stable_snapshot(&dir, Duration::from_millis(10), &mut std::thread::sleep);
            let what = match &snapshot.unreadable {
                Some(_) => "unreadable",
                None => match sets.get(&snapshot.digest) {
                    Some(branch) => branch,
                    None => {
                        over.store(true, Ordering::SeqCst);
                        panic!("a mixture of {} files was believed", snapshot.files.len());
                    }
                },
            };
            *seen.entry(what).or_default() += 1;
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(seen.contains_key("a") || seen.contains_key("b"), "{seen:?}");
}

at_both_sites! { async fn f05_editors_leave_no_spurious_tenants(site) {
    let names = site.tenants(2);
    site.apply().await;
    let before = site.mutations();
    let domains = site.pbx("hq").domain_count();
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains("lan ")).await;
    let dir = site.path("tenants.d");
    for name in ["t00.yaml~", ".t00.yaml.swp", "#t00.yaml#", "4913", "t00.yaml.bak", ".t00.yaml.kate-swp", "T00.yaml"] {
        site.write(name, text_of("spurious", ""));
    }
    symlink("somebody@machine.1234", dir.join(".#t00.yaml")).unwrap();
    let mut edits: Vec<(&str, Vec<&str>)> = vec![
        ("sed", vec!["sed", "-i", "s/^name:.*/name: by sed/", "t00.yaml"]),
        ("rename", vec!["sh", "-c", "sed 's/^name:.*/name: by rename/' t00.yaml >.t00.new && mv .t00.new t00.yaml"]),
        ("truncate", vec!["sh", "-c", "sed 's/^name:.*/name: by truncate/' t00.yaml >../x && cat ../x >t00.yaml"]),
    ];
    if installed("vim") {
        edits.push(("vim", vec!["vim", "-n", "-N", "-u", "NONE", "-i", "NONE", "-es", "-c", "set backup writebackup", "-c", "%s/^name:.*/name: by vim/", "-c", "wq", "t00.yaml"]));
    }
    for (editor, command) in edits {
        let mut child = Command::new(command[0]);
        succeed(child.args(&command[1..]).current_dir(&dir));
        let expected = format!("by {editor}");
        let pbx = site.pbx("hq");
        until(editor, || pbx.domains_named("t00.example.com")[0].description.as_deref() == Some(&expected)).await;
    }
    daemon.stop().await;
    assert_eq!(site.pbx("hq").domain_count(), domains, "no tenant came of what editors leave behind");
    assert!(site.mutations() - before <= 4, "one change for each edit");
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
    let status = site.run(&["status"]).await;
    assert!(status.stdout.contains("t00.yaml~"), "what is ignored is listed: {status:#?}");
} }

at_both_sites! { async fn f06_a_swapped_config_map_ends_at_its_last_generation(site) {
    let dir = site.path("tenants.d");
    let generation = |number: u32| {
        let name = format!("..2026_{number}");
        std::fs::create_dir(dir.join(&name)).unwrap();
        for tenant in ["acme", "globex"] {
            let text = text_of(tenant, "").replace(" Ltd", &format!(" generation {number}"));
            std::fs::write(dir.join(&name).join(format!("{tenant}.yaml")), text).unwrap();
        }
        symlink(&name, dir.join("..data_tmp")).unwrap();
        std::fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    };
    generation(0);
    for tenant in ["acme", "globex"] {
        symlink(format!("..data/{tenant}.yaml"), dir.join(format!("{tenant}.yaml"))).unwrap();
    }
    let daemon = site.daemon("daemon");
    let pbx = site.pbx("hq");
    let shown = |tenant: &str| {
        let rows = pbx.domains_named(&format!("{tenant}.example.com"));
        rows.first().and_then(|row| row.description.clone()).unwrap_or_default()
    };
    until("the first generation", || shown("globex") == "globex generation 0").await;
    for number in 1..=60 {
        generation(number);
        std::fs::remove_dir_all(dir.join(format!("..2026_{}", number - 1))).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("the last generation", || ["acme", "globex"].iter().all(|t| shown(t).ends_with(" generation 60"))).await;
    daemon.stop().await;
    site.comes_to_rest().await;
    assert!(pbx.domains().iter().all(|row| row.enabled == Some(true)));
    assert!(!pbx.requests().iter().any(|asked| asked.field("domain_enabled") == Some("false")));
} }

at_both_sites! { async fn f07_lost_events_cost_an_interval_at_most(site) {
    site.tenants(2);
    let daemon = site.daemon("daemon");
    let pbx = site.pbx("hq");
    let is_there = |name: &str| !pbx.domains_named(&format!("{name}.example.com")).is_empty();
    until("the first pass", || is_there("t01")).await;
    // The directory that is watched is gone, and another one has its name.
    std::fs::rename(site.path("tenants.d"), site.path("old")).unwrap();
    std::fs::create_dir(site.path("tenants.d")).unwrap();
    site.tenants(3);
    until("a file of the new directory", || is_there("t02")).await;
    // A flood of events, of which some may be lost.
    for round in 0..5_000 {
        let (from, to) = if round % 2 == 0 { ("t00.yaml", ".t00") } else { (".t00", "t00.yaml") };
        std::fs::rename(site.path("tenants.d").join(from), site.path("tenants.d").join(to)).unwrap();
    }
    site.tenant("t03");
    until("a file after the storm", || is_there("t03")).await;
    daemon.stop().await;
    site.comes_to_rest().await;
    let names: Vec<String> = (0..4).map(|number| format!("t{number:02}")).collect();
    site.has_one_domain_each("hq", &names);
} }
