//! Lets everything that was recorded lie further back, for `tenantd sandbox fast-forward`: on SQLite only.

use diesel::connection::SimpleConnection as _;

use super::connection::AnyConnection;
use super::{StoreError, clock};

/// The times that retention and limits are reckoned from.
const TIMES: [(&str, &[&str]); 3] = [
    ("tenants", &["disabled_at", "disable_confirmed_at", "file_removed_at", "deletable_from"]),
    ("previous_placements", &["left_at", "disable_confirmed_at", "deletable_from"]),
    ("removals", &["at"]),
];

pub(super) fn age(conn: &mut AnyConnection, by: chrono::TimeDelta) -> Result<(), StoreError> {
    let operation = "move the recorded times back";
    clock::age(conn, by)?;
    let AnyConnection::Sqlite(conn) = conn else { return Err(StoreError::Refused(operation.to_owned())) };
    for (table, columns) in TIMES {
        let earlier = |column: &&str| {
            format!("{column} = strftime('%Y-%m-%d %H:%M:%f', {column}, '-{} seconds')", by.num_seconds())
        };
        let set: Vec<String> = columns.iter().map(earlier).collect();
        conn.batch_execute(&format!("UPDATE {table} SET {}", set.join(", ")))
            .map_err(StoreError::query(operation))?;
    }
    Ok(())
}
