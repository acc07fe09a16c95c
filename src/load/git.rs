//! The checked-out commit and git's lock, read from disk without running git. The answer is `None` in any doubt.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file of git's that is read: `packed-refs` of a very large repository.
const MAX_BYTES: u64 = 32 << 20;

/// The commit that the directory's worktree is checked out at, in hexadecimal.
pub(super) fn revision(dir: &Path) -> Option<String> {
    let git_dir = git_dir(dir)?;
    let head = read(&git_dir.join("HEAD"))?;
    let head = head.trim();
    let Some(name) = head.strip_prefix("ref:") else { return commit(head) };
    let name = name.trim();
    if !name.starts_with("refs/") || Path::new(name).components().any(|part| part.as_os_str() == "..") {
        return None;
    }
    // A linked worktree keeps its HEAD for itself and shares its branches.
    let common = match read(&git_dir.join("commondir")) {
        Some(path) => git_dir.join(path.trim()),
        None => git_dir.clone(),
    };
    for place in [&git_dir, &common] {
        if let Some(loose) = read(&place.join(name)) {
            return commit(loose.trim());
        }
    }
    let packed = read(&common.join("packed-refs"))?;
    packed.lines().find_map(|line| commit(line.strip_suffix(name)?.strip_suffix(' ')?))
}

/// The lock that git holds while it changes the worktree.
pub(super) fn operation_in_progress(dir: &Path) -> Option<PathBuf> {
    let lock = git_dir(dir)?.join("index.lock");
    lock.symlink_metadata().is_ok().then_some(lock)
}

/// The `.git` directory of the worktree around a directory.
fn git_dir(dir: &Path) -> Option<PathBuf> {
    let real = dir.canonicalize().ok()?;
    let (root, dot_git) = real.ancestors().find_map(|above| {
        let dot_git = above.join(".git");
        dot_git.symlink_metadata().is_ok().then_some((above, dot_git))
    })?;
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    let text = read(&dot_git)?;
    Some(root.join(text.strip_prefix("gitdir:")?.trim()))
}

fn commit(text: &str) -> Option<String> {
    let hex = matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    hex.then(|| text.to_owned())
}

fn read(path: &Path) -> Option<String> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_commit_is_found_wherever_git_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let dir = root.join("deploy/tenants.d");
        fs::create_dir_all(&dir).unwrap();
        write(root, ".git/HEAD", &format!("{A}\n"));
        assert_eq!(revision(&dir).as_deref(), Some(A), "detached");
        write(root, ".git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(revision(&dir), None, "unborn branch");
        write(
            root,
            ".git/packed-refs",
            &format!("# pack-refs\n{B} refs/heads/other/refs/heads/main\n{A} refs/heads/main\n"),
        );
        assert_eq!(revision(&dir).as_deref(), Some(A), "packed");
        write(root, ".git/refs/heads/main", &format!("{B}\n"));
        assert_eq!(revision(&dir).as_deref(), Some(B), "a loose branch wins");
        write(root, ".git/refs/heads/main", "ref: refs/heads/other\n");
        assert_eq!(revision(&dir), None, "in doubt nothing");
        write(root, ".git/HEAD", "ref: refs/../../secret\n");
        assert_eq!(revision(&dir), None);
    }

    #[test]
    fn a_linked_worktree_has_its_own_head_and_lock() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "main/.git/refs/heads/topic", &format!("{A}\n"));
        write(root, "main/.git/worktrees/w/HEAD", "ref: refs/heads/topic\n");
        write(root, "main/.git/worktrees/w/commondir", "../..\n");
        write(root, "w/.git", &format!("gitdir: {}\n", root.join("main/.git/worktrees/w").display()));
        write(root, "w/tenants.d/a.yaml", "");
        let dir = root.join("w/tenants.d");
        assert_eq!(revision(&dir).as_deref(), Some(A));
        assert_eq!(operation_in_progress(&dir), None);
        write(root, "main/.git/worktrees/w/index.lock", "");
        assert!(operation_in_progress(&dir).is_some());
    }
}
