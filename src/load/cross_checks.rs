//! Checks that need all files: uniqueness, sharing, and names that are already taken.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::advice;
use super::names::stem;
use super::schema::Draft;
use crate::model::{DomainName, SmsNumber, TenantKey};
use crate::yaml::{Finding, Span, quoted};

/// Adds to each draft what is wrong with it next to the others.
pub(super) fn check(drafts: &mut [Draft]) {
    two_files_of_one_key(drafts);
    domains(drafts);
    sms_numbers(drafts);
    previously(drafts);
    sharing(drafts);
    names(drafts);
}

/// Groups of two or more drafts that share a value, as indices.
fn shared<'d, K: Ord>(
    drafts: &'d [Draft],
    value: impl Fn(&'d Draft) -> Option<K>,
) -> impl Iterator<Item = Vec<usize>> {
    let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        if let Some(value) = value(draft) {
            groups.entry(value).or_default().push(index);
        }
    }
    groups.into_values().filter(|group| group.len() > 1)
}

/// The other files of a group, for a message: at most three by name.
fn others(drafts: &[Draft], group: &[usize], this: usize) -> String {
    const SHOWN: usize = 3;
    let mut names =
        group.iter().filter(|other| **other != this).map(|other| format!("`{}`", drafts[*other].file));
    let mut text = names.by_ref().take(SHOWN).collect::<Vec<_>>().join(", ");
    let more = names.count();
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn start_of_file() -> Span {
    Span { start: 0, end: 0 }
}

/// `acme.yaml` and `acme.yml`, or `hq/acme.yaml` and `acme.yaml`, are one tenant; neither can be believed.
fn two_files_of_one_key(drafts: &mut [Draft]) {
    let groups = shared(drafts, |draft| Some(stem(&draft.file))).collect::<Vec<_>>();
    for group in groups {
        for &index in &group {
            let others = others(drafts, &group, index);
            let finding = Finding::error(
                start_of_file(),
                format!(
                    "{others} {} of this tenant",
                    if group.len() == 2 { "is also a file" } else { "are also files" }
                ),
            )
            .expected("one file for a tenant")
            .help("keep one file and delete or rename the rest; until then, their tenant stays as it is on the PBX");
            drafts[index].findings.push(finding);
        }
    }
}

/// A domain belongs to one tenant, and which of two files is right must not be guessed.
fn domains(drafts: &mut [Draft]) {
    let groups = shared(drafts, |draft| draft.domain.as_ref().map(|(domain, _)| domain)).collect::<Vec<_>>();
    for group in groups {
        for &index in &group {
            let others = others(drafts, &group, index);
            let Some((domain, span)) = &drafts[index].domain else { continue };
            let finding =
                Finding::error(*span, format!("the domain {} is also used in {others}", shown(domain)))
                    .expected("a domain that no other file uses")
                    .help("correct one of the files; until then, their tenants stay as they are on the PBX");
            drafts[index].findings.push(finding);
        }
    }
}

/// A number belongs to one tenant, in whichever spelling its file has it.
fn sms_numbers(drafts: &mut [Draft]) {
    let mut owners: BTreeMap<SmsNumber, Vec<(usize, Span)>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        for (number, span) in &draft.sms_numbers {
            owners.entry(number.clone()).or_default().push((index, *span));
        }
    }
    for (number, places) in owners.into_iter().filter(|(_, places)| places.len() > 1) {
        let group: Vec<usize> = places.iter().map(|(index, _)| *index).collect();
        for (index, span) in places {
            let others = others(drafts, &group, index);
            let finding = Finding::error(span, format!("the SMS number `{number}` is also used in {others}"))
                .expected("a number that no other file uses")
                .help("delete it in one of the files; until then, their tenants stay as they are on the PBX");
            drafts[index].findings.push(finding);
        }
    }
}

fn shown(domain: &DomainName) -> String {
    match domain.unicode() {
        Some(unicode) => format!("{} ({})", quoted(domain.as_str()), quoted(&unicode)),
        None => quoted(domain.as_str()),
    }
}

fn previously(drafts: &mut [Draft]) {
    let groups = shared(drafts, |draft| draft.previously.as_ref().map(|(key, _)| key)).collect::<Vec<_>>();
    for group in groups {
        for &index in &group {
            let others = others(drafts, &group, index);
            let Some((key, span)) = &drafts[index].previously else { continue };
            let finding = Finding::error(*span, format!("{others} also says `previously: {key}`"))
                .expected("one file that continues the tenant")
                .help("delete the line in the wrong file");
            drafts[index].findings.push(finding);
        }
    }
    let keys = by_key(drafts);
    let taken = drafts
        .iter()
        .enumerate()
        .filter_map(|(index, draft)| {
            let (key, span) = draft.previously.as_ref()?;
            let other = keys.get(key).filter(|other| **other != index)?;
            Some((index, *span, key.clone(), drafts[*other].file.clone()))
        })
        .collect::<Vec<_>>();
    for (index, span, key, file) in taken {
        drafts[index].findings.push(
            Finding::error(span, format!("`{key}` still has a file of its own, `{file}`"))
                .expected("the key of a removed file")
                .help(format!("delete `{file}` in the same commit, or delete this line")),
        );
    }
}

fn by_key(drafts: &[Draft]) -> BTreeMap<TenantKey, usize> {
    drafts.iter().enumerate().filter_map(|(index, draft)| Some((draft.key.clone()?, index))).collect()
}

/// Sharing needs both sides. A broken file may name this tenant, so no advice is given about one.
fn sharing(drafts: &mut [Draft]) {
    let keys = by_key(drafts);
    let mut found = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        let Some(key) = &draft.key else { continue };
        for (kind, other, span) in &draft.shares {
            match keys.get(other) {
                None => found.push((
                    index,
                    advice::SHARING_UNKNOWN
                        .warn(*span, format!("the tenant `{other}` does not exist"))
                        .expected("the key of a tenant that has a file")
                        .help(
                            match crate::yaml::nearest(
                                other.as_str(),
                                keys.keys().map(TenantKey::as_str).take(2000),
                            ) {
                                Some(near) => format!("did you mean `{near}`?"),
                                None => "correct the key, or delete the item".to_owned(),
                            },
                        ),
                )),
                Some(&at) if drafts[at].has_errors() => {}
                Some(&at) if drafts[at].shares.iter().any(|(k, o, _)| k == kind && o == key) => {}
                Some(&at) => found.push((
                    index,
                    advice::SHARING_ONE_SIDED
                        .warn(*span, format!("`{}` does not share {kind} with `{key}`", drafts[at].file))
                        .expected("both files to name each other")
                        .help(format!("add `{key}` there; until then, nothing is shared")),
                )),
            }
        }
    }
    for (index, finding) in found {
        drafts[index].findings.push(finding);
    }
}

/// The same display name twice is allowed, but the two are easily mistaken for each other in a list.
fn names(drafts: &mut [Draft]) {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        let Some((name, span)) = &draft.name else { continue };
        match first.entry(name.to_lowercase()) {
            Entry::Vacant(vacant) => {
                vacant.insert(index);
            }
            Entry::Occupied(occupied) => {
                let other = &drafts[*occupied.get()].file;
                found.push((
                    index,
                    advice::DUPLICATE_NAME
                        .warn(*span, format!("`{other}` is also named {}", quoted(name)))
                        .expected("names that tell tenants apart")
                        .help("add the department or the town"),
                ));
            }
        }
    }
    for (index, finding) in found {
        drafts[index].findings.push(finding);
    }
}
