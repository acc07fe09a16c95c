//! Reads what on a PBX refers to domains: the extensions, gateways and dialplans of all domains, each list completely.
//!
//! The lists show the context of each row. A gateway refers to domains in more fields, which only its form shows, at one
//! request each. The actions of dialplans (transfer, bridge) are not read: they stand in forms, dozens for each domain.
//! Inbound routes are not read either: FusionPBX changes rows when it shows them.

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::PbxError;
use super::connection::{Connection, Query};
use super::page_spec::{DIALPLANS, EXTENSIONS, GATEWAY_EDIT, GATEWAYS, PageSpec};
use super::pages::{RouteList, RoutePage, RouteRow, gateway_targets};
use super::paging::{self, Page, PagedList};
use crate::model::{PbxRoute, RouteKind};

const OPERATION: &str = "read the call routing";

pub(super) const EXTENSION_LIST: RouteList = RouteList {
    expected: "the list of extensions",
    all: "extension_all",
    edit: "extension_edit",
    name_column: "extension",
    context_column: "user_context",
    context: "extension_user_context",
};
pub(super) const GATEWAY_LIST: RouteList = RouteList {
    expected: "the list of gateways",
    all: "gateway_all",
    edit: "gateway_edit",
    name_column: "gateway",
    context_column: "context",
    context: "gateway_view",
};
pub(super) const DIALPLAN_LIST: RouteList = RouteList {
    expected: "the list of dialplans",
    all: "dialplan_all",
    edit: "dialplan_edit",
    name_column: "dialplan_name",
    context_column: "dialplan_context",
    context: "dialplan_context",
};

/// Every list that is read.
pub(super) const LISTS: [RouteList; 3] = [EXTENSION_LIST, GATEWAY_LIST, DIALPLAN_LIST];

pub(super) async fn routes(connection: &Connection) -> Result<Vec<PbxRoute>, PbxError> {
    let mut routes = Vec::new();
    for row in all_rows(connection, EXTENSIONS, &EXTENSION_LIST, "extension_uuid").await? {
        let targets = vec![("user_context", row.context.clone())];
        routes.push(route(RouteKind::Extension, row, targets));
    }
    for row in all_rows(connection, DIALPLANS, &DIALPLAN_LIST, "dialplan_uuid").await? {
        let targets = vec![("context", row.context.clone())];
        routes.push(route(RouteKind::Dialplan, row, targets));
    }
    let gateways = all_rows(connection, GATEWAYS, &GATEWAY_LIST, "gateway_uuid").await?;
    let mut forms = futures_util::stream::iter(gateways)
        .map(|row| async move {
            let query: Query = vec![("id", row.id.to_string())];
            let targets = connection
                .read(OPERATION, GATEWAY_EDIT, &query, |text| gateway_targets(text, row.id))
                .await?;
            Ok::<_, PbxError>(route(RouteKind::Gateway, row, targets))
        })
        .buffered(paging::parallel_requests(connection));
    while let Some(gateway) = forms.try_next().await? {
        routes.push(gateway);
    }
    Ok(routes)
}

fn route(kind: RouteKind, row: RouteRow, targets: Vec<(&'static str, String)>) -> PbxRoute {
    let RouteRow { id: _, domain, domain_name, name, context: _ } = row;
    PbxRoute { kind, name, domain, domain_name, targets }
}

/// Every row of a list, or an error.
async fn all_rows(
    connection: &Connection,
    spec: PageSpec,
    list: &RouteList,
    key: &'static str,
) -> Result<Vec<RouteRow>, PbxError> {
    let parse = |text: &str| {
        let RoutePage { total, rows } = RoutePage::parse(text, list)?;
        Ok(Page { total, rows })
    };
    let list = PagedList { connection, operation: OPERATION, spec, key, id: |row: &RouteRow| row.id, parse };
    let read = || async { list.rows(list.page(0).await?, paging::parallel_requests(connection)).await };
    Ok(paging::retry(paging::is_incomplete, read).await?.into_values().collect())
}
