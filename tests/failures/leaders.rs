//! F15: several daemons on one database.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common::harness::Backend;
use crate::site::{Daemon, Site, at_both_sites, until};
use tenantd::store::Access;

fn created(site: &Site) -> usize {
    site.pbx("hq").domain_count() - 1
}

/// A life with creates, edits, a disable and a removal under this many daemons; how many changing requests it took.
async fn life_under(daemons: usize) -> Option<usize> {
    let site = Site::slow(Backend::Postgres).await?;
    let names = site.tenants(6);
    let running: Vec<Daemon> = (0..daemons).map(|number| site.daemon(&format!("daemon{number}"))).collect();
    until("all are created", || created(&site) == 6).await;
    site.comes_to_rest().await;
    site.tenant_with("t00", "max_users: 5\n");
    site.comes_to_rest().await;
    site.tenant_with("t01", "enabled: false\n");
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
    for daemon in running {
        daemon.stop().await;
    }
    site.comes_to_rest().await;
    Some(site.mutations())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_five_daemons_ask_for_what_one_asks_for() {
    let Some(one) = life_under(1).await else { return };
    assert_eq!(life_under(5).await, Some(one));
}

/// Seconds after which a stand-by has taken over, as promised, and as a busy machine may need.
const TAKE_OVER: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_paused_leader_changes_nothing_more() {
    let Some(site) = Site::slow(Backend::Postgres).await else { return };
    let names = site.tenants(24);
    let leader = site.daemon("leader");
    until("the leader works", || created(&site) >= 2).await;
    let stand_by = site.daemon("stand-by");
    until("the other one stands by", || stand_by.told().contains("standing by")).await;

    // Paused in the middle of its work, past its lease.
    leader.signal("STOP");
    let paused = Instant::now();
    // What it sent already is being worked on.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let journal = site.pbx("hq").requests();
    let its_sessions: BTreeSet<_> = journal.iter().filter_map(|asked| asked.session.clone()).collect();
    let last = journal.last().unwrap().seq;
    until("the stand-by takes over", || stand_by.told().contains("took over the writer's lease")).await;
    assert!(paused.elapsed() < TAKE_OVER, "{:?}", paused.elapsed());
    until("the stand-by works", || {
        site.pbx("hq").requests().iter().any(|asked| asked.seq > last && asked.mutating)
    })
    .await;
    leader.signal("CONT");
    until("the leader notices", || leader.told().contains("standing by")).await;
    site.comes_to_rest().await;
    let late: Vec<_> = site
        .pbx("hq")
        .requests()
        .into_iter()
        .filter(|asked| asked.seq > last && asked.mutating)
        .filter(|asked| asked.session.as_ref().is_some_and(|session| its_sessions.contains(session)))
        .map(|asked| (asked.path, asked.at))
        .collect();
    assert!(late.is_empty(), "sent by the paused leader after it lost its lease: {late:?}");
    site.has_one_domain_each("hq", &names);
    leader.kill().await;
    stand_by.stop().await;
    site.expire_lease().await;
    site.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_stand_by_takes_over_from_a_dead_leader() {
    let Some(site) = Site::new(Backend::Postgres).await else { return };
    site.tenants(2);
    let leader = site.daemon("leader");
    until("the leader works", || created(&site) == 2).await;
    let stand_by = site.daemon("stand-by");
    until("the other one stands by", || stand_by.told().contains("standing by")).await;
    leader.kill().await;
    let dead = Instant::now();
    site.tenant("t02");
    until("the stand-by takes over", || created(&site) == 3).await;
    assert!(dead.elapsed() < TAKE_OVER, "{:?}", dead.elapsed());
    // One that ends orderly gives its lease back, and no one waits.
    stand_by.stop().await;
    site.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_on_sqlite_one_process_writes() {
    let site = Site::slow(Backend::Sqlite).await.unwrap();
    let names = site.tenants(6);
    let daemons: Vec<Daemon> = (0..3).map(|number| site.daemon(&format!("daemon{number}"))).collect();
    until("all are created", || created(&site) == 6).await;
    // `plan` and `status` need no lock; `apply` asks the one that has it.
    site.comes_to_rest().await;
    assert_eq!(site.run(&["status"]).await.code, 0);
    site.tenant("t06");
    let ran = site.run(&["apply"]).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("to do this run"), "{ran:#?}");
    let ran = site.run(&["apply", "--output", "json"]).await;
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["format_version"], 2, "the same document as without a daemon: {document:#}");
    assert!(document["steps"].is_array() && document["results"].is_array(), "{document:#}");
    let refused = site.run(&["apply", "--tenant", "t00"]).await;
    assert_eq!(refused.code, 1, "{refused:#?}");
    site.has_one_domain_each("hq", &names);
    for daemon in daemons {
        daemon.stop().await;
    }
    site.comes_to_rest().await;
}

/// Three at the same moment on an empty database. Each ends soon, and each tenant is created once.
async fn three_commands_at_once(site: Site) {
    let names = site.tenants(3);
    let started = Instant::now();
    let apply = || site.run(&["apply"]);
    let (one, two, three) = tokio::join!(apply(), apply(), apply());
    for ran in [one, two, three] {
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    site.has_one_domain_each("hq", &names);
    assert_eq!(created(&site), names.len());
    site.comes_to_rest().await;
}

at_both_sites! { async fn f15_three_that_apply_at_once_take_their_turns(site) {
    three_commands_at_once(site).await;
} }

/// Of a request that waits in the database: a daemon that starts later answers it, if it is not taken back.
async fn facts(site: &Site) -> Option<String> {
    let database = site.database(Access::ReadOnly).await;
    database.read(|store| store.fact("pass.requested")).await.unwrap()
}

at_both_sites! { async fn f15_apply_takes_over_from_a_daemon_that_dies_without_an_answer(site) {
    site.tenants(1);
    let daemon = site.daemon("daemon");
    until("the daemon works", || created(&site) == 1).await;
    site.comes_to_rest().await;
    site.tenant("late");
    daemon.signal("STOP");
    let apply = site.run(&["apply"]);
    let die = async {
        // On PostgreSQL, a daemon that is stopped loses its lease after ten seconds anyway.
        let until = Instant::now() + Duration::from_secs(8);
        while facts(&site).await.is_none_or(|asked| asked.is_empty()) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        daemon.kill().await;
    };
    let (ran, ()) = tokio::join!(apply, die);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("to do this run"), "{ran:#?}");
    assert!(ran.stdout.contains("create late on hq"), "it does the run itself: {ran:#?}");
    assert_eq!(facts(&site).await, None, "the request is withdrawn");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn f15_two_that_ask_the_daemon_at_once_both_get_an_answer(site) {
    site.tenants(1);
    let daemon = site.daemon("daemon");
    until("the daemon works", || created(&site) == 1).await;
    let apply = || site.run(&["apply"]);
    let (one, two, three) = tokio::join!(apply(), apply(), apply());
    for ran in [one, two, three] {
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
    daemon.stop().await;
} }
