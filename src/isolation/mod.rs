//! `tenantd isolation check`: whether the live database keeps tenants apart, by its catalog and by trying; and whether
//! anything on the PBXs reaches from one domain into the domain of a tenant.

mod expected;
mod limitations;
mod probe;
mod routes;
mod schema_check;

use serde::Serialize;

pub use routes::{PbxSweep, judged as judged_routes, sweep as sweep_pbx};

use crate::store::data::{Catalog, Protection};
use crate::store::{Database, Store, StoreError};

/// What the check found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IsolationReport {
    /// The tables that hold data of tenants.
    pub tables: Vec<String>,
    /// How many attempts across tenants were made.
    pub attempts: usize,
    /// What is not as it must be. Any of these may be a leak.
    pub findings: Vec<Finding>,
    /// What the database cannot prevent, with the statement that reduces it where there is one.
    pub notes: Vec<String>,
    /// What was checked on each PBX instance, where that was asked for.
    pub pbxs: Vec<PbxSweep>,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The table, role or function.
    pub object: String,
    /// What was checked or tried: `policy`, `key`, `trigger`, `grant`, `read`, `insert`, …
    pub kind: &'static str,
    pub detail: String,
}

impl Finding {
    fn new(object: &str, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { object: object.to_owned(), kind, detail: detail.into() }
    }
}

impl IsolationReport {
    /// Whether everything is as it must be.
    pub fn is_tight(&self) -> bool {
        self.findings.is_empty() && self.pbxs.iter().all(PbxSweep::is_tight)
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            text.push_str(&format!("leak  {} ({}): {}\n", finding.object, finding.kind, finding.detail));
        }
        for note in &self.notes {
            text.push_str(&format!("note  {note}\n"));
        }
        for PbxSweep { instance, domains, extensions, dialplans, gateways, not_checked, findings } in
            &self.pbxs
        {
            for finding in findings {
                text.push_str(&format!("leak  {} ({}): {}\n", finding.object, finding.kind, finding.detail));
            }
            text.push_str(&match not_checked {
                Some(reason) => format!("FAIL  {instance} could not be checked: {reason}\n"),
                None => format!(
                    "{instance}: {extensions} extensions, {dialplans} dialplans and {gateways} gateways of {domains} \
                     domains: {}\n",
                    Self::found(findings.len())
                ),
            });
        }
        text.push_str(&format!(
            "{} tables, {} attempts across tenants: {}\n",
            self.tables.len(),
            self.attempts,
            Self::found(self.findings.len())
        ));
        text
    }

    fn found(findings: usize) -> String {
        match findings {
            0 => "nothing leaks".to_owned(),
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        }
    }
}

/// Sweeps the catalog and tries every verb across two throw-away tenants. Nothing remains of them.
pub async fn check(database: &Database) -> Result<IsolationReport, StoreError> {
    database.read(check_store).await
}

/// [`check`] where blocking is allowed.
pub fn check_store(store: &mut Store<'_>) -> Result<IsolationReport, StoreError> {
    store.try_out(|savepoint| {
        let (catalog, protection) = savepoint.looks()?;
        Ok(judged(&catalog, protection.as_ref(), probe::run(savepoint, &catalog)))
    })
}

/// The check as it would end after a change of the schema, which is rolled back too. Nothing is tried where the
/// catalog alone shows that something is wrong. The inner error is the database's refusal of the change.
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
        let (catalog, protection) = savepoint.looks()?;
        let report = judged(&catalog, protection.as_ref(), probe::Tried::default());
        if !report.is_tight() {
            return Ok(Ok(report));
        }
        Ok(Ok(judged(&catalog, protection.as_ref(), probe::run(savepoint, &catalog))))
    })
}

fn judged(catalog: &Catalog, protection: Option<&Protection>, tried: probe::Tried) -> IsolationReport {
    let mut report = IsolationReport {
        tables: catalog.data_tables().iter().map(|table| table.name.clone()).collect(),
        attempts: tried.attempts,
        findings: schema_check::catalog(catalog),
        notes: Vec::new(),
        pbxs: Vec::new(),
    };
    match protection {
        Some(protection) => {
            report.findings.extend(schema_check::protection(catalog, protection));
            report.notes.extend(limitations::notes(protection));
        }
        None => report.notes.extend(
            [
                "SQLite has no roles and no row-level security: a program that opens the file can read and write \
                 every tenant",
                "SQLite checks foreign keys only on connections that switch this on (PRAGMA foreign_keys = ON)",
                "only the services keep users from the rows of a disabled tenant",
            ]
            .map(str::to_owned),
        ),
    }
    report.findings.extend(tried.findings);
    report.findings.sort();
    report.findings.dedup();
    report
}
