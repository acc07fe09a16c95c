//! What is said when something is wrong: where, as whom, and what to write.

use std::time::Duration;

use crate::common::harness::Backend;
use crate::servers::{Cluster, TRUST, client, free_port};
use crate::site::Site;

const SECRET: &str = "hunter2-of-the-database";

pub async fn an_error_names_host_port_user_and_database_and_never_the_password() {
    let cluster = Cluster::start("", "host all all all scram-sha-256\n");
    cluster.sql(&format!("ALTER ROLE keeper PASSWORD '{SECRET}'"));
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    std::fs::write(site.path("good"), SECRET).unwrap();
    std::fs::write(site.path("bad"), format!("{SECRET}-wrong")).unwrap();
    site.tenant("acme");
    let nobody = free_port();
    let place = |port: u16| {
        format!("error: cannot open the database postgres://keeper@127.0.0.1:{port}/crystalqore: ")
    };
    for (port, more, part) in [
        (cluster.port, "", "the server asks for a password. Set `database_password: {credential: database}`"),
        (
            cluster.port,
            "database_password: { file: bad }\n",
            "the server rejected the user name or password. Check `database_url` and `database_password`",
        ),
        (nobody, "database_password: { file: good }\n", "Connection refused"),
    ] {
        site.database_url = format!("postgres://keeper@127.0.0.1:{port}/crystalqore");
        site.configure(more);
        for command in [&["status"][..], &["plan"]] {
            let ran = site.run(command).await;
            let line = place(port) + part;
            assert!(ran.code == 1 && ran.stderr.contains(&line), "{line}\n{ran:#?}");
            assert!(!ran.stderr.contains(SECRET) && !ran.stdout.contains(SECRET), "{ran:#?}");
        }
    }
    site.database_url = format!("postgres://keeper@127.0.0.1:{}/nowhere", cluster.port);
    site.configure("database_password: { file: good }\n");
    let ran = site.run(&["status"]).await;
    assert!(ran.stderr.contains("/nowhere: database \"nowhere\" does not exist"), "{ran:#?}");
    site.database_url = cluster.url("");
    site.configure("database_password: { file: good }\n");
    site.apply().await;
}

pub async fn an_empty_database_is_reported() {
    let cluster = Cluster::start("", TRUST);
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    site.database_url = cluster.url("");
    site.configure("");
    site.tenant("acme");
    let note = format!(
        "note: the database postgres://keeper@127.0.0.1:{}/crystalqore is empty, so every tenant is new\n",
        cluster.port
    );
    for command in [&["plan"][..], &["status"]] {
        let ran = site.run(command).await;
        assert!(ran.stderr.contains(&note), "{ran:#?}");
    }
    site.apply().await;
    for command in [&["plan"][..], &["status"]] {
        let ran = site.run(command).await;
        assert!(!ran.stderr.contains("holds nothing"), "{ran:#?}");
    }
}

pub async fn a_lock_that_another_session_holds_is_named() {
    let cluster = Cluster::start("", TRUST);
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    site.database_url = cluster.url("");
    site.configure("");
    site.tenant("acme");
    site.apply().await;
    let other = client(&cluster.socket("crystalqore")).await;
    other.batch_execute("BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let ran = tokio::time::timeout(Duration::from_secs(60), site.run(&["status"])).await.unwrap();
    assert_eq!(ran.code, 1, "{ran:#?}");
    let line = format!("127.0.0.1:{}: another session holds a lock", cluster.port);
    assert!(ran.stderr.contains(&line), "{ran:#?}");
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(site.run(&["status"]).await.code, 0);
}
