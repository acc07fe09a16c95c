//! One connection type for both databases.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use super::access::{Access, Boxed};
use super::connect::{self, Place};
use super::postgres::PgConnection;
use super::{StoreError, file_permissions};
use crate::config::DatabaseConfig;
use crate::model::Secret;

/// A connection to either database; every statement is written once.
#[expect(clippy::large_enum_variant, reason = "there is one connection, and Diesel's derive takes no box")]
#[derive(diesel::MultiConnection)]
pub(crate) enum AnyConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Opens the database. Must be called where blocking is allowed.
pub(crate) fn open(
    database: &DatabaseConfig,
    password: Option<&Secret>,
    access: Access,
) -> Result<AnyConnection, StoreError> {
    let failed = |source: Boxed| StoreError::Open { place: database.to_string(), source };
    match database {
        DatabaseConfig::Sqlite { path } => {
            open_sqlite(path, access).map(AnyConnection::Sqlite).map_err(failed)
        }
        DatabaseConfig::Postgres { url, ca_file, password: _ } => {
            let place = Place { url, password, ca_file: ca_file.as_deref() };
            let wire = connect::connect(&place, access).map_err(failed)?;
            Ok(AnyConnection::Postgres(PgConnection::new(wire, access)))
        }
    }
}

impl AnyConnection {
    /// Within a transaction: what follows may take longer than an ordinary statement.
    pub(super) fn take_time(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(conn) => conn.take_time(),
        }
    }
}

fn open_sqlite(path: &Path, access: Access) -> Result<SqliteConnection, Boxed> {
    if access == Access::ReadWrite
        && let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        file_permissions::make_dir(parent)?;
    }
    if access == Access::ReadWrite {
        // SQLite would make it as the umask says.
        file_permissions::open(path)?;
        file_permissions::warn_if_open_to_others(path);
    }
    let name = path.to_str().ok_or("its path is not UTF-8")?;
    let mut conn = SqliteConnection::establish(name)?;
    // WAL lets `status` and `plan` read beside the daemon. FULL: a journalled intent must survive a power cut.
    conn.batch_execute("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")?;
    match access {
        Access::ReadWrite => conn.batch_execute("PRAGMA journal_mode = WAL;")?,
        Access::ReadOnly => conn.batch_execute("PRAGMA query_only = ON;")?,
    }
    Ok(conn)
}

/// Says first that a transaction writes. On SQLite one that reads first and then writes fails at once when another
/// process wrote in between, however long it would wait for a lock.
pub(super) fn to_write(conn: &mut AnyConnection) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(conn) => conn
            .batch_execute("UPDATE facts SET value = value WHERE name = ''")
            .map_err(StoreError::query("begin to write")),
        AnyConnection::Postgres(_) => Ok(()),
    }
}
