//! The PBX instances as they were last seen, and who they proved to be.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::pbx_instances;
use crate::model::InstanceKey;

/// What is recorded of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRecord {
    pub key: String,
    pub url: String,
    /// Identity of the domain of tenantd's own account there: another one means another server.
    pub identity: Option<String>,
    pub enrolled_at: DateTime<Utc>,
    pub last_seen_at: Option<DateTime<Utc>>,
    pub last_problem: Option<String>,
    pub last_problem_at: Option<DateTime<Utc>>,
    /// The FusionPBX version that it showed last.
    pub version: Option<String>,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = pbx_instances, treat_none_as_null = true)]
struct Row {
    key: String,
    url: String,
    identity: Option<String>,
    enrolled_at: NaiveDateTime,
    last_seen_at: Option<NaiveDateTime>,
    last_problem: Option<String>,
    last_problem_at: Option<NaiveDateTime>,
    version: Option<String>,
}

impl From<Row> for InstanceRecord {
    fn from(row: Row) -> Self {
        let Row { key, url, identity, enrolled_at, last_seen_at, last_problem, last_problem_at, version } =
            row;
        Self {
            key,
            url,
            identity,
            enrolled_at: enrolled_at.and_utc(),
            last_seen_at: last_seen_at.map(|at| at.and_utc()),
            last_problem,
            last_problem_at: last_problem_at.map(|at| at.and_utc()),
            version,
        }
    }
}

pub(super) fn all(conn: &mut AnyConnection) -> Result<Vec<InstanceRecord>, StoreError> {
    let rows: Vec<Row> = pbx_instances::table
        .select(Row::as_select())
        .order(pbx_instances::key)
        .load(conn)
        .map_err(StoreError::query("read the PBX instances"))?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Notes how an instance was seen in this pass: whole, with the version that it shows, or why not.
pub(super) fn note(
    conn: &mut AnyConnection,
    key: &InstanceKey,
    url: &str,
    identity: Option<&str>,
    seen: Result<Option<&str>, &str>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let now = now.naive_utc();
    let failed = || StoreError::query("save the state of the PBX instance");
    let known: Option<Row> = pbx_instances::table
        .find(key.as_str())
        .select(Row::as_select())
        .first(conn)
        .optional()
        .map_err(failed())?;
    let is_new = known.is_none();
    let mut row = known.unwrap_or_else(|| Row {
        key: key.to_string(),
        url: url.to_owned(),
        identity: None,
        enrolled_at: now,
        last_seen_at: None,
        last_problem: None,
        last_problem_at: None,
        version: None,
    });
    row.url = url.to_owned();
    match seen {
        Ok(version) => {
            row.last_seen_at = Some(now);
            row.last_problem = None;
            row.version = version.map(str::to_owned);
            row.identity = row.identity.or_else(|| identity.map(str::to_owned));
        }
        Err(problem) => {
            row.last_problem = Some(problem.to_owned());
            row.last_problem_at = Some(now);
        }
    }
    if is_new {
        diesel::insert_into(pbx_instances::table).values(row).execute(conn)
    } else {
        diesel::update(pbx_instances::table.find(key.as_str())).set(row).execute(conn)
    }
    .map(drop)
    .map_err(failed())
}

pub(super) fn forget_identity(
    conn: &mut AnyConnection,
    key: &InstanceKey,
    url: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    note(conn, key, url, None, Err("to be enrolled again"), now)?;
    diesel::update(pbx_instances::table.find(key.as_str()))
        .set(pbx_instances::identity.eq(None::<String>))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("clear the identity of the PBX instance"))
}
