use scraper::ElementRef;
use url::form_urlencoded;
use uuid::Uuid;

use super::{FORM_LIST, FRM, Parsed, document, id_in, input, selectors, total, unexpected};
use crate::fusionpbx::PbxErrorKind;
use crate::model::DomainId;

selectors! {
    HEAD = "tr.list-header > th";
    ROW = "tr.list-row";
    CELL = "td";
    ROW_ID = "input[type='hidden'][name$='[uuid]']";
    ALL_DOMAINS = "form#form_search input[name='show'][value='all']";
    LINK = "a";
    GATEWAY_ID = "input[name='gateway_uuid']";
    CONTEXT = "input[name='context']";
    PROXY = "input[name='proxy']";
    REALM = "input[name='realm']";
    FROM_DOMAIN = "input[name='from_domain']";
    REGISTER_PROXY = "input[name='register_proxy']";
    OUTBOUND_PROXY = "input[name='outbound_proxy']";
}

/// One of the lists of what calls go through: `extensions.php`, `gateways.php`, `dialplans.php`, with `show=all`.
#[derive(Clone, Copy, Debug)]
pub struct RouteList {
    pub expected: &'static str,
    /// The permission to see all domains' rows.
    pub all: &'static str,
    /// The permission without which a row shows no id.
    pub edit: &'static str,
    /// What the list can be ordered by: how its columns are found, whatever the account's language.
    pub name_column: &'static str,
    pub context_column: &'static str,
    /// The permission to see the context.
    pub context: &'static str,
}

/// A page of such a list.
#[derive(Debug)]
pub struct RoutePage {
    /// Of all pages.
    pub total: usize,
    pub rows: Vec<RouteRow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRow {
    pub id: Uuid,
    /// Absent for rows of the domain that the session works in, and for global ones.
    pub domain: Option<DomainId>,
    /// From a list that the session made at its sign-in: empty for a younger domain, a translated word for none.
    pub domain_name: String,
    pub name: String,
    pub context: String,
}

impl RoutePage {
    pub fn parse(text: &str, list: &RouteList) -> Parsed<Self> {
        let document = document(text);
        let form = document.select(&FORM_LIST).next().ok_or_else(|| unexpected(list.expected, text))?;
        let total = total(&document).ok_or_else(|| unexpected(list.expected, text))?;
        super::token(&document).ok_or_else(|| PbxErrorKind::UnexpectedPage {
            expected: list.expected,
            found: "a list that ends early".to_owned(),
        })?;
        let denied = |permission| PbxErrorKind::AccessDenied { permission: Some(permission) };
        if document.select(&ALL_DOMAINS).next().is_none() {
            return Err(denied(list.all));
        }
        let column = |name: &str| {
            let by = format!("order_by={name}");
            document.select(&HEAD).position(|head| {
                head.select(&LINK)
                    .filter_map(|link| link.attr("href"))
                    .any(|href| href.trim_start_matches('?').split('&').any(|part| part == by))
            })
        };
        let name_column = column(list.name_column).ok_or_else(|| unexpected(list.expected, text))?;
        let context_column = column(list.context_column).ok_or_else(|| denied(list.context))?;
        let rows = form
            .select(&ROW)
            .map(|row| route_row(row, name_column, context_column).ok_or_else(|| denied(list.edit)))
            .collect::<Result<_, _>>()?;
        Ok(Self { total, rows })
    }
}

fn route_row(row: ElementRef<'_>, name_column: usize, context_column: usize) -> Option<RouteRow> {
    let id = id_in(row, &ROW_ID)?;
    let cells: Vec<_> = row.select(&CELL).filter(|cell| cell.parent() == Some(*row)).collect();
    let text = |index: usize| cells.get(index).map(|cell| cell.text().collect::<String>().trim().to_owned());
    let domain = row.attr("href").and_then(|link| {
        let (_, query) = link.split_once('?')?;
        let (_, id) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "domain_uuid")?;
        Uuid::try_parse(&id).ok()
    });
    Some(RouteRow {
        id,
        domain: domain.map(DomainId),
        // Behind the checkbox, which is there because the id is.
        domain_name: text(1)?,
        name: text(name_column)?,
        context: text(context_column)?,
    })
}

/// What the form of a gateway names. Its password stands in the form too and is not looked at.
pub fn gateway_targets(text: &str, id: Uuid) -> Parsed<Vec<(&'static str, String)>> {
    const EXPECTED: &str = "the form of a gateway";
    let document = document(text);
    let form = document.select(&FRM).next().ok_or_else(|| unexpected(EXPECTED, text))?;
    let token = super::token(&document);
    if token.is_none() || id_in(form, &GATEWAY_ID) != Some(id) || input(form, &PROXY).is_none() {
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
