//! Writing an archive: to a temporary name, synced, read back, and only then under its own name.

use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};
use std::path::Path;

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{ArchiveError, ArchiveFile, FORMAT, Manifest, RECORD_TABLES, check, file_name, io, sha256_of};
use crate::model::TenantRecord;
use crate::store::data::{TableDigest, TableInfo, TenantScope};
use crate::store::{StoreError, file_permissions, migration_names};

/// Rows of each table, in files without a name.
pub(super) struct Spooled(Vec<(TableDigest, File)>);

/// Writes all rows of a tenant to files, and nothing else: the transaction that this is done in is over soon.
pub(super) fn spool_all(scope: &mut TenantScope<'_>, dir: &Path) -> Result<Spooled, ArchiveError> {
    file_permissions::make_dir(dir).map_err(io("make the directory", dir))?;
    let catalog = scope.catalog()?;
    let mut tables = Vec::new();
    let record_tables =
        RECORD_TABLES.iter().filter_map(|(name, owner)| Some((catalog.tables.get(*name)?, *owner)));
    let data_tables = catalog.data_tables().into_iter().map(|table| (table, "tenant_id"));
    for (table, owner) in record_tables.chain(data_tables) {
        tables.push(spool(scope, table, owner, dir)?);
    }
    Ok(Spooled(tables))
}

/// Makes the archive of what was read, below `dir`, and checks it.
pub(super) fn finish(
    Spooled(tables): Spooled,
    record: &TenantRecord,
    dir: &Path,
    now: DateTime<Utc>,
) -> Result<ArchiveFile, ArchiveError> {
    let manifest = Manifest {
        format: FORMAT,
        schema: schema()?,
        made_at: now,
        tenant_id: record.id.to_string(),
        key: record.key.to_string(),
        name: record.definition.name.clone(),
        domain: record.definition.domain.to_string(),
        tables: tables.iter().map(|(digest, _)| digest.clone()).collect(),
    };
    let partial =
        tempfile::Builder::new().prefix(".partial-").tempfile_in(dir).map_err(io("make a file in", dir))?;
    let failed = || io("write the archive", partial.path());
    let mut tar =
        tar::Builder::new(GzEncoder::new(BufWriter::new(partial.as_file()), Compression::default()));
    let json = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
    let header = |size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        header
    };
    tar.append_data(&mut header(json.len() as u64), "manifest.json", json.as_slice()).map_err(failed())?;
    for (digest, mut lines) in tables {
        let size = lines.stream_position().map_err(failed())?;
        lines.rewind().map_err(failed())?;
        tar.append_data(&mut header(size), format!("{}.jsonl", digest.table), lines).map_err(failed())?;
    }
    let mut buffered = tar.into_inner().and_then(GzEncoder::finish).map_err(failed())?;
    buffered.flush().map_err(failed())?;
    drop(buffered);
    partial.as_file().sync_all().map_err(failed())?;
    let read_back = check(partial.path())?;
    if read_back != manifest {
        return Err(ArchiveError::Damaged {
            path: partial.path().to_owned(),
            what: "it differs from what was written".to_owned(),
        });
    }
    let sha256 = sha256_of(partial.path())?;
    let path = dir.join(file_name(record));
    partial.persist(&path).map_err(|error| io("rename", &path)(error.error))?;
    // The name must survive a power cut as well.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync the directory", dir))?;
    Ok(ArchiveFile { path, sha256, manifest })
}

/// One table's rows in a file without a name, which holds them until the tar knows their size.
fn spool(
    scope: &mut TenantScope<'_>,
    table: &TableInfo,
    owner: &str,
    dir: &Path,
) -> Result<(TableDigest, File), ArchiveError> {
    let mut lines = BufWriter::new(tempfile::tempfile_in(dir).map_err(io("make a file in", dir))?);
    let mut hash = Sha256::new();
    let mut failure = None;
    let rows = scope.each_row(table, owner, |line| {
        hash.update(line.as_bytes());
        hash.update(b"\n");
        lines.write_all(line.as_bytes()).and_then(|()| lines.write_all(b"\n")).map_err(|error| {
            failure = Some(error);
            StoreError::Interrupted
        })
    });
    let failed = || io("write a table below", dir);
    if let Some(error) = failure {
        return Err(failed()(error));
    }
    let digest =
        TableDigest { table: table.name.clone(), rows: rows?, sha256: super::read::hex(&hash.finalize()) };
    let lines = lines.into_inner().map_err(|error| failed()(error.into_error()))?;
    Ok((digest, lines))
}

fn schema() -> Result<String, ArchiveError> {
    let (sqlite, _) = migration_names().map_err(|source| StoreError::Migrate { source })?;
    Ok(sqlite.last().cloned().unwrap_or_default())
}
