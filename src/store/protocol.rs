//! PostgreSQL's protocol below Diesel's traits, in the one form that a pooler lets through.
//!
//! Every statement is unnamed: parsed, bound and executed in one message, so that nothing of it stays on a server
//! connection that another client gets next. (The ready-made driver names its statements, and sets the time zone of
//! the session.) Every answer has a deadline: a server that hangs does not hang tenantd.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::{
    AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, Instrumentation, LoadConnection,
    SimpleConnection,
};
use diesel::expression::QueryMetadata;
use diesel::pg::{Pg, PgQueryBuilder, PgValue};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{Query, QueryBuilder as _, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use diesel::row::{Field, PartialRow, RowIndex, RowSealed};
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use futures_util::TryStreamExt as _;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut};
use tokio_postgres::{Client, Row};

use super::built_in_types::BuiltInTypes;

/// A connection to one server, without a notion of what a transaction of tenantd needs.
pub(super) struct Wire {
    client: Option<Client>,
    runtime: tokio::runtime::Handle,
    transactions: AnsiTransactionManager,
    instrumentation: Box<dyn Instrumentation>,
    /// Why the connection ended, from the task that drives it.
    ended: Arc<Mutex<Option<String>>>,
    place: Named,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

/// How errors name what the connection is to.
pub(super) struct Named {
    pub(super) server: String,
    pub(super) user: Option<String>,
    pub(super) database: String,
}

impl Named {
    /// What gives a role the tables.
    fn ownership(&self) -> String {
        let user = self.user.as_deref().unwrap_or("TENANTD");
        format!(
            "tenantd's role must own its tables. An administrator runs: ALTER DATABASE {} OWNER TO {user}, and, if \
             another role created the tables, REASSIGN OWNED BY that role TO {user}",
            self.database
        )
    }
}

impl Wire {
    pub(super) fn new(
        client: Client,
        ended: Arc<Mutex<Option<String>>>,
        place: Named,
        patience: Duration,
    ) -> Result<Self, tokio::runtime::TryCurrentError> {
        Ok(Self {
            client: Some(client),
            runtime: tokio::runtime::Handle::try_current()?,
            transactions: AnsiTransactionManager::default(),
            instrumentation: Box::new(Silent),
            ended,
            place,
            patience,
        })
    }

    /// Waits for an answer. Once one was late, nothing is known of the connection and it is given up.
    fn wait<T>(
        &mut self,
        ask: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> QueryResult<T> {
        let lost = |what: String| Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(what));
        let Some(client) = &self.client else {
            return Err(lost(format!("the connection to {} was abandoned", self.place.server)));
        };
        let patience = self.patience;
        let answer = self.runtime.block_on(async { tokio::time::timeout(patience, ask(client)).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.as_db_error().is_none() => {
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let why = ended.unwrap_or_else(|| crate::report::chain(&error));
                Err(lost(format!("the connection to {} is lost: {why}", self.place.server)))
            }
            Ok(Err(error)) => Err(refused(error, &self.place)),
            Err(_) => {
                self.client = None;
                Err(lost(format!("{} did not answer within {} s", self.place.server, patience.as_secs())))
            }
        }
    }
}

/// What the server refused, as Diesel's error.
fn refused(error: tokio_postgres::Error, place: &Named) -> Error {
    use DatabaseErrorKind as Kind;
    let server = &place.server;
    let Some(refusal) = error.as_db_error() else {
        return Error::DatabaseError(Kind::Unknown, Box::new(error.to_string()));
    };
    let kind = match *refusal.code() {
        SqlState::UNIQUE_VIOLATION => Kind::UniqueViolation,
        SqlState::FOREIGN_KEY_VIOLATION => Kind::ForeignKeyViolation,
        SqlState::RESTRICT_VIOLATION => Kind::RestrictViolation,
        SqlState::EXCLUSION_VIOLATION => Kind::ExclusionViolation,
        SqlState::T_R_SERIALIZATION_FAILURE => Kind::SerializationFailure,
        SqlState::READ_ONLY_SQL_TRANSACTION => Kind::ReadOnlyTransaction,
        SqlState::NOT_NULL_VIOLATION => Kind::NotNullViolation,
        SqlState::CHECK_VIOLATION => Kind::CheckViolation,
        _ => Kind::Unknown,
    };
    let message = match *refusal.code() {
        SqlState::READ_ONLY_SQL_TRANSACTION => Some(format!(
            "{server} is read-only (a stand-by server, or default_transaction_read_only): {}",
            refusal.message()
        )),
        SqlState::QUERY_CANCELED => Some(format!("{server} cancelled the statement: {}", refusal.message())),
        SqlState::LOCK_NOT_AVAILABLE => {
            Some(format!("{server}: another session holds a lock: {}", refusal.message()))
        }
        SqlState::INSUFFICIENT_PRIVILEGE => Some(format!("{}; {}", refusal.message(), place.ownership())),
        _ if refusal.message().contains("transaction blocks not allowed in statement pooling mode") => {
            Some(STATEMENT_POOLING.to_owned())
        }
        _ => None,
    };
    Error::DatabaseError(kind, Box::new(Refusal { refusal: refusal.clone(), message }))
}

/// What PgBouncer's `pool_mode = statement` means for tenantd.
const STATEMENT_POOLING: &str = "the pooler allows no transactions (`pool_mode = statement`), and tenantd needs \
                                 them. Set `pool_mode = transaction` or `session`";

struct Refusal {
    refusal: DbError,
    /// Instead of the server's own message.
    message: Option<String>,
}

impl DatabaseErrorInformation for Refusal {
    fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.refusal.message())
    }

    fn details(&self) -> Option<&str> {
        self.refusal.detail()
    }

    fn hint(&self) -> Option<&str> {
        self.refusal.hint()
    }

    fn table_name(&self) -> Option<&str> {
        self.refusal.table()
    }

    fn column_name(&self) -> Option<&str> {
        self.refusal.column()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.refusal.constraint()
    }

    fn statement_position(&self) -> Option<i32> {
        None
    }
}

/// Statements hold people's data; nothing watches them.
struct Silent;

impl Instrumentation for Silent {
    fn on_connection_event(&mut self, _event: diesel::connection::InstrumentationEvent<'_>) {}
}

impl SimpleConnection for Wire {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.wait(async |client| client.batch_execute(query).await)
    }
}

impl ConnectionSealed for Wire {}

impl Connection for Wire {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(_url: &str) -> ConnectionResult<Self> {
        Err(ConnectionError::BadConnection("opened from the configuration only".to_owned()))
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let (sql, binds) = statement(source)?;
        let count = self.wait(async |client| {
            let binds: Vec<_> =
                binds.iter().map(|(bind, kind)| (bind as &(dyn ToSql + Sync), kind.clone())).collect();
            client.execute_typed(&sql, &binds).await
        })?;
        usize::try_from(count).map_err(|error| Error::DeserializationError(Box::new(error)))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut *self.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = Box::new(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, _size: CacheSize) {}
}

impl LoadConnection for Wire {
    type Cursor<'conn, 'query> = std::vec::IntoIter<QueryResult<PgRow>>;
    type Row<'conn, 'query> = PgRow;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let (sql, binds) = statement(&source)?;
        let rows: Vec<Row> =
            self.wait(async |client| client.query_typed_raw(&sql, binds).await?.try_collect().await)?;
        let rows: Vec<_> = rows.into_iter().map(PgRow::new).collect();
        Ok(rows.into_iter())
    }
}

/// A statement's text, and its values with their types.
fn statement<T: QueryFragment<Pg>>(source: &T) -> QueryResult<(String, Vec<(Bind, Type)>)> {
    let mut builder = PgQueryBuilder::default();
    source.to_sql(&mut builder, &Pg)?;
    let mut collected = RawBytesBindCollector::<Pg>::new();
    source.collect_binds(&mut collected, &mut BuiltInTypes, &Pg)?;
    let binds = collected
        .binds
        .into_iter()
        .zip(collected.metadata)
        .map(|(bytes, metadata)| {
            let number = metadata.oid().map_err(|error| Error::SerializationError(Box::new(error)))?;
            let kind = Type::from_oid(number).ok_or_else(|| {
                Error::SerializationError(format!("the type {number} is none of PostgreSQL's own").into())
            })?;
            Ok((Bind(bytes), kind))
        })
        .collect::<QueryResult<_>>()?;
    Ok((builder.finish(), binds))
}

/// A value in PostgreSQL's binary form.
#[derive(Debug)]
struct Bind(Option<Vec<u8>>);

impl ToSql for Bind {
    fn to_sql(
        &self,
        _kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(kind, out)
    }
}

/// A row of an answer.
pub(crate) struct PgRow {
    row: Row,
    types: Vec<NonZeroU32>,
}

impl PgRow {
    fn new(row: Row) -> QueryResult<Self> {
        let untyped = || Error::DeserializationError("a column without a type".into());
        let types = row.columns().iter().map(|column| NonZeroU32::new(column.type_().oid()));
        let types = types.collect::<Option<Vec<_>>>().ok_or_else(untyped)?;
        Ok(Self { row, types })
    }
}

impl RowSealed for PgRow {}

impl<'a> diesel::row::Row<'a, Pg> for PgRow {
    type Field<'f>
        = PgField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.row.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        let Raw(bytes) = self.row.try_get(index).ok()?;
        let value = bytes.map(|bytes| PgValue::new(bytes, &self.types[index]));
        Some(PgField { name: self.row.columns()[index].name(), value })
    }

    fn partial_row(&self, range: std::ops::Range<usize>) -> PartialRow<'_, Self::InnerPartialRow> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for PgRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.row.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for PgRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.row.columns().iter().position(|column| column.name() == name)
    }
}

pub(crate) struct PgField<'a> {
    name: &'a str,
    value: Option<PgValue<'a>>,
}

impl<'a> Field<'a, Pg> for PgField<'a> {
    fn field_name(&self) -> Option<&str> {
        Some(self.name)
    }

    fn value(&self) -> Option<PgValue<'_>> {
        self.value
    }
}

/// The bytes of a column as they came.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_kind: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_postgres::NoTls;

    use super::*;

    /// Lets anybody in, and answers nothing after that.
    async fn server_that_hangs() -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            // AuthenticationOk, ReadyForQuery.
            stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
            while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {}
        });
        port
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_hangs_is_given_up_and_named() {
        let port = server_that_hangs().await;
        let address = format!("host=127.0.0.1 port={port} user=u sslmode=disable");
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
        tokio::spawn(connection);
        let message = tokio::task::spawn_blocking(move || {
            let place = Named { server: "db:5432".to_owned(), user: None, database: "x".to_owned() };
            let patience = Duration::from_secs(1);
            let mut wire = Wire::new(client, Arc::default(), place, patience).unwrap();
            [0, 1].map(|_| wire.batch_execute("SELECT 1").unwrap_err().to_string())
        });
        assert_eq!(
            message.await.unwrap(),
            ["db:5432 did not answer within 1 s", "the connection to db:5432 was abandoned"]
        );
    }
}
