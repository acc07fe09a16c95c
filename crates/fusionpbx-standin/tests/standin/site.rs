//! What sites put around FusionPBX: a second factor, a path, a proxy, pages of their own.

use fusionpbx_standin::{Fault, FaultKind, PbxProfile, StandIn, StandInOptions};

use crate::browser::{Browser, EDIT, JSON, LIST, Seen, server};

const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

/// The code of a moment, some seconds away from now.
fn code(secret: &str, server: &StandIn, seconds: i64) -> String {
    let at = u64::try_from(server.pbx().now().timestamp() + seconds).unwrap();
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    totp_rs::Builder::new().with_secret(secret).build_noncompliant().generate(at).to_string()
}

async fn with_factor(profile: PbxProfile, totp_secret: Option<&str>) -> (StandIn, Browser, Seen) {
    let options = StandInOptions {
        profile,
        totp_secret: totp_secret.map(str::to_owned),
        totp_enrols: totp_secret.is_none(),
        ..StandInOptions::plain()
    };
    let server = StandIn::start(options).await.unwrap();
    let browser = Browser::new(&server);
    let StandInOptions { username, password, .. } = StandInOptions::default();
    let page = browser.sign_in(&username, &password).await;
    assert_eq!(page.status, 200, "{profile:?}: no redirect");
    (server, browser, page)
}

#[tokio::test]
async fn a_second_factor_is_asked_for_after_the_password_and_signs_in() {
    for profile in PbxProfile::ALL {
        let (server, browser, page) = with_factor(profile, Some(SECRET)).await;
        assert_eq!(page.attributes("form input[type=text]", "name"), ["authentication_code"], "{profile:?}");
        assert_eq!(page.tokens().len(), usize::from(profile == PbxProfile::Master), "{profile:?}");
        let again = browser.get(JSON).await;
        assert_eq!(again.attributes("form input[type=text]", "name"), ["authentication_code"], "{profile:?}");
        let answer = browser.enter_code(&again, &code(SECRET, &server, 0)).await;
        assert_eq!(answer.location.as_deref(), Some("/core/dashboard/"), "{profile:?}");
        assert!(browser.get(JSON).await.body.starts_with('['), "{profile:?}");
    }
}

#[tokio::test]
async fn a_code_is_taken_one_step_early_or_late_and_no_more() {
    for (seconds, taken) in [(-30, true), (30, true), (-300, false), (300, false)] {
        let (server, browser, page) = with_factor(PbxProfile::NEWEST, Some(SECRET)).await;
        let answer = browser.enter_code(&page, &code(SECRET, &server, seconds)).await;
        let location = answer.location.unwrap();
        assert_eq!(location == "/core/dashboard/", taken, "{seconds}: {location}");
    }
}

#[tokio::test]
async fn a_wrong_code_looks_like_a_wrong_password_and_the_password_is_asked_again() {
    for profile in PbxProfile::ALL {
        let (_server, browser, page) = with_factor(profile, Some(SECRET)).await;
        let answer = browser.enter_code(&page, "000000x").await;
        assert_eq!(answer.location.as_deref(), Some("/?path=%2Fcore%2Fdashboard%2Findex.php"), "{profile:?}");
        assert!(browser.get(JSON).await.is_login_form(), "{profile:?}");
    }
}

#[tokio::test]
async fn a_code_without_the_token_of_master_leaves_the_session_waiting() {
    let (server, browser, _) = with_factor(PbxProfile::Master, Some(SECRET)).await;
    let code = code(SECRET, &server, 0);
    let answer = browser.post_bare("/core/dashboard/", &[("authentication_code", code.as_str())]).await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("login.php")));
    let page = browser.get(JSON).await;
    let answer = browser.enter_code(&page, &code).await;
    assert_eq!(answer.location.as_deref(), Some("/core/dashboard/"));
}

#[tokio::test]
async fn password_and_code_in_one_post_are_refused() {
    let options = StandInOptions {
        profile: PbxProfile::NEWEST,
        totp_secret: Some(SECRET.to_owned()),
        ..StandInOptions::plain()
    };
    let StandInOptions { username, password, .. } = options.clone();
    let server = StandIn::start(options).await.unwrap();
    let code = code(SECRET, &server, 0);
    let fields = [("username", username.as_str()), ("password", &password), ("authentication_code", &code)];
    let answer = Browser::new(&server).post_bare("/core/dashboard/", &fields).await;
    assert!(answer.location.unwrap().starts_with("/?path="));
}

#[tokio::test]
async fn an_account_without_a_secret_is_given_one_that_is_stored_at_once() {
    for profile in PbxProfile::ALL {
        let (server, browser, page) = with_factor(profile, None).await;
        assert_eq!(
            page.attributes("form input[type=text]", "name").len(),
            0,
            "{profile:?}: no field for a code"
        );
        assert!(page.attribute("#totp_qr img", "src").unwrap().starts_with("data:image/"), "{profile:?}");
        let text = page.text("#totp_qr");
        let secret = &text[text.len() - 32..];
        let asked = browser.get(JSON).await;
        let answer = browser.enter_code(&asked, &code(secret, &server, 0)).await;
        assert_eq!(answer.location.as_deref(), Some("/core/dashboard/"), "{profile:?}");
    }
}

#[tokio::test]
async fn below_a_path_links_and_redirects_lead_below_it() {
    for profile in PbxProfile::ALL {
        let base_path = "/fusionpbx".to_owned();
        let server =
            StandIn::start(StandInOptions { profile, base_path, ..StandInOptions::plain() }).await.unwrap();
        assert!(server.url().ends_with("/fusionpbx"));
        let browser = Browser::new(&server);
        let StandInOptions { username, password, .. } = StandInOptions::default();
        let wrong = browser.sign_in(&username, "wrong").await;
        assert_eq!(
            wrong.location.as_deref(),
            Some("/fusionpbx/?path=%2Ffusionpbx%2Fcore%2Fdashboard%2Findex.php"),
            "{profile:?}"
        );
        let browser = Browser::new(&server);
        let answer = browser.sign_in(&username, &password).await;
        assert_eq!(answer.location.as_deref(), Some("/fusionpbx/core/dashboard/"), "{profile:?}");
        let list = browser.get(LIST).await;
        let links = list.attributes("a[href^='/']", "href");
        assert!(!links.is_empty() && links.iter().all(|link| link.starts_with("/fusionpbx/")), "{links:?}");
        browser.create_domain("acme.example.com").await;
        assert_eq!(server.pbx().domains_named("acme.example.com").len(), 1, "{profile:?}");
    }
}

#[tokio::test]
async fn a_proxy_and_a_firewall_answer_with_pages_of_their_own() {
    let server = server().await;
    let browser = Browser::signed_in(&server).await;
    for (kind, status, text) in [
        (FaultKind::ProxyPage(502), 502, "502 Bad Gateway"),
        (FaultKind::ProxyPage(503), 503, "503 Service Temporarily Unavailable"),
        (FaultKind::FirewallPage(403), 403, "was rejected"),
        (FaultKind::FirewallPage(200), 200, "was rejected"),
    ] {
        let fault = server.pbx().inject(Fault::new(kind));
        let answer = browser.get(JSON).await;
        assert_eq!(answer.status, status);
        assert!(answer.body.contains(text) && !answer.is_login_form(), "{}", answer.body);
        server.pbx().remove_fault(fault);
    }
    assert!(browser.get(JSON).await.body.starts_with('['));
}

#[tokio::test]
async fn a_site_s_pages_stand_in_the_sign_in() {
    let server = server().await;
    for (kind, field) in [(FaultKind::TermsPage, "accept"), (FaultKind::NewPasswordPage, "password_new")] {
        let fault = server.pbx().inject(Fault::new(kind).page("/core/dashboard/").method("POST"));
        let StandInOptions { username, password, .. } = StandInOptions::default();
        let page = Browser::new(&server).sign_in(&username, &password).await;
        assert_eq!(page.status, 200);
        assert!(page.attribute(&format!("form input[name={field}]"), "type").is_some());
        assert!(!page.is_login_form());
        server.pbx().remove_fault(fault);
    }
    assert_eq!(server.pbx().sign_in_count(), 0);
}

#[tokio::test]
async fn without_output_buffering_a_redirect_comes_out_as_an_empty_line_and_the_work_is_done() {
    let server = server().await;
    let browser = Browser::signed_in(&server).await;
    server.pbx().inject(Fault::new(FaultKind::Unbuffered).page("domain_edit.php").method("POST"));
    let answer = browser.create_domain("acme.example.com").await;
    assert_eq!((answer.status, answer.location, answer.body.trim()), (200, None, ""));
    assert_eq!(server.pbx().domains_named("acme.example.com").len(), 1);
}

#[tokio::test]
async fn a_theme_that_loads_the_domains_by_a_script_has_no_list_of_them_in_its_pages() {
    for has_domain_menus in [true, false] {
        let server =
            StandIn::start(StandInOptions { has_domain_menus, ..StandInOptions::plain() }).await.unwrap();
        for number in 0..5 {
            server.pbx().add_domain(&format!("t{number}.example.com"), Some(true), None);
        }
        let id = server.pbx().domains_named("t1.example.com")[0].uuid;
        let form = Browser::signed_in(&server).await.get(&format!("{EDIT}?id={id}")).await;
        let options = form.attributes("select#domains option", "value");
        assert_eq!(options.len(), if has_domain_menus { 6 } else { 1 });
    }
}
