use scraper::{ElementRef, Html};

use super::list::{List, Row, not_understood, offers};
use super::{
    Flag, OPTION, Parsed, Token, chosen, document, edit_form, flag, id_in, input, option_value, selectors,
    unexpected,
};
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

/// One row of a domain's list of settings: enough to know which setting it is, not what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    pub id: SettingId,
    /// In lower case, whatever is stored.
    pub category: String,
    pub subcategory: String,
    /// In lower case. FusionPBX shows a type that it does not know as `array`.
    pub kind: String,
    /// The value cell where it holds nothing but text. It is the value itself, unless it is a translated word or
    /// a row of stars.
    pub shown: Option<String>,
}

impl SettingRow {
    /// Whether the row may be the named setting: the shown type `array` may stand for an unknown one.
    pub fn may_be(&self, name: &SettingName) -> bool {
        self.category == name.category.to_lowercase()
            && self.subcategory.to_lowercase() == name.subcategory.to_lowercase()
            && (self.kind == name.kind.to_lowercase() || self.kind == "array")
    }
}

/// The page `domain_settings.php`. It has no pages: all rows stand on one.
#[derive(Debug)]
pub struct SettingList {
    /// Empty where there is no such domain.
    pub domain_name: String,
    pub rows: Vec<SettingRow>,
    pub token: Token,
    pub may_add: bool,
    /// `None` where there is no row, and so no button that could tell.
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

/// A row. Its category stands in the class of its checkbox; the other columns are found by what they are sorted by, and
/// the first of them by the link to the form.
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

/// The form of `domain_setting_edit.php`. For an id that is not there, or is another domain's, it is empty.
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

/// A value as the form gives it, with what is needed to tell whether it is the stored one.
#[derive(Debug, PartialEq, Eq)]
enum ShownValue {
    Exact(String),
    /// From a text area, which FusionPBX prints without escaping; a version that escapes would mean `decoded`.
    TextArea {
        raw: String,
        decoded: String,
    },
    /// A select in which nothing is chosen: the stored value is its first option, or one that it does not offer.
    NoneChosen {
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
                // A select for an account that may use some categories only.
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
                .ok_or_else(|| missing("a form that does not say whether it is enabled"))?,
            description: match text_area(text, "domain_setting_description") {
                Some(raw) => decoded(raw),
                None => description.text().collect(),
            },
            token: super::token(&document).ok_or_else(|| missing("a form that ends early"))?,
        })
    }

    /// The value as the form shows it, in a form that can be compared.
    #[cfg(test)]
    pub(super) fn value(&self) -> String {
        format!("{:?}", self.value)
    }

    /// Whether there is such a setting in this domain.
    pub fn is_empty(&self) -> bool {
        self.name.category.is_empty() && self.name.subcategory.is_empty() && self.name.kind.is_empty()
    }

    /// The setting with its exact values; `row` is how the list shows it, which settles what the form leaves open.
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
            ShownValue::NoneChosen { first, offered } => match shown {
                Some(shown)
                    if !shown.is_empty()
                        && !shown.chars().all(|c| c == '*')
                        && !offered.iter().any(|word| word.eq_ignore_ascii_case(shown)) =>
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
            None => ShownValue::NoneChosen {
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

/// The source text between the tags of a text area.
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

/// Resolves character references, keeping a leading newline, which a text area would swallow.
fn decoded(raw: &str) -> String {
    if !raw.contains(['&', '<', '\0']) {
        return raw.to_owned();
    }
    let source = raw.replace('\r', "&#13;").replace('<', "&lt;");
    let fragment = Html::parse_fragment(&format!("<div>{source}</div>"));
    fragment.root_element().text().collect()
}
