//! The handle that async code holds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use super::access::Access;
use super::connection::{self, AnyConnection};
use super::lease::{self, Asked, Held};
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
    /// How it was opened, for a connection besides.
    options: Arc<DatabaseOptions>,
    sqlite: Option<PathBuf>,
    mode: Mode,
    /// The writer's lease that every writing transaction checks.
    lease: Option<Arc<Held>>,
}

/// The right to carry out plans: one tenantd at a time has it. It is renewed while this is held and given back when
/// it is dropped.
pub struct Lease {
    database: Database,
    held: Arc<Held>,
    renewal: tokio::task::JoinHandle<()>,
}

impl Lease {
    /// The database as the holder writes it: every transaction checks the lease.
    pub fn database(&self) -> Database {
        Database { lease: Some(Arc::clone(&self.held)), ..self.database.clone() }
    }

    /// Whether it is still ours, by our own clock.
    pub fn is_live(&self) -> bool {
        self.held.is_live()
    }

    /// Gives it back now.
    pub async fn release(self) {
        let held = Arc::clone(&self.held);
        self.renewal.abort();
        let _ = self
            .database
            .run(move |conn| {
                if let Some(conn) = conn {
                    held.release(conn);
                }
                Ok(())
            })
            .await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
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

    /// Whether the writer's lease is still held, as each writing transaction asks.
    fn holds_lease(&self) -> bool {
        true
    }
}

impl Database {
    /// Opens the database and, with [`Access::ReadWrite`], brings its schema up to date.
    ///
    /// Read-only, a database that does not exist or holds nothing yet reads as empty, and one of an older schema is
    /// refused.
    pub async fn open(options: DatabaseOptions) -> Result<Self, StoreError> {
        tokio::task::spawn_blocking(move || Self::open_here(&options, Mode::Pool))
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    /// Opens an SQLite database for work on the caller's thread.
    pub fn open_inline(options: &DatabaseOptions, weather: Arc<dyn Weather>) -> Result<Self, StoreError> {
        Self::open_here(options, Mode::Inline(weather))
    }

    fn open_here(options: &DatabaseOptions, mode: Mode) -> Result<Self, StoreError> {
        let conn = open_blocking(options)?;
        let sqlite = match &options.database {
            DatabaseConfig::Sqlite { path } => Some(path.clone()),
            DatabaseConfig::Postgres { .. } => None,
        };
        let options = Arc::new(options.clone());
        Ok(Self { shared: Arc::new(Mutex::new(conn)), options, sqlite, mode, lease: None })
    }

    /// Whether there is no database yet, or nothing of tenantd in it: then it reads as empty.
    pub fn is_new(&self) -> bool {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub fn access(&self) -> Access {
        self.options.access
    }

    /// Asks for the writer's lease; `Err` in the inner result names who has it.
    ///
    /// `holder` is what others are reported: program, machine, process.
    pub async fn lease(&self, holder: &str) -> Result<Result<Lease, String>, StoreError> {
        let (sqlite, holder) = (self.sqlite.clone(), holder.to_owned());
        let requested = self
            .run(move |conn| match conn {
                Some(conn) => lease::ask(conn, sqlite.as_deref(), &holder),
                None => Err(StoreError::Interrupted),
            })
            .await?;
        let held = match requested {
            Asked::Taken(by) => return Ok(Err(by)),
            Asked::Got(held) => Arc::new(held),
        };
        let renewal = tokio::spawn(keep_renewed(self.clone(), Arc::clone(&held)));
        Ok(Ok(Lease { database: self.clone(), held, renewal }))
    }

    /// Whether this holder can still have the writer's lease, as far as it can be told without taking it.
    pub async fn may_be_held_by(&self, holder: &str) -> Result<bool, StoreError> {
        let (sqlite, holder) = (self.sqlite.clone(), holder.to_owned());
        self.run(move |conn| match conn {
            Some(conn) => lease::may_be_held_by(conn, sqlite.as_deref(), &holder),
            None => Ok(false),
        })
        .await
    }

    /// Whether requests may still be sent: with a lease, that it is still ours by our own clock.
    pub fn may_still_write(&self) -> bool {
        self.weather_allows() && self.lease.as_ref().is_none_or(|held| held.is_live())
    }

    /// Runs `work` with the database for reading. The default is the answer where there is no database yet.
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

    /// As [`Self::read`], on a connection of its own: work that may take long keeps no one waiting, the lease's renewal
    /// least of all.
    pub async fn read_apart<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Default + Send + 'static,
        F: FnOnce(&mut Store<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        if let Mode::Inline(_) = self.mode {
            return self.read(work).await;
        }
        let options = DatabaseOptions { access: Access::ReadOnly, ..(*self.options).clone() };
        let run = move || match open_blocking(&options)? {
            Some(mut conn) => work(&mut Store { conn: &mut conn }),
            None => Ok(T::default()),
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| StoreError::Interrupted)?
    }

    /// As [`Self::write`], with one state of the database for everything that `work` reads: what others change
    /// meanwhile makes it fail as a whole.
    pub async fn write_at_one_state<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut StoreWriter<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.transact(work, super::data::one_snapshot).await
    }

    /// Runs `work` in one transaction for writing. Under a lease, the transaction checks it first.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut StoreWriter<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.transact(work, |_| Ok(())).await
    }

    async fn transact<T, F>(
        &self,
        work: F,
        begin: fn(&mut AnyConnection) -> Result<(), StoreError>,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut StoreWriter<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (lease, database) = (self.lease.clone(), self.clone());
        self.run(move |conn| {
            let Some(conn) = conn else { return Err(StoreError::Interrupted) };
            let started = Instant::now();
            let (done, extended) = in_transaction(conn, |conn| {
                connection::to_write(conn)?;
                begin(conn)?;
                if !database.weather_allows() {
                    return Err(StoreError::LeaseLost);
                }
                if let Some(held) = &lease {
                    held.check(conn)?;
                }
                let done = work(&mut StoreWriter { conn })?;
                // The renewal waits for this connection; no one can have taken the lease since it was checked.
                let extended = match &lease {
                    Some(held) if started.elapsed() >= lease::RENEW_EVERY => held.extend(conn)?,
                    _ => None,
                };
                Ok((done, extended))
            })?;
            // Only what is committed counts.
            if let (Some(held), Some(until)) = (&lease, extended) {
                held.holds_until(until);
            }
            Ok(done)
        })
        .await
    }

    fn weather_allows(&self) -> bool {
        match &self.mode {
            Mode::Pool => true,
            Mode::Inline(weather) => weather.holds_lease(),
        }
    }

    /// Runs work that needs no connection and takes its time where this database's work is done.
    pub async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.mode {
            Mode::Pool => tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Interrupted),
            Mode::Inline(_) => Ok(work()),
        }
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

/// Renews a lease until it is lost or given back.
async fn keep_renewed(database: Database, held: Arc<Held>) {
    loop {
        tokio::time::sleep(lease::RENEW_EVERY).await;
        let renewing = Arc::clone(&held);
        let renewed = database
            .run(move |conn| match conn {
                Some(conn) => renewing.renew(conn),
                None => Err(StoreError::Interrupted),
            })
            .await;
        match renewed {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => {
                tracing::warn!("the writer's lease was lost: another tenantd took over");
                return;
            }
            // The next try may succeed before it expires.
            Err(error) => {
                tracing::warn!(error = %crate::report::chain(&error), "the writer's lease was not renewed");
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
    // The first statement shows whether the server works for us at all.
    let schema = migrate::schema(&mut conn).map_err(|error| match error {
        StoreError::Query { source, .. } => {
            StoreError::Open { place: database.to_string(), source: source.into() }
        }
        other => other,
    })?;
    match (access, schema) {
        (_, Schema::UpToDate) => {}
        (Access::ReadWrite, _) => migrate::migrate(&mut conn, sqlite_path)?,
        (Access::ReadOnly, Schema::Empty) => return Ok(None),
        (Access::ReadOnly, Schema::Old) => return Err(StoreError::TooOld),
    }
    Ok(Some(conn))
}
