//! F21 and F25: clocks that jump, disks that are full, databases that cannot be written.

use std::process::Command;

use crate::common::harness::Backend;
use crate::site::{PROGRAM, Ran, Site, at_both_sites, installed};

at_both_sites! { async fn f21_a_clock_that_jumps_deletes_nothing(site) {
    if !installed("faketime") {
        return;
    }
    site.tenants(4);
    site.apply().await;
    site.remove("t00.yaml");
    site.tenant_with("t01", "enabled: false\n");
    site.apply().await;
    let domains = site.pbx("hq").domain_count();
    let before = site.mutations();
    for jump in ["+2y", "+2y", "-2y", "+2y", "+40d", "+0 x10", "-1d", "+10y"] {
        let ran = site.run_below(&["faketime", "-f", jump], &["apply"]).await;
        assert!(matches!(ran.code, 0 | 3), "{jump}: {ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "{jump}: {ran:#?}");
        assert_eq!(site.deletions(), 0, "{jump}: {ran:#?}");
        assert_eq!((site.pbx("hq").domain_count(), site.mutations()), (domains, before), "{jump}: {ran:#?}");
    }
    // The right time again, and the file is back.
    site.tenant("t00");
    site.tenant("t01");
    site.run(&["apply"]).await;
    site.comes_to_rest().await;
    assert!(site.pbx("hq").domains().iter().all(|row| row.enabled == Some(true)));
} }

/// Runs `apply` in a namespace of its own, in which a script has done something to the file systems.
async fn apply_after(site: &Site, script: &str) -> Ran {
    let script = format!("set -e\n{script}\nexec {PROGRAM} apply --yes\n");
    let mut command = tokio::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    site.finish(command).await
}

fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("skipped: file systems cannot be mounted here (no root, or a container without the right)");
    }
    may
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_request_without_a_written_intent_is_not_sent() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    let mut names = site.tenants(2);
    site.apply().await;
    let before = site.mutations();
    site.tenant("t02");
    names.push("t02".to_owned());
    let mut refused: Vec<(&str, Ran)> = Vec::new();
    if may_mount() {
        let copied = "cp -a state saved; mount -t tmpfs -o size=4m tmpfs state; cp -a saved/. state";
        let full = format!("{copied}; cat /dev/zero >state/filler 2>/dev/null || true");
        refused.push(("a full disk", apply_after(&site, &full).await));
        std::fs::remove_dir_all(site.path("saved")).unwrap();
        let read_only = format!("{copied}; mount -o remount,ro state");
        refused.push(("a read-only file system", apply_after(&site, &read_only).await));
    }
    // No file may grow beyond 4 KiB, which is less than a page of the database and its header.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"];
    refused.push(("a limit of file sizes", site.run_below(&limited, &["apply"]).await));
    for (what, ran) in refused {
        assert_eq!(ran.code, 1, "{what}: {ran:#?}");
        assert!(ran.stderr.contains("error: ") && !ran.stderr.contains("panicked"), "{what}: {ran:#?}");
        assert_eq!(site.mutations(), before, "{what}: nothing was sent");
    }
    site.apply().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_disk_that_fills_up_in_the_middle_leaves_nothing_twice() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    let names = site.tenants(6);
    // In steps of 8 KiB the database's log gets further and further before it may not grow any more.
    for blocks in (16..=400).step_by(24) {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let ran = site.run_below(&["sh", "-c", &script, "sh"], &["apply"]).await;
        assert!(matches!(ran.code, 0 | 1 | 4), "{blocks}: {ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "{blocks}: {ran:#?}");
    }
    site.run(&["apply"]).await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_database_that_only_reads_keeps_everything_as_it_is() {
    let Some(site) = Site::new(Backend::Postgres).await else { return };
    let names = site.tenants(2);
    site.apply().await;
    let before = site.mutations();
    site.tenant_with("t00", "max_users: 5\n");
    let url = site.database_url.clone();
    let set = async |what: &str| {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
        let name: String = client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
        client.batch_execute(&format!("ALTER DATABASE {name} {what}")).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    };
    set("SET default_transaction_read_only = on").await;
    let ran = site.run(&["apply"]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_eq!(site.mutations(), before);
    assert_eq!(site.run(&["plan"]).await.code, 0, "a plan writes nothing");
    set("RESET default_transaction_read_only").await;
    site.apply().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}
