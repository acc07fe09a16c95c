use std::collections::BTreeMap;

use super::{Tenant, TenantKey};

/// How much of a side was seen. Only what is complete may justify a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    Complete,
    /// Something was seen, but not all: a broken file, a page that did not come.
    Partial {
        reason: String,
    },
    /// Nothing can be said at all: the directory or the server could not be read.
    Unreadable {
        reason: String,
    },
}

/// A file that is there and cannot be believed. Its tenant is unknown, never removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenFile {
    /// File name within the tenants directory.
    pub file: String,
    /// The tenant it would define, where its name is one.
    pub key: Option<TenantKey>,
    /// What is wrong, a line each, as `validate` prints it.
    pub problems: Vec<String>,
}

/// A name in the tenants directory that is not a tenant file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IgnoredFile {
    pub file: String,
    pub reason: &'static str,
}

/// What the files want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    pub tenants: BTreeMap<TenantKey, Tenant>,
    pub broken: Vec<BrokenFile>,
    pub ignored: Vec<IgnoredFile>,
    pub completeness: Completeness,
    /// Advice on the files that does not stop anything, a line each.
    pub warnings: Vec<String>,
    /// A hash of every file's name and contents; equal digests mean equal directories.
    pub digest: String,
    /// The git commit that the directory is checked out at, where it is one.
    pub revision: Option<String>,
}

impl Desired {
    /// A directory that could not be read: everything about the wanted side is unknown.
    pub fn unreadable(reason: impl Into<String>) -> Self {
        Self {
            tenants: BTreeMap::new(),
            broken: Vec::new(),
            ignored: Vec::new(),
            completeness: Completeness::Unreadable { reason: reason.into() },
            warnings: Vec::new(),
            digest: String::new(),
            revision: None,
        }
    }

    /// Whether some broken file would define this tenant.
    pub fn is_broken(&self, key: &TenantKey) -> bool {
        self.broken.iter().any(|file| file.key.as_ref() == Some(key))
    }
}
