//! All of a tenant in one file: made before a deletion and on request, checked, and brought back from.
//!
//! The file is a gzipped tar: `manifest.json`, then each table as lines of JSON. It can be read without tenantd.

mod earlier_names;
mod read;
mod restore;
mod write;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::{TenantId, TenantRecord};
use crate::store::data::{ArchiveRecord, TableDigest, TenantScope};
use crate::store::{Database, StoreError};
pub use read::{check, sha256_of};
pub use restore::{Restored, restore};

/// The version of the files' form.
pub const FORMAT: u32 = 1;

/// The tables of tenantd's own record that go along, with the column that names the tenant.
const RECORD_TABLES: [(&str, &str); 3] =
    [("tenants", "id"), ("previous_placements", "tenant_id"), ("audit_log", "tenant_id")];

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The newest migration of the database it was made from.
    pub schema: String,
    pub made_at: DateTime<Utc>,
    pub tenant_id: String,
    pub key: String,
    pub name: String,
    pub domain: String,
    /// In the order of the file.
    pub tables: Vec<TableDigest>,
}

/// An archive that was written, read back and found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    pub path: PathBuf,
    /// Of the file, in hex.
    pub sha256: String,
    pub manifest: Manifest,
}

impl ArchiveFile {
    /// Rows of all tables together.
    pub fn rows(&self) -> u64 {
        self.manifest.tables.iter().map(|table| table.rows).sum()
    }
}

/// Why a tenant is not archived or not restored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot {operation} {}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the archive {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the archive has the format {found}, and this program knows {FORMAT}")]
    Format { found: u32 },
    #[error("{what} already exists: {by}")]
    Taken { what: String, by: String },
    #[error("the archive does not fit this database: {0}")]
    Unfit(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Io { operation, path, source }
}

/// Where the archive of a tenant stands. One file for each time that it was disabled, so that trying again makes no
/// second one.
pub fn file_name(record: &TenantRecord) -> String {
    let state = match record.disabled_at {
        Some(at) => at.format("disabled-%Y%m%dT%H%M%SZ").to_string(),
        None => "enabled".to_owned(),
    };
    format!("{}-{}-{state}.tar.gz", record.key, record.id)
}

/// Archives a tenant below `dir`, reads the file back, and notes in the database that it is whole.
///
/// It reads one state of the database on a connection of its own: however long that takes, the daemon keeps its lease
/// and continues writing.
pub async fn archive(
    database: &Database,
    record: &TenantRecord,
    dir: &Path,
    now: DateTime<Utc>,
) -> Result<ArchiveFile, ArchiveError> {
    let (id, owned, dir) = (record.id, record.clone(), dir.to_owned());
    let written = database
        .read_apart(move |store| {
            let spooled = store.in_scope(id, |scope| Ok(write::spool_all(scope, &dir)))?;
            Ok(Some(spooled.and_then(|spooled| write::finish(spooled, &owned, &dir, now))))
        })
        .await?;
    let file = match written {
        Some(written) => written?,
        None => return Err(ArchiveError::Unfit("there is no database yet".to_owned())),
    };
    let noted = noted(id, &file, now);
    database.write(move |store| store.put_archive(&noted)).await?;
    Ok(file)
}

/// The archive that was made since the tenant was disabled, if it is still there, whole, and holds what the database
/// holds; or a new one.
pub async fn archive_or_reuse(
    database: &Database,
    record: &TenantRecord,
    dir: &Path,
    now: DateTime<Utc>,
) -> Result<ArchiveFile, ArchiveError> {
    let id = record.id;
    let known = database.read(move |store| Ok(store.archives()?.remove(&id))).await?;
    if let Some(known) = known
        && record.disabled_at.is_some_and(|at| known.checked_at >= at)
    {
        let path = PathBuf::from(&known.path);
        let checked = database
            .beside(move || {
                let sha256 = sha256_of(&path)?;
                let manifest = check(&path)?;
                Ok::<_, ArchiveError>(ArchiveFile { path, sha256, manifest })
            })
            .await?;
        if let Ok(file) = checked
            && file.sha256 == known.sha256
        {
            let tables = file.manifest.tables.clone();
            let same = database
                .read_apart(move |store| {
                    store.in_scope(id, |scope| contents_agree(scope, &tables).map(|differ| differ.is_none()))
                })
                .await?;
            if same {
                return Ok(file);
            }
        }
    }
    archive(database, record, dir, now).await
}

fn noted(tenant: TenantId, file: &ArchiveFile, now: DateTime<Utc>) -> ArchiveRecord {
    ArchiveRecord {
        tenant,
        path: file.path.display().to_string(),
        sha256: file.sha256.clone(),
        rows: i64::try_from(file.rows()).unwrap_or(i64::MAX),
        checked_at: now,
    }
}

/// Whether every table holds exactly the rows that its archive holds, by their hashes: `None`, or what differs.
pub fn contents_agree(
    scope: &mut TenantScope<'_>,
    archived: &[TableDigest],
) -> Result<Option<String>, StoreError> {
    let catalog = scope.catalog()?;
    for table in catalog.data_tables() {
        let then = archived.iter().find(|digest| digest.table == table.name);
        let rows = then.map_or(0, |digest| digest.rows);
        // Counting is cheap and names the difference.
        let now = scope.count(table)?;
        if now != rows {
            return Ok(Some(format!("{} has {now} rows and its archive {rows}", table.name)));
        }
        if now > 0 && Some(&scope.digest(table)?) != then {
            return Ok(Some(format!("the rows of {} changed since they were archived", table.name)));
        }
    }
    Ok(None)
}
