//! Single values that processes tell each other through the database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::StoreError;
use super::connection::AnyConnection;
use super::schema::facts;

pub(super) fn get(conn: &mut AnyConnection, name: &str) -> Result<Option<String>, StoreError> {
    facts::table
        .find(name)
        .select(facts::value)
        .first(conn)
        .optional()
        .map_err(StoreError::query("read a fact"))
}

pub(super) fn put(
    conn: &mut AnyConnection,
    name: &str,
    value: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // In one statement: two commands that write the same fact at once both succeed.
    let row = (facts::name.eq(name), facts::value.eq(value), facts::updated_at.eq(now.naive_utc()));
    let same = (facts::value.eq(value), facts::updated_at.eq(now.naive_utc()));
    let insert = diesel::insert_into(facts::table).values(row).on_conflict(facts::name).do_update().set(same);
    match conn {
        AnyConnection::Sqlite(conn) => insert.execute(conn),
        AnyConnection::Postgres(conn) => insert.execute(conn),
    }
    .map(drop)
    .map_err(StoreError::query("write a fact"))
}

/// Removes it where it still has this value.
pub(super) fn remove(conn: &mut AnyConnection, name: &str, value: &str) -> Result<(), StoreError> {
    diesel::delete(facts::table.filter(facts::name.eq(name)).filter(facts::value.eq(value)))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("remove a fact"))
}
