//! `user_edit.php`: makes and changes a user.

use std::collections::BTreeSet;

use maud::html;
use uuid::Uuid;

use super::super::exchange::Answer;
use super::super::language::Word;
use super::super::rules;
use super::super::session::Mood;
use super::super::tables::Setting;
use super::super::tables::UserRow;
use super::{Page, layout, posted_flag};

const GROUPS: [&str; 6] = ["admin", "agent", "fax", "public", "superadmin", "user"];

pub(super) fn page(page: &mut Page<'_>) -> Answer {
    // As the real page has it: who may not add users is let in.
    if page.may("user_add") && !page.may("user_view") && !page.may("user_edit") {
        return Answer::access_denied();
    }
    let user = page.call.request_uuid("id");
    if user.is_none()
        && page.may("user_add")
        && let Some(answer) = refuse_beyond_limit(page)
    {
        return answer;
    }
    if !page.call.form.is_empty() {
        return post(page, user);
    }
    form(page, user)
}

/// The setting `limit`/`users` of the session's domain (not of the domain posted) caps the number of users, for
/// the empty form too.
fn refuse_beyond_limit(page: &mut Page<'_>) -> Option<Answer> {
    let domain = page.session.domain?;
    let limit = match page.state.setting(domain, "limit", "users")? {
        Setting::One(limit) => limit,
        Setting::Many(list) => list.last()?.clone(),
    };
    let allowed: u64 = limit.trim().parse().ok()?;
    let users = u64::try_from(page.state.db.users_of(domain).count()).unwrap_or(u64::MAX);
    if users < allowed {
        return None;
    }
    let text = format!("{} {limit}", page.language.say(Word::MaximumUsers));
    page.session.say(Mood::Negative, text);
    Some(Answer::to(format!("users.php{}", page.query('?'))))
}

fn post(page: &mut Page<'_>, user: Option<Uuid>) -> Answer {
    let call = page.call;
    if !page.has_token() {
        return Answer::to(format!("users.php{}", page.query('?')));
    }
    let domain = call.post("domain_uuid").and_then(rules::uuid).or(page.session.domain).unwrap_or_default();
    let field = |name: &str| call.post(name).unwrap_or_default();
    let (username, password, email) = (field("username"), field("password"), field("user_email"));
    let group = field("group_uuid_name").split_once('|').map(|(_, name)| name).unwrap_or_default();
    let mut wrong: Vec<&str> = Vec::new();
    for (bad, what) in [
        (rules::is_empty(Some(username)), "Username"),
        (!email.contains('@'), "Email"),
        (user.is_none() && group.is_empty(), "Group"),
        (user.is_none() && password.is_empty(), "Password"),
        (!password.is_empty() && !strong(password), "Password"),
        (password != field("password_confirm"), "Confirm Password"),
    ] {
        if bad {
            wrong.push(what);
        }
    }
    let taken =
        page.state.db.users_of(domain).any(|other| other.username == username && Some(other.uuid) != user);
    if taken {
        page.bad_news(Word::UsernameExists);
    }
    if !wrong.is_empty() {
        let text = format!("{}{}", page.language.say(Word::Required), wrong.join(", "));
        page.session.say(Mood::Negative, text);
    }
    if page.session.has_messages() {
        let id = user.map(|uuid| format!("?id={uuid}")).unwrap_or_default();
        return Answer::to(format!("user_edit.php{id}"));
    }
    let uuid = user.unwrap_or_else(Uuid::new_v4);
    let old = page.state.db.take_user(uuid);
    let mut groups = old.as_ref().map_or_else(BTreeSet::new, |old| old.groups.clone());
    if !group.is_empty() {
        groups.insert(group.to_owned());
    }
    let password = if password.is_empty() {
        old.map(|old| old.password).unwrap_or_default()
    } else {
        password.to_owned()
    };
    page.state.db.put_user(UserRow {
        uuid,
        domain_uuid: domain,
        username: rules::trim(username).to_owned(),
        email: Some(email.to_owned()),
        enabled: posted_flag(page, "user_enabled").and_then(|text| rules::boolean(text).ok()),
        groups,
        password,
    });
    page.good_news(if user.is_some() { Word::Updated } else { Word::Added });
    Answer::to(format!("user_edit.php?id={uuid}{}", page.query('&')))
}

/// The stock rules for a password: 12 characters, a digit, a lower-case and an upper-case letter.
fn strong(password: &str) -> bool {
    let has = |test: fn(&char) -> bool| password.chars().any(|c| test(&c));
    password.len() >= 12
        && has(char::is_ascii_digit)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_uppercase)
}

fn form(page: &mut Page<'_>, user: Option<Uuid>) -> Answer {
    let row = match user {
        None => None,
        Some(uuid) => match page.state.db.user(uuid).cloned() {
            Some(row) => Some(row),
            None => {
                page.bad_news(Word::InvalidUser);
                let own = page.session.account.as_ref().map(|account| account.user_uuid).unwrap_or_default();
                return Answer::to(format!("user_edit.php?id={own}"));
            }
        },
    };
    let token = page.session.new_token(page.php_self);
    let username = row.as_ref().map_or("", |row| row.username.as_str());
    let email = row.as_ref().and_then(|row| row.email.as_deref()).unwrap_or_default();
    let domain = row.as_ref().map(|row| row.domain_uuid).or(page.session.domain);
    let enabled = row.as_ref().and_then(|row| row.enabled);
    let content = html! {
        form name="frm" id="frm" method="post" {
            input type="text" class="formfld" name="username" id="username" autocomplete="new-password" value=(layout::stored(page, username)) required;
            input type="password" class="formfld" name="password" id="password" autocomplete="new-password" value="";
            input type="password" class="formfld" name="password_confirm" id="password_confirm" autocomplete="new-password" value="";
            input type="text" class="formfld" name="user_email" value=(layout::stored(page, email)) required;
            select id="user_language" name="user_language" class="formfld" { option value="" {} option value="en-us" {} }
            select id="user_time_zone" name="user_time_zone" class="formfld" { option value="" {} option value="UTC" {} }
            select name="group_uuid_name" class="formfld" {
                option value="" {}
                @for group in GROUPS { option value={ (Uuid::nil()) "|" (group) } { (group) } }
            }
            select class="formfld" name="user_type" id="user_type" { option value="default" selected { "Default" } option value="virtual" { "Virtual" } }
            select class="formfld" name="domain_uuid" { (layout::domain_options(page, domain)) }
            (layout::flag(page, "user_enabled", enabled))
            @if let Some(uuid) = user {
                input type="hidden" name="id" value=(uuid);
                input type="hidden" name="username_old" value=(layout::stored(page, username));
            }
            (layout::token_input(&token))
        }
    };
    Answer::page(layout::shell(page, "User Edit", content))
}
