//! What posts do to domains.

use fusionpbx_standin::{Directory, NewSetting, StandIn, StandInOptions};
use uuid::Uuid;

use crate::browser::{Browser, EDIT, LIST, server_and_browser};

#[tokio::test]
async fn create_redirects_to_the_list_and_makes_34_dialplans_and_directories() {
    let (server, browser) = server_and_browser().await;
    let answer = browser.create_domain(" ACME.example.com ").await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("domains.php")));
    let rows = server.pbx().domains_named("acme.example.com");
    assert_eq!(rows.len(), 1, "trimmed and lower-cased");
    assert_eq!((rows[0].enabled, rows[0].description.as_deref()), (Some(true), None));
    assert_eq!(server.pbx().dialplans(rows[0].uuid), 34);
    browser.create_domain("other.example.com").await;
    assert_eq!(server.pbx().directory(Directory::Recordings, "other.example.com"), Some(0));
    assert_eq!(server.pbx().directory(Directory::Voicemail, "other.example.com"), Some(0));
    let messages = browser.get(LIST).await.messages();
    assert_eq!(messages, [("Add Completed".to_owned(), "positive".to_owned())]);
}

#[tokio::test]
async fn a_duplicate_or_missing_name_answers_200_with_a_text_for_people() {
    let (server, browser) = server_and_browser().await;
    browser.create_domain("acme.example.com").await;
    let again = browser.create_domain("Acme.example.com").await;
    assert_eq!((again.status, again.location.as_deref()), (200, None));
    assert!(again.body.contains("Duplicate") && !again.body.contains("id=\"frm\""));
    assert_eq!(again.attribute("input[name=persistformvar]", "value").as_deref(), Some("true"));
    let missing = browser.post(EDIT, &[("domain_enabled", "true")]).await;
    assert!(missing.status == 200 && missing.body.contains("Required Fields: Name"));
    assert_eq!(server.pbx().domain_count(), 2);
}

#[tokio::test]
async fn blanks_get_a_second_domain_past_the_check_for_duplicates() {
    let (server, browser) = server_and_browser().await;
    browser.create_domain("acme.example.com").await;
    browser.create_domain("  acme.example.com").await;
    assert_eq!(server.pbx().domains_named("acme.example.com").len(), 2);
}

#[tokio::test]
async fn nothing_else_about_a_name_is_checked() {
    let (server, browser) = server_and_browser().await;
    let long = "x".repeat(312);
    for name in ["a b'c;drop<", long.as_str(), "bücher"] {
        assert_eq!(browser.create_domain(name).await.status, 302);
        assert_eq!(server.pbx().domains_named(name).len(), 1, "{name}");
    }
    browser.create_domain("MÜNCHEN").await;
    assert_eq!(server.pbx().domains_named("mÜnchen").len(), 1, "only ASCII is lower-cased");
}

#[tokio::test]
async fn create_under_an_own_uuid_makes_one_row_however_often_it_is_posted() {
    let (server, browser) = server_and_browser().await;
    let uuid = Uuid::new_v4();
    for _ in 0..2 {
        let answer = browser.save_domain(uuid, "acme.example.com", "true", "Acme").await;
        assert_eq!(answer.location.as_deref(), Some("domains.php"));
    }
    let pbx = server.pbx();
    assert_eq!(pbx.domain_count(), 2);
    assert_eq!(pbx.domain(uuid).unwrap().description.as_deref(), Some("Acme"));
    assert_eq!(pbx.dialplans(uuid), 34);
    assert_eq!(pbx.directory(Directory::Recordings, "acme.example.com"), None);
    assert_eq!(pbx.directory(Directory::Voicemail, "acme.example.com"), None);
}

#[tokio::test]
async fn a_field_left_out_of_an_update_becomes_null() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), Some("Acme"));
    let fields = [("domain_uuid", &*uuid.to_string()), ("domain_name", "acme.example.com")];
    let answer = browser.post(&format!("{EDIT}?id={uuid}"), &fields).await;
    assert_eq!(answer.location.as_deref(), Some("domains.php"));
    let row = server.pbx().domain(uuid).unwrap();
    assert_eq!((row.enabled, row.description), (None, None));
    assert!(!server.pbx().switch_accepts(uuid));
}

#[tokio::test]
async fn an_update_changes_state_and_description() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), Some("Acme"));
    browser.save_domain(uuid, "acme.example.com", "false", "Söhne & \"Co\"").await;
    let row = server.pbx().domain(uuid).unwrap();
    assert_eq!((row.enabled, row.description.as_deref()), (Some(false), Some("Söhne & \"Co\"")));
    let messages = browser.get(LIST).await.messages();
    assert_eq!(messages, [("Update Completed".to_owned(), "positive".to_owned())]);
}

#[tokio::test]
async fn a_state_that_is_no_boolean_answers_as_on_success_and_saves_nothing() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), Some("Acme"));
    let before = server.pbx().digest_of_domain(uuid);
    let answer = browser.save_domain(uuid, "acme.example.com", "maybe", "new").await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("domains.php")));
    assert_eq!(server.pbx().digest_of_domain(uuid), before);
    let fields = [("domain_name", "new.example.com"), ("domain_enabled", "maybe")];
    assert_eq!(browser.post(EDIT, &fields).await.status, 302);
    assert_eq!(server.pbx().domain_count(), 2);
    assert_eq!(
        server.pbx().directory(Directory::Recordings, "new.example.com"),
        Some(0),
        "made all the same"
    );
}

#[tokio::test]
async fn a_rename_onto_a_name_in_use_is_taken() {
    let (server, browser) = server_and_browser().await;
    let one = server.pbx().add_domain("one.example.com", Some(true), None);
    let two = server.pbx().add_domain("two.example.com", Some(true), None);
    let answer = browser.save_domain(two, "one.example.com", "true", "").await;
    assert_eq!(answer.location.as_deref(), Some("domains.php"));
    let uuids: Vec<_> = server.pbx().domains_named("one.example.com").iter().map(|row| row.uuid).collect();
    assert!(uuids.len() == 2 && uuids.contains(&one) && uuids.contains(&two));
}

#[tokio::test]
async fn a_rename_replaces_the_old_name_as_a_substring_and_moves_the_directories() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    browser.create_domain("acme.example.com").await;
    let uuid = pbx.domains_named("acme.example.com")[0].uuid;
    let setting = NewSetting::new("provision", "http_domain_filter", "text", "sip.acme.example.com");
    pbx.add_setting(uuid, setting);
    browser.save_domain(uuid, "new.example.org", "true", "").await;
    let dialplan = pbx.dialplan(uuid).unwrap();
    assert_eq!(dialplan.context, "new.example.org");
    assert!(dialplan.xml.contains("new.example.org") && !dialplan.xml.contains("acme"));
    assert_eq!(pbx.directory(Directory::Recordings, "new.example.org"), Some(0));
    assert_eq!(pbx.directory(Directory::Recordings, "acme.example.com"), None);
    assert_eq!(pbx.settings(uuid)[0].value.as_deref(), Some("sip.acme.example.com"), "settings stay");
}

#[tokio::test]
async fn of_two_domains_with_one_name_the_first_to_be_renamed_takes_the_directories() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    pbx.add_domain("one.example.com", Some(true), None);
    let two = pbx.add_domain("two.example.com", Some(true), None);
    browser.save_domain(two, "one.example.com", "true", "").await;
    browser.save_domain(two, "three.example.com", "true", "").await;
    assert_eq!(pbx.directory(Directory::Voicemail, "one.example.com"), None);
    assert_eq!(pbx.directory(Directory::Voicemail, "three.example.com"), Some(0));
}

#[tokio::test]
async fn the_uuid_in_the_form_wins_over_the_one_in_the_address() {
    let (server, browser) = server_and_browser().await;
    let one = server.pbx().add_domain("one.example.com", Some(true), None);
    let two = server.pbx().add_domain("two.example.com", Some(true), None);
    let fields = [
        ("domain_uuid", &*two.to_string()),
        ("domain_name", "three.example.com"),
        ("domain_enabled", "true"),
    ];
    browser.post(&format!("{EDIT}?id={one}"), &fields).await;
    assert_eq!(server.pbx().domain(one).unwrap().name, "one.example.com");
    assert_eq!(server.pbx().domain(two).unwrap().name, "three.example.com");
}

#[tokio::test]
async fn a_second_toggle_undoes_the_first() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), None);
    let null = server.pbx().add_domain("null.example.com", None, None);
    for expected in [Some(false), Some(true)] {
        let answer = browser.act(LIST, "domains", "toggle", &[uuid], &[]).await;
        assert_eq!(answer.location.as_deref(), Some("domains.php"));
        assert_eq!(server.pbx().domain(uuid).unwrap().enabled, expected);
    }
    browser.act(LIST, "domains", "toggle", &[null], &[]).await;
    assert_eq!(server.pbx().domain(null).unwrap().enabled, Some(true));
}

async fn with_delete() -> (StandIn, Browser) {
    let options = StandInOptions { grant_delete: true, ..StandInOptions::plain() };
    let server = StandIn::start(options).await.unwrap();
    let browser = Browser::signed_in(&server).await;
    (server, browser)
}

#[tokio::test]
async fn a_stock_server_does_not_delete_and_answers_as_if_it_had() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), None);
    let stock = browser.act(LIST, "domains", "delete", &[uuid], &[]).await;
    assert!(server.pbx().domain(uuid).is_some());
    assert_eq!(browser.get(LIST).await.messages(), [], "not even a message");

    let (server, browser) = with_delete().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), None);
    let granted = browser.act(LIST, "domains", "delete", &[uuid], &[]).await;
    assert!(server.pbx().domain(uuid).is_none());
    assert_eq!((stock.status, stock.location), (granted.status, granted.location));
}

#[tokio::test]
async fn a_delete_takes_everything_with_it_and_leaves_the_others_alone() {
    let (server, browser) = with_delete().await;
    let pbx = server.pbx();
    browser.create_domain("acme.example.com").await;
    let uuid = pbx.domains_named("acme.example.com")[0].uuid;
    let other = pbx.add_domain("other.example.com", Some(true), None);
    let before = pbx.digest_of_domain(other);
    pbx.add_setting(uuid, NewSetting::new("limit", "users", "numeric", "5"));
    pbx.set_rows(uuid, "v_xml_cdr", 12_345);
    pbx.fill_directory(Directory::Recordings, "acme.example.com", 7);
    pbx.fill_directory(Directory::Voicemail, "acme.example.com", 7);
    browser.act(LIST, "domains", "delete", &[uuid], &[]).await;
    assert!(pbx.domain(uuid).is_none() && pbx.settings(uuid).is_empty());
    assert_eq!((pbx.call_records(uuid), pbx.dialplans(uuid)), (0, 0));
    assert_eq!(pbx.directory(Directory::Recordings, "acme.example.com"), Some(0), "empty, but there");
    assert_eq!(pbx.directory(Directory::Voicemail, "acme.example.com"), Some(7), "looked for elsewhere");
    assert_eq!(pbx.digest_of_domain(other), before);
}

#[tokio::test]
async fn only_ticked_rows_are_deleted() {
    let (server, browser) = with_delete().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), None);
    let fields = [("action", "delete"), ("domains[0][uuid]", &*uuid.to_string())];
    assert_eq!(browser.post(LIST, &fields).await.status, 302);
    assert!(server.pbx().domain(uuid).is_some());
}

#[tokio::test]
async fn a_delete_in_the_form_without_the_permission_falls_through_to_an_update() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), Some("Acme"));
    let fields =
        [("action", "delete"), ("domain_uuid", &*uuid.to_string()), ("domain_name", "x.example.com")];
    let answer = browser.post(&format!("{EDIT}?id={uuid}"), &fields).await;
    assert_eq!(answer.location.as_deref(), Some("domains.php"));
    let row = server.pbx().domain(uuid).unwrap();
    assert_eq!((row.name.as_str(), row.enabled, row.description), ("x.example.com", None, None));

    let (server, browser) = with_delete().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), Some("Acme"));
    let fields =
        [("action", "delete"), ("domain_uuid", &*uuid.to_string()), ("domain_name", "x.example.com")];
    browser.post(&format!("{EDIT}?id={uuid}"), &fields).await;
    assert!(server.pbx().domain(uuid).is_none());
}
