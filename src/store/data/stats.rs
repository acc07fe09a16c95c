//! Each tenant's numbers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamp};

use super::sql::{each, is_postgres, literal};
use crate::model::{Activity, MaxUsers, TenantId, TenantKey};
use crate::store::StoreError;
use crate::store::connection::AnyConnection;

/// What the statistics show of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantStats {
    pub id: TenantId,
    pub key: TenantKey,
    pub enabled: bool,
    /// The tenant's own limit; the tier may have a lower one.
    pub max_users: MaxUsers,
    /// Enabled user accounts.
    pub active_users: i64,
    /// Accounts that the PBX has enabled and that are refused, because the tenant is at its limit.
    pub users_over_limit: i64,
    pub files: i64,
    /// Of all files together.
    pub file_bytes: i64,
    pub open_sessions: i64,
    /// The newest of sessions (start, last seen), chat and SMS messages, calls and files.
    pub last_activity: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Bool)]
    enabled: bool,
    #[diesel(sql_type = Nullable<Integer>)]
    max_users: Option<i32>,
    #[diesel(sql_type = BigInt)]
    active_users: i64,
    #[diesel(sql_type = BigInt)]
    users_over_limit: i64,
    #[diesel(sql_type = BigInt)]
    files: i64,
    #[diesel(sql_type = BigInt)]
    file_bytes: i64,
    #[diesel(sql_type = BigInt)]
    open_sessions: i64,
    #[diesel(sql_type = Nullable<Timestamp>)]
    started: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    seen: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    chat: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    sms: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    call: Option<NaiveDateTime>,
    #[diesel(sql_type = Nullable<Timestamp>)]
    file: Option<NaiveDateTime>,
}

/// Each number is one look into an index that begins with the tenant.
const SQL: &str = "
SELECT t.id, t.key, t.enabled, t.max_users,
    (SELECT count(*) FROM users u WHERE u.tenant_id = t.id AND u.enabled) AS active_users,
    (SELECT count(*) FROM users u WHERE u.tenant_id = t.id AND u.over_limit) AS users_over_limit,
    (SELECT count(*) FROM files f WHERE f.tenant_id = t.id) AS files,
    (SELECT CAST(coalesce(sum(f.size_bytes), 0) AS BIGINT) FROM files f WHERE f.tenant_id = t.id) AS file_bytes,
    (SELECT count(*) FROM user_sessions s WHERE s.tenant_id = t.id AND s.ended_at IS NULL AND OPEN) AS open_sessions,
    (SELECT max(s.started_at) FROM user_sessions s WHERE s.tenant_id = t.id) AS started,
    (SELECT max(s.last_seen_at) FROM user_sessions s WHERE s.tenant_id = t.id) AS seen,
    (SELECT max(m.sent_at) FROM chat_messages m WHERE m.tenant_id = t.id) AS chat,
    (SELECT max(m.sent_at) FROM sms_messages m WHERE m.tenant_id = t.id) AS sms,
    (SELECT max(c.started_at) FROM call_records c WHERE c.tenant_id = t.id) AS call,
    (SELECT max(f.created_at) FROM files f WHERE f.tenant_id = t.id) AS file
FROM tenants t WHERE_ID ORDER BY t.key";

/// On SQLite a time is text, in whichever of its forms a service wrote it.
fn open(conn: &AnyConnection) -> &'static str {
    if is_postgres(conn) { "s.expires_at > $1" } else { "julianday(s.expires_at) > julianday($1)" }
}

pub(super) fn all(conn: &mut AnyConnection, now: DateTime<Utc>) -> Result<Vec<TenantStats>, StoreError> {
    counted(conn, "", now)
}

/// `which` is a condition on the tenants, or nothing.
fn counted(
    conn: &mut AnyConnection,
    which: &str,
    now: DateTime<Utc>,
) -> Result<Vec<TenantStats>, StoreError> {
    let operation = "count what tenants have";
    let query = SQL.replace("OPEN", open(conn)).replace("WHERE_ID", which);
    let rows: Vec<Row> = each!(conn, conn => diesel::sql_query(query)
        .bind::<Timestamp, _>(now.naive_utc())
        .load(conn))
    .map_err(StoreError::query(operation))?;
    rows.into_iter()
        .map(|row| {
            let bad = |found: &str, expected| StoreError::Row {
                operation,
                object: row.key.clone(),
                found: found.to_owned(),
                expected,
            };
            Ok(TenantStats {
                id: TenantId(row.id.parse().map_err(|_| bad(&row.id, "a uuid"))?),
                key: TenantKey::parse(&row.key).map_err(|_| bad(&row.key, "a tenant key"))?,
                enabled: row.enabled,
                max_users: row
                    .max_users
                    .and_then(|n| u32::try_from(n).ok())
                    .map_or(MaxUsers::Unlimited, MaxUsers::Limited),
                active_users: row.active_users,
                users_over_limit: row.users_over_limit,
                files: row.files,
                file_bytes: row.file_bytes,
                open_sessions: row.open_sessions,
                last_activity: [row.started, row.seen, row.chat, row.sms, row.call, row.file]
                    .into_iter()
                    .flatten()
                    .max()
                    .map(|at| at.and_utc()),
            })
        })
        .collect()
}

#[derive(QueryableByName)]
struct Sessions {
    #[diesel(sql_type = Text)]
    tenant_id: String,
    #[diesel(sql_type = BigInt)]
    open: i64,
}

pub(super) fn open_sessions(
    conn: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<BTreeMap<TenantId, i64>, StoreError> {
    let operation = "count open sessions";
    let query = format!(
        "SELECT s.tenant_id, count(*) AS open FROM user_sessions s WHERE s.ended_at IS NULL AND {} GROUP BY s.tenant_id",
        open(conn)
    );
    let rows: Vec<Sessions> = each!(conn, conn => diesel::sql_query(query)
        .bind::<Timestamp, _>(now.naive_utc())
        .load(conn))
    .map_err(StoreError::query(operation))?;
    Ok(rows.into_iter().filter_map(|row| Some((TenantId(row.tenant_id.parse().ok()?), row.open))).collect())
}

#[derive(QueryableByName)]
struct Start {
    #[diesel(sql_type = Text)]
    tenant_id: String,
    #[diesel(sql_type = Timestamp)]
    started_at: NaiveDateTime,
}

/// Tenants in one statement.
const SOME: usize = 500;

pub(super) fn activity(
    conn: &mut AnyConnection,
    of: &BTreeSet<TenantId>,
    shortened: &BTreeSet<TenantId>,
    now: DateTime<Utc>,
) -> Result<BTreeMap<TenantId, Activity>, StoreError> {
    let mut found = BTreeMap::new();
    for some in listed(of) {
        for tenant in counted(conn, &format!("WHERE t.id IN ({some})"), now)? {
            let TenantStats { id, active_users: users, open_sessions, last_activity, .. } = tenant;
            let session_starts = Vec::new();
            found.insert(id, Activity { users, open_sessions, last_activity, session_starts });
        }
    }
    for some in listed(shortened) {
        let query = format!(
            "SELECT s.tenant_id, s.started_at FROM user_sessions s WHERE s.ended_at IS NULL AND {} AND s.tenant_id IN \
             ({some}) ORDER BY s.started_at",
            open(conn)
        );
        let rows: Vec<Start> = each!(conn, conn => diesel::sql_query(query)
            .bind::<Timestamp, _>(now.naive_utc())
            .load(conn))
        .map_err(StoreError::query("read when open sessions began"))?;
        for Start { tenant_id, started_at } in rows {
            let tenant = tenant_id.parse().ok().and_then(|id| found.get_mut(&TenantId(id)));
            if let Some(activity) = tenant {
                activity.session_starts.push(started_at.and_utc());
            }
        }
    }
    Ok(found)
}

/// The tenants as lists of literals.
fn listed(ids: &BTreeSet<TenantId>) -> Vec<String> {
    let ids: Vec<String> = ids.iter().map(|id| literal(&id.to_string())).collect();
    ids.chunks(SOME).map(|some| some.join(", ")).collect()
}
