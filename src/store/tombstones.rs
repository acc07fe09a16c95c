//! What remains of deleted tenants.

use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::tombstones;
use crate::model::{DomainId, DomainName, InstanceKey, TenantId, TenantKey, Tombstone};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = tombstones)]
struct Row {
    tenant_id: String,
    key: String,
    name: String,
    domain: String,
    instance: String,
    domain_id: String,
    disabled_at: Option<chrono::NaiveDateTime>,
    deleted_at: chrono::NaiveDateTime,
    archive: Option<String>,
    archive_sha256: Option<String>,
}

pub(super) fn add(conn: &mut AnyConnection, tombstone: &Tombstone) -> Result<(), StoreError> {
    let Tombstone {
        tenant,
        key,
        name,
        domain,
        instance,
        domain_id,
        disabled_at,
        deleted_at,
        archive,
        archive_sha256,
    } = tombstone;
    diesel::insert_into(tombstones::table)
        .values(Row {
            tenant_id: tenant.to_string(),
            key: key.to_string(),
            name: name.clone(),
            domain: domain.to_string(),
            instance: instance.to_string(),
            domain_id: domain_id.to_string(),
            disabled_at: disabled_at.map(|at| at.naive_utc()),
            deleted_at: deleted_at.naive_utc(),
            archive: archive.clone(),
            archive_sha256: archive_sha256.clone(),
        })
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("write the tombstone"))
}

pub(super) fn remove(conn: &mut AnyConnection, id: TenantId) -> Result<(), StoreError> {
    diesel::delete(tombstones::table.find(id.to_string()))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("remove the tombstone"))
}

pub(super) fn all(conn: &mut AnyConnection) -> Result<Vec<Tombstone>, StoreError> {
    let operation = "read the tombstones";
    let rows: Vec<Row> = tombstones::table
        .select(Row::as_select())
        .order((tombstones::deleted_at, tombstones::tenant_id))
        .load(conn)
        .map_err(StoreError::query(operation))?;
    rows.into_iter()
        .map(|row| {
            let bad = |found: &str, expected| StoreError::Row {
                operation,
                object: row.key.clone(),
                found: found.to_owned(),
                expected,
            };
            Ok(Tombstone {
                tenant: TenantId(row.tenant_id.parse().map_err(|_| bad(&row.tenant_id, "a uuid"))?),
                key: TenantKey::parse(&row.key).map_err(|_| bad(&row.key, "a tenant key"))?,
                name: row.name,
                domain: DomainName::trusted(row.domain),
                instance: InstanceKey::parse(&row.instance).map_err(|_| bad(&row.instance, "an instance"))?,
                domain_id: DomainId(row.domain_id.parse().map_err(|_| bad(&row.domain_id, "a uuid"))?),
                disabled_at: row.disabled_at.map(|at| at.and_utc()),
                deleted_at: row.deleted_at.and_utc(),
                archive: row.archive,
                archive_sha256: row.archive_sha256,
            })
        })
        .collect()
}
