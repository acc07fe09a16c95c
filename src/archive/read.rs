//! Reading an archive, with every promise of its manifest checked.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::{ArchiveError, FORMAT, Manifest, io};

/// Reads an archive whole and checks counts and hashes.
pub fn check(path: &Path) -> Result<Manifest, ArchiveError> {
    walk(path, &mut |_, _| Ok(()))
}

/// SHA-256 of a file, in hex.
pub fn sha256_of(path: &Path) -> Result<String, ArchiveError> {
    let mut file = File::open(path).map_err(io("read", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(io("read", path))?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hands every row to `take`, with its table. The checks come after the rows of each table: what was taken is to be
/// believed only when this ends well.
pub(super) fn walk(
    path: &Path,
    take: &mut dyn FnMut(&str, &str) -> Result<(), ArchiveError>,
) -> Result<Manifest, ArchiveError> {
    let damaged = |what: String| ArchiveError::Damaged { path: path.to_owned(), what };
    let file = File::open(path).map_err(io("read", path))?;
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    let unreadable = |error: std::io::Error| damaged(error.to_string());
    let mut entries = tar.entries().map_err(unreadable)?;
    let mut first = entries.next().ok_or_else(|| damaged("it is empty".to_owned()))?.map_err(unreadable)?;
    let mut json = String::new();
    first.read_to_string(&mut json).map_err(unreadable)?;
    drop(first);
    let manifest: Manifest = serde_json::from_str(&json)
        .map_err(|error| damaged(format!("its manifest cannot be read ({error})")))?;
    if manifest.format != FORMAT {
        return Err(ArchiveError::Format { found: manifest.format });
    }
    for expected in &manifest.tables {
        let entry =
            entries.next().ok_or_else(|| damaged(format!("the table {} is missing", expected.table)))?;
        let entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.display().to_string();
        if name != format!("{}.jsonl", expected.table) {
            return Err(damaged(format!("it contains {name} in place of {}", expected.table)));
        }
        let mut lines = BufReader::new(entry);
        let mut hash = Sha256::new();
        let mut rows = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(unreadable)? == 0 {
                break;
            }
            hash.update(line.as_bytes());
            rows += 1;
            take(&expected.table, line.trim_end_matches('\n'))?;
        }
        if rows != expected.rows || hex(&hash.finalize()) != expected.sha256 {
            return Err(damaged(format!("the table {} does not match its manifest", expected.table)));
        }
    }
    if entries.next().is_some() {
        return Err(damaged("it contains more than its manifest says".to_owned()));
    }
    // The checksum of the gzip itself stands behind the last entry.
    let mut rest = tar.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(unreadable)?;
    Ok(manifest)
}
