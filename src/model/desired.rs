use std::collections::{BTreeMap, BTreeSet};

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

/// A name below the tenants directory that is not a tenant file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IgnoredFile {
    /// The path within the tenants directory.
    pub file: String,
    pub reason: &'static str,
    pub traces: Mentions,
}

/// What an entry that is no tenant file could have to do with tenants. It matters where a tenant's own file was
/// removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mentions {
    /// The domains that its text names.
    pub domains: BTreeSet<String>,
    /// Its text has the keys of a tenant file.
    pub reads_as_tenant: bool,
    /// It is YAML or JSON with a name and a domain, as a tenant file is.
    pub is_tenant_file: bool,
    /// Why any tenant's file could be in it; completes "it …".
    pub opaque: Option<String>,
}

/// Something that could be a tenant's file and is not read as one. Its tenant is unknown, never removed, and while it
/// is there no tenant is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusualFile {
    /// The path within the tenants directory.
    pub file: String,
    /// The same with the directory in front, as messages name it.
    pub shown: String,
    /// The tenants whose file it could be, of those that have no other one.
    pub tenants: BTreeSet<TenantKey>,
    /// What tenantd takes it for, and why it does not read it.
    pub what: String,
    /// What tenantd does meanwhile, and the command that repairs it.
    pub mend: String,
    /// It matters only because a recorded tenant has no file: it was found by comparing with the record.
    pub by_record: bool,
    pub traces: Mentions,
}

/// What the files want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    pub tenants: BTreeMap<TenantKey, Tenant>,
    pub broken: Vec<BrokenFile>,
    /// What could be a tenant's file and is not read as one. None of these is in `ignored`.
    pub unusual: Vec<UnusualFile>,
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
            unusual: Vec::new(),
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

    /// What could be this tenant's file under another spelling, where the tenant has no other one.
    pub fn unusual_file_of(&self, key: &TenantKey) -> Option<&UnusualFile> {
        self.unusual.iter().find(|file| file.tenants.contains(key))
    }
}
