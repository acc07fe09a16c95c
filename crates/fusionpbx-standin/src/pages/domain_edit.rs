//! `domain_edit.php`: makes, changes, renames, enables and disables a domain.

use maud::html;
use uuid::Uuid;

use super::super::exchange::Answer;
use super::super::language::Word;
use super::super::rules;
use super::super::tables::DomainFields;
use super::{Page, domains, layout, posted_flag};

/// What the form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    New,
    /// Also a uuid that no one has yet: the save makes the row.
    Existing(Uuid),
}

pub(super) fn page(page: &mut Page<'_>) -> Answer {
    if !page.may("domain_all") && !page.may("domain_edit") {
        return Answer::access_denied();
    }
    let target = match page.call.request_uuid("id") {
        _ if !page.may("domain_add") => Target::Existing(page.session.domain.unwrap_or_default()),
        Some(uuid) => Target::Existing(uuid),
        None => Target::New,
    };
    if !page.call.form.is_empty() && rules::is_empty(page.call.post("persistformvar")) {
        return post(page, target);
    }
    form(page, target)
}

fn post(page: &mut Page<'_>, mut target: Target) -> Answer {
    let call = page.call;
    let query = page.query('?');
    let list = || Answer::to(format!("domains.php{query}"));
    if let (Target::Existing(_), Some(uuid)) = (target, call.post("domain_uuid").and_then(rules::uuid)) {
        target = Target::Existing(uuid);
    }
    if call.post("action") == Some("delete")
        && page.may("domain_delete")
        && let Target::Existing(uuid) = target
    {
        if !page.has_token() {
            return Answer::to("domains.php");
        }
        if !domains::delete(page, uuid) {
            return Answer { died: true, ..list() };
        }
        page.good_news(Word::Deleted);
        return list();
    }
    if !page.has_token() {
        return list();
    }
    let name = call.post("domain_name").unwrap_or_default().to_ascii_lowercase();
    // The name is looked up as it was typed but stored trimmed: blanks at its ends get a second row past this.
    let in_use = target == Target::New && page.state.db.named(&name).next().is_some();
    if in_use && page.state.profile.redirects_from_a_name_in_use() {
        page.bad_news(Word::NameInUse);
        return Answer::to("domains.php");
    }
    let mut complaints = Vec::new();
    if rules::is_empty(Some(&name)) {
        complaints.push(format!("{}Name", page.language.say(Word::Required)));
    }
    if in_use {
        complaints.push(page.language.say(Word::Duplicate).to_owned());
    }
    if !complaints.is_empty() {
        return Answer::page(layout::complaint(page, &complaints));
    }
    let enabled = match target {
        Target::New if page.state.profile.enables_what_it_creates() => Some("true"),
        _ => posted_flag(page, "domain_enabled"),
    };
    let fields = DomainFields { name: &name, enabled, description: call.post("domain_description") };
    match target {
        Target::New => create(page, fields),
        Target::Existing(uuid) => update(page, uuid, fields),
    }
    page.session.domains = None;
    page.good_news(if target == Target::New { Word::Added } else { Word::Updated });
    list()
}

fn create(page: &mut Page<'_>, fields: DomainFields<'_>) {
    let uuid = Uuid::new_v4();
    let now = page.state.now();
    if page.state.db.save_domain(uuid, fields, now).is_ok() {
        page.state.db.import_dialplans(uuid, fields.name);
    }
    page.state.db.make_directories(fields.name);
}

fn update(page: &mut Page<'_>, uuid: Uuid, fields: DomainFields<'_>) {
    let now = page.state.now();
    let old = page.state.db.domain(uuid).map(|row| row.name.clone());
    // A refused row is not noticed: what follows is done all the same, and the answer is that of a success.
    let _ = page.state.db.save_domain(uuid, fields, now);
    if page.state.db.domain(uuid).is_some() {
        page.state.db.import_dialplans(uuid, fields.name);
    }
    if let Some(old) = old.filter(|old| old != fields.name) {
        let asker = page.session.domain.and_then(|uuid| page.state.db.domain(uuid));
        let asker = asker.map(|row| row.name.clone()).unwrap_or_default();
        page.state.db.rename_dependents(uuid, &old, fields.name, &asker);
    }
}

fn form(page: &mut Page<'_>, target: Target) -> Answer {
    let call = page.call;
    // A query without an `id` shows the session's own domain in a form that would add one.
    let shown = match target {
        Target::Existing(uuid) => Some(uuid),
        Target::New if call.query.is_empty() => None,
        Target::New => page.session.domain,
    };
    let row = shown.and_then(|uuid| page.state.db.domain(uuid)).cloned();
    let name = match &row {
        Some(row) => row.name.to_ascii_lowercase(),
        None => call.post("domain_name").unwrap_or_default().to_owned(),
    };
    let description = row.as_ref().and_then(|row| row.description.clone()).unwrap_or_default();
    let enabled = match &row {
        Some(row) => row.enabled,
        None => Some(true),
    };
    let token = page.session.new_token(page.php_self);
    let title = if target == Target::New { "Domain Add" } else { "Domain" };
    let several = page.session.domains.as_ref().is_some_and(|domains| domains.len() > 1);
    let deletable = page.may("domain_delete") && several && shown.is_some() && shown != page.session.domain;
    let content = html! {
        form method="post" name="frm" id="frm" {
            div class="action_bar" id="action_bar" {
                div class="heading" { b { (title) } }
                div class="actions" {
                    a href={ "domains.php" (page.query('?')) } { button type="button" id="btn_back" { "Back" } }
                    @if let Target::Existing(uuid) = target {
                        a href={ "/core/domain_settings/domain_settings.php?id=" (uuid) } {
                            button type="button" { "Settings" }
                        }
                    }
                    @if deletable { button type="submit" id="btn_delete_domain" name="action" value="delete" { "Delete" } }
                    @if several && page.may("domain_select") {
                        select id="domains" class="formfld" { (layout::domain_options(page, shown.or(page.session.domain))) }
                    }
                    button type="submit" id="btn_save" { "Save" }
                }
            }
            div class="card" {
                table {
                    tr {
                        td class="vncellreq" { "Name" }
                        td class="vtable" { input class="formfld" type="text" name="domain_name" maxlength="255" value=(layout::stored(page, &name)); }
                    }
                    tr {
                        td class="vncellreq" { "Enabled" }
                        td class="vtable" {
                            (layout::flag(page, "domain_enabled", enabled))
                        }
                    }
                    tr {
                        td class="vncell" { "Description" }
                        td class="vtable" { input class="formfld" type="text" name="domain_description" maxlength="255" value=(layout::stored(page, &description)); }
                    }
                }
            }
            @if let Target::Existing(uuid) = target { input type="hidden" name="domain_uuid" value=(uuid); }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, title, content))
}
