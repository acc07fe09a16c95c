//! What operators approved.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::codec::key_of;
use super::connection::AnyConnection;
use super::schema::approvals;
use crate::model::{Approval, TenantKey};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = approvals)]
struct Row {
    id: String,
    removals_id: Option<String>,
    tenant_key: Option<String>,
    approved_by: String,
    approved_at: NaiveDateTime,
    expires_at: NaiveDateTime,
}

/// Approvals that have not expired.
pub(super) fn current(conn: &mut AnyConnection, now: DateTime<Utc>) -> Result<Vec<Approval>, StoreError> {
    let operation = "read the approvals";
    let rows: Vec<Row> = approvals::table
        .select(Row::as_select())
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
                deletion_of: row.tenant_key.as_deref().map(|key| key_of(operation, key)).transpose()?,
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
        .values(Row {
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
