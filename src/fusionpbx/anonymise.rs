//! Replaces everything that may be private by text of the same shape.

use std::collections::HashMap;

use lol_html::html_content::{ContentType, Element, TextType};
use lol_html::{RewriteStrSettings, doc_comments, doc_text, element, rewrite_str};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Replaces texts, equal ones by equal ones. The replacements depend on a random key that is not kept.
pub(super) struct Anonymiser {
    key: [u8; 32],
    uuids: HashMap<Uuid, Uuid>,
}

/// Words that tenantd reads pages by and that tell nothing about anybody.
const KEPT: [&str; 14] = [
    "", "true", "false", "all", "asc", "desc", "on", "off", "array", "boolean", "name", "numeric", "text",
    "uuid",
];

/// Attributes whose values FusionPBX's source code sets.
const KEPT_ATTRIBUTES: [&str; 19] = [
    "name",
    "id",
    "class",
    "type",
    "method",
    "for",
    "align",
    "valign",
    "width",
    "colspan",
    "border",
    "cellpadding",
    "cellspacing",
    "maxlength",
    "selected",
    "checked",
    "required",
    "disabled",
    "enctype",
];

impl Anonymiser {
    pub fn new() -> Self {
        Self { key: rand::rng().random(), uuids: HashMap::new() }
    }

    /// A page or a JSON document, anonymised.
    pub fn page(&mut self, text: &str) -> String {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
            return self.json(None, value).to_string();
        }
        if !text.contains('<') {
            return if text.trim() == "access denied" { text.to_owned() } else { self.text(text) };
        }
        // A page that cannot be rewritten may hold private text.
        self.html(text).unwrap_or_else(|_| "<!-- not captured -->".to_owned())
    }

    fn json(&mut self, key: Option<&str>, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.value(key.unwrap_or_default(), &text)),
            Value::Array(rows) => rows.into_iter().map(|row| self.json(key, row)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| (name.clone(), self.json(Some(&name), value)))
                .collect(),
            Value::Number(_) => Value::Number(0.into()),
            kept => kept,
        }
    }

    fn html(&mut self, text: &str) -> Result<String, lol_html::errors::RewritingError> {
        let this = std::cell::RefCell::new(self);
        // A text may arrive in pieces and is replaced as a whole.
        let pending = std::cell::RefCell::new(String::new());
        let heading = std::cell::Cell::new(false);
        let settings = RewriteStrSettings::new()
            .append_element_content_handler(element!("*", |element| {
                let class = element.get_attribute("class").unwrap_or_default();
                let in_heading = class.split_whitespace().any(|class| class == "heading" || class == "count");
                heading.set(in_heading || (heading.get() && element.tag_name() == "b"));
                this.borrow_mut().element(element);
                Ok(())
            }))
            .append_document_content_handler(doc_comments!(|comment| {
                comment.remove();
                Ok(())
            }))
            .append_document_content_handler(doc_text!(|chunk| {
                pending.borrow_mut().push_str(chunk.as_str());
                if !chunk.last_in_text_node() {
                    chunk.remove();
                    return Ok(());
                }
                let whole = std::mem::take(&mut *pending.borrow_mut());
                let kept = match chunk.text_type() {
                    TextType::Data | TextType::RCData if heading.get() => {
                        this.borrow_mut().with_total(&whole)
                    }
                    TextType::Data | TextType::RCData => this.borrow_mut().text(&whole),
                    _ => String::new(),
                };
                chunk.replace(&kept, ContentType::Html);
                Ok(())
            }));
        rewrite_str(text, settings)
    }

    fn element(&mut self, element: &mut Element<'_, '_>) {
        let attributes: Vec<(String, String)> =
            element.attributes().iter().map(|attribute| (attribute.name(), attribute.value())).collect();
        let named = element.get_attribute("name").unwrap_or_default();
        for (name, value) in attributes {
            let replaced = match name.as_str() {
                "href" | "action" => Some(self.link(&value)),
                "value" => Some(self.value(&named, &value)),
                "src" if value.starts_with("data:image/") => Some("data:image/png;base64,".to_owned()),
                kept if KEPT_ATTRIBUTES.contains(&kept) => Some(self.named(&value)),
                scripted if scripted.starts_with("on") || scripted == "style" => None,
                _ => Some(self.text(&value)),
            };
            match replaced {
                Some(value) => {
                    let _ = element.set_attribute(&name, &escaped(&value));
                }
                None => element.remove_attribute(&name),
            }
        }
    }

    /// A name that FusionPBX chose. It may contain an id or a token.
    fn named(&mut self, text: &str) -> String {
        if is_token(text) {
            return self.hex(text);
        }
        self.other_uuid(text).unwrap_or_else(|| text.to_owned())
    }

    /// The value of a field with this name.
    fn value(&mut self, name: &str, text: &str) -> String {
        let is_order =
            name.ends_with("_order") && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
        let is_kind = KEPT.contains(&text.to_ascii_lowercase().as_str());
        if is_order || is_kind {
            return text.to_owned();
        }
        if is_token(text) {
            return self.hex(text);
        }
        self.other_uuid(text).unwrap_or_else(|| self.text(text))
    }

    /// A link. The page's file name and the names of the parameters are kept.
    fn link(&mut self, text: &str) -> String {
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let file = path.rsplit('/').next().filter(|file| file.ends_with(".php")).unwrap_or_default();
        let Some(query) = query else { return file.to_owned() };
        let parameters: Vec<String> = query
            .split('&')
            .map(|part| {
                let (key, value) = part.split_once('=').unwrap_or((part, ""));
                let column = key == "order_by" || key == "order" || key == "show";
                let kept = column || (key == "page" && value.bytes().all(|b| b.is_ascii_digit()));
                format!("{key}={}", if kept { value.to_owned() } else { self.value(key, value) })
            })
            .collect();
        format!("{file}?{}", parameters.join("&"))
    }

    /// Text with a total. The total is kept, whether it stands alone or in brackets at the end.
    fn with_total(&mut self, text: &str) -> String {
        let trimmed = text.trim();
        let is_number = |text: &str| {
            !text.is_empty()
                && text.len() < 12
                && text.chars().all(|c| c.is_ascii_digit() || ",.' ".contains(c))
        };
        if is_number(trimmed) {
            return text.to_owned();
        }
        match trimmed.strip_suffix(')').and_then(|text| text.rsplit_once('(')) {
            Some((title, total)) if is_number(total) => format!("{}({total})", self.text(title)),
            _ => self.text(text),
        }
    }

    /// Letters become other letters and digits other digits. Blanks, punctuation, character references and versions
    /// are kept.
    pub fn text(&mut self, text: &str) -> String {
        let trimmed = text.trim();
        if KEPT.contains(&trimmed.to_ascii_lowercase().as_str())
            || crate::model::PbxVersion::parse(trimmed).is_some()
        {
            return text.to_owned();
        }
        if let Some(replaced) = self.other_uuid(text) {
            return replaced;
        }
        // The trimmed text decides, so that a name is replaced alike with and without blanks around it.
        let mut random = Random::new(&self.key, trimmed);
        let mut rest = text;
        let mut replaced = String::with_capacity(text.len());
        while let Some(c) = rest.chars().next() {
            if let Some(reference) = character_reference(rest) {
                replaced.push_str(reference);
                rest = &rest[reference.len()..];
                continue;
            }
            replaced.push(random.like(c));
            rest = &rest[c.len_utf8()..];
        }
        replaced
    }

    /// Another uuid, if the text is one.
    fn other_uuid(&mut self, text: &str) -> Option<String> {
        let id = Uuid::try_parse(text.trim()).ok()?;
        let other = *self.uuids.entry(id).or_insert_with(Uuid::new_v4);
        Some(other.to_string())
    }

    fn hex(&self, text: &str) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update(text).finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn is_token(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn escaped(value: &str) -> String {
    value.replace('"', "&quot;")
}

fn character_reference(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('&')?;
    let end = inner.bytes().take(10).position(|b| b == b';')?;
    inner[..end].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#').then(|| &text[..end + 2])
}

/// Random letters and digits that depend only on a text and a key.
struct Random {
    state: [u8; 32],
    at: usize,
}

impl Random {
    fn new(key: &[u8; 32], text: &str) -> Self {
        Self { state: Sha256::new().chain_update(key).chain_update(text).finalize().into(), at: 0 }
    }

    fn next(&mut self) -> u8 {
        if self.at == self.state.len() {
            self.state = Sha256::digest(self.state).into();
            self.at = 0;
        }
        self.at += 1;
        self.state[self.at - 1]
    }

    fn like(&mut self, c: char) -> char {
        let letter = |first: u8, n: u8| char::from(first + n % 26);
        match c {
            'a'..='z' => letter(b'a', self.next()),
            'A'..='Z' => letter(b'A', self.next()),
            '0'..='9' => char::from(b'0' + self.next() % 10),
            c if c.is_ascii() => c,
            c if c.is_alphabetic() => letter(b'a', self.next()),
            _ => '.',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_private_is_kept_and_equal_texts_stay_equal() {
        let mut anonymiser = Anonymiser::new();
        let id = "6d5f5e4c-3b2a-4190-8f7e-6d5c4b3a2910";
        let page = anonymiser.page(&format!(
            "<html><!-- canary --><script>var x = 'canary';</script><div class='heading'><b>Canary (12)</b></div>\
             <form id='form_list'><tr class='list-row' href='domain_edit.php?id={id}'>\
             <td><input data-item-name='canary.example' value='{id}' name='domains[0][uuid]' onclick='canary()'></td>\
             <td><a href='domain_edit.php?id={id}&domain=canary' title='canary'>canary.example</a> +49 30 1234567</td>\
             </tr></form></html>"
        ));
        assert!(!page.to_lowercase().contains("canary"), "{page}");
        assert!(!page.contains(id) && !page.contains("1234567"), "{page}");
        assert!(page.contains("(12)") && page.contains("domain_edit.php?id="), "{page}");
        let names: Vec<&str> = page.matches(".").collect();
        assert!(names.len() > 2);
        let name = anonymiser.text("canary.example");
        assert_eq!(page.matches(&name).count(), 2, "{page}\n{name}");
    }

    #[test]
    fn json_keeps_its_keys_and_its_flags() {
        let mut anonymiser = Anonymiser::new();
        let text =
            anonymiser.page(r#"[{"domain_name":"canary.example","domain_enabled":"true","n":5,"b":false}]"#);
        assert!(text.contains("domain_name") && text.contains("\"true\"") && text.contains("false"));
        assert!(!text.contains("canary") && !text.contains('5'));
    }
}
