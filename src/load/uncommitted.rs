//! Whether the directory's files are those of the commit that it is checked out at, for the audit log.

use std::path::Path;

use super::commit::git;

/// `2e64eacbe349`, and `, with uncommitted changes` where some file of the directory is not the commit's. Where git
/// cannot tell, nothing is claimed.
pub async fn commit_text(dir: &Path, revision: &str) -> String {
    let short = revision.get(..12).unwrap_or(revision);
    match git(dir, &["status", "--porcelain", "--untracked-files=normal", "--", "."], &[]).await {
        Ok(changes) if !changes.is_empty() => format!("commit {short}, with uncommitted changes"),
        _ => format!("commit {short}"),
    }
}
