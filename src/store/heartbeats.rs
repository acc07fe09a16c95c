//! Heartbeats: one row for each daemon, and one for the last run from the command line.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::heartbeats;
use crate::model::{DaemonState, Heartbeat};

/// How long the heartbeat of a daemon that ended unexpectedly is kept.
const KEPT: TimeDelta = TimeDelta::days(7);

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = heartbeats, treat_none_as_null = true)]
struct Row {
    holder: String,
    state: String,
    interval_seconds: i64,
    seen_at: NaiveDateTime,
    pass_started_at: Option<NaiveDateTime>,
    pass_ended_at: Option<NaiveDateTime>,
    pass_result: Option<String>,
    next_pass_at: Option<NaiveDateTime>,
    last_error: Option<String>,
    last_error_at: Option<NaiveDateTime>,
    configuration_error: Option<String>,
    configuration_error_at: Option<NaiveDateTime>,
}

const READ: &str = "read the heartbeats";

pub(super) fn all(conn: &mut AnyConnection) -> Result<Vec<Heartbeat>, StoreError> {
    let rows: Vec<Row> = heartbeats::table
        .select(Row::as_select())
        .order(heartbeats::seen_at.desc())
        .load(conn)
        .map_err(StoreError::query(READ))?;
    rows.into_iter().map(Row::into_heartbeat).collect()
}

impl Row {
    fn into_heartbeat(self) -> Result<Heartbeat, StoreError> {
        let state = DaemonState::parse(&self.state).ok_or_else(|| StoreError::Row {
            operation: READ,
            object: "heartbeats".to_owned(),
            found: self.state.clone(),
            expected: "a daemon's state",
        })?;
        let utc = |at: Option<NaiveDateTime>| at.map(|at| at.and_utc());
        Ok(Heartbeat {
            holder: self.holder,
            state,
            interval_seconds: self.interval_seconds,
            seen_at: self.seen_at.and_utc(),
            pass_started_at: utc(self.pass_started_at),
            pass_ended_at: utc(self.pass_ended_at),
            pass_result: self.pass_result,
            next_pass_at: utc(self.next_pass_at),
            last_error: self.last_error,
            last_error_at: utc(self.last_error_at),
            configuration_error: self.configuration_error,
            configuration_error_at: utc(self.configuration_error_at),
        })
    }
}

impl From<&Heartbeat> for Row {
    fn from(heartbeat: &Heartbeat) -> Self {
        let Heartbeat {
            holder,
            state,
            interval_seconds,
            seen_at,
            pass_started_at,
            pass_ended_at,
            pass_result,
            next_pass_at,
            last_error,
            last_error_at,
            configuration_error,
            configuration_error_at,
        } = heartbeat;
        Self {
            holder: holder.clone(),
            state: state.as_str().to_owned(),
            interval_seconds: *interval_seconds,
            seen_at: seen_at.naive_utc(),
            pass_started_at: pass_started_at.map(|at| at.naive_utc()),
            pass_ended_at: pass_ended_at.map(|at| at.naive_utc()),
            pass_result: pass_result.clone(),
            next_pass_at: next_pass_at.map(|at| at.naive_utc()),
            last_error: last_error.clone(),
            last_error_at: last_error_at.map(|at| at.naive_utc()),
            configuration_error: configuration_error.clone(),
            configuration_error_at: configuration_error_at.map(|at| at.naive_utc()),
        }
    }
}

/// Writes a heartbeat. There is one that serves: what another one wrote before it is over.
pub(super) fn put(conn: &mut AnyConnection, heartbeat: &Heartbeat) -> Result<(), StoreError> {
    let failed = || StoreError::query("write the heartbeat");
    let mine = heartbeats::table.find(&heartbeat.holder);
    let changed = diesel::update(mine).set(Row::from(heartbeat)).execute(conn).map_err(failed())?;
    if changed == 0 {
        diesel::insert_into(heartbeats::table).values(Row::from(heartbeat)).execute(conn).map_err(failed())?;
    }
    let others = heartbeats::table
        .filter(heartbeats::holder.ne(&heartbeat.holder))
        .filter(heartbeats::state.ne(DaemonState::Command.as_str()));
    let old = (heartbeat.seen_at - KEPT).naive_utc();
    diesel::delete(others.filter(heartbeats::seen_at.lt(old))).execute(conn).map_err(failed())?;
    if heartbeat.state == DaemonState::Serving {
        let over = [DaemonState::Serving.as_str(), DaemonState::Stopped.as_str()];
        diesel::delete(others.filter(heartbeats::state.eq_any(over))).execute(conn).map_err(failed())?;
    }
    Ok(())
}
