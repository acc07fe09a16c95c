//! What the removal limits count: one row for each tenant that was removed.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::removals;
use crate::model::{InstanceKey, RemovalKind, RemovalRecord, TenantId};

pub(super) fn since(conn: &mut AnyConnection, from: DateTime<Utc>) -> Result<Vec<RemovalRecord>, StoreError> {
    let operation = "read the removals of the last day";
    let rows: Vec<(String, String, String, NaiveDateTime)> = removals::table
        .select((removals::tenant_id, removals::kind, removals::instance, removals::at))
        .filter(removals::at.gt(from.naive_utc()))
        .order(removals::id)
        .load(conn)
        .map_err(StoreError::query(operation))?;
    rows.into_iter()
        .map(|(tenant, kind, instance, at)| {
            let bad = |found: &str, expected| StoreError::Row {
                operation,
                object: tenant.clone(),
                found: found.to_owned(),
                expected,
            };
            Ok(RemovalRecord {
                tenant: TenantId(tenant.parse().map_err(|_| bad(&tenant, "a uuid"))?),
                kind: match kind.as_str() {
                    "file_gone" => RemovalKind::FileGone,
                    "deleted" => RemovalKind::Deleted,
                    "disabled" => RemovalKind::Disabled,
                    "renamed" => RemovalKind::Renamed,
                    "moved" => RemovalKind::Moved,
                    other => return Err(bad(other, "a kind of removal")),
                },
                instance: InstanceKey::parse(&instance).map_err(|_| bad(&instance, "an instance key"))?,
                at: at.and_utc(),
            })
        })
        .collect()
}

pub(super) fn add(conn: &mut AnyConnection, removal: &RemovalRecord) -> Result<(), StoreError> {
    let RemovalRecord { tenant, kind, instance, at } = removal;
    diesel::insert_into(removals::table)
        .values((
            removals::tenant_id.eq(tenant.to_string()),
            removals::kind.eq(kind.as_str()),
            removals::instance.eq(instance.as_str()),
            removals::at.eq(at.naive_utc()),
        ))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("count the removal"))
}
