//! Reading all users whole.
//!
//! `user_json.php` stops at 300 rows without saying so, and the list page names the total. Beyond 300, the two ends of
//! the JSON list (disabled and enabled users) teach what the translated words of the list page mean, and the list
//! is read page by page.
//!
//! The two totals agree as well where the server shows no one, or only some. What proves a list is tenantd's own
//! account: it signed in, so it is there.

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
    with_own_account(connection, users)
}

/// A list that does not name the account which asks for it is filtered, or of another table than it should be.
fn with_own_account(connection: &Connection, users: Vec<PbxUser>) -> Result<Vec<PbxUser>, PbxError> {
    let (name, domain) = connection.username.rsplit_once('@').unwrap_or((&connection.username, ""));
    let is_own = |user: &PbxUser| {
        // The server does not know the name of a domain that is younger than the session.
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

/// The total of the list, where it is of all domains.
pub(super) async fn count(connection: &Connection) -> Result<usize, PbxError> {
    Ok(list(connection).page(0).await?.total)
}

async fn read(connection: &Connection) -> Result<Vec<PbxUser>, PbxError> {
    let list = list(connection);
    let first = list.page(0).await?;
    let total = first.total;
    let mut exact = json(connection, "asc").await?;
    // A shorter list than the server cuts is not one end of the whole, and teaches nothing: without its disabled users
    // every row of the list page would count as enabled.
    whole_end(total, exact.len())?;
    if exact.len() < total {
        let other_end = json(connection, "desc").await?;
        whole_end(total, other_end.len())?;
        exact.extend(other_end);
    }
    if exact.len() == total {
        return Ok(exact.into_values().collect());
    }
    if exact.len() > total || first.rows.is_empty() {
        return Err(paging::incomplete(OPERATION, USERS, total, exact.len()));
    }
    let rows = list.rows(first, 1).await?;
    let mut facts = Facts::learn(&exact, &rows);
    if rows.values().any(|row| facts.domain(row).is_none()) {
        // Up to 5.2 a row names its domain by its name alone.
        for domain in listing::list(connection, OPERATION, None).await? {
            // A name that two domains have names neither.
            facts
                .ids
                .entry(domain.name.to_ascii_lowercase())
                .and_modify(|id| *id = None)
                .or_insert(Some(domain.id));
            facts.names.insert(domain.id, domain.name);
        }
    }
    rows.into_values()
        .map(|row| match exact.remove(&row.id) {
            Some(user) => Ok(user),
            None => facts.user(row).ok_or_else(|| {
                let kind = PbxErrorKind::UnexpectedPage {
                    expected: "users of known domains",
                    found: "a row that names no domain".to_owned(),
                };
                PbxError::new(OPERATION, kind).on_page(USERS.path)
            }),
        })
        .collect()
}

/// Where `user_json.php` stops without saying so.
const JSON_ROWS: usize = 300;

fn whole_end(total: usize, found: usize) -> Result<(), PbxError> {
    if found < total.min(JSON_ROWS) {
        return Err(paging::incomplete(OPERATION, USERS, total, found));
    }
    Ok(())
}

/// What the users that both lists show say about the list of rows.
struct Facts {
    disabled_word: Option<String>,
    /// The domain of rows that name none in their link, where links do name others.
    own_domain: Option<DomainId>,
    /// Domains by their names, for rows that name theirs so.
    ids: BTreeMap<String, Option<DomainId>>,
    names: BTreeMap<DomainId, String>,
    /// Whether any link names a domain: up to 5.2 none does.
    names_in_links: bool,
}

impl Facts {
    fn learn(exact: &BTreeMap<Uuid, PbxUser>, rows: &BTreeMap<Uuid, UserRow>) -> Self {
        let both = || rows.values().filter_map(|row| exact.get(&row.id).map(|user| (row, user)));
        Self {
            disabled_word: both().find(|(_, user)| !user.enabled).map(|(row, _)| row.enabled_word.clone()),
            own_domain: both()
                .find(|(row, _)| row.domain.is_none())
                .map(|(_, user)| user.domain)
                .filter(|own| both().all(|(row, user)| row.domain.is_some() || user.domain == *own)),
            ids: BTreeMap::new(),
            names_in_links: rows.values().any(|row| row.domain.is_some()),
            names: exact.values().map(|user| (user.domain, user.domain_name.clone())).collect(),
        }
    }

    /// The domain of a row. Where links name domains, one that names none is of the session's own.
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
            // The disabled ones come first in the JSON list: if it shows none, there is none.
            enabled: self.disabled_word.as_ref() != Some(&row.enabled_word),
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
                found: "a list that does not say which domains' users it shows".to_owned(),
            })
        } else {
            Err(PbxErrorKind::AccessDenied { permission: Some("user_all") })
        }
    };
    PagedList { connection, operation: OPERATION, spec: USERS, key: "user_uuid", id: |row| row.id, parse }
}
