//! `show` as text.

use std::fmt::Write as _;

use chrono::DateTime;

use super::super::context::Context;
use super::super::status::minute;
use super::document::{HistoryChangeJson, HistoryJson, PbxJson, RecordedJson, ShowJson};
use crate::environment::{Environment as _, System};
use crate::report::Paint;
use crate::yaml::to_yaml;

pub fn text(context: &Context, shown: &ShowJson) -> String {
    let paint = context.paint();
    let mut text = format!("{}\n", paint.strong(&shown.key));
    if let Some(condition) = &shown.condition {
        let since =
            condition.since.as_deref().map_or_else(String::new, |at| format!(" since {}", minute(at)));
        let why = if condition.text.is_empty() { String::new() } else { format!(": {}", condition.text) };
        let _ = writeln!(text, "{}{since}{why}", condition.condition);
    }
    let _ = writeln!(text, "\n{}", paint.strong("file"));
    match (&shown.file, shown.broken.is_empty()) {
        (Some(file), _) => text.push_str(&indent(&to_yaml(file))),
        (None, true) => text.push_str("  none\n"),
        (None, false) => shown.broken.iter().for_each(|problem| {
            let _ = writeln!(text, "  {}", paint.removed(problem));
        }),
    }
    let _ = writeln!(text, "\n{}", paint.strong("recorded"));
    match &shown.recorded {
        None => text.push_str("  nothing\n"),
        Some(recorded) => text.push_str(&recorded_text(recorded)),
    }
    let _ = writeln!(text, "\n{}", paint.strong("on the PBX"));
    match &shown.pbx {
        None => text.push_str("  no managed domain\n"),
        Some(pbx) => text.push_str(&pbx_text(pbx)),
    }
    let _ = writeln!(text, "\n{}", paint.strong("next"));
    for why in &shown.why {
        let _ = writeln!(text, "  {why}");
    }
    if !shown.history.is_empty() || !shown.earlier.is_empty() {
        text.push_str(&history_text(&shown.history, &shown.earlier, paint));
    }
    text
}

fn indent(yaml: &str) -> String {
    yaml.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "  {line}");
        text
    })
}

fn recorded_text(recorded: &RecordedJson) -> String {
    let mut text = indent(&to_yaml(&recorded.document));
    let _ = writeln!(text, "  # identity {}, domain {}", recorded.id, recorded.domain_id);
    for (what, at) in [
        ("disabled", &recorded.disabled_at),
        ("confirmed disabled on the PBX", &recorded.disable_confirmed_at),
        ("its file was removed", &recorded.file_removed_at),
    ] {
        let is_in_future = |at: &String| DateTime::parse_from_rfc3339(at).is_ok_and(|at| at > System.now());
        let _ = match at {
            Some(at) if is_in_future(at) => writeln!(text, "  # not {what} before {}", minute(at)),
            Some(at) => writeln!(text, "  # {what} since {}", minute(at)),
            None => Ok(()),
        };
    }
    for previous in &recorded.previous_placements {
        let _ = writeln!(text, "  # previous placement: {previous}");
    }
    text
}

fn pbx_text(pbx: &PbxJson) -> String {
    let mut text = match pbx.state.strip_prefix("unknown: ") {
        Some(reason) => format!("  {} was not checked: {reason}\n", pbx.instance),
        None => format!("  {} on {}\n", pbx.state, pbx.instance),
    };
    if let Some(name) = &pbx.name {
        let enabled = pbx.enabled.map_or("neither (NULL)".to_owned(), |enabled| enabled.to_string());
        let _ = writeln!(text, "  domain: {name}\n  enabled: {enabled}");
        let _ = writeln!(text, "  description: {}", pbx.description.as_deref().unwrap_or(""));
    }
    for setting in &pbx.settings {
        let _ = writeln!(text, "  {setting}");
    }
    text
}

fn history_text(history: &[HistoryJson], earlier: &[String], paint: Paint) -> String {
    let mut text = format!("\n{}\n", paint.strong("history"));
    for entry in history {
        let result = if entry.done { "" } else { " FAILED" };
        let detail = entry.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        let (at, event, actor) = (minute(&entry.at), &entry.event, &entry.actor);
        let _ = writeln!(text, "  {at} {event}{result} — {actor}{detail}");
        for HistoryChangeJson { field, before, after } in &entry.changes {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            let _ = match (before, after) {
                // A new tenant has no values before.
                (None, Some(after)) => writeln!(text, "    {field}: {after}"),
                _ => writeln!(text, "    {field}: {} → {}", value(before), value(after)),
            };
        }
    }
    for earlier in earlier {
        let _ = writeln!(text, "  {}", paint.dim(earlier));
    }
    text
}
