//! The scanner's messages in the words of somebody who writes the file.

use super::tree::{alias, too_deep};
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
        return Finding::error(Span { start: tab, end: tab + 1 }, "a tab in the indentation")
            .expected("spaces")
            .help("replace the tab by spaces");
    }
    if has("mapping values are not allowed") {
        if text[line.start..at].contains(": ") {
            return Finding::error(one, "a second `: ` on this line")
                .expected("one `key: value` on a line")
                .help("put a text that contains `: ` in quotes");
        }
        return Finding::error(
            Span { start: line.start + indent(source.slice(line)), ..one },
            "this line goes on from the one before it, and has a `: ` all the same",
        )
        .expected("keys of one level in one column, each with its `: `")
        .help("look at this line's indentation, and whether the line before it is `key: value`");
    }
    if has("simple key") {
        // It is found out at the end of the line or later.
        let end = text[..at].trim_end().len();
        let line = source.line_span(end.saturating_sub(1));
        let start = line.start + indent(source.slice(line));
        return Finding::error(Span { start, end: end.max(start) }, "a line without `: `")
            .expected("`key: value`")
            .help("write a colon and a space after the key");
    }
    if has("end of stream") || has("indentation in quoted") || has("unexpected document indicator") {
        return Finding::error(rest, "a quoted text that never ends")
            .expected("a closing quote")
            .help("close it on this line, with the kind of quote that opens it");
    }
    if has("trailing content after") {
        return Finding::error(rest, "text after a closing quote")
            .expected("the end of the line or a comment")
            .help("put all of the value in the quotes; a `'` within '…' is written twice");
    }
    if has("unknown escape") || has("hexadecimal") || has("Unicode character escape") {
        return Finding::error(rest, "a backslash in \"…\" that begins no known escape")
            .expected("one such as \\n, \\\" or \\\\")
            .help("write '…' instead of \"…\", or double the backslash");
    }
    if has("unexpected character") && char_here == Some('%') && text[..at].ends_with('{') {
        return Finding::error(one, "a template's placeholder (`{% %}`)")
            .expected("the file that the template makes")
            .help("fill in the template and put its result here");
    }
    if has("unexpected character") {
        let shown = quoted(&char_here.map(String::from).unwrap_or_default());
        return Finding::error(one, format!("a value that begins with {shown}"))
            .expected("text that does not begin with a sign of YAML")
            .help("put the value in quotes");
    }
    if matches!(char_here, Some(']' | '}')) && (has("flow") || has("bracket")) {
        return Finding::error(one, "a closing bracket that does not fit the last open one")
            .expected("`]` for `[` and `}` for `{`, as many of each")
            .help("correct the brackets of this line, or put the text in quotes");
    }
    if has("flow sequence") || has("flow mapping") || has("flow construct") || has("illegal placement of ':'")
    {
        return Finding::error(one, "a `[` or `{` before this place is not closed, or a comma is missing")
            .expected("`[a, b]` or `{key: value, key: value}`")
            .help("close the bracket, or put a comma between the items");
    }
    if has("misplaced bracket") {
        return Finding::error(one, "a closing bracket that nothing opened")
            .expected("as many opening as closing brackets")
            .help("delete it, or put the text in quotes");
    }
    if has("anchor") || has("alias") {
        return Finding::error(one, "a value that begins with `&` or `*`")
            .expected("values written out, without anchors and aliases")
            .help("put it in quotes if it is meant as text");
    }
    if has("tag") || has("TAG") || has("handle") {
        return Finding::error(rest, "a tag, which begins with `!`")
            .expected("values without tags")
            .help("delete the tag; put the value in quotes if the `!` is meant as text");
    }
    if has("indent")
        || has("block collection")
        || has("block mapping")
        || has("document start")
        || has("block sequence")
    {
        return Finding::error(rest, "this line fits into nothing above it")
            .expected("keys of one level in one column, list items with `- ` before each")
            .help("line it up with the lines that it belongs to");
    }
    if has("block scalar") {
        return Finding::error(rest, "a text block that begins wrongly")
            .expected("`|` or `>` alone at the end of the line, then indented lines")
            .help("write the value in quotes on one line");
    }
    if has("comment intercepting") || has("plain scalar") {
        return Finding::error(rest, "a text without quotes that YAML cannot read")
            .expected("text on one line")
            .help("put it in quotes");
    }
    Finding::error(one, format!("not YAML ({info})"))
        .expected("YAML 1.2")
        .help("look at this place and the line before it")
}

/// The blanks at a line's beginning, in bytes.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
