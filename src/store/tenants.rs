//! The tenants that tenantd recorded as its own.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::schema::tenants;
use super::{StoreError, codec};
use crate::model::{
    Definition, DomainId, DomainName, DriftPolicy, InstanceKey, MaxUsers, TenantId, TenantKey, TenantRecord,
};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = tenants, treat_none_as_null = true)]
struct TenantRow {
    id: String,
    key: String,
    name: String,
    domain: String,
    instance: String,
    enabled: bool,
    session_timeout_minutes: i32,
    max_users: Option<i32>,
    protected: bool,
    pbx_settings_json: String,
    cross_tenant_json: String,
    drift: String,
    domain_id: String,
    provisioned: bool,
    disabled_at: Option<NaiveDateTime>,
    disable_confirmed_at: Option<NaiveDateTime>,
    deletable_from: Option<NaiveDateTime>,
    file_removed_at: Option<NaiveDateTime>,
    web_sign_in_block_json: Option<String>,
    web_sign_in_left_open: bool,
    settings_checked_at: Option<NaiveDateTime>,
    applied_definition_hash: Option<String>,
    corrections_json: String,
    revision: i64,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
    restored_at: Option<NaiveDateTime>,
}

const READ: &str = "read the recorded tenants";

impl TenantRow {
    fn from_record(record: &TenantRecord) -> Self {
        let TenantRecord {
            id,
            key,
            definition,
            domain_id,
            provisioned,
            disabled_at,
            disable_confirmed_at,
            deletable_from,
            file_removed_at,
            web_sign_in_block,
            web_sign_in_left_open,
            settings_checked_at,
            applied_definition_hash,
            corrections,
            revision,
            created_at,
            updated_at,
            restored_at,
        } = record;
        let Definition {
            name,
            domain,
            instance,
            enabled,
            session_timeout,
            max_users,
            protected,
            pbx_settings,
            cross_tenant,
            drift,
        } = definition;
        Self {
            id: id.to_string(),
            key: key.to_string(),
            name: name.clone(),
            domain: domain.to_string(),
            instance: instance.to_string(),
            enabled: *enabled,
            session_timeout_minutes: i32::try_from(*session_timeout).unwrap_or(i32::MAX),
            max_users: match max_users {
                MaxUsers::Limited(n) => Some(i32::try_from(*n).unwrap_or(i32::MAX)),
                MaxUsers::Unlimited => None,
            },
            protected: *protected,
            pbx_settings_json: codec::settings_to_json(pbx_settings),
            cross_tenant_json: codec::sharing_to_json(cross_tenant),
            drift: drift.as_str().to_owned(),
            domain_id: domain_id.to_string(),
            provisioned: *provisioned,
            disabled_at: disabled_at.map(|at| at.naive_utc()),
            disable_confirmed_at: disable_confirmed_at.map(|at| at.naive_utc()),
            deletable_from: deletable_from.map(|at| at.naive_utc()),
            file_removed_at: file_removed_at.map(|at| at.naive_utc()),
            web_sign_in_block_json: web_sign_in_block.as_ref().map(codec::block_to_json),
            web_sign_in_left_open: *web_sign_in_left_open,
            settings_checked_at: settings_checked_at.map(|at| at.naive_utc()),
            applied_definition_hash: applied_definition_hash.clone(),
            corrections_json: codec::to_json(corrections),
            revision: *revision,
            created_at: created_at.naive_utc(),
            updated_at: updated_at.naive_utc(),
            restored_at: restored_at.map(|at| at.naive_utc()),
        }
    }

    fn into_record(self) -> Result<TenantRecord, StoreError> {
        let object = self.key.clone();
        let bad = |found: &str, expected: &'static str| StoreError::Row {
            operation: READ,
            object: object.clone(),
            found: found.to_owned(),
            expected,
        };
        Ok(TenantRecord {
            id: TenantId(self.id.parse().map_err(|_| bad(&self.id, "a uuid"))?),
            key: TenantKey::parse(&self.key).map_err(|_| bad(&self.key, "a tenant key"))?,
            definition: Definition {
                name: self.name,
                domain: DomainName::trusted(self.domain),
                instance: InstanceKey::parse(&self.instance)
                    .map_err(|_| bad(&self.instance, "an instance key"))?,
                enabled: self.enabled,
                session_timeout: u32::try_from(self.session_timeout_minutes)
                    .map_err(|_| bad(&self.session_timeout_minutes.to_string(), "a number of minutes"))?,
                max_users: match self.max_users {
                    Some(n) => MaxUsers::Limited(
                        u32::try_from(n).map_err(|_| bad(&n.to_string(), "a number of users"))?,
                    ),
                    None => MaxUsers::Unlimited,
                },
                protected: self.protected,
                pbx_settings: codec::settings_from_json(&self.pbx_settings_json)
                    .ok_or_else(|| bad(&self.pbx_settings_json, "a map of settings"))?,
                cross_tenant: codec::sharing_from_json(&self.cross_tenant_json)
                    .ok_or_else(|| bad(&self.cross_tenant_json, "a map of shares"))?,
                drift: match self.drift.as_str() {
                    "report" => DriftPolicy::Report,
                    "correct" => DriftPolicy::Correct,
                    other => return Err(bad(other, "`correct` or `report`")),
                },
            },
            domain_id: DomainId(self.domain_id.parse().map_err(|_| bad(&self.domain_id, "a uuid"))?),
            provisioned: self.provisioned,
            disabled_at: self.disabled_at.map(|at| at.and_utc()),
            disable_confirmed_at: self.disable_confirmed_at.map(|at| at.and_utc()),
            deletable_from: self.deletable_from.map(|at| at.and_utc()),
            file_removed_at: self.file_removed_at.map(|at| at.and_utc()),
            web_sign_in_block: match &self.web_sign_in_block_json {
                Some(json) => {
                    Some(codec::block_from_json(json).ok_or_else(|| bad(json, "a web sign-in block"))?)
                }
                None => None,
            },
            web_sign_in_left_open: self.web_sign_in_left_open,
            settings_checked_at: self.settings_checked_at.map(|at| at.and_utc()),
            applied_definition_hash: self.applied_definition_hash,
            corrections: serde_json::from_str(&self.corrections_json)
                .map_err(|_| bad(&self.corrections_json, "a map of counts"))?,
            revision: self.revision,
            created_at: self.created_at.and_utc(),
            updated_at: self.updated_at.and_utc(),
            restored_at: self.restored_at.map(|at| at.and_utc()),
        })
    }
}

/// All recorded tenants by key.
pub(super) fn all(conn: &mut AnyConnection) -> Result<BTreeMap<TenantKey, TenantRecord>, StoreError> {
    let rows: Vec<TenantRow> = tenants::table
        .select(TenantRow::as_select())
        .order(tenants::key)
        .load(conn)
        .map_err(StoreError::query(READ))?;
    rows.into_iter().map(|row| row.into_record().map(|record| (record.key.clone(), record))).collect()
}

/// The record with this identity.
pub(super) fn by_id(conn: &mut AnyConnection, id: TenantId) -> Result<Option<TenantRecord>, StoreError> {
    let row: Option<TenantRow> = tenants::table
        .select(TenantRow::as_select())
        .find(id.to_string())
        .first(conn)
        .optional()
        .map_err(StoreError::query(READ))?;
    row.map(TenantRow::into_record).transpose()
}

/// Writes a new record.
pub(super) fn insert(conn: &mut AnyConnection, record: &TenantRecord) -> Result<(), StoreError> {
    diesel::insert_into(tenants::table)
        .values(TenantRow::from_record(record))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("record the tenant"))
}

/// Replaces a record, if it is still at the revision that `record` was read at; counts the revision up.
pub(super) fn update(
    conn: &mut AnyConnection,
    record: &mut TenantRecord,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let read_at = record.revision;
    record.revision += 1;
    record.updated_at = now;
    let changed = diesel::update(
        tenants::table.filter(tenants::id.eq(record.id.to_string())).filter(tenants::revision.eq(read_at)),
    )
    .set(TenantRow::from_record(record))
    .execute(conn)
    .map_err(StoreError::query("update the tenant's record"))?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Stale { key: record.key.to_string() }) }
}

/// Removes a record. The database refuses it unless every condition of a deletion holds.
pub(super) fn delete(conn: &mut AnyConnection, id: TenantId) -> Result<(), StoreError> {
    diesel::delete(tenants::table.find(id.to_string()))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("delete the tenant's record"))
}

/// Notes that the settings of these tenants were compared just now. Not a change of the tenant: the revision stays.
pub(super) fn settings_checked(
    conn: &mut AnyConnection,
    ids: &BTreeSet<TenantId>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for some in chunks(ids) {
        diesel::update(tenants::table.filter(tenants::id.eq_any(some)))
            .set(tenants::settings_checked_at.eq(Some(now.naive_utc())))
            .execute(conn)
            .map_err(StoreError::query("save that settings were compared"))?;
    }
    Ok(())
}

/// Notes that these have a file again, so that no retention of theirs runs.
pub(super) fn not_removed(conn: &mut AnyConnection, ids: &BTreeSet<TenantId>) -> Result<(), StoreError> {
    for some in chunks(ids) {
        diesel::update(tenants::table.filter(tenants::id.eq_any(some)))
            .set((
                tenants::file_removed_at.eq(None::<NaiveDateTime>),
                tenants::deletable_from.eq(None::<NaiveDateTime>),
            ))
            .execute(conn)
            .map_err(StoreError::query("save which files are back"))?;
    }
    Ok(())
}

/// Notes that these are not known to be disabled any more, so that no retention of theirs is over.
pub(super) fn not_disabled(conn: &mut AnyConnection, ids: &BTreeSet<TenantId>) -> Result<(), StoreError> {
    for some in chunks(ids) {
        diesel::update(tenants::table.filter(tenants::id.eq_any(some)))
            .set((
                tenants::disable_confirmed_at.eq(None::<NaiveDateTime>),
                tenants::deletable_from.eq(None::<NaiveDateTime>),
            ))
            .execute(conn)
            .map_err(StoreError::query("save which domains were enabled on the PBX"))?;
    }
    Ok(())
}

/// As many as a statement takes: SQLite allows only so many values.
fn chunks(ids: &BTreeSet<TenantId>) -> Vec<Vec<String>> {
    let ids: Vec<String> = ids.iter().map(TenantId::to_string).collect();
    ids.chunks(500).map(<[String]>::to_vec).collect()
}

pub(super) fn remove_lasting_corrections(
    conn: &mut AnyConnection,
    record: &TenantRecord,
) -> Result<(), StoreError> {
    diesel::update(tenants::table.find(record.id.to_string()))
        .set(tenants::corrections_json.eq(codec::to_json(&record.corrections)))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("save which corrections lasted"))
}
