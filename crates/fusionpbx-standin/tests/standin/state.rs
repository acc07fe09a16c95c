//! The state behind the pages: journal, backups, restarts.

use std::time::{Duration, Instant};

use fusionpbx_standin::{Latency, NewSetting, StandIn, StandInOptions};

use crate::browser::{Browser, EDIT, JSON, LIST, server_and_browser};

#[tokio::test]
async fn the_journal_names_every_request_and_masks_passwords() {
    let (server, browser) = server_and_browser().await;
    browser.get(&format!("{LIST}?page=1")).await;
    browser.create_domain("acme.example.com").await;
    let journal = server.pbx().requests();
    let lines: Vec<_> = journal.iter().map(|entry| (entry.method.as_str(), entry.path.as_str())).collect();
    assert_eq!(
        lines,
        [("GET", "/login.php"), ("POST", "/core/dashboard/"), ("GET", LIST), ("GET", EDIT), ("POST", EDIT)]
    );
    assert!(journal.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq && pair[0].at <= pair[1].at));
    assert_eq!(journal[1].field("password"), Some("***"));
    assert!(journal[1].sign_in && !journal[1].mutating);
    assert_eq!(journal[2].query, "page=1");
    assert_eq!(journal[4].field("domain_name"), Some("acme.example.com"));
    assert!(journal[4].mutating && journal[4].status == Some(302) && journal[4].took.is_some());
    assert_eq!(server.pbx().mutating_requests(), 1);
    server.pbx().clear_requests();
    assert_eq!((server.pbx().requests().len(), server.pbx().mutating_requests()), (0, 0));
    browser.get(JSON).await;
    assert_eq!(server.pbx().requests()[0].seq, 6);
}

#[tokio::test]
async fn no_password_is_shown_when_the_state_is_printed() {
    let (server, _browser) = server_and_browser().await;
    let password = StandInOptions::default().password;
    assert!(!format!("{:?} {:?}", server.pbx().users(), server.pbx().requests()).contains(&password));
}

#[tokio::test]
async fn a_digest_changes_with_everything_of_a_domain_and_with_nothing_else() {
    let (server, browser) = server_and_browser().await;
    let pbx = server.pbx();
    let one = pbx.add_domain("one.example.com", Some(true), None);
    let two = pbx.add_domain("two.example.com", Some(true), None);
    let before = pbx.digests();
    browser.save_domain(one, "one.example.com", "true", "").await;
    pbx.add_setting(one, NewSetting::new("a", "b", "text", "c"));
    assert_ne!(pbx.digest_of_domain(one), before[&one], "even a write of the same values is one");
    assert_eq!(pbx.digest_of_domain(two), before[&two]);
}

#[tokio::test]
async fn a_backup_brings_yesterday_back() {
    let (server, browser) = server_and_browser().await;
    let uuid = server.pbx().add_domain("acme.example.com", Some(true), None);
    let backup = server.pbx().snapshot();
    let before = server.pbx().digests();
    browser.save_domain(uuid, "new.example.com", "false", "").await;
    browser.create_domain("later.example.com").await;
    server.pbx().restore(&backup);
    assert_eq!(server.pbx().digests(), before);
    assert!(browser.get(JSON).await.body.contains("acme.example.com"), "sessions go on");
}

#[tokio::test]
async fn a_server_restarts_on_its_port_with_its_state_and_certificate() {
    let server = StandIn::start(StandInOptions::default()).await.unwrap();
    let browser = Browser::signed_in(&server).await;
    let (url, pbx) = (server.url().to_owned(), server.pbx().clone());
    let fingerprint = server.certificate_fingerprint().unwrap().to_owned();
    let listen = url.strip_prefix("https://").unwrap().parse().unwrap();
    server.stop().await;
    assert!(browser.try_get(JSON).await.unwrap_err().is_connect());
    let options = StandInOptions { listen, ..StandInOptions::default() };
    let server = StandIn::resume(options, pbx).await.unwrap();
    assert_eq!(
        (server.url(), server.certificate_fingerprint().unwrap()),
        (url.as_str(), fingerprint.as_str())
    );
    assert!(browser.get(JSON).await.body.starts_with('['), "sessions are kept");
    server.pbx().end_sessions();
    assert!(browser.get(JSON).await.is_login_form());
}

#[tokio::test]
async fn two_servers_can_swap_their_ports() {
    let one = StandIn::start(StandInOptions::plain()).await.unwrap();
    let two = StandIn::start(StandInOptions::plain()).await.unwrap();
    one.pbx().add_domain("one.example.com", Some(true), None);
    two.pbx().add_domain("two.example.com", Some(true), None);
    let address = |server: &StandIn| server.url().strip_prefix("http://").unwrap().parse().unwrap();
    let (first, second) = (address(&one), address(&two));
    let (one_pbx, two_pbx) = (one.pbx().clone(), two.pbx().clone());
    one.stop().await;
    two.stop().await;
    let at = |listen| StandInOptions { listen, ..StandInOptions::plain() };
    let swapped = StandIn::resume(at(first), two_pbx).await.unwrap();
    let _other = StandIn::resume(at(second), one_pbx).await.unwrap();
    let browser = Browser::signed_in(&swapped).await;
    assert!(browser.get(JSON).await.body.contains("two.example.com"));
}

#[tokio::test]
async fn pages_can_take_their_time() {
    let latency = Latency { json: Duration::from_millis(120), workers: 1, ..Latency::none() };
    let options = StandInOptions { latency, ..StandInOptions::plain() };
    let server = StandIn::start(options).await.unwrap();
    let (one, two) = (Browser::signed_in(&server).await, Browser::signed_in(&server).await);
    let start = Instant::now();
    tokio::join!(one.get(JSON), two.get(JSON));
    assert!(start.elapsed() >= Duration::from_millis(240), "one worker takes one after the other");
}

#[tokio::test]
async fn unknown_addresses_are_not_found() {
    let (_server, browser) = server_and_browser().await;
    assert_eq!(browser.get("/app/nothing.php").await.status, 404);
}
