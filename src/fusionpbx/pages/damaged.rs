//! Pages of every version, changed at random as a theme, a language or a new version may change them. Each is read as
//! before or not understood: never with a wrong value, and never as a missing permission.

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

/// How many changed pages are tried for each page and version. Five versions make a thousand of each page.
const CHANGES: u64 = 200;

/// A page, and a function that reads it into a text for comparison.
struct TestPage {
    name: &'static str,
    text: String,
    read: fn(&str) -> Result<String, PbxErrorKind>,
}

fn shown(value: impl Debug) -> String {
    format!("{value:?}")
}

/// Everything in a form that must not change. A checkbox shows "no" by a missing attribute, which the page alone does not
/// prove, so the list is read as well.
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

/// The labels for enabled and disabled are compared only with each other, so translating all of them changes nothing.
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

async fn pages(profile: PbxProfile) -> Vec<TestPage> {
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
        TestPage { name: "sign-in", text: first, read: sign_in },
        TestPage { name: "domains", text: get(DOMAINS, Query::new()).await, read: domains },
        TestPage { name: "domain", text: get(DOMAIN_EDIT, id(acme)).await, read: domain_form },
        TestPage { name: "settings", text: list, read: settings },
        TestPage { name: "setting", text: get(SETTING_EDIT, of_setting).await, read: setting_form },
        TestPage { name: "users", text: get(USERS, vec![("show", "all".to_owned())]).await, read: users },
        TestPage { name: "system", text: get(SYSTEM, Query::new()).await, read: system },
    ]
}

/// Whether a text is data, which is never translated.
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
fn change_page(text: &str, random: &mut StdRng) -> String {
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
                change_element(element, random);
            }
            at += 1;
            Ok(())
        })),
    )
    .unwrap()
}

fn change_element(element: &mut Element<'_, '_>, random: &mut StdRng) {
    let attributes: Vec<(String, String)> =
        element.attributes().iter().map(|attribute| (attribute.name(), attribute.value())).collect();
    match random.random_range(0..6) {
        // Remove or rename an attribute.
        way @ 0..=1 => {
            if let Some((name, value)) = attributes.choose(random) {
                element.remove_attribute(name);
                if way == 1 {
                    element.set_attribute(&format!("data-{name}"), value).unwrap();
                }
            }
        }
        // Reorder the attributes.
        2 => {
            for (name, value) in attributes.iter().rev() {
                element.remove_attribute(name);
                element.set_attribute(name, value).unwrap();
            }
        }
        // Wrap the element, or add a neighbour.
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
        // Translate a title.
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
async fn a_changed_page_is_read_correctly_or_not_understood() {
    let mut correct = 0_u32;
    let mut not_understood = 0_u32;
    for profile in PbxProfile::ALL {
        for TestPage { name, text, read } in pages(profile).await {
            let right = read(&text).unwrap_or_else(|error| panic!("{profile:?} {name}: {error}"));
            for seed in 0..CHANGES {
                let changed = change_page(&text, &mut StdRng::seed_from_u64(seed));
                match read(&changed) {
                    Ok(value) if value == right => correct += 1,
                    // A form without the attribute does not prove it alone.
                    Ok(value) if value == right.replace("Some(true)", "None") => not_understood += 1,
                    Ok(value) => panic!("{profile:?} {name} {seed}:\n{right}\n{value}\n{changed}"),
                    Err(PbxErrorKind::AccessDenied { permission }) => {
                        panic!(
                            "{profile:?} {name} {seed}: reports the missing permission {permission:?}\n{changed}"
                        )
                    }
                    Err(_) => not_understood += 1,
                }
            }
        }
    }
    // Otherwise a parser that refuses everything would pass.
    assert!(correct > not_understood * 4, "{correct} correct, {not_understood} not understood");
}
