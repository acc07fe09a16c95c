//! Single values: texts, flags, numbers, words, durations.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::visible::{is_hidden, quoted};
use super::{Field, Finding, Node, Reader, Reading, Style, Text, Value, nearest};

impl Reader {
    /// A text. Refused: nothing, an empty text, and words without quotes that some reader takes for something else.
    pub fn text<'n>(&mut self, field: &Field<'n>, expected: &str) -> Option<Text<'n>> {
        let path = &field.path;
        match &field.node.value {
            Value::Scalar { text, style } if !is_null(text, *style) && !text.is_empty() => {
                self.scalar_text(field.node, text, *style, path, expected, &format!("{}: ", field.key))
            }
            Value::Scalar { .. } => {
                let help =
                    if field.required { "give it a value" } else { "give it a value, or delete the line" };
                self.wrong(field, expected, help);
                None
            }
            _ => {
                self.wrong(field, expected, "write a single value");
                None
            }
        }
    }

    /// The items of a list of texts; an item that is not a text is reported and skipped. `expected` says what the list
    /// is of, `item` what each item is.
    pub fn texts<'n>(&mut self, field: &Field<'n>, expected: &str, item: &str) -> Vec<Text<'n>> {
        let Value::Sequence(items) = &field.node.value else {
            let help = match &field.node.value {
                Value::Scalar { text, .. } if is_simple(text) => format!("write `{}: [{text}]`", field.key),
                _ => format!("write `{}: [one, two]`, or delete the line", field.key),
            };
            self.wrong(field, expected, &help);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let path = format!("{}[{index}]", field.path);
            let entry = Field { path, key: "", key_span: node.span, required: false, node };
            let text = match &node.value {
                Value::Scalar { text, style } if !is_null(text, *style) && !text.is_empty() => {
                    self.scalar_text(node, text, *style, &entry.path, item, "")
                }
                _ => {
                    self.wrong(&entry, item, "write a text or delete the item");
                    None
                }
            };
            texts.extend(text);
        }
        texts
    }

    fn scalar_text<'n>(
        &mut self,
        node: &Node,
        text: &'n str,
        style: Style,
        path: &str,
        expected: &str,
        before: &str,
    ) -> Option<Text<'n>> {
        let span = node.span;
        if style == Style::Plain {
            if let Some(reading) = Reading::of(text) {
                self.report(
                    Finding::error(span, format!("{} without quotes is {reading}", quoted(text)))
                        .expected(format!("{expected} for `{path}`"))
                        .help(format!("if the text is meant, put it in quotes: `{before}\"{text}\"`")),
                );
                return None;
            }
            // A text without quotes that was folded from several lines is longer than its first one looks.
            if span.end - span.start > text.len() {
                self.report(
                    Finding::error(span, format!("`{path}` spans several lines"))
                        .expected("a text on one line")
                        .help("write it on one line, in quotes if it is one text"),
                );
                return None;
            }
        }
        Some(Text { text, span })
    }

    /// `true` or `false`, in these words only.
    pub fn flag(&mut self, field: &Field<'_>) -> Option<bool> {
        let expected = "`true` or `false`";
        let key = field.key;
        if let Value::Scalar { text, style } = &field.node.value {
            match (text.as_str(), style) {
                ("true", Style::Plain) => return Some(true),
                ("false", Style::Plain) => return Some(false),
                _ => {}
            }
            let meant = match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some("true"),
                "false" | "no" | "off" => Some("false"),
                _ => None,
            };
            let help = match meant {
                Some(meant) if *style != Style::Plain => format!("write `{key}: {meant}`, without quotes"),
                Some(meant) => format!("write `{key}: {meant}`"),
                None => format!("write `{key}: true` or `{key}: false`"),
            };
            self.wrong(field, expected, &help);
        } else {
            self.wrong(field, expected, &format!("write `{key}: true` or `{key}: false`"));
        }
        None
    }

    /// A whole number in decimal digits within a range; `unit` completes "expected 1 to 10080 …".
    pub fn number(&mut self, field: &Field<'_>, range: RangeInclusive<u32>, unit: &str) -> Option<u32> {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let expected = format!("a whole number, {} to {}{unit}", range.start(), range.end());
        let key = field.key;
        let example = match &field.node.value {
            Value::Scalar { text, .. } => meant_number(text).filter(|number| range.contains(number)),
            _ => None,
        };
        let example = match example {
            Some(number) => format!("write `{key}: {number}`"),
            None if range.contains(&30) => format!("write digits only, such as `{key}: 30`"),
            None => format!("write digits only, such as `{key}: {}`", (*range.start()).max(1)),
        };
        let Value::Scalar { text, style } = &field.node.value else {
            self.wrong(field, &expected, &example);
            return None;
        };
        match (Reading::of(text), style) {
            (Some(Reading::Integer), Style::Plain) => {
                if let Some(number) = text.parse().ok().filter(|number| range.contains(number)) {
                    return Some(number);
                }
                let help = match text.starts_with('-') || text.as_str() < "1" {
                    true => format!("write `{key}: {}` or more", range.start()),
                    false => format!("write `{key}: {}` or less", range.end()),
                };
                let what = format!("`{}` is {}, which is out of range", field.path, shown_number(text));
                self.report(Finding::error(field.node.span, what).expected(expected).help(help));
            }
            (Some(Reading::Integer), _) => {
                self.wrong(field, &expected, &format!("remove the quotes: `{key}: {text}`"));
            }
            (Some(reading), Style::Plain)
                if !matches!(reading, Reading::Null | Reading::Boolean | Reading::Decimal) =>
            {
                let what = format!("{} is {reading}", quoted(text));
                self.report(
                    Finding::error(field.node.span, what)
                        .expected(format!("{expected} for `{}`", field.path))
                        .help(example),
                );
            }
            _ => self.wrong(field, &expected, &example),
        }
        None
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, field: &Field<'_>, words: &[(&'static str, T)]) -> Option<T> {
        let expected = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let Text { text, span } = self.text(field, &expected)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let near = nearest(text, words.iter().map(|(word, _)| *word));
        let word = near.unwrap_or(words[0].0);
        let help = match near {
            Some(_) => format!("did you mean `{}: {word}`?", field.key),
            None => format!("write for example `{}: {word}`", field.key),
        };
        let what = format!("`{}` is {}", field.path, quoted(text));
        self.report(Finding::error(span, what).expected(expected).help(help));
        None
    }

    /// A duration with its unit (`30s`, `5m`, `1h 30m`).
    pub fn duration(&mut self, field: &Field<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (least, most) =
            (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        let expected = format!("a duration with its unit, {least} to {most}");
        let key = field.key;
        if let Value::Scalar { text, .. } = &field.node.value
            && Reading::of(text) == Some(Reading::Integer)
        {
            self.wrong(field, &expected, &format!("add the unit: `{key}: {text}s` for seconds"));
            return None;
        }
        let Text { text, span } = self.text(field, &expected)?;
        match humantime::parse_duration(text) {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(duration) => {
                let help = match duration < *range.start() {
                    true => format!("write `{key}: {least}` or more"),
                    false => format!("write `{key}: {most}` or less"),
                };
                let what = format!("`{}` is {}, which is out of range", field.path, quoted(text));
                self.report(Finding::error(span, what).expected(expected).help(help));
                None
            }
            Err(_) => {
                self.wrong(field, &expected, &format!("write for example `{key}: 30s` or `{key}: 5m`"));
                None
            }
        }
    }

    /// Reports what cannot be seen in a text (`"a\u202eb"`); `keep` names the characters that are welcome.
    pub fn visible(&mut self, text: Text<'_>, path: &str, keep: &[char]) -> bool {
        match text.text.chars().find(|c| is_hidden(*c) && !keep.contains(c)) {
            None => true,
            Some('\n') => {
                self.report(
                    Finding::error(text.span, format!("`{path}` has a line break"))
                        .expected("a text on one line")
                        .help("write it on the line of its key, without `|`, `>` or `\\n`"),
                );
                false
            }
            Some(c) => {
                let what = format!("`{path}` has the hidden character {}", quoted(&c.to_string()));
                self.report(
                    Finding::error(text.span, what)
                        .expected("characters that can be seen")
                        .help("delete the character, because the text is not what it looks like"),
                );
                false
            }
        }
    }
}

fn is_null(text: &str, style: Style) -> bool {
    style == Style::Plain && Reading::of(text) == Some(Reading::Null)
}

/// The number that was probably meant: `045`, `+45`, `1_000`, `45.0`, `1e2`, and `45m` where minutes are asked for.
fn meant_number(text: &str) -> Option<u32> {
    if text.contains(':') {
        return None;
    }
    let text = text.replace('_', "");
    let text = text.strip_prefix('+').unwrap_or(&text);
    let whole =
        text.parse::<f64>().ok().filter(|number| number.fract() == 0.0 && *number <= f64::from(u32::MAX));
    match whole {
        Some(number) if number >= 0.0 => Some(number as u32),
        Some(_) => None,
        None => {
            let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
            let minutes = ["m", "min", "mins", "minute", "minutes"].contains(&unit.trim());
            text.strip_suffix(unit).filter(|_| minutes)?.parse().ok()
        }
    }
}

fn shown_number(text: &str) -> String {
    if text.len() > 24 { quoted(text) } else { text.to_owned() }
}

/// Whether a word can stand in a list `[…]` as it is.
fn is_simple(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
}
