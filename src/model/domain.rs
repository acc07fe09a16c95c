use std::fmt;

/// A tenant's domain: a lower-case host name in its ASCII form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

/// Why a text is not a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    #[error("it is empty")]
    Empty,
    #[error("it is {0} characters long in its ASCII form; a host name has at most 253 (RFC 1035)")]
    TooLong(usize),
    #[error("it has an empty label (two dots in a row, or one at an end)")]
    EmptyLabel,
    #[error("the label `{0}` is longer than 63 characters (RFC 1035)")]
    LabelTooLong(String),
    #[error("the label `{0}` starts or ends with a hyphen (RFC 1123)")]
    Hyphen(String),
    #[error("`{}` cannot stand in a host name; letters, digits, hyphens and dots can (RFC 1123)", seen(*.0))]
    Character(char),
    #[error("it has capitals; write `{}`", .0.chars().map(seen).collect::<String>())]
    Capitals(String),
    #[error("it is an address, not a name")]
    Address,
    #[error("it is not a valid internationalised name (UTS 46)")]
    Idna,
}

/// A character as a message may show it: what a terminal obeys or nobody sees is spelt out.
fn seen(c: char) -> String {
    if c.is_ascii_graphic() || c.is_alphanumeric() { c.to_string() } else { c.escape_debug().to_string() }
}

impl DomainName {
    /// The longest host name, in characters of its ASCII form (RFC 1035, section 2.3.4).
    pub const MAX_CHARS: usize = 253;

    /// Reads a host name as a person writes it; a Unicode one is converted to its ASCII form.
    ///
    /// FusionPBX lower-cases what it stores, so a name with capitals would never read back as written.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.is_ascii() && text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(DomainError::Capitals(text.to_ascii_lowercase()));
        }
        if text.chars().any(char::is_uppercase) {
            return Err(DomainError::Capitals(text.to_lowercase()));
        }
        if let Some(bad) = text.chars().find(|c| {
            c.is_ascii() && !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-'))
                || c.is_whitespace()
                || c.is_control()
        }) {
            return Err(DomainError::Character(bad));
        }
        let ascii = if text.is_ascii() && !text.split('.').any(|label| label.starts_with("xn--")) {
            text.to_owned()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| DomainError::Idna)?
        };
        Self::check(&ascii)?;
        Ok(Self(ascii))
    }

    fn check(ascii: &str) -> Result<(), DomainError> {
        if ascii.len() > Self::MAX_CHARS {
            return Err(DomainError::TooLong(ascii.len()));
        }
        for label in ascii.split('.') {
            if label.is_empty() {
                return Err(DomainError::EmptyLabel);
            }
            if label.len() > 63 {
                return Err(DomainError::LabelTooLong(label.to_owned()));
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Err(DomainError::Hyphen(label.to_owned()));
            }
        }
        if ascii.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(DomainError::Address);
        }
        Ok(())
    }

    /// A name read from a PBX or the database, which was accepted before and is not judged again.
    pub fn trusted(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The ASCII form, the one that is stored, compared and sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Unicode form, where it differs from the ASCII form.
    pub fn unicode(&self) -> Option<String> {
        if !self.0.contains("xn--") {
            return None;
        }
        let (unicode, result) = idna::domain_to_unicode(&self.0);
        (result.is_ok() && unicode != self.0).then_some(unicode)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_is_converted_and_kept_readable() {
        let name = DomainName::parse("bücher.example").unwrap();
        assert_eq!(name.as_str(), "xn--bcher-kva.example");
        assert_eq!(name.unicode().as_deref(), Some("bücher.example"));
        assert_eq!(DomainName::parse("xn--bcher-kva.example").unwrap(), name);
    }

    #[test]
    fn what_fusionpbx_would_take_is_refused_here() {
        assert_eq!(DomainName::parse("a b'c;drop<"), Err(DomainError::Character(' ')));
        assert_eq!(DomainName::parse(&"a.".repeat(156)), Err(DomainError::TooLong(312)));
        assert_eq!(DomainName::parse("Acme.example"), Err(DomainError::Capitals("acme.example".into())));
        assert_eq!(DomainName::parse("a..b"), Err(DomainError::EmptyLabel));
        assert_eq!(DomainName::parse("a.example."), Err(DomainError::EmptyLabel));
        assert_eq!(DomainName::parse("-a.example"), Err(DomainError::Hyphen("-a".into())));
        assert_eq!(DomainName::parse("10.0.0.1"), Err(DomainError::Address));
        assert_eq!(DomainName::parse("under_score.example"), Err(DomainError::Character('_')));
        assert_eq!(DomainName::parse(""), Err(DomainError::Empty));
        assert!(matches!(
            DomainName::parse(&format!("{}.x", "a".repeat(64))),
            Err(DomainError::LabelTooLong(_))
        ));
    }

    #[test]
    fn no_message_holds_what_a_terminal_obeys() {
        for text in ["acme\u{0}", "\u{1b}[2Jacme", "Acme\u{1b}[2J", "\u{c4}cme\u{202e}", "a\u{a0}b"] {
            let message = DomainName::parse(text).unwrap_err().to_string();
            assert!(
                message.chars().all(|c| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric()),
                "{message:?}"
            );
        }
    }
}
