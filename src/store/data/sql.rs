//! Statements whose tables are only known at run time: their answers are lines of text, mostly JSON.

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use crate::store::StoreError;
use crate::store::connection::AnyConnection;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}

/// Runs the same expression on either connection.
macro_rules! each {
    ($conn:expr, $inner:ident => $body:expr) => {
        match $conn {
            $crate::store::connection::AnyConnection::Sqlite($inner) => $body,
            $crate::store::connection::AnyConnection::Postgres($inner) => $body,
        }
    };
}
pub(super) use each;

pub(super) fn is_postgres(conn: &AnyConnection) -> bool {
    matches!(conn, AnyConnection::Postgres(_))
}

/// The column `line` of a query. Parameters are `$1`, `$2`, … in this order.
pub(super) fn lines(conn: &mut AnyConnection, sql: &str, binds: &[&str]) -> QueryResult<Vec<Option<String>>> {
    let lines: Vec<Line> = match conn {
        AnyConnection::Sqlite(conn) => {
            let mut query = diesel::sql_query(sql).into_boxed::<diesel::sqlite::Sqlite>();
            for bind in binds {
                query = query.bind::<Text, _>((*bind).to_owned());
            }
            query.load(conn)?
        }
        AnyConnection::Postgres(conn) => {
            let mut query = diesel::sql_query(sql).into_boxed::<diesel::pg::Pg>();
            for bind in binds {
                query = query.bind::<Text, _>((*bind).to_owned());
            }
            query.load(conn)?
        }
    };
    Ok(lines.into_iter().map(|line| line.line).collect())
}

/// Runs a statement; tells how many rows it touched.
pub(super) fn execute(conn: &mut AnyConnection, sql: &str, binds: &[&str]) -> QueryResult<usize> {
    match conn {
        AnyConnection::Sqlite(conn) => {
            let mut query = diesel::sql_query(sql).into_boxed::<diesel::sqlite::Sqlite>();
            for bind in binds {
                query = query.bind::<Text, _>((*bind).to_owned());
            }
            query.execute(conn)
        }
        AnyConnection::Postgres(conn) => {
            let mut query = diesel::sql_query(sql).into_boxed::<diesel::pg::Pg>();
            for bind in binds {
                query = query.bind::<Text, _>((*bind).to_owned());
            }
            query.execute(conn)
        }
    }
}

/// Within a transaction that has read nothing yet: what it reads is one state of the database.
pub(super) fn one_snapshot(conn: &mut AnyConnection) -> Result<(), StoreError> {
    match conn {
        // One writer at a time, and a reader keeps the state that it began with.
        AnyConnection::Sqlite(_) => Ok(()),
        AnyConnection::Postgres(_) => execute(conn, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", &[])
            .map(drop)
            .map_err(StoreError::query("begin a consistent reading")),
    }
}

/// A name as an identifier.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
