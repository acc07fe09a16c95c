//! The JSON list and the list of users.

use serde::Deserialize;
use uuid::Uuid;

use super::Parsed;
use super::answer::describe;
use super::html::{document, label, selectors};
use super::list::{List, Row, offers};
use crate::fusionpbx::PbxErrorKind;
use crate::model::{DomainId, PbxUser};

selectors! {
    SHOWN = "input[name='show'][value='all']";
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

/// The users of `user_json.php`, which silently stops at 300.
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
            // With NULL in the column, FusionPBX lets the user sign in.
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
    /// Absent for users of the session's own domain.
    pub domain: Option<DomainId>,
    /// From a list that FusionPBX made when the session signed in: empty for a newer domain.
    pub domain_name: String,
    pub username: String,
    pub groups: Vec<String>,
    /// The translated label for enabled or disabled; empty if the column is NULL.
    pub enabled_label: String,
}

/// A page of `users.php?show=all`.
#[derive(Debug)]
pub struct UserPage {
    /// The number of rows of all pages.
    pub total: usize,
    pub rows: Vec<UserRow>,
    /// Whether the list shows the users of all domains, and not only of the session's own.
    pub all_domains: bool,
    /// Whether the page links to the list of all domains.
    pub offers_all: bool,
}

impl UserPage {
    pub fn parse(text: &str) -> Parsed<Self> {
        let document = document(text);
        let list = List::read(&document, text, "the list of users", "user_edit")?;
        // The page has `show` in its search form only if the account may use it, and then has a column for the domain.
        let all_domains = document.select(&SHOWN).next().is_some();
        let rows = list
            .rows
            .iter()
            .map(|row| user_row(&list, row, all_domains).map_err(|found| list.not_understood(found)))
            .collect::<Parsed<Vec<_>>>()?;
        Ok(Self { total: list.total, rows, all_domains, offers_all: offers(&document, &["?show=all"]) })
    }
}

/// A row. Its user name is in the link to the form. The other columns are found by what they are sorted by. Up to 5.2 the
/// link does not name the domain, so that only its name is known.
fn user_row(list: &List<'_>, row: &Row<'_>, all_domains: bool) -> Result<UserRow, &'static str> {
    let link = row.link("user_edit.php");
    let first = usize::from(all_domains) + 1;
    let by_header = list.column("username").filter(|at| *at < row.cells.len());
    let at = match (&link, by_header) {
        (Some((link, _)), Some(header)) if *link != header => return Err("a row whose columns do not fit"),
        (link, header) => link.as_ref().map(|(at, _)| *at).or(header).unwrap_or(first),
    };
    let username = match link {
        Some((_, text)) => text.trim().to_owned(),
        None => row.text(at).ok_or("a row without a user name")?,
    };
    let groups_at = list.column("group_names").unwrap_or(at + 1);
    let enabled_at = list
        .column("user_enabled")
        .filter(|at| *at < row.cells.len())
        .or_else(|| row.position("center").filter(|center| *center > groups_at))
        .ok_or("a row without its state")?;
    let domain_name = match (all_domains, at.checked_sub(1)) {
        (true, Some(before)) => row.text(before).unwrap_or_default(),
        _ => String::new(),
    };
    Ok(UserRow {
        id: row.id,
        domain: row.query("domain_uuid").and_then(|id| Uuid::try_parse(&id).ok()).map(DomainId),
        domain_name,
        username,
        groups: groups(&row.text(groups_at).ok_or("a row without its groups")?),
        enabled_label: label(row.cells[enabled_at]),
    })
}
