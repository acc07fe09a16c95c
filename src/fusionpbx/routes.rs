//! Reading what on a PBX names domains: extensions, gateways and dialplans of all domains, each list whole.
//!
//! The lists show the context of each row. A gateway names domains in more fields, which only its form shows: a
//! request for each. What a dialplan does (transfer, bridge) stands in a form for each of its dozens a domain, and is
//! not read. Inbound routes are not asked for either: FusionPBX changes rows when it shows them.

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::PbxError;
use super::connection::{Connection, Query};
use super::page_spec::{DIALPLANS, EXTENSIONS, GATEWAY_EDIT, GATEWAYS, PageSpec};
use super::pages::{RouteList, RoutePage, RouteRow, gateway_targets};
use super::paging::{self, Page, PagedList};
use crate::model::{PbxRoute, RouteKind};

const OPERATION: &str = "read the call routing";

const EXTENSION_LIST: RouteList = RouteList {
    expected: "the list of extensions",
    all: "extension_all",
    edit: "extension_edit",
    name_column: "extension",
    context_column: "user_context",
    context: "extension_user_context",
};
const GATEWAY_LIST: RouteList = RouteList {
    expected: "the list of gateways",
    all: "gateway_all",
    edit: "gateway_edit",
    name_column: "gateway",
    context_column: "context",
    context: "gateway_view",
};
const DIALPLAN_LIST: RouteList = RouteList {
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
    for row in whole(connection, EXTENSIONS, &EXTENSION_LIST, "extension_uuid").await? {
        let targets = vec![("user_context", row.context.clone())];
        routes.push(route(RouteKind::Extension, row, targets));
    }
    for row in whole(connection, DIALPLANS, &DIALPLAN_LIST, "dialplan_uuid").await? {
        let targets = vec![("context", row.context.clone())];
        routes.push(route(RouteKind::Dialplan, row, targets));
    }
    let gateways = whole(connection, GATEWAYS, &GATEWAY_LIST, "gateway_uuid").await?;
    let mut forms = futures_util::stream::iter(gateways)
        .map(|row| async move {
            let query: Query = vec![("id", row.id.to_string())];
            let targets = connection
                .read(OPERATION, GATEWAY_EDIT, &query, |text| gateway_targets(text, row.id))
                .await?;
            Ok::<_, PbxError>(route(RouteKind::Gateway, row, targets))
        })
        .buffered(paging::at_once(connection));
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
async fn whole(
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
    let read = || async { list.rows(list.page(0).await?, paging::at_once(connection)).await };
    Ok(paging::retry(paging::is_incomplete, read).await?.into_values().collect())
}
