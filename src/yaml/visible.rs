//! Text from a file, made fit to be shown: nothing in it moves the cursor, turns the line round or continues for ever.

use std::fmt::Write;

/// The longest piece of a file that a message repeats, in characters.
const MAX_SHOWN: usize = 60;

/// Whether a character changes how text is shown without being seen itself: controls, zero-width characters, and
/// the marks that reorder a line (<https://trojansource.codes>).
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// Adds a character to a text that is going to be shown, hidden ones by their code.
pub(super) fn push_visible(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_hidden(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// A message as it may be shown: what it repeats of a file may hold anything. Its own line breaks stay.
pub(super) fn fit_to_show(message: String) -> String {
    if !message.chars().any(|c| c != '\n' && is_hidden(c)) {
        return message;
    }
    let mut out = String::with_capacity(message.len() + 8);
    for c in message.chars() {
        if c == '\n' { out.push(c) } else { push_visible(&mut out, c) }
    }
    out
}

/// A piece of a file between backticks, cut to 60 characters, hidden characters by their code.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(4 * MAX_SHOWN) + 2);
    out.push('`');
    for (count, c) in text.chars().enumerate() {
        if count == MAX_SHOWN {
            out.push('…');
            break;
        }
        push_visible(&mut out, c);
    }
    out.push('`');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_by_code() {
        assert_eq!(quoted("a\u{202e}b\u{1b}[31m\n"), "`a\\u{202e}b\\u{1b}[31m\\n`");
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), 63);
    }
}
