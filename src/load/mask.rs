//! Which parts of a tenant's file no message may show. A file should hold no secret, but
//! where one does, its messages must not repeat the secret in a log.

use super::settings::looks_secret;
use crate::model::SettingName;
use crate::yaml::{Source, Span};

const WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "api", "private_key"];

/// Masks what stands behind a key that names a secret, to the end of its line and on the deeper lines after it. It goes
/// by lines, so that a file that is no YAML is masked, too.
pub(super) fn hide_secrets(source: &mut Source) {
    let text = source.text();
    if !WORDS.iter().any(|word| text.contains(word)) {
        return;
    }
    let mut masks = Vec::new();
    let mut start = 0;
    // The indentation of the key whose value continues.
    let mut below: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let end = start + content.len();
        let indent = content.len() - content.trim_start().len();
        if below.is_some_and(|key| content.trim().is_empty() || indent > key) {
            masks.push(Span { start, end });
        } else {
            below = secret_key_ends(content).map(|at| {
                masks.push(Span { start: start + at, end });
                indent
            });
        }
        start += line.len();
    }
    source.mask(masks);
}

/// Where the value of the line's first secret key begins.
fn secret_key_ends(line: &str) -> Option<usize> {
    line.match_indices(':').map(|(at, _)| at).find_map(|at| {
        let before = line[..at].trim_end_matches(['"', '\'', ' ']);
        let key = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).next()?;
        let key = key.to_lowercase();
        let is_secret = match SettingName::parse(&key) {
            Ok(name) => looks_secret(&name),
            Err(_) => WORDS.iter().any(|word| key.contains(word)),
        };
        is_secret.then_some(at + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_secret_key_is_found() {
        let rest = |line: &str| secret_key_ends(line).map(|at| line[at..].to_owned());
        assert_eq!(rest("password: x"), Some(" x".into()));
        assert_eq!(rest("  provision.admin_password.text: \"x"), Some(" \"x".into()));
        assert_eq!(rest("pbx_settings: { a.b.text: 1, \"a.api_key.text\" : x }"), Some(" x }".into()));
        assert_eq!(
            rest("  security.password_length.numeric: 12"),
            None,
            "a password's length is not a secret"
        );
        assert_eq!(rest("name: The password company"), None);
        assert_eq!(rest("domain: acme.example.com"), None);
    }
}
