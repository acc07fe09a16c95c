//! `user_json.php` and `users.php`.

use maud::{Markup, html};
use uuid::Uuid;

use super::super::exchange::Answer;
use super::super::language::Word;
use super::super::profile::ListPage;
use super::super::rules::{json_string, like};
use super::super::tables::UserRow;
use super::{Page, layout};

/// Rows after which `user_json.php` stops without saying so.
const JSON_ROWS: usize = 300;

/// `user_json.php`.
pub(super) fn json(page: &mut Page<'_>) -> Answer {
    if !page.may("user_view") {
        return Answer::access_denied();
    }
    let Some(users) = select(page) else { return Answer::page("") };
    let mut body = String::from("[");
    for user in users.iter().take(JSON_ROWS) {
        if body.len() > 1 {
            body.push(',');
        }
        write_row(page, user, &mut body);
    }
    body.push(']');
    Answer::page(body)
}

fn write_row(page: &Page<'_>, user: &UserRow, out: &mut String) {
    use std::fmt::Write;
    let UserRow { uuid, domain_uuid, username, email: _, enabled, groups: _, password: _ } = user;
    out.push_str("{\"domain_name\":");
    match page.state.db.domain(*domain_uuid) {
        Some(domain) => json_string(&domain.name, out),
        None => out.push_str("null"),
    }
    let _ = write!(out, ",\"domain_uuid\":\"{domain_uuid}\",\"user_uuid\":\"{uuid}\",\"username\":");
    json_string(username, out);
    out.push_str(",\"group_names\":");
    match group_names(user) {
        Some(names) => json_string(&names, out),
        None => out.push_str("null"),
    }
    out.push_str(match enabled {
        Some(true) => ",\"user_enabled\":\"true\"}",
        Some(false) => ",\"user_enabled\":\"false\"}",
        None => ",\"user_enabled\":null}",
    });
}

fn group_names(user: &UserRow) -> Option<String> {
    (!user.groups.is_empty()).then(|| user.groups.iter().cloned().collect::<Vec<_>>().join(", "))
}

/// The users that the page shows, in order. `None` when `order_by` names no column: the database refuses.
fn select(page: &Page<'_>) -> Option<Vec<UserRow>> {
    let call = page.call;
    let db = &page.state.db;
    let mut users: Vec<UserRow> = if call.get("show") == Some("all") && page.may("user_all") {
        db.users().cloned().collect()
    } else {
        page.session.domain.into_iter().flat_map(|domain| db.users_of(domain)).cloned().collect()
    };
    if let Some(search) = call.get("search") {
        let pattern = format!("%{}%", search.to_lowercase());
        users.retain(|user| {
            like(&user.username, &pattern) || group_names(user).is_some_and(|names| like(&names, &pattern))
        });
    }
    let domain_name = |user: &UserRow| db.domain(user.domain_uuid).map(|row| row.name.clone());
    match call.get("order_by").filter(|by| !by.is_empty()).unwrap_or("username") {
        "username" => users.sort_by(|a, b| (&a.username, a.uuid).cmp(&(&b.username, b.uuid))),
        "domain_name" => users.sort_by_key(domain_name),
        "user_enabled" => users.sort_by_key(|user| (user.enabled.is_none(), user.enabled)),
        "user_uuid" => users.sort_by_key(|user| user.uuid),
        "group_names" => users.sort_by_key(|user| (user.groups.is_empty(), group_names(user))),
        _ => return None,
    }
    if call.get("order") == Some("desc") {
        users.reverse();
    }
    Some(users)
}

/// `users.php`.
pub(super) fn list(page: &mut Page<'_>) -> Answer {
    if !page.may("user_view") {
        return Answer::access_denied();
    }
    let action = page.call.post("action").unwrap_or_default();
    if !action.is_empty() && page.call.has_rows("users") {
        return act(page, action);
    }
    let users = select(page).unwrap_or_default();
    let total = users.len();
    let shown = i64::try_from(total).unwrap_or(i64::MAX).saturating_add(page.strike.total_off_by());
    let all = page.call.get("show") == Some("all") && page.may("user_all");
    let rows = page.state.page_rows;
    let number = page.call.page_number();
    let skip = if page.strike.hides_page(number) { total } else { rows.saturating_mul(number) };
    let token = page.session.new_token(page.php_self);
    let controls = html! {
        a href="user_edit.php" { button type="button" id="btn_add" { "Add" } }
        (layout::search_form(page))
    };
    let content = html! {
        (layout::list_bar(page, ListPage::Other, "action_bar", |total| html! { b { (layout::title("Users", total)) } }, shown, controls))
        form id="form_list" method="post" {
            input type="hidden" id="action" name="action" value="";
            div class=[page.state.profile.has_cards().then_some("card")] {
                table class="list" {
                    tr class="list-header" {
                        th class="checkbox" { input type="checkbox" id="checkbox_all" name="checkbox_all"; }
                        @if all { th { "Domain" } }
                        th { a href="?order_by=username&order=desc" { "Username" } }
                        th { "Groups" }
                        @if page.state.profile.shows_contacts_of_users() { th { "Organization" } th { "Name" } th { "Notes" } }
                        th { "Enabled" }
                    }
                    @for (index, user) in users.iter().skip(skip).take(rows).enumerate() {
                        (list_row(page, all, index, user))
                    }
                }
            }
            div align="center" { (layout::paging(page, total)) }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, "Users", content))
}

fn list_row(page: &Page<'_>, all: bool, index: usize, user: &UserRow) -> Markup {
    let UserRow { uuid, domain_uuid, username, email: _, enabled, groups: _, password: _ } = user;
    let mut edit = format!("user_edit.php?id={uuid}{}", page.query('&'));
    if page.state.profile.links_name_domains()
        && Some(*domain_uuid) != page.session.domain
        && page.may("domain_select")
    {
        edit.push_str(&format!("&domain_uuid={domain_uuid}&domain_change=true"));
    }
    // The name comes from the session's own list, which does not know what others have made since.
    let known = |domain: &Uuid| {
        let domains = page.session.domains.as_ref()?;
        domains.iter().find(|(uuid, _)| uuid == domain).map(|(_, name)| name.clone())
    };
    let contacts = page.state.profile.shows_contacts_of_users();
    html! {
        tr class="list-row" href=(edit) {
            td class="checkbox" {
                input type="checkbox" name={ "users[" (index) "][checked]" } id={ "checkbox_" (index) } value="true";
                input type="hidden" name={ "users[" (index) "][uuid]" } value=(uuid);
            }
            @if all { td { (layout::stored(page, &known(domain_uuid).unwrap_or_default())) } }
            td { a href=(edit) title="Edit" { (layout::stored(page, username)) } }
            td { (layout::stored(page, &group_names(user).unwrap_or_default())) }
            @if contacts { td {} td {} td {} }
            td class="no-link center" { (layout::state_button(page, *enabled)) }
        }
    }
}

fn act(page: &mut Page<'_>, action: &str) -> Answer {
    let back = Answer::to(format!("users.php{}", page.query('?')));
    let permission = match action {
        "toggle" => "user_edit",
        "delete" => "user_delete",
        _ => return back,
    };
    if !page.may(permission) {
        return back;
    }
    if !page.has_token() {
        return Answer::to("users.php");
    }
    for uuid in page.call.checked("users") {
        if action == "delete" {
            page.state.db.take_user(uuid);
        } else if let Some(user) = page.state.db.user_mut(uuid) {
            user.enabled = Some(user.enabled != Some(true));
        }
    }
    page.good_news(if action == "delete" { Word::Deleted } else { Word::Toggled });
    back
}
