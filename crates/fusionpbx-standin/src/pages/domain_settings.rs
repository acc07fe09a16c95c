//! `domain_settings.php`: the list of a domain's settings, and what can be done to those that are ticked.

use maud::{Markup, PreEscaped, html};
use uuid::Uuid;

use super::super::exchange::Answer;
use super::super::language::Word;
use super::super::profile::ListPage;
use super::super::rules::{self, like};
use super::super::tables::SettingRow;
use super::{Page, layout};

/// The types a setting can have, as the list shows them. A type it does not know is shown as the first.
pub(super) const TYPES: [&str; 8] = ["Array", "Boolean", "Code", "Dir", "Name", "Numeric", "Text", "UUID"];

pub(super) fn page(page: &mut Page<'_>) -> Answer {
    if !page.may("domain_setting_view") {
        return Answer::access_denied();
    }
    if let Some(action) = page.call.post("action").filter(|action| !rules::is_empty(Some(action))) {
        return act(page, action);
    }
    list(page)
}

fn list(page: &mut Page<'_>) -> Answer {
    let call = page.call;
    let domain = call.get("id").and_then(rules::uuid).or(page.session.domain).unwrap_or_default();
    let all = call.get("show") == Some("all") && page.may("domain_setting_all");
    let total = i64::try_from(page.state.db.settings_of(domain).count()).unwrap_or(i64::MAX);
    let rows = select(page, domain, all);
    let name = page.state.db.domain(domain).map(|row| row.name.clone()).unwrap_or_default();
    let token = page.session.new_token(page.php_self);
    let title = if all { "Domain Settings".to_owned() } else { name };
    let heading = |total| html! { b id="heading_sub" { (layout::title(&title, total)) } };
    let controls = html! {
        a href="/core/domains/domains.php" { button type="button" id="action_bar_sub_button_back" { "Back" } }
        a href={ "/core/domain_settings/domain_setting_edit.php?domain_uuid=" (domain) } {
            button type="button" id="btn_add" { "Add" }
        }
        @if page.state.profile.searches_settings() { (layout::search_form(page)) }
        @if total > 0 {
            select class="formfld" id="target_domain" {
                option value=(domain) { "(Duplicate)" }
                (layout::domain_options(page, None))
            }
            button type="button" name="btn_toggle" { "Toggle" }
            button type="button" name="btn_delete" { "Delete" }
        }
    };
    let mut groups: Vec<(String, Vec<(usize, &SettingRow)>)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match groups.last_mut() {
            Some((category, members)) if *category == row.category => members.push((index, row)),
            _ => groups.push((row.category.clone(), vec![(index, row)])),
        }
    }
    let content = html! {
        (layout::list_bar(page, ListPage::Settings, "action_bar_sub", heading, total + page.strike.total_off_by(), controls))
        "Settings for this domain override those defined in Default Settings."
        form id="form_list" method="post" action="/core/domain_settings/domain_settings.php" {
            input type="hidden" id="action" name="action" value="";
            input type="hidden" name="domain_uuid" value=(domain);
            input type="hidden" name="domain_uuid_target" id="domain_uuid_target" value="";
            (tables(page, domain, all, &groups))
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, "Domain Settings", content))
}

type Group<'a> = (String, Vec<(usize, &'a SettingRow)>);

/// A table for each category. Early versions open one more before the first, which only an empty list closes: an HTML
/// parser moves what stands between them.
fn tables(page: &Page<'_>, domain: Uuid, all: bool, groups: &[Group<'_>]) -> Markup {
    let nested = page.state.profile.nests_setting_tables();
    let table = |category: &str, members: &[(usize, &SettingRow)]| {
        html! {
            table class="list" {
                tr class="list-header" {
                    th class="checkbox" { input type="checkbox" id={ "checkbox_all_" (category.to_lowercase()) } name="checkbox_all"; }
                    @if all { th { "Domain" } }
                    th class="pct-35" { a href="?order_by=domain_setting_subcategory&order=asc" { "Subcategory" } }
                    th class="pct-10 hide-sm-dn" { "Type" }
                    th class="pct-30" { "Value" }
                    th class="center" { "Enabled" }
                    th class="pct-25 hide-sm-dn" { "Description" }
                }
                @for (index, row) in members { (list_row(page, domain, all, *index, row)) }
            }
        }
    };
    let content = html! {
        @if nested { (PreEscaped("<table class='list'>\n")) }
        @for (category, members) in groups {
            b { (category_label(category)) } br;
            @if nested { (table(category, members)) } @else { div class="card" { (table(category, members)) } }
            br;
        }
        @if nested && groups.is_empty() { (PreEscaped("</table>\n")) }
    };
    match nested && page.state.profile.has_cards() {
        true => html! { div class="card" { (content) } },
        false => content,
    }
}

fn select(page: &Page<'_>, domain: Uuid, all: bool) -> Vec<SettingRow> {
    let db = &page.state.db;
    let mut rows: Vec<SettingRow> =
        if all { db.settings().cloned().collect() } else { db.settings_of(domain).cloned().collect() };
    if let Some(search) = page.call.get("search").filter(|search| !search.is_empty()) {
        let pattern = format!("%{}%", search.to_lowercase());
        rows.retain(|row| {
            [Some(&row.category), Some(&row.subcategory), Some(&row.name), row.description.as_ref()]
                .into_iter()
                .flatten()
                .any(|text| like(text, &pattern))
        });
    }
    let order = |row: &SettingRow| (row.order.is_none(), row.order);
    let value = |row: &SettingRow| (row.value.is_none(), row.value.clone());
    match page.call.get("order_by").unwrap_or_default() {
        "" => rows.sort_by_cached_key(|row| {
            let (category, subcategory) = (row.category.clone(), row.subcategory.clone());
            (category, subcategory, order(row), row.name.clone(), value(row))
        }),
        "domain_setting_category" => rows.sort_by(|a, b| a.category.cmp(&b.category)),
        "domain_setting_subcategory" => rows.sort_by(|a, b| a.subcategory.cmp(&b.subcategory)),
        "domain_setting_name" => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        "domain_setting_value" => rows.sort_by_cached_key(value),
        "domain_setting_enabled" => rows.sort_by_key(|row| (row.enabled.is_none(), row.enabled)),
        _ => rows.clear(),
    }
    if page.call.get("order") == Some("desc") && page.call.get("order_by").is_some() {
        rows.reverse();
    }
    rows
}

fn list_row(page: &Page<'_>, domain: Uuid, all: bool, index: usize, row: &SettingRow) -> Markup {
    let SettingRow { uuid, domain_uuid, category, subcategory, name, enabled, description, .. } = row;
    let mut edit = format!("/core/domain_settings/domain_setting_edit.php?domain_uuid={domain}&id={uuid}");
    edit.push_str(&page.query('&'));
    // Following this link moves the session to the other domain.
    if page.state.profile.setting_links_change_the_domain()
        && Some(*domain_uuid) != page.session.domain
        && page.may("domain_select")
    {
        edit.push_str(&format!("&domain_uuid={domain_uuid}&domain_change=true"));
    }
    let kind = TYPES.into_iter().find(|kind| kind.eq_ignore_ascii_case(name)).unwrap_or(TYPES[0]);
    let of = |uuid: &Uuid| page.state.db.domain(*uuid).map(|row| row.name.clone()).unwrap_or_default();
    html! {
        tr class="list-row" href=(edit) {
            td class="checkbox" {
                input type="checkbox" name={ "domain_settings[" (index) "][checked]" } id={ "checkbox_" (index) } class={ "checkbox_" (category.to_lowercase()) } value="true";
                input type="hidden" name={ "domain_settings[" (index) "][uuid]" } value=(uuid);
            }
            @if all { td { (of(domain_uuid)) } }
            td class="overflow no-wrap" { a href=(edit) { (layout::stored(page, subcategory)) } }
            td class="hide-sm-dn" { (kind) }
            td class="overflow no-wrap" { (shown_value(page, row)) }
            td class="no-link center" { (layout::state_button(page, *enabled)) }
            td class="description overflow hide-sm-dn" title=(layout::stored(page, description.as_deref().unwrap_or_default())) {
                (layout::stored(page, description.as_deref().unwrap_or_default())) (PreEscaped("&nbsp;"))
            }
        }
    }
}

/// The value as the list shows it to people: masked, translated or laid out, so not the value itself.
fn shown_value(page: &Page<'_>, row: &SettingRow) -> Markup {
    let value = row.value.as_deref().unwrap_or_default();
    let key = (row.category.as_str(), row.subcategory.as_str(), row.name.as_str());
    match key {
        ("domain", "time_format", "text") => html! { (if value == "12h" { "12-Hour" } else { "24-Hour" }) },
        ("domain", "template", "name") => html! { (title_case(value)) },
        (_, subcategory, _) if is_secret(subcategory) || subcategory.contains("_key") => {
            html! { @if !value.is_empty() { (page.state.profile.stars()) } }
        }
        ("theme", subcategory, "text" | "array") if subcategory.contains("_color") => {
            html! { img src="/images/spacer.gif" style={ "background: " (value) ";" }; span { (value) } }
        }
        _ if value == "true" => html! { (page.language.say(Word::True)) },
        _ if value == "false" => html! { (page.language.say(Word::False)) },
        _ => html! {
            @for (index, line) in value.split('\n').enumerate() {
                @if index > 0 { i class="fas fa-level-down-alt" {} }
                (layout::stored(page, line))
            }
        },
    }
}

/// Whether a setting holds a secret by its name.
pub(super) fn is_secret(subcategory: &str) -> bool {
    subcategory == "password"
        || (subcategory.contains("_password") && subcategory != "input_text_font_password")
        || subcategory.contains("_secret")
}

fn category_label(category: &str) -> String {
    match category.to_lowercase().as_str() {
        "api" => "API".to_owned(),
        "cdr" => "CDR".to_owned(),
        "ldap" => "LDAP".to_owned(),
        "ivr_menu" => "IVR Menu".to_owned(),
        _ => title_case(&category.replace(['_', '-'], " ")),
    }
}

fn title_case(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let c = if start { c.to_ascii_uppercase() } else { c };
            start = c == ' ';
            c
        })
        .collect()
}

fn act(page: &mut Page<'_>, action: &str) -> Answer {
    let call = page.call;
    let domain = call.post("domain_uuid").and_then(rules::uuid).unwrap_or_default();
    let back = Answer::to(format!(
        "/core/domain_settings/domain_settings.php?id={}{}",
        call.request("domain_uuid").unwrap_or_default(),
        page.query('&')
    ));
    let permission = match action {
        "copy" => "domain_setting_add",
        "toggle" => "domain_setting_edit",
        "delete" => "domain_setting_delete",
        _ => return back,
    };
    if !call.has_rows("domain_settings") || !page.may(permission) {
        return back;
    }
    if !page.has_token() {
        // The way back is made before the domain of the form is known.
        let own = page.session.domain.filter(|_| page.state.profile.wrong_token_leads_to_the_own_domain());
        let own = own.map(|uuid| uuid.to_string()).unwrap_or_default();
        return Answer::to(format!("/core/domains/domain_edit.php?id={own}"));
    }
    let checked = call.checked("domain_settings");
    if checked.is_empty() {
        return back;
    }
    let now = page.state.now();
    let db = &mut page.state.db;
    match action {
        "delete" => {
            for setting in checked {
                db.take_setting(domain, setting);
            }
            page.good_news(Word::Deleted);
        }
        "toggle" => {
            let mut toggled = false;
            for setting in checked {
                if let Some(row) = db.setting_mut(setting).filter(|row| row.domain_uuid == domain) {
                    row.enabled = Some(row.enabled != Some(true));
                    row.updated = Some(now);
                    toggled = true;
                }
            }
            if toggled {
                page.good_news(Word::Toggled);
            }
        }
        _ => {
            let Some(target) = call.post("domain_uuid_target").and_then(rules::uuid) else { return back };
            for setting in checked {
                let Some(row) = db.setting(setting).cloned() else { continue };
                let same = |other: &&SettingRow| {
                    (&other.category, &other.subcategory, &other.name)
                        == (&row.category, &row.subcategory, &row.name)
                };
                let over = (target != domain && row.name != "array")
                    .then(|| db.settings_of(target).find(same).map(|other| other.uuid))
                    .flatten();
                let uuid = over.unwrap_or_else(Uuid::new_v4);
                db.put_setting(SettingRow { uuid, domain_uuid: target, ..row });
            }
            page.good_news(Word::Copied);
        }
    }
    back
}
