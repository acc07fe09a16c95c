//! A domain's settings.

use fusionpbx_standin::NewSetting;
use uuid::Uuid;

use crate::browser::{SETTING, SETTINGS, server_and_browser};

#[tokio::test]
async fn adding_a_setting_redirects_to_the_list() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    let answer = browser.save_setting(domain, None, ["Limit", "USERS", "Numeric", "Five"]).await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.location, Some(format!("{SETTINGS}?id={domain}")));
    let rows = server.pbx().settings(domain);
    let row = &rows[0];
    assert_eq!(
        (row.category.as_str(), row.subcategory.as_str(), row.name.as_str()),
        ("limit", "users", "numeric")
    );
    assert_eq!((row.value.as_deref(), row.order, row.enabled), (Some("Five"), Some(10), Some(true)));
    assert_eq!(row.description, None, "an empty field is NULL");
}

#[tokio::test]
async fn adding_the_same_setting_twice_makes_two_rows() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    for _ in 0..2 {
        browser.save_setting(domain, None, ["limit", "users", "numeric", "5"]).await;
    }
    assert_eq!(server.pbx().settings(domain).len(), 2);
}

#[tokio::test]
async fn an_own_new_uuid_makes_the_setting_once_however_often_it_is_posted() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    let uuid = Uuid::new_v4();
    for _ in 0..2 {
        browser.save_setting(domain, Some(uuid), ["limit", "users", "numeric", "5"]).await;
    }
    let rows = server.pbx().settings(domain);
    assert_eq!(rows.iter().map(|row| row.uuid).collect::<Vec<_>>(), [uuid]);
}

#[tokio::test]
async fn changing_a_setting_keeps_its_uuid_and_a_post_under_another_domain_moves_it() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let domain = pbx.add_domain("acme.example.com", Some(true), None);
    let other = pbx.add_domain("other.example.com", Some(true), None);
    let uuid = pbx.add_setting(domain, NewSetting::new("limit", "users", "numeric", "5"));
    browser.save_setting(domain, Some(uuid), ["limit", "users", "numeric", "6"]).await;
    assert_eq!(pbx.settings(domain)[0].value.as_deref(), Some("6"));
    browser.save_setting(other, Some(uuid), ["limit", "users", "numeric", "6"]).await;
    assert!(pbx.settings(domain).is_empty());
    assert_eq!(pbx.settings(other)[0].uuid, uuid);
}

#[tokio::test]
async fn order_zero_is_refused_and_ten_is_not() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    let fields = |order| {
        [
            ("domain_setting_category", "domain"),
            ("domain_setting_subcategory", "cidr"),
            ("domain_setting_name", "array"),
            ("domain_setting_value", "192.0.2.0/24"),
            ("domain_setting_order", order),
            ("domain_setting_enabled", "true"),
        ]
    };
    let path = format!("{SETTING}?domain_uuid={domain}");
    let refused = browser.post(&path, &fields("0")).await;
    assert_eq!((refused.status, refused.location.as_deref()), (200, None));
    assert!(refused.body.contains("Required Fields: Order"));
    assert!(server.pbx().settings(domain).is_empty());
    assert_eq!(browser.post(&path, &fields("10")).await.status, 302);
    assert_eq!(server.pbx().settings(domain).len(), 1);
}

#[tokio::test]
async fn a_wrong_token_goes_to_the_domain_and_saves_nothing() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    let answer = browser.post_bare(&format!("{SETTING}?domain_uuid={domain}"), &[("a", "b")]).await;
    assert_eq!(answer.location, Some(format!("../domains/domain_edit.php?id={domain}")));
    assert!(server.pbx().settings(domain).is_empty());
}

#[tokio::test]
async fn the_list_shows_settings_for_people_not_their_values() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let domain = pbx.add_domain("acme.example.com", Some(true), None);
    pbx.add_setting(domain, NewSetting::new("my_cat", "some-thing", "text", "a <b>\nc"));
    pbx.add_setting(domain, NewSetting::new("provision", "http_auth_enabled", "boolean", "true"));
    pbx.add_setting(domain, NewSetting::new("provision", "http_auth_password", "array", "hidden"));
    let off = NewSetting { enabled: false, ..NewSetting::new("ivr_menu", "x", "uuid", "1") };
    pbx.add_setting(domain, off);
    let page = browser.get(&format!("{SETTINGS}?id={domain}")).await;
    assert_eq!(page.text("div.heading div.count"), "4");
    assert_eq!(page.text("#heading_sub"), "acme.example.com");
    assert_eq!(page.texts("#form_list > b"), ["IVR Menu", "My Cat", "Provision"]);
    let column = |number: usize| page.texts(&format!("tr.list-row td:nth-child({number})"));
    assert_eq!(column(2), ["x", "some-thing", "http_auth_enabled", "http_auth_password"]);
    assert_eq!(column(3), ["UUID", "Text", "Boolean", "Array"]);
    assert_eq!(column(4), ["1", "a <b>c", "True", "**********"]);
    assert_eq!(column(5), ["False", "True", "True", "True"]);
    let classes = page.attributes("tr.list-row td.checkbox input[type=checkbox]", "class");
    assert_eq!(classes[1], "checkbox_my_cat");
}

#[tokio::test]
async fn following_a_link_of_the_list_moves_the_session_to_the_other_domain() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let domain = pbx.add_domain("acme.example.com", Some(true), None);
    let setting = pbx.add_setting(domain, NewSetting::new("limit", "users", "numeric", "5"));
    let page = browser.get(&format!("{SETTINGS}?id={domain}")).await;
    let link = page.attribute("tr.list-row", "href").unwrap();
    assert!(link.ends_with(&format!("&id={setting}&domain_uuid={domain}&domain_change=true")), "{link}");
    browser.get(&link).await;
    let users = browser.get("/core/users/user_json.php").await;
    assert_eq!(users.body, "[]", "the session is now in the domain without users");
}

#[tokio::test]
async fn the_form_has_the_exact_values_of_a_setting() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let domain = pbx.add_domain("acme.example.com", Some(true), None);
    let setting = NewSetting {
        enabled: false,
        description: "two\nlines",
        ..NewSetting::new("domain", "cidr", "array", "192.0.2.0/24")
    };
    let uuid = pbx.add_setting(domain, setting);
    let form = browser.get(&format!("{SETTING}?domain_uuid={domain}&id={uuid}")).await;
    let input = |name: &str| form.attribute(&format!("#frm input[name={name}]"), "value").unwrap();
    let menu =
        |name: &str| form.attribute(&format!("#frm select[name={name}] option[selected]"), "value").unwrap();
    assert_eq!(input("domain_setting_category"), "domain");
    assert_eq!(input("domain_setting_subcategory"), "cidr");
    assert_eq!(input("domain_setting_value"), "192.0.2.0/24");
    assert_eq!(menu("domain_setting_name"), "array");
    assert_eq!(menu("domain_setting_order"), "010");
    assert_eq!(menu("domain_setting_enabled"), "false");
    assert_eq!(form.text("#frm textarea[name=domain_setting_description]"), "two\nlines");
    assert_eq!(input("domain_setting_uuid"), uuid.to_string());
    assert_eq!(input("domain_uuid"), domain.to_string());
}

#[tokio::test]
async fn a_long_value_stands_unescaped_in_a_text_area() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    let value = "it's <x> & \"y\" and &amp; more of it";
    let uuid = server.pbx().add_setting(domain, NewSetting::new("a", "b", "text", value));
    let form = browser.get(&format!("{SETTING}?domain_uuid={domain}&id={uuid}")).await;
    assert!(form.body.contains(&format!(">{value}</textarea>")));
    let json = server.pbx().add_setting(domain, NewSetting::new("a", "c", "text", "{\"k\":1}"));
    let form = browser.get(&format!("{SETTING}?domain_uuid={domain}&id={json}")).await;
    assert!(form.body.contains(">{\"k\":1}</textarea>"));
}

#[tokio::test]
async fn menus_stand_in_for_the_value_of_known_settings() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    for (category, subcategory, name, value) in [
        ("domain", "time_zone", "name", "Asia/Kathmandu"),
        ("domain", "language", "code", "de-de"),
        ("domain", "time_format", "text", "24h"),
        ("provision", "enabled", "boolean", "true"),
    ] {
        let uuid = server.pbx().add_setting(domain, NewSetting::new(category, subcategory, name, value));
        let form = browser.get(&format!("{SETTING}?domain_uuid={domain}&id={uuid}")).await;
        let selected = form.attribute("select[name=domain_setting_value] option[selected]", "value");
        assert_eq!(selected.as_deref(), Some(value));
    }
}

#[tokio::test]
async fn an_unknown_setting_or_one_of_another_domain_gives_an_empty_form() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    let other = server.pbx().add_domain("other.example.com", Some(true), None);
    let uuid = server.pbx().add_setting(other, NewSetting::new("a", "b", "text", "c"));
    for id in [uuid, Uuid::new_v4()] {
        let form = browser.get(&format!("{SETTING}?domain_uuid={domain}&id={id}")).await;
        assert_eq!(form.status, 200);
        let value = form.attribute("#frm input[name=domain_setting_value]", "value");
        assert_eq!(value.as_deref(), Some(""));
        assert_eq!(form.attribute("#frm input[name=domain_setting_uuid]", "value"), Some(id.to_string()));
    }
}

#[tokio::test]
async fn the_time_zone_setting_also_rewrites_the_dialplan() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    assert_eq!(server.pbx().dialplan(domain).unwrap().time_zone, None);
    browser.save_setting(domain, None, ["domain", "time_zone", "name", "Europe/Berlin"]).await;
    assert_eq!(server.pbx().dialplan(domain).unwrap().time_zone.as_deref(), Some("Europe/Berlin"));
}

#[tokio::test]
async fn settings_are_deleted_and_toggled_from_the_list() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let domain = pbx.add_domain("acme.example.com", Some(true), None);
    let other = pbx.add_domain("other.example.com", Some(true), None);
    let keep = pbx.add_setting(domain, NewSetting::new("a", "keep", "text", "1"));
    let gone = pbx.add_setting(domain, NewSetting::new("a", "gone", "text", "1"));
    let foreign = pbx.add_setting(other, NewSetting::new("a", "foreign", "text", "1"));
    let form = [("domain_uuid", &*domain.to_string())];
    let answer = browser.act(SETTINGS, "domain_settings", "delete", &[gone, foreign], &form).await;
    assert_eq!(answer.location, Some(format!("{SETTINGS}?id={domain}")));
    assert_eq!(pbx.settings(domain).iter().map(|row| row.uuid).collect::<Vec<_>>(), [keep]);
    assert_eq!(pbx.settings(other).len(), 1, "a row of another domain stays");
    browser.act(SETTINGS, "domain_settings", "toggle", &[keep], &form).await;
    assert_eq!(pbx.settings(domain)[0].enabled, Some(false));
}

#[tokio::test]
async fn a_refused_value_of_a_setting_is_not_noticed() {
    let (server, browser) = server_and_browser().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    let fields = [
        ("domain_setting_category", "a"),
        ("domain_setting_subcategory", "b"),
        ("domain_setting_name", "text"),
        ("domain_setting_value", "c"),
        ("domain_setting_order", "10"),
        ("domain_setting_enabled", "maybe"),
    ];
    let answer = browser.post(&format!("{SETTING}?domain_uuid={domain}"), &fields).await;
    assert_eq!(answer.status, 302);
    assert!(server.pbx().settings(domain).is_empty());
}
