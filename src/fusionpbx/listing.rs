//! Reading all domains whole, at the least cost.
//!
//! `domain_json.php` gives every enabled domain with exact values in one request. The rest stands only in the paged
//! list, which is sorted so that it comes first: by `domain_enabled`, the disabled ones come before the enabled, and
//! the ones whose column is NULL come last (PostgreSQL), so they are looked for from the other end. The number of
//! rows that the list names says when nothing is missing.
//!
//! Rows that compare equal have no fixed order, so pages sorted by that column may repeat some and leave out others
//! when the disabled ones fill more than a page. Then, and only then, the list is read whole, by id.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt};

use super::connection::{Connection, DOMAIN_JSON, DOMAINS, Query};
use super::pages::{DomainPage, DomainRow, enabled_domains};
use super::{PbxError, PbxErrorKind};
use crate::model::{DomainId, PbxDomain};

/// Readings of the whole list before it is given up; a domain made or deleted meanwhile costs one.
const READINGS: usize = 3;
/// Pages of disabled domains that are read in the hope that none is left out.
const HOPEFUL_PAGES: usize = 3;
/// Pages of the whole list that are read straight away when the disabled ones fill more than the hopeful pages.
const CHEAP_PAGES: usize = 12;

#[derive(Clone, Copy)]
enum Order {
    DisabledFirst,
    UnsetFirst,
    Fixed,
}

/// All domains that match a search in name or description, or all.
pub(super) async fn list(
    connection: &Connection,
    operation: &str,
    search: Option<&str>,
) -> Result<Vec<PbxDomain>, PbxError> {
    let mut readings = 1;
    loop {
        let reading = Reading { connection, operation, search, found: Found::default() };
        match reading.run().await {
            Err(error) if matches!(error.kind, PbxErrorKind::Incomplete { .. }) && readings < READINGS => {
                readings += 1;
            }
            result => return result,
        }
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

    /// Takes a page's rows; says whether the last one is a domain of the JSON list.
    fn take(&mut self, rows: Vec<DomainRow>) -> bool {
        let mut last_enabled = false;
        for row in rows {
            last_enabled = self.enabled.contains_key(&row.id);
            if last_enabled {
                self.words.insert(row.enabled_word);
            } else {
                self.others.insert(row.id, row);
            }
        }
        last_enabled
    }

    fn into_domains(self) -> Vec<PbxDomain> {
        let Self { mut enabled, others, words } = self;
        enabled.extend(others.into_values().map(|row| {
            let DomainRow { id, name, enabled_word, description } = row;
            let enabled = match enabled_word.as_str() {
                "" => None,
                // Enabled since the JSON list was read.
                word => Some(words.contains(word)),
            };
            (id, PbxDomain { id, name, enabled, description })
        }));
        enabled.into_values().collect()
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
        let mut more = !self.found.take(first.rows);
        if self.found.len() == total {
            return Ok(self.found.into_domains());
        }
        if self.found.len() > total || size == 0 {
            return Err(self.incomplete(total));
        }
        let missing = total.saturating_sub(self.found.enabled.len());
        let (hopeful, all) = (missing.div_ceil(size), total.div_ceil(size));
        if hopeful <= HOPEFUL_PAGES || all > CHEAP_PAGES {
            let mut number = 1;
            while more && number < all && self.found.len() < total {
                let page = self.same(total, self.page(Order::DisabledFirst, number).await?)?;
                more = !self.found.take(page.rows);
                number += 1;
            }
            if self.found.len() < total {
                let page = self.same(total, self.page(Order::UnsetFirst, 0).await?)?;
                self.found.take(page.rows);
            }
        }
        if self.found.len() < total && missing > size {
            self.read_whole(total, all).await?;
        }
        if self.found.len() != total {
            return Err(self.incomplete(total));
        }
        Ok(self.found.into_domains())
    }

    /// Reads every page in an order that does not change, several sessions at once.
    async fn read_whole(&mut self, total: usize, pages: usize) -> Result<(), PbxError> {
        let at_once = self.connection.pool.size().min(4);
        let this = &*self;
        let numbers = futures_util::stream::iter(0..pages);
        let pages: Vec<DomainPage> = numbers
            .map(|number| async move { this.same(total, this.page(Order::Fixed, number).await?) })
            .buffered(at_once)
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
            Order::UnsetFirst => ("domain_enabled", "desc"),
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

    /// A page of the list that was begun: when its total has changed, the pages before it do not fit it.
    fn same(&self, total: usize, page: DomainPage) -> Result<DomainPage, PbxError> {
        if page.total == total { Ok(page) } else { Err(self.incomplete(page.total)) }
    }

    fn incomplete(&self, total: usize) -> PbxError {
        PbxError::new(self.operation, PbxErrorKind::Incomplete { expected: total, found: self.found.len() })
            .on_page(DOMAINS.path)
    }
}
