//! `pbx_settings`: the FusionPBX settings that a tenant's file owns.

use std::collections::BTreeMap;

use crate::model::SettingName;
use crate::yaml::{Field, Finding, Reader, Reading, Source, Style, Value, quoted};

/// Reads the settings; a value that looks like a secret is masked in the source.
pub(super) fn read(
    reader: &mut Reader,
    field: &Field<'_>,
    source: &mut Source,
) -> BTreeMap<SettingName, String> {
    let mut settings = BTreeMap::new();
    for (key, _, field) in reader.each(field, "FusionPBX settings, `category.subcategory.type: value`") {
        let name = setting_name(reader, key, &field);
        let Some(value) = setting_value(reader, &field) else { continue };
        let Some(name) = name else { continue };
        if looks_secret(&name) {
            source.mask([field.node.span]);
            reader.report(
                Finding::error(field.key_span, format!("`{name}` is a secret, judging by its name"))
                    .expected("no secret in a file under version control or in tenantd's database")
                    .help("set it on the PBX, and delete the line"),
            );
            continue;
        }
        settings.insert(name, value);
    }
    settings
}

fn setting_name(reader: &mut Reader, key: &str, field: &Field<'_>) -> Option<SettingName> {
    let finding = match SettingName::parse(key) {
        Ok(name) => {
            let instead = match (name.category.as_str(), name.subcategory.as_str()) {
                ("domain", "cidr") => "use `enabled: false` to disable the tenant",
                ("limit", "users") => "use `max_users`",
                _ => return Some(name),
            };
            Finding::error(field.key_span, format!("tenantd manages the setting {} itself", quoted(key)))
                .expected("other settings only")
                .help(format!("delete the line and {instead}"))
        }
        Err(error) => Finding::error(field.key_span, format!("{} is not the name of a setting", quoted(key)))
            .expected("`category.subcategory.type`, such as `domain.time_zone.name`")
            .help(error.to_string()),
    };
    reader.report(finding);
    None
}

/// A setting's value as FusionPBX stores it: the very text of the file.
fn setting_value(reader: &mut Reader, field: &Field<'_>) -> Option<String> {
    const EXPECTED: &str = "a text, a number, `true` or `false`";
    if let Value::Scalar { text, style: Style::Plain } = &field.node.value
        && Reading::of(text).is_some_and(Reading::is_unambiguous)
    {
        return Some(text.clone());
    }
    let text = reader.text(field, EXPECTED)?;
    // FusionPBX cuts them off when it stores the value, which would then never be what the file says.
    let trimmed = text.text.trim_matches([' ', '\t', '\n', '\r', '\0', '\x0B']);
    if trimmed.len() != text.text.len() {
        let blank =
            if text.text.ends_with('\n') { "ends with a line break" } else { "begins or ends with a blank" };
        reader.report(
            Finding::error(text.span, format!("the value of {} {blank}", quoted(field.key)))
                .expected("a value without blanks at its ends, as FusionPBX stores it")
                .help("delete them; after a `|`, write `|-`"),
        );
        return None;
    }
    reader.visible(text, "pbx_settings", &['\n', '\t']).then(|| text.text.to_owned())
}

pub(super) fn looks_secret(name: &SettingName) -> bool {
    let sub = name.subcategory.as_str();
    // `password_length` and the like describe passwords and are not secrets.
    !matches!(name.kind.as_str(), "numeric" | "boolean")
        && ["password", "passwd", "secret", "token", "api_key", "apikey", "private_key"]
            .iter()
            .any(|word| sub == *word || sub.ends_with(&format!("_{word}")))
}
