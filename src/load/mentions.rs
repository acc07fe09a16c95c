//! What an ignored file's text says of tenants: the domains that it names. Read leniently, as the file may be broken,
//! commented out, or several files in one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;

use crate::model::{DomainName, Mentions};
use crate::yaml::{Limits, Source, Value, parse};

/// How much of one ignored file is checked: no tenant's file is larger.
const MAX_BYTES: usize = 1 << 20;
/// How much of all of them together, and how many.
const MAX_TOTAL_BYTES: usize = 32 << 20;
const MAX_FILES: usize = 10_000;
/// How many domains of one file are noted.
const MAX_DOMAINS: usize = 10_000;

/// Endings of what cannot be looked into. A plain tar file can.
const SEALED: [&str; 17] = [
    ".7z", ".age", ".asc", ".br", ".bundle", ".bz2", ".enc", ".gpg", ".gz", ".lz4", ".lzma", ".rar", ".tgz",
    ".xz", ".zip", ".zst", ".cpgz",
];
/// How such a file begins, whatever it is called.
const MAGIC: [&[u8]; 7] = [
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"\xfd7zXZ",
    b"BZh",
    b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf",
    b"-----BEGIN PGP MESSAGE",
];

/// Why nothing is known of what is in such a file.
pub(super) const PACKED: &str = "is packed or encrypted, so tenantd cannot read it";

/// What is left of what may be read.
pub(super) struct Budget {
    bytes: usize,
    files: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_TOTAL_BYTES, files: MAX_FILES }
    }
}

/// Looks into a file that is no tenant's.
pub(super) fn of_file(name: &str, file: Option<File>, budget: &mut Budget) -> Mentions {
    let opaque = |why: &str| Mentions { opaque: Some(why.to_owned()), ..Mentions::default() };
    if budget.files == 0 || budget.bytes == 0 {
        return opaque("is one of too many files to read");
    }
    budget.files -= 1;
    let mut bytes = Vec::new();
    let read = file.map(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    if !matches!(read, Some(Ok(_))) {
        return opaque("cannot be read");
    }
    budget.bytes = budget.bytes.saturating_sub(bytes.len());
    let is_too_large = bytes.len() > MAX_BYTES;
    let mut traces = of_bytes(name, &bytes);
    if is_too_large && traces.opaque.is_none() {
        traces.opaque = Some("is too large to be read".to_owned());
    }
    traces
}

/// The same of bytes in memory.
pub(super) fn of_bytes(name: &str, bytes: &[u8]) -> Mentions {
    let lower = name.to_lowercase();
    if SEALED.iter().any(|ending| lower.ends_with(ending))
        || MAGIC.iter().any(|magic| bytes.starts_with(magic))
    {
        return Mentions { opaque: Some(PACKED.to_owned()), ..Mentions::default() };
    }
    // UTF-16 of plain letters is their bytes and zeros.
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let bytes: Vec<u8> = bytes
        .iter()
        .filter(|byte| !wide || **byte != 0)
        .map(|byte| if *byte == 0 { b'\n' } else { *byte })
        .collect();
    let text = String::from_utf8_lossy(&bytes);
    let domains: BTreeSet<String> = values(&text, "domain")
        .take(MAX_DOMAINS)
        .filter_map(|value| DomainName::parse(&value.to_lowercase()).ok())
        .map(|domain| domain.as_str().to_owned())
        .collect();
    let reads_as_tenant = !domains.is_empty() && values(&text, "pbx_instance").next().is_some();
    let is_tenant_file = !domains.is_empty() && has_name_and_domain(name, &bytes);
    Mentions { domains, reads_as_tenant, is_tenant_file, opaque: None }
}

/// Whether the text is a mapping that has both, whatever else is wrong with it.
fn has_name_and_domain(name: &str, bytes: &[u8]) -> bool {
    let Ok(source) = Source::decode(name, bytes, Limits::TENANT.bytes) else { return false };
    let Some(Value::Mapping(entries)) = parse(&source, Limits::TENANT).root.map(|root| root.value) else {
        return false;
    };
    ["name", "domain"].iter().all(|key| entries.iter().any(|entry| entry.key == *key))
}

/// What stands behind `key:`, quoted or not, wherever it is.
fn values<'t>(text: &'t str, key: &'static str) -> impl Iterator<Item = &'t str> {
    text.match_indices(key).filter_map(move |(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        if text[..at].ends_with(is_part) {
            return None;
        }
        let rest = text[at + key.len()..].trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
        let value = rest.strip_prefix(':')?.trim_start_matches([' ', '\t', '"', '\'']);
        let end = value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '}' | '#'));
        Some(&value[..end.unwrap_or(value.len())]).filter(|value| !value.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(text: &str) -> Vec<String> {
        of_bytes("x", text.as_bytes()).domains.into_iter().collect()
    }

    #[test]
    fn a_domain_is_found_in_whatever_became_of_a_file() {
        for text in [
            "name: A\ndomain: acme.example.com\n",
            "# domain: acme.example.com # off\n",
            "{\"name\": \"A\", \"domain\" : \"acme.example.com\"}",
            "domain:\tAcme.Example.com\r\nname: [",
            "\0\0garbage\0domain: 'acme.example.com'\0",
        ] {
            assert_eq!(domains(text), ["acme.example.com"], "{text}");
        }
        let wide: Vec<u8> =
            "\u{feff}domain: acme.example.com\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(of_bytes("x", &wide).domains.len(), 1);
        assert_eq!(domains("pbx_settings:\n  domain.time_zone.name: a.b\n  subdomain: x.y\n"), [""; 0]);
        assert_eq!(domains("domain: a.example\n---\ndomain: b.example\n"), ["a.example", "b.example"]);
    }

    #[test]
    fn a_packed_file_is_opaque_under_any_name() {
        assert!(of_bytes("a.tar.gz", b"").opaque.is_some());
        assert!(of_bytes("notes", b"\x1f\x8b\x08").opaque.is_some());
        assert!(of_bytes("notes.txt", b"nothing").opaque.is_none());
    }
}
