//! `tenantd isolation check`: whether the database separates tenants, by its catalog and by attempts to break in; and
//! whether anything on the PBXs routes calls from one domain into the domain of a tenant.

mod expected;
mod limitations;
mod probe;
mod routes;
mod schema_check;

use serde::Serialize;

pub use routes::{PbxCheckResult, check_instance};

use crate::report::count;
use crate::store::data::{Catalog, Protection};
use crate::store::{Database, Store, StoreError};

/// What the check found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IsolationReport {
    /// The tables with data of tenants.
    pub tables: Vec<String>,
    /// The number of attempts to read or change another tenant's rows.
    pub attempts: usize,
    /// What is not as it must be. Each may be a leak.
    pub findings: Vec<Finding>,
    /// What the database cannot prevent, with a statement that reduces it if there is one.
    pub notes: Vec<String>,
    /// The check of each PBX instance, if it was requested.
    pub pbxs: Vec<PbxCheckResult>,
}

/// One fault in the separation of tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The table, role, function or PBX row.
    pub object: String,
    /// What was checked or attempted: `policy`, `key`, `trigger`, `grant`, `read`, `insert`, …
    pub kind: &'static str,
    /// The fault, as a sentence.
    pub detail: String,
}

impl Finding {
    fn new(object: &str, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { object: object.to_owned(), kind, detail: detail.into() }
    }

    fn line(&self) -> String {
        let Self { object, kind, detail } = self;
        format!("leak  {object} ({kind}): {detail}\n")
    }
}

impl IsolationReport {
    /// Whether everything was checked and nothing was found.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.pbxs.iter().all(PbxCheckResult::passed)
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&finding.line());
        }
        for note in &self.notes {
            text.push_str(&format!("note  {note}\n"));
        }
        for checked in &self.pbxs {
            text.push_str(&checked.text());
        }
        text.push_str(&format!(
            "{}, {} across tenants: {}\n",
            count(self.tables.len(), "table"),
            count(self.attempts, "attempt"),
            summary(self.findings.len())
        ));
        text
    }
}

fn summary(findings: usize) -> String {
    match findings {
        0 => "nothing leaks".to_owned(),
        n => count(n, "finding"),
    }
}

/// Inspects the catalog, and tries to read and write across two test tenants, which are rolled back.
///
/// *Errors*: the database cannot be read.
pub async fn check(database: &Database) -> Result<IsolationReport, StoreError> {
    database.read(check_store).await
}

/// [`check`], blocking.
pub fn check_store(store: &mut Store<'_>) -> Result<IsolationReport, StoreError> {
    store.try_out(|savepoint| {
        let (catalog, protection) = savepoint.catalog_and_protection()?;
        Ok(evaluate(&catalog, protection.as_ref(), probe::run(savepoint, &catalog)))
    })
}

/// [`check`] after a change of the schema, which is rolled back as well. If the catalog alone shows a fault, nothing is
/// attempted. The inner error is the database's refusal of the change.
pub fn check_after(
    store: &mut Store<'_>,
    change: &[String],
) -> Result<Result<IsolationReport, String>, StoreError> {
    store.try_out(|savepoint| {
        for statement in change {
            if let Err(refusal) = savepoint.attempt(statement) {
                return Ok(Err(format!("{refusal}: {statement}")));
            }
        }
        let (catalog, protection) = savepoint.catalog_and_protection()?;
        let report = evaluate(&catalog, protection.as_ref(), probe::Attempts::default());
        if !report.passed() {
            return Ok(Ok(report));
        }
        Ok(Ok(evaluate(&catalog, protection.as_ref(), probe::run(savepoint, &catalog))))
    })
}

fn evaluate(
    catalog: &Catalog,
    protection: Option<&Protection>,
    attempted: probe::Attempts,
) -> IsolationReport {
    let mut report = IsolationReport {
        tables: catalog.data_tables().iter().map(|table| table.name.clone()).collect(),
        attempts: attempted.count,
        findings: schema_check::check_catalog(catalog),
        notes: Vec::new(),
        pbxs: Vec::new(),
    };
    match protection {
        Some(protection) => {
            report.findings.extend(schema_check::check_protection(catalog, protection));
            report.notes.extend(limitations::notes(protection));
        }
        None => report.notes.extend(
            [
                "SQLite has no roles and no row-level security: a program that opens the file can read and write the \
                 data of every tenant",
                "SQLite checks foreign keys only on connections that enable it (PRAGMA foreign_keys = ON)",
                "SQLite does not hide the rows of a disabled tenant: only the services do",
            ]
            .map(str::to_owned),
        ),
    }
    report.findings.extend(attempted.findings);
    report.findings.sort();
    report.findings.dedup();
    report
}
