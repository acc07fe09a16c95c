//! Bringing a tenant back from its archive: the same identity, disabled, on either database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use super::read::walk;
use super::{ArchiveError, Manifest, RECORD_TABLES, earlier_names};
use crate::environment::to_the_minute;
use crate::model::{MaxUsers, SmsNumber, TenantId, TenantKey};
use crate::store::data::{Catalog, TableInfo};
use crate::store::{AuditEntry, StoreWriter};

type Row = BTreeMap<String, Value>;

/// What was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub tenant: TenantId,
    pub manifest: Manifest,
    /// User sessions that were open when the archive was made; they are ended.
    pub sessions_ended: usize,
    /// SMS numbers that another tenant has by now, or that are no numbers. Their messages are back.
    pub numbers_released: Vec<String>,
}

/// Rows that are written in one go.
const BATCH: usize = 1000;

/// Writes everything of an archive into the database, within the writer's transaction. To be called again after an
/// error only with a new transaction.
///
/// *Assumptions*: `manifest` is what [`check`](super::check) says of the file. That reads the whole of it, and a server
/// ends a transaction in which nothing happens meanwhile, so it comes before.
///
/// *Errors*: key, domain, identity or PBX domain are taken; the file is damaged; a table of it is not in this
/// database; what was written does not hash as the archive says.
pub fn restore(
    store: &mut StoreWriter<'_>,
    path: &Path,
    manifest: Manifest,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<Restored, ArchiveError> {
    let unfit = |what: String| ArchiveError::Unfit(what);
    let tenant = TenantId(
        manifest.tenant_id.parse().map_err(|_| unfit("its tenant has no valid identity".to_owned()))?,
    );
    let key = TenantKey::parse(&manifest.key).map_err(|error| unfit(error.to_string()))?;
    let catalog = store.catalog()?;
    for table in &manifest.tables {
        if !catalog.tables.contains_key(earlier_names::table(&table.table)) && table.rows > 0 {
            return Err(unfit(format!("it has no table {}", table.table)));
        }
    }
    let has_audit = match catalog.tables.get("audit_log") {
        Some(table) => store.scope(tenant).count(table)? > 0,
        None => true,
    };
    let mut loading = Loading {
        store,
        catalog: &catalog,
        tenant,
        now,
        max_users: None,
        ended: 0,
        respelt: false,
        released: Vec::new(),
        numbers: BTreeSet::new(),
        has_audit,
        columns: BTreeMap::new(),
    };
    let mut batch: Vec<Row> = Vec::new();
    let mut current = String::new();
    let read = walk(path, &mut |table, line| {
        if table != current || batch.len() == BATCH {
            loading.flush(&current, &mut batch)?;
            table.clone_into(&mut current);
        }
        let row = serde_json::from_str(line).map_err(|error| ArchiveError::Damaged {
            path: path.to_owned(),
            what: format!("a row of {table} cannot be read ({error})"),
        })?;
        batch.push(row);
        Ok(())
    })?;
    loading.flush(&current, &mut batch)?;
    if read != manifest {
        return Err(ArchiveError::Damaged {
            path: path.to_owned(),
            what: "the file changed after it was checked".to_owned(),
        });
    }
    let Loading { max_users, ended, respelt, released, columns, .. } = loading;
    if let Some(max_users) = max_users
        && let Some(mut record) = store.tenant(tenant)?
    {
        record.definition.max_users = MaxUsers::Limited(max_users);
        store.update_tenant(&mut record, now)?;
    }
    for table in catalog.data_tables() {
        let Some(archived) = manifest.tables.iter().find(|digest| digest.table == table.name) else {
            continue;
        };
        let is_changed = match table.name.as_str() {
            "user_sessions" => ended > 0,
            "sms_numbers" => respelt,
            _ => false,
        };
        if is_changed {
            continue;
        }
        // A column that came since has its default in every row.
        let known = columns.get(&table.name);
        let was_there = |column: &str| known.is_none_or(|known| known.contains(column));
        if store.scope(tenant).digest_of(table, was_there)? != *archived {
            return Err(ArchiveError::Unfit(format!(
                "the table {} does not hold what the archive has; its columns may differ",
                table.name
            )));
        }
    }
    store.remove_tombstone(tenant)?;
    store.append_audit(&AuditEntry {
        tenant: Some(tenant),
        detail: Some(format!("from the archive of {}", to_the_minute(manifest.made_at))),
        ..AuditEntry::new(now, actor, "tenant.restored", key)
    })?;
    Ok(Restored { tenant, manifest, sessions_ended: ended, numbers_released: released })
}

struct Loading<'a, 'b> {
    store: &'a mut StoreWriter<'b>,
    catalog: &'a Catalog,
    tenant: TenantId,
    now: DateTime<Utc>,
    max_users: Option<u32>,
    ended: usize,
    /// An SMS number is stored otherwise than in the archive.
    respelt: bool,
    released: Vec<String>,
    /// The numbers that are back.
    numbers: BTreeSet<SmsNumber>,
    has_audit: bool,
    /// The columns that each table had when it was archived.
    columns: BTreeMap<String, BTreeSet<String>>,
}

impl Loading<'_, '_> {
    fn flush(&mut self, table: &str, batch: &mut Vec<Row>) -> Result<(), ArchiveError> {
        let table = earlier_names::table(table);
        let mut rows = std::mem::take(batch);
        for row in &mut rows {
            earlier_names::rename_columns(table, row);
        }
        let Some(info) = self.catalog.tables.get(table).filter(|_| !rows.is_empty()) else { return Ok(()) };
        if let Some(row) = rows.first() {
            self.columns.entry(table.to_owned()).or_insert_with(|| row.keys().cloned().collect());
        }
        match table {
            "tenants" => {
                for row in &mut rows {
                    self.not_taken(row)?;
                    self.disabled(row);
                }
                self.insert(info, "id", &rows, &[])
            }
            "audit_log" if self.has_audit => Ok(()),
            "audit_log" => self.insert(info, "tenant_id", &rows, &["id"]),
            "user_sessions" => {
                let now = Value::String(self.now.to_rfc3339_opts(SecondsFormat::Micros, true));
                for row in rows.iter_mut().filter(|row| row.get("ended_at").is_none_or(Value::is_null)) {
                    row.insert("ended_at".to_owned(), now.clone());
                    row.insert("end_reason".to_owned(), Value::String("tenant restored".to_owned()));
                    self.ended += 1;
                }
                self.insert(info, "tenant_id", &rows, &[])
            }
            "sms_numbers" => {
                for row in &mut rows {
                    self.number(row)?;
                }
                self.insert(info, "tenant_id", &rows, &[])
            }
            _ => {
                let owner = RECORD_TABLES.iter().find(|(name, _)| *name == table);
                self.insert(info, owner.map_or("tenant_id", |(_, owner)| *owner), &rows, &[])
            }
        }
    }

    /// In the one spelling of the database, as older archives have others. A number that another tenant has by now, or
    /// that is none, is kept as a previous one.
    fn number(&mut self, row: &mut Row) -> Result<(), ArchiveError> {
        for column in ["former_number", "released_at", "release_reason"] {
            row.entry(column.to_owned()).or_insert(Value::Null);
        }
        let Some(text) = row.get("number").and_then(Value::as_str).map(str::to_owned) else { return Ok(()) };
        let canonical = SmsNumber::parse(&text).ok();
        let why = match &canonical {
            None => "not in international form",
            Some(number) if self.numbers.contains(number) => "another row has the same number",
            Some(number) if self.store.sms_number_is_taken(self.tenant, number.as_str())? => {
                "another tenant has the number"
            }
            Some(number) => {
                self.respelt |= number.as_str() != text;
                row.insert("number".to_owned(), Value::String(number.to_string()));
                self.numbers.insert(number.clone());
                return Ok(());
            }
        };
        let now = Value::String(self.now.to_rfc3339_opts(SecondsFormat::Micros, true));
        row.insert("number".to_owned(), Value::Null);
        row.insert("released_at".to_owned(), now);
        row.insert("release_reason".to_owned(), Value::String(why.to_owned()));
        row.insert("former_number".to_owned(), Value::String(text.clone()));
        self.respelt = true;
        self.released.push(text);
        Ok(())
    }

    fn insert(
        &mut self,
        table: &TableInfo,
        owner: &str,
        rows: &[Row],
        without: &[&str],
    ) -> Result<(), ArchiveError> {
        Ok(self.store.scope(self.tenant).insert_rows(table, owner, rows, without)?)
    }

    fn not_taken(&mut self, row: &Row) -> Result<(), ArchiveError> {
        let text = |column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default();
        for record in self.store.all_tenants()?.values() {
            let by = format!("the tenant {} ({})", record.key, record.definition.domain);
            let what = if record.id == self.tenant {
                format!("the identity {}", record.id)
            } else if record.key.as_str() == text("key") {
                format!("the key {}", record.key)
            } else if record.definition.domain.as_str() == text("domain") {
                format!("the domain {}", record.definition.domain)
            } else if record.definition.instance.as_str() == text("instance")
                && record.domain_id.to_string() == text("domain_id")
            {
                format!("its domain on {}", record.definition.instance)
            } else {
                continue;
            };
            return Err(ArchiveError::Taken { what, by });
        }
        Ok(())
    }

    /// Disabled, with a retention that begins again, and without a limit until its users are back.
    fn disabled(&mut self, row: &mut Row) {
        let now = Value::String(self.now.to_rfc3339_opts(SecondsFormat::Micros, true));
        if row.get("enabled") != Some(&Value::Bool(false))
            || row.get("disabled_at").is_none_or(Value::is_null)
        {
            row.insert("disabled_at".to_owned(), now.clone());
        }
        row.insert("enabled".to_owned(), Value::Bool(false));
        // Its domain may be gone or changed since: anyone who brings it in line repairs no drift.
        row.insert("provisioned".to_owned(), Value::Bool(false));
        row.insert("file_removed_at".to_owned(), now.clone());
        row.insert("restored_at".to_owned(), now);
        for column in ["disable_confirmed_at", "deletable_from"] {
            row.insert(column.to_owned(), Value::Null);
        }
        self.max_users = row
            .insert("max_users".to_owned(), Value::Null)
            .and_then(|n| n.as_u64())
            .and_then(|n| n.try_into().ok());
    }
}
