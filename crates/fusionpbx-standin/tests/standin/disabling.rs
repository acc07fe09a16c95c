//! What disabling a domain does, and what the web sign-in block adds.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use fusionpbx_standin::{NewSetting, NewUser, StandIn, StandInOptions};
use uuid::Uuid;

use crate::browser::{Browser, JSON, LIST, USER, server, server_and_browser};

const ALICE: &str = "alice@acme.example.com";
const SECRET: &str = "Alice-Secret-1";

fn tenant(server: &StandIn) -> Uuid {
    let domain = server.pbx().add_domain("acme.example.com", Some(true), None);
    server.pbx().add_user(NewUser {
        domain,
        username: "alice".to_owned(),
        password: SECRET.to_owned(),
        enabled: Some(true),
        groups: vec!["user".to_owned()],
    });
    domain
}

fn lock(server: &StandIn, domain: Uuid, value: &str) -> Uuid {
    server.pbx().add_setting(domain, NewSetting::new("domain", "cidr", "array", value))
}

async fn gets_in(server: &StandIn) -> bool {
    let answer = Browser::new(server).sign_in(ALICE, SECRET).await;
    answer.location.as_deref() == Some("/core/dashboard/")
}

#[tokio::test]
async fn a_disabled_domain_refuses_phones_but_lets_its_users_sign_in() {
    let (server, browser) = server_and_browser().await;
    let domain = tenant(&server);
    let alice = Browser::new(&server);
    alice.sign_in(ALICE, SECRET).await;
    browser.save_domain(domain, "acme.example.com", "false", "").await;
    assert!(!server.pbx().switch_accepts(domain));
    assert!(gets_in(&server).await);
    assert!(server.pbx().can_sign_in(domain, "alice", SECRET, "192.0.2.1".parse().unwrap()));
    assert!(alice.get("/core/dashboard/").await.body.contains("logout.php"), "open sessions work on");
}

#[tokio::test]
async fn the_block_refuses_new_sign_ins_and_open_sessions() {
    let (server, browser) = server_and_browser().await;
    let domain = tenant(&server);
    let alice = Browser::new(&server);
    alice.sign_in(ALICE, SECRET).await;
    browser.save_setting(domain, None, ["domain", "cidr", "array", "255.255.255.255/32"]).await;
    assert!(!gets_in(&server).await);
    let answer = alice.get("/core/dashboard/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "access denied"));
    let setting = server.pbx().settings(domain)[0].uuid;
    server.pbx().remove_setting(domain, setting);
    assert!(gets_in(&server).await);
    assert_ne!(alice.get("/core/dashboard/").await.body, "access denied");
}

#[tokio::test]
async fn a_refused_sign_in_leaves_the_session_in_the_blocked_domain() {
    let server = server().await;
    let domain = tenant(&server);
    lock(&server, domain, "255.255.255.255/32");
    let browser = Browser::new(&server);
    browser.sign_in(ALICE, "even a wrong password").await;
    for page in ["/login.php", "/logout.php", JSON] {
        assert_eq!(browser.get(page).await.body, "access denied");
    }
    Browser::signed_in(&server).await;
}

#[tokio::test]
async fn all_zeroes_let_ipv6_clients_in_and_all_ones_do_not() {
    let server = server().await;
    let domain = tenant(&server);
    let v4: IpAddr = "192.0.2.1".parse().unwrap();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let can = |client| server.pbx().can_sign_in(domain, "alice", SECRET, client);
    let setting = lock(&server, domain, "0.0.0.0/32");
    assert!(!can(v4) && can(v6));
    server.pbx().pretend_client(Some(v6));
    assert!(gets_in(&server).await);
    server.pbx().pretend_client(Some(v4));
    assert!(!gets_in(&server).await);
    server.pbx().edit_setting(setting, |row| row.value = Some("255.255.255.255/32".to_owned()));
    assert!(!can(v4) && !can(v6));
    server.pbx().pretend_client(Some(v6));
    assert!(!gets_in(&server).await);
}

#[tokio::test]
async fn a_real_ipv6_client_compares_as_zero() {
    let listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let Ok(server) = StandIn::start(StandInOptions { listen, ..StandInOptions::plain() }).await else {
        return; // no IPv6 on this machine
    };
    let domain = tenant(&server);
    lock(&server, domain, "0.0.0.0/32");
    assert!(gets_in(&server).await);
}

#[tokio::test]
async fn any_one_enabled_entry_that_matches_lets_a_client_in() {
    let server = server().await;
    let domain = tenant(&server);
    let office = lock(&server, domain, "192.0.2.0/24");
    lock(&server, domain, "255.255.255.255/32");
    let can = |client: &str| server.pbx().can_sign_in(domain, "alice", SECRET, client.parse().unwrap());
    assert!(can("192.0.2.9") && !can("198.51.100.9"));
    server.pbx().edit_setting(office, |row| row.enabled = Some(false));
    assert!(!can("192.0.2.9"));
}

#[tokio::test]
async fn a_mask_beyond_32_kills_every_page_of_the_domain() {
    let server = server().await;
    let domain = tenant(&server);
    let alice = Browser::new(&server);
    alice.sign_in(ALICE, SECRET).await;
    lock(&server, domain, "2001:db8::/48");
    let answer = alice.get("/core/dashboard/").await;
    assert!(answer.status == 200 && answer.body.contains("Fatal error"));
}

#[tokio::test]
async fn a_superadmin_in_a_blocked_domain_is_signed_out() {
    let (server, browser) = server_and_browser().await;
    let domain = tenant(&server);
    lock(&server, domain, "255.255.255.255/32");
    let answer = browser.get(&format!("{LIST}?domain_uuid={domain}&domain_change=true")).await;
    assert_eq!(answer.location.as_deref(), Some("/core/dashboard/"));
    assert_eq!(browser.get(JSON).await.body, "access denied");
    assert_eq!(browser.get("/logout.php").await.body, "access denied");
}

#[tokio::test]
async fn a_disabled_user_cannot_sign_in() {
    let server = server().await;
    tenant(&server);
    let alice = server.pbx().users().into_iter().find(|user| user.username == "alice").unwrap();
    server.pbx().edit_user(alice.uuid, |user| user.enabled = Some(false));
    assert!(!gets_in(&server).await);
}

#[tokio::test]
async fn the_limit_of_users_refuses_one_more_in_the_domain_of_the_session() {
    let (server, browser) = server_and_browser().await;
    let domain = tenant(&server);
    server.pbx().add_setting(domain, NewSetting::new("limit", "users", "numeric", "2"));
    browser.get(&format!("{LIST}?domain_uuid={domain}&domain_change=true")).await;
    let id = domain.to_string();
    let fields = |name| {
        [
            ("username", name),
            ("password", "Long-enough-1"),
            ("password_confirm", "Long-enough-1"),
            ("user_email", "someone@example.com"),
            ("group_uuid_name", "00000000-0000-0000-0000-000000000000|user"),
            ("user_type", "default"),
            ("user_enabled", "true"),
            ("domain_uuid", id.as_str()),
        ]
    };
    let answer = browser.post(USER, &fields("bob")).await;
    assert!(answer.location.unwrap().starts_with("user_edit.php?id="));
    assert!(server.pbx().can_sign_in(domain, "bob", "Long-enough-1", "192.0.2.1".parse().unwrap()));
    browser.get(LIST).await;
    let answer = browser.post_bare(USER, &fields("carol")).await;
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("users.php")));
    let form = browser.get(USER).await;
    assert_eq!(form.location.as_deref(), Some("users.php"), "the empty form is refused too");
    assert_eq!(server.pbx().users().iter().filter(|user| user.domain_uuid == domain).count(), 2);
    assert_eq!(browser.get("/core/users/users.php").await.messages()[0].0, "Maximum Users: 2");
}
