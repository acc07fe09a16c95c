//! Lists in pages, read completely or not at all. FusionPBX's own way of paging; no crate knows it.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::connection::{Connection, Query};
use super::page_spec::PageSpec;
use super::pages::Parsed;
use super::{PbxError, PbxErrorKind};

/// How often a list is read at most. A row that is created or deleted meanwhile costs one of them.
const MAX_READS: usize = 3;

/// Reads a list, and reads it again after an error for which `is_worth_it` holds.
pub(super) async fn retry<T, F: Future<Output = Result<T, PbxError>>>(
    is_worth_it: impl Fn(&PbxErrorKind) -> bool,
    read: impl Fn() -> F,
) -> Result<T, PbxError> {
    for _ in 1..MAX_READS {
        match read().await {
            Err(error) if is_worth_it(&error.kind) => {}
            result => return result,
        }
    }
    read().await
}

pub(super) fn is_incomplete(kind: &PbxErrorKind) -> bool {
    matches!(kind, PbxErrorKind::Incomplete { .. })
}

pub(super) fn incomplete(operation: &str, page: PageSpec, expected: usize, found: usize) -> PbxError {
    PbxError::new(operation, PbxErrorKind::Incomplete { expected, found }).on_page(page.path)
}

/// How many pages of one list are requested at the same time.
pub(super) fn parallel_requests(connection: &Connection) -> usize {
    connection.pool.size().min(4)
}

/// A list of all domains' rows, sorted by id: an order that does not change.
pub(super) struct PagedList<'a, R, P> {
    pub connection: &'a Connection,
    pub operation: &'static str,
    pub spec: PageSpec,
    /// The name of the column with the id.
    pub key: &'static str,
    pub id: fn(&R) -> Uuid,
    pub parse: P,
}

pub(super) struct Page<R> {
    /// The number of rows of all pages.
    pub total: usize,
    pub rows: Vec<R>,
}

impl<R, P: Fn(&str) -> Parsed<Page<R>>> PagedList<'_, R, P> {
    pub async fn page(&self, number: usize) -> Result<Page<R>, PbxError> {
        let query: Query = vec![
            ("show", "all".to_owned()),
            ("page", number.to_string()),
            ("order_by", self.key.to_owned()),
            ("order", "asc".to_owned()),
        ];
        self.connection.read(self.operation, self.spec, &query, &self.parse).await
    }

    /// Every row, or an error. Requests the pages after the first, `at_once` of them at the same time.
    pub async fn rows(&self, first: Page<R>, at_once: usize) -> Result<BTreeMap<Uuid, R>, PbxError> {
        let (total, size) = (first.total, first.rows.len());
        let incomplete = |found| incomplete(self.operation, self.spec, total, found);
        let with_id = |row| ((self.id)(&row), row);
        let mut rows: BTreeMap<Uuid, R> = first.rows.into_iter().map(with_id).collect();
        // An empty page does not tell the size of a page.
        let pages = if size == 0 { 1 } else { total.div_ceil(size) };
        let mut rest = futures_util::stream::iter(1..pages).map(|number| self.page(number)).buffered(at_once);
        while let Some(page) = rest.try_next().await? {
            if page.total != total {
                return Err(incomplete(rows.len()));
            }
            rows.extend(page.rows.into_iter().map(with_id));
        }
        if rows.len() == total { Ok(rows) } else { Err(incomplete(rows.len())) }
    }
}
