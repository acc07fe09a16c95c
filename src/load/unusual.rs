//! Present but unusual is not removed: what lies below the tenants directory, could be a tenant's file, and is not read
//! as one.
//!
//! Two functions check the same entries. [`by_name`] needs the files alone, so that `validate` in a merge request reports it: a
//! name that ends in `.yaml` and is not accepted, a name that has `.yaml` in it and no file beside it, a folder that is
//! not followed. [`by_record`] needs what is recorded: it asks of each tenant whose file was removed whether any entry
//! could be that file, by its name, by the domain in its text, or because tenantd cannot read it. Either way the
//! tenant is unknown, and nothing is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::mentions::PACKED;
use super::names;
use super::spelling::{Keys, Spelling};
use crate::model::{Completeness, Desired, IgnoredFile, Recorded, TenantKey, TenantRecord, UnusualFile};
use crate::yaml::{Finding, Problem};

/// The reasons of entries that matter whatever is recorded: unread tenant files could be behind them.
pub(super) const NOT_FOLLOWED: &str = "a link to a folder that is not followed";
pub(super) const DANGLING: &str = "a link to something that is not there";

/// Which of the ignored entries could be a tenant's file, whatever is recorded. They leave the ignored ones.
pub(super) fn by_name(dir: &Path, desired: &mut Desired) {
    let with_file: BTreeSet<TenantKey> = desired
        .tenants
        .keys()
        .chain(desired.broken.iter().filter_map(|file| file.key.as_ref()))
        .cloned()
        .collect();
    let keys = Keys::new(&with_file);
    let domains: BTreeSet<&str> =
        desired.tenants.values().map(|tenant| tenant.definition.domain.as_str()).collect();
    let mut found = Vec::new();
    let mut ignored = Vec::new();
    for entry in std::mem::take(&mut desired.ignored) {
        if matches!(entry.reason, NOT_FOLLOWED | DANGLING) {
            found.push(link(dir, entry));
            continue;
        }
        let spelling = Spelling::of(&entry.file);
        let beside = spelling.means(&keys);
        let traces = &entry.traces;
        let is_unusual = if spelling.temporary {
            // An editor's copy says nothing by itself: the file beside it may be new, and be written just now.
            spelling.is_telling() && !spelling.hidden && beside.is_empty() && traces.reads_as_tenant
        } else if spelling.hidden {
            // Many tools keep a hidden YAML file of their own.
            let is_copy = traces.domains.iter().any(|domain| domains.contains(domain.as_str()));
            spelling.ends_in_yaml && traces.reads_as_tenant && beside.is_empty() && !is_copy
        } else {
            let is_copy = traces.domains.iter().any(|domain| domains.contains(domain.as_str()));
            // Whatever it is called: `acme.txt`, `parked.off`.
            let by_content = traces.is_tenant_file && !spelling.sample && !is_copy;
            spelling.ends_in_yaml || ((spelling.is_telling() || by_content) && beside.is_empty())
        };
        if !is_unusual {
            ignored.push(entry);
        } else if let Some(key) = beside.first() {
            found.push(second(dir, entry, key));
        } else {
            found.push(only(dir, entry, spelling.guess(), false));
        }
    }
    desired.ignored = ignored;
    desired.unusual = found;
}

/// Which entries could be the file of a recorded tenant that has none. Called between reading and planning; what it
/// finds is added to [`Desired::unusual`], and nothing is removed then.
pub fn by_record(dir: &Path, desired: &mut Desired, recorded: &Recorded) {
    if matches!(desired.completeness, Completeness::Unreadable { .. }) {
        return;
    }
    let gone = without_file(desired, recorded);
    if gone.is_empty() {
        return;
    }
    let known: BTreeSet<TenantKey> = desired.tenants.keys().chain(recorded.tenants.keys()).cloned().collect();
    let keys = Keys::new(&known);
    let of_domain: BTreeMap<&str, &TenantKey> =
        gone.values().map(|record| (record.definition.domain.as_str(), &record.key)).collect();
    let means = |file: &str, domains: &BTreeSet<String>| -> BTreeSet<TenantKey> {
        let by_name = Spelling::of(file).means(&keys).into_iter().filter(|key| gone.contains_key(key));
        let by_domain = domains.iter().filter_map(|domain| of_domain.get(domain.as_str()).copied());
        by_name.chain(by_domain).cloned().collect()
    };
    for file in &mut desired.unusual {
        file.tenants.retain(|key| gone.contains_key(key));
        let tenants = means(&file.file, &file.traces.domains);
        // The record knows better whose domain that is than a guess by the name.
        if file.tenants.is_empty()
            && let (Some(first), Err(reason)) = (tenants.first(), names::judge(&file.file))
        {
            let (name, traces) = (file.file.clone(), std::mem::take(&mut file.traces));
            let by_domain = !Spelling::of(&name).means(&keys).contains(first);
            *file = only(dir, IgnoredFile { file: name, reason, traces }, Some(first.clone()), by_domain);
        }
        file.tenants.extend(tenants);
    }
    let mut ignored = Vec::new();
    for entry in std::mem::take(&mut desired.ignored) {
        let tenants = means(&entry.file, &entry.traces.domains);
        if let Some(first) = tenants.first().cloned() {
            let names_it = !Spelling::of(&entry.file).means(&keys).contains(&first);
            let mut file = only(dir, entry, Some(first.clone()), names_it);
            file.tenants = tenants;
            file.by_record = true;
            desired.unusual.push(file);
        } else if entry.traces.opaque.is_some() {
            desired.unusual.push(opaque(dir, entry, gone.keys().map(|key| (*key).clone()).collect()));
        } else {
            ignored.push(entry);
        }
    }
    desired.ignored = ignored;
    mark_incomplete(desired);
}

/// The recorded tenants that no file means: none has their key, names them in `previously`, or has their domain.
fn without_file<'a>(desired: &Desired, recorded: &'a Recorded) -> BTreeMap<&'a TenantKey, &'a TenantRecord> {
    let before: BTreeSet<&TenantKey> =
        desired.tenants.values().filter_map(|tenant| tenant.previously.as_ref()).collect();
    let domains: BTreeSet<_> = desired.tenants.values().map(|tenant| &tenant.definition.domain).collect();
    recorded
        .tenants
        .iter()
        .filter(|(key, record)| {
            !desired.tenants.contains_key(key)
                && !desired.is_broken(key)
                && !before.contains(key)
                && !domains.contains(&record.definition.domain)
        })
        .collect()
}

/// Marks the directory as incomplete while a file in it could be a tenant's.
pub(super) fn mark_incomplete(desired: &mut Desired) {
    if desired.completeness != Completeness::Complete {
        return;
    }
    let reason = match desired.unusual.as_slice() {
        [] => return,
        [one] => format!("{} could be a tenant's file", one.file),
        [first, rest @ ..] => format!("{} and {} more could be tenants' files", first.file, rest.len()),
    };
    desired.completeness = Completeness::Partial { reason };
}

/// The problems of unusual files, as `validate` and the log print them.
pub fn problems(unusual: &[UnusualFile]) -> Vec<Problem> {
    unusual.iter().map(problem).collect()
}

fn problem(file: &UnusualFile) -> Problem {
    Problem::of_file(&file.shown, Finding::error(None, &file.what).help(&file.mend))
}

/// The only one that could be its tenant's file.
fn only(dir: &Path, entry: IgnoredFile, key: Option<TenantKey>, by_domain: bool) -> UnusualFile {
    let shown = dir.join(&entry.file).to_string_lossy().into_owned();
    let why = entry.reason;
    let (what, mend) = match &key {
        Some(key) => {
            // A set-aside folder is not where the file belongs.
            let folder = entry.file.rsplit_once('/').map_or("", |(folder, _)| folder);
            let hidden = folder.split('/').any(|part| part.starts_with('.'));
            let to = if hidden { dir.to_owned() } else { dir.join(folder) }.join(format!("{key}.yaml"));
            let to = quote(&to.to_string_lossy());
            let back = if entry.traces.opaque.as_deref() == Some(PACKED) {
                format!("unpack it to {to}")
            } else {
                format!("`mv {} {to}`", quote(&shown))
            };
            let how = if by_domain { "it has the domain of the tenant" } else { "it could be the file of" };
            (
                format!("{how} {key}, and is not read: {why}"),
                format!(
                    "{key} is not changed and no tenant is disabled or deleted; {back}, or delete the file if {key} \
                     should be removed"
                ),
            )
        }
        None => (
            format!("it could be a tenant's file, and is not read: {why}"),
            "until then no tenant is disabled or deleted; give the file a name like `acme.yaml`, or move it out of \
             the tenants directory"
                .to_owned(),
        ),
    };
    UnusualFile {
        file: entry.file,
        shown,
        tenants: key.into_iter().collect(),
        what,
        mend,
        by_record: false,
        traces: entry.traces,
    }
}

/// Beside a file of the same key: either could be the one that is meant.
fn second(dir: &Path, entry: IgnoredFile, key: &TenantKey) -> UnusualFile {
    let shown = dir.join(&entry.file).to_string_lossy().into_owned();
    let mend = format!(
        "{key}.yaml is in force, and no tenant is disabled or deleted; `rm {}`, or give the file another name",
        quote(&shown)
    );
    let what = format!("it could be a second file of {key}, and is not read: {}", entry.reason);
    of_no_tenant(entry, shown, what, mend)
}

/// A file that stands for no tenant that is known by name.
fn of_no_tenant(entry: IgnoredFile, shown: String, what: String, mend: String) -> UnusualFile {
    UnusualFile {
        what,
        file: entry.file,
        shown,
        tenants: BTreeSet::new(),
        mend,
        by_record: false,
        traces: entry.traces,
    }
}

/// Files may be behind it.
fn link(dir: &Path, entry: IgnoredFile) -> UnusualFile {
    let shown = dir.join(&entry.file).to_string_lossy().into_owned();
    let mend = format!(
        "until then no tenant is disabled or deleted; put the folder itself there, or delete the link: `rm {}`",
        quote(&shown)
    );
    let what = format!("it may lead to tenant files: it is {}", entry.reason);
    of_no_tenant(entry, shown, what, mend)
}

/// tenantd cannot read what is in it.
fn opaque(dir: &Path, entry: IgnoredFile, tenants: BTreeSet<TenantKey>) -> UnusualFile {
    let shown = dir.join(&entry.file).to_string_lossy().into_owned();
    let why = entry.traces.opaque.clone().unwrap_or_default();
    let some: Vec<&str> = tenants.iter().take(3).map(TenantKey::as_str).collect();
    let more = tenants.len().saturating_sub(some.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    UnusualFile {
        what: format!("the file of {}{more} could be in it: it {why}", some.join(", ")),
        mend: "until then no tenant is disabled or deleted; delete the file, or move it out of the tenants \
               directory"
            .to_owned(),
        file: entry.file,
        shown,
        tenants,
        by_record: true,
        traces: entry.traces,
    }
}

/// A path as one word of a shell command.
fn quote(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
