//! Reads all domains with as few requests as possible.
//!
//! `domain_json.php` returns every enabled domain with exact values in one request. All others are only in the paged
//! list. Sorted by `domain_enabled`, it begins with the disabled domains and ends with those whose column is NULL, so
//! these are read from the other end. The total that the list shows tells when nothing is missing.
//!
//! Rows that compare equal have no fixed order, and PostgreSQL orders them differently for each of the first pages: if
//! the disabled domains fill more than one page, reading on from the front repeats some and omits others (observed: 40
//! of 143). From the middle on, PostgreSQL sorts all rows and always alike, so the list is read backwards from its end. If
//! even that omits some, the whole list is read by id.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt};
use tracing::debug;

use super::connection::{Connection, Query};
use super::page_spec::{DOMAIN_JSON, DOMAINS};
use super::pages::{DomainPage, DomainRow, enabled_domains};
use super::{PbxError, PbxErrorKind, domain_page, paging};
use crate::model::{DomainId, PbxDomain};

/// What is expected of the JSON list. After an error with it the lists are read again.
const EVERY_ENABLED: &str = "every enabled domain in the JSON list";

#[derive(Clone, Copy)]
enum Order {
    DisabledFirst,
    /// Domains without a value come before all others.
    DisabledLast,
    ById,
}

/// All domains; with `search`, those that contain it in their name or description.
pub(super) async fn list(
    connection: &Connection,
    operation: &str,
    search: Option<&str>,
) -> Result<Vec<PbxDomain>, PbxError> {
    let read = || Reading { connection, operation, search, found: Found::default() }.run();
    paging::retry(is_inconsistent, read).await
}

/// Whether the two lists contradict each other, as when a domain was created or deleted meanwhile.
fn is_inconsistent(kind: &PbxErrorKind) -> bool {
    match kind {
        PbxErrorKind::UnexpectedPage { expected, .. } => *expected == EVERY_ENABLED,
        _ => paging::is_incomplete(kind),
    }
}

#[derive(Default)]
struct Found {
    /// From the JSON list.
    enabled: BTreeMap<DomainId, PbxDomain>,
    /// From the pages: the domains that are not in the JSON list.
    others: BTreeMap<DomainId, DomainRow>,
    /// The labels in the enabled column of domains that are in the JSON list.
    enabled_labels: BTreeSet<String>,
}

impl Found {
    fn len(&self) -> usize {
        self.enabled.len() + self.others.len()
    }

    /// Adds the rows of a page. Returns whether its first and its last row are domains of the JSON list.
    fn add(&mut self, rows: Vec<DomainRow>) -> (bool, bool) {
        let known = |row: Option<&DomainRow>| row.is_some_and(|row| self.enabled.contains_key(&row.id));
        let ends = (known(rows.first()), known(rows.last()));
        for row in rows {
            if self.enabled.contains_key(&row.id) {
                self.enabled_labels.insert(row.enabled_label);
            } else {
                self.others.insert(row.id, row);
            }
        }
        ends
    }

    fn into_domains(self, disabled_label: Option<&str>) -> Option<Vec<PbxDomain>> {
        let Self { mut enabled, others, enabled_labels } = self;
        for DomainRow { id, name, enabled_label, description } in others.into_values() {
            let enabled_now = match enabled_label.as_str() {
                "" => None,
                // Enabled since the JSON list was read.
                label if enabled_labels.contains(label) => Some(true),
                label if Some(label) == disabled_label => Some(false),
                _ => return None,
            };
            enabled.insert(id, PbxDomain { id, name, enabled: enabled_now, description });
        }
        Some(enabled.into_values().collect())
    }
}

struct Reading<'a> {
    connection: &'a Connection,
    operation: &'a str,
    search: Option<&'a str>,
    found: Found,
}

impl Reading<'_> {
    async fn run(mut self) -> Result<Vec<PbxDomain>, PbxError> {
        let query: Query = self.search.map(|text| ("search", text.to_owned())).into_iter().collect();
        let enabled = self.connection.read(self.operation, DOMAIN_JSON, &query, enabled_domains).await?;
        self.found.enabled = enabled.into_iter().map(|domain| (domain.id, domain)).collect();

        let first = self.page(Order::DisabledFirst, 0).await?;
        let (total, size) = (first.total, first.rows.len());
        let (_, all_disabled_read) = self.found.add(first.rows);
        if self.found.len() < total {
            if size == 0 {
                return Err(self.incomplete(total));
            }
            self.read_others(total, total.div_ceil(size), all_disabled_read).await?;
        }
        if self.found.len() != total {
            return Err(self.incomplete(total));
        }
        self.finish(total).await
    }

    /// Reads the domains that neither the JSON list nor the first page shows.
    async fn read_others(
        &mut self,
        total: usize,
        pages: usize,
        all_disabled_read: bool,
    ) -> Result<(), PbxError> {
        let missing = total.saturating_sub(self.found.enabled.len());
        let mut all_unset_read = false;
        if all_disabled_read || missing * 2 <= total {
            let mut back = pages;
            let mut more = !all_disabled_read;
            while more && back > 1 && self.found.len() < total {
                back -= 1;
                let page = self.of_same_list(total, self.page(Order::DisabledLast, back).await?)?;
                more = !self.found.add(page.rows).0;
            }
            if self.found.len() < total {
                let page = self.of_same_list(total, self.page(Order::DisabledLast, 0).await?)?;
                all_unset_read = self.found.add(page.rows).1;
            }
        }
        // If both ends were read completely, a missing domain was created or deleted meanwhile.
        if self.found.len() < total && !(all_disabled_read && all_unset_read) {
            self.read_all_pages(total, pages).await?;
        }
        Ok(())
    }

    /// Finds out what the labels in the enabled column mean. A domain is not taken for disabled only because the JSON list
    /// omits it: the form of one such domain must show it, once for each label.
    async fn finish(self, total: usize) -> Result<Vec<PbxDomain>, PbxError> {
        let known =
            self.connection.disabled_label().filter(|label| !self.found.enabled_labels.contains(label));
        let new = self.found.others.values().find(|row| {
            let label = &row.enabled_label;
            !label.is_empty() && Some(label) != known.as_ref() && !self.found.enabled_labels.contains(label)
        });
        let disabled_label = match new {
            None => known,
            Some(row) => {
                let form = domain_page::domain_form(self.connection, self.operation, row.id).await?;
                if form.enabled.value {
                    // The JSON list is not complete, or the domain was enabled just now.
                    let found = format!("a list without {}, which its form shows as enabled", row.name);
                    let kind = PbxErrorKind::UnexpectedPage { expected: EVERY_ENABLED, found };
                    return Err(PbxError::new(self.operation, kind).on_page(DOMAIN_JSON.path));
                }
                self.connection.learn_disabled_label(row.enabled_label.clone());
                Some(row.enabled_label.clone())
            }
        };
        let incomplete = self.incomplete(total);
        self.found.into_domains(disabled_label.as_deref()).ok_or(incomplete)
    }

    /// Reads every page in an order that does not change, in several sessions at once.
    async fn read_all_pages(&mut self, total: usize, pages: usize) -> Result<(), PbxError> {
        debug!(instance = %self.connection.instance, pages, "reading all pages of the list of domains");
        let this = &*self;
        let numbers = futures_util::stream::iter(0..pages);
        let pages: Vec<DomainPage> = numbers
            .map(|number| async move { this.of_same_list(total, this.page(Order::ById, number).await?) })
            .buffered(paging::parallel_requests(self.connection))
            .try_collect()
            .await?;
        for page in pages {
            self.found.add(page.rows);
        }
        Ok(())
    }

    async fn page(&self, order: Order, number: usize) -> Result<DomainPage, PbxError> {
        let (column, direction) = match order {
            Order::DisabledFirst => ("domain_enabled", "asc"),
            Order::DisabledLast => ("domain_enabled", "desc"),
            Order::ById => ("domain_uuid", "asc"),
        };
        let mut query: Query = vec![
            ("page", number.to_string()),
            ("order_by", column.to_owned()),
            ("order", direction.to_owned()),
        ];
        query.extend(self.search.map(|text| ("search", text.to_owned())));
        self.connection.read(self.operation, DOMAINS, &query, DomainPage::parse).await
    }

    /// A further page of the list. If its total differs, it does not fit the pages before it.
    fn of_same_list(&self, total: usize, page: DomainPage) -> Result<DomainPage, PbxError> {
        if page.total == total { Ok(page) } else { Err(self.incomplete(page.total)) }
    }

    fn incomplete(&self, total: usize) -> PbxError {
        paging::incomplete(self.operation, DOMAINS, total, self.found.len())
    }
}
