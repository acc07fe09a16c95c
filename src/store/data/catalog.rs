//! The live database's tables, as the catalog has them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::sql;
use crate::store::StoreError;
use crate::store::connection::AnyConnection;

/// tenantd's own tables. Every other table of the schema holds data of tenants, or must not be there.
pub const OWN_TABLES: [&str; 17] = [
    "__diesel_schema_migrations",
    "approvals",
    "archives",
    "audit_log",
    "cross_tenant_shares",
    "facts",
    "previous_placements",
    "heartbeats",
    "journal",
    "pbx_instances",
    "removals",
    "pauses",
    "sqlite_sequence",
    "tenant_conditions",
    "tenants",
    "tombstones",
    "writer_lease",
];

/// The column that says whose a row is.
pub const TENANT: &str = "tenant_id";

/// The tables of the schema by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub postgres: bool,
    pub tables: BTreeMap<String, TableInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    pub name: String,
    pub columns: Vec<Column>,
    /// In the key's order.
    pub primary_key: Vec<String>,
    pub foreign_keys: BTreeSet<ForeignKey>,
    /// Unique keys besides the primary one: columns or expressions, with commas between.
    pub uniques: BTreeSet<String>,
    pub triggers: BTreeSet<String>,
    /// Text of its checks.
    pub checks: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
    pub not_null: bool,
    pub has_default: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Integer,
    Boolean,
    Time,
    /// Copied as the text that the database makes of it.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignKey {
    pub columns: Vec<String>,
    pub table: String,
    pub to: Vec<String>,
}

impl Catalog {
    /// The tables that hold data of tenants, each after those that it refers to.
    pub fn data_tables(&self) -> Vec<&TableInfo> {
        let mut ordered: Vec<&TableInfo> = Vec::new();
        let mut rest: Vec<&TableInfo> = self
            .tables
            .values()
            .filter(|table| !OWN_TABLES.contains(&table.name.as_str()) && table.has(TENANT))
            .collect();
        while !rest.is_empty() {
            let waiting: BTreeSet<&str> = rest.iter().map(|table| table.name.as_str()).collect();
            let (ready, others): (Vec<_>, Vec<_>) = rest.iter().partition(|table| {
                table
                    .foreign_keys
                    .iter()
                    .all(|key| key.table == table.name || !waiting.contains(key.table.as_str()))
            });
            if ready.is_empty() {
                // A circle of references: any order is as good.
                ordered.extend(others);
                break;
            }
            ordered.extend(ready);
            rest = others;
        }
        ordered
    }
}

impl TableInfo {
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|found| found.name == column)
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

#[derive(Deserialize)]
struct RawTable {
    name: String,
    columns: Vec<RawColumn>,
    links: Option<Vec<RawLink>>,
    uniques: Option<Vec<String>>,
    triggers: Option<Vec<String>>,
    checks: Option<String>,
}

#[derive(Deserialize)]
struct RawColumn {
    name: String,
    kind: String,
    not_null: i64,
    has_default: i64,
    /// Place in the primary key from 1, or 0.
    key: i64,
}

#[derive(Deserialize)]
struct RawLink {
    id: String,
    seq: i64,
    to_table: String,
    from_column: String,
    to_column: String,
}

const SQLITE: &str = r#"
SELECT json_object(
    'name', m.name,
    'checks', m.sql,
    'columns', (SELECT json_group_array(json_object('name', name, 'kind', lower(type), 'not_null', "notnull",
        'has_default', dflt_value IS NOT NULL, 'key', pk)) FROM pragma_table_info(m.name)),
    'links', (SELECT json_group_array(json_object('id', CAST(id AS TEXT), 'seq', seq, 'to_table', "table",
        'from_column', "from", 'to_column', coalesce("to", "from"))) FROM pragma_foreign_key_list(m.name)),
    'uniques', (SELECT json_group_array(coalesce(
            (SELECT substr(x.sql, instr(x.sql, '(')) FROM sqlite_master x WHERE x.name = l.name AND x.sql IS NOT NULL),
            (SELECT group_concat(i.name) FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno) i)))
        FROM pragma_index_list(m.name) l WHERE l."unique" AND l.origin <> 'pk'),
    'triggers', (SELECT json_group_array(t.name) FROM sqlite_master t WHERE t.type = 'trigger' AND t.tbl_name = m.name)
) AS line FROM sqlite_master m WHERE m.type = 'table' ORDER BY m.name"#;

const POSTGRES: &str = r"
SELECT json_build_object(
    'name', c.relname,
    'checks', (SELECT string_agg(pg_get_constraintdef(k.oid), ' ; ' ORDER BY k.conname) FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'c'),
    'columns', (SELECT json_agg(json_build_object('name', a.attname, 'kind', t.typname,
            'not_null', a.attnotnull::int, 'has_default', (a.atthasdef OR a.attidentity <> '')::int,
            'key', coalesce(array_position(p.conkey, a.attnum), 0)) ORDER BY a.attnum)
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'links', (SELECT json_agg(json_build_object('id', k.conname, 'seq', n.i, 'to_table', r.relname,
            'from_column', f.attname, 'to_column', o.attname))
        FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid
        CROSS JOIN LATERAL generate_subscripts(k.conkey, 1) AS n(i)
        JOIN pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = k.conkey[n.i]
        JOIN pg_attribute o ON o.attrelid = k.confrelid AND o.attnum = k.confkey[n.i]
        WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.convalidated),
    'uniques', (SELECT json_agg((SELECT string_agg(pg_get_indexdef(x.indexrelid, n, true), ',' ORDER BY n)
            FROM generate_series(1, x.indnkeyatts) n))
        FROM pg_index x WHERE x.indrelid = c.oid AND x.indisunique AND NOT x.indisprimary AND x.indisvalid
            AND x.indpred IS NULL),
    'triggers', (SELECT json_agg(t.tgname ORDER BY t.tgname) FROM pg_trigger t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A'))
)::text AS line
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') ORDER BY c.relname";

pub(super) fn read(conn: &mut AnyConnection) -> Result<Catalog, StoreError> {
    let operation = "read the catalog";
    let postgres = sql::is_postgres(conn);
    let lines = sql::lines(conn, if postgres { POSTGRES } else { SQLITE }, &[])
        .map_err(StoreError::query(operation))?;
    let mut tables = BTreeMap::new();
    for line in lines.into_iter().flatten() {
        let raw: RawTable = serde_json::from_str(&line).map_err(|_| StoreError::Row {
            operation,
            object: "the catalog".to_owned(),
            found: line.clone(),
            expected: "a table's description",
        })?;
        let table = table(raw);
        tables.insert(table.name.clone(), table);
    }
    Ok(Catalog { postgres, tables })
}

fn table(raw: RawTable) -> TableInfo {
    let mut keyed: Vec<(i64, String)> = raw
        .columns
        .iter()
        .filter(|column| column.key > 0)
        .map(|column| (column.key, column.name.clone()))
        .collect();
    keyed.sort();
    let mut links: BTreeMap<String, Vec<RawLink>> = BTreeMap::new();
    for link in raw.links.unwrap_or_default() {
        links.entry(link.id.clone()).or_default().push(link);
    }
    let foreign_keys = links
        .into_values()
        .filter_map(|mut link| {
            link.sort_by_key(|part| part.seq);
            Some(ForeignKey {
                table: link.first()?.to_table.clone(),
                columns: link.iter().map(|part| part.from_column.clone()).collect(),
                to: link.iter().map(|part| part.to_column.clone()).collect(),
            })
        })
        .collect();
    TableInfo {
        name: raw.name,
        primary_key: keyed.into_iter().map(|(_, name)| name).collect(),
        columns: raw
            .columns
            .into_iter()
            .map(|column| Column {
                kind: kind(&column.kind),
                name: column.name,
                not_null: column.not_null != 0,
                has_default: column.has_default != 0,
            })
            .collect(),
        foreign_keys,
        uniques: raw.uniques.unwrap_or_default().iter().map(|key| plain(key)).collect(),
        triggers: raw.triggers.unwrap_or_default().into_iter().collect(),
        checks: raw.checks.unwrap_or_default(),
    }
}

/// Columns and expressions of a key without blanks and outer brackets.
fn plain(key: &str) -> String {
    let key: String = key.chars().filter(|c| !c.is_whitespace()).collect();
    match key.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => inner.to_owned(),
        None => key,
    }
}

fn kind(name: &str) -> ColumnKind {
    match name {
        "text" | "varchar" | "bpchar" | "uuid" | "name" => ColumnKind::Text,
        "int2" | "int4" | "int8" | "integer" | "bigint" | "int" => ColumnKind::Integer,
        "bool" | "boolean" => ColumnKind::Boolean,
        "timestamptz" | "timestamp" | "datetime" => ColumnKind::Time,
        _ => ColumnKind::Other,
    }
}
