//! Reading all domains whole, at the least cost.
//!
//! `domain_json.php` gives every enabled domain with exact values in one request. The rest stands only in the paged
//! list. Sorted by `domain_enabled`, it begins with the disabled ones; those whose column is NULL come last, so they
//! are looked for from the other end. The number of rows that the list names says when nothing is missing.
//!
//! Rows that compare equal have no fixed order, and PostgreSQL gives another one to each of the first pages: where the
//! disabled ones fill more than a page, going on from the front repeats some and leaves out others (seen: 40 of 143).
//! From the middle on PostgreSQL sorts all rows, always alike, so there the list is read from its end, backwards. If
//! even that leaves some out, the whole list is read by id.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt};
use tracing::debug;

use super::connection::{Connection, Query};
use super::page_spec::{DOMAIN_JSON, DOMAINS};
use super::pages::{DomainPage, DomainRow, enabled_domains};
use super::{PbxError, PbxErrorKind, domain_page, paging};
use crate::model::{DomainId, PbxDomain};

/// What the JSON list must be; an error with it is worth another reading.
const EVERY_ENABLED: &str = "every enabled domain in the JSON list";

#[derive(Clone, Copy)]
enum Order {
    DisabledFirst,
    /// And the ones without a value first.
    DisabledLast,
    Fixed,
}

/// All domains that match a search in name or description, or all.
pub(super) async fn list(
    connection: &Connection,
    operation: &str,
    search: Option<&str>,
) -> Result<Vec<PbxDomain>, PbxError> {
    let read = || Reading { connection, operation, search, found: Found::default() }.run();
    paging::retry(is_half_read, read).await
}

/// Whether the two lists did not fit each other, as when a domain came or went meanwhile.
fn is_half_read(kind: &PbxErrorKind) -> bool {
    match kind {
        PbxErrorKind::UnexpectedPage { expected, .. } => *expected == EVERY_ENABLED,
        _ => paging::is_incomplete(kind),
    }
}

#[derive(Default)]
struct Found {
    /// From the JSON list.
    enabled: BTreeMap<DomainId, PbxDomain>,
    /// From the pages, where the JSON list does not have them.
    others: BTreeMap<DomainId, DomainRow>,
    /// Words in the enabled column of domains that are known to be enabled.
    words: BTreeSet<String>,
}

impl Found {
    fn len(&self) -> usize {
        self.enabled.len() + self.others.len()
    }

    /// Takes a page's rows; says whether the first and the last are domains of the JSON list.
    fn take(&mut self, rows: Vec<DomainRow>) -> (bool, bool) {
        let known = |row: Option<&DomainRow>| row.is_some_and(|row| self.enabled.contains_key(&row.id));
        let ends = (known(rows.first()), known(rows.last()));
        for row in rows {
            if self.enabled.contains_key(&row.id) {
                self.words.insert(row.enabled_word);
            } else {
                self.others.insert(row.id, row);
            }
        }
        ends
    }

    fn into_domains(self, disabled_word: Option<&str>) -> Option<Vec<PbxDomain>> {
        let Self { mut enabled, others, words } = self;
        for DomainRow { id, name, enabled_word, description } in others.into_values() {
            let enabled_now = match enabled_word.as_str() {
                "" => None,
                // Enabled since the JSON list was read.
                word if words.contains(word) => Some(true),
                word if Some(word) == disabled_word => Some(false),
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
        let (_, all_disabled_seen) = self.found.take(first.rows);
        if self.found.len() == total {
            return self.finish(total).await;
        }
        if self.found.len() > total || size == 0 {
            return Err(self.incomplete(total));
        }
        let pages = total.div_ceil(size);
        let missing = total.saturating_sub(self.found.enabled.len());
        let mut all_unset_seen = false;
        if all_disabled_seen || missing * 2 <= total {
            let mut back = pages;
            let mut more = !all_disabled_seen;
            while more && back > 1 && self.found.len() < total {
                back -= 1;
                let page = self.same(total, self.page(Order::DisabledLast, back).await?)?;
                more = !self.found.take(page.rows).0;
            }
            if self.found.len() < total {
                let page = self.same(total, self.page(Order::DisabledLast, 0).await?)?;
                all_unset_seen = self.found.take(page.rows).1;
            }
        }
        // Where both ends were seen whole, what is missing came or went meanwhile.
        if self.found.len() < total && !(all_disabled_seen && all_unset_seen) {
            self.read_whole(total, pages).await?;
        }
        if self.found.len() != total {
            return Err(self.incomplete(total));
        }
        self.finish(total).await
    }

    /// Tells what the words in the enabled column mean. That a domain is not in the JSON list is not believed alone:
    /// the word for disabled is learned from the form of a domain that has it, once.
    async fn finish(self, total: usize) -> Result<Vec<PbxDomain>, PbxError> {
        let known = self.connection.disabled_word().filter(|word| !self.found.words.contains(word));
        let new = self.found.others.values().find(|row| {
            let word = &row.enabled_word;
            !word.is_empty() && Some(word) != known.as_ref() && !self.found.words.contains(word)
        });
        let disabled_word = match new {
            None => known,
            Some(row) => {
                let form = domain_page::domain_form(self.connection, self.operation, row.id).await?;
                if form.enabled.value {
                    // Or it was enabled just now.
                    let found = format!("a list without {}, which its form shows as enabled", row.name);
                    let kind = PbxErrorKind::UnexpectedPage { expected: EVERY_ENABLED, found };
                    return Err(PbxError::new(self.operation, kind).on_page(DOMAIN_JSON.path));
                }
                self.connection.learn_disabled_word(row.enabled_word.clone());
                Some(row.enabled_word.clone())
            }
        };
        let incomplete = self.incomplete(total);
        self.found.into_domains(disabled_word.as_deref()).ok_or(incomplete)
    }

    /// Reads every page in an order that does not change, several sessions at once.
    async fn read_whole(&mut self, total: usize, pages: usize) -> Result<(), PbxError> {
        debug!(instance = %self.connection.instance, pages, "the list of domains is read whole");
        let this = &*self;
        let numbers = futures_util::stream::iter(0..pages);
        let pages: Vec<DomainPage> = numbers
            .map(|number| async move { this.same(total, this.page(Order::Fixed, number).await?) })
            .buffered(paging::at_once(self.connection))
            .try_collect()
            .await?;
        for page in pages {
            self.found.take(page.rows);
        }
        Ok(())
    }

    async fn page(&self, order: Order, number: usize) -> Result<DomainPage, PbxError> {
        let (column, direction) = match order {
            Order::DisabledFirst => ("domain_enabled", "asc"),
            Order::DisabledLast => ("domain_enabled", "desc"),
            Order::Fixed => ("domain_uuid", "asc"),
        };
        let mut query: Query = vec![
            ("page", number.to_string()),
            ("order_by", column.to_owned()),
            ("order", direction.to_owned()),
        ];
        query.extend(self.search.map(|text| ("search", text.to_owned())));
        self.connection.read(self.operation, DOMAINS, &query, DomainPage::parse).await
    }

    /// A page of the list that has begun: when its total has changed, the pages before it do not fit it.
    fn same(&self, total: usize, page: DomainPage) -> Result<DomainPage, PbxError> {
        if page.total == total { Ok(page) } else { Err(self.incomplete(page.total)) }
    }

    fn incomplete(&self, total: usize) -> PbxError {
        paging::incomplete(self.operation, DOMAINS, total, self.found.len())
    }
}
