//! The schema's versions, embedded in the program.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::AnyConnection;
use super::{StoreError, in_transaction};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Where a database stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// No migration was ever run.
    Empty,
    UpToDate,
    /// Migrations are pending.
    Old,
}

/// Names of the embedded migrations of each database, for the parity test.
pub fn migration_names() -> Result<(BTreeSet<String>, BTreeSet<String>), Boxed> {
    let sqlite = MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE)?;
    let postgres = MigrationSource::<diesel::pg::Pg>::migrations(&POSTGRES)?;
    Ok((
        sqlite.iter().map(|migration| migration.name().to_string()).collect(),
        postgres.iter().map(|migration| migration.name().to_string()).collect(),
    ))
}

/// Compares the database with the program; refuses one that is newer.
pub(crate) fn schema(conn: &mut AnyConnection) -> Result<Schema, StoreError> {
    if !has_migrations_table(conn)? {
        return Ok(Schema::Empty);
    }
    let migrate = |source: Boxed| StoreError::Migrate { source };
    let applied = applied(conn)?;
    let known: BTreeSet<String> = match conn {
        AnyConnection::Sqlite(_) => MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE)
            .map_err(migrate)?
            .iter()
            .map(|m| m.name().version().to_string())
            .collect(),
        AnyConnection::Postgres(_) => MigrationSource::<diesel::pg::Pg>::migrations(&POSTGRES)
            .map_err(migrate)?
            .iter()
            .map(|m| m.name().version().to_string())
            .collect(),
    };
    if let Some(version) = applied.difference(&known).last() {
        return Err(StoreError::TooNew { version: version.clone() });
    }
    Ok(if applied.is_empty() {
        Schema::Empty
    } else if applied == known {
        Schema::UpToDate
    } else {
        Schema::Old
    })
}

/// The versions that were run. Diesel's own question would make their table, which a reader may not.
fn applied(conn: &mut AnyConnection) -> Result<BTreeSet<String>, StoreError> {
    use diesel::prelude::*;
    diesel::table! {
        __diesel_schema_migrations (version) {
            version -> Text,
        }
    }
    let versions: Vec<String> = __diesel_schema_migrations::table
        .select(__diesel_schema_migrations::version)
        .load(conn)
        .map_err(StoreError::query("read the schema's version"))?;
    Ok(versions.into_iter().collect())
}

/// Whether migrations were ever run. On PostgreSQL tables of tenantd's in another schema are not passed over: a
/// connection that looks beside them would take every tenant for new.
fn has_migrations_table(conn: &mut AnyConnection) -> Result<bool, StoreError> {
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    let query = StoreError::query("read the schema's version");
    match conn {
        AnyConnection::Sqlite(conn) => {
            let count: Count = diesel::sql_query(
                "SELECT count(*) AS n FROM sqlite_master WHERE name = '__diesel_schema_migrations'",
            )
            .get_result(conn)
            .map_err(query)?;
            Ok(count.n > 0)
        }
        AnyConnection::Postgres(conn) => {
            let found: Schemas = diesel::sql_query(SCHEMAS).get_result(conn).map_err(query)?;
            let Schemas { current: Some(current), path, ours } = found else {
                return Err(StoreError::NoSchema { path: found.path });
            };
            match ours {
                Some(ours) if ours != current => Err(StoreError::Elsewhere { schema: ours, current }),
                Some(_) => {
                    conn.keep_search_path(&path);
                    Ok(true)
                }
                None => Ok(false),
            }
        }
    }
}

#[derive(diesel::QueryableByName)]
struct Schemas {
    /// Where new tables would be made; none where the search path names no schema that there is.
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    current: Option<String>,
    #[diesel(sql_type = diesel::sql_types::Text)]
    path: String,
    /// Where tenantd's tables are.
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    ours: Option<String>,
}

const SCHEMAS: &str = "\
    SELECT current_schema()::text AS current, current_setting('search_path') AS path, (\
        SELECT n.nspname::text FROM pg_catalog.pg_class m JOIN pg_catalog.pg_namespace n ON n.oid = m.relnamespace \
        WHERE m.relname = '__diesel_schema_migrations' AND (n.nspname = current_schema() OR EXISTS (\
            SELECT 1 FROM pg_catalog.pg_class l WHERE l.relnamespace = n.oid AND l.relname = 'writer_lease')) \
        ORDER BY n.nspname <> current_schema() LIMIT 1\
    ) AS ours";

/// Brings the schema up to date. A migration that fails leaves nothing behind.
///
/// An SQLite database that already holds something is copied beside itself first.
pub(crate) fn migrate(
    conn: &mut AnyConnection,
    sqlite_path: Option<&std::path::Path>,
) -> Result<(), StoreError> {
    if schema(conn)? == Schema::UpToDate {
        return Ok(());
    }
    // Two that start at once migrate one after the other; the second finds nothing to do.
    let _lock = sqlite_path.map(lock).transpose()?;
    let before = schema(conn)?;
    if before == Schema::UpToDate {
        return Ok(());
    }
    match conn {
        AnyConnection::Sqlite(conn) => {
            if let (Schema::Old, Some(path)) = (before, sqlite_path) {
                let copy = path.with_extension("db.before-migration");
                let _ = std::fs::remove_file(&copy);
                let text = copy.display().to_string().replace('\'', "''");
                conn.batch_execute(&format!("VACUUM INTO '{text}'"))
                    .map_err(|source| StoreError::Backup { path: copy, source })?;
            }
            conn.run_pending_migrations(SQLITE).map_err(|source| StoreError::Migrate { source })?;
        }
        AnyConnection::Postgres(_) => {
            in_transaction(conn, migrate_postgres)?;
            // Finds its schema again, and keeps to it.
            schema(conn)?;
        }
    }
    Ok(())
}

/// All pending migrations in one transaction, which holds the lock: a lock of the session would stay with a pooler's
/// connection.
fn migrate_postgres(conn: &mut AnyConnection) -> Result<(), StoreError> {
    let query = StoreError::query;
    conn.take_time().map_err(query("begin a migration"))?;
    conn.batch_execute(
        "SET LOCAL lock_timeout = '60s'; SELECT pg_advisory_xact_lock(7305146); SET LOCAL lock_timeout = '10s'",
    )
    .map_err(query("wait for the migration of another process"))?;
    if schema(conn)? == Schema::UpToDate {
        return Ok(());
    }
    let AnyConnection::Postgres(conn) = conn else { return Ok(()) };
    conn.run_pending_migrations(POSTGRES).map(drop).map_err(|source| StoreError::Migrate { source })
}

/// Waits for another one's migration of an SQLite database. The lock is given back with the file.
fn lock(database: &std::path::Path) -> Result<std::fs::File, StoreError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".migration");
    let locked = super::file_permissions::open(std::path::Path::new(&path));
    locked.and_then(|file| file.lock().map(|()| file)).map_err(|source| StoreError::Open {
        place: format!("lock {}", path.display()),
        source: source.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_migrations_of_the_same_names() {
        let (sqlite, postgres) = migration_names().unwrap();
        assert!(sqlite.len() > 5, "{sqlite:?}");
        assert_eq!(sqlite, postgres);
    }
}
