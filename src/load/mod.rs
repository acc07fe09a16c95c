//! Stage 1: `tenants.d/` → [`Desired`]. Strict: a file is a valid tenant, or it is broken; it is never absent.
//!
//! [`Snapshot::read`] is the only part that touches a disk; [`parse`] is a function of values, so that tests and the
//! simulation need none. Names that match `^[a-z0-9][a-z0-9._-]*\.ya?ml$`, in the directory or in a folder below it,
//! are tenant files, whatever they turn out to be. All others are ignored and listed with the reason, unless they could
//! be a tenant's file under another spelling: then that tenant is unknown (`unusual`).

pub mod advice;
mod cache;
mod commit;
mod cross_checks;
mod directory;
mod file;
mod git;
mod io_error;
mod links;
mod mask;
mod mentions;
mod names;
mod scan;
mod schema;
mod settings;
mod snapshot;
mod spelling;
mod stable;
mod uncommitted;
mod unusual;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use cache::Cache;
pub use commit::as_committed;
pub use directory::{read, read_changes};
pub use file::{Content, File};
pub use schema::KEYS;
pub use snapshot::Snapshot;
pub use stable::{stable_snapshot, stable_snapshot_after};
pub use uncommitted::{commit_text, uncommitted};
pub use unusual::{by_record, problems as unusual_problems};

use crate::config::Config;
use crate::model::{BrokenFile, Completeness, Desired};
use crate::yaml::{Finding, Problem, Severity};
use schema::Draft;

/// What the files say, and every problem in them.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub desired: Desired,
    /// Errors and warnings of all files, sorted by file and line. Accepted advice is not among them.
    pub problems: Vec<Problem>,
}

impl Loaded {
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }
}

/// Reads a tenants directory as it is at this moment.
///
/// For a directory that may be changing, use [`stable_snapshot`] and [`parse`].
pub fn directory(dir: &Path, config: &Config) -> Loaded {
    parse(&Snapshot::read(dir), config)
}

/// Turns a snapshot into the desired side. Linear in the size of the directory.
///
/// *Guarantees*: every file of the snapshot is in `desired.tenants` or in `desired.broken`, never in both, never in
/// neither. A directory without tenant files is [`Completeness::Unreadable`]: it justifies no removal.
pub fn parse(snapshot: &Snapshot, config: &Config) -> Loaded {
    parse_with(snapshot, config, None)
}

/// As [`parse`], with what is as in the reading before taken from there. Afterwards the cache holds this reading, unless
/// the directory could not be read.
pub fn parse_after(snapshot: &Snapshot, config: &Config, cache: &mut Cache) -> Loaded {
    parse_with(snapshot, config, Some(cache))
}

fn parse_with(snapshot: &Snapshot, config: &Config, cache: Option<&mut Cache>) -> Loaded {
    let Snapshot { dir, files, ignored, unreadable, identity: _, digest, revision } = snapshot;
    let mut desired = Desired::unreadable("");
    desired.ignored = ignored.clone();
    desired.digest = digest.clone();
    desired.revision = revision.clone();
    if let Some(reason) =
        unreadable.clone().or_else(|| files.is_empty().then(|| "has no tenant files".to_owned()))
    {
        let finding = Finding::error(None, format!("the tenants directory {reason}"));
        // What keeps git or a folder from being read is reported by the reason itself.
        let finding = if files.is_empty() && unreadable.is_none() || reason == "does not exist" {
            finding.expected("a directory of tenant files (`KEY.yaml`)").help(
                "add a file, or run `tenantd import --instance INSTANCE`. If there were files before, check \
                 `tenants_dir` and its mount",
            )
        } else if reason == "is not a directory" {
            finding
                .expected("a directory of tenant files (`KEY.yaml`)")
                .help("check `tenants_dir` and its mount; until then no tenant is disabled or deleted")
        } else {
            finding.help("until then nothing is changed")
        };
        desired.completeness = Completeness::Unreadable { reason };
        unusual::by_name(dir, &mut desired);
        let mut problems = vec![Problem::of_file(dir.to_string_lossy(), finding)];
        problems.extend(unusual::problems(&desired.unusual));
        return Loaded { desired, problems };
    }
    let drafts = read_all(dir, files, config, cache.as_deref());
    if let Some(cache) = cache {
        cache.remember(snapshot, &drafts);
    }
    let mut drafts: Vec<Draft> = drafts.into_iter().map(Arc::unwrap_or_clone).collect();
    cross_checks::check(&mut drafts);

    let mut problems = Vec::new();
    let mut tenants = BTreeMap::new();
    for draft in drafts {
        let broken = draft.has_errors();
        let Draft { file, key, source, findings, problems: mut own, accept, tenant, .. } = draft;
        let accepted = |finding: &Finding| {
            finding.severity == Severity::Warning && finding.advice.is_some_and(|name| accept.contains(name))
        };
        if let Some(source) = &source {
            own.extend(
                source.locate_all(findings.into_iter().filter(|finding| !accepted(finding)).collect()),
            );
        }
        match tenant {
            Some(tenant) if !broken => {
                desired.warnings.extend(own.iter().map(Problem::to_string));
                tenants.insert(tenant.key.clone(), tenant);
            }
            _ => {
                let lines = own.iter().filter(|problem| problem.is_error()).map(Problem::to_string).collect();
                desired.broken.push(BrokenFile { file, key, problems: lines });
            }
        }
        problems.append(&mut own);
    }
    desired.tenants = tenants;
    problems.extend(too_many(dir, &desired, config));
    unusual::by_name(dir, &mut desired);
    problems.extend(unusual::problems(&desired.unusual));
    desired.completeness = match desired.broken.as_slice() {
        [] => Completeness::Complete,
        [one] => Completeness::Partial { reason: format!("{} is broken", one.file) },
        [first, rest @ ..] => {
            Completeness::Partial { reason: format!("{} and {} more are broken", first.file, rest.len()) }
        }
    };
    unusual::mark_incomplete(&mut desired);
    Loaded { desired, problems }
}

/// Directories with fewer files are read on the caller's thread: starting others costs more than they save.
const FILES_PER_THREAD: usize = 1000;

/// Reads each file by itself; large directories on several threads, with the same result in the same order.
fn read_all(
    dir: &Path,
    files: &BTreeMap<String, File>,
    config: &Config,
    cache: Option<&Cache>,
) -> Vec<Arc<Draft>> {
    let read = |(name, file): &(&String, &File)| {
        cache.and_then(|cache| cache.draft(name, file)).unwrap_or_else(|| {
            Arc::new(Draft::read(name, &dir.join(name).to_string_lossy(), &file.content, config))
        })
    };
    let files = files.iter().collect::<Vec<_>>();
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get());
    let threads = (files.len() / FILES_PER_THREAD).clamp(1, processors);
    if threads == 1 {
        return files.iter().map(read).collect();
    }
    std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(threads));
        let workers = parts
            .map(|part| scope.spawn(move || part.iter().map(read).collect::<Vec<_>>()))
            .collect::<Vec<_>>();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// More tenants than the tier allows. No single file is wrong, so none counts as broken.
fn too_many(dir: &Path, desired: &Desired, config: &Config) -> Option<Problem> {
    let most = config.tier.max_tenants?;
    let count = desired.tenants.len();
    (count > most as usize).then(|| {
        let finding = Finding::error(None, format!("there are {count} tenants"))
            .expected(format!("at most {most} (`tier.max_tenants` in tenantd.yaml)"))
            .help("remove tenants, or raise the tier's limit");
        Problem::of_file(dir.to_string_lossy(), finding)
    })
}
