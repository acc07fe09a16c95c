//! The list of a domain's settings and the form of a setting.

use scraper::{ElementRef, Html};

use super::Parsed;
use super::answer::unexpected;
use super::html::{
    Flag, OPTION, Token, chosen, document, edit_form, flag, id_in, input, option_value, selectors, token,
};
use super::list::{List, Row, not_understood, offers};
use crate::fusionpbx::PbxErrorKind;
use crate::model::{DomainId, PbxSetting, SettingId, SettingName};

selectors! {
    CHECKBOX = "input[type='checkbox'][class^='checkbox_']";
    CATEGORY = "[name='domain_setting_category']";
    SUBCATEGORY = "input[name='domain_setting_subcategory']";
    KIND = "select[name='domain_setting_name']";
    VALUE = "[name='domain_setting_value']";
    ORDER = "select[name='domain_setting_order']";
    ENABLED = "[name='domain_setting_enabled']";
    DESCRIPTION = "textarea[name='domain_setting_description']";
    DOMAIN_ID = "input[name='domain_uuid']";
    SETTING_ID = "input[name='domain_setting_uuid']";
}

/// One row of a domain's list of settings: enough to know which setting it is, but not its exact value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    pub id: SettingId,
    /// In lower case, whatever is stored.
    pub category: String,
    pub subcategory: String,
    /// In lower case. FusionPBX shows a type that it does not know as `array`.
    pub kind: String,
    /// The text of the value cell, if it holds nothing but text. It is the exact value, unless it is translated or masked
    /// by stars.
    pub shown: Option<String>,
}

impl SettingRow {
    /// Whether the row may be this setting. The type `array` may stand for an unknown one.
    pub fn may_be(&self, name: &SettingName) -> bool {
        self.category == name.category.to_lowercase()
            && self.subcategory.to_lowercase() == name.subcategory.to_lowercase()
            && (self.kind == name.kind.to_lowercase() || self.kind == "array")
    }
}

/// The page `domain_settings.php`. It shows all rows at once.
#[derive(Debug)]
pub struct SettingList {
    /// Empty if the domain does not exist.
    pub domain_name: String,
    pub rows: Vec<SettingRow>,
    pub token: Token,
    pub may_add: bool,
    /// `None` if there is no row: without rows the page shows no button.
    pub may_edit: Option<bool>,
    pub may_delete: Option<bool>,
}

impl SettingList {
    pub fn parse(text: &str) -> Parsed<Self> {
        let document = document(text);
        let list = List::read(&document, text, "the list of a domain's settings", "domain_setting_edit")?;
        let rows = list
            .rows
            .iter()
            .map(|row| setting_row(&list, row).map_err(|found| list.not_understood(found)))
            .collect::<Parsed<Vec<_>>>()?;
        if rows.len() != list.total {
            return Err(PbxErrorKind::Incomplete { expected: list.total, found: rows.len() });
        }
        let shown = |words| (!rows.is_empty()).then(|| offers(&document, words));
        Ok(Self {
            domain_name: list.heading.clone(),
            token: list.token.clone(),
            may_add: offers(&document, &["btn_add"]),
            may_edit: shown(&["btn_toggle", "modal-toggle"]),
            may_delete: shown(&["btn_delete", "modal-delete"]),
            rows,
        })
    }
}

/// A row. Its category is in the class of its checkbox. The other columns are found by what they are sorted by, and the
/// first of them by the link to the form.
fn setting_row(list: &List<'_>, row: &Row<'_>) -> Result<SettingRow, &'static str> {
    let category = row
        .element
        .select(&CHECKBOX)
        .find_map(|field| {
            field.attr("class")?.split_whitespace().find_map(|class| class.strip_prefix("checkbox_"))
        })
        .ok_or("a row without a category")?;
    let fits = |at: &usize| *at < row.cells.len();
    let by_header = list.column("domain_setting_subcategory").filter(fits);
    let (link, linked) = row.link("domain_setting_edit.php").unzip();
    let at = match (link, by_header) {
        (Some(link), Some(header)) if link != header => return Err("a row whose columns do not fit"),
        (link, header) => link.or(header).unwrap_or(1),
    };
    let kind_at = list.column("domain_setting_name").filter(fits).unwrap_or(at + 1);
    let value_at = list.column("domain_setting_value").filter(fits).unwrap_or(at + 2);
    let value = row.cells.get(value_at).ok_or("a row without a value")?;
    let plain = value.children().all(|node| node.value().is_text());
    Ok(SettingRow {
        id: SettingId(row.id),
        category: category.to_lowercase(),
        subcategory: match linked {
            Some(text) => text.trim().to_owned(),
            None => row.text(at).ok_or("a row without a subcategory")?,
        },
        kind: row.text(kind_at).ok_or("a row without a type")?.to_lowercase(),
        shown: plain.then(|| value.text().collect::<String>().trim().to_owned()),
    })
}

/// The form of `domain_setting_edit.php`. It is empty if the domain has no setting with this id.
#[derive(Debug)]
pub struct SettingForm {
    pub domain: Option<DomainId>,
    pub id: Option<SettingId>,
    pub name: SettingName,
    value: ShownValue,
    pub order: Option<i32>,
    pub enabled: Flag,
    pub description: String,
    pub token: Token,
}

/// A value as the form shows it, with what is needed to find the stored one.
#[derive(Debug, PartialEq, Eq)]
enum ShownValue {
    Exact(String),
    /// From a text area, which FusionPBX prints unescaped. If a version escapes it, `decoded` is the value.
    TextArea {
        raw: String,
        decoded: String,
    },
    /// A select without a selected option: the stored value is its first option, or one that it does not offer.
    NoneSelected {
        first: String,
        offered: Vec<String>,
    },
}

impl SettingForm {
    pub fn parse(text: &str) -> Parsed<Self> {
        const EXPECTED: &str = "the form of a setting";
        let document = document(text);
        let form = edit_form(&document, &SUBCATEGORY).ok_or_else(|| unexpected(EXPECTED, text))?;
        let missing = |found| not_understood(EXPECTED, found);
        let category = form.select(&CATEGORY).next().ok_or_else(|| missing("a form without a category"))?;
        let kind = form.select(&KIND).next().ok_or_else(|| missing("a form without a type"))?;
        let value = form.select(&VALUE).next().and_then(|value| shown_value(value, text));
        let order = form.select(&ORDER).next().ok_or_else(|| missing("a form without an order"))?;
        let description = form.select(&DESCRIPTION).next();
        let description = description.ok_or_else(|| missing("a form without a description"))?;
        Ok(Self {
            domain: id_in(form, &DOMAIN_ID).map(DomainId),
            id: id_in(form, &SETTING_ID).map(SettingId),
            name: SettingName {
                // A select, if the account may use only some categories.
                category: match category.value().name() {
                    "select" => chosen(category).unwrap_or_default(),
                    _ => {
                        category.attr("value").ok_or_else(|| missing("a form without a category"))?.to_owned()
                    }
                },
                subcategory: input(form, &SUBCATEGORY)
                    .ok_or_else(|| missing("a form without a subcategory"))?
                    .to_owned(),
                kind: chosen(kind).unwrap_or_default(),
            },
            value: value.ok_or_else(|| missing("a form without a value"))?,
            order: chosen(order).and_then(|order| order.trim().parse().ok()),
            enabled: flag(form, &ENABLED)
                .ok_or_else(|| missing("a form that does not show whether the setting is enabled"))?,
            description: match text_area(text, "domain_setting_description") {
                Some(raw) => decoded(raw),
                None => description.text().collect(),
            },
            token: token(&document).ok_or_else(|| missing("a form that ends early"))?,
        })
    }

    /// The value as the form shows it, for comparison.
    #[cfg(test)]
    pub(super) fn value(&self) -> String {
        format!("{:?}", self.value)
    }

    /// Whether the domain has no such setting.
    pub fn is_empty(&self) -> bool {
        self.name.category.is_empty() && self.name.subcategory.is_empty() && self.name.kind.is_empty()
    }

    /// The setting with its exact values. `row` is the same setting as the list shows it, and decides where the form alone
    /// does not.
    pub fn into_setting(self, row: &SettingRow) -> PbxSetting {
        let shown = row.shown.as_deref();
        let value = match self.value {
            ShownValue::Exact(value) => value,
            ShownValue::TextArea { raw, decoded } => {
                if raw != decoded && shown == Some(decoded.trim()) && shown != Some(raw.trim()) {
                    decoded
                } else {
                    raw
                }
            }
            ShownValue::NoneSelected { first, offered } => match shown {
                Some(shown)
                    if !shown.is_empty()
                        && !shown.chars().all(|c| c == '*')
                        && !offered.iter().any(|offer| offer.eq_ignore_ascii_case(shown)) =>
                {
                    shown.to_owned()
                }
                _ => first,
            },
        };
        PbxSetting {
            id: row.id,
            name: self.name,
            value,
            order: self.order,
            enabled: self.enabled.value,
            description: self.description,
        }
    }
}

fn shown_value(control: ElementRef<'_>, text: &str) -> Option<ShownValue> {
    let value = match control.value().name() {
        "select" => match chosen(control) {
            Some(value) => ShownValue::Exact(value),
            None => ShownValue::NoneSelected {
                first: control.select(&OPTION).next().map(option_value).unwrap_or_default(),
                offered: control
                    .select(&OPTION)
                    .flat_map(|option| [option_value(option), option.text().collect::<String>()])
                    .collect(),
            },
        },
        "textarea" => {
            let raw = text_area(text, "domain_setting_value")?;
            ShownValue::TextArea { raw: raw.to_owned(), decoded: decoded(raw) }
        }
        _ => ShownValue::Exact(control.attr("value")?.to_owned()),
    };
    Some(value)
}

/// The unparsed text between the tags of a text area.
fn text_area<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let [single, double] = [format!("name='{name}'"), format!("name=\"{name}\"")];
    let mut rest = text;
    loop {
        let (_, from) = rest.split_once("<textarea")?;
        let (tag, body) = from.split_once('>')?;
        if tag.contains(&single) || tag.contains(&double) {
            return body.split_once("</textarea>").map(|(body, _)| body);
        }
        rest = body;
    }
}

/// Resolves character references. A leading newline is kept; a text area would drop it.
fn decoded(raw: &str) -> String {
    if !raw.contains(['&', '<', '\0']) {
        return raw.to_owned();
    }
    let source = raw.replace('\r', "&#13;").replace('<', "&lt;");
    let fragment = Html::parse_fragment(&format!("<div>{source}</div>"));
    fragment.root_element().text().collect()
}
