//! The JSON list of domains, the list of domains and the form of a domain.

use scraper::Html;
use serde::Deserialize;
use uuid::Uuid;

use super::Parsed;
use super::answer::{describe, unexpected};
use super::html::{Flag, Token, document, edit_form, flag, id_in, input, label, selectors, token};
use super::list::{List, Row, not_understood, offers};
use crate::fusionpbx::PbxErrorKind;
use crate::model::{DomainId, PbxDomain};

selectors! {
    NAME = "input[name='domain_name']";
    ENABLED = "[name='domain_enabled']";
    DESCRIPTION = "input[name='domain_description']";
    ID = "input[name='domain_uuid']";
    ROW_NAME = "input[data-item-name]";
}

/// A row of `domain_json.php`.
#[derive(Deserialize)]
struct JsonDomain {
    domain_uuid: Uuid,
    domain_name: Option<String>,
    domain_enabled: JsonBool,
    domain_description: Option<String>,
}

/// A boolean as PostgreSQL's driver returns it, or as a word.
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonBool {
    Bool(bool),
    Word(String),
}

/// The enabled domains, from `domain_json.php`.
pub fn enabled_domains(text: &str) -> Parsed<Vec<PbxDomain>> {
    const EXPECTED: &str = "a JSON list of domains";
    // Without the permission to see all domains the page prints `null`.
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
    /// The translated label for enabled or disabled; empty if the column is NULL.
    pub enabled_label: String,
    pub description: String,
}

/// A page of `domains.php`.
#[derive(Debug)]
pub struct DomainPage {
    /// The number of rows of all pages.
    pub total: usize,
    pub rows: Vec<DomainRow>,
    pub token: Token,
    pub may_add: bool,
    /// `None` if the page has no rows: without rows it shows no button.
    pub may_edit: Option<bool>,
    pub may_delete: Option<bool>,
}

impl DomainPage {
    /// Reads the page. A list that breaks off is an error: its token stands at its end.
    pub fn parse(text: &str) -> Parsed<Self> {
        let document = document(text);
        let list = List::read(&document, text, "the list of domains", "domain_edit")?;
        let rows = list
            .rows
            .iter()
            .map(|row| domain_row(&list, row).map_err(|found| list.not_understood(found)))
            .collect::<Parsed<Vec<_>>>()?;
        let shown = |words| (!rows.is_empty()).then(|| offers(&document, words));
        Ok(Self {
            total: list.total,
            token: list.token.clone(),
            may_add: offers(&document, &["btn_add"]),
            may_edit: shown(&["btn_toggle", "modal-toggle"]),
            may_delete: shown(&["btn_delete", "modal-delete"]),
            rows,
        })
    }
}

/// A row. Its name is in the checkbox (since 5.5) and in the link to the form. Its state is in the column sorted by
/// `domain_enabled`, before the description.
fn domain_row(list: &List<'_>, row: &Row<'_>) -> Result<DomainRow, &'static str> {
    let in_box = row.element.select(&ROW_NAME).next().and_then(|field| field.attr("data-item-name"));
    let link = row.link("domain_edit.php");
    let name = match (in_box, &link) {
        (Some(in_box), Some((_, text))) if in_box.trim() != text.trim() => {
            return Err("a row with two names");
        }
        (Some(name), _) => name.to_owned(),
        (None, Some((_, text))) => text.trim().to_owned(),
        (None, None) => return Err("a row without a name"),
    };
    let described = row.position("description");
    let by_place = described.and_then(|at| at.checked_sub(1));
    let by_header = list.column("domain_enabled").filter(|at| *at < row.cells.len());
    let at = match (by_header, by_place) {
        (Some(header), Some(place)) if header != place => return Err("a row whose columns do not fit"),
        (header, place) => header.or(place).ok_or("a row without its state")?,
    };
    let description = described.or_else(|| (at + 1 < row.cells.len()).then_some(at + 1));
    let description = description.ok_or("a row without a description")?;
    Ok(DomainRow {
        id: DomainId(row.id),
        name,
        enabled_label: label(row.cells[at]),
        description: row.cells[description].text().collect(),
    })
}

/// The form of `domain_edit.php`. For an id that does not exist FusionPBX shows an empty form, not an error.
#[derive(Debug)]
pub struct DomainForm {
    /// Absent on the form that adds a domain under an id chosen by FusionPBX.
    pub id: Option<DomainId>,
    /// As stored but in lower case; empty if the domain does not exist.
    pub name: String,
    /// As the form shows it. For NULL a select shows `true`, and a checkbox `false`.
    pub enabled: Flag,
    pub description: String,
    pub token: Token,
}

impl DomainForm {
    pub fn parse(text: &str) -> Parsed<Self> {
        const EXPECTED: &str = "the form of a domain";
        let document: Html = document(text);
        let form = edit_form(&document, &NAME).ok_or_else(|| unexpected(EXPECTED, text))?;
        let missing = |found| not_understood(EXPECTED, found);
        Ok(Self {
            id: id_in(form, &ID).map(DomainId),
            name: input(form, &NAME).ok_or_else(|| missing("a form without a name"))?.to_owned(),
            enabled: flag(form, &ENABLED)
                .ok_or_else(|| missing("a form that does not show whether the domain is enabled"))?,
            description: input(form, &DESCRIPTION)
                .ok_or_else(|| missing("a form without a description"))?
                .to_owned(),
            token: token(&document).ok_or_else(|| missing("a form that ends early"))?,
        })
    }
}
