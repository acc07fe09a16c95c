//! How each tenant stands, as the last run concluded: one row for each, written only when it changes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::tenant_conditions;
use crate::model::{Condition, ConditionSince, TenantCondition, TenantKey};

/// Which tenants a run checked.
#[derive(Clone, Copy, Debug)]
pub enum About<'a> {
    All,
    Only(&'a BTreeSet<TenantKey>),
}

impl About<'_> {
    fn covers(self, key: &TenantKey) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(key),
        }
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = tenant_conditions, treat_none_as_null = true)]
struct Row {
    tenant_key: String,
    condition: String,
    reason: Option<String>,
    lifted_by: Option<String>,
    until: Option<NaiveDateTime>,
    since: NaiveDateTime,
}

const READ: &str = "read the tenants' conditions";

pub(super) fn all(conn: &mut AnyConnection) -> Result<BTreeMap<TenantKey, ConditionSince>, StoreError> {
    let rows: Vec<Row> = tenant_conditions::table
        .select(Row::as_select())
        .order(tenant_conditions::tenant_key)
        .load(conn)
        .map_err(StoreError::query(READ))?;
    rows.into_iter().map(Row::into_known).collect()
}

impl Row {
    fn new(key: &TenantKey, standing: &TenantCondition, since: DateTime<Utc>) -> Self {
        let TenantCondition { condition, reason, lifted_by, until } = standing;
        Self {
            tenant_key: key.to_string(),
            condition: condition.as_str().to_owned(),
            reason: reason.clone(),
            lifted_by: lifted_by.clone(),
            until: until.map(|at| at.naive_utc()),
            since: since.naive_utc(),
        }
    }

    fn into_known(self) -> Result<(TenantKey, ConditionSince), StoreError> {
        let Self { tenant_key, condition, reason, lifted_by, until, since } = self;
        let bad = |found: &str, expected| StoreError::Row {
            operation: READ,
            object: "tenant_conditions".to_owned(),
            found: found.to_owned(),
            expected,
        };
        let key = TenantKey::parse(&tenant_key).map_err(|_| bad(&tenant_key, "a tenant key"))?;
        let condition = Condition::parse(&condition).ok_or_else(|| bad(&condition, "a condition"))?;
        let standing = TenantCondition { condition, reason, lifted_by, until: until.map(|at| at.and_utc()) };
        Ok((key, ConditionSince { standing, since: since.and_utc() }))
    }
}

pub(super) fn put(
    conn: &mut AnyConnection,
    standings: &BTreeMap<TenantKey, TenantCondition>,
    about: About<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let failed = || StoreError::query("save the tenants' conditions");
    let known = all(conn)?;
    for (key, standing) in standings {
        let before = known.get(key);
        if before.is_some_and(|before| before.standing == *standing) {
            continue;
        }
        let goes_on = before.filter(|before| standing.goes_on(&before.standing));
        let row = Row::new(key, standing, goes_on.map_or(now, |before| before.since));
        match before {
            Some(_) => diesel::update(tenant_conditions::table.find(key.as_str())).set(row).execute(conn),
            None => diesel::insert_into(tenant_conditions::table).values(row).execute(conn),
        }
        .map_err(failed())?;
    }
    let is_gone = |key: &&TenantKey| !standings.contains_key(*key) && about.covers(key);
    for key in known.keys().filter(is_gone) {
        diesel::delete(tenant_conditions::table.find(key.as_str())).execute(conn).map_err(failed())?;
    }
    Ok(())
}
