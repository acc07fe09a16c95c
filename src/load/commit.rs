//! Whether the files are those of a commit that may be applied, where the configuration asks for it.
//!
//! What is compared are the bytes that were read, with the objects of the commit, so that neither an edit in the
//! worktree nor a checkout in the middle of it can slip in. git runs with everything switched off that its repository
//! could make it run: anyone who may push is not to run programs here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Content, Snapshot, names};
use crate::config::CommitRules;

/// How long one git command may take: a disk that does not answer must not stop a pass for ever.
const GIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Set over whatever the repository's own configuration says.
const SAFE_SETTINGS: [&str; 8] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "gpg.program=/bin/false",
    "gpg.openpgp.program=/bin/false",
    "gpg.x509.program=/bin/false",
    "gpg.ssh.program=ssh-keygen",
    "gpg.ssh.defaultKeyCommand=",
    "safe.directory=*",
];

/// In place of every `GIT_…` that tenantd was started with.
const GIT_ENVIRONMENT: [(&str, &str); 7] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LC_ALL", "C"),
];

/// The snapshot, if its files are those of a commit that the rules allow; else an unreadable one with the reason.
pub async fn as_committed(snapshot: Snapshot, rules: &CommitRules) -> Snapshot {
    if snapshot.unreadable.is_some() {
        return snapshot;
    }
    match check(&snapshot, rules).await {
        Ok(commit) => Snapshot { revision: Some(commit), ..snapshot },
        Err(reason) => Snapshot::unreadable(&snapshot.dir, reason),
    }
}

async fn check(snapshot: &Snapshot, rules: &CommitRules) -> Result<String, String> {
    let dir = &snapshot.dir;
    let query = ["rev-parse", "--show-prefix", "HEAD", "--symbolic-full-name", "HEAD"];
    let answer = git(dir, &query, &[]).await.map_err(|why| format!("is not a checked-out commit ({why})"))?;
    let answer = String::from_utf8_lossy(&answer);
    let [prefix, commit, head] = answer.lines().collect::<Vec<_>>()[..] else {
        return Err("is not a checked-out commit (git names none)".to_owned());
    };
    let short = commit.get(..12).unwrap_or(commit);
    if let Some(branch) = &rules.branch
        && head != format!("refs/heads/{branch}")
    {
        let found =
            head.strip_prefix("refs/heads/").map_or("no branch".to_owned(), |name| format!("`{name}`"));
        return Err(format!("is checked out at {found}, but `git.branch` requires `{branch}`"));
    }
    if let Some(signers) = &rules.allowed_signers {
        let file = format!("gpg.ssh.allowedSignersFile={}", signers.display());
        git(dir, &["-c", &file, "verify-commit", commit], &[]).await.map_err(|why| {
            format!("is at the commit {short}, which is not signed by a key in {} ({why})", signers.display())
        })?;
    }
    let committed = files(dir, commit, prefix).await.map_err(|why| format!("cannot be compared ({why})"))?;
    let differs = |name: &&String| {
        let read = snapshot.files.get(*name).map(|file| &file.content);
        !matches!((read, committed.get(*name)), (Some(Content::Bytes(a)), Some(b)) if **a == **b)
    };
    match snapshot.files.keys().chain(committed.keys()).find(differs) {
        Some(name) => {
            let what = match (snapshot.files.contains_key(name), committed.contains_key(name)) {
                (true, false) => "is not in the commit; commit the file or delete it",
                (false, true) => "is missing; commit its removal, or restore it with `git checkout`",
                _ => "differs from the commit; commit the change, or undo it with `git checkout`",
            };
            Err(format!("is not as in the commit {short}: {name} {what}"))
        }
        None => Ok(commit.to_owned()),
    }
}

/// The tenant files of a commit, in folders as well. Symbolic links are skipped: they have no content of their own.
async fn files(dir: &Path, commit: &str, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let tree = git(dir, &["ls-tree", "-r", "-z", "--full-tree", &format!("{commit}:{prefix}")], &[]).await?;
    let mut objects = Vec::new();
    for entry in String::from_utf8_lossy(&tree).split_terminator('\0') {
        let (about, name) = entry
            .split_once('\t')
            .ok_or("git lists the commit's files in a format that tenantd does not know")?;
        let object = about.strip_prefix("100644 blob ").or_else(|| about.strip_prefix("100755 blob "));
        if let Some(object) = object.filter(|_| names::judge(name).is_ok()) {
            objects.push((name.to_owned(), object.to_owned()));
        }
    }
    let request: String = objects.iter().map(|(_, object)| format!("{object}\n")).collect();
    let answer = git(dir, &["cat-file", "--batch"], request.as_bytes()).await?;
    let mut rest = &answer[..];
    let mut files = BTreeMap::new();
    for (name, object) in objects {
        let content =
            take(&mut rest, &object).ok_or_else(|| format!("git does not have the content of {name}"))?;
        files.insert(name, content.to_vec());
    }
    Ok(files)
}

/// The next object of `cat-file --batch`: `OBJECT blob SIZE`, a line break, the content, a line break.
fn take<'a>(rest: &mut &'a [u8], object: &str) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&rest[..end]).ok()?;
    let size: usize = head.strip_prefix(object)?.strip_prefix(" blob ")?.parse().ok()?;
    let content = rest.get(end + 1..)?.get(..size)?;
    *rest = rest.get(end + 1 + size + 1..)?;
    Some(content)
}

/// What git prints, or why it printed nothing.
pub(super) async fn git(dir: &Path, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(SAFE_SETTINGS.iter().flat_map(|set| ["-c", set])).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.envs(GIT_ENVIRONMENT);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("git cannot be run: {error}"))?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // If git ends early, its exit code says so.
            let _ = stdin.write_all(input).await;
        }
    };
    let both = async { tokio::join!(write, child.wait_with_output()).1 };
    let output = tokio::time::timeout(GIT_TIMEOUT, both)
        .await
        .map_err(|_| format!("git did not answer within {} s", GIT_TIMEOUT.as_secs()))?
        .map_err(|error| format!("git cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(last_line(&output.stderr).unwrap_or_else(|| format!("git ended with {}", output.status)))
}

/// The last line of git's error output, without control characters.
fn last_line(complaint: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(complaint);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(format!("git: {}", line.chars().filter(|c| !c.is_control()).take(200).collect::<String>()))
}
