//! What services keep for the users of a tenant: read, counted, copied and removed, never across two tenants.
//!
//! [`TenantScope`] is the only way to the rows of a tenant. What is about all tenants at once (statistics, sharing)
//! reads counts and names, no contents. The tables are taken from the live catalog, so that tables which a service
//! adds are archived and checked as well.

mod archives;
mod catalog;
mod isolation;
mod scope;
mod shares;
mod sms;
mod sql;
mod stats;
mod users;

pub use archives::ArchiveRecord;
pub use catalog::{Catalog, Column, ColumnKind, ForeignKey, OWN_TABLES, TENANT, TableInfo};
pub use isolation::{Grant, Policy, ProtectedTable, Protection, RoleInfo, SERVICE_ROLE, Savepoint};
pub use scope::{TableDigest, TenantScope};
pub use stats::TenantStats;
pub use users::{UserRow, UserSource};

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Store, StoreError, StoreWriter};
use crate::config::AllowedSharing;
use crate::model::{Activity, Desired, SmsNumber, TenantId};

impl Store<'_> {
    /// The live database's tables.
    pub fn catalog(&mut self) -> Result<Catalog, StoreError> {
        catalog::read(self.conn)
    }

    /// Every tenant's numbers, in one query.
    pub fn stats(&mut self, now: DateTime<Utc>) -> Result<Vec<TenantStats>, StoreError> {
        stats::all(self.conn, now)
    }

    /// Who is active in these tenants. When open sessions began is read of `shortened` alone.
    pub fn activity(
        &mut self,
        of: &BTreeSet<TenantId>,
        shortened: &BTreeSet<TenantId>,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<TenantId, Activity>, StoreError> {
        stats::activity(self.conn, of, shortened, now)
    }

    /// The checked archive of each tenant.
    pub fn archives(&mut self) -> Result<BTreeMap<TenantId, ArchiveRecord>, StoreError> {
        archives::all(self.conn)
    }

    /// One tenant's rows, for reading. All readings of `work` see one state of the database.
    pub fn in_scope<T>(
        &mut self,
        tenant: TenantId,
        work: impl FnOnce(&mut TenantScope<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        super::in_transaction(self.conn, |conn| {
            sql::one_snapshot(conn)?;
            work(&mut TenantScope::new(conn, tenant))
        })
    }

    /// Runs `work` in a transaction that may write and is always rolled back: for trying what must not work.
    pub fn try_out<T>(
        &mut self,
        work: impl FnOnce(&mut Savepoint<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        isolation::try_out(self.conn, work)
    }
}

impl StoreWriter<'_> {
    /// One tenant's rows, for reading and writing.
    pub fn scope(&mut self, tenant: TenantId) -> TenantScope<'_> {
        TenantScope::new(self.conn, tenant)
    }

    /// The live database's tables.
    pub fn catalog(&mut self) -> Result<Catalog, StoreError> {
        catalog::read(self.conn)
    }

    /// All recorded tenants, as [`Store::tenants`] reads them.
    pub fn all_tenants(
        &mut self,
    ) -> Result<BTreeMap<crate::model::TenantKey, crate::model::TenantRecord>, StoreError> {
        super::tenants::all(self.conn)
    }

    /// Notes that an archive of a tenant was read back and found whole. A deletion asks for it.
    pub fn put_archive(&mut self, archive: &ArchiveRecord) -> Result<(), StoreError> {
        archives::put(self.conn, archive)
    }

    /// Gives a tenant these SMS numbers and no others. What it had besides keeps its row and its messages, released; a
    /// number that another tenant has by now is left to it.
    pub fn put_sms_numbers(
        &mut self,
        tenant: TenantId,
        wanted: &BTreeSet<SmsNumber>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sms::put(self.conn, tenant, wanted, &BTreeSet::new(), now)
    }

    /// As [`Self::put_sms_numbers`], and what is `kept` stays with the tenant until [`Self::exchange_sms_numbers`].
    pub fn put_sms_numbers_except(
        &mut self,
        tenant: TenantId,
        wanted: &BTreeSet<SmsNumber>,
        kept: &BTreeSet<SmsNumber>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sms::put(self.conn, tenant, wanted, kept, now)
    }

    /// Gives each of these tenants its numbers and no others: all are released first, so that they can change hands
    /// within one transaction.
    pub fn exchange_sms_numbers(
        &mut self,
        wanted: &BTreeMap<TenantId, BTreeSet<SmsNumber>>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        for _ in 0..2 {
            for (tenant, wanted) in wanted {
                sms::put(self.conn, *tenant, wanted, &BTreeSet::new(), now)?;
            }
        }
        Ok(())
    }

    /// Whether a tenant other than this one has an SMS number.
    pub fn sms_number_is_taken(&mut self, tenant: TenantId, number: &str) -> Result<bool, StoreError> {
        sms::is_taken(self.conn, tenant, number)
    }

    /// Brings the shares in force to what both files of each pair say and the deployment allows.
    ///
    /// A file that cannot be read keeps what it said, and adds nothing.
    pub fn put_shares(&mut self, desired: &Desired, allowed: &AllowedSharing) -> Result<(), StoreError> {
        shares::put(self.conn, desired, allowed)
    }
}

/// Within a transaction that has read nothing yet: what it reads is one state of the database.
pub(super) fn one_snapshot(conn: &mut super::connection::AnyConnection) -> Result<(), StoreError> {
    sql::one_snapshot(conn)
}

/// Tenants with open user sessions, and how many.
pub(super) fn open_sessions(
    conn: &mut super::connection::AnyConnection,
    now: DateTime<Utc>,
) -> Result<BTreeMap<TenantId, i64>, StoreError> {
    stats::open_sessions(conn, now)
}

/// The SMS numbers of every tenant.
pub(super) fn sms_numbers(
    conn: &mut super::connection::AnyConnection,
) -> Result<BTreeMap<TenantId, BTreeSet<SmsNumber>>, StoreError> {
    sms::all(conn)
}

/// Tenants whose newest archive was checked after they were disabled.
pub(super) fn archived(
    conn: &mut super::connection::AnyConnection,
    tenants: &BTreeMap<crate::model::TenantKey, crate::model::TenantRecord>,
) -> Result<BTreeSet<TenantId>, StoreError> {
    let archives = archives::all(conn)?;
    Ok(tenants
        .values()
        .filter(|record| {
            let checked = archives.get(&record.id).map(|archive| archive.checked_at);
            checked.zip(record.disabled_at).is_some_and(|(checked, disabled)| checked >= disabled)
        })
        .map(|record| record.id)
        .collect())
}
