//! What tenantd recorded, in SQLite or PostgreSQL through Diesel: one code path, one file per table.
//!
//! [`Database`] is the handle that async code holds; it runs a closure with a [`Store`] (read) or a
//! [`StoreWriter`] (write, in one transaction) where blocking is allowed.

mod access;
mod adoptions;
mod approvals;
mod audit;
mod built_in_types;
mod clock;
mod codec;
mod conditions;
mod connect;
mod connection;
pub mod data;
mod error;
mod facts;
pub(crate) mod file_permissions;
mod handle;
mod heartbeats;
mod instances;
mod journal;
mod lease;
pub mod lease_holder;
mod migrate;
mod pauses;
mod postgres;
mod previous_placements;
mod protocol;
mod removals;
mod schema;
mod tenants;
mod time_shift;
mod tls;
mod tombstones;

pub use access::Access;
pub use audit::AuditEntry;
pub use conditions::About;
pub use error::StoreError;
pub use handle::{Database, DatabaseOptions, Lease, Weather};
pub use instances::InstanceRecord;
pub use migrate::migration_names;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::model::{
    Adoption, Approval, ConditionSince, DomainId, Heartbeat, InstanceKey, OpenIntent, Pause,
    PreviousPlacement, Recorded, RemovalRecord, RetentionResets, TenantCondition, TenantId, TenantKey,
    TenantRecord, Tombstone,
};
use connection::AnyConnection;

/// The window of the removal limits.
pub const REMOVAL_WINDOW: TimeDelta = TimeDelta::hours(24);

/// Reading the database.
pub struct Store<'a> {
    conn: &'a mut AnyConnection,
}

/// Changing the database, within one transaction.
pub struct StoreWriter<'a> {
    conn: &'a mut AnyConnection,
}

impl Store<'_> {
    /// Everything that a plan depends on.
    pub fn recorded(&mut self, now: DateTime<Utc>) -> Result<Recorded, StoreError> {
        let tenants = tenants::all(self.conn)?;
        Ok(Recorded {
            previous_placements: previous_placements::all(self.conn)?,
            open_intents: journal::open_intents(self.conn)?,
            removals: removals::since(self.conn, now - REMOVAL_WINDOW)?,
            approvals: approvals::current(self.conn, now)?,
            pauses: pauses::current(self.conn, now)?,
            adoptions: adoptions::all(self.conn, now)?,
            clock_steady_since: Some(clock::steady_since(self.conn, now)?),
            open_sessions: data::open_sessions(self.conn, now)?,
            sms_numbers: data::sms_numbers(self.conn)?,
            // Asked for once it is known what the files change.
            activity: BTreeMap::new(),
            archived: data::archived(self.conn, &tenants)?,
            tenants,
        })
    }

    pub fn tenants(&mut self) -> Result<BTreeMap<TenantKey, TenantRecord>, StoreError> {
        tenants::all(self.conn)
    }

    pub fn instances(&mut self) -> Result<Vec<InstanceRecord>, StoreError> {
        instances::all(self.conn)
    }

    pub fn tombstones(&mut self) -> Result<Vec<Tombstone>, StoreError> {
        tombstones::all(self.conn)
    }

    /// How each tenant stands, as the last run that checked it concluded.
    pub fn conditions(&mut self) -> Result<BTreeMap<TenantKey, ConditionSince>, StoreError> {
        conditions::all(self.conn)
    }

    /// The heartbeat of daemons, and the last run from the command line.
    pub fn heartbeats(&mut self) -> Result<Vec<Heartbeat>, StoreError> {
        heartbeats::all(self.conn)
    }

    /// A value that processes tell each other, such as that a pass is asked for.
    pub fn fact(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        facts::get(self.conn, name)
    }

    /// The newest line of the audit log of each tenant, by key.
    pub fn last_events(&mut self) -> Result<Vec<AuditEntry>, StoreError> {
        audit::last_of_each(self.conn)
    }

    /// The newest lines about a tenant, newest first, those under its earlier keys included, and those of earlier
    /// tenants that had its key where they are asked for.
    pub fn history(
        &mut self,
        key: &TenantKey,
        with_earlier: bool,
        most: i64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        audit::of_tenant(self.conn, key, with_earlier, most)
    }

    /// The tenants that had this key before the one that has it now, the last one first.
    pub fn earlier_tenants(&mut self, key: &TenantKey) -> Result<Vec<TenantId>, StoreError> {
        audit::earlier(self.conn, key)
    }

    /// The newest lines of the audit log, newest first.
    pub fn audit(&mut self, key: Option<&TenantKey>, most: i64) -> Result<Vec<AuditEntry>, StoreError> {
        audit::newest(self.conn, key, most)
    }
}

impl StoreWriter<'_> {
    pub fn tenants(&mut self) -> Result<BTreeMap<TenantKey, TenantRecord>, StoreError> {
        tenants::all(self.conn)
    }

    pub fn tenant(&mut self, id: TenantId) -> Result<Option<TenantRecord>, StoreError> {
        tenants::by_id(self.conn, id)
    }

    pub fn insert_tenant(&mut self, record: &TenantRecord) -> Result<(), StoreError> {
        tenants::insert(self.conn, record)
    }

    /// Replaces a record that is still at the revision `record` was read at; else [`StoreError::Stale`].
    pub fn update_tenant(&mut self, record: &mut TenantRecord, now: DateTime<Utc>) -> Result<(), StoreError> {
        tenants::update(self.conn, record, now)
    }

    /// Deletes a record. The database itself refuses it unless the tenant is disabled, confirmed so on its PBX,
    /// unprotected, past its retention, and under an open intent.
    pub fn delete_tenant(&mut self, id: TenantId) -> Result<(), StoreError> {
        tenants::delete(self.conn, id)
    }

    pub fn settings_checked(
        &mut self,
        ids: &BTreeSet<TenantId>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        tenants::settings_checked(self.conn, ids, now)
    }

    /// Stores the counts of corrections alone. Not a change of the tenant: the revision stays.
    pub fn remove_lasting_corrections(&mut self, record: &TenantRecord) -> Result<(), StoreError> {
        tenants::remove_lasting_corrections(self.conn, record)
    }

    /// Notes what was observed enabled that was confirmed disabled. Not a change by us: the revision stays.
    pub fn save_retention_resets(&mut self, reopened: &RetentionResets) -> Result<(), StoreError> {
        let RetentionResets { returned, tenants, previous } = reopened;
        tenants::not_removed(self.conn, returned)?;
        tenants::not_disabled(self.conn, tenants)?;
        previous.iter().try_for_each(|(instance, domain)| {
            previous_placements::not_disabled(self.conn, instance, *domain)
        })
    }

    /// The domains that tenants previous.
    pub fn previous_placements(&mut self) -> Result<Vec<PreviousPlacement>, StoreError> {
        previous_placements::all(self.conn)
    }

    pub fn put_previous_placement(&mut self, placement: &PreviousPlacement) -> Result<(), StoreError> {
        previous_placements::put(self.conn, placement)
    }

    pub fn remove_previous_placement(
        &mut self,
        instance: &InstanceKey,
        domain: DomainId,
    ) -> Result<(), StoreError> {
        previous_placements::remove(self.conn, instance, domain)
    }

    pub fn add_tombstone(&mut self, tombstone: &Tombstone) -> Result<(), StoreError> {
        tombstones::add(self.conn, tombstone)
    }

    pub fn remove_tombstone(&mut self, id: TenantId) -> Result<(), StoreError> {
        tombstones::remove(self.conn, id)
    }

    pub fn append_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        audit::append(self.conn, entry)
    }

    /// Writes down that a changing request is about to be sent. `request` says which, without values.
    pub fn open_intent(
        &mut self,
        intent: &OpenIntent,
        plan_id: &str,
        request: &str,
    ) -> Result<(), StoreError> {
        journal::open(self.conn, intent, plan_id, request)
    }

    pub fn close_intent(&mut self, id: Uuid, outcome: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        journal::close(self.conn, id, outcome, now)
    }

    pub fn delete_old_closed_intents(&mut self, before: DateTime<Utc>) -> Result<(), StoreError> {
        journal::forget_closed_before(self.conn, before)
    }

    pub fn fact(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        facts::get(self.conn, name)
    }

    /// Notes how the tenants stand. Only what changed is written; what is in `about` and not in `standings` is no
    /// tenant any more.
    pub fn put_conditions(
        &mut self,
        standings: &BTreeMap<TenantKey, TenantCondition>,
        about: conditions::About<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        conditions::put(self.conn, standings, about, now)
    }

    pub fn put_heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<(), StoreError> {
        heartbeats::put(self.conn, heartbeat)
    }

    pub fn put_fact(&mut self, name: &str, value: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        facts::put(self.conn, name, value, now)
    }

    /// Removes a fact where it still has this value.
    pub fn remove_fact(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        facts::remove(self.conn, name, value)
    }

    pub fn add_removal(&mut self, removal: &RemovalRecord) -> Result<(), StoreError> {
        removals::add(self.conn, removal)
    }

    pub fn approve(&mut self, approval: &Approval) -> Result<(), StoreError> {
        approvals::approve(self.conn, approval)
    }

    /// Lets the next pass take these domains over.
    pub fn allow_adoptions(
        &mut self,
        adoptions: &BTreeMap<TenantKey, Adoption>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        adoptions::add(self.conn, adoptions, now)
    }

    /// Lets what was recorded lie further back, for the sandbox.
    pub fn age(&mut self, by: TimeDelta) -> Result<(), StoreError> {
        time_shift::age(self.conn, by)
    }

    pub fn use_up_approval(&mut self, key: &TenantKey) -> Result<(), StoreError> {
        approvals::use_up(self.conn, key)
    }

    /// The pauses in force.
    pub fn pauses(&mut self, now: DateTime<Utc>) -> Result<Vec<Pause>, StoreError> {
        pauses::current(self.conn, now)
    }

    /// Records a pause; returns those of the same scope that it replaces.
    pub fn put_pause(&mut self, pause: &Pause) -> Result<Vec<Pause>, StoreError> {
        pauses::put(self.conn, pause)
    }

    pub fn resume(
        &mut self,
        key: Option<&TenantKey>,
        instance: Option<&InstanceKey>,
    ) -> Result<usize, StoreError> {
        pauses::resume(self.conn, key, instance)
    }

    /// Forgets who an instance proved to be; the next pass that sees it whole records it again.
    pub fn forget_identity(
        &mut self,
        key: &InstanceKey,
        url: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        instances::forget_identity(self.conn, key, url, now)
    }

    /// Notes that a pass came at this time, so that a jump of the clock shows at the next.
    pub fn note_clock(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        clock::note(self.conn, now)
    }

    /// `seen` is the version that an instance showed, if it shows one, or why it was not seen whole.
    pub fn note_instance(
        &mut self,
        key: &InstanceKey,
        url: &str,
        identity: Option<&str>,
        seen: Result<Option<&str>, &str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        instances::note(self.conn, key, url, identity, seen, now)
    }
}

/// Runs `work` in one transaction; whatever error it returns rolls everything back.
fn in_transaction<T>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    enum Failure {
        Ours(StoreError),
        Diesel(diesel::result::Error),
    }
    impl From<diesel::result::Error> for Failure {
        fn from(error: diesel::result::Error) -> Self {
            Self::Diesel(error)
        }
    }
    conn.transaction(|conn| work(conn).map_err(Failure::Ours)).map_err(|failure| match failure {
        Failure::Ours(error) => error,
        Failure::Diesel(source) => StoreError::Query { operation: "commit the change", source },
    })
}
