//! Pauses of tenantd's work.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::codec::key_of;
use super::connection::AnyConnection;
use super::schema::pauses;
use crate::model::{InstanceKey, Pause, TenantKey};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = pauses)]
struct Row {
    id: String,
    tenant_key: Option<String>,
    instance: Option<String>,
    until: NaiveDateTime,
    reason: String,
    paused_by: String,
    paused_at: NaiveDateTime,
}

/// Pauses that have not run out.
pub(super) fn current(conn: &mut AnyConnection, now: DateTime<Utc>) -> Result<Vec<Pause>, StoreError> {
    let operation = "read the pauses";
    let rows: Vec<Row> = pauses::table
        .select(Row::as_select())
        .filter(pauses::until.gt(now.naive_utc()))
        .order(pauses::id)
        .load(conn)
        .map_err(StoreError::query(operation))?;
    rows.into_iter()
        .map(|row| {
            let bad = |found: &str, expected| StoreError::Row {
                operation,
                object: "pauses".to_owned(),
                found: found.to_owned(),
                expected,
            };
            Ok(Pause {
                id: row.id.parse().map_err(|_| bad(&row.id, "a uuid"))?,
                key: row.tenant_key.as_deref().map(|key| key_of(operation, key)).transpose()?,
                instance: match row.instance.as_deref() {
                    Some(key) => Some(InstanceKey::parse(key).map_err(|_| bad(key, "an instance key"))?),
                    None => None,
                },
                until: row.until.and_utc(),
                reason: row.reason,
                paused_by: row.paused_by,
                paused_at: row.paused_at.and_utc(),
            })
        })
        .collect()
}

/// Records a pause in place of those of the same scope, which it returns: the newest decision counts.
pub(super) fn put(conn: &mut AnyConnection, pause: &Pause) -> Result<Vec<Pause>, StoreError> {
    let mut replaced = current(conn, pause.paused_at)?;
    replaced.retain(|other| other.key == pause.key && other.instance == pause.instance);
    resume(conn, pause.key.as_ref(), pause.instance.as_ref())?;
    let Pause { id, key, instance, until, reason, paused_by, paused_at } = pause;
    diesel::insert_into(pauses::table)
        .values(Row {
            id: id.to_string(),
            tenant_key: key.as_ref().map(TenantKey::to_string),
            instance: instance.as_ref().map(InstanceKey::to_string),
            until: until.naive_utc(),
            reason: reason.clone(),
            paused_by: paused_by.clone(),
            paused_at: paused_at.naive_utc(),
        })
        .execute(conn)
        .map_err(StoreError::query("record the pause"))?;
    Ok(replaced)
}

/// Ends the pauses of exactly this scope; returns how many there were.
pub(super) fn resume(
    conn: &mut AnyConnection,
    key: Option<&TenantKey>,
    instance: Option<&InstanceKey>,
) -> Result<usize, StoreError> {
    let key = key.map(TenantKey::as_str);
    let instance = instance.map(InstanceKey::as_str);
    let failed = StoreError::query("end the pause");
    match (key, instance) {
        (Some(key), _) => {
            diesel::delete(pauses::table.filter(pauses::tenant_key.eq(Some(key)))).execute(conn)
        }
        (None, Some(instance)) => {
            diesel::delete(pauses::table.filter(pauses::instance.eq(Some(instance)))).execute(conn)
        }
        (None, None) => diesel::delete(
            pauses::table.filter(pauses::tenant_key.is_null()).filter(pauses::instance.is_null()),
        )
        .execute(conn),
    }
    .map_err(failed)
}
