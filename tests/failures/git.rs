//! A git repository whose commits are signed.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Repository {
    worktree: PathBuf,
    keys: tempfile::TempDir,
}

impl Repository {
    pub fn new(worktree: &Path) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let new = Self { worktree: worktree.to_owned(), keys };
        new.git(&["init", "-q", "-b", "main"]);
        let key = new.another_key("anna");
        let (name, value) = key.split_once('=').unwrap();
        for (name, value) in
            [(name, value), ("user.name", "Anna"), ("user.email", "anna@example.com"), ("gpg.format", "ssh")]
        {
            new.git(&["config", name, value]);
        }
        new
    }

    pub fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.worktree).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let ran = command.output().unwrap();
        assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Makes a key, and returns the git setting that signs with it.
    pub fn another_key(&self, name: &str) -> String {
        let file = self.keys.path().join(name);
        let ran = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        format!("user.signingKey={}", file.display())
    }

    /// A file that names the first key alone.
    pub fn allowed_signers(&self, file: &Path) -> PathBuf {
        let key = std::fs::read_to_string(self.keys.path().join("anna.pub")).unwrap();
        std::fs::write(file, format!("anna@example.com namespaces=\"git\" {key}")).unwrap();
        file.to_owned()
    }
}
