use scraper::ElementRef;
use serde::Deserialize;
use url::form_urlencoded;
use uuid::Uuid;

use super::{FORM_LIST, Parsed, describe, document, id_in, selectors, total, unexpected, word};
use crate::fusionpbx::PbxErrorKind;
use crate::model::{DomainId, PbxUser};

selectors! {
    ROW = "tr.list-row";
    CELL = "td";
    ROW_ID = "input[type='hidden'][name$='[uuid]']";
    ALL_DOMAINS = "form#form_search input[name='show'][value='all']";
    LINK = "a";
}

#[derive(Deserialize)]
struct JsonUser {
    domain_name: Option<String>,
    domain_uuid: Option<Uuid>,
    user_uuid: Uuid,
    username: Option<String>,
    group_names: Option<String>,
    user_enabled: Option<String>,
}

/// The users of `user_json.php`: at most 300, without saying so.
pub fn json_users(text: &str) -> Parsed<Vec<PbxUser>> {
    let rows: Vec<JsonUser> = serde_json::from_str(text).map_err(|error| {
        let found = if error.is_eof() && !text.trim().is_empty() {
            "JSON that ends early".to_owned()
        } else {
            describe(text)
        };
        PbxErrorKind::UnexpectedPage { expected: "a JSON list of users", found }
    })?;
    let users = rows
        .into_iter()
        .map(|row| PbxUser {
            id: row.user_uuid,
            domain: DomainId(row.domain_uuid.unwrap_or_default()),
            domain_name: row.domain_name.unwrap_or_default(),
            username: row.username.unwrap_or_default(),
            email: None,
            groups: groups(row.group_names.as_deref().unwrap_or_default()),
            // FusionPBX lets a user sign in whose column is NULL.
            enabled: row.user_enabled.as_deref() != Some("false"),
        })
        .collect();
    Ok(users)
}

fn groups(names: &str) -> Vec<String> {
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// One row of the list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub id: Uuid,
    /// Absent for users of the domain that the session works in.
    pub domain: Option<DomainId>,
    /// From a list that the session made at its sign-in: empty for a younger domain.
    pub domain_name: String,
    pub username: String,
    pub groups: Vec<String>,
    /// The translated word for enabled or disabled; empty where the column is NULL.
    pub enabled_word: String,
}

/// A page of `users.php?show=all`.
#[derive(Debug)]
pub struct UserPage {
    /// Of all pages.
    pub total: usize,
    pub rows: Vec<UserRow>,
    /// Whether the list is of all domains, as asked, and not of the session's own.
    pub all_domains: bool,
}

impl UserPage {
    pub fn parse(text: &str) -> Parsed<Self> {
        const EXPECTED: &str = "the list of users";
        let document = document(text);
        let form = document.select(&FORM_LIST).next().ok_or_else(|| unexpected(EXPECTED, text))?;
        let total = total(&document).ok_or_else(|| unexpected(EXPECTED, text))?;
        super::token(&document).ok_or_else(|| PbxErrorKind::UnexpectedPage {
            expected: EXPECTED,
            found: "a list that ends early".to_owned(),
        })?;
        // The page repeats `show` in its search only where the account may use it.
        let all_domains = document.select(&ALL_DOMAINS).next().is_some();
        let mut rows = Vec::new();
        for row in form.select(&ROW) {
            // Without the checkbox column there is no id to go by.
            let row = user_row(row, all_domains)
                .ok_or(PbxErrorKind::AccessDenied { permission: Some("user_edit") })?;
            rows.push(row);
        }
        Ok(Self { total, rows, all_domains })
    }
}

fn user_row(row: ElementRef<'_>, all_domains: bool) -> Option<UserRow> {
    let id = id_in(row, &ROW_ID)?;
    let cells: Vec<_> = row.select(&CELL).filter(|cell| cell.parent() == Some(*row)).collect();
    let text = |cell: Option<&ElementRef<'_>>| {
        cell.map(|cell| cell.text().collect::<String>().trim().to_owned()).unwrap_or_default()
    };
    let first = usize::from(all_domains);
    let link = row.select(&LINK).find_map(|link| link.attr("href")).or_else(|| row.attr("href"));
    let domain = link.and_then(|link| {
        let (_, query) = link.split_once('?')?;
        let (_, id) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "domain_uuid")?;
        Uuid::try_parse(&id).ok()
    });
    let enabled = cells.iter().skip(first + 3).rfind(|cell| cell.value().classes().any(|c| c == "center"));
    Some(UserRow {
        id,
        domain: domain.map(DomainId),
        domain_name: if all_domains { text(cells.get(1)) } else { String::new() },
        username: text(cells.get(first + 1)),
        groups: groups(&text(cells.get(first + 2))),
        enabled_word: enabled.map(|cell| word(*cell)).unwrap_or_default(),
    })
}
