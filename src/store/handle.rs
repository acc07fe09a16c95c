//! The handle that async code holds.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::connection::{self, Access, AnyConnection};
use super::migrate::{self, Schema};
use super::{Store, StoreError, StoreWriter, in_transaction};
use crate::config::DatabaseConfig;
use crate::model::Secret;

/// How to open a [`Database`].
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    pub database: DatabaseConfig,
    pub password: Option<Secret>,
    pub access: Access,
}

/// A shared connection. Clones use the same one; work is done one piece after the other.
#[derive(Clone)]
pub struct Database {
    /// `None` while a read-only database does not exist yet: it reads as empty.
    shared: Arc<Mutex<Option<AnyConnection>>>,
    access: Access,
    mode: Mode,
}

/// Where the work is done.
#[derive(Clone)]
enum Mode {
    /// Where blocking is allowed.
    Pool,
    /// On the caller's thread, which keeps a simulation in one thread.
    Inline(Arc<dyn Weather>),
}

/// What a simulation lets happen around each piece of work on a database.
#[async_trait]
pub trait Weather: Send + Sync {
    /// Before the work; an error keeps it from being done.
    async fn before(&self) -> Result<(), StoreError>;

    /// After the work is committed; an error takes its answer away.
    async fn after(&self) -> Result<(), StoreError>;
}

impl Database {
    /// Opens the database and, with [`Access::ReadWrite`], brings its schema up to date.
    ///
    /// Read-only, a database that does not exist or holds nothing yet reads as empty, and one of an older schema is
    /// refused.
    pub async fn open(options: DatabaseOptions) -> Result<Self, StoreError> {
        let access = options.access;
        let conn = tokio::task::spawn_blocking(move || open_blocking(&options))
            .await
            .map_err(|_| StoreError::Interrupted)??;
        Ok(Self { shared: Arc::new(Mutex::new(conn)), access, mode: Mode::Pool })
    }

    /// Opens an SQLite database for work on the caller's thread.
    pub fn open_inline(options: &DatabaseOptions, weather: Arc<dyn Weather>) -> Result<Self, StoreError> {
        let conn = open_blocking(options)?;
        let shared = Arc::new(Mutex::new(conn));
        Ok(Self { shared, access: options.access, mode: Mode::Inline(weather) })
    }

    pub fn access(&self) -> Access {
        self.access
    }

    /// Runs `work` with the database for reading. `empty` is the answer where there is no database yet.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Default + Send + 'static,
        F: FnOnce(&mut Store<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(move |conn| match conn {
            Some(conn) => work(&mut Store { conn }),
            None => Ok(T::default()),
        })
        .await
    }

    /// Runs `work` in one transaction for writing.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut StoreWriter<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(move |conn| match conn {
            Some(conn) => in_transaction(conn, |conn| work(&mut StoreWriter { conn })),
            None => Err(StoreError::Interrupted),
        })
        .await
    }

    async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Option<&mut AnyConnection>) -> Result<T, StoreError> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let run = move || {
            // A panic in earlier work was rolled back with its transaction; the connection is sound.
            let mut conn = shared.lock().unwrap_or_else(PoisonError::into_inner);
            work(conn.as_mut())
        };
        match &self.mode {
            Mode::Pool => tokio::task::spawn_blocking(run).await.map_err(|_| StoreError::Interrupted)?,
            Mode::Inline(weather) => {
                weather.before().await?;
                let done = run()?;
                weather.after().await?;
                Ok(done)
            }
        }
    }
}

fn open_blocking(options: &DatabaseOptions) -> Result<Option<AnyConnection>, StoreError> {
    let DatabaseOptions { database, password, access } = options;
    let sqlite_path = match database {
        DatabaseConfig::Sqlite { path } => Some(path.as_path()),
        DatabaseConfig::Postgres { .. } => None,
    };
    if *access == Access::ReadOnly && sqlite_path.is_some_and(|path| !path.exists()) {
        return Ok(None);
    }
    let mut conn = connection::open(database, password.as_ref(), *access)?;
    match access {
        Access::ReadWrite => migrate::migrate(&mut conn, sqlite_path)?,
        Access::ReadOnly => match migrate::schema(&mut conn)? {
            Schema::UpToDate => {}
            Schema::Empty => return Ok(None),
            Schema::Old => return Err(StoreError::TooOld),
        },
    }
    Ok(Some(conn))
}
