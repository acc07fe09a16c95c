//! What the pages show.

use std::time::{Duration, Instant};

use fusionpbx_standin::{Language, NewUser, StandIn};
use serde_json::Value;
use uuid::Uuid;

use crate::browser::{Browser, EDIT, JSON, LIST, USERS, USERS_JSON, server, server_and_browser};

fn names(body: &str) -> Vec<String> {
    let rows: Vec<Value> = serde_json::from_str(body).unwrap();
    rows.iter().map(|row| row["domain_name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_json_list_has_the_enabled_domains_only() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let one = pbx.add_domain("one.example.com", Some(true), Some("Söhne <&> \"x\" /y"));
    pbx.add_domain("two.example.com", Some(false), None);
    pbx.add_domain("three.example.com", None, None);
    let body = browser.get(JSON).await.body;
    assert_eq!(names(&body), ["one.example.com", "pbx.example.com"]);
    assert!(body.contains(r#"S\u00f6hne \u003C&\u003E \"x\" \/y"#), "{body}");
    let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(rows[0]["domain_uuid"], one.to_string());
    assert_eq!(rows[0]["domain_enabled"], true);
    assert_eq!(rows[0]["domain_description"], "Söhne <&> \"x\" /y");
    assert_eq!(rows[1]["domain_description"], Value::Null);
    assert!(rows[0]["insert_date"].as_str().unwrap().ends_with("+00"));
}

#[tokio::test]
async fn the_json_list_searches_name_and_description() {
    let (server, browser) = server_and_browser().await;
    server.pbx().add_domain("one.example.com", Some(true), Some("First"));
    server.pbx().add_domain("two.example.com", Some(true), Some("Second"));
    assert_eq!(names(&browser.get(&format!("{JSON}?search=ONE")).await.body), ["one.example.com"]);
    assert_eq!(names(&browser.get(&format!("{JSON}?search=second")).await.body), ["two.example.com"]);
    assert_eq!(names(&browser.get(&format!("{JSON}?search=t*")).await.body), ["two.example.com"]);
    assert_eq!(browser.get(&format!("{JSON}?search=none")).await.body, "[]");
}

#[tokio::test]
async fn the_list_shows_all_domains_a_hundred_to_a_page_and_the_total() {
    let (server, browser) = server_and_browser().await;
    for number in 0..1_234 {
        server.pbx().add_domain(&format!("t{number:04}.example.com"), Some(number % 2 == 0), None);
    }
    let mut seen = Vec::new();
    for page in 0..13 {
        let answer = browser.get(&format!("{LIST}?page={page}&order_by=domain_name&order=asc")).await;
        assert_eq!(answer.text("div.heading div.count"), "1,235");
        let rows = answer.attributes("tr.list-row td.checkbox input[type=checkbox]", "data-item-name");
        assert_eq!(rows.len(), if page == 12 { 35 } else { 100 });
        let uuids = answer.attributes("tr.list-row input[type=hidden]", "value");
        assert_eq!(rows.len(), uuids.len());
        let first = answer.attribute("tr.list-row input[type=hidden]", "name");
        assert_eq!(first.as_deref(), Some("domains[0][uuid]"));
        let uuid = Uuid::try_parse(&uuids[0]).unwrap();
        assert_eq!(server.pbx().domain(uuid).unwrap().name, rows[0]);
        seen.extend(rows);
    }
    let all: Vec<_> = server.pbx().domains().into_iter().map(|row| row.name).collect();
    assert_eq!(seen, all);
    let past = browser.get(&format!("{LIST}?page=13")).await;
    assert_eq!((past.status, past.attributes("tr.list-row", "href").len()), (200, 0));
    assert_eq!(past.text("div.heading div.count"), "1,235");
}

#[tokio::test]
async fn a_list_page_has_a_second_and_empty_count_in_the_menu_of_domains() {
    let (_server, browser) = server_and_browser().await;
    assert_eq!(browser.get(LIST).await.texts("div.count"), ["1"], "no menu of one domain");
    browser.create_domain("acme.example.com").await;
    assert_eq!(browser.get(LIST).await.texts("div.count"), ["", "2"]);
}

#[tokio::test]
async fn the_list_searches_and_sorts() {
    let (server, browser) = server_and_browser().await;
    server.pbx().add_domain("one.example.com", Some(true), Some("b"));
    server.pbx().add_domain("two.example.com", Some(false), Some("a"));
    let rows = async |query: &str| {
        let page = browser.get(&format!("{LIST}?{query}")).await;
        (page.text("div.heading div.count"), page.attributes("tr.list-row input", "data-item-name"))
    };
    let (count, found) = rows("search=ONE").await;
    assert_eq!((count.as_str(), found), ("1", vec!["one.example.com".to_owned()]));
    let (_, found) = rows("order_by=domain_name&order=desc").await;
    assert_eq!(found, ["two.example.com", "pbx.example.com", "one.example.com"]);
    let (_, found) = rows("order_by=domain_description").await;
    assert_eq!(found, ["two.example.com", "one.example.com", "pbx.example.com"]);
    let (count, found) = rows("order_by=nonsense").await;
    assert_eq!((count.as_str(), found.len()), ("3", 0), "no column, no rows, but a count");
}

#[tokio::test]
async fn the_list_shows_the_state_as_a_translated_word_only() {
    let (server, browser) = server_and_browser().await;
    server.pbx().add_domain("a.example.com", Some(false), None);
    server.pbx().add_domain("b.example.com", None, None);
    let words = "tr.list-row button[name=btn_toggle_enabled]";
    assert_eq!(browser.get(LIST).await.texts(words), ["False", "", "True"]);
    server.pbx().set_language(Language::German);
    assert_eq!(browser.get(LIST).await.texts(words), ["Aus", "", "Ein"]);
}

#[tokio::test]
async fn the_form_has_the_exact_values() {
    let server = server().await;
    let text = " Söhne <b> & \"x\" 'y' ";
    let uuid = server.pbx().add_domain("acme.example.com", Some(false), Some(text));
    let browser = Browser::signed_in(&server).await;
    let form = browser.get(&format!("{EDIT}?id={uuid}")).await;
    let value = |name: &str| form.attribute(&format!("#frm input[name={name}]"), "value").unwrap();
    assert_eq!(value("domain_name"), "acme.example.com");
    assert_eq!(value("domain_description"), text);
    assert_eq!(value("domain_uuid"), uuid.to_string());
    let state = form.attribute("#frm select[name=domain_enabled] option[selected]", "value");
    assert_eq!(state.as_deref(), Some("false"));
    let menu = form.attribute("#frm select#domains option[selected]", "value");
    assert_eq!(menu, Some(uuid.to_string()), "another menu with a selected option stands before it");
}

#[tokio::test]
async fn null_is_shown_as_enabled_in_the_form() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", None, None);
    let form = browser.get(&format!("{EDIT}?id={uuid}")).await;
    let state = form.attribute("select[name=domain_enabled] option[selected]", "value");
    assert_eq!(state.as_deref(), Some("true"));
}

#[tokio::test]
async fn an_unknown_id_gives_an_empty_form() {
    let (_server, browser) = server_and_browser().await;
    let uuid = Uuid::new_v4();
    let form = browser.get(&format!("{EDIT}?id={uuid}")).await;
    assert_eq!(form.status, 200);
    assert_eq!(form.attribute("#frm input[name=domain_name]", "value").as_deref(), Some(""));
    assert_eq!(form.attribute("#frm input[name=domain_uuid]", "value"), Some(uuid.to_string()));
    let no_uuid = browser.get(&format!("{EDIT}?id=nonsense")).await;
    assert_eq!(no_uuid.attribute("#frm input[name=domain_uuid]", "value"), None);
    assert_eq!(
        no_uuid.attribute("#frm input[name=domain_name]", "value").as_deref(),
        Some("pbx.example.com"),
        "the session's own domain in a form that would add one"
    );
}

fn add_users(server: &StandIn, count: usize) -> Uuid {
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    for number in 0..count {
        server.pbx().add_user(NewUser {
            domain,
            username: format!("user{number:03}"),
            password: "x".to_owned(),
            enabled: Some(number > 0),
            groups: if number == 0 { vec![] } else { vec!["agent".to_owned(), "user".to_owned()] },
        });
    }
    domain
}

#[tokio::test]
async fn the_json_list_of_users_stops_at_300_without_saying_so() {
    let (server, browser) = server_and_browser().await;
    let domain = add_users(&server, 350);
    let own: Vec<Value> = serde_json::from_str(&browser.get(USERS_JSON).await.body).unwrap();
    assert_eq!(own.len(), 1, "without show=all only the session's domain");
    let path = format!("{USERS_JSON}?show=all&order_by=username&order=asc");
    let rows: Vec<Value> = serde_json::from_str(&browser.get(&path).await.body).unwrap();
    assert_eq!(rows.len(), 300);
    let first = rows.iter().find(|row| row["username"] == "user000").unwrap();
    assert_eq!(first["domain_uuid"], domain.to_string());
    assert_eq!(first["domain_name"], "acme.example.com");
    assert_eq!((&first["user_enabled"], &first["group_names"]), (&Value::from("false"), &Value::Null));
    let second = rows.iter().find(|row| row["username"] == "user001").unwrap();
    assert_eq!((&second["user_enabled"], &second["group_names"]), (&"true".into(), &"agent, user".into()));
}

#[tokio::test]
async fn the_html_list_of_users_is_paged_and_whole() {
    let server = server().await;
    let domain = add_users(&server, 350);
    let browser = Browser::signed_in(&server).await;
    let mut seen = 0;
    for page in 0..4 {
        let answer = browser.get(&format!("{USERS}?show=all&page={page}")).await;
        assert_eq!(answer.text("div.heading div.count"), "351");
        let rows = answer.attributes("tr.list-row input[type=hidden]", "value").len();
        assert_eq!(rows, if page == 3 { 51 } else { 100 });
        seen += rows;
    }
    assert_eq!(seen, 351);
    let answer = browser.get(&format!("{USERS}?show=all&search=user00")).await;
    assert_eq!(answer.texts("tr.list-row td:nth-child(2)")[0], "acme.example.com");
    let link = answer.attribute("tr.list-row", "href").unwrap();
    assert!(link.contains(&format!("domain_uuid={domain}&domain_change=true")));
}

#[tokio::test]
async fn ten_thousand_domains_are_answered_quickly() {
    let (server, browser) = server_and_browser().await;
    for number in 0..10_000 {
        server.pbx().add_domain(&format!("t{number:05}.example.com"), Some(true), Some("one of many"));
    }
    let start = Instant::now();
    assert_eq!(names(&browser.get(JSON).await.body).len(), 10_001);
    let last = browser.get(&format!("{LIST}?page=100")).await;
    assert_eq!(last.text("div.heading div.count"), "10,001");
    browser.create_domain("new.example.com").await;
    assert_eq!(server.pbx().domain_count(), 10_002);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
