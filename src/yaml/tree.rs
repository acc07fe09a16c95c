use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::explain::{alias, explain, too_deep};
use super::node::is_word;
use super::visible::quoted;
use super::{Entry, Finding, Limits, Node, Source, Span, Style, Value};

/// A source as a tree, as far as it could be read.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// None where the text is not YAML, or holds nothing.
    pub root: Option<Node>,
    pub findings: Vec<Finding>,
}

/// Reads the one document of a source.
///
/// Reports what is not YAML (the first such place; nothing after it can be read reliably), and everywhere: anchors, aliases,
/// merge keys, tags, directives, keys that stand twice or are not words, a second document, and more nesting or
/// nodes than `limits` allows.
pub fn parse(source: &Source, limits: Limits) -> Parsed {
    let mut builder = Builder {
        source,
        limits,
        offsets: char_offsets(source.text()),
        stack: Vec::new(),
        root: None,
        nodes: 0,
        alias_line: None,
        findings: Vec::new(),
    };
    let whole =
        builder.refuse_directive().and_then(|()| builder.refuse_conflict()).and_then(|()| builder.run());
    let Builder { root, mut findings, .. } = builder;
    match whole {
        Ok(()) => Parsed { root, findings },
        Err(finding) => {
            findings.push(finding);
            Parsed { root: None, findings }
        }
    }
}

/// Where each character begins; none for ASCII, where a character is a byte.
fn char_offsets(text: &str) -> Option<Vec<usize>> {
    (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect())
}

/// A collection that is not closed yet.
struct Frame {
    start: usize,
    /// Reported already: its contents are built and thrown away.
    refused: bool,
    kind: Kind,
}

enum Kind {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashMap<String, Span>, key: Option<Key> },
}

enum Key {
    Word {
        text: String,
        style: Style,
        span: Span,
    },
    /// Reported already: its value is thrown away.
    Refused,
}

struct Builder<'s> {
    source: &'s Source,
    limits: Limits,
    offsets: Option<Vec<usize>>,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    /// The start of the line of the last reported alias.
    alias_line: Option<usize>,
    findings: Vec<Finding>,
}

impl Builder<'_> {
    fn at(&self, marker: Marker) -> usize {
        match &self.offsets {
            None => marker.index().min(self.source.text().len()),
            Some(offsets) => offsets.get(marker.index()).copied().unwrap_or(self.source.text().len()),
        }
    }

    /// A span without the blanks and line breaks that the scanner counts in.
    fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.at(span.start);
        let end = self.at(span.end).max(start);
        Span { start, end: start + self.source.text()[start..end].trim_end().len() }
    }

    /// `%YAML 1.1` would change what the rest means, and the scanner does not report it.
    fn refuse_directive(&self) -> Result<(), Finding> {
        let mut start = 0;
        for line in self.source.text().split_inclusive('\n') {
            if line.starts_with('%') {
                return Err(Finding::error(
                    Span { start, end: start + line.trim_end().len() },
                    "the line is a YAML directive",
                )
                .expected("plain YAML 1.2")
                .help("delete this line"));
            }
            if !line.trim().is_empty() && !line.starts_with('#') {
                break;
            }
            start += line.len();
        }
        Ok(())
    }

    /// What git leaves behind where two people changed the same lines.
    fn refuse_conflict(&self) -> Result<(), Finding> {
        let text = self.source.text();
        let found = text.match_indices("<<<<<<< ").find(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
        match found {
            None => Ok(()),
            Some((at, _)) => Err(Finding::error(self.source.line_span(at), "the file has an unresolved merge conflict")
                .expected("one version of these lines")
                .help(
                    "keep the right lines, and delete the others and the marks `<<<<<<<`, `=======` and `>>>>>>>`",
                )),
        }
    }

    fn run(&mut self) -> Result<(), Finding> {
        let source = self.source;
        let mut parser = Parser::new_from_str(source.text());
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) =
                event.map_err(|error| explain(source, self.at(*error.marker()), error.info()))?;
            let span = self.span(span);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let finding = Finding::error(span, "a second document starts here")
                            .expected("one document in a file")
                            .help("delete the `---`, or move what follows into a file of its own");
                        return Err(finding);
                    }
                }
                Event::Alias(_) => {
                    // A line of many is one mistake.
                    let line = self.source.line_span(span.start).start;
                    if self.alias_line.replace(line) != Some(line) {
                        self.findings.push(alias(span));
                    }
                    self.add(Node { span, value: Value::Refused })?;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let refused = self.refuse_marks(span, anchor, tag.is_some());
                    let style = match style {
                        ScalarStyle::Plain => Style::Plain,
                        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                    };
                    let value = if refused {
                        Value::Refused
                    } else {
                        Value::Scalar { text: text.into_owned(), style }
                    };
                    self.add(Node { span, value })?;
                }
                Event::SequenceStart(anchor, tag) => {
                    let refused = self.refuse_marks(span, anchor, tag.is_some());
                    self.open(span, refused, Kind::Sequence(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    let refused = self.refuse_marks(span, anchor, tag.is_some());
                    let kind = Kind::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                    self.open(span, refused, kind)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn refuse_marks(&mut self, span: Span, anchor: usize, tagged: bool) -> bool {
        // The span begins at the mark itself. It is not repeated: a password may begin with `&` or `!`.
        let mark = self.source.slice(span).split_whitespace().next().unwrap_or_default();
        let place = Span { start: span.start, end: span.start + mark.len() };
        if anchor != 0 {
            let finding = Finding::error(place, "the value has an anchor (`&name`)")
                .expected("values written out, without anchors and aliases")
                .help("delete the `&` word and write the value at each place that uses it; put a text beginning \
                       with `&` in quotes");
            self.findings.push(finding);
        } else if tagged {
            let finding = Finding::error(place, "the value has a tag (`!name`)").expected("values without tags").help(
                "delete the `!` word; put a text beginning with `!`, or a number meant as text, in quotes",
            );
            self.findings.push(finding);
        }
        anchor != 0 || tagged
    }

    fn open(&mut self, span: Span, refused: bool, kind: Kind) -> Result<(), Finding> {
        if self.stack.len() == self.limits.depth {
            return Err(too_deep(span, self.limits.depth));
        }
        self.stack.push(Frame { start: span.start, refused, kind });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Finding> {
        let Some(Frame { start, refused, kind }) = self.stack.pop() else { return Ok(()) };
        let end = end.end.max(start);
        let span = Span { start, end: start + self.source.text()[start..end].trim_end().len() };
        let value = match kind {
            _ if refused => Value::Refused,
            Kind::Sequence(items) => Value::Sequence(items),
            Kind::Mapping { entries, .. } => Value::Mapping(entries),
        };
        self.add(Node { span, value })
    }

    /// Adds a finished node to the collection that contains it.
    fn add(&mut self, node: Node) -> Result<(), Finding> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let what = format!("more than {} keys and values", self.limits.nodes);
            let finding = Finding::error(node.span, what)
                .expected("a file that a person wrote")
                .help("check whether this is a file for tenantd");
            return Err(finding);
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping { entries, seen, key } => match key.take() {
                None if is_placeholder(self.source, &node) => {
                    self.findings.push(placeholder(node.span));
                    frame.refused = true;
                    *key = Some(Key::Refused);
                }
                None => *key = Some(read_key(node, &mut self.findings)),
                Some(Key::Refused) => {}
                Some(Key::Word { text, style, span }) => {
                    if let Some(first) = seen.get(&text) {
                        let first = self.source.position(first.start);
                        let key = if is_word(&text) { quoted(&text) } else { "here".to_owned() };
                        let finding = Finding::error(
                            span,
                            format!(
                                "the key {key} is repeated; the first one is at {}:{}",
                                first.line, first.column
                            ),
                        )
                        .expected("each key once")
                        .help("delete the one that is wrong");
                        self.findings.push(finding);
                    } else {
                        seen.insert(text.clone(), span);
                        entries.push(Entry { key: text, key_style: style, key_span: span, value: node });
                    }
                }
            },
        }
        Ok(())
    }
}

/// Whether this is the inner half of `{{ name }}`, which a template engine would have filled in.
fn is_placeholder(source: &Source, node: &Node) -> bool {
    matches!(node.value, Value::Mapping(_)) && source.text()[..node.span.start].ends_with('{')
}

fn placeholder(span: Span) -> Finding {
    Finding::error(span, "the file has a template placeholder (`{{ }}`)")
        .expected("the finished file")
        .help("fill in the template and save its result here")
}

fn read_key(node: Node, findings: &mut Vec<Finding>) -> Key {
    let span = node.span;
    let finding = match node.value {
        Value::Scalar { text, style: Style::Plain } if text == "<<" => {
            Finding::error(span, "the file has a merge key `<<`")
                .expected("values written out, without anchors and aliases")
                .help("write the merged keys here")
        }
        Value::Scalar { text, style } if !text.is_empty() => return Key::Word { text, style, span },
        Value::Scalar { .. } => {
            Finding::error(span, "a key is missing here").expected("`key: value`").help("write the key")
        }
        Value::Refused => return Key::Refused,
        Value::Sequence(_) | Value::Mapping(_) => Finding::error(span, "the key is a list or a mapping")
            .expected("a word as the key")
            .help("put it in quotes if it is text"),
    };
    findings.push(finding);
    Key::Refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let source = Source::decode("x.yaml", text.as_bytes(), 1 << 20).unwrap();
        let parsed = parse(&source, Limits::TENANT);
        parsed.findings.into_iter().map(|finding| source.locate(finding).to_string()).collect()
    }

    #[test]
    fn every_plain_scalar_is_found_at_its_span() {
        let text = "ä: ü\r\nlist: [ß, 日本]\r\nmap:\r\n  k: v # c\r\n";
        let source = Source::decode("x", text.as_bytes(), 1000).unwrap();
        fn check(source: &Source, node: &Node) {
            match &node.value {
                Value::Scalar { text, .. } => assert_eq!(source.slice(node.span), text),
                Value::Sequence(items) => items.iter().for_each(|item| check(source, item)),
                Value::Mapping(entries) => entries.iter().for_each(|entry| {
                    assert_eq!(source.slice(entry.key_span), entry.key);
                    check(source, &entry.value);
                }),
                Value::Refused => panic!("refused"),
            }
        }
        check(&source, &parse(&source, Limits::TENANT).root.unwrap());
    }

    #[test]
    fn anchors_aliases_merge_keys_and_tags_are_all_reported() {
        let found = lines("a: &x b\nc: *x\n<<: {d: e}\nf: !!str 1\ng: &y {h: i}\n");
        let starts = [
            "x.yaml:1:4: error: the value has an anchor (`&name`);",
            "x.yaml:2:4: error: the value is an alias (`*name`)",
            "x.yaml:3:1: error: the file has a merge key",
            "x.yaml:4:4: error: the value has a tag (`!name`);",
            "x.yaml:5:4: error: the value has an anchor (`&name`);",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (line, start) in found.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn a_duplicate_key_names_both_places() {
        let found = lines("name: a\n'name': b\n");
        assert!(
            found[0].starts_with("x.yaml:2:1: error: the key `name` is repeated; the first one is at 1:1")
        );
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        assert!(lines(&"[".repeat(100_000))[0].contains("more than 16 nested levels"));
        assert!(lines(&"- ".repeat(100_000))[0].contains("more than 16 nested levels"));
        assert!(lines(&"- a\n".repeat(100_000))[0].contains("more than 20000 keys and values"));
        assert!(lines(&format!("a: [{}]", "x,".repeat(100_000)))[0].contains("more than 20000"));
    }

    #[test]
    fn one_document_without_directives() {
        assert!(lines("---\na: 1\n...\n").is_empty());
        assert!(lines("a: 1\n---\nb: 2\n")[0].starts_with("x.yaml:2:1: error: a second document"));
        assert!(
            lines("# c\n%YAML 1.1\n---\na: 1\n")[0]
                .starts_with("x.yaml:2:1: error: the line is a YAML directive")
        );
    }
}
