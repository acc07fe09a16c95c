//! The small rules of PHP and PostgreSQL that FusionPBX's behaviour rests on.

use std::net::{IpAddr, Ipv4Addr};

use uuid::Uuid;

/// PHP's `empty()` of a posted field: nothing, an empty string, or `0`.
pub fn is_empty(field: Option<&str>) -> bool {
    matches!(field, None | Some("" | "0"))
}

/// The characters that PHP's `trim` takes off both ends.
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\0', '\x0B'])
}

/// FusionPBX's `is_uuid`: the hyphenated form only, in either case.
pub fn uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// What PostgreSQL takes for a boolean; `Err` is its refusal, which FusionPBX swallows.
pub fn boolean(text: &str) -> Result<bool, NotTaken> {
    let text = text.trim().to_ascii_lowercase();
    let prefix_of = |word: &str| !text.is_empty() && word.starts_with(&text);
    match text.as_str() {
        "on" | "1" => Ok(true),
        "of" | "off" | "0" => Ok(false),
        _ if prefix_of("true") || prefix_of("yes") => Ok(true),
        _ if prefix_of("false") || prefix_of("no") => Ok(false),
        _ => Err(NotTaken),
    }
}

/// What PostgreSQL takes for a number. Decimals are dropped here, which it would keep.
pub fn number(text: &str) -> Result<i64, NotTaken> {
    let number: f64 = text.trim().parse().map_err(|_| NotTaken)?;
    // In range by the check before it.
    #[allow(clippy::cast_possible_truncation)]
    if number.abs() < 1e15 { Ok(number as i64) } else { Err(NotTaken) }
}

/// A value that the database refuses. FusionPBX answers as on success and saves nothing of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken;

/// SQL's `lower(text) like pattern`; `%` and `_` are wildcards, also when an operator meant the character.
pub fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut t, mut p, mut star, mut mark) = (0, 0, None, 0);
    while t < text.len() {
        if p < pattern.len() && (pattern[p] == '_' || (pattern[p] != '%' && pattern[p] == text[t])) {
            t += 1;
            p += 1;
        } else if p < pattern.len() && pattern[p] == '%' {
            star = Some(p);
            mark = t;
            p += 1;
        } else if let Some(from) = star {
            p = from + 1;
            mark += 1;
            t = mark;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

/// PHP's `number_format`: thousands set off by commas.
pub fn number_format(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    if number < 0 {
        out.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An entry that PHP cannot work with: the page dies with a fatal error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMask;

/// FusionPBX's `check_cidr` for one entry. It knows IPv4 only: what PHP's `ip2long` cannot read compares as 0,
/// so an IPv6 client is let in by `0.0.0.0/32`, and so is every IPv6 client by an entry that is no address.
pub fn cidr_matches(entry: &str, client: IpAddr) -> Result<bool, BadMask> {
    let mut parts = entry.splitn(3, '/');
    let subnet = ip2long(parts.next().unwrap_or_default());
    // An entry without a mask counts as /0 of nothing: PHP works with `32 - null`.
    let mask = match parts.next() {
        None => 0,
        Some(mask) => mask.trim().parse::<u32>().ok().filter(|mask| *mask <= 32).ok_or(BadMask)?,
    };
    let address = match client {
        IpAddr::V4(address) => i64::from(u32::from(address)),
        IpAddr::V6(_) => 0,
    };
    Ok((address & !((1_i64 << (32 - mask)) - 1)) == subnet)
}

/// Whether any entry of a list lets the client in. An empty list lets everybody in; entries after a match are
/// not checked.
pub fn cidr_list_matches(entries: &[String], client: IpAddr) -> Result<bool, BadMask> {
    for entry in entries {
        if cidr_matches(entry, client)? {
            return Ok(true);
        }
    }
    Ok(entries.is_empty())
}

fn ip2long(text: &str) -> i64 {
    text.parse::<Ipv4Addr>().map_or(0, |address| i64::from(u32::from(address)))
}

/// How up to 5.5.7 a stored text is written into a page: PHP's `htmlentities` with `ENT_HTML5`, which has a name for
/// every punctuation mark, for the letters of Latin-1 and even for the two letters `fj`.
pub fn html_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter == 'f' && rest.next_if_eq(&'j').is_some() {
            out.push_str("&fjlig;");
        } else if let Some((_, name)) = ENTITIES.iter().find(|(known, _)| *known == letter) {
            out.push('&');
            out.push_str(name);
            out.push(';');
        } else {
            out.push(letter);
        }
    }
    out
}

const ENTITIES: [(char, &str); 50] = [
    ('\t', "Tab"),
    ('\n', "NewLine"),
    ('!', "excl"),
    ('"', "quot"),
    ('#', "num"),
    ('$', "dollar"),
    ('%', "percnt"),
    ('&', "amp"),
    ('\'', "apos"),
    ('(', "lpar"),
    (')', "rpar"),
    ('*', "ast"),
    ('+', "plus"),
    (',', "comma"),
    ('.', "period"),
    ('/', "sol"),
    (':', "colon"),
    (';', "semi"),
    ('<', "lt"),
    ('=', "equals"),
    ('>', "gt"),
    ('?', "quest"),
    ('@', "commat"),
    ('[', "lbrack"),
    ('\\', "bsol"),
    (']', "rsqb"),
    ('^', "Hat"),
    ('_', "lowbar"),
    ('`', "grave"),
    ('{', "lbrace"),
    ('|', "vert"),
    ('}', "rcub"),
    ('\u{a0}', "nbsp"),
    ('Ä', "Auml"),
    ('Ö', "Ouml"),
    ('Ü', "Uuml"),
    ('ä', "auml"),
    ('ö', "ouml"),
    ('ü', "uuml"),
    ('ß', "szlig"),
    ('à', "agrave"),
    ('â', "acirc"),
    ('ç', "ccedil"),
    ('è', "egrave"),
    ('é', "eacute"),
    ('ê', "ecirc"),
    ('ñ', "ntilde"),
    ('ø', "oslash"),
    ('—', "mdash"),
    ('…', "mldr"),
];

/// PHP's `json_encode` with `JSON_HEX_TAG`, as FusionPBX's JSON pages come out: slashes escaped, everything
/// beyond ASCII as `\u`, angle brackets too.
pub fn json_string(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for unit in text.chars() {
        match unit {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            ' '..='~' => out.push(unit),
            _ => {
                for code in unit.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{code:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_blocks_every_sign_in_is_all_ones_not_all_zeroes() {
        let v4: IpAddr = "192.0.2.7".parse().unwrap();
        let v6: IpAddr = "2001:db8::7".parse().unwrap();
        assert_eq!(cidr_matches("0.0.0.0/32", v4), Ok(false));
        assert_eq!(cidr_matches("0.0.0.0/32", v6), Ok(true));
        assert_eq!(cidr_matches("255.255.255.255/32", v4), Ok(false));
        assert_eq!(cidr_matches("255.255.255.255/32", v6), Ok(false));
        assert_eq!(cidr_matches("192.0.2.0/24", v4), Ok(true));
        assert_eq!(cidr_matches("192.0.3.0/24", v4), Ok(false));
        assert_eq!(cidr_matches("0.0.0.0/0", v4), Ok(true));
        assert_eq!(cidr_matches("nonsense", v6), Ok(true));
        assert_eq!(cidr_matches("2001:db8::/48", v4), Err(BadMask));
    }

    #[test]
    fn like_knows_both_wildcards() {
        assert!(like("Acme.Example", "%acme%"));
        assert!(like("a-b", "a_b"));
        assert!(!like("acme", "b%"));
        assert!(like("", "%"));
    }

    #[test]
    fn thousands_are_set_off() {
        assert_eq!(number_format(0), "0");
        assert_eq!(number_format(999), "999");
        assert_eq!(number_format(10_000), "10,000");
        assert_eq!(number_format(1_234_567), "1,234,567");
    }

    #[test]
    fn booleans_are_taken_as_postgresql_takes_them() {
        assert_eq!(boolean("true"), Ok(true));
        assert_eq!(boolean("f"), Ok(false));
        assert_eq!(boolean("maybe"), Err(NotTaken));
        assert_eq!(boolean("o"), Err(NotTaken));
    }

    #[test]
    fn every_sign_has_a_name() {
        assert_eq!(html_entities("a-b.example:5060"), "a-b&period;example&colon;5060");
        assert_eq!(html_entities("<b> & 'x'"), "&lt;b&gt; &amp; &apos;x&apos;");
        assert_eq!(html_entities("Müller_fjord"), "M&uuml;ller&lowbar;&fjlig;ord");
    }

    #[test]
    fn json_is_escaped_as_php_does() {
        let mut out = String::new();
        json_string("<a/b> \u{f6} \u{1f600}", &mut out);
        assert_eq!(out, r#""\u003Ca\/b\u003E \u00f6 \ud83d\ude00""#);
    }
}
