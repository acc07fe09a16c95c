//! Looks for a secret in whatever form a program may have written it.

use std::fmt::Write as _;

use aho_corasick::AhoCorasick;

/// What no one may read anywhere, in each form that it can be written in.
#[derive(Clone, Debug, Default)]
pub struct Finder {
    forms: Vec<(String, &'static str, Vec<u8>)>,
    /// Looks for all of them at once; created again when there are more.
    search: std::sync::OnceLock<AhoCorasick>,
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const OF_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The Base64 digits that do not depend on what stands before and after.
fn base64(bytes: &[u8], digits: &[u8; 64]) -> Vec<u8> {
    bytes
        .chunks_exact(3)
        .flat_map(|chunk| {
            let bits = u32::from_be_bytes([0, chunk[0], chunk[1], chunk[2]]);
            [18, 12, 6, 0].map(|shift| digits[(bits >> shift) as usize & 63])
        })
        .collect()
}

fn percent(text: &str, lower: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.write_char(char::from(byte))
            }
            _ if lower => write!(out, "%{byte:02x}"),
            _ => write!(out, "%{byte:02X}"),
        };
        out
    })
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        out
    })
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl Finder {
    pub fn new(secrets: &[(&str, &str)]) -> Self {
        let mut finder = Self::default();
        secrets.iter().for_each(|(name, secret)| finder.add(name, secret));
        finder
    }

    pub fn add(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 12, "`{secret}` would be found by chance");
        let json = serde_json::to_string(secret).unwrap().trim_matches('"').to_owned();
        let mut forms: Vec<(&'static str, Vec<u8>)> = vec![
            ("raw", secret.into()),
            ("JSON", json.clone().into()),
            ("JSON in JSON", serde_json::to_string(&json).unwrap().trim_matches('"').into()),
            ("JSON in ASCII", escaped(&json).into()),
            ("Debug", format!("{secret:?}").trim_matches('"').into()),
            ("a form", url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>().into()),
            ("a URL", percent(secret, false).into()),
            ("a URL in lower case", percent(secret, true).into()),
            ("HTML", secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()),
            (
                "HTML with quotes",
                secret
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&quot;")
                    .replace('\'', "&#039;")
                    .into(),
            ),
            ("hexadecimal digits", hex(secret.as_bytes()).into()),
            ("upper-case hexadecimal digits", hex(secret.as_bytes()).to_uppercase().into()),
        ];
        for skip in 0..3 {
            forms.push(("Base64", base64(&secret.as_bytes()[skip..], STANDARD)));
            forms.push(("Base64 of URLs", base64(&secret.as_bytes()[skip..], OF_URLS)));
        }
        self.forms.extend(forms.into_iter().map(|(form, bytes)| (name.to_owned(), form, bytes)));
        self.search.take();
    }

    /// For a secret of letters and digits, which every form but Base64 writes as they are.
    pub fn add_plain(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 12 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
        let known = |(_, form, bytes): &(String, &str, Vec<u8>)| *form == "raw" && bytes == secret.as_bytes();
        if !self.forms.iter().any(known) {
            self.forms.push((name.to_owned(), "raw", secret.into()));
            self.search.take();
        }
    }

    /// What is in there, and in which form.
    pub fn found(&self, bytes: &[u8]) -> Option<String> {
        let search = self.search.get_or_init(|| {
            AhoCorasick::new(self.forms.iter().map(|(_, _, bytes)| bytes)).expect("few enough forms")
        });
        search.find(bytes).map(|hit| {
            let (name, form, _) = &self.forms[hit.pattern()];
            format!("{name} as {form}")
        })
    }
}

#[test]
fn every_form_is_found_and_nothing_else_is() {
    let secret = "Canary \"7\"/é&<+%>'never";
    let finder = Finder::new(&[("the secret", secret)]);
    assert_eq!(finder.found(b"nothing here, Canary or not"), None);
    assert_eq!(finder.found(b""), None);
    let found = |text: &str| finder.found(format!("before {text} after").as_bytes());
    for text in [
        secret,
        r#"Canary \"7\"/é&<+%>'never"#,
        r#"Canary \"7\"/\u00e9&<+%>'never"#,
        r#"{\"a\":\"Canary \\\"7\\\"/é&<+%>'never\"}"#,
        "password=Canary+%227%22%2F%C3%A9%26%3C%2B%25%3E%27never&token=1",
        "Canary%20%227%22%2F%C3%A9%26%3C%2B%25%3E%27never",
        "Canary%20%227%22%2f%c3%a9%26%3c%2b%25%3e%27never",
        "<b>Canary \"7\"/é&amp;&lt;+%&gt;'never</b>",
        "Canary &quot;7&quot;/é&amp;&lt;+%&gt;&#039;never",
        &hex(secret.as_bytes()),
        &hex(secret.as_bytes()).to_uppercase(),
        // Basic authentication with names of every length before it.
        "dTpDYW5hcnkgIjciL8OpJjwrJT4nbmV2ZXI=",
        "dXM6Q2FuYXJ5ICI3Ii/DqSY8KyU+J25ldmVy",
        "dXNlOkNhbmFyeSAiNyIvw6kmPCslPiduZXZlcg==",
    ] {
        assert!(found(text).is_some(), "not found: {text}");
    }
    assert!(Finder::new(&[("a", secret), ("b", "another-one-1234")]).found(b"x another-one-1234").is_some());
}
