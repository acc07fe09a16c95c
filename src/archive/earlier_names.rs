//! Tables and columns as archives call them that were made before the migration `plain_names`.

use std::collections::BTreeMap;

use serde_json::Value;

const TABLES: [(&str, &str); 1] = [("former_placements", "previous_placements")];

const COLUMNS: [(&str, &str, &str); 6] = [
    ("tenants", "removed_at", "file_removed_at"),
    ("tenants", "login_lock_json", "web_sign_in_block_json"),
    ("tenants", "lock_left_open", "web_sign_in_left_open"),
    ("tenants", "applied_hash", "applied_definition_hash"),
    ("tenants", "reapplied_json", "corrections_json"),
    ("previous_placements", "login_lock_json", "web_sign_in_block_json"),
];

/// The table as this program calls it.
pub(super) fn table(name: &str) -> &str {
    TABLES.iter().find(|(earlier, _)| *earlier == name).map_or(name, |(_, now)| now)
}

/// Gives the columns of a row of this table the names of today.
pub(super) fn rename_columns(table: &str, row: &mut BTreeMap<String, Value>) {
    for (of, earlier, now) in COLUMNS {
        if of == table
            && let Some(value) = row.remove(earlier)
        {
            row.insert(now.to_owned(), value);
        }
    }
}
