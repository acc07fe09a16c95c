//! What operators decided: approvals and pauses.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::{approvals, suspensions};
use crate::model::{Approval, InstanceKey, Suspension, TenantKey};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = approvals)]
struct ApprovalRow {
    id: String,
    removals_id: Option<String>,
    tenant_key: Option<String>,
    approved_by: String,
    approved_at: NaiveDateTime,
    expires_at: NaiveDateTime,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = suspensions)]
struct SuspensionRow {
    id: String,
    tenant_key: Option<String>,
    instance: Option<String>,
    until: NaiveDateTime,
    reason: String,
    suspended_by: String,
    suspended_at: NaiveDateTime,
}

fn key_of(text: &str) -> Result<TenantKey, StoreError> {
    TenantKey::parse(text).map_err(|_| StoreError::Row {
        operation: "read approvals and pauses",
        object: text.to_owned(),
        found: text.to_owned(),
        expected: "a tenant key",
    })
}

/// Approvals that have not expired.
pub(super) fn approvals(conn: &mut AnyConnection, now: DateTime<Utc>) -> Result<Vec<Approval>, StoreError> {
    let operation = "read the approvals";
    let rows: Vec<ApprovalRow> = approvals::table
        .select(ApprovalRow::as_select())
        .filter(approvals::expires_at.gt(now.naive_utc()))
        .order(approvals::id)
        .load(conn)
        .map_err(StoreError::query(operation))?;
    rows.into_iter()
        .map(|row| {
            Ok(Approval {
                id: row.id.parse().map_err(|_| StoreError::Row {
                    operation,
                    object: "approvals".to_owned(),
                    found: row.id.clone(),
                    expected: "a uuid",
                })?,
                removals_id: row.removals_id,
                deletion_of: row.tenant_key.as_deref().map(key_of).transpose()?,
                approved_by: row.approved_by,
                approved_at: row.approved_at.and_utc(),
                expires_at: row.expires_at.and_utc(),
            })
        })
        .collect()
}

pub(super) fn approve(conn: &mut AnyConnection, approval: &Approval) -> Result<(), StoreError> {
    let Approval { id, removals_id, deletion_of, approved_by, approved_at, expires_at } = approval;
    diesel::insert_into(approvals::table)
        .values(ApprovalRow {
            id: id.to_string(),
            removals_id: removals_id.clone(),
            tenant_key: deletion_of.as_ref().map(TenantKey::to_string),
            approved_by: approved_by.clone(),
            approved_at: approved_at.naive_utc(),
            expires_at: expires_at.naive_utc(),
        })
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("record the approval"))
}

/// Uses up the approvals of a tenant's deletion.
pub(super) fn use_up(conn: &mut AnyConnection, key: &TenantKey) -> Result<(), StoreError> {
    diesel::delete(approvals::table.filter(approvals::tenant_key.eq(Some(key.as_str()))))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("use up the approval"))
}

/// Pauses that have not run out.
pub(super) fn suspensions(
    conn: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Suspension>, StoreError> {
    let operation = "read the pauses";
    let rows: Vec<SuspensionRow> = suspensions::table
        .select(SuspensionRow::as_select())
        .filter(suspensions::until.gt(now.naive_utc()))
        .order(suspensions::id)
        .load(conn)
        .map_err(StoreError::query(operation))?;
    rows.into_iter()
        .map(|row| {
            let bad = |found: &str, expected| StoreError::Row {
                operation,
                object: "suspensions".to_owned(),
                found: found.to_owned(),
                expected,
            };
            Ok(Suspension {
                id: row.id.parse().map_err(|_| bad(&row.id, "a uuid"))?,
                key: row.tenant_key.as_deref().map(key_of).transpose()?,
                instance: match row.instance.as_deref() {
                    Some(key) => Some(InstanceKey::parse(key).map_err(|_| bad(key, "an instance key"))?),
                    None => None,
                },
                until: row.until.and_utc(),
                reason: row.reason,
                suspended_by: row.suspended_by,
                suspended_at: row.suspended_at.and_utc(),
            })
        })
        .collect()
}

/// Records a pause in place of those of the same scope, which it returns: the newest decision counts.
pub(super) fn suspend(
    conn: &mut AnyConnection,
    suspension: &Suspension,
) -> Result<Vec<Suspension>, StoreError> {
    let mut replaced = suspensions(conn, suspension.suspended_at)?;
    replaced.retain(|other| other.key == suspension.key && other.instance == suspension.instance);
    resume(conn, suspension.key.as_ref(), suspension.instance.as_ref())?;
    let Suspension { id, key, instance, until, reason, suspended_by, suspended_at } = suspension;
    diesel::insert_into(suspensions::table)
        .values(SuspensionRow {
            id: id.to_string(),
            tenant_key: key.as_ref().map(TenantKey::to_string),
            instance: instance.as_ref().map(InstanceKey::to_string),
            until: until.naive_utc(),
            reason: reason.clone(),
            suspended_by: suspended_by.clone(),
            suspended_at: suspended_at.naive_utc(),
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
            diesel::delete(suspensions::table.filter(suspensions::tenant_key.eq(Some(key)))).execute(conn)
        }
        (None, Some(instance)) => {
            diesel::delete(suspensions::table.filter(suspensions::instance.eq(Some(instance)))).execute(conn)
        }
        (None, None) => diesel::delete(
            suspensions::table
                .filter(suspensions::tenant_key.is_null())
                .filter(suspensions::instance.is_null()),
        )
        .execute(conn),
    }
    .map_err(failed)
}
