//! Which tenants have an archive that was read back and found whole.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use crate::model::TenantId;
use crate::store::StoreError;
use crate::store::connection::AnyConnection;

diesel::table! {
    archives (tenant_id) {
        tenant_id -> Text,
        path -> Text,
        sha256 -> Text,
        rows -> BigInt,
        checked_at -> Timestamp,
    }
}

/// The newest checked archive of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRecord {
    pub tenant: TenantId,
    pub path: String,
    /// Of the file, in hex.
    pub sha256: String,
    pub rows: i64,
    pub checked_at: DateTime<Utc>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = archives)]
struct Row {
    tenant_id: String,
    path: String,
    sha256: String,
    rows: i64,
    checked_at: NaiveDateTime,
}

pub(super) fn all(conn: &mut AnyConnection) -> Result<BTreeMap<TenantId, ArchiveRecord>, StoreError> {
    let rows: Vec<Row> = archives::table
        .select(Row::as_select())
        .load(conn)
        .map_err(StoreError::query("read the archives"))?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let tenant = TenantId(row.tenant_id.parse().ok()?);
            let Row { tenant_id: _, path, sha256, rows, checked_at } = row;
            Some((tenant, ArchiveRecord { tenant, path, sha256, rows, checked_at: checked_at.and_utc() }))
        })
        .collect())
}

pub(super) fn put(conn: &mut AnyConnection, archive: &ArchiveRecord) -> Result<(), StoreError> {
    let operation = "save that a tenant is archived";
    let ArchiveRecord { tenant, path, sha256, rows, checked_at } = archive;
    diesel::delete(archives::table.find(tenant.to_string()))
        .execute(conn)
        .map_err(StoreError::query(operation))?;
    diesel::insert_into(archives::table)
        .values(Row {
            tenant_id: tenant.to_string(),
            path: path.clone(),
            sha256: sha256.clone(),
            rows: *rows,
            checked_at: checked_at.naive_utc(),
        })
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query(operation))
}
