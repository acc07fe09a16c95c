//! Canonical YAML. The only file that knows serde_yaml.

use serde::Serialize;
use serde_yaml::Value;

use super::Reading;
use super::visible::is_hidden;
use crate::model::TenantDocument;

/// YAML in block style, in the order of the fields, that [`super::parse`] reads back to the same values.
///
/// A text that any YAML reader might take for something else is quoted (`"no"`, `"0123"`).
///
/// # Panics
/// When the type cannot be serialised at all (a map with keys that are not text); no type of tenantd is one.
pub fn to_yaml<T: Serialize + ?Sized>(value: &T) -> String {
    let mut value = serde_yaml::to_value(value).expect("a plain data type");
    // serde_yaml decides on quotes by YAML 1.2 only, so texts that need them are put in afterwards.
    let mut quoting = Quoting { mark: String::from("Q"), texts: Vec::new() };
    while contains(&value, &quoting.mark) {
        quoting.mark.push('Q');
    }
    quoting.replace(&mut value);
    let text = serde_yaml::to_string(&value).expect("a value can be written");
    quoting.restore(&text)
}

/// A tenant's file, as `import` writes it.
pub fn write_tenant_file(document: &TenantDocument) -> String {
    to_yaml(document)
}

/// Texts that were taken out, each replaced by the mark, its number and a full stop.
struct Quoting {
    mark: String,
    texts: Vec<String>,
}

impl Quoting {
    fn replace(&mut self, value: &mut Value) {
        match value {
            Value::String(text) if !is_plain(text) => {
                let replacement = format!("{}{}.", self.mark, self.texts.len());
                self.texts.push(std::mem::replace(text, replacement));
            }
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::Mapping(entries) => {
                *entries = std::mem::take(entries)
                    .into_iter()
                    .map(|(mut key, mut value)| {
                        self.replace(&mut key);
                        self.replace(&mut value);
                        (key, value)
                    })
                    .collect();
            }
            Value::Tagged(tagged) => self.replace(&mut tagged.value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn restore(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut pieces = text.split(self.mark.as_str());
        out.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (number, rest) = piece.split_once('.').unwrap_or((piece, ""));
            match number.parse::<usize>().ok().and_then(|number| self.texts.get(number)) {
                Some(text) => push_quoted(&mut out, text),
                None => unreachable!("the mark occurs nowhere else"),
            }
            out.push_str(rest);
        }
        out
    }
}

fn contains(value: &Value, mark: &str) -> bool {
    match value {
        Value::String(text) => text.contains(mark),
        Value::Sequence(items) => items.iter().any(|item| contains(item, mark)),
        Value::Mapping(entries) => {
            entries.iter().any(|(key, value)| contains(key, mark) || contains(value, mark))
        }
        Value::Tagged(tagged) => contains(&tagged.value, mark),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a text means itself without quotes, to every reader.
fn is_plain(text: &str) -> bool {
    let inside = |c: char| {
        c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '/' | '@' | '+' | '(' | ')' | '\'')
    };
    text.starts_with(|c: char| c.is_alphanumeric())
        && !text.ends_with(' ')
        && text.chars().all(|c| inside(c) && !is_hidden(c))
        && Reading::of(text).is_none()
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hidden(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::yaml::{Limits, Node, Source, Style, Value as Read, parse};

    /// Reads back what was written: texts as texts, by this reader's own rules.
    fn read(text: &str) -> BTreeMap<String, String> {
        let source = Source::decode("x", text.as_bytes(), 1 << 20).unwrap();
        let parsed = parse(&source, Limits::TENANT);
        assert!(parsed.findings.is_empty(), "{text}\n{:?}", parsed.findings);
        let Some(Node { value: Read::Mapping(entries), .. }) = parsed.root else { panic!("{text}") };
        let plain = |text: &str, style| style != Style::Plain || Reading::of(text).is_none();
        entries
            .into_iter()
            .map(|entry| {
                let Read::Scalar { text: value, style } = entry.value.value else { panic!("{text}") };
                assert!(plain(&value, style) && plain(&entry.key, entry.key_style), "{text}");
                (entry.key, value)
            })
            .collect()
    }

    #[test]
    fn words_with_another_reading_are_quoted() {
        for word in [
            "no",
            "on",
            "y",
            "0123",
            "1e3",
            "1_000",
            "12:30",
            "null",
            "~",
            "- x",
            "a: b",
            "a #b",
            "",
            " a",
            "a ",
            "#",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "'a'",
            "\"",
            "\\",
            "a\nb",
            "a\r\nb\t",
            "\u{202e}",
            "\u{feff}",
            "\u{85}",
            "a\u{ffa0}",
            "{",
            "[a]",
            "<<",
            "=",
            "?",
            "Q0.",
            "QQ1.",
            "--- a",
            "...",
        ] {
            let document = BTreeMap::from([(format!("k{word}"), word.to_owned())]);
            assert_eq!(read(&to_yaml(&document)), document, "{word:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back(document in prop::collection::btree_map("\\PC{1,12}|[a-z:# -]{1,5}", ".*|[ynoYNO0-9:._e+-]{0,4}", 1..5)) {
            prop_assert_eq!(read(&to_yaml(&document)), document);
        }
    }
}
