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
    /// `tenant.deleted`, `tenant.adopted`, `tenant.dropped`, `approval.given`, …
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

/// The newest entries of the tenant that has this key now, newest first, under whatever key it had before. Of an
/// earlier tenant that had the key they are not, unless they are asked for. Where no tenant has it, they are those of
/// the key.
pub(super) fn of_tenant(
    conn: &mut AnyConnection,
    key: &TenantKey,
    with_earlier: bool,
    most: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let Some(id) = owner(conn, key)? else { return newest(conn, Some(key), most) };
    // What is said of a key before its tenant is made has no identity: it belongs to the tenant that was made next.
    let last_of_others: Option<i64> = audit_log::table
        .filter(audit_log::tenant_key.eq(key.as_str()))
        .filter(audit_log::tenant_id.is_not_null())
        .filter(audit_log::tenant_id.ne(&id))
        .select(diesel::dsl::max(audit_log::id))
        .first(conn)
        .map_err(StoreError::query(READ))?;
    let since = if with_earlier { 0 } else { last_of_others.unwrap_or(0) };
    let of_the_key = audit_log::tenant_key.eq(key.as_str()).and(audit_log::id.gt(since)).nullable();
    let of_it = audit_log::tenant_id.eq(Some(id));
    let rows: Vec<Row> = audit_log::table
        .select(Row::as_select())
        .filter(of_the_key.or(of_it))
        .order(audit_log::id.desc())
        .limit(most)
        .load(conn)
        .map_err(StoreError::query(READ))?;
    rows.into_iter().map(Row::into_entry).collect()
}

/// The identity of the tenant that has this key.
fn owner(conn: &mut AnyConnection, key: &TenantKey) -> Result<Option<String>, StoreError> {
    tenants::table
        .filter(tenants::key.eq(key.as_str()))
        .select(tenants::id)
        .first(conn)
        .optional()
        .map_err(StoreError::query(READ))
}

/// The tenants that had this key before the one that has it now.
pub(super) fn earlier(conn: &mut AnyConnection, key: &TenantKey) -> Result<Vec<TenantId>, StoreError> {
    let Some(owner) = owner(conn, key)? else { return Ok(Vec::new()) };
    let ids: Vec<Option<String>> = audit_log::table
        .filter(audit_log::tenant_key.eq(key.as_str()))
        .filter(audit_log::tenant_id.is_not_null())
        .filter(audit_log::tenant_id.ne(owner))
        .group_by(audit_log::tenant_id)
        .order(diesel::dsl::max(audit_log::id).desc())
        .select(audit_log::tenant_id)
        .load(conn)
        .map_err(StoreError::query(READ))?;
    Ok(ids.into_iter().flatten().filter_map(|id| id.parse().ok()).map(TenantId).collect())
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
