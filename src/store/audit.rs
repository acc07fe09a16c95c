//! The audit log: every step that was carried out or failed, in words and values, append-only.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::{audit_log, tenants};
use crate::model::{InstanceKey, TenantId, TenantKey};

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: DateTime<Utc>,
    /// Who, or which commit: `daemon (commit 1a2b3c4)`, `apply by alice`.
    pub actor: String,
    /// `tenant.created`, `tenant.updated`, `tenant.renamed`, `tenant.disabled`, `tenant.enabled`, `tenant.moved`,
    /// `tenant.deleted`, `tenant.adopted`, `tenant.forgotten`, `approval.given`, …
    pub event: String,
    pub tenant: Option<TenantId>,
    pub key: TenantKey,
    pub instance: Option<InstanceKey>,
    pub plan_id: Option<String>,
    /// JSON of the changed fields before and after.
    pub before: Option<String>,
    pub after: Option<String>,
    pub done: bool,
    /// Why it failed, or what was particular.
    pub detail: Option<String>,
}

impl AuditEntry {
    /// Something that was done, of which no more is known.
    pub fn new(
        at: DateTime<Utc>,
        actor: impl Into<String>,
        event: impl Into<String>,
        key: TenantKey,
    ) -> Self {
        Self {
            at,
            actor: actor.into(),
            event: event.into(),
            tenant: None,
            key,
            instance: None,
            plan_id: None,
            before: None,
            after: None,
            done: true,
            detail: None,
        }
    }
}

#[derive(Insertable)]
#[diesel(table_name = audit_log)]
struct NewRow<'a> {
    at: NaiveDateTime,
    actor: &'a str,
    event: &'a str,
    tenant_id: Option<String>,
    tenant_key: &'a str,
    instance: Option<&'a str>,
    plan_id: Option<&'a str>,
    before_json: Option<&'a str>,
    after_json: Option<&'a str>,
    result: &'a str,
    detail: Option<&'a str>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_log)]
struct Row {
    at: NaiveDateTime,
    actor: String,
    event: String,
    tenant_id: Option<String>,
    tenant_key: String,
    instance: Option<String>,
    plan_id: Option<String>,
    before_json: Option<String>,
    after_json: Option<String>,
    result: String,
    detail: Option<String>,
}

pub(super) fn append(conn: &mut AnyConnection, entry: &AuditEntry) -> Result<(), StoreError> {
    let AuditEntry { at, actor, event, tenant, key, instance, plan_id, before, after, done, detail } = entry;
    diesel::insert_into(audit_log::table)
        .values(NewRow {
            at: at.naive_utc(),
            actor,
            event,
            tenant_id: tenant.map(|id| id.to_string()),
            tenant_key: key.as_str(),
            instance: instance.as_ref().map(InstanceKey::as_str),
            plan_id: plan_id.as_deref(),
            before_json: before.as_deref(),
            after_json: after.as_deref(),
            result: if *done { "done" } else { "failed" },
            detail: detail.as_deref(),
        })
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("append to the audit log"))
}

/// The newest entries of one tenant, or of all, newest first.
pub(super) fn newest(
    conn: &mut AnyConnection,
    key: Option<&TenantKey>,
    most: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows: Vec<Row> = match key {
        Some(key) => audit_log::table
            .select(Row::as_select())
            .filter(audit_log::tenant_key.eq(key.as_str()))
            .order(audit_log::id.desc())
            .limit(most)
            .load(conn),
        None => audit_log::table.select(Row::as_select()).order(audit_log::id.desc()).limit(most).load(conn),
    }
    .map_err(StoreError::query(READ))?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// The newest entries of one tenant, newest first: under this key, and under every other key that the tenant which has
/// it now had before.
pub(super) fn of_tenant(
    conn: &mut AnyConnection,
    key: &TenantKey,
    most: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let id: Option<String> = tenants::table
        .filter(tenants::key.eq(key.as_str()))
        .select(tenants::id)
        .first(conn)
        .optional()
        .map_err(StoreError::query(READ))?;
    let Some(id) = id else { return newest(conn, Some(key), most) };
    let is_its = audit_log::tenant_key.eq(key.as_str()).nullable().or(audit_log::tenant_id.eq(Some(id)));
    let rows: Vec<Row> = audit_log::table
        .select(Row::as_select())
        .filter(is_its)
        .order(audit_log::id.desc())
        .limit(most)
        .load(conn)
        .map_err(StoreError::query(READ))?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// The newest entry of each tenant, by key: what was done to it or failed, not what people said about it meanwhile.
pub(super) fn last_of_each(conn: &mut AnyConnection) -> Result<Vec<AuditEntry>, StoreError> {
    let newest: Vec<Option<i64>> = audit_log::table
        .filter(audit_log::event.like("tenant.%"))
        .group_by(audit_log::tenant_key)
        .select(diesel::dsl::max(audit_log::id))
        .load(conn)
        .map_err(StoreError::query(READ))?;
    let newest: Vec<i64> = newest.into_iter().flatten().collect();
    let mut entries = Vec::with_capacity(newest.len());
    for some in newest.chunks(500) {
        let rows: Vec<Row> = audit_log::table
            .select(Row::as_select())
            .filter(audit_log::id.eq_any(some.to_vec()))
            .order(audit_log::tenant_key)
            .load(conn)
            .map_err(StoreError::query(READ))?;
        for row in rows {
            entries.push(row.into_entry()?);
        }
    }
    Ok(entries)
}

const READ: &str = "read the audit log";

impl Row {
    fn into_entry(self) -> Result<AuditEntry, StoreError> {
        let key = TenantKey::parse(&self.tenant_key).map_err(|_| StoreError::Row {
            operation: READ,
            object: "audit_log".to_owned(),
            found: self.tenant_key.clone(),
            expected: "a tenant key",
        })?;
        Ok(AuditEntry {
            at: self.at.and_utc(),
            actor: self.actor,
            event: self.event,
            tenant: self.tenant_id.and_then(|id| id.parse().ok()).map(TenantId),
            key,
            instance: self.instance.and_then(|key| InstanceKey::parse(&key).ok()),
            plan_id: self.plan_id,
            before: self.before_json,
            after: self.after_json,
            done: self.result == "done",
            detail: self.detail,
        })
    }
}
