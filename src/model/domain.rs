use std::fmt;

/// A tenant's domain as FusionPBX has it: a lower-case host name in its ASCII form, or an IPv4 address. A port may
/// follow, as FusionPBX takes it for a part of the name.
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
    #[error("`{}` is not allowed in a host name (RFC 1123)", seen(*.0))]
    Character(char),
    #[error("`{0}` is not a port; a port is a number from 1 to 65535")]
    Port(String),
    /// FusionPBX splits `Host` at its first colon and so never finds such a domain.
    #[error("it is an IPv6 address, and FusionPBX reads a host name only up to the first colon")]
    Ipv6,
    #[error("it is not a valid internationalised name (UTS 46)")]
    Idna,
}

/// Why a domain that FusionPBX takes does not lead a phone to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolvable {
    Underscore,
    Port,
    /// Numbers alone, which are not an IPv4 address.
    Numbers,
}

/// A character as a message may show it: what a terminal obeys or no one sees is spelt out.
fn seen(c: char) -> String {
    if c.is_ascii_graphic() || c.is_alphanumeric() { c.to_string() } else { c.escape_debug().to_string() }
}

impl DomainName {
    /// The longest host name, in characters of its ASCII form (RFC 1035, section 2.3.4).
    pub const MAX_CHARS: usize = 253;

    /// Reads a domain as an operator writes it; a Unicode name is converted to its ASCII form.
    ///
    /// Capitals become lower case, as FusionPBX compares names and writes them at the next change through its pages.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if is_ipv6(text) {
            return Err(DomainError::Ipv6);
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, Some(port))
            }
            _ => (text, None),
        };
        if let Some(bad) = host.chars().find(|c| !may_stand(*c)) {
            return Err(DomainError::Character(bad));
        }
        if let Some(port) = port
            && (port.starts_with('0') || port.parse::<u16>().is_err())
        {
            return Err(DomainError::Port(port.chars().take(20).collect()));
        }
        let mut ascii = if host.is_ascii() && !host.split('.').any(is_encoded) {
            host.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(host).map_err(|_| DomainError::Idna)?
        };
        Self::check(&ascii)?;
        if let Some(port) = port {
            ascii.push(':');
            ascii.push_str(port);
        }
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
        Ok(())
    }

    /// The nearest name that [`Self::parse`] takes, for a name that it does not: what to rename it to.
    pub fn near(text: &str) -> Option<Self> {
        let text = text.trim();
        let host = if is_ipv6(text) { return None } else { text.split(':').next().unwrap_or(text) };
        let labels = host.split('.').map(|label| {
            let plain: String = label.chars().map(|c| if may_stand(c) { c } else { '-' }).collect();
            let parts = plain.split('-').filter(|part| !part.is_empty());
            if is_encoded(&plain) { plain.clone() } else { parts.collect::<Vec<_>>().join("-") }
        });
        let labels: Vec<String> = labels.filter(|label| !label.is_empty()).collect();
        Self::parse(&labels.join(".")).ok()
    }

    /// Why phones do not find this domain by its name, where they do not.
    pub fn unresolvable(&self) -> Option<Unresolvable> {
        if self.0.contains(':') {
            return Some(Unresolvable::Port);
        }
        if self.0.contains('_') {
            return Some(Unresolvable::Underscore);
        }
        let numbers = self.0.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (numbers && !self.is_address()).then_some(Unresolvable::Numbers)
    }

    /// Whether it is an IPv4 address, as FusionPBX's installer gives its first domain.
    pub fn is_address(&self) -> bool {
        self.0.parse::<std::net::Ipv4Addr>().is_ok()
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

/// `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:5060`.
fn is_ipv6(text: &str) -> bool {
    let bare = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => text,
    };
    bare.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_encoded(label: &str) -> bool {
    label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--"))
}

/// Underscores are FusionPBX's, not the host name's.
fn may_stand(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
    } else {
        !(c.is_whitespace() || c.is_control())
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
    fn names_that_fusionpbx_accepts_are_refused() {
        assert_eq!(DomainName::parse("a b'c;drop<"), Err(DomainError::Character(' ')));
        assert_eq!(DomainName::parse(&"a.".repeat(156)), Err(DomainError::TooLong(312)));
        assert_eq!(DomainName::parse("a..b"), Err(DomainError::EmptyLabel));
        assert_eq!(DomainName::parse("a.example."), Err(DomainError::EmptyLabel));
        assert_eq!(DomainName::parse("-a.example"), Err(DomainError::Hyphen("-a".into())));
        assert_eq!(DomainName::parse(""), Err(DomainError::Empty));
        assert_eq!(DomainName::parse("http://acme.example"), Err(DomainError::Character(':')));
        assert_eq!(DomainName::parse("acme.example:"), Err(DomainError::Character(':')));
        for port in ["0", "65536", "05060", "999999999999999999999"] {
            assert!(
                matches!(DomainName::parse(&format!("acme.example:{port}")), Err(DomainError::Port(_))),
                "{port}"
            );
        }
        for address in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5060", "::1"] {
            assert_eq!(DomainName::parse(address), Err(DomainError::Ipv6), "{address}");
        }
        assert!(matches!(
            DomainName::parse(&format!("{}.x", "a".repeat(64))),
            Err(DomainError::LabelTooLong(_))
        ));
    }

    #[test]
    fn a_domain_is_taken_as_fusionpbx_has_it() {
        for (text, kept, why) in [
            ("10.0.0.5", "10.0.0.5", None),
            ("OldCaps.Example", "oldcaps.example", None),
            ("BÜCHER.example", "xn--bcher-kva.example", None),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example", None),
            ("under_score.example", "under_score.example", Some(Unresolvable::Underscore)),
            ("Host.example:5060", "host.example:5060", Some(Unresolvable::Port)),
            ("10.0.0.5:5060", "10.0.0.5:5060", Some(Unresolvable::Port)),
            ("10.0.0.500", "10.0.0.500", Some(Unresolvable::Numbers)),
        ] {
            let name = DomainName::parse(text).unwrap();
            assert_eq!(name.as_str(), kept);
            assert_eq!(name.unresolvable(), why, "{text}");
        }
    }

    #[test]
    fn the_nearest_name_is_one_that_is_taken() {
        for (text, near) in [
            ("trailing.", Some("trailing")),
            (" a b'c.example ", Some("a-b-c.example")),
            ("Two..Dots", Some("two.dots")),
            ("-x-.example", Some("x.example")),
            ("acme.example:99999", Some("acme.example")),
            ("2001:db8::1", None),
            ("...", None),
        ] {
            assert_eq!(DomainName::near(text).as_ref().map(DomainName::as_str), near, "{text}");
        }
    }

    #[test]
    fn no_message_contains_terminal_escapes() {
        for text in ["acme\u{0}", "\u{1b}[2Jacme", "Acme\u{1b}[2J", "\u{c4}cme\u{202e}", "a\u{a0}b"] {
            let message = DomainName::parse(text).unwrap_err().to_string();
            assert!(
                message.chars().all(|c| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric()),
                "{message:?}"
            );
        }
    }
}
