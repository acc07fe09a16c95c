//! The lists of extensions, gateways and dialplans, and the form of a gateway.

use uuid::Uuid;

use super::Parsed;
use super::answer::unexpected;
use super::html::{document, edit_form, id_in, input, selectors, token};
use super::list::{List, Row, offers};
use crate::fusionpbx::PbxErrorKind;
use crate::model::DomainId;

selectors! {
    SHOWN = "input[name='show'][value='all']";
    GATEWAY_ID = "input[name='gateway_uuid']";
    CONTEXT = "input[name='context']";
    PROXY = "input[name='proxy']";
    REALM = "input[name='realm']";
    FROM_DOMAIN = "input[name='from_domain']";
    REGISTER_PROXY = "input[name='register_proxy']";
    OUTBOUND_PROXY = "input[name='outbound_proxy']";
}

/// One of the lists that route calls: `extensions.php`, `gateways.php`, `dialplans.php`, with `show=all`.
#[derive(Clone, Copy, Debug)]
pub struct RouteList {
    pub expected: &'static str,
    /// The permission to see all domains' rows.
    pub all: &'static str,
    /// The permission without which a row shows no id.
    pub edit: &'static str,
    /// The names by which the list is sorted. They find its columns in any language.
    pub name_column: &'static str,
    pub context_column: &'static str,
    /// The permission to see the context.
    pub context: &'static str,
}

/// A page of such a list.
#[derive(Debug)]
pub struct RoutePage {
    /// The number of rows of all pages.
    pub total: usize,
    pub rows: Vec<RouteRow>,
}

/// One row of such a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRow {
    pub id: Uuid,
    /// Absent for global rows and for rows of the session's own domain.
    pub domain: Option<DomainId>,
    /// From a list that FusionPBX made when the session signed in: empty for a newer domain, a translated word for none.
    pub domain_name: String,
    pub name: String,
    pub context: String,
}

impl RoutePage {
    pub fn parse(text: &str, kind: &RouteList) -> Parsed<Self> {
        let document = document(text);
        let denied = |permission| PbxErrorKind::AccessDenied { permission: Some(permission) };
        let list = List::read(&document, text, kind.expected, kind.edit)?;
        if document.select(&SHOWN).next().is_none() {
            // Without the permission the page neither shows all domains nor offers to.
            return Err(if offers(&document, &["?show=all"]) {
                list.not_understood("a list that does not show which domains its rows are of")
            } else {
                denied(kind.all)
            });
        }
        let name_column = list
            .column(kind.name_column)
            .ok_or_else(|| list.not_understood("a list without a column for names"))?;
        let context_column = list.column(kind.context_column).ok_or_else(|| {
            if offers(&document, &[kind.context_column]) {
                list.not_understood("a list without a column for contexts")
            } else {
                denied(kind.context)
            }
        })?;
        let rows = list
            .rows
            .iter()
            .map(|row| {
                route_row(row, name_column, context_column)
                    .ok_or_else(|| list.not_understood("a row with too few columns"))
            })
            .collect::<Parsed<_>>()?;
        Ok(Self { total: list.total, rows })
    }
}

fn route_row(row: &Row<'_>, name_column: usize, context_column: usize) -> Option<RouteRow> {
    Some(RouteRow {
        id: row.id,
        domain: row.query("domain_uuid").and_then(|id| Uuid::try_parse(&id).ok()).map(DomainId),
        // The column after the checkbox, which every row with an id has.
        domain_name: row.text(1)?,
        name: row.text(name_column)?,
        context: row.text(context_column)?,
    })
}

/// The contexts and hosts in the form of a gateway. The password in the form is not read.
pub fn gateway_targets(text: &str, id: Uuid) -> Parsed<Vec<(&'static str, String)>> {
    const EXPECTED: &str = "the form of a gateway";
    let document = document(text);
    let form = edit_form(&document, &GATEWAY_ID).ok_or_else(|| unexpected(EXPECTED, text))?;
    let has_token = token(&document).is_some();
    if !has_token || id_in(form, &GATEWAY_ID) != Some(id) || input(form, &PROXY).is_none() {
        return Err(unexpected(EXPECTED, text));
    }
    let fields = [
        ("context", &*CONTEXT),
        ("proxy", &*PROXY),
        ("realm", &*REALM),
        ("from_domain", &*FROM_DOMAIN),
        ("register_proxy", &*REGISTER_PROXY),
        ("outbound_proxy", &*OUTBOUND_PROXY),
    ];
    Ok(fields
        .into_iter()
        .filter_map(|(name, selector)| Some((name, input(form, selector)?.trim().to_owned())))
        .filter(|(_, value)| !value.is_empty())
        .collect())
}
