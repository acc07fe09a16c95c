//! Transport, sign-in, sessions and tokens.

use std::time::{Duration, Instant};

use fusionpbx_standin::{Fault, FaultKind, Language, NewSetting, NewUser, StandIn, StandInOptions};

use crate::browser::{Browser, EDIT, JSON, LIST, server, server_and_browser};

const PASSWORD: &str = "stand-in-Secret-1";

#[tokio::test]
async fn a_stock_server_has_a_self_signed_certificate_and_a_secure_cookie() {
    let server = StandIn::start(StandInOptions::default()).await.unwrap();
    assert!(server.url().starts_with("https://127.0.0.1:"));
    let fingerprint = server.certificate_fingerprint().unwrap();
    assert_eq!(fingerprint.strip_prefix("sha256:").unwrap().len(), 64);
    let browser = Browser::signed_in(&server).await;
    assert_eq!(browser.get(JSON).await.body.matches("domain_uuid").count(), 1);
    let cookie = Browser::new(&server).get("/login.php").await.cookie.unwrap();
    assert!(cookie.starts_with("PHPSESSID=") && cookie.contains("; secure; HttpOnly"), "{cookie}");
}

#[tokio::test]
async fn a_client_without_the_certificate_is_refused_by_itself() {
    let server = StandIn::start(StandInOptions::default()).await.unwrap();
    let other = StandIn::start(StandInOptions::default()).await.unwrap();
    assert_ne!(server.certificate_fingerprint(), other.certificate_fingerprint());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = reqwest::Certificate::from_pem(other.certificate_pem().unwrap().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([certificate]).build().unwrap();
    assert!(client.get(server.url()).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn the_cookie_is_secure_over_plain_http_too_unless_configured_otherwise() {
    for (cookie_secure, expected) in [(true, true), (false, false)] {
        let options = StandInOptions { cookie_secure, ..StandInOptions::plain() };
        let server = StandIn::start(options).await.unwrap();
        let cookie = Browser::new(&server).get("/login.php").await.cookie.unwrap();
        assert_eq!(cookie.contains("; secure"), expected);
    }
}

#[tokio::test]
async fn sign_in_succeeds_with_a_redirect_to_the_dashboard_and_a_new_session_id() {
    let server = server().await;
    let browser = Browser::new(&server);
    let login = browser.get("/login.php").await;
    let (name, value) = login.token();
    assert_eq!((name.len(), value.len()), (64, 64));
    let fields = [("username", "tenantd@pbx.example.com"), ("password", PASSWORD), (&name, &value)];
    let answer = browser.post_bare("/core/dashboard/", &fields).await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("/core/dashboard/")));
    assert_ne!(answer.cookie.unwrap(), login.cookie.clone().unwrap());
    assert_eq!(browser.get("/core/dashboard/").await.status, 200);
    let old = login.cookie.unwrap();
    let old = browser.get_with_cookie(JSON, old.split(';').next().unwrap()).await;
    assert!(old.is_login_form(), "the id from before the sign-in is dead");
}

#[tokio::test]
async fn a_failed_sign_in_redirects_to_the_start_and_shows_why_on_the_next_page() {
    let server = server().await;
    let browser = Browser::new(&server);
    let answer = browser.sign_in("tenantd@pbx.example.com", "wrong").await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.location.as_deref(), Some("/?path=%2Fcore%2Fdashboard%2Findex.php"));
    let next = browser.get("/core/dashboard/").await;
    assert!(next.is_login_form());
    assert_eq!(next.messages(), [("Authentication Failed".to_owned(), "negative".to_owned())]);
    assert_eq!(next.attribute("input[name=username]", "type").as_deref(), Some("hidden"));
}

#[tokio::test]
async fn a_sign_in_with_a_wrong_token_goes_to_login_php_without_being_looked_at() {
    let server = server().await;
    let browser = Browser::new(&server);
    let fields = [("username", "tenantd@pbx.example.com"), ("password", PASSWORD), ("0", "0")];
    let answer = browser.post_bare("/core/dashboard/", &fields).await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("login.php")));
    assert_eq!(server.pbx().sign_in_count(), 0);
    assert_eq!(browser.get("/core/dashboard/login.php").await.status, 404);
}

#[tokio::test]
async fn the_domain_comes_from_the_host_unless_the_name_says_it() {
    let server = server().await;
    let browser = Browser::new(&server);
    assert!(browser.sign_in("tenantd", PASSWORD).await.location.unwrap().starts_with("/?path="));
    let here = server.pbx().add_domain("127.0.0.1", Some(true), None);
    server.pbx().add_user(NewUser {
        domain: here,
        username: "tenantd".to_owned(),
        password: "another".to_owned(),
        enabled: Some(true),
        groups: vec![],
    });
    let browser = Browser::new(&server);
    assert_eq!(browser.sign_in("TENANTD", "another").await.location.as_deref(), Some("/core/dashboard/"));
    let browser = Browser::new(&server);
    let answer = browser.sign_in("Tenantd@PBX.example.com", PASSWORD).await;
    assert_eq!(answer.location.as_deref(), Some("/core/dashboard/"));
}

#[tokio::test]
async fn every_sign_in_is_logged() {
    let server = server().await;
    Browser::new(&server).sign_in("tenantd@pbx.example.com", "wrong").await;
    Browser::signed_in(&server).await;
    let log = server.pbx().sign_ins();
    assert_eq!(log.iter().map(|entry| entry.accepted).collect::<Vec<_>>(), [false, true]);
    assert!(log.iter().all(|entry| entry.username == "tenantd" && entry.domain.is_some()));
}

#[tokio::test]
async fn the_session_id_is_rotated_after_fifteen_minutes_and_the_old_one_is_dead() {
    let (server, browser) = server_and_browser().await;
    let first = browser.get(JSON).await;
    assert_eq!(first.cookie, None);
    let old = server.pbx().requests().last().unwrap().session.clone().unwrap();
    server.pbx().advance_clock(Duration::from_secs(14 * 60));
    assert_eq!(browser.get(JSON).await.cookie, None);
    server.pbx().advance_clock(Duration::from_secs(61));
    let rotated = browser.get(JSON).await;
    assert!(rotated.body.starts_with('['), "the answer is the usual one");
    assert!(rotated.cookie.is_some());
    assert!(browser.get(JSON).await.body.starts_with('['));
    assert!(Browser::new(&server).get_with_cookie(JSON, &format!("PHPSESSID={old}")).await.is_login_form());
}

#[tokio::test]
async fn a_session_is_tied_to_its_user_agent() {
    let (server, browser) = server_and_browser().await;
    let id = server.pbx().requests().last().unwrap().session.clone();
    browser.get(JSON).await;
    let id = server.pbx().requests().last().unwrap().session.clone().or(id).unwrap();
    let other = Browser::with_agent(&server, "browser/2");
    let answer = other.get_with_cookie(JSON, &format!("PHPSESSID={id}")).await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("/logout.php")));
    assert!(answer.body.starts_with('['), "the page is worked on all the same");
    assert!(browser.get(JSON).await.is_login_form(), "the session is gone");
}

#[tokio::test]
async fn requests_of_one_session_are_taken_one_after_the_other() {
    let (server, browser) = server_and_browser().await;
    let other = Browser::signed_in(&server).await;
    let pause = Duration::from_millis(400);
    server.pbx().inject(Fault::new(FaultKind::Latency(pause)));
    server.pbx().clear_requests();
    let start = Instant::now();
    tokio::join!(browser.get(JSON), browser.get(JSON));
    assert!(start.elapsed() >= pause * 2);
    assert_eq!(server.pbx().max_concurrent_in_one_session(), 2);
    server.pbx().clear_requests();
    let start = Instant::now();
    tokio::join!(browser.get(JSON), other.get(JSON));
    assert!(start.elapsed() < pause * 2);
    assert_eq!(server.pbx().max_concurrent_in_one_session(), 1);
    assert_eq!(server.pbx().max_concurrent(), 2);
}

#[tokio::test]
async fn without_a_session_every_page_answers_200_with_the_login_form() {
    let server = server().await;
    for page in [JSON, LIST, EDIT, crate::browser::SETTINGS, crate::browser::USERS_JSON] {
        let answer = Browser::new(&server).get(page).await;
        assert!(answer.is_login_form(), "{page}");
        assert_eq!(answer.content_type, "text/html; charset=UTF-8");
    }
    let answer = Browser::new(&server).post_bare(EDIT, &[("domain_name", "x.example")]).await;
    assert!(answer.is_login_form());
    assert_eq!(server.pbx().domain_count(), 1);
}

#[tokio::test]
async fn data_has_the_same_content_type_as_the_login_form() {
    let (_server, browser) = server_and_browser().await;
    assert_eq!(browser.get(JSON).await.content_type, "text/html; charset=UTF-8");
}

#[tokio::test]
async fn a_page_without_the_permission_answers_200_access_denied() {
    let server = server().await;
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    server.pbx().add_user(NewUser {
        domain,
        username: "alice".to_owned(),
        password: "Secret".to_owned(),
        enabled: Some(true),
        groups: vec!["user".to_owned()],
    });
    let browser = Browser::new(&server);
    browser.sign_in("alice@acme.example.com", "Secret").await;
    for page in [JSON, LIST, EDIT, crate::browser::SETTINGS, crate::browser::USERS_JSON] {
        let answer = browser.get(page).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "access denied"), "{page}");
    }
}

#[tokio::test]
async fn a_grant_takes_effect_at_the_next_sign_in() {
    let (server, browser) = server_and_browser().await;
    server.pbx().revoke("domain_setting_view");
    assert_ne!(browser.get(crate::browser::SETTINGS).await.body, "access denied");
    let browser = Browser::signed_in(&server).await;
    assert_eq!(browser.get(crate::browser::SETTINGS).await.body, "access denied");
    server.pbx().grant("domain_setting_view");
    assert_eq!(browser.get(crate::browser::SETTINGS).await.body, "access denied");
}

#[tokio::test]
async fn a_post_with_a_wrong_token_does_nothing_and_redirects_to_the_list() {
    let (server, browser) = server_and_browser().await;
    let fields = [("domain_name", "acme.example.com"), ("domain_enabled", "true"), ("wrong", "token")];
    let answer = browser.post_bare(EDIT, &fields).await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("domains.php")));
    assert_eq!(server.pbx().domain_count(), 1);
    let messages = browser.get(LIST).await.messages();
    assert_eq!(messages, [("Invalid Token".to_owned(), "negative".to_owned())]);
    assert_eq!(browser.get(LIST).await.messages(), [], "a message is shown once");
}

#[tokio::test]
async fn a_token_is_bound_to_its_page() {
    let (server, browser) = server_and_browser().await;
    let (name, value) = browser.get(LIST).await.token();
    let fields = [("domain_name", "acme.example.com"), ("domain_enabled", "true"), (&name, &value)];
    browser.post_bare(EDIT, &fields).await;
    assert_eq!(server.pbx().domain_count(), 1);
}

#[tokio::test]
async fn a_token_serves_several_posts_until_the_next_form_page_retires_it() {
    let (server, browser) = server_and_browser().await;
    let (name, value) = browser.get(EDIT).await.token();
    for number in 0..3 {
        let domain = format!("t{number}.example.com");
        let fields = [("domain_name", domain.as_str()), ("domain_enabled", "true"), (&name, &value)];
        browser.post_bare(EDIT, &fields).await;
    }
    assert_eq!(server.pbx().domain_count(), 4);
    browser.get(JSON).await;
    let fields = [("domain_name", "t3.example.com"), ("domain_enabled", "true"), (&name, &value)];
    browser.post_bare(EDIT, &fields).await;
    assert_eq!(server.pbx().domain_count(), 5, "reading JSON retires nothing");
    browser.get(LIST).await;
    let fields = [("domain_name", "t4.example.com"), ("domain_enabled", "true"), (&name, &value)];
    browser.post_bare(EDIT, &fields).await;
    assert_eq!(server.pbx().domain_count(), 5);
}

#[tokio::test]
async fn messages_are_in_the_language_of_the_account() {
    let (server, browser) = server_and_browser().await;
    server.pbx().set_language(Language::German);
    browser.create_domain("acme.example.com").await;
    assert_eq!(browser.get(LIST).await.messages()[0].0, "Erfolgreich hinzugefügt");
}

#[tokio::test]
async fn the_language_setting_of_the_session_s_domain_decides() {
    let (server, browser) = server_and_browser().await;
    let own = server.pbx().domains()[0].uuid;
    server.pbx().add_setting(own, NewSetting::new("domain", "language", "code", "de-de"));
    assert_eq!(browser.get(LIST).await.text("button[name=btn_toggle_enabled]"), "Ein");
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let (_server, browser) = server_and_browser().await;
    assert_eq!(browser.get("/logout.php").await.location.as_deref(), Some("/"));
    assert!(browser.get(JSON).await.is_login_form());
}
