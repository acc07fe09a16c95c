use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};

use super::visible::fit_to_show;
use std::ops::Range;

use super::Span;

/// Whether a problem stops the file from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What is wrong at a place of a text, before the place has a line number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// None where the file as a whole is meant.
    pub span: Option<Span>,
    pub severity: Severity,
    /// The name of the advice, where a file may accept it; `None` for errors.
    pub advice: Option<&'static str>,
    pub what: String,
    pub expected: Option<String>,
    pub help: Option<String>,
}

impl Finding {
    pub fn error(span: impl Into<Option<Span>>, what: impl Into<String>) -> Self {
        Self {
            span: span.into(),
            severity: Severity::Error,
            advice: None,
            what: what.into(),
            expected: None,
            help: None,
        }
    }

    pub fn warning(span: impl Into<Option<Span>>, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, what) }
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn advice(mut self, name: &'static str) -> Self {
        self.advice = Some(name);
        self
    }
}

/// A place in a file, counted from 1; columns are characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// A source line as it may be shown, and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub text: String,
    /// Bytes of `text`.
    pub highlight: Range<usize>,
}

/// Something wrong with a file: where, what, what was expected and how to repair it.
///
/// It carries the source line as it may be shown: cut, hidden characters by their code, secrets masked. It sorts by
/// file, line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name as an operator would look for it.
    pub file: String,
    /// None where the file as a whole is meant: it cannot be read, or is not there.
    pub position: Option<Position>,
    pub severity: Severity,
    /// The name of the advice; `accept: [name]` in the file silences it.
    pub advice: Option<&'static str>,
    pub what: String,
    pub expected: Option<String>,
    pub help: Option<String>,
    /// The source line and the part of it that is meant.
    pub excerpt: Option<Excerpt>,
}

impl Problem {
    /// A problem of a file that has no text to point at.
    pub fn of_file(file: impl Into<String>, finding: Finding) -> Self {
        let Finding { span: _, severity, advice, what, expected, help } = finding;
        Self {
            file: file.into(),
            position: None,
            severity,
            advice,
            what: fit_to_show(what),
            expected: expected.map(fit_to_show),
            help: help.map(fit_to_show),
            excerpt: None,
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Several lines: the headline, then the source line with carets below what is meant.
    ///
    /// `colour` is for terminals; without it the text is the same and holds no escape sequence.
    pub fn render(&self, colour: bool) -> String {
        let mut text = if colour { self.coloured_headline() } else { self.to_string() };
        if let (Some(Position { line, .. }), Some(excerpt)) = (self.position, &self.excerpt) {
            let level = match self.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let snippet = Snippet::source(excerpt.text.as_str())
                .line_start(line)
                .annotation(AnnotationKind::Primary.span(excerpt.highlight.clone()));
            let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
            text.push('\n');
            text.push_str(&renderer.render(&[Group::with_level(level).element(snippet)]));
        }
        text
    }

    fn coloured_headline(&self) -> String {
        use anstyle::{AnsiColor, Style};
        let bold = Style::new().bold();
        let level = match self.severity {
            Severity::Error => AnsiColor::BrightRed.on_default().bold(),
            Severity::Warning => AnsiColor::BrightYellow.on_default().bold(),
        };
        let plain = self.to_string();
        let place = self.place();
        let label = self.label();
        let rest = &plain[place.len() + label.len() + 2..];
        format!("{bold}{place}{bold:#}: {level}{label}{level:#}{rest}")
    }

    /// Where, and what: `tenantd.yaml:33:1: unknown key `foo``.
    pub fn in_short(&self) -> String {
        format!("{}: {}", self.place(), self.what)
    }

    fn place(&self) -> String {
        match self.position {
            Some(Position { line, column }) => format!("{}:{line}:{column}", self.file),
            None => self.file.clone(),
        }
    }

    fn label(&self) -> String {
        match self.advice {
            Some(name) => format!("{}[{name}]", self.severity.as_str()),
            None => self.severity.as_str().to_owned(),
        }
    }

    fn order(&self) -> impl Ord + '_ {
        (&self.file, self.position, self.severity, &self.what)
    }
}

/// One line: `file:line:column: error: what was found; expected …. What to do`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place(), self.label(), self.what)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(help) = &self.help {
            write!(f, ". {}", sentence(help))?;
        }
        Ok(())
    }
}

/// With a capital at its beginning; a word in backticks stays as it is.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

impl PartialOrd for Problem {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Problem {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// For `--output json`: flat, `line` and `column` null where the file as a whole is meant.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            file: &'a str,
            line: Option<usize>,
            column: Option<usize>,
            severity: Severity,
            advice: Option<&'a str>,
            what: &'a str,
            expected: Option<&'a str>,
            help: Option<&'a str>,
        }
        let Self { file, position, severity, advice, what, expected, help, excerpt: _ } = self;
        Flat {
            file,
            line: position.map(|p| p.line),
            column: position.map(|p| p.column),
            severity: *severity,
            advice: *advice,
            what,
            expected: expected.as_deref(),
            help: help.as_deref(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Source;

    fn problem() -> Problem {
        let source = Source::decode("acme.yaml", b"name: Acme\ndomian: x\n", 100).unwrap();
        source.locate(
            Finding::error(Span { start: 11, end: 17 }, "unknown key `domian`")
                .expected("a key")
                .help("did you mean `domain`?"),
        )
    }

    #[test]
    fn the_headline_names_place_finding_expectation_and_remedy() {
        insta::assert_snapshot!(problem().render(false), @r"
        acme.yaml:2:1: error: unknown key `domian`; expected a key. Did you mean `domain`?
          |
        2 | domian: x
          | ^^^^^^
        ");
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let coloured = problem().render(true);
        assert_ne!(coloured, problem().render(false));
        let bare = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap().replace_all(&coloured, "").into_owned();
        assert_eq!(bare, problem().render(false));
    }

    #[test]
    fn json_is_flat() {
        insta::assert_snapshot!(serde_json::to_string(&problem()).unwrap(), @r#"{"file":"acme.yaml","line":2,"column":1,"severity":"error","advice":null,"what":"unknown key `domian`","expected":"a key","help":"did you mean `domain`?"}"#);
    }
}
