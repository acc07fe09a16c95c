//! A role that may do little, and what the database cannot prevent.

use crate::common::harness::Backend;
use crate::servers::{Cluster, TRUST, client, text};
use crate::site::Site;

async fn site_at(cluster: &Cluster, user: &str, parameters: &str) -> Site {
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    site.database_url = format!("postgres://{user}@127.0.0.1:{}/crystalqore{parameters}", cluster.port);
    site.configure("");
    site
}

/// What README names as the least: a login that owns one schema, and is a member of the services' role.
pub async fn a_role_that_owns_one_schema_is_enough() {
    let cluster = Cluster::start("", TRUST);
    for statement in [
        "CREATE ROLE little LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS",
        "CREATE ROLE crystalqore_service NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB",
        "GRANT crystalqore_service TO little",
        "ALTER ROLE little IN DATABASE crystalqore SET search_path = tenantd",
    ] {
        cluster.sql(statement);
    }
    cluster.sql_inside("CREATE SCHEMA tenantd AUTHORIZATION little; REVOKE ALL ON SCHEMA public FROM PUBLIC");
    let site = site_at(&cluster, "little", "").await;
    site.tenant("acme");
    site.apply().await;
    for command in [&["status"][..], &["plan"], &["isolation", "check"], &["stats"]] {
        let ran = site.run(command).await;
        assert_eq!(ran.code, 0, "{command:?}: {ran:#?}");
    }
    site.comes_to_rest().await;
    let inside = client(&cluster.socket("crystalqore")).await;
    assert_eq!(text(&inside, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, "0");
    assert_eq!(text(&inside, "SELECT count(*) FROM tenantd.tenants").await, "1");
}

pub async fn tables_in_another_schema_are_not_taken_for_none() {
    let cluster = Cluster::start("", TRUST);
    let site = site_at(&cluster, "keeper", "").await;
    site.tenant("acme");
    site.apply().await;
    let before = site.mutations();
    cluster.sql_inside("CREATE SCHEMA foo AUTHORIZATION keeper");
    for (path, part) in [
        ("foo", "tenantd's tables are in the schema `public`, but this connection uses `foo`"),
        // They would be found, and new ones made elsewhere.
        ("foo,public", "tenantd's tables are in the schema `public`, but this connection uses `foo`"),
        ("bar", "the search path of this connection (`bar`) names no existing schema"),
    ] {
        let site = Site {
            database_url: format!("{}?options=-c%20search_path%3D{path}", cluster.url("")),
            ..site_at(&cluster, "keeper", "").await
        };
        site.configure("");
        site.tenant("acme");
        for command in [&["status"][..], &["plan"], &["apply"]] {
            let ran = site.run(command).await;
            assert!(ran.code == 1 && ran.stderr.contains(part), "{path}, {command:?}: {ran:#?}");
        }
        assert_eq!(site.mutations(), 0);
    }
    let inside = client(&cluster.socket("crystalqore")).await;
    assert_eq!(text(&inside, "SELECT count(*) FROM pg_tables WHERE schemaname = 'foo'").await, "0");
    site.comes_to_rest().await;
    assert_eq!(site.mutations(), before);
}

pub async fn a_role_without_the_right_to_create_tables_gets_the_missing_statement() {
    let cluster = Cluster::start("", TRUST);
    cluster.sql("CREATE ROLE guest LOGIN");
    let site = site_at(&cluster, "guest", "").await;
    site.tenant("acme");
    let ran = site.run(&["apply"]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    for part in ["permission denied for schema public", "ALTER DATABASE crystalqore OWNER TO guest"] {
        assert!(ran.stderr.contains(part), "{part}: {ran:#?}");
    }
    // Tables of another role: reading and writing are refused, with the statement that repairs it.
    let owner = site_at(&cluster, "keeper", "").await;
    owner.tenant("acme");
    owner.apply().await;
    let ran = site.run(&["status"]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    for part in ["permission denied for table", "REASSIGN OWNED BY that role TO guest"] {
        assert!(ran.stderr.contains(part), "{part}: {ran:#?}");
    }
}

pub async fn a_limitation_of_the_database_is_noted_with_the_statement_that_reduces_it() {
    let cluster = Cluster::start("", TRUST);
    let site = site_at(&cluster, "keeper", "").await;
    site.tenant("acme");
    site.apply().await;
    cluster.sql("CREATE ROLE chat_service LOGIN IN ROLE crystalqore_service");
    // Nothing limits the logins of others: an administrator's work may take as long as it takes.
    let service = client(&format!("postgres://chat_service@127.0.0.1:{}/crystalqore", cluster.port)).await;
    for (name, value) in
        [("lock_timeout", "0"), ("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")]
    {
        assert_eq!(text(&service, &format!("SHOW {name}")).await, value);
    }
    // What it cannot: the notes are true.
    service.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; ROLLBACK").await.unwrap();
    service.batch_execute("BEGIN; SELECT lo_create(0); ROLLBACK").await.unwrap();
    let ran = site.run(&["isolation", "check"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("nothing leaks"), "notes are no findings: {ran:#?}");
    assert!(
        ran.stdout.contains("note  PostgreSQL cannot prevent a service from locking a table"),
        "{ran:#?}"
    );
    assert!(ran.stdout.contains("the login chat_service has no lock_timeout"), "{ran:#?}");
    let revoke =
        "REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC";
    assert!(ran.stdout.contains(revoke), "{ran:#?}");
    // Each statement, taken from the note, does away with its note.
    cluster.sql_inside(revoke);
    assert!(service.batch_execute("BEGIN; SELECT lo_create(0)").await.is_err());
    let ran = site.run(&["isolation", "check"]).await;
    assert!(!ran.stdout.contains("large objects"), "{ran:#?}");
    let note =
        ran.stdout.lines().find(|line| line.contains("the login chat_service has no lock_timeout")).unwrap();
    let (_, statements) = note.split_once(": ").unwrap();
    for statement in statements.split("; ") {
        cluster.sql(statement);
    }
    let ran = site.run(&["isolation", "check", "-o", "json"]).await;
    assert!(ran.code == 0 && !ran.stdout.contains("chat_service"), "{ran:#?}");
}

pub async fn limits_of_an_earlier_version_are_taken_from_the_database_and_an_administrators_stay() {
    let cluster = Cluster::start("", TRUST);
    let site = site_at(&cluster, "keeper", "").await;
    site.tenant("acme");
    site.apply().await;
    // As the version before left it, except for one that an administrator changed.
    for setting in
        ["lock_timeout = '10s'", "statement_timeout = '20min'", "idle_in_transaction_session_timeout = '60s'"]
    {
        cluster.sql(&format!("ALTER DATABASE crystalqore SET {setting}"));
    }
    cluster.sql_inside("DELETE FROM __diesel_schema_migrations WHERE version = '20261127009000'");
    site.apply().await;
    let other = client(&cluster.socket("crystalqore")).await;
    for (name, value) in
        [("lock_timeout", "0"), ("statement_timeout", "20min"), ("idle_in_transaction_session_timeout", "0")]
    {
        assert_eq!(text(&other, &format!("SHOW {name}")).await, value, "{name}");
    }
    site.comes_to_rest().await;
}
