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
    let failed = || StoreError::query("write a fact");
    let row = (facts::value.eq(value), facts::updated_at.eq(now.naive_utc()));
    let changed = diesel::update(facts::table.find(name)).set(row).execute(conn).map_err(failed())?;
    if changed == 0 {
        diesel::insert_into(facts::table)
            .values((facts::name.eq(name), row.0, row.1))
            .execute(conn)
            .map_err(failed())?;
    }
    Ok(())
}
