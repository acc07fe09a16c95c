use super::file::{Content, File};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{git, mentions, names, scan};
use crate::model::IgnoredFile;

/// Everything in a tenants directory at one moment, read once. Two equal snapshots are the same directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The directory as it was asked for; messages name files below it.
    pub dir: PathBuf,
    /// Files whose names are a tenant file's, by their path within the directory.
    pub files: BTreeMap<String, File>,
    pub ignored: Vec<IgnoredFile>,
    /// Why the directory could not be read; completes "the tenants directory …".
    pub unreadable: Option<String>,
    /// Device and inode number of the directory: another pair is another directory in its place.
    pub identity: Option<(u64, u64)>,
    /// SHA-256 of every tenant file's path and contents, in hexadecimal.
    pub digest: String,
    /// The commit that the directory is checked out at.
    pub revision: Option<String>,
}

impl Snapshot {
    /// Reads the directory once. Never fails: what went wrong is part of the answer.
    pub fn read(dir: &Path) -> Self {
        Self::read_after(dir, None)
    }

    /// Reads the directory once, without the content of files that the file system says are as they were in an earlier
    /// reading: same file, size, modification and change time.
    pub fn read_after(dir: &Path, earlier: Option<&Self>) -> Self {
        match scan::scan(dir, earlier.filter(|earlier| earlier.dir == dir).map(|earlier| &earlier.files)) {
            Ok(scan::Scan { identity, files, ignored }) => {
                let revision = git::revision(dir);
                Self::seal(dir, files, ignored, Some(identity), revision)
            }
            Err(reason) => Self::unreadable(dir, reason),
        }
    }

    /// A directory that could not be read; `reason` completes "the tenants directory …".
    pub fn unreadable(dir: &Path, reason: impl Into<String>) -> Self {
        let empty = Self::seal(dir, BTreeMap::new(), Vec::new(), None, None);
        Self { unreadable: Some(reason.into()), digest: String::new(), ..empty }
    }

    /// A directory made of names and contents, without a disk: for tests and simulation. Names that are no tenant
    /// file's are ignored as on a disk.
    pub fn from_files<N: Into<String>, C: Into<Vec<u8>>>(
        dir: impl AsRef<Path>,
        entries: impl IntoIterator<Item = (N, C)>,
    ) -> Self {
        let mut files = BTreeMap::new();
        let mut ignored = Vec::new();
        for (name, content) in entries {
            let name = name.into();
            match names::judge(&name) {
                Ok(()) => {
                    let content = Content::Bytes(content.into().into());
                    files.insert(name, File { inode: 0, content, stamp: None });
                }
                Err(reason) => {
                    let traces = mentions::of_bytes(&name, &content.into());
                    ignored.push(IgnoredFile { file: name, reason, traces });
                }
            }
        }
        Self::seal(dir.as_ref(), files, ignored, None, None)
    }

    fn seal(
        dir: &Path,
        files: BTreeMap<String, File>,
        mut ignored: Vec<IgnoredFile>,
        identity: Option<(u64, u64)>,
        revision: Option<String>,
    ) -> Self {
        ignored.sort();
        let mut hash = Sha256::new();
        for (name, file) in &files {
            let (kind, content): (u8, &[u8]) = match &file.content {
                Content::Bytes(bytes) => (0, bytes),
                Content::Unreadable(reason) => (1, reason.as_bytes()),
            };
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update([kind]);
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
        }
        let digest = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { dir: dir.to_owned(), files, ignored, unreadable: None, identity, digest, revision }
    }
}
