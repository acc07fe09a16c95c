//! One tenant's rows. Every statement here names the tenant.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::catalog::{Catalog, ColumnKind, TENANT, TableInfo};
use super::sql::{self, literal, name};
use crate::model::TenantId;
use crate::store::StoreError;
use crate::store::connection::AnyConnection;

/// The only way in code to the data of a tenant: whatever is read or written through it belongs to this one.
///
/// On PostgreSQL, services are bound by row-level security besides; on SQLite this type is all there is.
pub struct TenantScope<'a> {
    pub(super) conn: &'a mut AnyConnection,
    pub(super) tenant: TenantId,
}

/// What a table holds of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableDigest {
    pub table: String,
    pub rows: u64,
    /// SHA-256 over the rows as lines of JSON, in the order of the primary key, in hex. The same on both databases.
    pub sha256: String,
}

/// Rows read or written in one go.
const PAGE: usize = 2000;

const READ: &str = "read a tenant's rows";
const WRITE: &str = "write a tenant's rows";

impl<'a> TenantScope<'a> {
    pub(super) fn new(conn: &'a mut AnyConnection, tenant: TenantId) -> Self {
        Self { conn, tenant }
    }

    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The live database's tables.
    pub fn catalog(&mut self) -> Result<Catalog, StoreError> {
        super::catalog::read(self.conn)
    }

    /// Hands every row of a table to `take`, as a line of JSON with its keys in order, in the order of the primary
    /// key. `owner` is the column that names the tenant.
    pub fn each_row(
        &mut self,
        table: &TableInfo,
        owner: &str,
        mut take: impl FnMut(&str) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let postgres = sql::is_postgres(self.conn);
        let tenant = self.tenant.to_string();
        let ordered: Vec<&String> = table.primary_key.iter().filter(|column| *column != owner).collect();
        let key: Vec<String> = ordered.iter().map(|column| ordering(table, column, postgres)).collect();
        let mut after: Option<Vec<String>> = None;
        let mut count = 0;
        loop {
            let mut query = format!(
                "SELECT {} AS line FROM {} WHERE {} = $1",
                object(table, postgres),
                name(&table.name),
                name(owner)
            );
            if let Some(after) = &after {
                query.push_str(&format!(" AND ({}) > ({})", key.join(", "), after.join(", ")));
            }
            if !key.is_empty() {
                query.push_str(&format!(" ORDER BY {} LIMIT {PAGE}", key.join(", ")));
            }
            let lines = sql::lines(self.conn, &query, &[&tenant]).map_err(StoreError::query(READ))?;
            let full = lines.len() == PAGE && !key.is_empty();
            for (index, line) in lines.iter().flatten().enumerate() {
                let row = canonical(table, line)?;
                if full && index + 1 == lines.len() {
                    after = Some(
                        ordered
                            .iter()
                            .map(|column| match row.get(column.as_str()) {
                                Some(Value::String(text)) => literal(text),
                                Some(other) => other.to_string(),
                                None => "NULL".to_owned(),
                            })
                            .collect(),
                    );
                }
                take(&serde_json::to_string(&row).unwrap_or_default())?;
                count += 1;
            }
            if !full {
                return Ok(count);
            }
        }
    }

    /// Counts and hashes what a table holds of the tenant.
    pub fn digest(&mut self, table: &TableInfo) -> Result<TableDigest, StoreError> {
        self.digest_of(table, |_| true)
    }

    /// As [`Self::digest`], of some columns alone: those that the table had when it was archived.
    pub fn digest_of(
        &mut self,
        table: &TableInfo,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<TableDigest, StoreError> {
        let mut hash = Sha256::new();
        let all = table.columns.iter().all(|column| wanted(&column.name));
        let rows = self.each_row(table, TENANT, |line| {
            if all {
                hash.update(line.as_bytes());
            } else {
                let mut row: BTreeMap<String, Value> = serde_json::from_str(line).unwrap_or_default();
                row.retain(|column, _| wanted(column));
                hash.update(serde_json::to_string(&row).unwrap_or_default().as_bytes());
            }
            hash.update(b"\n");
            Ok(())
        })?;
        Ok(TableDigest { table: table.name.clone(), rows, sha256: hex(&hash.finalize()) })
    }

    /// Counts and hashes all data of the tenant, each table after those that it refers to.
    pub fn digests(&mut self) -> Result<Vec<TableDigest>, StoreError> {
        let catalog = self.catalog()?;
        catalog.data_tables().into_iter().map(|table| self.digest(table)).collect()
    }

    /// How many rows a table holds of the tenant.
    pub fn count(&mut self, table: &TableInfo) -> Result<u64, StoreError> {
        let tenant = self.tenant.to_string();
        let query =
            format!("SELECT CAST(count(*) AS TEXT) AS line FROM {} WHERE tenant_id = $1", name(&table.name));
        let lines = sql::lines(self.conn, &query, &[&tenant]).map_err(StoreError::query(READ))?;
        Ok(lines.into_iter().flatten().next().and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Writes rows as [`Self::each_row`] gave them. `without` names columns that the database fills itself.
    pub fn insert_rows(
        &mut self,
        table: &TableInfo,
        owner: &str,
        rows: &[BTreeMap<String, Value>],
        without: &[&str],
    ) -> Result<(), StoreError> {
        let postgres = sql::is_postgres(self.conn);
        let tenant = self.tenant.to_string();
        for some in rows.chunks(500) {
            for row in some {
                if row.get(owner).and_then(Value::as_str) != Some(tenant.as_str()) {
                    return Err(StoreError::Row {
                        operation: WRITE,
                        object: table.name.clone(),
                        found: row.get(owner).map(ToString::to_string).unwrap_or_default(),
                        expected: "the tenant of this archive",
                    });
                }
            }
            let rows: Vec<BTreeMap<&String, Value>> =
                some.iter().map(|row| for_database(table, row, postgres)).collect();
            let json = serde_json::to_string(&rows).unwrap_or_default();
            let columns: Vec<&str> = table
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .filter(|column| {
                    !without.contains(column) && some.first().is_some_and(|row| row.contains_key(*column))
                })
                .collect();
            let names: Vec<String> = columns.iter().map(|column| name(column)).collect();
            let query = if postgres {
                format!(
                    "INSERT INTO {table} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{table}, $1::json)",
                    table = name(&table.name),
                    names = names.join(", ")
                )
            } else {
                let values: Vec<String> = columns
                    .iter()
                    .map(|column| format!("json_extract(value, {})", literal(&format!("$.\"{column}\""))))
                    .collect();
                format!(
                    "INSERT INTO {} ({}) SELECT {} FROM json_each($1)",
                    name(&table.name),
                    names.join(", "),
                    values.join(", ")
                )
            };
            sql::execute(self.conn, &query, &[&json]).map_err(StoreError::query(WRITE))?;
        }
        Ok(())
    }

    /// Removes all data of the tenant, each table before those that it refers to.
    pub fn delete_all(&mut self) -> Result<(), StoreError> {
        let tenant = self.tenant.to_string();
        self.conn.take_time().map_err(StoreError::query("remove a tenant's rows"))?;
        let catalog = self.catalog()?;
        for table in catalog.data_tables().into_iter().rev() {
            sql::execute(
                self.conn,
                &format!("DELETE FROM {} WHERE tenant_id = $1", name(&table.name)),
                &[&tenant],
            )
            .map_err(StoreError::query("remove a tenant's rows"))?;
        }
        Ok(())
    }
}

/// What a page is ordered by: bytewise, whatever the database's language.
fn ordering(table: &TableInfo, column: &str, postgres: bool) -> String {
    match table.column(column).map(|column| column.kind) {
        Some(ColumnKind::Text) if postgres => format!("{} COLLATE \"C\"", name(column)),
        _ => name(column),
    }
}

/// A row as JSON, made by the database.
fn object(table: &TableInfo, postgres: bool) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let (label, value) = (literal(&column.name), name(&column.name));
            let value = match (column.kind, postgres) {
                (ColumnKind::Time, true) => {
                    format!("to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                (ColumnKind::Other, true) => format!("{value}::text"),
                _ => value,
            };
            format!("{label}, {value}")
        })
        .collect();
    if postgres {
        format!("json_build_object({})::text", columns.join(", "))
    } else {
        format!("json_object({})", columns.join(", "))
    }
}

/// The row in the form that both databases agree on.
fn canonical(table: &TableInfo, line: &str) -> Result<BTreeMap<String, Value>, StoreError> {
    let bad = |found: &str, expected| StoreError::Row {
        operation: READ,
        object: table.name.clone(),
        found: found.to_owned(),
        expected,
    };
    let mut row: BTreeMap<String, Value> =
        serde_json::from_str(line).map_err(|_| bad(line, "a row as JSON"))?;
    for column in &table.columns {
        let Some(value) = row.get_mut(&column.name) else { continue };
        let new = match (column.kind, &*value) {
            (ColumnKind::Boolean, Value::Number(number)) => Value::Bool(number.as_i64() != Some(0)),
            (ColumnKind::Time, Value::String(text)) => {
                Value::String(time(text).ok_or_else(|| bad(text, "a time"))?)
            }
            _ => continue,
        };
        *value = new;
    }
    Ok(row)
}

/// A time, in whichever usual form, as `2026-11-02T08:00:00.000000Z`.
fn time(text: &str) -> Option<String> {
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.naive_utc()).ok().or_else(|| {
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), form).ok())
    })?;
    Some(at.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A canonical row as a database takes it.
fn for_database<'a>(
    table: &TableInfo,
    row: &'a BTreeMap<String, Value>,
    postgres: bool,
) -> BTreeMap<&'a String, Value> {
    row.iter()
        .map(|(key, value)| {
            let value = match (table.column(key).map(|column| column.kind), value) {
                (Some(ColumnKind::Time), Value::String(text)) if !postgres => {
                    Value::String(text.trim_end_matches('Z').replace('T', " "))
                }
                _ => value.clone(),
            };
            (key, value)
        })
        .collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_time_reads_the_same_in_every_usual_form() {
        for text in [
            "2026-11-02 08:00:00.5",
            "2026-11-02T08:00:00.500",
            "2026-11-02T08:00:00.500000Z",
            "2026-11-02T09:00:00.5+01:00",
        ] {
            assert_eq!(time(text).as_deref(), Some("2026-11-02T08:00:00.500000Z"), "{text}");
        }
        assert_eq!(time("soon"), None);
    }
}
