//! Which tenant files differ from the checked-out commit, for the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::commit::git;
use super::names;
use crate::model::TenantKey;

/// `commit 2e64eacbe349`
pub fn commit_text(revision: &str) -> String {
    format!("commit {}", revision.get(..12).unwrap_or(revision))
}

/// Those of these tenants whose own files differ from the commit, or are not in it. The contents are compared, not
/// git's index, which can be set to ignore a change. Where git fails, the answer is empty.
pub async fn uncommitted(dir: &Path, revision: &str, of: &BTreeSet<&TenantKey>) -> BTreeSet<TenantKey> {
    compare(dir, revision, of).await.unwrap_or_default()
}

async fn compare(
    dir: &Path,
    revision: &str,
    of: &BTreeSet<&TenantKey>,
) -> Result<BTreeSet<TenantKey>, String> {
    let key = |name: &str| TenantKey::parse(names::stem(name)).ok().filter(|key| of.contains(key));
    let is_asked_for = |name: &str| names::judge(name).is_ok() && key(name).is_some();
    let prefix = text(git(dir, &["rev-parse", "--show-prefix"], &[]).await?);
    let tree = format!("{revision}:{}", prefix.trim_end());
    let tree = text(git(dir, &["ls-tree", "-r", "-z", "--full-tree", &tree], &[]).await?);
    let committed: BTreeMap<&str, &str> = tree
        .split_terminator('\0')
        .filter_map(|entry| {
            let (about, name) = entry.split_once('\t')?;
            Some((name, about.rsplit_once(' ')?.1))
        })
        .filter(|(name, _)| is_asked_for(name))
        .collect();
    let there =
        text(git(dir, &["ls-files", "-z", "--cached", "--others", "--deduplicate", "--", "."], &[]).await?);
    let names: BTreeSet<&str> = there
        .split_terminator('\0')
        .chain(committed.keys().copied())
        .filter(|name| is_asked_for(name) && !name.contains('\n') && dir.join(name).is_file())
        .collect();
    let listed: String = names.iter().map(|name| format!("{name}\n")).collect();
    let hashes = text(git(dir, &["hash-object", "--no-filters", "--stdin-paths"], listed.as_bytes()).await?);
    let hashes: Vec<&str> = hashes.lines().collect();
    if hashes.len() != names.len() {
        return Err("git did not hash every file".to_owned());
    }
    let differs = names.iter().zip(hashes).filter(|(name, hash)| committed.get(*name) != Some(hash));
    let gone = committed.keys().filter(|name| !names.contains(*name));
    let all = differs.map(|(name, _)| *name).chain(gone.copied());
    Ok(all.filter_map(key).collect())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
