//! The scanner's messages as problems that the author of a file understands.

use super::visible::quoted;
use super::{Finding, Limits, Source, Span};

/// Turns a scanner's error at a byte of the source into what to do about it.
pub(super) fn explain(source: &Source, at: usize, info: &str) -> Finding {
    let error = ScanError::new(source, at, info);
    // The scanner's messages overlap, so the order of these matters.
    nesting_and_tabs(&error)
        .or_else(|| keys(&error))
        .or_else(|| quotes(&error))
        .or_else(|| brackets(&error))
        .or_else(|| marks_and_blocks(&error))
        .unwrap_or_else(|| {
            Finding::error(error.one, format!("this is not YAML ({info})"))
                .expected("YAML 1.2")
                .help("check this line and the one before it")
        })
}

/// An error of the scanner, with the text around its place.
#[derive(Clone, Copy)]
struct ScanError<'s> {
    source: &'s Source,
    /// The whole source.
    text: &'s str,
    /// The scanner's message.
    info: &'s str,
    /// Where the scanner stopped, in bytes.
    at: usize,
    /// The line of `at`.
    line: Span,
    /// From `at` to the end of its line.
    rest: Span,
    /// The character at `at`.
    one: Span,
    char_here: Option<char>,
}

impl<'s> ScanError<'s> {
    fn new(source: &'s Source, at: usize, info: &'s str) -> Self {
        let text = source.text();
        // What is missing at the end of the text is missing after its last word.
        let at = if text[at..].trim().is_empty() { text.trim_end().len() } else { at };
        let line = source.line_span(at);
        let rest = Span { start: at, end: line.end.max(at) };
        let char_here = text[at..].chars().next();
        let one = Span { start: at, end: at + char_here.map_or(0, char::len_utf8) };
        Self { source, text, info, at, line, rest, one, char_here }
    }
}

/// Aliases without an anchor, deep nesting, and tabs.
fn nesting_and_tabs(error: &ScanError<'_>) -> Option<Finding> {
    let ScanError { at, line, rest, one, source, .. } = *error;
    let has = |part: &str| error.info.contains(part);
    if has("unknown anchor") {
        return Some(alias(rest));
    }
    if has("recursion limit") {
        return Some(too_deep(one, Limits::TENANT.depth));
    }
    if has("tab") && !has("TAG") {
        // The scanner may point before or behind the tab; the line that has one at its beginning is meant.
        let tab = [line, source.line_span(line.end + 1)]
            .into_iter()
            .find_map(|line| {
                let lead = indent(source.slice(line));
                source.slice(line)[..lead].find('\t').map(|tab| line.start + tab)
            })
            .unwrap_or(at);
        return Some(
            Finding::error(Span { start: tab, end: tab + 1 }, "the line is indented with a tab")
                .expected("spaces")
                .help("replace the tab with spaces"),
        );
    }
    None
}

/// A line that should be `key: value`.
fn keys(error: &ScanError<'_>) -> Option<Finding> {
    let ScanError { text, at, line, one, source, .. } = *error;
    let has = |part: &str| error.info.contains(part);
    if has("mapping values are not allowed") {
        if text[line.start..at].contains(": ") {
            return Some(
                Finding::error(one, "the line has a second `: `")
                    .expected("one `key: value` on a line")
                    .help("put a text that contains `: ` in quotes"),
            );
        }
        return Some(
            Finding::error(
                Span { start: line.start + indent(source.slice(line)), ..one },
                "the indentation is wrong",
            )
            .expected("keys of one level in the same column")
            .help("start this key in the column of the keys above it"),
        );
    }
    if has("simple key") {
        // The scanner reports this at the end of the line or later.
        let end = text[..at].trim_end().len();
        let line = source.line_span(end.saturating_sub(1));
        let start = line.start + indent(source.slice(line));
        return Some(
            Finding::error(Span { start, end: end.max(start) }, "the line has no `: `")
                .expected("`key: value`")
                .help("write a colon and a space after the key"),
        );
    }
    None
}

/// Quotes, escapes, and characters that need quotes.
fn quotes(error: &ScanError<'_>) -> Option<Finding> {
    let ScanError { text, at, rest, one, char_here, .. } = *error;
    let has = |part: &str| error.info.contains(part);
    if has("end of stream") || has("indentation in quoted") || has("unexpected document indicator") {
        return Some(
            Finding::error(rest, "the quoted text has no closing quote")
                .expected("a closing quote")
                .help("close the quote on this line"),
        );
    }
    if has("trailing content after") {
        return Some(
            Finding::error(rest, "there is text after the closing quote")
                .expected("the end of the line or a comment")
                .help("put the whole value in quotes; inside '…', write a `'` twice"),
        );
    }
    if has("unknown escape") || has("hexadecimal") || has("Unicode character escape") {
        return Some(
            Finding::error(rest, "the backslash in \"…\" begins no known escape")
                .expected("one such as \\n, \\\" or \\\\")
                .help("write '…' instead of \"…\", or double the backslash"),
        );
    }
    if has("unexpected character") && char_here == Some('%') && text[..at].ends_with('{') {
        return Some(
            Finding::error(one, "the file has a template placeholder (`{% %}`)")
                .expected("the finished file")
                .help("fill in the template and save its result here"),
        );
    }
    if has("unexpected character") {
        let shown = quoted(&char_here.map(String::from).unwrap_or_default());
        return Some(
            Finding::error(one, format!("the value begins with {shown}"))
                .expected("text that does not begin with a YAML sign")
                .help("put the value in quotes"),
        );
    }
    None
}

/// `[…]` and `{…}`.
fn brackets(error: &ScanError<'_>) -> Option<Finding> {
    let ScanError { one, char_here, .. } = *error;
    let has = |part: &str| error.info.contains(part);
    if matches!(char_here, Some(']' | '}')) && (has("flow") || has("bracket")) {
        return Some(
            Finding::error(one, "the closing bracket does not match the last open one")
                .expected("`]` for `[` and `}` for `{`, as many of each")
                .help("correct the brackets of this line, or put the text in quotes"),
        );
    }
    if has("flow sequence") || has("flow mapping") || has("flow construct") || has("illegal placement of ':'")
    {
        return Some(
            Finding::error(one, "an earlier `[` or `{` is not closed, or a comma is missing")
                .expected("`[a, b]` or `{key: value, key: value}`")
                .help("close the bracket, or put a comma between the items"),
        );
    }
    if has("misplaced bracket") {
        return Some(
            Finding::error(one, "the closing bracket has no opening one")
                .expected("as many opening as closing brackets")
                .help("delete it, or put the text in quotes"),
        );
    }
    None
}

/// Marks (`&`, `*`, `!`), indentation and blocks of text.
fn marks_and_blocks(error: &ScanError<'_>) -> Option<Finding> {
    let ScanError { rest, one, .. } = *error;
    let has = |part: &str| error.info.contains(part);
    if has("anchor") || has("alias") {
        return Some(
            Finding::error(one, "the value begins with `&` or `*`")
                .expected("values written out, without anchors and aliases")
                .help("put it in quotes if it is meant as text"),
        );
    }
    if has("tag") || has("TAG") || has("handle") {
        return Some(
            Finding::error(rest, "the value begins with `!`, which is a tag")
                .expected("values without tags")
                .help("delete the tag; put the value in quotes if the `!` is meant as text"),
        );
    }
    if has("indent")
        || has("block collection")
        || has("block mapping")
        || has("document start")
        || has("block sequence")
    {
        return Some(
            Finding::error(rest, "the indentation fits no line above")
                .expected("keys of one level in the same column, and `- ` before each list item")
                .help("align the line with those that it belongs to"),
        );
    }
    if has("block scalar") {
        return Some(
            Finding::error(rest, "the text block begins wrongly")
                .expected("`|` or `>` alone at the end of the line, then indented lines")
                .help("write the value in quotes on one line"),
        );
    }
    if has("comment intercepting") || has("plain scalar") {
        return Some(
            Finding::error(rest, "YAML cannot read this text without quotes")
                .expected("text on one line")
                .help("put it in quotes"),
        );
    }
    None
}

/// The blanks at a line's beginning, in bytes.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

pub(super) fn too_deep(span: Span, depth: usize) -> Finding {
    Finding::error(span, format!("there are more than {depth} nested levels"))
        .expected("the few levels of a file for tenantd")
        .help("check whether this is a file for tenantd")
}

/// An alias, whether or not its anchor exists.
pub(super) fn alias(span: Span) -> Finding {
    Finding::error(span, "the value is an alias (`*name`)")
        .expected("values written out, without anchors and aliases")
        .help("write the value here, or put it in quotes if the text begins with `*`")
}
