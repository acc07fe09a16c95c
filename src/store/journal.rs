//! Intents: a row before each changing request, closed after its read-back.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::journal;
use crate::model::{InstanceKey, OpenIntent, TenantId, TenantKey};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = journal)]
struct IntentRow {
    id: String,
    plan_id: String,
    tenant_id: String,
    tenant_key: String,
    instance: String,
    action: String,
    request: String,
    opened_at: NaiveDateTime,
    closed_at: Option<NaiveDateTime>,
    outcome: Option<String>,
}

const READ: &str = "read the open intents";

pub(super) fn open_intents(conn: &mut AnyConnection) -> Result<Vec<OpenIntent>, StoreError> {
    let rows: Vec<IntentRow> = journal::table
        .select(IntentRow::as_select())
        .filter(journal::closed_at.is_null())
        .order(journal::id)
        .load(conn)
        .map_err(StoreError::query(READ))?;
    rows.into_iter()
        .map(|row| {
            let bad = |found: &str, expected: &'static str| StoreError::Row {
                operation: READ,
                object: row.tenant_key.clone(),
                found: found.to_owned(),
                expected,
            };
            Ok(OpenIntent {
                id: row.id.parse().map_err(|_| bad(&row.id, "a uuid"))?,
                tenant: TenantId(row.tenant_id.parse().map_err(|_| bad(&row.tenant_id, "a uuid"))?),
                key: TenantKey::parse(&row.tenant_key).map_err(|_| bad(&row.tenant_key, "a tenant key"))?,
                instance: InstanceKey::parse(&row.instance).map_err(|_| bad(&row.instance, "an instance"))?,
                action: row.action,
                opened_at: row.opened_at.and_utc(),
            })
        })
        .collect()
}

pub(super) fn open(
    conn: &mut AnyConnection,
    intent: &OpenIntent,
    plan_id: &str,
    request: &str,
) -> Result<(), StoreError> {
    let OpenIntent { id, tenant, key, instance, action, opened_at } = intent;
    diesel::insert_into(journal::table)
        .values(IntentRow {
            id: id.to_string(),
            plan_id: plan_id.to_owned(),
            tenant_id: tenant.to_string(),
            tenant_key: key.to_string(),
            instance: instance.to_string(),
            action: action.clone(),
            request: request.to_owned(),
            opened_at: opened_at.naive_utc(),
            closed_at: None,
            outcome: None,
        })
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("write the intent"))
}

pub(super) fn close(
    conn: &mut AnyConnection,
    id: Uuid,
    outcome: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(journal::table.find(id.to_string()))
        .set((journal::closed_at.eq(Some(now.naive_utc())), journal::outcome.eq(Some(outcome))))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("close the intent"))
}

/// Drops closed intents from before a moment; what happened stays in the audit log.
pub(super) fn forget_closed_before(
    conn: &mut AnyConnection,
    before: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::delete(journal::table.filter(journal::closed_at.lt(Some(before.naive_utc()))))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("delete old intents"))
}
