//! A PostgreSQL connection that leaves nothing behind, as one of the connections that `MultiConnection` can hold.
//!
//! Whatever is run, is run in a transaction that begins with its settings: time zone, timeouts, schema, and whether it
//! may write. Nothing is set for the session, because behind a transaction pooler the session belongs to others.
//!
//! Diesel's derive asks each connection to turn its type lookup into `Any` and back. tenantd's tables use built-in
//! types only, whose numbers need no looking up: so the lookup handed through is an empty one.

use diesel::connection::{
    AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, Instrumentation, LoadConnection,
    MultiConnectionHelper, SimpleConnection, TransactionManager, TransactionManagerStatus,
};
use diesel::expression::QueryMetadata;
use diesel::migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection};
use diesel::pg::Pg;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::sql_types::TypeMetadata;
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use std::time::Duration;

use super::access::Access;
use super::built_in_types::BuiltInTypes;
use super::connect::PATIENCE;
use super::protocol::{PgRow, Wire};

/// What every transaction begins with, after `BEGIN`.
///
/// A transaction holds the lease's row. That of a process that was paused in it must not keep a stand-by waiting: hence
/// the short time that one may be idle.
const SETTINGS: &str = "SET LOCAL TIME ZONE 'UTC'; SET LOCAL datestyle = 'ISO'; \
    SET LOCAL standard_conforming_strings = on; SET LOCAL client_min_messages = warning; \
    SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = '8s';";

/// How long one statement of a migration, or of a tenant's deletion, may take.
const LONG: Duration = Duration::from_secs(30 * 60);

/// A PostgreSQL connection. To be used where blocking is allowed.
pub(crate) struct PgConnection {
    wire: Wire,
    access: Access,
    /// The schemas that tenantd's tables were found by, as `search_path` takes them.
    search_path: Option<String>,
}

impl PgConnection {
    pub(super) fn new(wire: Wire, access: Access) -> Self {
        Self { wire, access, search_path: None }
    }

    /// From now on the tables are looked for along this path, whatever another client of a pooler set.
    pub(super) fn keep_search_path(&mut self, path: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_$\", ".contains(c);
        self.search_path = Some(path.to_owned()).filter(|path| !path.is_empty() && path.chars().all(plain));
    }

    /// Within a transaction: what follows in it may take long.
    pub(super) fn take_time(&mut self) -> QueryResult<()> {
        self.wire.batch_execute(&format!("SET LOCAL statement_timeout = '{}s'", LONG.as_secs()))?;
        self.wire.patience = LONG + Duration::from_secs(10);
        Ok(())
    }

    fn begin(&self) -> String {
        let mode = match self.access {
            Access::ReadOnly => ", READ ONLY",
            // Not READ WRITE: who made the database read-only meant it.
            Access::ReadWrite => "",
        };
        let path = self.search_path.as_ref().map(|path| format!(" SET LOCAL search_path = {path};"));
        format!("BEGIN ISOLATION LEVEL READ COMMITTED{mode}; {SETTINGS}{}", path.unwrap_or_default())
    }

    fn is_in_transaction(&mut self) -> bool {
        // An error is the next statement's to report.
        !matches!(
            AnsiTransactionManager::transaction_manager_status_mut(&mut self.wire).transaction_depth(),
            Ok(None)
        )
    }

    /// Runs what stands alone in a transaction of its own.
    fn settled<T>(&mut self, work: impl FnOnce(&mut Wire) -> QueryResult<T>) -> QueryResult<T> {
        if self.is_in_transaction() {
            return work(&mut self.wire);
        }
        Transactions::begin_transaction(self)?;
        match work(&mut self.wire) {
            Ok(done) => Transactions::commit_transaction(self).map(|()| done),
            Err(error) => {
                // The error that counts is the first one.
                let _ = Transactions::rollback_transaction(self);
                Err(error)
            }
        }
    }
}

impl SimpleConnection for PgConnection {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.settled(|wire| wire.batch_execute(query))
    }
}

impl ConnectionSealed for PgConnection {}

impl Connection for PgConnection {
    type Backend = Pg;
    type TransactionManager = Transactions;

    fn establish(_url: &str) -> ConnectionResult<Self> {
        Err(ConnectionError::BadConnection("opened from the configuration only".to_owned()))
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        self.settled(|wire| wire.execute_returning_count(source))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.wire.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.wire.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.wire.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.wire.set_prepared_statement_cache_size(size);
    }
}

impl LoadConnection for PgConnection {
    type Cursor<'conn, 'query> = std::vec::IntoIter<QueryResult<PgRow>>;
    type Row<'conn, 'query> = PgRow;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        self.settled(|wire| wire.load(source))
    }
}

/// Begins the outermost transaction with its settings, and hands the rest to Diesel's own manager.
pub(crate) struct Transactions;

impl TransactionManager<PgConnection> for Transactions {
    type TransactionStateData = AnsiTransactionManager;

    fn begin_transaction(conn: &mut PgConnection) -> QueryResult<()> {
        if conn.is_in_transaction() {
            return AnsiTransactionManager::begin_transaction(&mut conn.wire);
        }
        conn.wire.patience = PATIENCE;
        let begin = conn.begin();
        AnsiTransactionManager::begin_transaction_sql(&mut conn.wire, &begin).inspect_err(|_| {
            // It may have begun, and failed in a setting.
            let _ = conn.wire.batch_execute("ROLLBACK");
        })
    }

    fn rollback_transaction(conn: &mut PgConnection) -> QueryResult<()> {
        AnsiTransactionManager::rollback_transaction(&mut conn.wire)
    }

    fn commit_transaction(conn: &mut PgConnection) -> QueryResult<()> {
        AnsiTransactionManager::commit_transaction(&mut conn.wire)
    }

    fn transaction_manager_status_mut(conn: &mut PgConnection) -> &mut TransactionManagerStatus {
        AnsiTransactionManager::transaction_manager_status_mut(&mut conn.wire)
    }

    fn is_broken_transaction_manager(conn: &mut PgConnection) -> bool {
        AnsiTransactionManager::is_broken_transaction_manager(&mut conn.wire)
    }
}

impl MigrationConnection for PgConnection {
    fn setup(&mut self) -> QueryResult<usize> {
        self.batch_execute(CREATE_MIGRATIONS_TABLE).map(|()| 0)
    }
}

type Lookup = <Pg as TypeMetadata>::MetadataLookup;

impl MultiConnectionHelper for PgConnection {
    fn to_any<'a>(_lookup: &mut Lookup) -> &mut (dyn std::any::Any + 'a) {
        // A type without size takes no memory, leaked or not.
        Box::leak(Box::new(BuiltInTypes))
    }

    fn from_any(lookup: &mut dyn std::any::Any) -> Option<&mut Lookup> {
        lookup.downcast_mut::<BuiltInTypes>().map(|lookup| lookup as &mut Lookup)
    }
}
