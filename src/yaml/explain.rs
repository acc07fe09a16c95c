//! The scanner's messages in the words of someone who writes the file.

use super::visible::quoted;
use super::{Finding, Limits, Source, Span};

/// Turns a scanner's error at a byte of the source into what to do about it.
pub(super) fn explain(source: &Source, at: usize, info: &str) -> Finding {
    let text = source.text();
    // What is found missing at the end of the text is missing behind its last word.
    let at = if text[at..].trim().is_empty() { text.trim_end().len() } else { at };
    let line = source.line_span(at);
    let rest = Span { start: at, end: line.end.max(at) };
    let char_here = text[at..].chars().next();
    let one = Span { start: at, end: at + char_here.map_or(0, char::len_utf8) };
    let has = |part: &str| info.contains(part);

    if has("unknown anchor") {
        return alias(rest);
    }
    if has("recursion limit") {
        return too_deep(one, Limits::TENANT.depth);
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
        return Finding::error(Span { start: tab, end: tab + 1 }, "the line is indented with a tab")
            .expected("spaces")
            .help("replace the tab with spaces");
    }
    if has("mapping values are not allowed") {
        if text[line.start..at].contains(": ") {
            return Finding::error(one, "the line has a second `: `")
                .expected("one `key: value` on a line")
                .help("put a text that contains `: ` in quotes");
        }
        return Finding::error(
            Span { start: line.start + indent(source.slice(line)), ..one },
            "the indentation is wrong",
        )
        .expected("keys of one level in the same column")
        .help("start this key in the column of the keys above it");
    }
    if has("simple key") {
        // It is found out at the end of the line or later.
        let end = text[..at].trim_end().len();
        let line = source.line_span(end.saturating_sub(1));
        let start = line.start + indent(source.slice(line));
        return Finding::error(Span { start, end: end.max(start) }, "the line has no `: `")
            .expected("`key: value`")
            .help("write a colon and a space after the key");
    }
    if has("end of stream") || has("indentation in quoted") || has("unexpected document indicator") {
        return Finding::error(rest, "the quoted text has no closing quote")
            .expected("a closing quote")
            .help("close the quote on this line");
    }
    if has("trailing content after") {
        return Finding::error(rest, "there is text after the closing quote")
            .expected("the end of the line or a comment")
            .help("put the whole value in quotes; inside '…', write a `'` twice");
    }
    if has("unknown escape") || has("hexadecimal") || has("Unicode character escape") {
        return Finding::error(rest, "the backslash in \"…\" begins no known escape")
            .expected("one such as \\n, \\\" or \\\\")
            .help("write '…' instead of \"…\", or double the backslash");
    }
    if has("unexpected character") && char_here == Some('%') && text[..at].ends_with('{') {
        return Finding::error(one, "the file has a template placeholder (`{% %}`)")
            .expected("the finished file")
            .help("fill in the template and save its result here");
    }
    if has("unexpected character") {
        let shown = quoted(&char_here.map(String::from).unwrap_or_default());
        return Finding::error(one, format!("the value begins with {shown}"))
            .expected("text that does not begin with a YAML sign")
            .help("put the value in quotes");
    }
    if matches!(char_here, Some(']' | '}')) && (has("flow") || has("bracket")) {
        return Finding::error(one, "the closing bracket does not match the last open one")
            .expected("`]` for `[` and `}` for `{`, as many of each")
            .help("correct the brackets of this line, or put the text in quotes");
    }
    if has("flow sequence") || has("flow mapping") || has("flow construct") || has("illegal placement of ':'")
    {
        return Finding::error(one, "an earlier `[` or `{` is not closed, or a comma is missing")
            .expected("`[a, b]` or `{key: value, key: value}`")
            .help("close the bracket, or put a comma between the items");
    }
    if has("misplaced bracket") {
        return Finding::error(one, "the closing bracket has no opening one")
            .expected("as many opening as closing brackets")
            .help("delete it, or put the text in quotes");
    }
    if has("anchor") || has("alias") {
        return Finding::error(one, "the value begins with `&` or `*`")
            .expected("values written out, without anchors and aliases")
            .help("put it in quotes if it is meant as text");
    }
    if has("tag") || has("TAG") || has("handle") {
        return Finding::error(rest, "the value begins with `!`, which is a tag")
            .expected("values without tags")
            .help("delete the tag; put the value in quotes if the `!` is meant as text");
    }
    if has("indent")
        || has("block collection")
        || has("block mapping")
        || has("document start")
        || has("block sequence")
    {
        return Finding::error(rest, "the indentation fits no line above")
            .expected("keys of one level in the same column, and `- ` before each list item")
            .help("align the line with those that it belongs to");
    }
    if has("block scalar") {
        return Finding::error(rest, "the text block begins wrongly")
            .expected("`|` or `>` alone at the end of the line, then indented lines")
            .help("write the value in quotes on one line");
    }
    if has("comment intercepting") || has("plain scalar") {
        return Finding::error(rest, "YAML cannot read this text without quotes")
            .expected("text on one line")
            .help("put it in quotes");
    }
    Finding::error(one, format!("this is not YAML ({info})"))
        .expected("YAML 1.2")
        .help("check this line and the one before it")
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
    Finding::error(span, "an alias")
        .expected("values written out, without anchors and aliases")
        .help("write the value here, or put it in quotes if the text begins with `*`")
}
