//! Which parts of `tenantd.yaml` no message may show.

use super::keys;
use std::collections::BTreeSet;

use crate::yaml::{Node, Parsed, Source, Span, Value};

/// Keys below the root and below an instance, besides [`keys::ROOT`] and [`keys::INSTANCE`].
const INNER_KEYS: [&str; 25] = [
    "dir",
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
    "user_sync",
    "allow",
    "branch",
    "allowed_signers",
];
const SECRET_KEYS: [&str; 3] = ["password", "database_password", "totp"];
const PLACE_KEYS: [&str; 3] = ["credential", "file", "env"];

/// Masks every value that is, or may be meant as, a secret: below `password`, below any key that tenantd does not
/// know, and between `:` and `@` of an address.
///
/// Where the text could not be parsed, or not fully, a line shows its value only when it is a single
/// `key: value` with a key that is known to hold no secret.
pub(super) fn hide_secrets(source: &mut Source, parsed: &Parsed) {
    let mut masks = Vec::new();
    match &parsed.root {
        Some(root) => {
            let place = if matches!(root.value, Value::Mapping(_)) { Place::Known } else { Place::Masked };
            walk(root, place, source, &mut masks);
            comments(root, source, &mut masks);
        }
        None => by_lines(source, Span { start: 0, end: source.text().len() }, &mut masks),
    }
    // What was refused may continue for lines. Each line is masked once: it may be the whole file.
    let mut lines = BTreeSet::new();
    let findings = parsed.findings.iter().filter_map(|finding| finding.span);
    let mut refused = Vec::new();
    if let Some(root) = &parsed.root {
        leaves(root, &mut |span, value| {
            if value == Some(&Value::Refused) {
                refused.push(span);
            }
        });
    }
    for span in findings.chain(refused) {
        let mut line = source.line_span(span.start);
        while lines.insert(line) && line.end < span.end {
            line = source.line_span(line.end + 1);
        }
    }
    lines.into_iter().for_each(|line| by_lines(source, line, &mut masks));
    source.mask(masks);
}

pub(super) fn is_harmless(key: &str) -> bool {
    !SECRET_KEYS.contains(&key)
        && (keys::ROOT.contains(&key) || keys::INSTANCE.contains(&key) || INNER_KEYS.contains(&key))
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
                    Place::Instances => {
                        if !entry.is_plainly_a_key() {
                            masks.push(entry.key_span);
                        }
                        if matches!(entry.value.value, Value::Mapping(_)) {
                            Place::Known
                        } else {
                            Place::Masked
                        }
                    }
                    Place::Secret
                        if entries.len() == 1
                            && PLACE_KEYS.contains(&key)
                            && is_name_or_path(key, &entry.value) =>
                    {
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
                    Place::Known if is_harmless(key) => Place::Known,
                    Place::Known => {
                        if !entry.is_plainly_a_key() {
                            masks.push(entry.key_span);
                        }
                        Place::Masked
                    }
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
        "env" => keys::is_variable(text),
        _ => keys::is_credential(text),
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

/// Visits keys (without a value) and scalars in the order of the text.
fn leaves(node: &Node, visit: &mut impl FnMut(Span, Option<&Value>)) {
    match &node.value {
        Value::Scalar { .. } | Value::Refused => visit(node.span, Some(&node.value)),
        Value::Sequence(items) => items.iter().for_each(|item| leaves(item, visit)),
        Value::Mapping(entries) => {
            for entry in entries {
                visit(entry.key_span, None);
                leaves(&entry.value, visit);
            }
        }
    }
}

/// Comments: what was commented out may be a secret.
fn comments(root: &Node, source: &Source, masks: &mut Vec<Span>) {
    let mut spans = Vec::new();
    leaves(root, &mut |span, _| spans.push(span));
    let text = source.text();
    for (at, _) in text.match_indices('#') {
        let begins = text[..at].chars().next_back().is_none_or(char::is_whitespace);
        // In the order of the text, so the last one that begins before is the only one that can hold it.
        let before = spans.partition_point(|span| span.start <= at);
        let inside = before.checked_sub(1).is_some_and(|last| at < spans[last].end);
        if begins && !inside {
            masks.push(Span { start: at + 1, end: source.line_span(at).end });
        }
    }
}

/// Masks the values of all lines that a span touches, unless they are known to be harmless.
fn by_lines(source: &Source, span: Span, masks: &mut Vec<Span>) {
    let mut at = source.line_span(span.start.min(source.text().len())).start;
    let end = span.end.max(span.start + 1);
    for line in source.text()[at..].split_inclusive('\n') {
        if at >= end {
            break;
        }
        let bare = line.trim_end();
        let value = match bare.split_once(':') {
            Some((key, value)) if is_harmless(key.trim()) && !value.contains([':', '{']) => None,
            // An address shows its scheme.
            Some((key, value)) if is_harmless(key.trim()) && !value.contains('{') => {
                bare.find("://").map(|scheme| scheme + 3).or(Some(key.len() + 1))
            }
            Some((key, _)) if SECRET_KEYS.contains(&key.trim()) => Some(key.len() + 1),
            _ => Some(bare.len() - bare.trim_start().len()),
        };
        if let Some(value) = value {
            masks.push(Span { start: at + value, end: at + bare.len() });
        }
        at += line.len();
    }
}
