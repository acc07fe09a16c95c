//! Behind PgBouncer: any statement may come to any server connection, and what is left on one is another client's.

use std::time::Duration;

use crate::common::harness::Backend;
use crate::common::postgres;
use crate::servers::{Behind, Pooler, client, text};
use crate::site::{Site, until};

/// A site whose database is reached through a pool, and its address without the pool.
async fn site_behind(mode: &str, connections: u32) -> (Site, Pooler, String) {
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    let direct = site.database_url.clone();
    let pooler = Pooler::start(&Behind::of(&direct), mode, connections).await;
    site.database_url = pooler.url();
    site.configure("");
    (site, pooler, direct)
}

/// What a session shows that no one set anything in.
const SETTINGS: [&str; 9] = [
    "default_transaction_read_only",
    "TimeZone",
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "search_path",
    "client_min_messages",
    "DateStyle",
    "default_transaction_isolation",
];

/// The settings of each server connection of the pool, two of which are held at once, and what was left on them.
async fn seen_through(url: &str) -> Vec<Vec<String>> {
    let held = [client(url).await, client(url).await];
    let mut seen = Vec::new();
    for client in &held {
        client.batch_execute("BEGIN").await.unwrap();
        let mut one = vec![text(client, "SELECT pg_backend_pid()").await];
        for setting in SETTINGS {
            one.push(text(client, &format!("SHOW {setting}")).await);
        }
        one.push(text(client, "SELECT count(*) FROM pg_prepared_statements").await);
        // Of this database: other tests have theirs on the same server.
        let locks = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database \
                     WHERE locktype = 'advisory' AND datname = current_database()";
        one.push(text(client, locks).await);
        seen.push(one);
    }
    for client in &held {
        client.batch_execute("COMMIT").await.unwrap();
    }
    assert_ne!(seen[0][0], seen[1][0], "two server connections");
    seen.into_iter().map(|one| one[1..].to_vec()).collect()
}

async fn life(site: &Site) {
    site.tenant("acme");
    site.tenant("beta");
    site.apply().await;
    site.tenant_with("acme", "max_users: 7\n");
    site.remove("beta.yaml");
    // Each more than once: with a statement or a setting that was previous, every second one fails.
    for round in 0..3 {
        for (command, code) in [
            (&["plan"][..], 0),
            (&["status"], 0),
            (&["show", "acme"], 0),
            (&["stats"], 0),
            (&["isolation", "check"], 0),
            (&["apply"], 0),
        ] {
            let ran = site.run(command).await;
            assert_eq!(ran.code, code, "round {round}, {command:?}: {ran:#?}");
            assert!(!ran.stderr.contains("prepared statement"), "{ran:#?}");
        }
    }
    let ran = site.run(&["archive", "acme"]).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &["acme".to_owned()]);
}

pub async fn every_command_works_through_a_transaction_pool() {
    let (site, _pooler, _) = site_behind("transaction", 2).await;
    life(&site).await;
}

pub async fn a_pool_of_one_connection_is_enough() {
    let (site, _pooler, _) = site_behind("transaction", 1).await;
    life(&site).await;
}

pub async fn nothing_of_tenantd_stays_on_a_connection_that_others_get() {
    // The database has its defaults before the pool's first connection: what differs later was left there.
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    site.tenant("acme");
    site.apply().await;
    let direct = site.database_url.clone();
    let pooler = Pooler::start(&Behind::of(&direct), "transaction", 2).await;
    site.database_url = pooler.url();
    site.configure("");
    site.tenant_with("acme", "max_users: 7\n");
    site.apply().await;
    for command in [&["plan"][..], &["status"], &["isolation", "check"]] {
        assert_eq!(site.run(command).await.code, 0);
    }
    // While a daemon holds the lease, too.
    let daemon = site.daemon("daemon");
    site.tenant("beta");
    until("the daemon works", || site.pbx("hq").domain_count() == 3).await;
    let untouched = client(&direct).await;
    let mut fresh = Vec::new();
    for setting in SETTINGS {
        fresh.push(text(&untouched, &format!("SHOW {setting}")).await);
    }
    fresh.extend(["0".to_owned(), "0".to_owned()]);
    for seen in seen_through(&pooler.url()).await {
        assert_eq!(seen, fresh);
    }
    daemon.stop().await;
    for seen in seen_through(&pooler.url()).await {
        assert_eq!(seen, fresh);
    }
}

/// Other clients are not as careful: their statements have the names of a common driver, their sessions settings.
pub async fn leftover_session_settings_of_other_clients_do_not_matter() {
    let (site, pooler, _) = site_behind("transaction", 2).await;
    site.tenant("acme");
    site.apply().await;
    let others = [client(&pooler.url()).await, client(&pooler.url()).await];
    for other in &others {
        other.batch_execute("BEGIN").await.unwrap();
        for number in 0..40 {
            other.batch_execute(&format!("PREPARE s{number} AS SELECT {number}")).await.unwrap();
        }
        other
            .batch_execute(
                "SET SESSION TIME ZONE 'Asia/Tokyo'; SET SESSION statement_timeout = '40ms'; \
                 SET SESSION standard_conforming_strings = off; SET SESSION datestyle = 'SQL, DMY'; \
                 SET SESSION default_transaction_isolation = 'serializable'",
            )
            .await
            .unwrap();
    }
    for other in &others {
        other.batch_execute("COMMIT").await.unwrap();
    }
    let before = site.run(&["show", "acme", "-o", "json"]).await;
    assert_eq!(before.code, 0, "{before:#?}");
    site.tenant_with("acme", "max_users: 9\n");
    site.apply().await;
    site.comes_to_rest().await;
    // Times were written in UTC, whatever the session's time zone.
    let other = client(&pooler.url()).await;
    let late =
        "SELECT count(*) FROM tenants WHERE abs(extract(epoch FROM clock_timestamp() - updated_at)) > 3600";
    other.batch_execute("BEGIN; SET LOCAL statement_timeout = '10s'").await.unwrap();
    assert_eq!(text(&other, late).await, "0");
}

pub async fn three_that_start_at_once_migrate_one_after_the_other() {
    let (site, _pooler, direct) = site_behind("transaction", 4).await;
    site.tenant("acme");
    let daemons = ["one", "two", "three"].map(|name| site.daemon(name));
    until("one works", || site.pbx("hq").domain_count() == 2).await;
    until("two stand by", || {
        daemons.iter().filter(|daemon| daemon.told().contains("standing by")).count() == 2
    })
    .await;
    let direct = client(&direct).await;
    let migrations = std::fs::read_dir("migrations/postgres").unwrap().count();
    let run = text(&direct, "SELECT count(*) FROM __diesel_schema_migrations").await;
    assert_eq!(run, migrations.to_string());
    for daemon in daemons {
        assert!(!daemon.told().contains("schema"), "{}", daemon.told());
        daemon.stop().await;
    }
    site.comes_to_rest().await;
}

pub async fn three_that_apply_at_once_take_their_turns() {
    for connections in [1, 10] {
        let (site, _pooler, _) = site_behind("transaction", connections).await;
        site.tenant("acme");
        let apply = || site.run(&["apply"]);
        let (one, two, three) = tokio::join!(apply(), apply(), apply());
        for ran in [one, two, three] {
            assert_eq!(ran.code, 0, "{connections}: {ran:#?}");
        }
        site.has_one_domain_each("hq", &["acme".to_owned()]);
        site.comes_to_rest().await;
    }
}

pub async fn a_stand_by_takes_over_through_the_pool() {
    let (site, _pooler, _) = site_behind("transaction", 2).await;
    let created = || site.pbx("hq").domain_count() - 1;
    site.tenant("acme");
    let leader = site.daemon("leader");
    until("the leader works", || created() == 1).await;
    let stand_by = site.daemon("stand-by");
    until("the other one stands by", || stand_by.told().contains("standing by")).await;
    // Longer than a lease: it is renewed through the pool.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(!stand_by.told().contains("took over"), "{}", stand_by.told());
    assert!(!leader.told().contains("lease was"), "{}", leader.told());
    leader.kill().await;
    site.tenant("beta");
    until("the stand-by takes over", || created() == 2).await;
    assert!(stand_by.told().contains("took over the writer's lease"), "{}", stand_by.told());
    stand_by.stop().await;
    site.comes_to_rest().await;
}

pub async fn a_statement_pool_is_refused_with_one_line() {
    let (site, pooler, _) = site_behind("statement", 2).await;
    site.tenant("acme");
    for command in [&["status"][..], &["plan"], &["apply"]] {
        let ran = site.run(command).await;
        assert_eq!(ran.code, 1, "{ran:#?}");
        let line = format!(
            "error: cannot open the database postgres://keeper@127.0.0.1:{}/crystalqore: the pooler allows no \
             transactions (`pool_mode = statement`), and tenantd needs them. Set `pool_mode = transaction` or \
             `session`\n",
            pooler.port
        );
        assert_eq!(ran.stderr, line, "{command:?}");
    }
    assert_eq!(site.mutations(), 0);
    // A session pool works as a server does.
    let session = Pooler::start(&Behind::of(&postgres::database().unwrap()), "session", 2).await;
    let mut site = site;
    site.database_url = session.url();
    site.configure("");
    site.apply().await;
    site.comes_to_rest().await;
}
