//! What all pages have around them.

use std::sync::Arc;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use uuid::Uuid;

use super::super::language::Word;
use super::super::profile::ListPage;
use super::super::rules::{html_entities, number_format};
use super::super::session::Token;
use super::Page;

/// A whole page. The messages left for this session are shown here, once; a token is made for the search of the
/// domain menu, which retires the used tokens of all pages.
pub(super) fn shell(page: &mut Page<'_>, title: &str, content: Markup) -> String {
    let messages = page.session.take_messages(page.state.profile.message_delay());
    let menu = page.session.new_token("/core/domains/domain_json.php");
    let script = format!(
        "function display_message(msg, mood, delay) {{}}\n\
         $(document).ready(function() {{\n\t\t{messages}\n}});\n\
         function search_domains(element_id) {{\n\
         \txhttp.open(\"GET\", \"/core/domains/domain_json.php?{}={}\", true);\n}}",
        menu.name, menu.value
    );
    let language = page.language.tag();
    let several = page.session.domains.as_ref().is_some_and(|domains| domains.len() > 1);
    let menu_of_domains = several && page.may("domain_select");
    html! {
        (DOCTYPE)
        html xmlns="http://www.w3.org/1999/xhtml" xml:lang=(language) lang=(language) {
            head {
                meta charset="utf-8";
                title { (title) @if !title.is_empty() { " - " } "FusionPBX" }
                script type="text/javascript" { (PreEscaped(script)) }
            }
            body {
                div id="message_container" {}
                @if menu_of_domains {
                    div id="domains_container" {
                        input type="hidden" id="domains_visible" value="0";
                        div id="domains_block" {
                            div id="domains_header" {
                                a id="domains_title" href="/core/domains/domains.php" {
                                    "Domains" div class="count" id="domain_count" {}
                                }
                                input type="text" id="domains_search" class="formfld" placeholder="Search...";
                            }
                            div id="domains_list" {}
                        }
                    }
                }
                div id="content_container" {
                    div id="body_header" {
                        a href="/core/users/user_profile.php" { "User Profile" }
                        a href="/logout.php" { "Logout" }
                    }
                    div id="main_content" {
                        (content)
                    }
                    div id="footer" {}
                }
            }
        }
    }
    .into_string()
}

/// The hidden input of a form's token.
pub(super) fn token_input(token: &Token) -> Markup {
    html! { input type="hidden" name=(token.name) value=(token.value); }
}

/// The bar above a list, with the total in it.
pub(super) fn list_bar(
    page: &Page<'_>,
    list: ListPage,
    id: &str,
    heading: impl FnOnce(Option<i64>) -> Markup,
    total: i64,
    controls: Markup,
) -> Markup {
    let in_brackets = page.state.profile.has_total_in_brackets(list);
    html! {
        div class="action_bar" id=(id) {
            div class="heading" {
                (heading(in_brackets.then_some(total)))
                @if !in_brackets { div class="count" { (number_format(total)) } }
            }
            div class="actions" { (controls) }
        }
    }
}

/// A title, with the total in brackets where the version has it there.
pub(super) fn title(text: &str, total: Option<i64>) -> Markup {
    html! { (text) @if let Some(total) = total { " (" (total) ")" } }
}

/// A stored text as the version escapes it.
pub(super) fn stored(page: &Page<'_>, text: &str) -> PreEscaped<String> {
    match page.state.profile.escapes_every_sign() {
        true => PreEscaped(html_entities(text)),
        false => html! { (text) },
    }
}

/// The control of a flag: a select or a checkbox. Both show NULL as on.
pub(super) fn flag(page: &Page<'_>, name: &str, state: Option<bool>) -> Markup {
    let language = page.language;
    let shown = state.unwrap_or(true);
    if page.state.profile.has_checkboxes() && page.state.has_switches {
        return html! {
            label class="switch" {
                input type="checkbox" id=(name) name=(name) value="true" checked[shown];
                span class="slider" {}
            }
        };
    }
    html! {
        span class="switch" {
            select class="formfld" id=(name) name=(name) {
                option value="true" selected[shown] { (language.say(Word::True)) }
                option value="false" selected[!shown] { (language.say(Word::False)) }
            }
            span class="slider" {}
        }
    }
}

/// The search form of a list.
pub(super) fn search_form(page: &Page<'_>) -> Markup {
    html! {
        form id="form_search" class="inline" method="get" {
            @for name in ["order_by", "order", "show"] {
                @if let Some(value) = page.call.get(name).filter(|value| !value.is_empty() && (name == "show" || page.state.profile.repeats_queries())) {
                    input type="hidden" name=(name) value=(value);
                }
            }
            input type="text" class="txt list-search" name="search" id="search" value=(page.call.get("search").unwrap_or_default()) placeholder="Search...";
            button type="submit" id="btn_search" class="btn btn-default" { "Search" }
        }
    }
}

/// The links to the pages of a list; nothing where one page holds it all.
pub(super) fn paging(page: &Page<'_>, total: usize) -> Markup {
    let mut query = page.query('&');
    if !page.state.profile.repeats_queries() && page.call.get("show") == Some("all") {
        query.push_str("&show=all");
    }
    let query = query.split('&').filter(|part| !part.starts_with("page=")).collect::<Vec<_>>().join("&");
    let pages = total.div_ceil(page.state.page_rows).max(1);
    let number = page.call.page_number();
    let link = |to: usize| format!("{}?page={to}{query}", page.php_self);
    html! {
        @if pages > 1 {
            center {
                @if number > 0 { a href=(link(number - 1)) { button type="button" title={ "Page " (number) } { "Back" } } }
                input id="paging_page_num" class="formfld" type="text" value=(number + 1);
                strong { (pages) }
                @if number + 1 < pages { a href=(link(number + 1)) { button type="button" title={ "Page " (number + 2) } { "Next" } } }
            }
        }
    }
}

/// The options of a menu of all domains, as the session knows them. A theme that loads them by a script has only the
/// one that is chosen.
pub(super) fn domain_options(page: &Page<'_>, selected: Option<Uuid>) -> Markup {
    let domains = page.session.domains.clone().unwrap_or_else(|| Arc::new(Vec::new()));
    let all = page.state.has_domain_menus;
    html! {
        @for (uuid, name) in domains.iter().filter(|(uuid, _)| all || selected == Some(*uuid)) {
            option value=(uuid) selected[selected == Some(*uuid)] { (stored(page, name)) }
        }
    }
}

/// The page that says what is wrong with a form, and lets an operator go back with what was typed. It has no title
/// of its own.
pub(super) fn complaint(page: &mut Page<'_>, complaints: &[String]) -> String {
    let call = page.call;
    let content = html! {
        div align="center" {
            table { tr { td { @for complaint in complaints { (complaint) br; } br; } } }
            form method="post" action="" target="_self" {
                @for (name, value) in &call.form {
                    input type="hidden" name=(name) value=(value);
                }
                input type="hidden" name="persistformvar" value="true";
                input class="btn" type="submit" value="Back";
            }
        }
    };
    shell(page, "", content)
}

/// The button that shows a row's state as a translated word.
pub(super) fn state_button(page: &Page<'_>, state: Option<bool>) -> Markup {
    let word = page.language.state(state);
    html! {
        button type="submit" alt=(alternative(word)) title="Toggle" class="btn btn-link" {
            @if !word.is_empty() { span class="button-label" { (word) } }
        }
    }
}

/// The same for a list whose toggle asks first in later versions: the question, with more buttons and ids that every
/// row repeats, stands in the row.
pub(super) fn asking_state_button(page: &Page<'_>, state: Option<bool>) -> Markup {
    if !page.state.profile.asks_before_toggling() {
        return state_button(page, state);
    }
    let word = page.language.state(state);
    html! {
        button type="button" name="btn_toggle_enabled" id="btn_toggle_enabled" alt=(alternative(word)) title="Toggle" class="btn btn-link" {
            @if !word.is_empty() { span class="button-label" { (word) } }
        }
        div id="modal-toggle_enabled" class="modal-window" {
            div {
                span class="modal-title" { "Confirmation" }
                span class="modal-actions" {
                    button type="button" alt="Cancel" { span class="button-label never pad" { "Cancel" } }
                    button type="button" id="btn_toggle_enabled" alt="Continue" { span class="button-label never pad" { "Continue" } }
                }
            }
        }
    }
}

fn alternative(word: &str) -> &str {
    if word.is_empty() { "Toggle" } else { word }
}
