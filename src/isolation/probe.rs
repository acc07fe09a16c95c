//! Attempts to read and write across two test tenants, which have one row in every table.

use std::collections::BTreeMap;

use regex::Regex;
use uuid::Uuid;

use super::Finding;
use crate::report::count;
use crate::store::data::{Catalog, ColumnKind, SERVICE_ROLE, Savepoint, TENANT, TableInfo};

/// The number of attempts, and those that must have failed and did not.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) count: usize,
    pub(super) findings: Vec<Finding>,
}

/// A test tenant and its row in each table, as SQL literals.
struct TestTenant {
    id: String,
    rows: BTreeMap<String, BTreeMap<String, String>>,
}

struct Probe<'a, 'b> {
    db: &'a mut Savepoint<'b>,
    tables: Vec<&'a TableInfo>,
    attempts: Attempts,
}

/// Makes all attempts. The caller rolls back.
pub(super) fn run(db: &mut Savepoint<'_>, catalog: &Catalog) -> Attempts {
    let mut probe = Probe { db, tables: catalog.data_tables(), attempts: Attempts::default() };
    if let Err(finding) = probe.run() {
        probe.attempts.findings.push(finding);
    }
    probe.attempts
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Probe<'_, '_> {
    fn run(&mut self) -> Result<(), Finding> {
        let a = self.test_tenant("a")?;
        let b = self.test_tenant("b")?;
        if !self.db.is_postgres() {
            for table in self.tables.clone() {
                self.try_references(table, &a, &b);
                self.try_to_move_away(table, &a, &b);
            }
            self.try_sessions(&b);
            return Ok(());
        }
        let role =
            |refusal| Finding::new(SERVICE_ROLE, "role", format!("tenantd cannot use the role: {refusal}"));
        self.db.become_service().map_err(role)?;
        self.set_tenant(&a.id)?;
        for table in self.tables.clone() {
            self.try_verbs(table, &a, &b);
        }
        self.nothing_visible("", "no tenant is set")?;
        self.nothing_visible("no-such-tenant", "an unknown tenant is set")?;
        self.db.become_owner().map_err(role)?;
        self.try_sessions(&b);
        self.db.become_service().map_err(role)?;
        self.nothing_visible(&b.id, "the tenant is disabled")?;
        self.db.become_owner().map_err(role)
    }

    fn set_tenant(&mut self, tenant: &str) -> Result<(), Finding> {
        self.db.set_tenant(tenant).map_err(|refusal| Finding::new("crystalqore.tenant", "probe", refusal))
    }

    fn found(&mut self, object: &str, kind: &'static str, detail: impl Into<String>) {
        self.attempts.findings.push(Finding::new(object, kind, detail));
    }

    fn boolean(&self, value: bool) -> &'static str {
        match (self.db.is_postgres(), value) {
            (true, true) => "true",
            (true, false) => "false",
            (false, true) => "1",
            (false, false) => "0",
        }
    }

    fn in_minutes(&self, minutes: i32) -> String {
        if self.db.is_postgres() {
            format!("now() + interval '{minutes} minutes'")
        } else {
            format!("datetime('now', '{minutes:+} minutes')")
        }
    }

    fn test_tenant(&mut self, letter: &str) -> Result<TestTenant, Finding> {
        let id = Uuid::new_v4().to_string();
        let (yes, no) = (self.boolean(true), self.boolean(false));
        let statement = format!(
            "INSERT INTO tenants (id, key, name, domain, instance, enabled, session_timeout_minutes, protected, drift, \
             domain_id, provisioned, web_sign_in_left_open, created_at, updated_at) VALUES ('{id}', 'isolation-probe-{id}', \
             'Isolation probe {letter}', '{id}.invalid', 'isolation-probe', {yes}, 60, {no}, 'report', '{id}', {yes}, \
             {no}, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
        );
        self.db.attempt(&statement).map_err(|refusal| Finding::new("tenants", "probe", refusal))?;
        let mut test_tenant = TestTenant { id, rows: BTreeMap::new() };
        for table in &self.tables {
            let row = self.row(table, &test_tenant);
            self.db.attempt(&insert(table, &row)).map_err(|refusal| {
                Finding::new(&table.name, "probe", format!("the check cannot insert its test row: {refusal}"))
            })?;
            test_tenant.rows.insert(table.name.clone(), row);
        }
        Ok(test_tenant)
    }

    /// A row of a test tenant with all required columns and all references.
    fn row(&self, table: &TableInfo, tenant: &TestTenant) -> BTreeMap<String, String> {
        let mut row = BTreeMap::new();
        for column in &table.columns {
            let referred = table.foreign_keys.iter().find_map(|key| {
                let place = key.columns.iter().position(|own| *own == column.name)?;
                tenant.rows.get(&key.table)?.get(key.to.get(place)?).cloned()
            });
            let value = if column.name == TENANT {
                quote(&tenant.id)
            } else if let Some(value) = referred {
                value
            } else if table.name == "sms_numbers" && column.name == "number" {
                // A number is required while it is not released. The country code 999 is not assigned (E.164).
                quote(&format!("+999{:012}", Uuid::new_v4().as_u128() % 1_000_000_000_000))
            } else if !table.primary_key.contains(&column.name) && (!column.not_null || column.has_default) {
                continue;
            } else {
                match column.kind {
                    ColumnKind::Integer => "1".to_owned(),
                    ColumnKind::Boolean => self.boolean(true).to_owned(),
                    ColumnKind::Time if column.name == "expires_at" => self.in_minutes(30),
                    ColumnKind::Time => "CURRENT_TIMESTAMP".to_owned(),
                    ColumnKind::Text | ColumnKind::Other => text(table, &column.name, &tenant.id),
                }
            };
            row.insert(column.name.clone(), value);
        }
        row
    }

    /// Reads, inserts, updates, deletes and moves rows of `b` as a service of `a`.
    fn try_verbs(&mut self, table: &TableInfo, a: &TestTenant, b: &TestTenant) {
        let name = &table.name;
        self.attempts.count += 2;
        match self.db.number(&format!("SELECT count(*) FROM \"{name}\" WHERE tenant_id <> '{}'", a.id)) {
            Ok(0) => {}
            Ok(rows) => self.found(
                name,
                "read",
                format!("a service of one tenant reads {} of others", count(rows, "row")),
            ),
            Err(refusal) => self.found(name, "read", refusal),
        }
        if self.db.number(&format!("SELECT count(*) FROM \"{name}\"")) != Ok(1) {
            self.found(name, "read", "a service does not see exactly its own tenant's rows");
        }
        // A new row of the other tenant, which only a policy can refuse.
        let mut new = self.row(table, b);
        for (column, value) in &mut new {
            let refers = table.foreign_keys.iter().any(|key| key.columns.contains(column));
            if !refers && value.contains(&b.id) {
                let fresh = Uuid::new_v4();
                *value = if column == "storage_path" {
                    format!("'{}/{fresh}'", b.id)
                } else {
                    format!("'{fresh}'")
                };
            }
        }
        self.must_fail(table, "insert", &insert(table, &new), "a row of another tenant");
        let column = table.columns.iter().find(|column| column.name != TENANT);
        let column = column.map_or(TENANT, |column| column.name.as_str());
        let of_other_tenant = format!("WHERE tenant_id = '{}'", b.id);
        self.must_reach_nothing(
            table,
            "update",
            &format!("UPDATE \"{name}\" SET \"{column}\" = \"{column}\" {of_other_tenant}"),
        );
        self.must_reach_nothing(table, "delete", &format!("DELETE FROM \"{name}\" {of_other_tenant}"));
        self.must_reach_nothing(
            table,
            "move",
            &format!("UPDATE \"{name}\" SET tenant_id = '{}' {of_other_tenant}", a.id),
        );
        self.try_to_move_away(table, a, b);
        self.try_references(table, a, b);
    }

    fn try_to_move_away(&mut self, table: &TableInfo, a: &TestTenant, b: &TestTenant) {
        let away =
            format!("UPDATE \"{}\" SET tenant_id = '{}' WHERE tenant_id = '{}'", table.name, b.id, a.id);
        self.must_fail(table, "move", &away, "a row's move to another tenant");
    }

    /// Tries to let a row of `a` refer to a row of `b`, by every column that refers to another table.
    fn try_references(&mut self, table: &TableInfo, a: &TestTenant, b: &TestTenant) {
        for key in &table.foreign_keys {
            for (own, other) in key.columns.iter().zip(&key.to).filter(|(own, _)| *own != TENANT) {
                let Some(target) = b.rows.get(&key.table).and_then(|row| row.get(other)) else { continue };
                let statement = format!(
                    "UPDATE \"{}\" SET \"{own}\" = {target} WHERE tenant_id = '{}'",
                    table.name, a.id
                );
                self.must_fail(table, "reference", &statement, "a reference into another tenant");
            }
        }
    }

    fn must_fail(&mut self, table: &TableInfo, kind: &'static str, statement: &str, what: &str) {
        self.attempts.count += 1;
        if let Ok(rows) = self.db.attempt(statement) {
            self.found(&table.name, kind, format!("{what} was accepted ({})", count(rows, "row")));
        }
    }

    fn must_reach_nothing(&mut self, table: &TableInfo, kind: &'static str, statement: &str) {
        self.attempts.count += 1;
        if let Ok(rows @ 1..) = self.db.attempt(statement) {
            self.found(
                &table.name,
                kind,
                format!("a service of one tenant changed {} of another", count(rows, "row")),
            );
        }
    }

    fn nothing_visible(&mut self, tenant: &str, when: &str) -> Result<(), Finding> {
        self.set_tenant(tenant)?;
        for table in self.tables.clone() {
            self.attempts.count += 1;
            match self.db.number(&format!("SELECT count(*) FROM \"{}\"", table.name)) {
                Ok(0) => {}
                Ok(rows) => {
                    self.found(
                        &table.name,
                        "read",
                        format!("a service reads {} although {when}", count(rows, "row")),
                    );
                }
                Err(refusal) => self.found(&table.name, "read", refusal),
            }
        }
        Ok(())
    }

    /// Tries to start sessions against the rules. Leaves the tenant disabled.
    fn try_sessions(&mut self, tenant: &TestTenant) {
        let Some(user) = tenant.rows.get("user_sessions").and_then(|row| row.get("user_id")) else { return };
        let start = |expires: String| {
            let (tenant, id) = (&tenant.id, Uuid::new_v4());
            format!(
                "INSERT INTO user_sessions (tenant_id, id, user_id, expires_at) \
                 VALUES ('{tenant}', '{id}', {user}, {expires})"
            )
        };
        self.attempts.count += 4;
        if self.db.attempt(&start(self.in_minutes(24 * 60))).is_ok() {
            self.found("user_sessions", "login", "a session longer than the session timeout was accepted");
        }
        if let Err(refusal) = self.db.attempt(&start(self.in_minutes(10))) {
            self.found("user_sessions", "login", format!("a permitted session was refused: {refusal}"));
        }
        let disable =
            format!("UPDATE tenants SET enabled = {} WHERE id = '{}'", self.boolean(false), tenant.id);
        if let Err(refusal) = self.db.attempt(&disable) {
            self.found("tenants", "login", refusal);
        }
        if self.db.attempt(&start(self.in_minutes(10))).is_ok() {
            self.found("user_sessions", "login", "a session of a disabled tenant was accepted");
        }
        let open = format!(
            "SELECT count(*) FROM user_sessions WHERE tenant_id = '{}' AND ended_at IS NULL",
            tenant.id
        );
        if self.db.number(&open) != Ok(0) {
            self.found("user_sessions", "login", "disabling the tenant did not end its sessions");
        }
    }
}

/// A text that the column's checks allow: the first of a list of values, or one of the tenant's own.
fn text(table: &TableInfo, column: &str, tenant: &str) -> String {
    if column == "storage_path" {
        return quote(&format!("{tenant}/probe"));
    }
    let list = format!(r"\b{}\b\s*(?:IN\s*\(|= ANY \(ARRAY\[)\s*('[^']*')", regex::escape(column));
    Regex::new(&list)
        .ok()
        .and_then(|list| Some(list.captures(&table.checks)?.get(1)?.as_str().to_owned()))
        .unwrap_or_else(|| quote(&format!("probe {} {tenant}", table.name)))
}

fn insert(table: &TableInfo, row: &BTreeMap<String, String>) -> String {
    let columns: Vec<String> = row.keys().map(|column| format!("\"{column}\"")).collect();
    let values: Vec<&str> = row.values().map(String::as_str).collect();
    format!("INSERT INTO \"{}\" ({}) VALUES ({})", table.name, columns.join(", "), values.join(", "))
}
