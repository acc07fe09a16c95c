//! Pages of every version with something changed that a theme, a language or a next version may change: each is read as
//! before, or not understood. Never is a wrong value read, and never does a page say that a permission lacks.

use std::fmt::Debug;

use lol_html::html_content::{ContentType, Element};
use lol_html::{RewriteStrSettings, element, rewrite_str};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::{DomainForm, DomainPage, SettingForm, SettingList, SignInPage, UserPage, sign_in_page, version};
use crate::config::{InstanceConfig, SecretSource, TlsTrust};
use crate::fusionpbx::connection::{Connection, Query};
use crate::fusionpbx::page_spec::{DOMAIN_EDIT, DOMAINS, PageSpec, SETTING_EDIT, SETTINGS, SYSTEM, USERS};
use crate::fusionpbx::{PbxErrorKind, RetryPolicy};
use crate::model::{InstanceKey, Secret};
use fusionpbx_standin::{NewSetting, NewUser, PbxProfile, StandIn, StandInOptions};

/// Ways in which a page of one kind and one version is changed. Five versions make a thousand of a kind.
const WAYS: u64 = 200;

/// A page, and how it is read: what it says as text that can be compared.
struct Kind {
    name: &'static str,
    text: String,
    read: fn(&str) -> Result<String, PbxErrorKind>,
}

fn shown(value: impl Debug) -> String {
    format!("{value:?}")
}

/// Everything of a form that a change of the page must not change. A checkbox says "no" by what it lacks, which no
/// reader of the page alone can know; who reads such a form asks the list as well.
fn domain_form(text: &str) -> Result<String, PbxErrorKind> {
    let form = DomainForm::parse(text)?;
    let enabled = if form.enabled.by_absence { None } else { Some(form.enabled.value) };
    Ok(shown((form.id, form.name, enabled, form.description)))
}

fn setting_form(text: &str) -> Result<String, PbxErrorKind> {
    let form = SettingForm::parse(text)?;
    let enabled = if form.enabled.by_absence { None } else { Some(form.enabled.value) };
    Ok(shown((form.domain, form.id, &form.name, form.value(), enabled, &form.description)))
}

/// The words for enabled and disabled are compared by anyone who reads the whole list, so a word that was translated
/// everywhere is the same to it.
fn domains(text: &str) -> Result<String, PbxErrorKind> {
    let page = DomainPage::parse(text)?;
    let rows: Vec<_> = page.rows.into_iter().map(|row| (row.id, row.name, row.description)).collect();
    Ok(shown((page.total, rows)))
}

fn settings(text: &str) -> Result<String, PbxErrorKind> {
    let list = SettingList::parse(text)?;
    let rows: Vec<_> =
        list.rows.into_iter().map(|row| (row.id, row.category, row.subcategory, row.kind)).collect();
    Ok(shown((list.domain_name, rows)))
}

fn users(text: &str) -> Result<String, PbxErrorKind> {
    let page = UserPage::parse(text)?;
    if !page.all_domains {
        return Err(PbxErrorKind::Server);
    }
    let rows: Vec<_> = page.rows.into_iter().map(|row| (row.id, row.username, row.groups)).collect();
    Ok(shown((page.total, rows)))
}

fn system(text: &str) -> Result<String, PbxErrorKind> {
    version(text).map(shown).ok_or(PbxErrorKind::Server)
}

fn sign_in(text: &str) -> Result<String, PbxErrorKind> {
    match sign_in_page(text) {
        Some(SignInPage::Credentials(form)) => Ok(shown((form.asks_username, form.asks_password))),
        _ => Err(PbxErrorKind::Server),
    }
}

async fn pages(profile: PbxProfile) -> Vec<Kind> {
    let server = StandIn::start(StandInOptions { profile, ..StandInOptions::plain() }).await.unwrap();
    let pbx = server.pbx();
    let acme = pbx.add_domain("acme.example.com", Some(true), Some("Acme Corp"));
    pbx.add_domain("closed.example.com", Some(false), Some("Closed (3) & Co"));
    pbx.add_domain("third.example.com", Some(true), Some("A third"));
    for (subcategory, name, value) in [
        ("time_zone", "name", "Europe/Berlin"),
        ("cidr", "array", "10.0.0.0/8"),
        ("language", "code", "en-us"),
    ] {
        pbx.add_setting(acme, NewSetting::new("domain", subcategory, name, value));
    }
    pbx.add_user(NewUser {
        domain: acme,
        username: "anna".into(),
        password: "secret-1".into(),
        enabled: Some(true),
        groups: vec!["admin".into()],
    });
    let config = InstanceConfig {
        key: InstanceKey::parse("hq").unwrap(),
        url: server.url().parse().unwrap(),
        username: StandInOptions::default().username,
        password: SecretSource::Env("UNUSED".into()),
        totp: None,
        tls: TlsTrust::SystemRoots,
        sessions: 1,
        timeout: std::time::Duration::from_secs(20),
        max_requests_per_second: 1000,
        allow_plaintext: false,
        web_session_lifetime: std::time::Duration::from_secs(60),
    };
    let password = Secret::new(StandInOptions::default().password);
    let connection = Connection::new(&config, password.into(), RetryPolicy::default()).unwrap();
    let first = connection.transport_text("/login.php").await;
    let get = async |page: PageSpec, query: Query| {
        let mut held = connection.pool.take().await;
        connection.get("read a page", &mut held.session, page, &query).await.unwrap().text
    };
    let id = |id: Uuid| vec![("id", id.to_string())];
    let list = get(SETTINGS, id(acme)).await;
    let setting = SettingList::parse(&list).unwrap().rows[0].id;
    let of_setting = vec![("domain_uuid", acme.to_string()), ("id", setting.to_string())];
    vec![
        Kind { name: "sign-in", text: first, read: sign_in },
        Kind { name: "domains", text: get(DOMAINS, Query::new()).await, read: domains },
        Kind { name: "domain", text: get(DOMAIN_EDIT, id(acme)).await, read: domain_form },
        Kind { name: "settings", text: list, read: settings },
        Kind { name: "setting", text: get(SETTING_EDIT, of_setting).await, read: setting_form },
        Kind { name: "users", text: get(USERS, vec![("show", "all".to_owned())]).await, read: users },
        Kind { name: "system", text: get(SYSTEM, Query::new()).await, read: system },
    ]
}

/// Texts that are data: no one translates them.
fn is_data(text: &str) -> bool {
    [
        "example", "Corp", "Co", "third", "anna", "admin", "tenantd", "Berlin", "test", "5.", "cidr", "zone",
        "language",
    ]
    .iter()
    .any(|data| text.contains(data))
        || text.chars().any(|c| c.is_ascii_digit())
}

/// Changes one to three elements of a page.
fn mutilate(text: &str, random: &mut StdRng) -> String {
    let mut elements = 0;
    let _ = rewrite_str(
        text,
        RewriteStrSettings::new().append_element_content_handler(element!("*", |_| {
            elements += 1;
            Ok(())
        })),
    );
    let chosen: Vec<usize> =
        (0..random.random_range(1..=3)).map(|_| random.random_range(0..elements)).collect();
    let mut at = 0;
    rewrite_str(
        text,
        RewriteStrSettings::new().append_element_content_handler(element!("*", |element| {
            if chosen.contains(&at) {
                change(element, random);
            }
            at += 1;
            Ok(())
        })),
    )
    .unwrap()
}

fn change(element: &mut Element<'_, '_>, random: &mut StdRng) {
    let attributes: Vec<(String, String)> =
        element.attributes().iter().map(|attribute| (attribute.name(), attribute.value())).collect();
    match random.random_range(0..6) {
        // An attribute goes, or has another name.
        way @ 0..=1 => {
            if let Some((name, value)) = attributes.choose(random) {
                element.remove_attribute(name);
                if way == 1 {
                    element.set_attribute(&format!("data-{name}"), value).unwrap();
                }
            }
        }
        // The attributes stand in another order.
        2 => {
            for (name, value) in attributes.iter().rev() {
                element.remove_attribute(name);
                element.set_attribute(name, value).unwrap();
            }
        }
        // The element is wrapped, or gets a neighbour.
        3 if !matches!(
            element.tag_name().as_str(),
            "html" | "head" | "body" | "tr" | "td" | "th" | "option"
        ) =>
        {
            element.before("<span class='new'>", ContentType::Html);
            element.after("</span>", ContentType::Html);
        }
        3 | 4 => {
            let new = match element.tag_name().as_str() {
                "td" | "th" => "<td class='new'>new</td>",
                "tr" => "<tr class='new'><td>new</td></tr>",
                "option" => "<option value='new'>new</option>",
                "html" | "head" | "body" => return,
                _ => "<i class='new'>new</i><input type='hidden' name='new' value='new'>",
            };
            element.before(new, ContentType::Html);
        }
        // A title is translated.
        _ => {
            for name in ["title", "placeholder", "alt"] {
                if element.get_attribute(name).is_some_and(|text| !is_data(&text)) {
                    element.set_attribute(name, "Übersetzt").unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_is_changed_is_read_right_or_not_understood() {
    let mut read_right = 0_u32;
    let mut not_understood = 0_u32;
    for profile in PbxProfile::ALL {
        for Kind { name, text, read } in pages(profile).await {
            let right = read(&text).unwrap_or_else(|error| panic!("{profile:?} {name}: {error}"));
            for seed in 0..WAYS {
                let changed = mutilate(&text, &mut StdRng::seed_from_u64(seed));
                match read(&changed) {
                    Ok(value) if value == right => read_right += 1,
                    // A form that says it by what it lacks is not believed alone.
                    Ok(value) if value == right.replace("Some(true)", "None") => not_understood += 1,
                    Ok(value) => panic!("{profile:?} {name} {seed}:\n{right}\n{value}\n{changed}"),
                    Err(PbxErrorKind::AccessDenied { permission }) => {
                        panic!("{profile:?} {name} {seed}: says that {permission:?} lacks\n{changed}")
                    }
                    Err(_) => not_understood += 1,
                }
            }
        }
    }
    // A reader that refuses everything would pass as well.
    assert!(read_right > not_understood * 4, "{read_right} read right, {not_understood} not understood");
}
