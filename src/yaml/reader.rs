use super::visible::quoted;
use super::{Entry, Finding, Node, Reading, Span, Style, Value, nearest};

/// Takes values out of a tree and collects what is wrong with them, without stopping.
#[derive(Debug, Default)]
pub struct Reader {
    pub findings: Vec<Finding>,
    /// Does not repeat what may be a secret, such as an unknown key without a value: `{password:hunter2}` is one key
    /// without a value.
    pub discreet: bool,
}

/// The entries of a mapping whose keys are known.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'n> {
    /// Where it is missed when a key is not there: the mapping's own key, or its beginning.
    anchor: Span,
    path: &'n str,
    entries: &'n [Entry],
    /// The keys stand below a key too many, which was reported: each of them is not missed again.
    nested: bool,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Field<'n> {
    /// The keys from the root, joined by dots: `pbx_instances.hq.url`.
    pub path: String,
    /// The key as it is written in the file; empty for an item of a list.
    pub key: &'n str,
    pub key_span: Span,
    /// Whether the file must have this key, so that deleting its line mends nothing.
    pub required: bool,
    pub node: &'n Node,
}

/// A text and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'n> {
    pub text: &'n str,
    pub span: Span,
}

impl<'n> Fields<'n> {
    pub fn get(&self, key: &str) -> Option<Field<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.field(entry))
    }

    fn field(&self, entry: &'n Entry) -> Field<'n> {
        let path =
            if self.path.is_empty() { entry.key.clone() } else { format!("{}.{}", self.path, entry.key) };
        Field { path, key: &entry.key, key_span: entry.key_span, required: false, node: &entry.value }
    }

    /// A key that must be there; `example` is a whole line that would do.
    pub fn require(&self, reader: &mut Reader, key: &str, example: &str) -> Option<Field<'n>> {
        let field = self.get(key).map(|field| Field { required: true, ..field });
        if field.is_none() && !self.nested {
            let of = if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) };
            reader.findings.push(
                Finding::error(self.anchor, format!("the key `{key}` is missing{of}"))
                    .expected(format!("`{key}:` with a value"))
                    .help(format!("add a line such as `{example}`")),
            );
        }
        field
    }
}

impl Reader {
    pub fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The root of a file, which must be a mapping. None is an empty or comment-only file.
    pub fn root<'n>(
        &mut self,
        root: Option<&'n Node>,
        of: &str,
        known: &'static [&'static str],
        example: &str,
    ) -> Option<Fields<'n>> {
        let nothing = Span { start: 0, end: 0 };
        match root.map(|node| (&node.value, node)) {
            Some((Value::Mapping(entries), node)) => {
                let nested = self.keys_are_nested(entries, known);
                if !nested {
                    self.unknown_keys(entries, "", known);
                }
                let anchor = Span { start: node.span.start, end: node.span.start };
                Some(Fields { anchor, path: "", entries, nested })
            }
            Some((Value::Refused, _)) => None,
            Some((Value::Scalar { text, style: Style::Plain }, _))
                if Reading::of(text) == Some(Reading::Null) =>
            {
                self.nothing_in_file(nothing, of, example);
                None
            }
            None => {
                self.nothing_in_file(nothing, of, example);
                None
            }
            Some((value, node)) => {
                let held = if self.discreet { "no keys".to_owned() } else { describe(value) };
                self.report(
                    Finding::error(node.span, format!("the file holds {held}"))
                        .expected(format!("{of}, which is `key: value` on each line"))
                        .help(format!("begin with `{example}`, with a space after the colon")),
                );
                None
            }
        }
    }

    fn nothing_in_file(&mut self, span: Span, of: &str, example: &str) {
        self.report(
            Finding::error(span, "the file is empty or has only comments")
                .expected(of.to_owned())
                .help(format!("begin with `{example}`")),
        );
    }

    /// A value that must be a mapping with these keys only.
    pub fn mapping<'n>(
        &mut self,
        field: &'n Field<'n>,
        of: &str,
        known: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let entries = self.entries(field, of)?;
        self.unknown_keys(entries, &field.path, known);
        Some(Fields { anchor: field.key_span, path: &field.path, entries, nested: false })
    }

    /// A value that must be a mapping, whatever its keys are.
    pub fn entries<'n>(&mut self, field: &Field<'n>, of: &str) -> Option<&'n [Entry]> {
        match &field.node.value {
            Value::Mapping(entries) => Some(entries),
            _ => {
                self.wrong(
                    field,
                    of,
                    &format!("write it as `{}: {{key: value}}` or as indented lines", field.key),
                );
                None
            }
        }
    }

    /// Each entry as a field below this one.
    pub fn each<'n>(&mut self, field: &Field<'n>, of: &str) -> Vec<(&'n str, Style, Field<'n>)> {
        let entries = self.entries(field, of).unwrap_or_default();
        let below = |entry: &'n Entry| Field {
            path: format!("{}.{}", field.path, entry.key),
            key: &entry.key,
            key_span: entry.key_span,
            required: false,
            node: &entry.value,
        };
        entries.iter().map(|entry| (entry.key.as_str(), entry.key_style, below(entry))).collect()
    }

    /// Whether all keys of a file stand below one key that does not belong there, as in `acme: {name: …, domain: …}`.
    fn keys_are_nested(&mut self, entries: &[Entry], known: &'static [&'static str]) -> bool {
        let [Entry { key, key_span, value: Node { value: Value::Mapping(below), .. }, .. }] = entries else {
            return false;
        };
        let is_known = |key: &str| known.contains(&key);
        if is_known(key) || below.iter().filter(|entry| is_known(&entry.key)).count() < 2 {
            return false;
        }
        self.report(
            Finding::error(*key_span, format!("all keys are indented below {}", quoted(key)))
                .expected("them at the left edge")
                .help("delete this line and the indentation of the others"),
        );
        true
    }

    fn unknown_keys(&mut self, entries: &[Entry], path: &str, known: &'static [&'static str]) {
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
            let what = if self.discreet && !entry.is_plainly_a_key() {
                format!("unknown key{place}, or a key without `: `")
            } else {
                format!("unknown key {}{place}", quoted(&entry.key))
            };
            let finding = Finding::error(entry.key_span, what)
                .expected(format!("one of the keys {}", known.join(", ")));
            // No one reads the hundredth suggestion.
            let near =
                if self.findings.len() < 100 { nearest(&entry.key, known.iter().copied()) } else { None };
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "delete it, or look up the right key in the README".to_owned(),
            };
            self.findings.push(finding.help(help));
        }
    }

    /// Reports that a value is not what it should be; knows null, empty, lists and mappings by itself.
    pub fn wrong(&mut self, field: &Field<'_>, expected: &str, help: &str) {
        let path = &field.path;
        let (span, what) = match &field.node.value {
            Value::Refused => return,
            Value::Scalar { text, style: Style::Plain } if text.is_empty() => {
                (field.key_span, format!("`{path}` has no value"))
            }
            Value::Scalar { text, .. } if text.is_empty() => (field.node.span, format!("`{path}` is empty")),
            value => (field.node.span, format!("`{path}` is {}", describe(value))),
        };
        self.report(Finding::error(span, what).expected(expected).help(help));
    }
}

/// Completes "the value is …".
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "a mapping (`key: value`)".into(),
        Value::Refused => "something refused".into(),
        Value::Scalar { text, style: Style::Plain } => match Reading::of(text) {
            Some(Reading::Null) => "null, no value at all".into(),
            Some(Reading::Boolean) => format!("the boolean {}", quoted(text)),
            Some(Reading::Integer | Reading::Decimal) => format!("the number {}", quoted(text)),
            _ => quoted(text),
        },
        Value::Scalar { text, .. } => format!("the text {} in quotes", quoted(text)),
    }
}
