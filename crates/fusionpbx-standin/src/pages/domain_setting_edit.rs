//! `domain_setting_edit.php`: makes and changes one setting.

use maud::{Markup, PreEscaped, html};
use uuid::Uuid;

use super::super::exchange::Answer;
use super::super::language::Word;
use super::super::rules::{self, NotTaken};
use super::super::tables::{SettingRow, stored};
use super::domain_settings::{TYPES, is_secret};
use super::{Page, layout, posted_flag};

const TIME_ZONES: [&str; 12] = [
    "Africa/Cairo",
    "America/Chicago",
    "America/Los_Angeles",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Paris",
    "Pacific/Auckland",
    "UTC",
];

const LANGUAGES: [&str; 6] = ["en-us", "de-at", "de-ch", "de-de", "en-gb", "fr-fr"];

pub(super) fn page(page: &mut Page<'_>) -> Answer {
    if !page.may("domain_setting_add") && !page.may("domain_setting_edit") {
        return Answer::access_denied();
    }
    let domain = page.call.get("domain_uuid").and_then(rules::uuid).or(page.session.domain);
    let domain = domain.unwrap_or_default();
    let setting = page.call.request_uuid("id");
    if !page.call.form.is_empty() && rules::is_empty(page.call.post("persistformvar")) {
        return post(page, domain, setting);
    }
    form(page, domain, setting)
}

fn post(page: &mut Page<'_>, domain: Uuid, setting: Option<Uuid>) -> Answer {
    let call = page.call;
    if !page.has_token() {
        return Answer::to(format!("../domains/domain_edit.php?id={domain}"));
    }
    let lower = |name: &str| call.post(name).unwrap_or_default().to_ascii_lowercase();
    let category: String = lower("domain_setting_category")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' '))
        .collect();
    let subcategory = lower("domain_setting_subcategory");
    let name = lower("domain_setting_name");
    let order = call.post("domain_setting_order");
    let missing: Vec<String> = [
        ("Category", Some(category.as_str())),
        ("Subcategory", Some(subcategory.as_str())),
        ("Type", Some(name.as_str())),
        ("Order", order),
    ]
    .into_iter()
    .filter(|(_, value)| rules::is_empty(*value))
    .map(|(label, _)| format!("{}{label}", page.language.say(Word::Required)))
    .collect();
    if !missing.is_empty() {
        return Answer::page(layout::complaint(page, &missing));
    }
    let value = call.post("domain_setting_value");
    if (category.as_str(), subcategory.as_str(), name.as_str()) == ("domain", "time_zone", "name")
        && let Some(dialplan) = page.state.db.dialplans.get_mut(&domain)
    {
        dialplan.time_zone = value.map(str::to_owned);
    }
    let news = if setting.is_some() { Word::Updated } else { Word::Added };
    let posted = call.post("domain_setting_uuid").filter(|uuid| !uuid.is_empty());
    let uuid = match (setting, posted) {
        (None, _) => Some(Uuid::new_v4()),
        (Some(_), Some(posted)) => rules::uuid(posted),
        (Some(uuid), None) => Some(uuid),
    };
    if let Some(uuid) = uuid {
        let row = Posted { uuid, domain, category, subcategory, name, value, order };
        // A refused row is not noticed.
        let _ = save(page, row);
    }
    page.good_news(news);
    Answer::to(format!("/core/domain_settings/domain_settings.php?id={domain}"))
}

struct Posted<'a> {
    uuid: Uuid,
    domain: Uuid,
    category: String,
    subcategory: String,
    name: String,
    value: Option<&'a str>,
    order: Option<&'a str>,
}

/// Makes the row with this uuid or overwrites it; a row of another domain moves here.
fn save(page: &mut Page<'_>, posted: Posted<'_>) -> Result<(), NotTaken> {
    let call = page.call;
    let Posted { uuid, domain, category, subcategory, name, value, order } = posted;
    let order = order.map(rules::number).transpose()?;
    let enabled = posted_flag(page, "domain_setting_enabled").filter(|text| !text.is_empty());
    let enabled = enabled.map(rules::boolean).transpose()?;
    let updated = page.state.db.setting(uuid).map(|_| page.state.now());
    page.state.db.put_setting(SettingRow {
        uuid,
        domain_uuid: domain,
        category: rules::trim(&category).to_owned(),
        subcategory: rules::trim(&subcategory).to_owned(),
        name: rules::trim(&name).to_owned(),
        value: stored(value),
        order,
        enabled,
        description: stored(call.post("domain_setting_description")),
        updated,
    });
    Ok(())
}

fn form(page: &mut Page<'_>, domain: Uuid, setting: Option<Uuid>) -> Answer {
    let call = page.call;
    let row = call
        .get("id")
        .and_then(rules::uuid)
        .and_then(|uuid| page.state.db.setting(uuid))
        .filter(|row| row.domain_uuid == domain)
        .cloned();
    let category = match (&row, setting) {
        (Some(row), _) => row.category.clone(),
        (None, None) => call.get("domain_setting_category").unwrap_or_default().to_owned(),
        (None, Some(_)) => String::new(),
    };
    let text = |pick: fn(&SettingRow) -> &str| row.as_ref().map_or("", pick).to_owned();
    let subcategory = text(|row| &row.subcategory);
    let name = text(|row| &row.name);
    let description = text(|row| row.description.as_deref().unwrap_or_default());
    let order = row.as_ref().and_then(|row| row.order);
    let enabled = match &row {
        Some(row) => row.enabled,
        None => Some(true),
    };
    let token = page.session.new_token(page.php_self);
    let title = if setting.is_some() { "Domain Setting" } else { "Domain Setting Add" };
    let content = html! {
        form name="frm" id="frm" method="post" {
            div class="action_bar" id="action_bar" {
                div class="heading" { b { (title) } }
                div class="actions" {
                    a href={ "/core/domain_settings/domain_settings.php?id=" (domain) } { button type="button" id="btn_back" { "Back" } }
                    button type="button" id="btn_save" { "Save" }
                }
            }
            div class="card" {
                input type="text" class="formfld" name="domain_setting_category" id="domain_setting_category" maxlength="255" value=(layout::stored(page, &category));
                input class="formfld lowercase" type="text" name="domain_setting_subcategory" id="domain_setting_subcategory" maxlength="255" value=(layout::stored(page, &subcategory));
                select class="formfld" id="domain_setting_name" name="domain_setting_name" required {
                    option value="" {}
                    @for kind in TYPES {
                        @let value = kind.to_ascii_lowercase();
                        option value=(value) selected[value == name] { (kind) }
                    }
                }
                (value_field(page, row.as_ref()))
                div id="tr_order" {
                    select name="domain_setting_order" class="formfld" {
                        @for number in 0..1000_i64 {
                            @let padded = format!("{number:03}");
                            option value=(padded) selected[order == Some(number)] { (padded) }
                        }
                    }
                }
                (layout::flag(page, "domain_setting_enabled", enabled))
                textarea class="formfld" name="domain_setting_description" { (layout::stored(page, &description)) }
            }
            input type="hidden" name="domain_uuid" value=(domain);
            @if let Some(uuid) = setting { input type="hidden" name="domain_setting_uuid" value=(uuid); }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, title, content))
}

/// The field with the value: a menu for what FusionPBX knows, a text area for what is long or JSON, else a line.
/// Later versions do not escape a text area's contents.
fn value_field(page: &Page<'_>, row: Option<&SettingRow>) -> Markup {
    let value = row.and_then(|row| row.value.as_deref()).unwrap_or_default();
    let key = row.map_or(("", "", ""), |row| (&row.category, &row.subcategory, &row.name));
    let language = page.language;
    match key {
        ("domain", "time_zone", "name") => menu(value, &TIME_ZONES, value.contains('/')),
        ("domain", "language", "code") => menu(value, &LANGUAGES, value.len() == 5),
        ("domain", "template", "name") => menu(value, &["default"], false),
        ("domain", "menu", "uuid") => menu(value, &[], rules::uuid(value).is_some()),
        ("domain", "time_format", "text") => menu(value, &["24h", "12h"], false),
        (_, subcategory, _) if is_secret(subcategory) => html! {
            input class="formfld password" type="password" id="domain_setting_value" name="domain_setting_value" maxlength="255" value=(layout::stored(page, value));
        },
        ("theme", subcategory, "text" | "array") if subcategory.contains("_color") => html! {
            input type="text" class="formfld colorpicker" id="domain_setting_value" name="domain_setting_value" value=(layout::stored(page, value));
        },
        _ if is_json(value) => text_area(page, value),
        (_, _, "boolean") => html! {
            select class="formfld" id="domain_setting_value" name="domain_setting_value" {
                option value="false" { (language.say(Word::False)) }
                option value="true" selected[value.eq_ignore_ascii_case("true")] { (language.say(Word::True)) }
            }
        },
        _ if value.len() > 25 && page.state.profile.has_text_areas() => text_area(page, value),
        _ => html! {
            input class="formfld" type="text" id="domain_setting_value" name="domain_setting_value" value=(layout::stored(page, value));
        },
    }
}

/// A menu; a value that it does not have is not selected, unless it is one that a real server would know.
fn menu(value: &str, known: &[&str], plausible: bool) -> Markup {
    html! {
        select class="formfld" id="domain_setting_value" name="domain_setting_value" {
            option value="" {}
            @for option in known { option value=(option) selected[*option == value] { (option) } }
            @if plausible && !known.contains(&value) { option value=(value) selected { (value) } }
        }
    }
}

fn text_area(page: &Page<'_>, value: &str) -> Markup {
    let value = match page.state.profile.has_text_areas() {
        true => PreEscaped(value.to_owned()),
        false => layout::stored(page, value),
    };
    html! {
        textarea class="formfld" id="domain_setting_value" name="domain_setting_value" { (value) }
    }
}

fn is_json(value: &str) -> bool {
    matches!(serde_json::from_str(value), Ok(serde_json::Value::Array(_) | serde_json::Value::Object(_)))
}
