//! One writer: anyone who carries out plans holds the lease, and every transaction of its checks that it still does.
//!
//! On PostgreSQL it is a row with an epoch that expires by the database's clock: a daemon that was paused and wakes
//! up after another took over is refused by the database. On SQLite it is a lock on a file beside the database,
//! which the operating system releases when the process ends, however it ends.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::connection::AnyConnection;
use super::lease_holder::is_missing_here;
use super::{StoreError, file_permissions};

/// How long a lease holds without being renewed. A stand-by takes over after this and one poll.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How often the holder renews it.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Held {
    epoch: i64,
    /// Until when it holds by our own clock, reckoned from before the renewal was sent.
    until: Mutex<Option<Instant>>,
    /// The locked file, on SQLite.
    file: Option<File>,
}

/// The answer to asking for the lease.
#[derive(Debug)]
pub(super) enum Asked {
    Got(Held),
    /// Another one has it; who.
    Taken(String),
}

#[derive(QueryableByName)]
struct LeaseRow {
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = Text)]
    holder: String,
}

const ASK: &str = "ask for the writer's lease";

/// Where the lock of an SQLite database stands.
fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".writer");
    PathBuf::from(name)
}

pub(super) fn ask(
    conn: &mut AnyConnection,
    sqlite: Option<&Path>,
    holder: &str,
) -> Result<Asked, StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => {
            let Some(database) = sqlite else { return Err(StoreError::Interrupted) };
            ask_sqlite(database, holder)
        }
        AnyConnection::Postgres(conn) => {
            let requested_at = Instant::now();
            // One statement, so that of two who ask at once only one finds the lease expired.
            let rows: Vec<LeaseRow> = diesel::sql_query(
                "INSERT INTO writer_lease (id, epoch, holder, expires_at) \
                 VALUES (1, 1, $1, now() + make_interval(secs => $2::bigint)) \
                 ON CONFLICT (id) DO UPDATE SET epoch = writer_lease.epoch + 1, holder = excluded.holder, \
                 expires_at = excluded.expires_at WHERE writer_lease.expires_at <= now() \
                 RETURNING epoch, holder",
            )
            .bind::<Text, _>(holder)
            .bind::<BigInt, _>(seconds(LEASE))
            .load(conn)
            .map_err(StoreError::query(ASK))?;
            if let Some(row) = rows.first() {
                return Ok(Asked::Got(Held {
                    epoch: row.epoch,
                    until: Mutex::new(Some(requested_at + LEASE)),
                    file: None,
                }));
            }
            let row: Option<LeaseRow> =
                diesel::sql_query("SELECT epoch, holder FROM writer_lease WHERE id = 1")
                    .get_result(conn)
                    .optional()
                    .map_err(StoreError::query(ASK))?;
            Ok(Asked::Taken(row.map_or_else(|| "somebody".to_owned(), |row| row.holder)))
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn ask_sqlite(database: &Path, holder: &str) -> Result<Asked, StoreError> {
    let path = lock_path(database);
    let failed = |error: std::io::Error| StoreError::Open {
        place: format!("lock {}", path.display()),
        source: error.into(),
    };
    let mut file = file_permissions::open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .and_then(|_| file.write_all(holder.as_bytes()))
                .map_err(failed)?;
            Ok(Asked::Got(Held { epoch: 0, until: Mutex::new(None), file: Some(file) }))
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            Ok(Asked::Taken(if text.is_empty() { "another tenantd".to_owned() } else { text }))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// How long after its end a lease may be about to be requested_at for again: a daemon gives it back while it connects again.
const GRACE: Duration = Duration::from_secs(3);

/// Whether this holder can still have the lease, by the database's clock; on SQLite, whether its process is there.
///
/// A process that is not to be seen may live in a container beside ours, so there the lock has the last word. It is
/// only tried then: anyone who asks for the lease at that moment would find it taken.
pub(super) fn may_be_held_by(
    conn: &mut AnyConnection,
    sqlite: Option<&Path>,
    holder: &str,
) -> Result<bool, StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => {
            let Some(database) = sqlite.filter(|_| is_missing_here(holder)) else { return Ok(true) };
            let Ok(file) = File::open(lock_path(database)) else { return Ok(true) };
            Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
        }
        AnyConnection::Postgres(conn) => {
            let rows: Vec<LeaseRow> = diesel::sql_query(
                "SELECT epoch, holder FROM writer_lease \
                 WHERE id = 1 AND holder = $1 AND expires_at + make_interval(secs => $2::bigint) > now()",
            )
            .bind::<Text, _>(holder)
            .bind::<BigInt, _>(seconds(GRACE))
            .load(conn)
            .map_err(StoreError::query("read the writer's lease"))?;
            Ok(!rows.is_empty())
        }
    }
}

impl Held {
    /// Extends the lease. An error or an answer that it is another's means that it is lost.
    pub(super) fn renew(&self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        let AnyConnection::Postgres(conn) = conn else { return Ok(()) };
        let requested_at = Instant::now();
        let renewed = diesel::sql_query(
            "UPDATE writer_lease SET expires_at = now() + make_interval(secs => $2::bigint) \
             WHERE id = 1 AND epoch = $1 AND expires_at > now()",
        )
        .bind::<BigInt, _>(self.epoch)
        .bind::<BigInt, _>(seconds(LEASE))
        .execute(conn)
        .map_err(StoreError::query("renew the writer's lease"))?;
        if renewed == 0 {
            self.lose();
            return Err(StoreError::LeaseLost);
        }
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(requested_at + LEASE);
        Ok(())
    }

    /// Within a transaction that has checked it, and so kept others from taking it: extends the lease, as long as the
    /// transaction took. The answer counts once the transaction is committed.
    pub(super) fn extend(&self, conn: &mut AnyConnection) -> Result<Option<Instant>, StoreError> {
        let AnyConnection::Postgres(conn) = conn else { return Ok(None) };
        let requested_at = Instant::now();
        let extended = diesel::sql_query(
            "UPDATE writer_lease SET expires_at = clock_timestamp() + make_interval(secs => $2::bigint) \
             WHERE id = 1 AND epoch = $1",
        )
        .bind::<BigInt, _>(self.epoch)
        .bind::<BigInt, _>(seconds(LEASE))
        .execute(conn)
        .map_err(StoreError::query("extend the writer's lease"))?;
        if extended == 0 {
            return Err(StoreError::LeaseLost);
        }
        Ok(Some(requested_at + LEASE))
    }

    pub(super) fn holds_until(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn lose(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the lease holds by our own clock. Asked right before a request is sent: a process that was paused
    /// between its intent and its request finds out here.
    pub(super) fn is_live(&self) -> bool {
        self.file.is_some()
            || self
                .until
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some_and(|until| Instant::now() < until)
    }

    /// Within a transaction: whether the lease is still ours. It cannot be taken before the transaction ends.
    pub(super) fn check(&self, conn: &mut AnyConnection) -> Result<(), StoreError> {
        let AnyConnection::Postgres(conn) = conn else { return Ok(()) };
        let rows: Vec<LeaseRow> = diesel::sql_query(
            "SELECT epoch, holder FROM writer_lease \
             WHERE id = 1 AND epoch = $1 AND expires_at > clock_timestamp() FOR SHARE",
        )
        .bind::<BigInt, _>(self.epoch)
        .load(conn)
        .map_err(StoreError::query("check the writer's lease"))?;
        if rows.is_empty() {
            self.lose();
            return Err(StoreError::LeaseLost);
        }
        Ok(())
    }

    /// Gives it back, so that no one waits for it to expire.
    pub(super) fn release(&self, conn: &mut AnyConnection) {
        if let AnyConnection::Postgres(conn) = conn {
            // It expires by itself if this fails.
            let _ =
                diesel::sql_query("UPDATE writer_lease SET expires_at = now() WHERE id = 1 AND epoch = $1")
                    .bind::<BigInt, _>(self.epoch)
                    .execute(conn);
        }
        if let Some(file) = &self.file {
            let _ = file.unlock();
        }
    }
}
