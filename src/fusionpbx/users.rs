//! Reads all users.
//!
//! `user_json.php` silently stops at 300 rows, and the list page shows the total. Beyond 300, the two ends of the JSON
//! list (disabled and enabled users) tell what the translated labels of the list page mean, and the list is read page by
//! page.
//!
//! The two totals also agree if the server shows no user, or only some. tenantd's own account proves that a list is
//! complete: it signed in, so the list must contain it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::connection::{Connection, Query};
use super::page_spec::{USER_JSON, USERS};
use super::pages::{Parsed, UserPage, UserRow, json_users};
use super::paging::{self, Page, PagedList};
use super::{PbxError, PbxErrorKind, listing};
use crate::model::{DomainId, PbxUser};

const OPERATION: &str = "read the users";

pub(super) async fn users(connection: &Connection) -> Result<Vec<PbxUser>, PbxError> {
    let users = paging::retry(paging::is_incomplete, || read(connection)).await?;
    check_own_account(connection, users)
}

/// Checks that the list contains tenantd's own account. If not, it is filtered, or of another table.
fn check_own_account(connection: &Connection, users: Vec<PbxUser>) -> Result<Vec<PbxUser>, PbxError> {
    let (name, domain) = connection.username.rsplit_once('@').unwrap_or((&connection.username, ""));
    let is_own = |user: &PbxUser| {
        // The server does not show the name of a domain that is newer than the session.
        let in_domain =
            [domain, &user.domain_name].contains(&"") || user.domain_name.eq_ignore_ascii_case(domain);
        in_domain && user.username.eq_ignore_ascii_case(name)
    };
    if users.iter().any(is_own) {
        return Ok(users);
    }
    let kind = PbxErrorKind::UnexpectedPage {
        expected: "a list of users with tenantd's own account in it",
        found: format!("{} users without it", users.len()),
    };
    Err(PbxError::new(OPERATION, kind).on_page(USERS.path))
}

/// The number of users of all domains.
pub(super) async fn count(connection: &Connection) -> Result<usize, PbxError> {
    Ok(list(connection).page(0).await?.total)
}

async fn read(connection: &Connection) -> Result<Vec<PbxUser>, PbxError> {
    let list = list(connection);
    let first = list.page(0).await?;
    let total = first.total;
    let mut exact = json(connection, "asc").await?;
    // A list shorter than the server's limit is not a complete end of the list. Without its disabled users, every row of
    // the list page would count as enabled.
    check_end(total, exact.len())?;
    if exact.len() < total {
        let other_end = json(connection, "desc").await?;
        check_end(total, other_end.len())?;
        exact.extend(other_end);
    }
    if exact.len() == total {
        return Ok(exact.into_values().collect());
    }
    if exact.len() > total || first.rows.is_empty() {
        return Err(paging::incomplete(OPERATION, USERS, total, exact.len()));
    }
    let rows = list.rows(first, 1).await?;
    let mut meaning = RowMeaning::learn(&exact, &rows);
    if rows.values().any(|row| meaning.domain(row).is_none()) {
        // Up to 5.2 a row shows only the name of its domain.
        for domain in listing::list(connection, OPERATION, None).await? {
            // A name that two domains have identifies neither.
            meaning
                .ids
                .entry(domain.name.to_ascii_lowercase())
                .and_modify(|id| *id = None)
                .or_insert(Some(domain.id));
            meaning.names.insert(domain.id, domain.name);
        }
    }
    rows.into_values()
        .map(|row| match exact.remove(&row.id) {
            Some(user) => Ok(user),
            None => meaning.user(row).ok_or_else(|| {
                let kind = PbxErrorKind::UnexpectedPage {
                    expected: "users of known domains",
                    found: "a row that names no domain".to_owned(),
                };
                PbxError::new(OPERATION, kind).on_page(USERS.path)
            }),
        })
        .collect()
}

/// The number of rows at which `user_json.php` silently stops.
const MAX_JSON_ROWS: usize = 300;

fn check_end(total: usize, found: usize) -> Result<(), PbxError> {
    if found < total.min(MAX_JSON_ROWS) {
        return Err(paging::incomplete(OPERATION, USERS, total, found));
    }
    Ok(())
}

/// How to read a row of the list page, as learned from the users that the JSON list shows too.
struct RowMeaning {
    disabled_label: Option<String>,
    /// The domain of rows whose link names none, while other links do.
    own_domain: Option<DomainId>,
    /// The ids of domains by their names, for rows that show only the name.
    ids: BTreeMap<String, Option<DomainId>>,
    names: BTreeMap<DomainId, String>,
    /// Whether any link names a domain: up to 5.2 none does.
    names_in_links: bool,
}

impl RowMeaning {
    fn learn(exact: &BTreeMap<Uuid, PbxUser>, rows: &BTreeMap<Uuid, UserRow>) -> Self {
        let both = || rows.values().filter_map(|row| exact.get(&row.id).map(|user| (row, user)));
        Self {
            disabled_label: both().find(|(_, user)| !user.enabled).map(|(row, _)| row.enabled_label.clone()),
            own_domain: both()
                .find(|(row, _)| row.domain.is_none())
                .map(|(_, user)| user.domain)
                .filter(|own| both().all(|(row, user)| row.domain.is_some() || user.domain == *own)),
            ids: BTreeMap::new(),
            names_in_links: rows.values().any(|row| row.domain.is_some()),
            names: exact.values().map(|user| (user.domain, user.domain_name.clone())).collect(),
        }
    }

    /// The domain of a row. If other links name domains, a row without one is of the session's own domain.
    fn domain(&self, row: &UserRow) -> Option<DomainId> {
        let own = self.own_domain.filter(|_| self.names_in_links);
        row.domain.or(own).or_else(|| *self.ids.get(&row.domain_name.to_ascii_lowercase())?)
    }

    fn user(&self, row: UserRow) -> Option<PbxUser> {
        let domain = self.domain(&row)?;
        Some(PbxUser {
            id: row.id,
            domain,
            domain_name: self.names.get(&domain).cloned().unwrap_or(row.domain_name),
            username: row.username,
            email: None,
            groups: row.groups,
            // Disabled users come first in the JSON list. If it shows none, there is none.
            enabled: self.disabled_label.as_ref() != Some(&row.enabled_label),
        })
    }
}

async fn json(connection: &Connection, direction: &str) -> Result<BTreeMap<Uuid, PbxUser>, PbxError> {
    let query: Query = vec![
        ("show", "all".to_owned()),
        ("order_by", "user_enabled".to_owned()),
        ("order", direction.to_owned()),
    ];
    let users = connection.read(OPERATION, USER_JSON, &query, json_users).await?;
    Ok(users.into_iter().map(|user| (user.id, user)).collect())
}

fn list(connection: &Connection) -> PagedList<'_, UserRow, impl Fn(&str) -> Parsed<Page<UserRow>>> {
    let parse = |text: &str| {
        let UserPage { total, rows, all_domains, offers_all } = UserPage::parse(text)?;
        if all_domains {
            Ok(Page { total, rows })
        } else if offers_all {
            Err(PbxErrorKind::UnexpectedPage {
                expected: "the users of all domains",
                found: "a list that does not show which domains its users are of".to_owned(),
            })
        } else {
            Err(PbxErrorKind::AccessDenied { permission: Some("user_all") })
        }
    };
    PagedList { connection, operation: OPERATION, spec: USERS, key: "user_uuid", id: |row| row.id, parse }
}
