//! One connection type for both databases.

use std::path::Path;
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::error::SqlState;

use super::postgres::PgConnection;
use super::{StoreError, private};
use crate::config::DatabaseConfig;
use crate::model::Secret;

/// A connection to either database; every statement is written once.
#[expect(clippy::large_enum_variant, reason = "there is one connection, and Diesel's derive takes no box")]
#[derive(diesel::MultiConnection)]
pub(crate) enum AnyConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Whether a connection may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

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
            open_postgres(url, password, ca_file.as_deref(), access)
                .map(AnyConnection::Postgres)
                .map_err(failed)
        }
    }
}

fn open_sqlite(path: &Path, access: Access) -> Result<SqliteConnection, Boxed> {
    if access == Access::ReadWrite
        && let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        private::make_dir(parent)?;
    }
    if access == Access::ReadWrite {
        // SQLite would make it as the umask says.
        private::open(path)?;
        private::warn_if_open_to_others(path);
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

fn open_postgres(
    url: &url::Url,
    password: Option<&Secret>,
    ca_file: Option<&Path>,
    access: Access,
) -> Result<PgConnection, Boxed> {
    let mut options: tokio_postgres::Config = url.as_str().parse()?;
    if let Some(password) = password {
        options.password(password.expose());
    }
    options.application_name("tenantd");
    options.connect_timeout(std::time::Duration::from_secs(10));
    let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls_config(ca_file)?);
    let handle = tokio::runtime::Handle::try_current()?;
    let inner = handle.block_on(async {
        // What a server says of a password might repeat it.
        let connected = options.connect(tls).await.map_err(|error| match error.code() {
            Some(code) if *code == SqlState::INVALID_PASSWORD => {
                "the server rejected the user name or password".into()
            }
            _ => Boxed::from(error),
        });
        let (client, connection) = connected?;
        Ok::<_, Boxed>(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
    })?;
    let mut conn = PgConnection::from(inner);
    // A transaction holds the lease's row. That of a process that was paused in it must not keep a stand-by waiting.
    conn.batch_execute(
        "SET TIME ZONE 'UTC'; SET client_min_messages = warning; SET lock_timeout = '10s'; \
         SET idle_in_transaction_session_timeout = '8s';",
    )?;
    if access == Access::ReadOnly {
        conn.batch_execute("SET default_transaction_read_only = on;")?;
    }
    Ok(conn)
}

fn tls_config(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, Boxed> {
    let mut roots = rustls::RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path)? {
                roots.add(certificate?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
