use scraper::ElementRef;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    FORM_LIST, FRM, Parsed, Token, chosen, describe, document, id_in, input, selectors, total, unexpected,
    word,
};
use crate::fusionpbx::PbxErrorKind;
use crate::model::{DomainId, PbxDomain};

selectors! {
    NAME = "input[name='domain_name']";
    ENABLED = "select[name='domain_enabled']";
    DESCRIPTION = "input[name='domain_description']";
    ID = "input[name='domain_uuid']";
    ROW = "tr.list-row";
    CELL = "td";
    ROW_ID = "input[type='hidden'][name$='[uuid]']";
    ROW_NAME = "input[data-item-name]";
    ADD = "#btn_add";
    TOGGLE = "#btn_toggle";
    DELETE = "#btn_delete";
}

/// A row of `domain_json.php`.
#[derive(Deserialize)]
struct JsonDomain {
    domain_uuid: Uuid,
    domain_name: Option<String>,
    domain_enabled: JsonBool,
    domain_description: Option<String>,
}

/// A boolean as PostgreSQL's driver gives it, or as its word.
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonBool {
    Bool(bool),
    Word(String),
}

/// The enabled domains, from `domain_json.php`.
pub fn enabled_domains(text: &str) -> Parsed<Vec<PbxDomain>> {
    const EXPECTED: &str = "a JSON list of domains";
    // Without the permission to see domains of others the page has no list and prints `null`.
    if text.trim() == "null" {
        return Err(PbxErrorKind::AccessDenied { permission: Some("domain_select") });
    }
    let rows: Vec<JsonDomain> = serde_json::from_str(text).map_err(|error| {
        let found = if error.is_eof() && !text.trim().is_empty() {
            "JSON that ends early".to_owned()
        } else {
            describe(text)
        };
        PbxErrorKind::UnexpectedPage { expected: EXPECTED, found }
    })?;
    let domains = rows
        .into_iter()
        .map(|row| PbxDomain {
            id: DomainId(row.domain_uuid),
            name: row.domain_name.unwrap_or_default(),
            enabled: Some(match row.domain_enabled {
                JsonBool::Bool(enabled) => enabled,
                JsonBool::Word(word) => matches!(word.as_str(), "true" | "t" | "1"),
            }),
            description: row.domain_description.unwrap_or_default(),
        })
        .collect();
    Ok(domains)
}

/// One row of the list of domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRow {
    pub id: DomainId,
    pub name: String,
    /// The translated word for enabled or disabled; empty where the column is NULL.
    pub enabled_word: String,
    pub description: String,
}

/// A page of `domains.php`.
#[derive(Debug)]
pub struct DomainPage {
    /// Of all pages.
    pub total: usize,
    pub rows: Vec<DomainRow>,
    pub token: Token,
    pub may_add: bool,
    /// `None` where the page has no row, and so no button that could tell.
    pub may_edit: Option<bool>,
    pub may_delete: Option<bool>,
}

impl DomainPage {
    /// A list that breaks off has no token, which stands at its end.
    pub fn parse(text: &str) -> Parsed<Self> {
        const EXPECTED: &str = "the list of domains";
        let document = document(text);
        let form = document.select(&FORM_LIST).next().ok_or_else(|| unexpected(EXPECTED, text))?;
        let total = total(&document).ok_or_else(|| unexpected(EXPECTED, text))?;
        let token = super::token(&document).ok_or_else(|| PbxErrorKind::UnexpectedPage {
            expected: EXPECTED,
            found: "a list that ends early".to_owned(),
        })?;
        let mut rows = Vec::new();
        for row in form.select(&ROW) {
            // Without the checkbox column there is no id to go by.
            let row =
                domain_row(row).ok_or(PbxErrorKind::AccessDenied { permission: Some("domain_edit") })?;
            rows.push(row);
        }
        let shown = |selector| (!rows.is_empty()).then(|| document.select(selector).next().is_some());
        Ok(Self {
            total,
            token,
            may_add: document.select(&ADD).next().is_some(),
            may_edit: shown(&TOGGLE),
            may_delete: shown(&DELETE),
            rows,
        })
    }
}

fn domain_row(row: ElementRef<'_>) -> Option<DomainRow> {
    let id = id_in(row, &ROW_ID)?;
    let name = row.select(&ROW_NAME).next()?.attr("data-item-name")?.to_owned();
    let cells: Vec<_> = row.select(&CELL).filter(|cell| cell.parent() == Some(*row)).collect();
    let at = cells.iter().position(|cell| cell.value().classes().any(|class| class == "description"))?;
    Some(DomainRow {
        id: DomainId(id),
        name,
        enabled_word: cells.get(at.checked_sub(1)?).map(|cell| word(*cell))?,
        description: cells[at].text().collect(),
    })
}

/// The form of `domain_edit.php`. For an id that is not there FusionPBX shows an empty form, not an error.
#[derive(Debug)]
pub struct DomainForm {
    /// Absent on the form that adds a domain under an id of FusionPBX's own making.
    pub id: Option<DomainId>,
    /// As stored but in lower case; empty where there is no such domain.
    pub name: String,
    /// What the form has chosen. It chooses `true` also where the column is NULL.
    pub enabled: bool,
    pub description: String,
    pub token: Token,
}

impl DomainForm {
    pub fn parse(text: &str) -> Parsed<Self> {
        const EXPECTED: &str = "the form of a domain";
        let document = document(text);
        let form = document.select(&FRM).next().ok_or_else(|| unexpected(EXPECTED, text))?;
        let fields = || {
            Some(Self {
                id: id_in(form, &ID).map(DomainId),
                name: input(form, &NAME)?.to_owned(),
                enabled: match chosen(form.select(&ENABLED).next()?)?.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return None,
                },
                description: input(form, &DESCRIPTION)?.to_owned(),
                token: super::token(&document)?,
            })
        };
        fields().ok_or_else(|| PbxErrorKind::UnexpectedPage {
            expected: EXPECTED,
            found: "a form without all of its fields".to_owned(),
        })
    }
}
