//! Each profile looks and does as its version. What a version does was seen on a real installation.

use std::time::Duration;

use fusionpbx_standin::{NewSetting, NewUser, PbxProfile, StandIn, StandInOptions};
use uuid::Uuid;

use crate::browser::{
    Browser, EDIT, JSON, LIST, SETTING, SETTINGS, Seen, USER, USERS, USERS_JSON, server_of,
};

use PbxProfile::{Master, V5_2, V5_3, V5_4, V5_5};

const LOGS: &str = "/core/user_logs/user_logs.php?show=all";
const BLOCK: &str = "255.255.255.255/32";
const PASSWORD: &str = "Secret-of-alice-1";

fn releases() -> impl Iterator<Item = PbxProfile> {
    PbxProfile::ALL.into_iter().filter(|profile| *profile != Master)
}

/// A server with a tenant whose user `alice` may see users, and the superadmin's browser.
async fn with_tenant(profile: PbxProfile) -> (StandIn, Browser, Uuid) {
    let server = server_of(profile).await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), Some("Acme, Inc."));
    server.pbx().add_user(NewUser {
        domain,
        username: "alice".to_owned(),
        password: PASSWORD.to_owned(),
        enabled: Some(true),
        groups: vec!["admin".to_owned()],
    });
    let browser = Browser::signed_in(&server).await;
    (server, browser, domain)
}

fn heading(page: &Seen) -> (String, String) {
    (page.text("div.heading b"), page.text("div.heading div.count"))
}

#[test]
fn a_version_is_known_by_its_tag_and_by_its_own_number() {
    for profile in PbxProfile::ALL {
        assert_eq!(PbxProfile::parse(profile.name()), Some(profile));
        assert_eq!(PbxProfile::parse(profile.version()), Some(profile));
    }
    assert_eq!(PbxProfile::parse("5.3.3"), Some(V5_3));
    assert_eq!(PbxProfile::parse("4.4.1"), None);
}

#[tokio::test]
async fn only_the_sign_in_form_of_master_has_a_token() {
    for profile in PbxProfile::ALL {
        let server = server_of(profile).await;
        let form = Browser::new(&server).get("/login.php").await;
        assert!(form.is_login_form(), "{profile:?}");
        assert_eq!(form.tokens().len(), usize::from(profile == Master), "{profile:?}");
        assert_eq!(form.attributes("input[name=remember]", "type").len(), usize::from(profile == Master));
        let cookie = form.cookie.unwrap();
        assert_eq!(cookie.contains("HttpOnly; SameSite=Lax"), profile >= V5_5, "{profile:?}: {cookie}");
    }
}

#[tokio::test]
async fn up_to_5_3_the_redirect_of_a_sign_in_carries_the_dashboard() {
    for profile in PbxProfile::ALL {
        let server = server_of(profile).await;
        let browser = Browser::new(&server);
        let StandInOptions { username, password, .. } = StandInOptions::default();
        let answer = browser.sign_in(&username, &password).await;
        assert_eq!(answer.location.as_deref(), Some("/core/dashboard/"), "{profile:?}");
        assert_eq!(answer.body.contains("hud_system_status_details"), profile <= V5_3, "{profile:?}");
        assert_eq!(answer.cookie.is_some(), matches!(profile, V5_2 | V5_3 | Master), "{profile:?}: a new id");
        assert!(browser.get(JSON).await.body.starts_with('['), "{profile:?}");
    }
}

#[tokio::test]
async fn the_version_stands_on_two_pages() {
    for profile in PbxProfile::ALL {
        let server = server_of(profile).await;
        let browser = Browser::signed_in(&server).await;
        let system = browser.get("/app/system/system.php").await;
        assert_eq!(system.text("td.row_style1"), profile.version());
        let dashboard = browser.get("/core/dashboard/").await;
        assert_eq!(dashboard.texts("td.hud_text")[1], profile.version());
    }
}

#[tokio::test]
async fn totals_stand_in_brackets_or_in_a_box() {
    for profile in PbxProfile::ALL {
        let (server, browser, domain) = with_tenant(profile).await;
        server.pbx().add_setting(domain, NewSetting::new("limit", "users", "numeric", "3"));
        let domains = heading(&browser.get(LIST).await);
        let users = heading(&browser.get(&format!("{USERS}?show=all")).await);
        let gateways = heading(&browser.get("/app/gateways/gateways.php?show=all").await);
        let settings = heading(&browser.get(&format!("{SETTINGS}?id={domain}")).await);
        let pair = |title: &str, count: &str| (title.to_owned(), count.to_owned());
        if profile == V5_2 {
            assert_eq!((domains, users), (pair("Domains (2)", ""), pair("Users (2)", "")));
            assert_eq!(gateways, pair("Gateways (0)", ""));
        } else {
            assert_eq!((domains, users), (pair("Domains", "2"), pair("Users", "2")), "{profile:?}");
            assert_eq!(gateways, pair("Gateways", "0"), "{profile:?}");
        }
        if profile <= V5_3 {
            assert_eq!(settings, pair("acme.example.com (1)", ""), "{profile:?}");
        } else {
            assert_eq!(settings, pair("acme.example.com", "1"), "{profile:?}");
        }
    }
}

#[tokio::test]
async fn the_releases_write_every_sign_of_a_stored_text_as_an_entity() {
    for profile in PbxProfile::ALL {
        let (server, browser, domain) = with_tenant(profile).await;
        let setting = server.pbx().add_setting(domain, NewSetting::new("x", "api_key", "text", "a/b"));
        let list = browser.get(LIST).await;
        assert_eq!(list.body.contains(">acme&period;example&period;com</a>"), profile != Master);
        assert_eq!(list.body.contains("Acme&comma; Inc&period;"), profile != Master);
        assert_eq!(list.texts("tr.list-row a[title=Edit]")[0], "acme.example.com", "{profile:?}");
        assert_eq!(
            list.attributes("tr.list-row input[data-item-name]", "data-item-name").len(),
            if profile >= V5_5 { 2 } else { 0 },
            "{profile:?}"
        );
        let form = browser.get(&format!("{SETTING}?domain_uuid={domain}&id={setting}")).await;
        assert_eq!(form.body.contains("value=\"api&lowbar;key\""), profile != Master, "{profile:?}");
        let value = form.attribute("#frm [name=domain_setting_subcategory]", "value");
        assert_eq!(value.as_deref(), Some("api_key"), "{profile:?}");
        let json = browser.get(JSON).await.body;
        assert!(json.contains("\"acme.example.com\""), "{profile:?}: JSON has no entities");
    }
}

#[tokio::test]
async fn flags_are_checkboxes_up_to_5_4_unless_the_theme_has_no_switches() {
    for profile in PbxProfile::ALL {
        for has_switches in [true, false] {
            let options = StandInOptions { profile, has_switches, ..StandInOptions::plain() };
            let server = StandIn::start(options).await.unwrap();
            let browser = Browser::signed_in(&server).await;
            let boxes = profile <= V5_4 && has_switches;
            for (state, shown) in [(Some(true), true), (Some(false), false), (None, true)] {
                let id = server.pbx().add_domain("a.example.com", state, None);
                let form = browser.get(&format!("{EDIT}?id={id}")).await;
                let checked = form.attributes("input[type=checkbox][name=domain_enabled][checked]", "value");
                let chosen = form.attributes("select[name=domain_enabled] option[selected]", "value");
                if boxes {
                    assert_eq!(
                        (checked.len(), chosen.len()),
                        (usize::from(shown), 0),
                        "{profile:?} {state:?}"
                    );
                } else {
                    assert_eq!(
                        (checked.len(), chosen),
                        (0, vec![shown.to_string()]),
                        "{profile:?} {state:?}"
                    );
                }
            }
            let user = browser.get(USER).await;
            assert_eq!(
                user.attributes("input[type=checkbox][name=user_enabled]", "value").len(),
                usize::from(boxes)
            );
        }
    }
}

#[tokio::test]
async fn a_flag_left_out_is_false_up_to_5_4_and_null_after() {
    for profile in PbxProfile::ALL {
        let (server, browser, domain) = with_tenant(profile).await;
        let id = domain.to_string();
        let fields =
            [("domain_uuid", id.as_str()), ("domain_name", "acme.example.com"), ("domain_description", "")];
        browser.post(&format!("{EDIT}?id={domain}"), &fields).await;
        let stored = server.pbx().domain(domain).unwrap().enabled;
        assert_eq!(stored, if profile <= V5_4 { Some(false) } else { None }, "{profile:?}");
    }
}

#[tokio::test]
async fn a_plain_create_is_enabled_up_to_5_4_whatever_is_posted() {
    for profile in PbxProfile::ALL {
        let (server, browser, _) = with_tenant(profile).await;
        let fields =
            [("domain_name", "new.example.com"), ("domain_enabled", "false"), ("domain_description", "")];
        browser.post(EDIT, &fields).await;
        let made = server.pbx().domains_named("new.example.com").remove(0);
        assert_eq!(made.enabled, Some(profile <= V5_4), "{profile:?}");
        let dialplans = match profile {
            V5_2 | V5_5 => 32,
            V5_3 => 33,
            V5_4 | Master => 34,
        };
        assert_eq!(server.pbx().dialplans(made.uuid), dialplans, "{profile:?}");
        // Under a uuid of one's own the state is taken as posted.
        let own = Uuid::new_v4();
        browser.save_domain(own, "own.example.com", "false", "").await;
        assert_eq!(server.pbx().domain(own).unwrap().enabled, Some(false), "{profile:?}");
    }
}

#[tokio::test]
async fn a_name_in_use_is_refused_by_a_redirect_up_to_5_4_and_by_a_text_after() {
    for profile in PbxProfile::ALL {
        let (server, browser, _) = with_tenant(profile).await;
        let answer = browser.create_domain("acme.example.com").await;
        assert_eq!(server.pbx().domains_named("acme.example.com").len(), 1, "{profile:?}");
        if profile <= V5_4 {
            assert_eq!(
                (answer.status, answer.location.as_deref()),
                (302, Some("domains.php")),
                "{profile:?}"
            );
            assert_eq!(browser.get(LIST).await.messages()[0].0, "Domain Already Exists");
        } else {
            assert_eq!(answer.status, 200, "{profile:?}");
        }
    }
}

#[tokio::test]
async fn a_row_of_users_names_its_domain_in_the_link_from_5_4_on() {
    for profile in PbxProfile::ALL {
        let (_server, browser, domain) = with_tenant(profile).await;
        let users = browser.get(&format!("{USERS}?show=all")).await;
        let link = users.attributes("tr.list-row", "href").remove(0);
        assert_eq!(link.contains(&format!("domain_uuid={domain}")), profile >= V5_4, "{profile:?}: {link}");
        assert_eq!(users.texts("tr.list-row td")[1], "acme.example.com", "{profile:?}");
        assert_eq!(
            users.texts("tr.list-header th").len(),
            if profile >= V5_4 { 8 } else { 5 },
            "{profile:?}"
        );
        let json = browser.get(&format!("{USERS_JSON}?show=all")).await.body;
        assert!(json.contains("\"user_enabled\":\"true\""), "{profile:?}: a text in every version");
    }
}

#[tokio::test]
async fn a_long_value_is_a_text_area_on_master_only() {
    for profile in PbxProfile::ALL {
        let (server, browser, domain) = with_tenant(profile).await;
        let long = "abcdefghijklmnopqrstuvwxyz <b>&amp; 1";
        let id = server.pbx().add_setting(domain, NewSetting::new("x", "long", "text", long));
        let form = browser.get(&format!("{SETTING}?domain_uuid={domain}&id={id}")).await;
        if profile == Master {
            assert!(form.body.contains(&format!("name=\"domain_setting_value\">{long}</textarea>")));
        } else {
            let value = form.attribute("#frm input[name=domain_setting_value]", "value");
            assert_eq!(value.as_deref(), Some(long), "{profile:?}");
        }
        let secret = NewSetting::new("provision", "admin_password", "text", "hidden");
        server.pbx().add_setting(domain, secret);
        let list = browser.get(&format!("{SETTINGS}?id={domain}")).await;
        let stars = if profile >= V5_5 { "**********" } else { "******" };
        assert!(list.texts("tr.list-row td").iter().any(|cell| cell == stars), "{profile:?}");
        assert_eq!(list.attributes("tr.list-row", "href").len(), 2, "{profile:?}");
    }
}

/// What a session of the tenant's user can do before and after the tenant is disabled.
async fn disabled(profile: PbxProfile) -> (StandIn, Browser, Browser, Browser, Seen) {
    let (server, admin, domain) = with_tenant(profile).await;
    let open = Browser::new(&server);
    open.sign_in("alice@acme.example.com", PASSWORD).await;
    assert!(open.get(USERS).await.body.contains("alice"), "{profile:?}");
    admin.save_domain(domain, "acme.example.com", "false", "").await;
    admin.save_setting(domain, None, ["domain", "cidr", "array", BLOCK]).await;
    let new = Browser::new(&server);
    let answer = new.sign_in("alice@acme.example.com", PASSWORD).await;
    (server, admin, open, new, answer)
}

#[tokio::test]
async fn up_to_5_4_an_open_session_outlives_the_web_sign_in_block() {
    for profile in PbxProfile::ALL {
        let (server, admin, open, _, _) = disabled(profile).await;
        let reads = open.get(USERS).await.body.contains("alice");
        let form = open.get(USER).await;
        let mut written = false;
        if let [(name, value)] = &form.tokens()[..] {
            let fields = [
                ("username", "mallory"),
                ("password", PASSWORD),
                ("password_confirm", PASSWORD),
                ("user_email", "m@example.com"),
                ("group_uuid_name", "x|user"),
                ("user_enabled", "true"),
                (name.as_str(), value.as_str()),
            ];
            open.post_bare(USER, &fields).await;
            written = server.pbx().users().iter().any(|user| user.username == "mallory");
        }
        assert_eq!((reads, written), (profile <= V5_4, profile <= V5_4), "{profile:?}");
        assert!(admin.get(JSON).await.body.starts_with('['), "{profile:?}: the superadmin goes on");
    }
}

#[tokio::test]
async fn up_to_5_3_a_sign_in_under_the_block_looks_successful_and_is_not() {
    for profile in PbxProfile::ALL {
        let (_server, _, _, new, answer) = disabled(profile).await;
        let location = answer.location.clone().unwrap();
        if profile <= V5_3 {
            assert_eq!(location, "/core/dashboard/", "{profile:?}");
        } else {
            assert!(location.starts_with("/?path="), "{profile:?}: {location}");
        }
        assert_eq!(new.get(USERS).await.body, "access denied", "{profile:?}");
    }
}

#[tokio::test]
async fn the_user_log_shows_from_5_3_on_whether_a_session_is_there() {
    for profile in PbxProfile::ALL {
        let (server, admin, _) = with_tenant(profile).await;
        let user = Browser::new(&server);
        user.sign_in("alice@acme.example.com", PASSWORD).await;
        Browser::new(&server).sign_in("alice@acme.example.com", "wrong").await;
        let page = admin.get(&format!("{LOGS}&search=alice")).await;
        let count = if profile >= V5_4 { 2 } else { 1 };
        assert_eq!(page.attributes("tr.list-row", "class").len(), count, "{profile:?}: failures are logged");
        let active = |page: &Seen| page.attributes("div.list-status-active", "class").len();
        assert_eq!(active(&page), usize::from(profile >= V5_3), "{profile:?}");
        user.get("/logout.php").await;
        let page = admin.get(&format!("{LOGS}&search=alice")).await;
        assert_eq!(active(&page), 0, "{profile:?}");
        assert_eq!(
            page.attributes("div.list-status-inactive", "class").len(),
            usize::from(profile >= V5_3),
            "{profile:?}"
        );
    }
}

#[tokio::test]
async fn a_session_id_lives_fifteen_minutes_and_on_5_2_eight_hours() {
    for profile in PbxProfile::ALL {
        let (server, browser, _) = with_tenant(profile).await;
        browser.get(JSON).await;
        server.pbx().advance_clock(Duration::from_secs(16 * 60));
        assert_eq!(browser.get(JSON).await.cookie.is_some(), profile != V5_2, "{profile:?}");
        server.pbx().advance_clock(Duration::from_secs(8 * 3600));
        assert!(browser.get(JSON).await.cookie.is_some(), "{profile:?}");
    }
}

#[tokio::test]
async fn every_release_does_all_that_a_browser_does_on_master() {
    for profile in releases() {
        let (server, browser, domain) = with_tenant(profile).await;
        browser.save_domain(domain, "other.example.com", "false", "new").await;
        let row = server.pbx().domain(domain).unwrap();
        assert_eq!((row.name.as_str(), row.enabled), ("other.example.com", Some(false)), "{profile:?}");
        browser.save_setting(domain, None, ["domain", "time_zone", "name", "Europe/Berlin"]).await;
        let setting = server.pbx().settings(domain)[0].uuid;
        let more = [("domain_uuid", domain.to_string())];
        let more = [(more[0].0, more[0].1.as_str())];
        let path = format!("{SETTINGS}?id={domain}");
        let answer = browser.act(&path, "domain_settings", "delete", &[setting], &more).await;
        assert_eq!(answer.status, 302, "{profile:?}");
        assert_eq!(server.pbx().settings(domain).len(), 0, "{profile:?}");
        browser.act(LIST, "domains", "delete", &[domain], &[]).await;
        assert!(server.pbx().domain(domain).is_some(), "{profile:?}: nobody may delete");
    }
}
