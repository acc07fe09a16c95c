//! Several servers, of which one takes writes.

use std::time::{Duration, Instant};

use crate::common::harness::Backend;
use crate::servers::{Cluster, TRUST, client, free_port, text};
use crate::site::{Site, until};

/// A site on the database at this address.
async fn site_at(url: String) -> Site {
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    site.database_url = url;
    site.configure("");
    site
}

fn url_of(ports: &[u16], parameters: &str) -> String {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("postgres://keeper@{}/crystalqore{parameters}", hosts.join(","))
}

/// Waits until the follower has all that was written.
async fn caught_up(first: &Cluster, follower: &Cluster) {
    let (first, follower) =
        (client(&first.socket("postgres")).await, client(&follower.socket("postgres")).await);
    let at = text(&first, "SELECT pg_current_wal_lsn()").await;
    let begun = Instant::now();
    while text(&follower, &format!("SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn")).await != "t" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the stand-by server does not follow");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn the_server_that_writes_is_found_among_several() {
    let first = Cluster::start("", TRUST);
    let follower = first.follower();
    let nobody = free_port();
    let mut site = site_at(first.url("")).await;
    site.tenant("acme");
    site.apply().await;
    caught_up(&first, &follower).await;
    for (ports, parameters) in [
        (vec![first.port, follower.port], "?target_session_attrs=read-write"),
        (vec![follower.port, first.port], "?target_session_attrs=read-write"),
        (vec![nobody, follower.port, first.port], "?target_session_attrs=primary"),
        // The one that writes is looked for without being asked for, and for reading as well.
        (vec![follower.port, first.port], ""),
        (vec![follower.port, first.port], "?target_session_attrs=any"),
    ] {
        site.database_url = url_of(&ports, parameters);
        site.configure("");
        let more = format!("max_users: {}\n", 10 + ports.len() + parameters.len());
        site.tenant_with("acme", &more);
        site.apply().await;
        let ran = site.run(&["plan"]).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(!ran.stderr.contains("error"), "{ran:#?}");
    }
    // No server will do: each is named with its reason.
    site.database_url = url_of(&[nobody, follower.port], "?target_session_attrs=read-write");
    site.configure("");
    let ran = site.run(&["status"]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    let (one, other) = (
        format!("127.0.0.1:{nobody}: Connection refused"),
        format!("127.0.0.1:{}: it is a read-only stand-by server", follower.port),
    );
    assert!(ran.stderr.contains(&one) && ran.stderr.contains(&other), "{ran:#?}");
    // A server that is asked for to be read-only is no use to tenantd, and `validate` says so.
    site.database_url = url_of(&[first.port, follower.port], "?target_session_attrs=read-only");
    site.configure("");
    let ran = site.run(&["validate"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("write `target_session_attrs=read-write`"), "{ran:#?}");
}

pub async fn a_stand_by_server_is_named_as_one() {
    let first = Cluster::start("", TRUST);
    let follower = first.follower();
    let mut site = site_at(first.url("")).await;
    site.tenant("acme");
    site.apply().await;
    caught_up(&first, &follower).await;
    site.database_url = follower.url("");
    site.configure("");
    // Reading works there.
    let ran = site.run(&["status"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("acme"), "{ran:#?}");
    site.tenant_with("acme", "max_users: 3\n");
    let ran = site.run(&["apply"]).await;
    let place =
        format!("cannot open the database postgres://keeper@127.0.0.1:{}/crystalqore: ", follower.port);
    let line = format!("{place}it is a read-only stand-by server. Name the primary in `database_url`");
    assert!(ran.code == 1 && ran.stderr.contains(&line), "{ran:#?}");
    // One that someone made read-only is not a stand-by, and stays as it was meant.
    first.sql("ALTER DATABASE crystalqore SET default_transaction_read_only = on");
    site.database_url = first.url("");
    site.configure("");
    let ran = site.run(&["apply"]).await;
    assert!(
        ran.code == 1 && ran.stderr.contains("it is read-only (default_transaction_read_only is on"),
        "{ran:#?}"
    );
    assert_eq!(site.run(&["status"]).await.code, 0);
}

pub async fn a_daemon_goes_on_after_a_failover() {
    let first = Cluster::start("", TRUST);
    let follower = first.follower();
    let site = site_at(url_of(&[first.port, follower.port], "?target_session_attrs=read-write")).await;
    let created = || site.pbx("hq").domain_count() - 1;
    site.tenant("acme");
    let daemon = site.daemon("daemon");
    until("the daemon works", || created() == 1).await;
    until("its pass ends", || daemon.told().contains("acme")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    caught_up(&first, &follower).await;
    first.stop();
    follower.promote();
    site.tenant("beta");
    until("the daemon goes on at the other server", || created() == 2).await;
    daemon.stop().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &["acme".to_owned(), "beta".to_owned()]);
}

pub async fn a_server_that_does_not_answer_is_given_up() {
    // Accepts connections and says nothing, as a machine that hangs does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let first = Cluster::start("", TRUST);
    let mut site = site_at(url_of(&[port], "?connect_timeout=2")).await;
    site.tenant("acme");
    let begun = Instant::now();
    let ran = site.run(&["plan"]).await;
    assert!(ran.code == 1 && ran.stderr.contains("no answer within 2 s"), "{ran:#?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // The next one is asked.
    site.database_url = url_of(&[port, first.port], "?connect_timeout=2");
    site.configure("");
    site.apply().await;
    drop(silent);
}
