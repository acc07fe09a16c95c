//! An empty database of the current schema, made once and copied for each seed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::state::NoFaults;

pub struct Template {
    dir: TempDir,
}

const NAME: &str = "tenantd.db";

/// In memory where possible: each commit would wait for a disk otherwise.
fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(dir) = tempfile::tempdir_in(memory)
    {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

impl Template {
    pub fn new() -> Self {
        let dir = temporary();
        drop(crate::process::open(&dir.path().join(NAME), Arc::new(NoFaults)));
        Self { dir }
    }

    pub fn copy(&self) -> (TempDir, PathBuf) {
        let dir = temporary();
        let path = dir.path().join(NAME);
        std::fs::copy(self.dir.path().join(NAME), &path).unwrap();
        (dir, path)
    }
}
