//! `domain_json.php` and `domains.php`.

use maud::{Markup, PreEscaped, html};
use uuid::Uuid;

use super::super::exchange::Answer;
use super::super::language::Word;
use super::super::profile::ListPage;
use super::super::rules::{json_string, like};
use super::super::tables::DomainRow;
use super::{DASHBOARD, Page, layout};

/// `domain_json.php`: the enabled domains only.
pub(super) fn json(page: &mut Page<'_>) -> Answer {
    if !page.may("domain_view") {
        return Answer::access_denied();
    }
    if !page.may("domain_all") && !page.may("domain_select") {
        return Answer::page("null");
    }
    let search = page.call.request("search").filter(|search| !search.is_empty()).map(|search| {
        let search = search.to_lowercase().replace('*', "%");
        if search.contains('%') { search } else { format!("%{search}%") }
    });
    let mut body = String::from("[");
    for row in page.state.db.domains().filter(|row| row.enabled == Some(true)) {
        if search.as_deref().is_none_or(|search| found(row, search)) {
            if body.len() > 1 {
                body.push(',');
            }
            write_row(row, &mut body);
        }
    }
    body.push(']');
    Answer::page(body)
}

fn found(row: &DomainRow, pattern: &str) -> bool {
    like(&row.name, pattern) || row.description.as_deref().is_some_and(|text| like(text, pattern))
}

fn write_row(row: &DomainRow, out: &mut String) {
    use std::fmt::Write;
    let DomainRow { uuid, name, enabled, description, inserted, updated } = row;
    let _ = write!(out, "{{\"domain_uuid\":\"{uuid}\",\"domain_parent_uuid\":null,\"domain_name\":");
    json_string(name, out);
    let _ = write!(out, ",\"domain_enabled\":{},\"domain_description\":", *enabled == Some(true));
    match description {
        Some(text) => json_string(text, out),
        None => out.push_str("null"),
    }
    let date =
        |date: &chrono::DateTime<chrono::Utc>| format!("\"{}\"", date.format("%Y-%m-%d %H:%M:%S%.6f+00"));
    let updated = updated.as_ref().map_or_else(|| "null".to_owned(), date);
    let _ = write!(
        out,
        ",\"insert_date\":{},\"insert_user\":null,\"update_date\":{updated},\"update_user\":null}}",
        date(inserted)
    );
}

/// `domains.php`: the list of all domains, and what can be done to those that are ticked.
pub(super) fn list(page: &mut Page<'_>) -> Answer {
    if page.domain_change().is_some() {
        return Answer::to(DASHBOARD);
    }
    if !page.may("domain_all") || !page.may("domain_view") {
        return Answer::access_denied();
    }
    let action = page.call.post("action").unwrap_or_default();
    if !action.is_empty() && page.call.has_rows("domains") {
        return act(page, action);
    }
    let (total, rows) = select(page);
    let token = page.session.new_token(page.php_self);
    let shown = i64::try_from(total).unwrap_or(i64::MAX).saturating_add(page.strike.total_off_by());
    let query = if page.state.profile.repeats_queries() { page.query('&') } else { String::new() };
    let all = page.call.get("show") == Some("all");
    let controls = html! {
        @if page.may("domain_add") { a href="domain_edit.php" { button type="button" id="btn_add" { "Add" } } }
        @if !rows.is_empty() {
            @if page.may("domain_edit") { button type="button" name="btn_toggle" id="btn_toggle" { "Toggle" } }
            @if page.may("domain_delete") { button type="button" name="btn_delete" id="btn_delete" { "Delete" } }
        }
        (layout::search_form(page))
    };
    let content = html! {
        (layout::list_bar(page, ListPage::Other, "action_bar", |total| html! { b { (layout::title("Domains", total)) } }, shown, controls))
        form id="form_list" method="post" {
            input type="hidden" id="action" name="action" value="";
            @if !page.state.profile.repeats_queries() { input type="hidden" name="search" value=(page.call.get("search").unwrap_or_default()); }
            div class=[page.state.profile.has_cards().then_some("card")] {
                table class="list" {
                    tr class="list-header" {
                        @if may_choose(page) {
                            th class="checkbox" { input type="checkbox" id="checkbox_all" name="checkbox_all"; }
                        }
                        @if all { th { "Domain" } }
                        th { a href="?order_by=domain_name&order=desc" { "Name" } }
                        th class="center" { "Tools" }
                        th class="center" { a href="?order_by=domain_enabled&order=asc" { "Enabled" } }
                        th class="hide-sm-dn" { "Description" }
                    }
                    @for (index, row) in rows.iter().enumerate() { (list_row(page, all, index, row, &query)) }
                }
            }
            div align="center" { (layout::paging(page, total)) }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, "Domains", content))
}

/// An account that may neither change nor delete sees no checkboxes, and so no ids.
fn may_choose(page: &Page<'_>) -> bool {
    page.may("domain_edit") || page.may("domain_delete")
}

fn list_row(page: &Page<'_>, all: bool, index: usize, row: &DomainRow, query: &str) -> Markup {
    let DomainRow { uuid, name, enabled, description, inserted: _, updated: _ } = row;
    let may_edit = page.may("domain_edit");
    let edit = if may_edit { format!("domain_edit.php?id={uuid}{query}") } else { String::new() };
    // The real page leaves this link open and with a stray quote.
    let settings =
        format!("&nbsp;&nbsp; <a href='/core/domain_settings/domain_settings.php?id={uuid}'\">Settings");
    html! {
        tr class="list-row" href=(edit) {
            @if may_choose(page) {
                td class="checkbox" {
                    input type="checkbox" name={ "domains[" (index) "][checked]" } id={ "checkbox_" (index) } value="true" data-item-name=[page.state.profile.has_item_names().then(|| layout::stored(page, name))];
                    input type="hidden" name={ "domains[" (index) "][uuid]" } value=(uuid);
                }
            }
            @if all { td { (layout::stored(page, name)) } }
            td { @if may_edit { a href=(edit) title="Edit" { (layout::stored(page, name)) } } @else { (layout::stored(page, name)) } }
            td class="no-link center" {
                a href={ "/core/domains/domains.php?domain_uuid=" (uuid) "&domain_change=true" } { "Manage" }
                (PreEscaped(settings))
            }
            @if may_edit {
                td class="no-link center" { (layout::asking_state_button(page, *enabled)) }
            } @else {
                td class="center" { (page.language.state(*enabled)) }
            }
            td class="description overflow hide-sm-dn" { (layout::stored(page, description.as_deref().unwrap_or_default())) }
        }
    }
}

/// The number of domains that the search finds, and those of the page asked for. An `order_by` that names no
/// column makes the database refuse the list, but not the count.
fn select(page: &Page<'_>) -> (usize, Vec<DomainRow>) {
    let call = page.call;
    let search = call.get("search").filter(|text| !text.is_empty());
    let pattern = search.map(|text| format!("%{}%", text.to_lowercase()));
    let matches = |row: &&DomainRow| pattern.as_deref().is_none_or(|pattern| found(row, pattern));
    let db = &page.state.db;
    let total = if pattern.is_some() { db.domains().filter(matches).count() } else { db.domain_count() };
    let rows = page.state.page_rows;
    let skip = rows.saturating_mul(call.page_number());
    if page.strike.hides_page(call.page_number()) {
        return (total, Vec::new());
    }
    let descending = call.get("order") == Some("desc");
    let by = call.get("order_by").filter(|by| !by.is_empty()).unwrap_or("domain_name");
    if by == "domain_name" {
        let found = if descending {
            db.domains().rev().filter(matches).skip(skip).take(rows).cloned().collect()
        } else {
            db.domains().filter(matches).skip(skip).take(rows).cloned().collect()
        };
        return (total, found);
    }
    let mut all: Vec<&DomainRow> = db.domains().filter(matches).collect();
    match by {
        "domain_uuid" => all.sort_by_key(|row| row.uuid),
        // NULL comes last, as PostgreSQL has it.
        "domain_enabled" => all.sort_by_key(|row| (row.enabled.is_none(), row.enabled)),
        "domain_description" => {
            all.sort_by(|a, b| {
                (a.description.is_none(), &a.description).cmp(&(b.description.is_none(), &b.description))
            });
        }
        "insert_date" => all.sort_by_key(|row| row.inserted),
        _ => return (total, Vec::new()),
    }
    if descending {
        all.reverse();
    }
    (total, all.into_iter().skip(skip).take(rows).cloned().collect())
}

fn act(page: &mut Page<'_>, action: &str) -> Answer {
    let back = Answer::to(format!("domains.php{}", page.query('?')));
    let checked = page.call.checked("domains");
    let permission = match action {
        "copy" => "domain_add",
        "toggle" => "domain_edit",
        "delete" => "domain_delete",
        _ => return back,
    };
    // Without the permission the answer is the same, and nothing is said.
    if !page.may(permission) {
        return back;
    }
    if !page.has_token() {
        return Answer::to("domains.php");
    }
    if checked.is_empty() {
        return back;
    }
    match action {
        "toggle" => toggle(page, &checked),
        "copy" => copy(page, &checked),
        _ => {
            for domain in checked {
                if !delete(page, domain) {
                    return Answer { died: true, ..back };
                }
            }
            page.good_news(Word::Deleted);
        }
    }
    back
}

fn toggle(page: &mut Page<'_>, domains: &[Uuid]) {
    let now = page.state.now();
    for domain in domains {
        if let Some(mut row) = page.state.db.domain(*domain).cloned() {
            row.enabled = Some(row.enabled != Some(true));
            row.updated = Some(now);
            page.state.db.put_domain(row);
        }
    }
    page.good_news(Word::Toggled);
}

fn copy(page: &mut Page<'_>, domains: &[Uuid]) {
    for domain in domains {
        if let Some(row) = page.state.db.domain(*domain).cloned() {
            let description = format!("{} (Copy)", row.description.as_deref().unwrap_or_default().trim());
            page.state.db.put_domain(DomainRow {
                uuid: Uuid::new_v4(),
                description: Some(description),
                ..row
            });
        }
    }
    page.good_news(Word::Copied);
}

/// Deletes a domain; `false` when the work died half way.
pub(super) fn delete(page: &mut Page<'_>, domain: Uuid) -> bool {
    let whole = page.state.db.delete_domain(domain, page.strike.delete_stops_after());
    if whole && let Some(domains) = &mut page.session.domains {
        *domains = domains.iter().filter(|(uuid, _)| *uuid != domain).cloned().collect::<Vec<_>>().into();
    }
    whole
}
