use super::visible::{is_hidden, push_visible, quoted};
use super::{Excerpt, Finding, Position, Problem, Severity, Span};

/// The longest part of a source line that is shown, in characters.
const MAX_LINE: usize = 110;
/// How much of a long line is shown before the place that is meant, in characters.
const LEAD: usize = 40;
/// Shown instead of a secret. Its length is fixed, so that it does not reveal the secret's.
const MASK: &str = "********";
/// The most problems of one file that are shown; beyond is one line with their number.
const MAX_PROBLEMS: usize = 50;

/// The text of a file that is known to be UTF-8 without hidden characters, with its name and line starts.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
    line_starts: Vec<usize>,
    masks: Vec<Span>,
}

impl Source {
    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// Larger than `max_bytes`, not UTF-8 (with the place of the first byte that is not), UTF-16, a byte order mark,
    /// or characters that cannot be seen (NUL and other controls, zero-width and text-reordering characters, a
    /// carriage return that ends no line).
    pub fn decode(name: &str, bytes: &[u8], max_bytes: usize) -> Result<Self, Vec<Problem>> {
        if bytes.len() > max_bytes {
            let finding = Finding::error(None, format!("the file has {} bytes", bytes.len()))
                .expected(format!("at most {max_bytes}"))
                .help("check whether this is a file for tenantd");
            return Err(vec![Problem::of_file(name, finding)]);
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            let finding =
                Finding::error(None, "the file is UTF-16 (it starts with a UTF-16 byte order mark)")
                    .expected("UTF-8")
                    .help("convert it: `iconv -f UTF-16 -t UTF-8`");
            return Err(vec![Problem::of_file(name, finding)]);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let start = error.valid_up_to();
                let source = Self::trusted(name, String::from_utf8_lossy(bytes).into_owned());
                let finding = Finding::error(
                    Span { start, end: start + 3 },
                    format!("byte {} (0x{:02x}) is not UTF-8", start + 1, bytes[start]),
                )
                .expected("UTF-8 text")
                .help("save the file as UTF-8; from Latin-1: `iconv -f LATIN1 -t UTF-8`");
                return Err(vec![source.locate(finding)]);
            }
        };
        let source = Self::trusted(name, text.to_owned());
        match source.hidden_character() {
            Some(finding) => Err(vec![source.locate(finding)]),
            None => Ok(source),
        }
    }

    /// A text that is not judged for hidden characters.
    pub(super) fn trusted(name: &str, text: String) -> Self {
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect::<Vec<_>>();
        Self { name: name.to_owned(), text, line_starts, masks: Vec::new() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span, empty where the span is not one of this text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Never shows these parts of the text from now on: they stand for secrets.
    pub fn mask(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.masks.extend(spans.into_iter().filter(|span| span.start < span.end));
        self.masks.sort();
        // Sorted and without overlaps, so that the mask at a place is found by halving.
        self.masks.dedup_by(|next, kept| {
            let overlaps = next.start <= kept.end;
            if overlaps {
                kept.end = kept.end.max(next.end);
            }
            overlaps
        });
    }

    fn mask_at(&self, at: usize) -> Option<Span> {
        let before = self.masks.partition_point(|mask| mask.start <= at);
        before.checked_sub(1).map(|last| self.masks[last]).filter(|mask| at < mask.end)
    }

    /// The whole line at this place, without its line break.
    pub fn line_span(&self, at: usize) -> Span {
        let line = self.line_index(at);
        let start = self.line_starts[line];
        let end = self.line_starts.get(line + 1).map_or(self.text.len(), |next| next - 1);
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        Span { start, end }
    }

    fn line_index(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at) - 1
    }

    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    pub fn position(&self, at: usize) -> Position {
        let at = self.floor(at);
        let line = self.line_index(at);
        Position { line: line + 1, column: self.text[self.line_starts[line]..at].chars().count() + 1 }
    }

    /// Gives a finding its line, its column and its source line.
    pub fn locate(&self, finding: Finding) -> Problem {
        let span = finding.span;
        let mut problem = Problem::of_file(self.name.clone(), finding);
        if let Some(span) = span {
            problem.position = Some(self.position(span.start));
            let line = self.slice(self.line_span(self.floor(span.start)));
            problem.excerpt = (!line.trim().is_empty()).then(|| self.excerpt(span));
        }
        problem
    }

    /// Locates the findings of one file in the order of its text: the first 50, errors before warnings where there are
    /// more, and a line that counts the rest.
    pub fn locate_all(&self, mut findings: Vec<Finding>) -> Vec<Problem> {
        let more = findings.len().saturating_sub(MAX_PROBLEMS);
        if more > 0 {
            findings.sort_by_key(|finding| (finding.severity, finding.span));
            findings.truncate(MAX_PROBLEMS);
        }
        let mut problems = findings.into_iter().map(|finding| self.locate(finding)).collect::<Vec<_>>();
        problems.sort();
        if more > 0 {
            let severity = problems.iter().map(|problem| problem.severity).min().unwrap_or(Severity::Error);
            let finding = Finding::error(None, format!("there are {more} more problems"));
            let finding = Finding { severity, ..finding }.help("correct the first ones and try again");
            problems.push(Problem::of_file(self.name.clone(), finding));
        }
        problems
    }

    /// The line of a span's beginning, cut around the span, with what is hidden shown and what is secret masked.
    fn excerpt(&self, span: Span) -> Excerpt {
        let start = self.floor(span.start);
        let line = self.line_span(start);
        let end = self.floor(span.end).clamp(start, line.end.max(start));
        let lead = self.text[line.start..start.min(line.end)].char_indices().rev();
        let (from, cut_before) = match lead.clone().nth(MAX_LINE * 2 / 3) {
            Some(_) => (line.start + lead.clone().nth(LEAD - 1).map_or(0, |(at, _)| at), true),
            None => (line.start, false),
        };
        let mut text = String::new();
        if cut_before {
            text.push('…');
        }
        let mut highlight = None..None;
        let mut at = from;
        let mut shown = 0;
        while let Some(c) = self.text[at..line.end].chars().next() {
            let mask = self.mask_at(at);
            let next = mask.map_or(at + c.len_utf8(), |mask| self.floor(mask.end).min(line.end));
            if highlight.start.is_none() && start < next {
                highlight.start = Some(text.len());
            }
            if shown >= MAX_LINE {
                text.push('…');
                break;
            }
            match mask {
                Some(_) => {
                    text.push_str(MASK);
                    shown += MASK.len();
                }
                None => {
                    push_visible(&mut text, c);
                    shown += 1;
                }
            }
            if highlight.end.is_none() && end <= next && start < next {
                highlight.end = Some(text.len());
            }
            at = next;
        }
        let start = highlight.start.unwrap_or(text.len());
        let end = highlight.end.unwrap_or(text.len()).max(start);
        // A caret needs something above it, also past the end of the line.
        if start == text.len() {
            text.push(' ');
        }
        Excerpt { highlight: start..end.max(start + 1).min(text.len()), text }
    }

    fn hidden_character(&self) -> Option<Finding> {
        let bytes = self.text.as_bytes();
        let plain = |b: &u8| matches!(b, b'\n' | b'\t' | 0x20..=0x7e);
        if bytes.iter().all(plain) {
            return None;
        }
        let mut chars = self.text.char_indices().peekable();
        while let Some((start, c)) = chars.next() {
            if c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n') || matches!(c, '\n' | '\t') {
                continue;
            }
            if !is_hidden(c) {
                continue;
            }
            let span = Span { start, end: start + c.len_utf8() };
            return Some(match c {
                '\u{feff}' if start == 0 => Finding::error(span, "the file begins with a byte order mark")
                    .expected("UTF-8 without it")
                    .help(format!(
                        "save it as UTF-8 without BOM: `sed -i '1s/^\\xEF\\xBB\\xBF//' {}`",
                        self.name
                    )),
                '\0' => Finding::error(span, "a NUL byte")
                    .expected("text")
                    .help("the file is damaged or not a text file; restore it from version control"),
                '\r' => Finding::error(span, "there is a carriage return in the middle of a line")
                    .expected("lines that end in LF or CR LF")
                    .help("save the file with Unix line endings"),
                c => Finding::error(span, format!("the hidden character {}", quoted(&c.to_string())))
                    .expected("characters that can be seen")
                    .help("delete the character; it makes the line look different from what it says"),
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_line(bytes: &[u8]) -> String {
        Source::decode("x.yaml", bytes, 1000).unwrap_err()[0].to_string()
    }

    #[test]
    fn a_file_that_is_not_plain_text_is_refused_with_its_place() {
        assert!(
            first_line(b"name: caf\xe9\n").starts_with("x.yaml:1:10: error: byte 10 (0xe9) is not UTF-8")
        );
        assert!(
            first_line(b"\xef\xbb\xbfname: x\n")
                .starts_with("x.yaml:1:1: error: the file begins with a byte")
        );
        assert!(first_line(b"\xff\xfen\0").starts_with("x.yaml: error: the file is UTF-16"));
        assert!(first_line(b"a: b\nc: \0\n").starts_with("x.yaml:2:4: error: a NUL byte"));
        assert!(first_line(b"a: b\rc: d\n").starts_with("x.yaml:1:5: error: there is a carriage return"));
        assert!(
            first_line("a: \u{202e}evil\n".as_bytes())
                .starts_with("x.yaml:1:4: error: the hidden character `\\u{202e}`")
        );
        assert!(first_line(&[b'a'; 1001]).starts_with("x.yaml: error: the file has 1001 bytes"));
        assert!(Source::decode("x.yaml", "a: ü\r\nb:\tc\n".as_bytes(), 1000).is_ok());
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}\n", "a".repeat(5000), "b".repeat(5000));
        let source = Source::trusted("x", text);
        let Excerpt { text, highlight } = source.excerpt(Span { start: 5000, end: 5004 });
        assert_eq!(&text[highlight], "HERE");
        assert!(text.chars().count() <= MAX_LINE + 2, "{text}");
        assert!(text.starts_with('…') && text.ends_with('…'));
    }

    #[test]
    fn a_masked_part_is_never_shown() {
        let mut source = Source::trusted("x", "a: {password: hunter2, b: 1}\n".into());
        source.mask([Span { start: 14, end: 21 }]);
        for start in 0..28 {
            for end in start..28 {
                let excerpt = source.excerpt(Span { start, end });
                assert_eq!(excerpt.text, "a: {password: ********, b: 1}");
                assert!(excerpt.text.get(excerpt.highlight).is_some());
            }
        }
    }

    #[test]
    fn every_span_of_any_text_can_be_shown() {
        for text in ["", "\n", "a", "ü\r\nß", "\n\n x", "日本\u{1f600}\n"] {
            let source = Source::trusted("x", text.into());
            for start in 0..=text.len() + 1 {
                for end in start..=text.len() + 1 {
                    let finding = Finding::error(Span { start, end }, "x");
                    source.locate(finding).render(false);
                }
            }
        }
    }
}
