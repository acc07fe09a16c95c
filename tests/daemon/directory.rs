//! A tenants directory that goes away, comes back, or tells of nothing. Moved and replaced ones are F1 and F7 of the
//! failures.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::harness::Backend;
use crate::site::{Daemon, PROGRAM, Site, text_of, until};

const UNBELIEVED: &str = "nothing is changed until it can be read";

fn sh(script: &str) -> bool {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    output.status.success()
}

impl Site {
    fn told_unbelieved(daemon: &Daemon) -> usize {
        daemon.told().matches(UNBELIEVED).count()
    }

    #[track_caller]
    fn nothing_was_disabled(&self) {
        let journal = self.pbx("hq").requests();
        assert!(!journal.iter().any(|asked| asked.field("domain_enabled") == Some("false")), "{journal:#?}");
        assert_eq!(self.deletions(), 0);
        assert!(self.pbx("hq").domains().iter().all(|row| row.enabled == Some(true)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_removed_and_comes_back_is_noticed_by_its_events() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    let mut names = site.tenants(2);
    site.without_interval("100ms", "1s");
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    for round in 0..2 {
        let seen = Site::told_unbelieved(&daemon);
        std::fs::remove_dir_all(site.path("tenants.d")).unwrap();
        until("it is told", || Site::told_unbelieved(&daemon) > seen).await;
        site.nothing_was_disabled();
        // Made somewhere else and moved into place.
        names.push(format!("n{round}"));
        std::fs::create_dir(site.path("next")).unwrap();
        for name in &names {
            std::fs::write(site.path("next").join(format!("{name}.yaml")), text_of(name, "")).unwrap();
        }
        std::fs::rename(site.path("next"), site.path("tenants.d")).unwrap();
        until("the new directory", || site.has(&format!("n{round}"))).await;
        // And it is watched: an edit in it is seen.
        names.push(format!("m{round}"));
        site.tenant(&format!("m{round}"));
        until("an edit in it", || site.has(&format!("m{round}"))).await;
    }
    // Replaced in an instant, so that no pass ever finds it missing.
    std::fs::create_dir(site.path("next")).unwrap();
    names.push("o0".to_owned());
    for name in &names {
        std::fs::write(site.path("next").join(format!("{name}.yaml")), text_of(name, "")).unwrap();
    }
    std::fs::rename(site.path("tenants.d"), site.path("old")).unwrap();
    std::fs::rename(site.path("next"), site.path("tenants.d")).unwrap();
    until("the new directory", || site.has("o0")).await;
    names.push("o1".to_owned());
    site.tenant("o1");
    until("an edit in it", || site.has("o1")).await;
    assert!(!daemon.told().contains("it is polled"), "{}", daemon.told());
    daemon.stop().await;
    site.nothing_was_disabled();
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_may_not_be_read_removes_nothing_and_recovers() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    let names = site.tenants(3);
    let dir = site.dir.path().display().to_string();
    // Root may read everything, so the daemon is someone else then.
    let is_root = rustix::process::geteuid().is_root();
    let program = site.path("tenantd").display().to_string();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"];
    let script = format!("exec {program} run");
    let outer: Vec<&str> = if is_root {
        std::fs::copy(PROGRAM, &program).unwrap();
        assert!(sh(&format!("chown -R 65534:65534 {dir}")));
        if !sh(&format!("setpriv --reuid=65534 --regid=65534 --clear-groups {program} --version")) {
            eprintln!("skipped: another user cannot be had here");
            return;
        }
        nobody.into_iter().chain([script.as_str()]).collect()
    } else {
        Vec::new()
    };
    let daemon = site.daemon_below("daemon", &outer, &[]);
    daemon.first_pass().await;
    let (tenants, mode) = (site.path("tenants.d"), |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    });
    // The last one lets the names be listed, and nothing else.
    for unreadable in [0o000, 0o100, 0o600] {
        let seen = Site::told_unbelieved(&daemon);
        mode(&tenants, unreadable);
        until("it is told", || Site::told_unbelieved(&daemon) > seen).await;
        site.nothing_was_disabled();
        mode(&tenants, 0o755);
        let plan = site.plan().await;
        assert!(plan["steps"].as_array().unwrap().is_empty(), "{plan:#}");
        site.edit_by_hand("t01");
        until("it looks after them again", || site.is_as_its_file_says("t01")).await;
    }
    // One file of three.
    let passes = daemon.passes();
    mode(&tenants.join("t02.yaml"), 0o000);
    until("a pass", || daemon.passes() > passes).await;
    site.edit_by_hand("t00");
    until("the others go on", || site.is_as_its_file_says("t00")).await;
    mode(&tenants.join("t02.yaml"), 0o644);
    daemon.stop().await;
    site.nothing_was_disabled();
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmounted_directory_removes_nothing_and_recovers() {
    if !sh("unshare -m sh -c 'mount -t tmpfs tmpfs /mnt'") {
        eprintln!("skipped: file systems cannot be mounted here (no root, or a container without the right)");
        return;
    }
    let site = Site::new(Backend::Sqlite).await.unwrap();
    let names = site.tenants(3);
    std::fs::rename(site.path("tenants.d"), site.path("seed")).unwrap();
    std::fs::create_dir(site.path("tenants.d")).unwrap();
    let mount = "mount -t tmpfs tmpfs tenants.d && cp seed/* tenants.d/";
    let script = format!("{mount} && exec {PROGRAM} run");
    let daemon = site.daemon_below("daemon", &["unshare", "-m", "sh", "-c", &script], &[]);
    daemon.first_pass().await;
    assert!(site.has("t02"));
    let inside = |script: &str| {
        let (id, dir) = (daemon.child.id().unwrap(), site.dir.path().display());
        assert!(sh(&format!("nsenter -t {id} -m sh -c 'cd {dir} && {script}'")), "{script}");
    };
    for _ in 0..2 {
        let (seen, before) = (Site::told_unbelieved(&daemon), site.mutations());
        inside("umount -l tenants.d");
        until("it is told", || Site::told_unbelieved(&daemon) > seen).await;
        assert_eq!(site.mutations(), before, "nothing is removed");
        inside(mount);
        site.edit_by_hand("t00");
        until("it looks after them again", || site.is_as_its_file_says("t00")).await;
    }
    daemon.stop().await;
    site.nothing_was_disabled();
    site.tenants(3);
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}

/// A user namespace has limits of its own, which anyone who made it may lower.
fn with_limit(name: &str, limit: u32) -> Option<String> {
    let script = format!("echo {limit} >/proc/sys/user/{name}");
    if !sh(&format!("unshare -Ur sh -c '{script}'")) {
        eprintln!("skipped: the limits of inotify cannot be lowered here");
        return None;
    }
    Some(format!("{script} && exec {PROGRAM} run"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_where_a_limit_is_reached_it_polls_and_says_so_once() {
    for name in ["max_inotify_instances", "max_inotify_watches"] {
        let Some(script) = with_limit(name, 0) else { return };
        let site = Site::new(Backend::Sqlite).await.unwrap();
        let mut names = site.tenants(2);
        site.without_interval("100ms", "1s");
        let daemon = site.daemon_below("daemon", &["unshare", "-Ur", "sh", "-c", &script], &[]);
        daemon.first_pass().await;
        for number in 2..4 {
            let new = format!("t{number:02}");
            site.tenant(&new);
            let written = Instant::now();
            until("the file is found", || site.has(&new)).await;
            // The poll comes every five seconds; the rest is for a busy machine.
            assert!(written.elapsed() < Duration::from_secs(30), "{name}: {:?}", written.elapsed());
            names.push(new);
        }
        // Also where the directory is another one now.
        std::fs::rename(site.path("tenants.d"), site.path("old")).unwrap();
        std::fs::create_dir(site.path("tenants.d")).unwrap();
        names = site.tenants(5);
        until("a file of the new directory", || site.has("t04")).await;
        let told = daemon.told();
        assert_eq!(told.matches("so tenantd polls").count(), 1, "{name}: {told}");
        assert!(told.contains("fs.inotify.max_user_watches"), "{name}: {told}");
        daemon.stop().await;
        site.nothing_was_disabled();
        site.comes_to_rest().await;
        site.has_one_domain_each("hq", &names);
    }
}
