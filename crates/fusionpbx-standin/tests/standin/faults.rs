//! Every fault that can be ordered.

use std::time::{Duration, Instant};

use fusionpbx_standin::{Fault, FaultKind, StandIn, StandInOptions, TABLES};
use uuid::Uuid;

use crate::browser::{Browser, EDIT, JSON, LIST, server, server_and_browser};

#[tokio::test]
async fn a_status_with_retry_after_strikes_the_first_requests_only() {
    let (server, browser) = server_and_browser().await;
    let kind = FaultKind::Status { code: 503, retry_after: Some(7) };
    let fault = server.pbx().inject(Fault::new(kind).page("domain_json.php").first(2));
    for expected in [503, 503, 200] {
        assert_eq!(browser.get(LIST).await.status, 200);
        let answer = browser.get(JSON).await;
        assert_eq!(answer.status, expected);
        assert_eq!(answer.retry_after.as_deref(), (expected == 503).then_some("7"));
    }
    assert_eq!(server.pbx().fired(fault), 2);
    assert_eq!(server.pbx().requests().last().unwrap().status, Some(200));
}

#[tokio::test]
async fn faults_can_be_timed_and_narrowed() {
    let (server, browser) = server_and_browser().await;
    let broken = || Fault::new(FaultKind::Status { code: 500, retry_after: None }).page("domain_json.php");
    let statuses = async || {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(browser.get(JSON).await.status);
        }
        server.pbx().clear_faults();
        statuses
    };
    server.pbx().inject(broken().nth(2));
    assert_eq!(statuses().await, [200, 500, 200, 200]);
    server.pbx().inject(broken().every(2));
    assert_eq!(statuses().await, [200, 500, 200, 500]);
    server.pbx().inject(broken().after(3));
    assert_eq!(statuses().await, [200, 200, 200, 500]);
    server.pbx().inject(broken().method("POST"));
    server.pbx().inject(broken().field("search", "x"));
    assert_eq!(browser.get(JSON).await.status, 200);
    assert_eq!(browser.get(&format!("{JSON}?search=x")).await.status, 500);
}

#[tokio::test]
async fn a_reset_before_the_work_does_nothing() {
    for tls in [false, true] {
        let options = StandInOptions { tls, ..StandInOptions::plain() };
        let server = StandIn::start(options).await.unwrap();
        let browser = Browser::signed_in(&server).await;
        let (name, value) = browser.get(EDIT).await.token();
        server.pbx().inject(Fault::new(FaultKind::ConnectionReset).method("POST"));
        let fields = [("domain_name", "acme.example.com"), (&name, &value)];
        let error = browser.try_post(EDIT, &fields).await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(server.pbx().domain_count(), 1);
        let entry = server.pbx().requests().pop().unwrap();
        assert_eq!((entry.status, entry.faults), (None, vec!["ConnectionReset".to_owned()]));
    }
}

#[tokio::test]
async fn work_is_done_although_its_answer_is_lost() {
    for tls in [false, true] {
        let options = StandInOptions { tls, ..StandInOptions::plain() };
        let server = StandIn::start(options).await.unwrap();
        let browser = Browser::signed_in(&server).await;
        let (name, value) = browser.get(EDIT).await.token();
        for (number, kind) in
            [FaultKind::CommitThenReset, FaultKind::CommitThenStatus(500)].into_iter().enumerate()
        {
            let fault = server.pbx().inject(Fault::new(kind).method("POST"));
            let domain = format!("t{number}.example.com");
            let answer = browser.try_post(EDIT, &[("domain_name", domain.as_str()), (&name, &value)]).await;
            assert_eq!(answer.map(|answer| answer.status).ok(), (number == 1).then_some(500));
            assert_eq!(server.pbx().domains_named(&domain).len(), 1);
            server.pbx().remove_fault(fault);
        }
    }
}

#[tokio::test]
async fn a_hanging_request_holds_neither_the_session_nor_the_end_of_the_server() {
    let (server, browser) = server_and_browser().await;
    let (name, value) = browser.get(EDIT).await.token();
    let commits = Fault::new(FaultKind::CommitThenHang).method("POST").first(1);
    server.pbx().inject(commits);
    let fields = [("domain_name", "acme.example.com"), (&name, &value)];
    let wait = Duration::from_millis(200);
    assert!(tokio::time::timeout(wait, browser.try_post(EDIT, &fields)).await.is_err());
    assert_eq!(server.pbx().domain_count(), 2, "the work was done");
    server.pbx().inject(Fault::new(FaultKind::HangForever).method("POST"));
    let fields = [("domain_name", "other.example.com"), (&name, &value)];
    assert!(tokio::time::timeout(wait, browser.try_post(EDIT, &fields)).await.is_err());
    assert_eq!(server.pbx().domain_count(), 2, "nothing was done");
    assert_eq!(browser.get(JSON).await.status, 200);
    tokio::time::timeout(Duration::from_secs(5), server.stop()).await.unwrap();
}

#[tokio::test]
async fn a_page_works_on_when_the_client_hangs_up() {
    let (server, browser) = server_and_browser().await;
    let (name, value) = browser.get(EDIT).await.token();
    server.pbx().inject(Fault::new(FaultKind::Latency(Duration::from_secs(1))).method("POST"));
    let fields = [("domain_name", "acme.example.com"), (&name, &value)];
    let wait = Duration::from_millis(50);
    assert!(tokio::time::timeout(wait, browser.try_post(EDIT, &fields)).await.is_err());
    assert_eq!(server.pbx().domain_count(), 1);
    browser.get(JSON).await; // waits for its turn in the session
    assert_eq!(server.pbx().domain_count(), 2);
}

#[tokio::test]
async fn bodies_can_be_false_or_broken() {
    let (server, browser) = server_and_browser().await;
    let whole = browser.get(JSON).await.body;
    let body = async |kind: FaultKind| {
        let fault = server.pbx().inject(Fault::new(kind));
        let answer = browser.try_get(JSON).await;
        server.pbx().remove_fault(fault);
        answer
    };
    assert!(body(FaultKind::TruncatedBody).await.is_err());
    let cut = body(FaultKind::TruncatedJson).await.unwrap();
    assert_eq!((cut.status, cut.body.as_str()), (200, &whole[..whole.len() / 2]));
    assert!(body(FaultKind::LoginPageWith200).await.unwrap().is_login_form());
    let html = body(FaultKind::HtmlForJson).await.unwrap();
    assert!(html.status == 200 && html.body.starts_with("<!DOCTYPE") && !html.is_login_form());
    assert_eq!(body(FaultKind::EmptyJsonArray).await.unwrap().body, "[]");
    assert_eq!(body(FaultKind::AccessDenied).await.unwrap().body, "access denied");
    let charset = body(FaultKind::WrongCharset).await.unwrap();
    assert!(charset.content_type.ends_with("UTF-8") && !charset.body.starts_with("[{\"domain_uuid"));
    let redirect = body(FaultKind::Redirect302("/core/upgrade/".to_owned())).await.unwrap();
    assert_eq!((redirect.status, redirect.location.as_deref()), (302, Some("/core/upgrade/")));
    assert_eq!(browser.get(JSON).await.body, whole);
}

#[tokio::test]
async fn a_slow_loris_sends_a_byte_at_a_time() {
    let (server, browser) = server_and_browser().await;
    server.pbx().inject(Fault::new(FaultKind::SlowLoris(Duration::from_millis(20))).page("domain_json.php"));
    let start = Instant::now();
    assert!(tokio::time::timeout(Duration::from_millis(300), browser.try_get(JSON)).await.is_err());
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn lists_can_miss_a_page_or_name_a_wrong_total() {
    let options = StandInOptions { page_rows: 2, ..StandInOptions::plain() };
    let server = StandIn::start(options).await.unwrap();
    for number in 0..5 {
        server.pbx().add_domain(&format!("t{number}.example.com"), Some(true), None);
    }
    let browser = Browser::signed_in(&server).await;
    server.pbx().inject(Fault::new(FaultKind::MissingPage(1)));
    let mut rows = Vec::new();
    for page in 0..3 {
        let answer = browser.get(&format!("{LIST}?page={page}")).await;
        assert_eq!(answer.text("div.heading div.count"), "6");
        rows.push(answer.attributes("tr.list-row", "href").len());
    }
    assert_eq!(rows, [2, 0, 2]);
    server.pbx().clear_faults();
    server.pbx().inject(Fault::new(FaultKind::WrongTotal(-1)));
    assert_eq!(browser.get(LIST).await.text("div.heading div.count"), "5");
}

#[tokio::test]
async fn credentials_can_be_rejected() {
    let server = server().await;
    server.pbx().inject(Fault::new(FaultKind::RejectCredentials));
    let browser = Browser::new(&server);
    let answer = browser.sign_in("tenantd@pbx.example.com", &StandInOptions::default().password).await;
    assert!(answer.location.unwrap().starts_with("/?path="));
    assert_eq!(server.pbx().sign_in_count(), 1);
}

#[tokio::test]
async fn writes_can_be_ignored_normalised_or_reverted() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let uuid = pbx.add_domain("acme.example.com", Some(true), Some("Acme"));
    let before = pbx.digest_of_domain(uuid);
    pbx.inject(Fault::new(FaultKind::IgnoreWrites).page("domain_edit.php"));
    let answer = browser.save_domain(uuid, "new.example.com", "false", "New").await;
    assert_eq!(answer.location.as_deref(), Some("domains.php"));
    assert_eq!(pbx.digest_of_domain(uuid), before);
    pbx.clear_faults();
    pbx.inject(Fault::new(FaultKind::NormaliseNames));
    browser.save_domain(uuid, "acme.example.com", "true", "New Text").await;
    assert_eq!(pbx.domain(uuid).unwrap().description.as_deref(), Some("new text"));
    pbx.clear_faults();
    pbx.inject(Fault::new(FaultKind::RevertField("domain_enabled")));
    browser.save_domain(uuid, "acme.example.com", "false", "other").await;
    let row = pbx.domain(uuid).unwrap();
    assert_eq!((row.enabled, row.description.as_deref()), (Some(true), Some("other")));
    pbx.clear_faults();
    browser.save_setting(uuid, None, ["limit", "users", "numeric", "5"]).await;
    pbx.inject(Fault::new(FaultKind::RevertField("domain_setting_value")));
    let setting = pbx.settings(uuid)[0].uuid;
    browser.save_setting(uuid, Some(setting), ["limit", "users", "numeric", "6"]).await;
    assert_eq!(pbx.settings(uuid)[0].value.as_deref(), Some("5"));
}

#[tokio::test]
async fn a_delete_can_die_at_each_table_and_be_done_again() {
    for tables in 0..=TABLES.len() {
        let options = StandInOptions { grant_delete: true, ..StandInOptions::plain() };
        let server = StandIn::start(options).await.unwrap();
        let browser = Browser::signed_in(&server).await;
        let uuid = server.pbx().add_domain("acme.example.com", Some(true), None);
        for table in TABLES {
            server.pbx().set_rows(uuid, table, 3);
        }
        let (name, value) = browser.get(LIST).await.token();
        let id = uuid.to_string();
        let fields = [
            ("action", "delete"),
            ("domains[0][checked]", "true"),
            ("domains[0][uuid]", id.as_str()),
            (&name, &value),
        ];
        server.pbx().inject(Fault::new(FaultKind::DieAtDeleteTable(tables)).first(1).method("POST"));
        assert!(browser.try_post(LIST, &fields).await.is_err());
        assert!(server.pbx().domain(uuid).is_some(), "the row goes last");
        let left = |table: &&str| server.pbx().rows(uuid, table) > 0;
        let counted =
            TABLES.iter().filter(|table| !table.contains("_user") && **table != "v_domain_settings");
        let expected = counted.clone().count().saturating_sub(tables);
        assert_eq!(counted.filter(|table| left(table)).count(), expected);
        assert_eq!(browser.try_post(LIST, &fields).await.unwrap().status, 302);
        assert!(server.pbx().domain(uuid).is_none());
    }
}

#[tokio::test]
async fn an_update_of_a_half_deleted_domain_makes_its_dialplans_again() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), None);
    server.pbx().set_rows(uuid, "v_dialplans", 0);
    browser.save_domain(uuid, "acme.example.com", "true", "").await;
    assert_eq!(server.pbx().dialplans(uuid), 34);
}

#[tokio::test]
async fn an_error_page_can_repeat_the_password() {
    let server = server().await;
    let browser = Browser::new(&server);
    browser.sign_in("tenantd@pbx.example.com", "c4nary & more").await;
    server.pbx().inject(Fault::new(FaultKind::EchoPassword));
    let answer = browser.get(JSON).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("c4nary & more") && answer.body.contains("c4nary+%26+more"));
}

#[tokio::test]
async fn an_unknown_domain_is_not_deleted_twice_over() {
    let options = StandInOptions { grant_delete: true, ..StandInOptions::plain() };
    let server = StandIn::start(options).await.unwrap();
    let browser = Browser::signed_in(&server).await;
    let answer = browser.act(LIST, "domains", "delete", &[Uuid::new_v4()], &[]).await;
    assert_eq!(answer.status, 302);
    assert_eq!(server.pbx().domain_count(), 1);
}
