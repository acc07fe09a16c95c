//! The FusionPBX client against the stand-in, which behaves and fails like a real server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fusionpbx_standin::{Fault, FaultKind, Language, NewSetting, NewUser, StandIn, StandInOptions};
use tenantd::config::{InstanceConfig, SecretSource, TlsTrust};
use tenantd::fusionpbx::{PbxClient, PbxError, PbxErrorKind, PbxRead, PbxWrite, RetryPolicy};
use tenantd::model::{DomainId, InstanceKey, NewDomain, PbxSetting, Secret, SettingId, SettingName};
use uuid::Uuid;

const JSON: &str = "domain_json.php";
const LIST: &str = "domains.php";
const EDIT: &str = "domain_edit.php";
const SETTING: &str = "domain_setting_edit.php";

async fn standin() -> StandIn {
    StandIn::start(StandInOptions::plain()).await.unwrap()
}

fn config(server: &StandIn) -> InstanceConfig {
    InstanceConfig {
        key: InstanceKey::parse("hq").unwrap(),
        url: server.url().parse().unwrap(),
        username: StandInOptions::default().username,
        password: SecretSource::Env("UNUSED".into()),
        tls: TlsTrust::SystemRoots,
        sessions: 4,
        timeout: Duration::from_secs(20),
        max_requests_per_second: 1000,
        allow_plaintext: false,
        totp: None,
        web_session_lifetime: std::time::Duration::from_secs(24 * 3600),
    }
}

fn short_pauses() -> RetryPolicy {
    RetryPolicy { pause: Duration::from_millis(5), ..RetryPolicy::default() }
}

fn password() -> Secret {
    Secret::new(StandInOptions::default().password)
}

fn client(server: &StandIn) -> PbxClient {
    PbxClient::with_retries(&config(server), password(), short_pauses()).unwrap()
}

/// A client that waits only half a second for an answer.
fn impatient_client(server: &StandIn) -> PbxClient {
    let config = InstanceConfig { timeout: Duration::from_millis(500), ..config(server) };
    PbxClient::with_retries(&config, password(), short_pauses()).unwrap()
}

fn new_domain(name: &str) -> NewDomain {
    NewDomain { id: DomainId(Uuid::now_v7()), name: name.into(), enabled: true, description: "One".into() }
}

fn setting(name: &str, value: &str) -> PbxSetting {
    PbxSetting {
        id: SettingId(Uuid::now_v7()),
        name: SettingName::parse(name).unwrap(),
        value: value.into(),
        order: Some(10),
        enabled: true,
        description: String::new(),
    }
}

/// The number of `GET` or `POST` requests to a page since the journal was cleared.
fn requests(server: &StandIn, method: &str, page: &str) -> usize {
    server.pbx().requests().iter().filter(|r| r.method == method && r.path.ends_with(page)).count()
}

/// The number of requests besides those of sign-ins.
fn requests_besides_sign_in(server: &StandIn) -> usize {
    server.pbx().requests().iter().filter(|r| !r.sign_in && !r.path.ends_with("login.php")).count()
}

#[track_caller]
fn assert_unexpected(error: &PbxError, words: &str) {
    let PbxErrorKind::UnexpectedPage { found, .. } = &error.kind else { panic!("{error:?}") };
    assert!(found.contains(words), "{error}");
}

#[track_caller]
fn assert_unconfirmed(result: Result<(), PbxError>) {
    let error = result.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::OutcomeUnknown { .. }), "{error:?}");
}

// --- reading domains ---

#[tokio::test]
async fn every_domain_is_read_with_its_exact_values() {
    for language in [Language::English, Language::German] {
        let server = standin().await;
        server.pbx().set_language(language);
        let description = "It's <b>\"5 > 3\"</b> & ü, spaced  out";
        let rows = [
            ("on.example.com", Some(true), Some(description)),
            ("off.example.com", Some(false), Some(description)),
            ("unset.example.com", None, Some(description)),
            ("bare.example.com", Some(false), None),
            ("twice.example.com", Some(true), None),
            ("twice.example.com", Some(false), None),
        ];
        let ids = rows.map(|(name, enabled, text)| DomainId(server.pbx().add_domain(name, enabled, text)));
        let client = client(&server);
        let all: BTreeMap<_, _> = client.domains().await.unwrap().into_iter().map(|d| (d.id, d)).collect();
        assert_eq!(all.len(), 7);
        for ((name, enabled, text), id) in rows.into_iter().zip(ids) {
            let single = client.domain(id).await.unwrap().unwrap();
            assert_eq!(single, all[&id]);
            assert_eq!(single.name, name);
            assert_eq!(single.enabled, enabled, "{name}");
            assert_eq!(single.description, text.unwrap_or_default());
        }
        let mut named = client.domains_named("twice.example.com").await.unwrap();
        named.sort_by_key(|domain| domain.enabled);
        assert_eq!(named, [all[&ids[5]].clone(), all[&ids[4]].clone()]);
        assert_eq!(client.domains_named("example.com").await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_thousand_domains_cost_two_requests_when_few_are_disabled() {
    let server = standin().await;
    for n in 0..1000 {
        server.pbx().add_domain(&format!("t{n}.example.com"), Some(n % 50 != 0), Some("x"));
    }
    let client = client(&server);
    assert_eq!(client.domains().await.unwrap().len(), 1001);
    server.pbx().clear_requests();
    let domains = client.domains().await.unwrap();
    assert_eq!(domains.iter().filter(|domain| domain.enabled == Some(false)).count(), 20);
    assert_eq!(requests_besides_sign_in(&server), 2);
    server.pbx().clear_requests();
    assert_eq!(client.domains_named("example.com").await.unwrap(), []);
    assert_eq!(
        requests_besides_sign_in(&server),
        2,
        "a name that all others end in is no reason to read them all"
    );
}

#[tokio::test]
async fn a_thousand_domains_never_cost_more_than_fifteen_requests() {
    for (disabled, unset) in
        [(1000, 0), (600, 0), (350, 3), (150, 50), (100, 1), (99, 0), (0, 250), (500, 500)]
    {
        let server = standin().await;
        for n in 0..1000 {
            let enabled = match n {
                n if n < disabled => Some(false),
                n if n < disabled + unset => None,
                _ => Some(true),
            };
            server.pbx().add_domain(&format!("t{n}.example.com"), enabled, Some("x"));
        }
        let client = client(&server);
        let domains = client.domains().await.unwrap();
        let count = |enabled| domains.iter().filter(|domain| domain.enabled == enabled).count();
        assert_eq!(
            (count(Some(true)), count(Some(false)), count(None)),
            (1001 - disabled - unset, disabled, unset)
        );
        assert!(
            requests_besides_sign_in(&server) <= 15,
            "{disabled} disabled, {unset} unset: {} requests",
            requests_besides_sign_in(&server)
        );
    }
}

#[tokio::test]
async fn a_domain_created_between_two_reads_is_not_missed() {
    let server = standin().await;
    server.pbx().inject(Fault::new(FaultKind::WrongTotal(1)).page(LIST).first(1));
    assert_eq!(client(&server).domains().await.unwrap().len(), 1);
    assert_eq!(requests(&server, "GET", JSON), 2);
}

#[tokio::test]
async fn a_list_with_another_number_of_rows_than_its_total_is_incomplete() {
    for fault in [FaultKind::WrongTotal(1), FaultKind::WrongTotal(-1), FaultKind::MissingPage(0)] {
        let server = standin().await;
        for n in 0..30 {
            server.pbx().add_domain(&format!("t{n}.example.com"), Some(n % 3 == 0), None);
        }
        server.pbx().inject(Fault::new(fault.clone()).page(LIST));
        let error = client(&server).domains().await.unwrap_err();
        assert!(matches!(error.kind, PbxErrorKind::Incomplete { .. }), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn an_empty_json_list_does_not_make_domains_disabled_or_missing() {
    let server = standin().await;
    let id = DomainId(server.pbx().add_domain("a.example.com", Some(true), None));
    server.pbx().inject(Fault::new(FaultKind::EmptyJsonArray).page(JSON));
    let client = client(&server);
    let error = client.domains().await.unwrap_err();
    // An enabled domain is not taken for a disabled one.
    assert_unexpected(&error, "a list without ");
    let error = client.domain(DomainId(Uuid::now_v7())).await.unwrap_err();
    assert_unexpected(&error, "an empty list");
    server.pbx().clear_faults();
    assert!(client.domain(id).await.unwrap().is_some());
    assert_eq!(client.domain(DomainId(Uuid::now_v7())).await.unwrap(), None);
}

#[tokio::test]
async fn a_broken_off_answer_is_an_error() {
    for page in [JSON, LIST] {
        for fault in [FaultKind::TruncatedBody, FaultKind::TruncatedJson] {
            let server = standin().await;
            for n in 0..30 {
                server.pbx().add_domain(&format!("t{n}.example.com"), Some(n % 3 == 0), None);
            }
            server.pbx().inject(Fault::new(fault.clone()).page(page));
            let error = client(&server).domains().await.unwrap_err();
            assert!(error.is_passing(), "{fault:?} of {page}: {error}");
            assert_eq!(requests(&server, "GET", page), 3);
            server.pbx().clear_faults();
            assert_eq!(client(&server).domains().await.unwrap().len(), 31);
        }
    }
}

#[tokio::test]
async fn another_page_than_requested_is_an_error_after_three_tries() {
    for (fault, words, capture) in
        [(FaultKind::HtmlForJson, "an HTML page", true), (FaultKind::WrongCharset, "another encoding", false)]
    {
        let server = standin().await;
        server.pbx().inject(Fault::new(fault.clone()).page(JSON));
        let error = client(&server).domains().await.unwrap_err();
        assert_unexpected(&error, words);
        let text = error.to_string();
        assert_eq!(text.ends_with(". To report it: tenantd pbx capture hq"), capture, "{text}");
        assert_eq!(requests(&server, "GET", JSON), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn a_permanent_error_is_not_retried() {
    for (fault, words) in [
        (
            FaultKind::Redirect302("https://elsewhere.example/a".into()),
            "the server redirected tenantd to elsewhere.example/a. Check `url`",
        ),
        (
            FaultKind::Status { code: 404, retry_after: None },
            "the page does not exist (status 404). Check `url`",
        ),
        (FaultKind::Status { code: 403, retry_after: None }, "a proxy or firewall in front of FusionPBX"),
        (FaultKind::Status { code: 401, retry_after: None }, "a proxy or firewall in front of FusionPBX"),
    ] {
        let server = standin().await;
        server.pbx().inject(Fault::new(fault.clone()).page(JSON));
        let error = client(&server).domains().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_passing(), "{error}");
        assert_eq!(requests(&server, "GET", JSON), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_without_a_dashboard_is_reported_as_an_older_version() {
    let server = standin().await;
    let fault = FaultKind::Status { code: 404, retry_after: None };
    server.pbx().inject(Fault::new(fault).page("/core/dashboard/"));
    let client = client(&server);
    for _ in 0..2 {
        let error = client.domains().await.unwrap_err();
        assert!(error.to_string().contains("older than 5.2. Upgrade FusionPBX"), "{error}");
        assert!(!error.is_passing());
    }
}

#[tokio::test]
async fn a_read_succeeds_when_a_fault_passes() {
    for fault in [
        FaultKind::ConnectionReset,
        FaultKind::TruncatedBody,
        FaultKind::HtmlForJson,
        FaultKind::Status { code: 502, retry_after: None },
    ] {
        let server = standin().await;
        server.pbx().inject(Fault::new(fault).page(JSON).first(2));
        assert_eq!(client(&server).domains().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_error_about_a_denied_page_names_the_permission() {
    let server = standin().await;
    server.pbx().revoke("domain_setting_view");
    let error = client(&server).settings(DomainId(Uuid::now_v7())).await.unwrap_err();
    assert!(
        matches!(error.kind, PbxErrorKind::AccessDenied { permission: Some("domain_setting_view") }),
        "{error}"
    );
    assert_eq!(error.page.as_deref(), Some("/core/domain_settings/domain_settings.php"));
    assert_eq!(requests(&server, "GET", "domain_settings.php"), 1, "it is not retried");
}

// --- signing in, sessions ---

#[tokio::test]
async fn a_sign_in_form_instead_of_a_page_leads_to_one_sign_in() {
    let server = standin().await;
    let client = client(&server);
    client.domains().await.unwrap();
    server.pbx().inject(Fault::new(FaultKind::LoginPageWith200).page(JSON).first(1));
    client.domains().await.unwrap();
    assert_eq!(server.pbx().sign_in_count(), 2);
    server.pbx().end_sessions();
    client.domains().await.unwrap();
    assert_eq!(server.pbx().sign_in_count(), 3);
}

#[tokio::test]
async fn a_sign_in_form_right_after_signing_in_is_an_error() {
    let server = standin().await;
    server.pbx().inject(Fault::new(FaultKind::LoginPageWith200).page(JSON));
    let error = client(&server).domains().await.unwrap_err();
    assert_unexpected(&error, "right after signing in");
    assert_eq!(server.pbx().sign_in_count(), 1, "no loop of sign-ins");
}

#[tokio::test]
async fn rejected_credentials_are_sent_exactly_once() {
    let server = standin().await;
    let wrong = PbxClient::with_retries(&config(&server), Secret::new("wrong"), short_pauses()).unwrap();
    let id = DomainId(Uuid::now_v7());
    let (a, b, c, d) = tokio::join!(wrong.domains(), wrong.domain(id), wrong.users(), wrong.check());
    let again = wrong.domains().await;
    let write = wrong.create_domain(&new_domain("a.example.com")).await;
    for error in [a.err(), b.err(), c.err(), d.err(), again.err(), write.err()] {
        let error = error.unwrap();
        assert!(matches!(error.kind, PbxErrorKind::CredentialsRejected), "{error:?}");
    }
    assert_eq!(server.pbx().sign_in_count(), 1);
}

#[tokio::test]
async fn a_session_with_a_new_id_goes_on_without_a_sign_in() {
    let server = standin().await;
    let client = client(&server);
    for _ in 0..4 {
        client.domains().await.unwrap();
        server.pbx().advance_clock(Duration::from_secs(1000));
    }
    assert_eq!(server.pbx().sign_in_count(), 1);
}

#[tokio::test]
async fn a_session_sends_one_request_at_a_time() {
    let options = StandInOptions::plain();
    let server = StandIn::start(options).await.unwrap();
    server.pbx().inject(Fault::new(FaultKind::Latency(Duration::from_millis(20))));
    let client = client(&server);
    futures_util::future::join_all((0..12).map(|_| client.domains())).await;
    assert_eq!(server.pbx().max_concurrent_in_one_session(), 1);
    assert_eq!(server.pbx().max_concurrent(), 4, "one for each session");
    assert_eq!(server.pbx().sign_in_count(), 4);
}

#[tokio::test]
async fn requests_one_after_the_other_sign_in_once() {
    let server = standin().await;
    let client = client(&server);
    for _ in 0..5 {
        client.domains().await.unwrap();
    }
    assert_eq!(server.pbx().sign_in_count(), 1);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_leaves_the_session_usable() {
    let server = standin().await;
    let config = InstanceConfig { sessions: 1, ..config(&server) };
    let client = PbxClient::with_retries(&config, password(), short_pauses()).unwrap();
    client.domains().await.unwrap();
    let slow = server.pbx().inject(Fault::new(FaultKind::Latency(Duration::from_millis(300))));
    tokio::time::timeout(Duration::from_millis(50), client.domains()).await.unwrap_err();
    server.pbx().remove_fault(slow);
    client.domains().await.unwrap();
    assert_eq!(server.pbx().sign_in_count(), 1);
}

// --- transport ---

#[tokio::test]
async fn a_certificate_is_trusted_as_configured_or_its_fingerprint_is_shown() {
    let server = StandIn::start(StandInOptions::default()).await.unwrap();
    let found = server.certificate_fingerprint().unwrap().to_owned();
    let bytes: Vec<u8> =
        (7..found.len()).step_by(2).map(|at| u8::from_str_radix(&found[at..at + 2], 16).unwrap()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), server.certificate_pem().unwrap()).unwrap();
    for tls in [TlsTrust::Fingerprint(bytes.try_into().unwrap()), TlsTrust::CaFile(file.path().into())] {
        let config = InstanceConfig { tls, ..config(&server) };
        let client = PbxClient::with_retries(&config, password(), short_pauses()).unwrap();
        client.domains().await.unwrap();
    }
    server.pbx().clear_requests();
    for tls in [TlsTrust::Fingerprint([7; 32]), TlsTrust::SystemRoots] {
        let config = InstanceConfig { tls, ..config(&server) };
        let client = PbxClient::with_retries(&config, password(), short_pauses()).unwrap();
        let error = client.domains().await.unwrap_err();
        let PbxErrorKind::Certificate { detail } = &error.kind else { panic!("{error:?}") };
        assert!(detail.contains(&found), "{detail}");
    }
    assert_eq!(server.pbx().requests(), [], "nothing is sent to a server that is not trusted");
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_read_is_named() {
    let server = standin().await;
    let config = InstanceConfig { tls: TlsTrust::CaFile("/nowhere/ca.pem".into()), ..config(&server) };
    let error = PbxClient::new(&config, password()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn plain_http_is_refused_for_other_machines_unless_it_is_allowed() {
    let server = standin().await;
    let mut config = InstanceConfig { url: "http://pbx.example.com/".parse().unwrap(), ..config(&server) };
    let error = PbxClient::new(&config, password()).unwrap_err();
    assert!(error.to_string().contains("allow_plaintext"), "{error}");
    config.allow_plaintext = true;
    PbxClient::new(&config, password()).unwrap();
}

#[tokio::test]
async fn a_secure_cookie_over_plain_http_is_explained() {
    let options = StandInOptions { cookie_secure: true, ..StandInOptions::plain() };
    let server = StandIn::start(options).await.unwrap();
    let error = client(&server).domains().await.unwrap_err();
    assert!(error.to_string().contains("`Secure`"), "{error}");
    assert_eq!(requests_besides_sign_in(&server), 0);
}

#[tokio::test]
async fn a_server_that_is_down_cannot_be_reached() {
    let server = standin().await;
    let client = client(&server);
    server.stop().await;
    let error = client.domains().await.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_cannot_be_reached_after_the_timeout() {
    for fault in [FaultKind::HangForever, FaultKind::SlowLoris(Duration::from_millis(100))] {
        let server = standin().await;
        server.pbx().inject(Fault::new(fault).page(JSON));
        let error = impatient_client(&server).domains().await.unwrap_err();
        assert!(matches!(error.kind, PbxErrorKind::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for_and_a_long_one_is_an_error() {
    let server = standin().await;
    let busy = |seconds| FaultKind::Status { code: 503, retry_after: Some(seconds) };
    server.pbx().inject(Fault::new(busy(1)).page(JSON).first(1));
    let client = client(&server);
    let started = Instant::now();
    client.domains().await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    server.pbx().clear_faults();
    server.pbx().clear_requests();
    server.pbx().inject(Fault::new(busy(3600)).page(JSON));
    let error = client.domains().await.unwrap_err();
    assert!(
        matches!(error.kind, PbxErrorKind::Busy { retry_after: Some(after) } if after.as_secs() == 3600),
        "{error:?}"
    );
    assert_eq!(requests(&server, "GET", JSON), 1);
}

#[tokio::test]
async fn a_server_that_keeps_failing_gets_no_requests_for_a_while() {
    let server = standin().await;
    let client = client(&server);
    server.pbx().inject(Fault::new(FaultKind::Status { code: 500, retry_after: None }));
    for _ in 0..2 {
        client.domains().await.unwrap_err();
    }
    assert_eq!(server.pbx().requests().len(), 5, "the fifth failure in a row stops the requests");
    let error = client.domains().await.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::CircuitOpen { .. }), "{error:?}");
    let error = client.create_domain(&new_domain("a.example.com")).await.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::CircuitOpen { .. }), "{error:?}");
    assert_eq!(server.pbx().requests().len(), 5);
}

// --- writing ---

#[tokio::test]
async fn a_domain_is_created_once_under_the_chosen_id() {
    let server = standin().await;
    let client = client(&server);
    let mut domain = new_domain("acme.example.com");
    domain.description = "It's <b> & \"ü\"".into();
    client.domains().await.unwrap();
    server.pbx().clear_requests();
    client.create_domain(&domain).await.unwrap();
    assert_eq!(requests_besides_sign_in(&server), 2, "one form, one post");
    client.create_domain(&domain).await.unwrap();
    assert_eq!(server.pbx().domain_count(), 2);
    let stored = client.domain(domain.id).await.unwrap().unwrap();
    assert_eq!(
        (stored.name, stored.enabled, stored.description),
        (domain.name, Some(true), domain.description)
    );
}

#[tokio::test]
async fn a_domain_is_not_created_under_the_id_of_another_one() {
    let server = standin().await;
    let client = client(&server);
    let id = DomainId(server.pbx().add_domain("other.example.com", Some(true), None));
    let error = client.create_domain(&NewDomain { id, ..new_domain("new.example.com") }).await.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::Refused { .. }), "{error:?}");
    assert_eq!(server.pbx().mutating_requests(), 0);
}

#[tokio::test]
async fn an_update_of_a_missing_domain_does_not_create_it() {
    let server = standin().await;
    let error = client(&server).update_domain(&new_domain("gone.example.com")).await.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::Refused { .. }), "{error:?}");
    assert_eq!(server.pbx().mutating_requests(), 0);
}

#[tokio::test]
async fn an_update_sends_all_fields() {
    let server = standin().await;
    let client = client(&server);
    let id = DomainId(server.pbx().add_domain("a.example.com", Some(true), Some("before")));
    let update = NewDomain { id, name: "b.example.com".into(), enabled: false, description: "after".into() };
    client.update_domain(&update).await.unwrap();
    let row = server.pbx().domain(id.0).unwrap();
    assert_eq!(
        (row.name.as_str(), row.enabled, row.description.as_deref()),
        ("b.example.com", Some(false), Some("after"))
    );
}

#[tokio::test]
async fn a_change_without_a_confirming_answer_is_not_sent_again() {
    for fault in [
        FaultKind::CommitThenReset,
        FaultKind::CommitThenHang,
        FaultKind::CommitThenStatus(500),
        FaultKind::CommitThenStatus(503),
        FaultKind::ConnectionReset,
        FaultKind::HangForever,
        FaultKind::Status { code: 502, retry_after: None },
        FaultKind::HtmlForJson,
        FaultKind::Redirect302("/elsewhere.php".into()),
    ] {
        let server = standin().await;
        let client = impatient_client(&server);
        client.domains().await.unwrap();
        server.pbx().inject(Fault::new(fault.clone()).method("POST").page(EDIT));
        let domain = new_domain("acme.example.com");
        assert_unconfirmed(client.create_domain(&domain).await);
        assert_eq!(requests(&server, "POST", EDIT), 1, "{fault:?}");
        server.pbx().clear_faults();
        let exists = server.pbx().domain(domain.id.0).is_some();
        if !matches!(fault, FaultKind::HangForever) {
            assert_eq!(client.domain(domain.id).await.unwrap().is_some(), exists, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_change_that_is_rejected_was_not_carried_out() {
    let server = standin().await;
    let client = client(&server);
    client.domains().await.unwrap();
    let domain = new_domain("acme.example.com");
    for (code, retry_after) in [(429, None), (503, Some(7))] {
        server.pbx().inject(Fault::new(FaultKind::Status { code, retry_after }).method("POST").page(EDIT));
        let error = client.create_domain(&domain).await.unwrap_err();
        assert!(matches!(error.kind, PbxErrorKind::Busy { .. }), "{error:?}");
        server.pbx().clear_faults();
    }
    server.pbx().inject(Fault::new(FaultKind::AccessDenied).method("POST").page(EDIT));
    let error = client.create_domain(&domain).await.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::AccessDenied { .. }), "{error:?}");
    assert_eq!(requests(&server, "POST", EDIT), 3);
    assert_eq!(server.pbx().domain_count(), 1);
}

#[tokio::test]
async fn a_session_that_ends_before_or_during_a_write_leads_to_a_sign_in_and_no_second_domain() {
    let server = standin().await;
    let client = client(&server);
    client.domains().await.unwrap();
    server.pbx().end_sessions();
    client.create_domain(&new_domain("a.example.com")).await.unwrap();
    assert_eq!((requests(&server, "POST", EDIT), server.pbx().sign_in_count()), (1, 2));
    server.pbx().inject(Fault::new(FaultKind::LoginPageWith200).method("POST").page(EDIT).first(1));
    client.create_domain(&new_domain("b.example.com")).await.unwrap();
    assert_eq!((requests(&server, "POST", EDIT), server.pbx().sign_in_count()), (3, 3));
    assert_eq!(server.pbx().domain_count(), 3);
}

#[tokio::test]
async fn a_setting_is_added_and_changed_under_the_chosen_id() {
    let server = standin().await;
    let client = client(&server);
    let domain = DomainId(server.pbx().add_domain("a.example.com", Some(true), None));
    assert_eq!(client.settings(domain).await.unwrap(), []);
    let mut rows = vec![
        setting("limit.users.numeric", "2"),
        setting("domain.cidr.array", "192.0.2.0/24"),
        PbxSetting { order: Some(0), enabled: false, ..setting("domain.cidr.array", "198.51.100.0/24") },
        setting("domain.time_zone.name", "Europe/Berlin"),
        setting("provision.http_auth_enabled.boolean", "true"),
        setting("provision.other.boolean", "false"),
        setting("provision.admin_password.text", "canary-password"),
        setting("my_cat.quoted.text", "it's \"x\" & <y> &amp; z"),
        setting("my_cat.long.text", "longer than 25 characters, with &amp; & <b>tags</b> 'n' \"quotes\""),
        setting("my_cat.lines.text", "one\ntwo\r\nthree\nfour, and longer than a short value"),
        setting("theme.body_color.text", "#ffffff"),
        setting("my_cat.last.uuid", "11111111-2222-4333-8444-555555555555"),
    ];
    rows[7].description = "what's <it> & \"why\"\nsecond line".into();
    for row in &rows {
        client.put_setting(domain, row).await.unwrap();
        client.put_setting(domain, row).await.unwrap();
    }
    let all = |settings: Vec<PbxSetting>| settings.into_iter().map(|s| (s.id, s)).collect::<BTreeMap<_, _>>();
    assert_eq!(all(client.settings(domain).await.unwrap()), all(rows.clone()));
    rows[0].value = "5".into();
    rows[0].enabled = false;
    client.put_setting(domain, &rows[0]).await.unwrap();
    client.delete_setting(domain, rows[1].id).await.unwrap();
    let posts = server.pbx().mutating_requests();
    client.delete_setting(domain, rows[1].id).await.unwrap();
    assert_eq!(server.pbx().mutating_requests(), posts, "a missing setting is not removed again");
    rows.remove(1);
    assert_eq!(all(client.settings(domain).await.unwrap()), all(rows));
}

#[tokio::test]
async fn the_forms_of_only_the_wanted_settings_are_read() {
    let server = standin().await;
    let client = client(&server);
    let domain = server.pbx().add_domain("a.example.com", Some(true), None);
    for (category, subcategory, kind) in [
        ("domain", "cidr", "array"),
        ("domain", "cidr", "text"),
        ("limit", "users", "numeric"),
        ("limit", "extensions", "numeric"),
        ("theme", "logo", "text"),
    ] {
        server.pbx().add_setting(domain, NewSetting::new(category, subcategory, kind, "1"));
    }
    client.domains().await.unwrap();
    server.pbx().clear_requests();
    let wanted = BTreeSet::from([SettingName::cidr(), SettingName::user_limit()]);
    let found = client.settings_of(DomainId(domain), &wanted).await.unwrap();
    assert_eq!(found.into_iter().map(|setting| setting.name).collect::<BTreeSet<_>>(), wanted);
    assert_eq!(requests(&server, "GET", SETTING), 2);
    assert_eq!(requests_besides_sign_in(&server), 3);
}

#[tokio::test]
async fn the_settings_of_a_missing_domain_are_an_error_and_not_empty() {
    let server = standin().await;
    let error = client(&server).settings(DomainId(Uuid::now_v7())).await.unwrap_err();
    assert_unexpected(&error, "names no domain");
}

#[tokio::test]
async fn a_delete_without_the_permission_is_not_sent() {
    let server = standin().await;
    let id = DomainId(server.pbx().add_domain("a.example.com", Some(true), None));
    let error = client(&server).delete_domain(id).await.unwrap_err();
    assert!(matches!(error.kind, PbxErrorKind::NotOffered { permission: "domain_delete" }), "{error:?}");
    assert_eq!(server.pbx().mutating_requests(), 0);
    server.pbx().grant("domain_delete");
    let client = client(&server);
    client.delete_domain(id).await.unwrap();
    assert_eq!(client.domain(id).await.unwrap(), None);
    assert_eq!(server.pbx().domain_count(), 1);
}

// --- users, check, previews ---

#[tokio::test]
async fn more_users_than_the_json_list_shows_are_all_read() {
    for language in [Language::English, Language::German] {
        let server = standin().await;
        server.pbx().set_language(language);
        let client = client(&server);
        client.domains().await.unwrap();
        let mut expected = BTreeMap::new();
        let own = server.pbx().domains()[0].clone();
        let new = server.pbx().add_domain("new.example.com", Some(true), None);
        for n in 0..750 {
            let (domain, domain_name) =
                if n % 2 == 0 { (own.uuid, own.name.as_str()) } else { (new, "new.example.com") };
            let id = server.pbx().add_user(NewUser {
                domain,
                username: format!("user{n}"),
                password: "x".into(),
                enabled: Some(n % 5 != 0),
                groups: vec!["admin".into(), "user".into()],
            });
            expected.insert(id, (DomainId(domain), domain_name.to_owned(), format!("user{n}"), n % 5 != 0));
        }
        let users = client.users().await.unwrap();
        assert_eq!(users.len(), 751);
        for user in users.into_iter().filter(|user| user.username != "tenantd") {
            let read = (user.domain, user.domain_name, user.username, user.enabled);
            assert_eq!(read, expected[&user.id]);
            assert_eq!(user.groups, ["admin", "user"]);
        }
    }
}

#[tokio::test]
async fn a_list_of_users_without_tenantds_own_account_is_an_error() {
    let server = standin().await;
    let client = client(&server);
    let own = client.users().await.unwrap().remove(0);
    let elsewhere = server.pbx().add_domain("b.example.com", Some(true), None);
    let add = |domain, username: &str| {
        server.pbx().add_user(NewUser {
            domain,
            username: username.into(),
            password: "x".into(),
            enabled: Some(true),
            groups: vec!["user".into()],
        })
    };
    let expect = async |found: &str| {
        let error = client.users().await.unwrap_err().to_string();
        assert!(error.contains(&format!("with tenantd's own account in it, found {found}")), "{error}");
    };
    server.pbx().remove_user(own.id);
    expect("0 users without it").await;
    // A user of the same name in another domain is not the account.
    add(elsewhere, "tenantd");
    add(own.domain.0, "anna");
    expect("2 users without it").await;
    add(own.domain.0, "Tenantd");
    assert_eq!(client.users().await.unwrap().len(), 3);
}

#[tokio::test]
async fn few_users_cost_two_requests() {
    let server = standin().await;
    let client = client(&server);
    assert_eq!(client.users().await.unwrap().len(), 1);
    assert_eq!(requests_besides_sign_in(&server), 2);
}

#[tokio::test]
async fn a_check_lists_missing_permissions() {
    let server = standin().await;
    let domain = server.pbx().add_domain("a.example.com", Some(false), None);
    let own = server.pbx().domains().into_iter().find(|row| row.uuid != domain).unwrap();
    server.pbx().add_setting(own.uuid, NewSetting::new("limit", "users", "numeric", "1"));
    server.pbx().advance_clock(Duration::from_secs(90));
    let check = client(&server).check().await.unwrap();
    assert_eq!((check.domains_enabled, check.domains_total, check.users), (1, 2, Some(1)));
    assert!((88..=91).contains(&check.clock_skew_seconds.unwrap()), "{check:?}");
    let missing: Vec<_> = check.missing_permissions.iter().map(|missing| missing.permission).collect();
    assert_eq!(missing, ["domain_delete"]);
    server.pbx().revoke("domain_setting_view");
    server.pbx().revoke("user_view");
    let check = client(&server).check().await.unwrap();
    let missing: Vec<_> = check.missing_permissions.iter().map(|missing| missing.permission).collect();
    assert_eq!(missing, ["domain_delete", "domain_setting_view", "user_view"]);
    assert_eq!(check.users, None);
}

#[tokio::test]
async fn no_read_changes_anything() {
    let server = standin().await;
    let id = DomainId(server.pbx().add_domain("a.example.com", Some(false), None));
    server.pbx().add_setting(id.0, NewSetting::new("domain", "cidr", "array", "192.0.2.0/24"));
    let before = server.pbx().digests();
    let reader = client(&server).reader();
    reader.domains().await.unwrap();
    reader.domain(id).await.unwrap();
    reader.domains_named("a.example.com").await.unwrap();
    reader.settings(id).await.unwrap();
    reader.users().await.unwrap();
    reader.check().await.unwrap();
    assert_eq!(server.pbx().mutating_requests(), 0);
    assert_eq!(server.pbx().digests(), before);
}

// --- secrets ---

/// Collects everything that is logged, at the finest level.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A text as it is, in hexadecimal, in Base64 (at each of the three offsets) and as a form sends it.
fn encodings(secret: &str) -> Vec<String> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let base64 = |bytes: &[u8]| -> String {
        bytes
            .chunks_exact(3)
            .flat_map(|chunk| {
                let bits = u32::from_be_bytes([0, chunk[0], chunk[1], chunk[2]]);
                [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift) as usize & 63]))
            })
            .collect()
    };
    let bytes = secret.as_bytes();
    let mut all = vec![
        secret.to_owned(),
        url::form_urlencoded::byte_serialize(bytes).collect(),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    ];
    all.extend((0..3).map(|skip| base64(&bytes[skip..])));
    all
}

#[tokio::test]
async fn no_secret_and_no_body_is_in_an_error_a_log_or_a_debug_text() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: the log of tests that run at the same time must not show a secret either.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    const PASSWORD: &str = "canary/Password+&% 7Zq";
    const VALUE: &str = "canary-setting-value-9xK";
    const DESCRIPTION: &str = "canary-description-4rT";
    let mut texts = Vec::new();
    let faults = [
        FaultKind::EchoPassword,
        FaultKind::Status { code: 500, retry_after: None },
        FaultKind::Status { code: 404, retry_after: None },
        FaultKind::ConnectionReset,
        FaultKind::TruncatedBody,
        FaultKind::TruncatedJson,
        FaultKind::HtmlForJson,
        FaultKind::LoginPageWith200,
        FaultKind::AccessDenied,
        FaultKind::RejectCredentials,
        FaultKind::WrongTotal(3),
        FaultKind::WrongCharset,
        FaultKind::HangForever,
        FaultKind::CommitThenStatus(500),
        FaultKind::Redirect302("/elsewhere.php".into()),
    ];
    for fault in faults {
        for page in ["login.php", "dashboard/", JSON, LIST, EDIT, SETTING, "domain_settings.php", "users.php"]
        {
            let options = StandInOptions { password: PASSWORD.into(), ..StandInOptions::plain() };
            let server = StandIn::start(options).await.unwrap();
            let id = server.pbx().add_domain("a.example.com", Some(false), Some(DESCRIPTION));
            server.pbx().add_setting(id, NewSetting::new("my_cat", "one", "text", VALUE));
            server.pbx().inject(Fault::new(fault.clone()).page(page));
            let config = InstanceConfig { timeout: Duration::from_millis(100), ..config(&server) };
            let retry_policy =
                RetryPolicy { pause: Duration::from_millis(1), tries: 2, ..RetryPolicy::default() };
            let client = PbxClient::with_retries(&config, Secret::new(PASSWORD), retry_policy).unwrap();
            let id = DomainId(id);
            let domain = NewDomain {
                id,
                name: "a.example.com".into(),
                enabled: true,
                description: DESCRIPTION.into(),
            };
            let errors = [
                client.domains().await.err(),
                client.domain(id).await.err(),
                client.settings(id).await.err(),
                client.users().await.err(),
                client.check().await.err(),
                client.update_domain(&domain).await.err(),
                client.put_setting(id, &setting("my_cat.one.text", VALUE)).await.err(),
            ];
            texts.extend(errors.into_iter().flatten().map(|error| format!("{error} {error:?}")));
            texts.push(format!("{client:?} {:?} {config:?}", client.reader()));
        }
    }
    assert!(texts.len() > 300);
    let mut text = texts.join("\n");
    text.push_str(&String::from_utf8_lossy(&log.0.lock().unwrap()));
    assert!(text.contains("PBX request"), "the log was collected");
    for secret in [PASSWORD, VALUE, DESCRIPTION].into_iter().flat_map(encodings) {
        assert!(!text.contains(&secret), "{secret}");
    }
    assert!(!text.contains("PHPSESSID="));
    let hexadecimal = |c: char| c.is_ascii_hexdigit();
    let longest = text.split(|c| !hexadecimal(c)).map(str::len).max().unwrap_or(0);
    assert!(longest < 64, "a form token");
}
