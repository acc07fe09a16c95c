//! `user_logs.php`: sign-ins, and whether the session of each is still there.

use maud::{Markup, html};

use super::super::exchange::Answer;
use super::super::profile::ListPage;
use super::super::rules::like;
use super::super::state::LogRow;
use super::{Page, layout};

pub(super) fn page(page: &mut Page<'_>) -> Answer {
    if !page.may("user_log_view") {
        return Answer::access_denied();
    }
    let all = page.call.get("show") == Some("all") && page.may("user_log_all");
    let pattern = page.call.get("search").map(|search| format!("%{}%", search.to_lowercase()));
    let token = page.session.new_token(page.php_self);
    let rows: Vec<&LogRow> = page
        .state
        .user_log
        .iter()
        .rev()
        .filter(|row| all || row.domain == page.session.domain)
        .filter(|row| pattern.as_deref().is_none_or(|pattern| finds(row, pattern)))
        .collect();
    let profile = page.state.profile;
    let total = rows.len();
    let skip = page.state.page_rows.saturating_mul(page.call.page_number());
    let content = html! {
        (layout::list_bar(
            page,
            ListPage::Other,
            "action_bar",
            |total| html! { b { (layout::title("User Logs", total)) } },
            i64::try_from(total).unwrap_or(i64::MAX),
            layout::search_form(page),
        ))
        form id="form_list" method="post" {
            input type="hidden" id="action" name="action" value="";
            div class=[profile.has_cards().then_some("card")] {
                table class="list" {
                    tr class="list-header" {
                        @if all { th { "Domain" } }
                        th { "Date" } th { "Time" }
                        @if profile.shows_session_states() { th { "Hostname" } th { "Status" } }
                        th { "Username" } th { "Type" } th { "Result" }
                        @if profile.logs_have_details() { th { "Detail" } }
                        th { "Remote Address" } th { "User Agent" }
                    }
                    @for row in rows.iter().skip(skip).take(page.state.page_rows) { (list_row(page, all, row)) }
                }
            }
            div align="center" { (layout::paging(page, total)) }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, "User Logs", content))
}

/// The search does not look at the domain.
fn finds(row: &LogRow, pattern: &str) -> bool {
    [row.username.as_str(), "login", result(row), &row.client.to_string(), &row.user_agent]
        .into_iter()
        .any(|text| like(text, pattern))
}

fn result(row: &LogRow) -> &'static str {
    if row.accepted { "success" } else { "failure" }
}

fn list_row(page: &Page<'_>, all: bool, row: &LogRow) -> Markup {
    let profile = page.state.profile;
    let domain = row.domain.and_then(|domain| page.state.db.domain(domain));
    // A session is there while its file is; the one that asks is at work and so not in the store.
    let is_there = page.session.id == row.session || page.state.sessions.has(&row.session);
    let state = match (row.accepted, is_there) {
        (false, _) => "list-status-failed",
        (true, true) => "list-status-active",
        (true, false) => "list-status-inactive",
    };
    html! {
        tr class="list-row" {
            @if all { td { (layout::stored(page, domain.map_or("", |row| &row.name))) } }
            td { (row.at.format("%d %b %Y")) }
            td class="left hide-md-dn" { (layout::stored(page, &row.at.format("%I:%M:%S %P").to_string())) }
            @if profile.shows_session_states() {
                td class="hide-md-dn" { "pbx" }
                td { div class=(state) {} }
            }
            td { (layout::stored(page, &row.username)) }
            td { "login" }
            td { (result(row)) }
            @if profile.logs_have_details() { td {} }
            td { (layout::stored(page, &row.client.to_string())) }
            td { (layout::stored(page, &row.user_agent)) }
        }
    }
}
