//! `tenantd isolation check` finds nothing in a fresh database, and notices everything that is taken away.

mod common;

use common::sql_client::{SqlClient, fresh, open};
use tenantd::isolation::{self, IsolationReport};
use tenantd::store::{Access, Database};

const TABLES: [&str; 11] = [
    "call_records",
    "chat_conversations",
    "chat_messages",
    "chat_participants",
    "contacts",
    "files",
    "presence",
    "sms_messages",
    "sms_numbers",
    "user_sessions",
    "users",
];

async fn check_after(database: &Database, change: Vec<String>) -> Result<IsolationReport, String> {
    database.read(move |store| isolation::check_after(store, &change).map(Some)).await.unwrap().unwrap()
}

async fn must_be_noticed(database: &Database, changes: Vec<Vec<String>>) {
    let mut missed = Vec::new();
    for change in changes {
        match check_after(database, change.clone()).await {
            Ok(report) if report.passed() => missed.push(format!("{change:?}")),
            Ok(_) => {}
            Err(refusal) => missed.push(format!("not possible: {refusal}")),
        }
    }
    assert!(missed.is_empty(), "not noticed:\n{}", missed.join("\n"));
}

async fn fresh_database_passes(postgres: bool) {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(postgres, dir.path()) else { return };
    drop(open(&config, Access::ReadWrite).await);
    let database = open(&config, Access::ReadOnly).await;
    let report = isolation::check(&database).await.unwrap();
    assert_eq!(report.findings, []);
    let mut tables = report.tables.clone();
    tables.sort();
    assert_eq!(tables, TABLES);
    assert!(report.attempts >= if postgres { 120 } else { 25 }, "{}", report.attempts);
    let mut db = SqlClient::connect(&config).await;
    assert_eq!(db.number("SELECT count(*) FROM tenants").await, 0, "nothing remains of the check");
    assert_eq!(db.number("SELECT count(*) FROM users").await, 0);
    let refused = database.write(|store| store.put_fact("a", "b", chrono::Utc::now())).await;
    assert!(refused.is_err(), "a read-only database is read-only again after the check");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_database_passes_on_sqlite() {
    fresh_database_passes(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_database_passes_on_postgres() {
    fresh_database_passes(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_removed_policy_key_and_trigger_is_noticed_on_postgres() {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(true, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let mut db = SqlClient::connect(&config).await;
    let tables = TABLES.map(|table| format!("'{table}'")).join(", ");
    let mut changes = Vec::new();
    for query in [
        format!("SELECT format('DROP POLICY %I ON %I', policyname, tablename) FROM pg_policies WHERE tablename IN ({tables})"),
        format!("SELECT format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', relname) FROM pg_class WHERE relkind = 'r' AND relname IN ({tables})"),
        format!("SELECT format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', relname) FROM pg_class WHERE relkind = 'r' AND relname IN ({tables})"),
        format!(
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname) FROM pg_constraint \
             WHERE conrelid::regclass::text IN ({tables}) AND (contype IN ('p', 'f', 'u') OR conname = 'files_in_own_folder')"
        ),
        format!(
            "SELECT format('DROP INDEX %I', c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE i.indrelid::regclass::text IN ({tables}) AND i.indisunique \
             AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = c.oid)"
        ),
        "SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal".to_owned(),
        "SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname) FROM pg_trigger WHERE NOT tgisinternal".to_owned(),
    ] {
        let found = db.texts(&query).await;
        assert!(found.len() >= 2, "{query}");
        changes.extend(found.into_iter().map(|statement| vec![statement]));
    }
    assert!(changes.len() > 110, "{}", changes.len());
    must_be_noticed(&database, changes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_around_the_policies_is_noticed_on_postgres() {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(true, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let changes = [
        "GRANT SELECT ON users TO PUBLIC",
        "GRANT SELECT ON tenants TO crystalqore_service",
        "GRANT SELECT (name) ON tenants TO crystalqore_service",
        "GRANT TRUNCATE ON users TO crystalqore_service",
        "REVOKE INSERT ON users FROM crystalqore_service",
        "CREATE POLICY all_of_it ON users TO crystalqore_service USING (true)",
        "CREATE POLICY all_of_it ON users FOR SELECT TO PUBLIC USING (true)",
        "ALTER POLICY tenant ON users USING (tenant_id = current_setting('crystalqore.tenant'))",
        "ALTER POLICY shared ON contacts USING (tenant_id IN (SELECT crystalqore_shared('contacts')))",
        "CREATE TABLE faxes (id text PRIMARY KEY)",
        "CREATE TABLE faxes (tenant_id text NOT NULL REFERENCES tenants (id), id text, PRIMARY KEY (tenant_id, id))",
        "ALTER FUNCTION crystalqore_tenant() RESET search_path",
        "CREATE OR REPLACE FUNCTION crystalqore_tenant() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS \
         'SELECT current_setting(''crystalqore.tenant'', true)'",
        "ALTER ROLE crystalqore_service LOGIN",
        // Faults that only attempts show.
        "CREATE OR REPLACE FUNCTION crystalqore_tenant() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER \
         SET search_path = pg_catalog, public, pg_temp AS 'SELECT current_setting(''crystalqore.tenant'', true)'",
        "CREATE OR REPLACE FUNCTION session_rules() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
         SET search_path = pg_catalog, public, pg_temp AS 'BEGIN RETURN NEW; END'",
        "CREATE OR REPLACE FUNCTION tenant_disabled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
         SET search_path = pg_catalog, public, pg_temp AS 'BEGIN RETURN NULL; END'",
    ];
    must_be_noticed(&database, changes.iter().map(|change| vec![(*change).to_owned()]).collect()).await;
    let view =
        ["CREATE VIEW everybody AS SELECT * FROM users", "GRANT SELECT ON everybody TO crystalqore_service"];
    must_be_noticed(&database, vec![view.map(str::to_owned).to_vec()]).await;
    let fine = [
        "CREATE TABLE faxes (tenant_id text NOT NULL REFERENCES tenants (id), id text COLLATE \"C\", user_id text NOT \
         NULL, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id))",
        "SELECT crystalqore_protect('faxes')",
    ];
    let report = check_after(&database, fine.map(str::to_owned).to_vec()).await.unwrap();
    assert_eq!(report.findings, [], "a service's own table under `crystalqore_protect` passes");
    assert!(report.tables.contains(&"faxes".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_removed_key_and_trigger_is_noticed_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let config = fresh(false, dir.path()).unwrap();
    let database = open(&config, Access::ReadWrite).await;
    let mut db = SqlClient::connect(&config).await;
    let mut changes: Vec<Vec<String>> = Vec::new();
    for trigger in db.texts("SELECT name FROM sqlite_master WHERE type = 'trigger'").await {
        changes.push(vec![format!("DROP TRIGGER {trigger}")]);
    }
    for table in TABLES {
        let around = db
            .texts(&format!(
                "SELECT sql FROM sqlite_master WHERE tbl_name = '{table}' AND type IN ('index', 'trigger') AND sql IS NOT NULL"
            ))
            .await;
        for index in around.iter().filter(|sql| sql.starts_with("CREATE UNIQUE")) {
            changes.push(vec![format!("DROP INDEX {}", index.split_whitespace().nth(3).unwrap())]);
        }
        let sql = db.texts(&format!("SELECT sql FROM sqlite_master WHERE name = '{table}'")).await.remove(0);
        // Create the table again without one of its keys.
        let lines: Vec<&str> = sql.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let mut kept = lines.clone();
            let less = line.replace(" REFERENCES tenants (id)", "").replace(" UNIQUE,", ",");
            let trimmed = line.trim();
            if ["FOREIGN KEY", "PRIMARY KEY", "UNIQUE"].iter().any(|key| trimmed.starts_with(key)) {
                kept.remove(at);
            } else if trimmed.starts_with("CONSTRAINT files") {
                kept.drain(at..at + 2);
            } else if less != *line {
                kept[at] = &less;
            } else {
                continue;
            }
            let body = kept[..kept.len() - 1].join("\n");
            let mut change =
                vec![format!("DROP TABLE {table}"), format!("{}\n)", body.trim_end().trim_end_matches(','))];
            change.extend(around.iter().cloned());
            changes.push(change);
        }
    }
    assert!(changes.len() > 55, "{}", changes.len());
    must_be_noticed(&database, changes).await;
}
