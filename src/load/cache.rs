//! What an earlier reading of the directory found, so that only what changed is read and parsed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Snapshot;
use super::file::{Content, File};
use super::schema::Draft;

/// The last reading of a directory, and its parsed files. It is of one configuration: another one parses anew.
#[derive(Debug, Default)]
pub struct Cache {
    pub(super) snapshot: Option<Snapshot>,
    /// Files as they were parsed, before they were compared with each other.
    drafts: BTreeMap<String, Arc<Draft>>,
}

impl Cache {
    /// The parsed file, if its content is the one that was parsed.
    pub(super) fn draft(&self, name: &str, file: &File) -> Option<Arc<Draft>> {
        let known = self.snapshot.as_ref()?.files.get(name)?;
        match (&known.content, &file.content) {
            (Content::Bytes(old), Content::Bytes(new)) if old == new => self.drafts.get(name).cloned(),
            _ => None,
        }
    }

    pub(super) fn remember(&mut self, snapshot: &Snapshot, drafts: &[Arc<Draft>]) {
        self.drafts = drafts.iter().map(|draft| (draft.file.clone(), Arc::clone(draft))).collect();
        self.snapshot = Some(snapshot.clone());
    }
}
