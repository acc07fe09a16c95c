//! Which parts of `tenantd.yaml` no message may show.

use super::{instances, read};
use crate::yaml::{Node, Parsed, Source, Span, Value};

/// Keys below the root and below an instance, besides [`read::KEYS`] and [`instances::KEYS`].
const INNER_KEYS: [&str; 21] = [
    "ca_file",
    "fingerprint",
    "session_timeout",
    "max_users",
    "name",
    "max_users_per_tenant",
    "max_pbx_instances",
    "max_tenants",
    "mode",
    "retention_days",
    "removals",
    "disables",
    "creates",
    "updates",
    "count",
    "percent",
    "interval",
    "quiet",
    "quiet_max",
    "settings_cycle",
    "allow",
];
const SECRET_KEYS: [&str; 2] = ["password", "database_password"];
const PLACE_KEYS: [&str; 3] = ["credential", "file", "env"];

/// Masks every value that is, or may be meant as, a secret: below `password`, below any key that tenantd does not
/// know, and between `:` and `@` of an address.
///
/// Where the text could not be read whole, lines that speak of a password are masked by their looks.
pub(super) fn hide_secrets(source: &mut Source, parsed: &Parsed) {
    let mut masks = Vec::new();
    if let Some(root) = &parsed.root {
        walk(root, Place::Known, source, &mut masks);
    }
    if !parsed.findings.is_empty() {
        by_looks(source, &mut masks);
    }
    masks.into_iter().for_each(|span| source.mask(span));
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Known,
    /// Keys here are names that people chose.
    Instances,
    /// The mapping that says where a secret is kept.
    Secret,
    /// Everything below is masked.
    Masked,
}

fn walk(node: &Node, place: Place, source: &Source, masks: &mut Vec<Span>) {
    match &node.value {
        Value::Scalar { .. } | Value::Refused if matches!(place, Place::Secret | Place::Masked) => {
            masks.push(node.span)
        }
        Value::Scalar { .. } | Value::Refused => {
            masks.extend(in_address(source.slice(node.span), node.span.start))
        }
        Value::Sequence(items) => items.iter().for_each(|item| walk(item, place, source, masks)),
        Value::Mapping(entries) => {
            for entry in entries {
                let key = entry.key.as_str();
                let below = match place {
                    Place::Masked => Place::Masked,
                    Place::Instances => Place::Known,
                    Place::Secret if PLACE_KEYS.contains(&key) && is_name_or_path(key, &entry.value) => {
                        continue;
                    }
                    Place::Secret => {
                        if !PLACE_KEYS.contains(&key) {
                            masks.push(entry.key_span);
                        }
                        Place::Masked
                    }
                    Place::Known if SECRET_KEYS.contains(&key) => Place::Secret,
                    Place::Known if key == "pbx_instances" => Place::Instances,
                    Place::Known
                        if read::KEYS.contains(&key)
                            || instances::KEYS.contains(&key)
                            || INNER_KEYS.contains(&key) =>
                    {
                        Place::Known
                    }
                    Place::Known => Place::Masked,
                };
                walk(&entry.value, below, source, masks);
            }
        }
    }
}

/// Whether the value of `credential`, `file` or `env` is what it should be, and not the secret itself.
fn is_name_or_path(key: &str, node: &Node) -> bool {
    let Value::Scalar { text, .. } = &node.value else { return false };
    match key {
        "file" => text.contains('/'),
        "env" => super::secrets::is_variable(text),
        _ => super::secrets::is_credential(text),
    }
}

/// The password of `scheme://user:password@host`, and of `?password=…`.
fn in_address(text: &str, start: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut add = |from: usize, to: usize| {
        if from < to {
            spans.push(Span { start: start + from, end: start + to });
        }
    };
    if let Some(scheme) = text.find("://") {
        let from = scheme + 3;
        let rest = &text[from..];
        match (rest.rfind('@'), rest.find(':')) {
            (Some(at), Some(colon)) if colon < at => add(from + colon + 1, from + at),
            (None, Some(colon)) if !rest[colon + 1..].starts_with(|c: char| c.is_ascii_digit()) => {
                add(from + colon + 1, text.len());
            }
            _ => {}
        }
    }
    let lower = text.to_ascii_lowercase();
    for (at, word) in lower.match_indices("password=") {
        let from = at + word.len();
        let to = text[from..].find(['&', ' ']).map_or(text.len(), |length| from + length);
        add(from, to);
    }
    spans
}

fn by_looks(source: &Source, masks: &mut Vec<Span>) {
    const WORDS: [&str; 5] = ["pass", "pwd", "secret", "token", "database_url"];
    let mut at = 0;
    // Lines indented deeper than one that speaks of a password belong to it.
    let mut deeper_than = None;
    for line in source.text().split_inclusive('\n') {
        let bare = line.trim_end();
        let indent = bare.len() - bare.trim_start().len();
        let end = at + bare.len();
        if deeper_than.is_some_and(|outer| indent > outer || bare.trim().is_empty()) {
            masks.push(Span { start: at + indent, end });
        } else {
            deeper_than = None;
            let lower = bare.to_ascii_lowercase();
            let word = WORDS.iter().filter_map(|word| lower.find(word)).min();
            let value = word.map(|word| bare[word..].find(':').map_or(word, |colon| word + colon + 1));
            if word.is_some() {
                deeper_than = Some(indent);
            }
            if let Some(start) = value.into_iter().chain(bare.find("://")).min() {
                masks.push(Span { start: at + start, end });
            }
        }
        at += line.len();
    }
}
