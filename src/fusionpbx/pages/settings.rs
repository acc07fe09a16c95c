use scraper::{ElementRef, Html};

use super::{
    FORM_LIST, FRM, OPTION, Parsed, Token, chosen, document, id_in, input, option_value, selectors, total,
    unexpected,
};
use crate::fusionpbx::PbxErrorKind;
use crate::model::{DomainId, PbxSetting, SettingId, SettingName};

selectors! {
    HEADING = "div.heading b#heading_sub";
    ROW = "tr.list-row";
    CELL = "td";
    ROW_ID = "input[type='hidden'][name$='[uuid]']";
    CHECKBOX = "input[type='checkbox'][class^='checkbox_']";
    ADD = "#btn_add";
    TOGGLE = "button[name='btn_toggle']";
    DELETE = "button[name='btn_delete']";
    CATEGORY = "[name='domain_setting_category']";
    SUBCATEGORY = "input[name='domain_setting_subcategory']";
    KIND = "select[name='domain_setting_name']";
    VALUE = "[name='domain_setting_value']";
    ORDER = "select[name='domain_setting_order']";
    ENABLED = "select[name='domain_setting_enabled']";
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
        const EXPECTED: &str = "the list of a domain's settings";
        let document = document(text);
        let form = document.select(&FORM_LIST).next().ok_or_else(|| unexpected(EXPECTED, text))?;
        let heading = document.select(&HEADING).next().ok_or_else(|| unexpected(EXPECTED, text))?;
        let total = total(&document).ok_or_else(|| unexpected(EXPECTED, text))?;
        let token = super::token(&document).ok_or_else(|| PbxErrorKind::UnexpectedPage {
            expected: EXPECTED,
            found: "a list that ends early".to_owned(),
        })?;
        let mut rows = Vec::new();
        for row in form.select(&ROW) {
            // Without the checkbox column there is no id to go by.
            let row = setting_row(row)
                .ok_or(PbxErrorKind::AccessDenied { permission: Some("domain_setting_edit") })?;
            rows.push(row);
        }
        if rows.len() != total {
            return Err(PbxErrorKind::Incomplete { expected: total, found: rows.len() });
        }
        let shown = |selector| (!rows.is_empty()).then(|| document.select(selector).next().is_some());
        Ok(Self {
            domain_name: heading.text().collect(),
            token,
            may_add: document.select(&ADD).next().is_some(),
            may_edit: shown(&TOGGLE),
            may_delete: shown(&DELETE),
            rows,
        })
    }
}

fn setting_row(row: ElementRef<'_>) -> Option<SettingRow> {
    let id = id_in(row, &ROW_ID)?;
    let category = row.select(&CHECKBOX).next()?.attr("class")?.strip_prefix("checkbox_")?;
    let cells: Vec<_> = row.select(&CELL).filter(|cell| cell.parent() == Some(*row)).collect();
    let text = |cell: &ElementRef<'_>| cell.text().collect::<String>();
    let [_, subcategory, kind, value, ..] = cells.as_slice() else { return None };
    let plain = value.children().all(|node| node.value().is_text());
    Some(SettingRow {
        id: SettingId(id),
        category: category.to_lowercase(),
        subcategory: text(subcategory).trim().to_owned(),
        kind: text(kind).trim().to_lowercase(),
        shown: plain.then(|| text(value).trim().to_owned()),
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
    pub enabled: bool,
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
        let form = document.select(&FRM).next().ok_or_else(|| unexpected(EXPECTED, text))?;
        let fields = || {
            let category = form.select(&CATEGORY).next()?;
            Some(Self {
                domain: id_in(form, &DOMAIN_ID).map(DomainId),
                id: id_in(form, &SETTING_ID).map(SettingId),
                name: SettingName {
                    // A select for an account that may use some categories only.
                    category: match category.value().name() {
                        "select" => chosen(category).unwrap_or_default(),
                        _ => category.attr("value").unwrap_or_default().to_owned(),
                    },
                    subcategory: input(form, &SUBCATEGORY)?.to_owned(),
                    kind: chosen(form.select(&KIND).next()?).unwrap_or_default(),
                },
                value: shown_value(form.select(&VALUE).next()?, text)?,
                order: chosen(form.select(&ORDER).next()?).and_then(|order| order.trim().parse().ok()),
                enabled: chosen(form.select(&ENABLED).next()?)?.as_str() == "true",
                description: {
                    let area = form.select(&DESCRIPTION).next()?;
                    match text_area(text, "domain_setting_description") {
                        Some(raw) => decoded(raw),
                        None => area.text().collect(),
                    }
                },
                token: super::token(&document)?,
            })
        };
        fields().ok_or_else(|| PbxErrorKind::UnexpectedPage {
            expected: EXPECTED,
            found: "a form without all of its fields".to_owned(),
        })
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
            enabled: self.enabled,
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
        _ => ShownValue::Exact(control.attr("value").unwrap_or_default().to_owned()),
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
