//! `extensions.php`, `gateways.php`, `gateway_edit.php` and `dialplans.php`, for reading.

use maud::{Markup, html};
use uuid::Uuid;

use super::super::exchange::Answer;
use super::super::profile::ListPage;
use super::super::rules;
use super::super::tables::{RouteKind, RouteRow};
use super::{Page, layout};

/// What tells the three lists apart.
struct List {
    title: &'static str,
    /// The name of the rows' fields, and of the page.
    rows: &'static str,
    form: &'static str,
    view: &'static str,
    all: &'static str,
    edit: &'static str,
    id_column: &'static str,
    name_column: &'static str,
    context_column: &'static str,
    /// The permission without which the context is no column.
    context: Option<&'static str>,
}

fn list_of(kind: RouteKind) -> List {
    match kind {
        RouteKind::Extension => List {
            title: "Extensions",
            rows: "extensions",
            form: "extension_edit.php",
            view: "extension_view",
            all: "extension_all",
            edit: "extension_edit",
            id_column: "extension_uuid",
            name_column: "extension",
            context_column: "user_context",
            context: Some("extension_user_context"),
        },
        RouteKind::Gateway => List {
            title: "Gateways",
            rows: "gateways",
            form: "gateway_edit.php",
            view: "gateway_view",
            all: "gateway_all",
            edit: "gateway_edit",
            id_column: "gateway_uuid",
            name_column: "gateway",
            context_column: "context",
            context: None,
        },
        RouteKind::Dialplan => List {
            title: "Dialplan Manager",
            rows: "dialplans",
            form: "dialplan_edit.php",
            view: "dialplan_view",
            all: "dialplan_all",
            edit: "dialplan_edit",
            id_column: "dialplan_uuid",
            name_column: "dialplan_name",
            context_column: "dialplan_context",
            context: Some("dialplan_context"),
        },
    }
}

/// One of the lists.
pub(super) fn list(page: &mut Page<'_>, kind: RouteKind) -> Answer {
    let list = list_of(kind);
    if !page.may(list.view) {
        return Answer::access_denied();
    }
    let all = page.call.get("show") == Some("all") && page.may(list.all);
    let mut rows = page.state.db.routes_of(kind);
    if !all {
        rows.retain(|row| row.domain_uuid.is_none() || row.domain_uuid == page.session.domain);
    }
    match page.call.get("order_by").filter(|by| !by.is_empty()) {
        Some(by) if by == list.id_column => rows.sort_by_key(|row| row.uuid),
        Some(by) if by == list.context_column => rows.sort_by(|a, b| a.context.cmp(&b.context)),
        _ => rows.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    if page.call.get("order") == Some("desc") {
        rows.reverse();
    }
    let total = rows.len();
    let shown = i64::try_from(total).unwrap_or(i64::MAX).saturating_add(page.strike.total_off_by());
    let size = page.state.page_rows;
    let number = page.call.page_number();
    let skip = if page.strike.hides_page(number) { total } else { size.saturating_mul(number) };
    let token = page.session.new_token(page.php_self);
    let context = list.context.is_none_or(|permission| page.may(permission));
    let content = html! {
        (layout::list_bar(page, ListPage::Other, "action_bar", |total| html! { b { (layout::title(list.title, total)) } }, shown, search_form(page, all)))
        form id="form_list" method="post" {
            input type="hidden" id="action" name="action" value="";
            div class=[page.state.profile.has_cards().then_some("card")] {
                table class="list" {
                    tr class="list-header" {
                        @if page.may(list.edit) { th class="checkbox" { input type="checkbox" id="checkbox_all" name="checkbox_all"; } }
                        @if all { th { "Domain" } }
                        th { (column(list.name_column)) }
                        @if kind == RouteKind::Gateway { th class="hide-sm-dn" { "Proxy" } }
                        @if context { th { (column(list.context_column)) } }
                        th class="center" { (column("enabled")) }
                    }
                    @for (index, row) in rows.iter().skip(skip).take(size).enumerate() {
                        (list_row(page, &list, all, context, index, row))
                    }
                }
            }
            div align="center" { (layout::paging(page, total)) }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, list.title, content))
}

fn column(name: &str) -> Markup {
    html! { a href={ "?order_by=" (name) "&order=asc&show=all" } { (name) } }
}

/// `show` is repeated only for an account that may use it.
fn search_form(page: &Page<'_>, all: bool) -> Markup {
    if all || page.call.get("show").is_none() {
        return layout::search_form(page);
    }
    html! { form id="form_search" class="inline" method="get" { input type="text" name="search" id="search" value=""; } }
}

fn list_row(page: &Page<'_>, list: &List, all: bool, context: bool, index: usize, row: &RouteRow) -> Markup {
    let RouteRow { uuid, domain_uuid, kind, name, context: names, fields } = row;
    let edits = page.may(list.edit);
    let mut edit = String::new();
    if edits {
        edit = format!("{}?id={uuid}{}", list.form, page.query('&'));
        if page.state.profile.links_name_domains()
            && let Some(domain) = domain_uuid.filter(|domain| Some(*domain) != page.session.domain)
            && page.may("domain_select")
        {
            edit.push_str(&format!("&domain_uuid={domain}&domain_change=true"));
        }
    }
    // The name comes from the session's own list, which does not know what others have made since.
    let known = |domain: &Uuid| {
        let domains = page.session.domains.as_ref()?;
        domains.iter().find(|(uuid, _)| uuid == domain).map(|(_, name)| name.clone())
    };
    let domain = match domain_uuid {
        Some(domain) => known(domain).unwrap_or_default(),
        None => "Global".to_owned(),
    };
    html! {
        tr class="list-row" href=(edit) {
            @if edits {
                td class="checkbox" {
                    input type="checkbox" name={ (list.rows) "[" (index) "][checked]" } value="true";
                    input type="hidden" name={ (list.rows) "[" (index) "][uuid]" } value=(uuid);
                }
            }
            @if all { td { (layout::stored(page, &domain)) } }
            td { @if edits { a href=(edit) title="Edit" { (layout::stored(page, name)) } } @else { (layout::stored(page, name)) } }
            @if *kind == RouteKind::Gateway { td { (layout::stored(page, fields.get("proxy").map(String::as_str).unwrap_or_default())) } }
            @if context { td { (layout::stored(page, names)) } }
            td class="no-link center" { (layout::state_button(page, Some(true))) }
        }
    }
}

/// `gateway_edit.php`, which shows any gateway to anyone who may edit one.
pub(super) fn gateway(page: &mut Page<'_>) -> Answer {
    if !page.may("gateway_edit") {
        return Answer::access_denied();
    }
    let id = page.call.get("id").and_then(rules::uuid);
    let row = id.and_then(|id| page.state.db.routes.get(&id).cloned());
    let token = page.session.new_token(page.php_self);
    let field = |name: &str| match &row {
        Some(row) if name == "gateway" => row.name.clone(),
        Some(row) if name == "context" => row.context.clone(),
        Some(row) => row.fields.get(name).cloned().unwrap_or_default(),
        None => String::new(),
    };
    let content = html! {
        form name="frm" id="frm" method="post" {
            @for name in ["gateway", "username", "from_user", "from_domain", "proxy", "realm", "register_proxy", "outbound_proxy", "context"] {
                input class="formfld" type="text" name=(name) maxlength="255" value=(layout::stored(page, &field(name)));
            }
            @if let Some(id) = id { input type="hidden" name="gateway_uuid" value=(id); }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, "Gateway", content))
}
