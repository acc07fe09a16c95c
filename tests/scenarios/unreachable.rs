//! A server that cannot be reached, or is not fully read or understood: one clear line, no lost record, no changing request,
//! and the other server's tenants are reconciled as usual.

use std::time::Duration;

use fusionpbx_standin::{Fault, FaultKind, StandIn, StandInOptions};
use tenantd::config::TlsTrust;
use tenantd::model::MaxUsers;

use crate::common::harness::{Harness, instance, tenant};
use crate::common::scenario::{UnmanagedDomains, all_done, held_because, steps};
use crate::on_both_databases;

/// Long enough for a busy machine, and short enough for a server that never answers.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Tenants on both servers, and one change of each kind to make on both.
async fn prepared(harness: &mut Harness) -> UnmanagedDomains {
    let unmanaged = harness.unmanaged();
    for name in ["kept", "edited", "closed", "gone"] {
        for (suffix, on) in [("a", "hq"), ("b", "branch")] {
            let mut tenant = tenant(&format!("{name}-{suffix}"));
            tenant.definition.instance = instance(on);
            harness.desired.tenants.insert(tenant.key.clone(), tenant);
        }
    }
    harness.config.limits.removals.count = 5;
    harness.config.limits.disables.count = 5;
    harness.converge().await;
    for (suffix, on) in [("a", "hq"), ("b", "branch")] {
        harness.edit(&format!("edited-{suffix}"), |t| t.definition.max_users = MaxUsers::Limited(4));
        harness.edit(&format!("closed-{suffix}"), |t| t.definition.enabled = false);
        harness.remove_file(&format!("gone-{suffix}"));
        let mut new = tenant(&format!("new-{suffix}"));
        new.definition.instance = instance(on);
        // Unlike the tenant whose file is removed, so that it does not look like a rename.
        (new.definition.session_timeout, new.definition.max_users) = (15, MaxUsers::Limited(3));
        harness.desired.tenants.insert(new.key.clone(), new);
    }
    unmanaged
}

/// One pass while `hq` cannot be read. Returns the reason in the line that reports it.
async fn pass_without_hq(harness: &Harness) -> String {
    let (recorded, changes) = (harness.recorded().await, harness.mutations_of("hq"));
    let digests = harness.pbx("hq").digests();
    let (plan, outcome) = harness.pass().await;

    assert_eq!(harness.mutations_of("hq"), changes, "nothing is changed on an instance that cannot be read");
    assert_eq!(harness.pbx("hq").digests(), digests);
    let after = harness.recorded().await;
    for (key, record) in
        recorded.tenants.iter().filter(|(_, record)| record.definition.instance == instance("hq"))
    {
        assert_eq!(after.tenants.get(key), Some(record), "the record of {key} is unchanged");
    }
    assert!(steps(&plan).iter().all(|step| step.ends_with("-b")), "{:?}", steps(&plan));
    for tenant in ["edited-b", "closed-b", "gone-b", "new-b"] {
        assert!(all_done(&outcome, tenant), "{tenant} is reconciled: {outcome:#?}");
    }
    for held in ["edited-a", "closed-a", "gone-a", "new-a"] {
        assert!(held_because(&plan, held).contains("hq was not checked"), "{held}: {plan:#?}");
    }
    assert_eq!(plan.held.len(), 4, "a tenant without changes is not held: {:#?}", plan.held);
    assert_eq!(plan.warnings.len(), 1, "one line reports it: {:#?}", plan.warnings);
    let line = plan.warnings[0].clone();
    assert!(!line.contains('\n') && line.len() < 400, "{line}");
    let status = harness.database.read(|store| store.instances()).await.unwrap();
    let hq = status.iter().find(|noted| noted.key == "hq").unwrap();
    assert!(line.ends_with(hq.last_problem.as_deref().unwrap()), "`status` shows the same");
    reason(&line)
}

/// The reason in the line that reports that the tenants of an instance were not checked.
fn reason(line: &str) -> String {
    let (instance, reason) = line.split_once(" not checked: ").unwrap();
    assert!(instance.starts_with("nothing is changed on hq, and its "), "{line}");
    reason.to_owned()
}

/// After the fault: everything that was held is done.
async fn assert_recovers(harness: &mut Harness, unmanaged: &UnmanagedDomains) {
    harness.connect();
    harness.settle(3).await;
    assert_eq!(harness.only("hq", "closed-a.example.com").enabled, Some(false));
    assert_eq!(harness.only("hq", "new-a.example.com").enabled, Some(true));
    assert_eq!(harness.only("hq", "gone-a.example.com").enabled, Some(false));
    assert_eq!(harness.pbx("hq").settings(harness.only("hq", "edited-a.example.com").uuid).len(), 1);
    harness.assert_converged(unmanaged).await;
}

on_both_databases! { async fn only_the_tenants_of_a_server_that_is_down_are_held(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    let server = harness.servers.remove(&instance("hq")).unwrap();
    let (pbx, listen) = (server.pbx().clone(), server.url().trim_start_matches("https://").parse().unwrap());
    server.stop().await;
    // The stand-in runs on at another address, so that the scenario can read the tables of a server that is down.
    let elsewhere = StandIn::resume(StandInOptions::default(), pbx.clone()).await.unwrap();
    harness.servers.insert(instance("hq"), elsewhere);
    harness.connect();
    let line = pass_without_hq(&harness).await;
    assert!(
        line.starts_with("cannot read the domains: the server cannot be reached: connection refused"),
        "{line}"
    );
    let back = StandIn::resume(StandInOptions { listen, ..StandInOptions::default() }, pbx).await.unwrap();
    harness.servers.insert(instance("hq"), back);
    assert_recovers(&mut harness, &unmanaged).await;
} }

on_both_databases! { async fn a_rejected_password_is_sent_once_and_reported(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    let pbx = harness.pbx("hq").clone();
    let account = pbx.users().into_iter().find(|user| user.username == "tenantd").unwrap().uuid;
    pbx.set_password(account, "changed-by-somebody");
    pbx.end_sessions();
    let before = pbx.sign_in_count();
    let line = pass_without_hq(&harness).await;
    assert_eq!(
        line,
        "cannot read the domains: the server rejected the user name or password. Correct them in the configuration: \
         tenantd does not try the same ones again, because fail2ban would block it"
    );
    harness.pass().await;
    assert_eq!(pbx.sign_in_count(), before + 1, "a rejected password is not sent again");
    pbx.set_password(account, crate::common::harness::PASSWORD);
    assert_recovers(&mut harness, &unmanaged).await;
} }

on_both_databases! { async fn nothing_is_sent_to_a_server_with_a_wrong_certificate(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    let config = harness.config.instances.get_mut(&instance("hq")).unwrap();
    let trusted = std::mem::replace(&mut config.tls, TlsTrust::Fingerprint([7; 32]));
    harness.connect();
    let sign_ins = harness.pbx("hq").sign_in_count();
    let line = pass_without_hq(&harness).await;
    assert!(
        line.starts_with("cannot read the domains: the server's certificate is not trusted: "),
        "{line}"
    );
    assert_eq!(harness.pbx("hq").sign_in_count(), sign_ins, "the password was not sent");
    harness.config.instances.get_mut(&instance("hq")).unwrap().tls = trusted;
    assert_recovers(&mut harness, &unmanaged).await;
} }

/// Faulty answers, each with the reason that is reported after `cannot read the domains: `.
fn answers() -> Vec<(FaultKind, &'static str, &'static str)> {
    use FaultKind as F;
    let (json, list) = ("domain_json.php", "domains.php");
    let status = |code, retry_after| F::Status { code, retry_after };
    vec![
        (
            F::LoginPageWith200,
            json,
            "expected a page for a signed-in user, found the sign-in form right after signing in",
        ),
        (
            F::HtmlForJson,
            json,
            "expected a JSON list of domains, found an HTML page of another form. To report it: tenantd pbx capture hq",
        ),
        (F::TruncatedJson, json, "expected a JSON list of domains, found JSON that ends early"),
        (F::EmptyJsonArray, json, "expected every enabled domain in the JSON list, found a list without "),
        (F::TruncatedBody, json, "the server cannot be reached: the connection broke off"),
        (F::WrongCharset, json, "expected a JSON list of domains, found text in another encoding"),
        (
            F::MissingPage(0),
            list,
            "the list was not fully read: the server reports 13 rows, and 10 were read",
        ),
        (F::WrongTotal(5), list, "the list was not fully read: the server reports 18 rows, and 13 were read"),
        (
            F::WrongTotal(-2),
            list,
            "the list was not fully read: the server reports 11 rows, and 13 were read",
        ),
        (F::TruncatedJson, list, "expected the list of domains, found a list that ends early"),
        (F::AccessDenied, list, "access denied. The account's group lacks the permission `domain_all`"),
        (
            F::Redirect302("/app/elsewhere.php".into()),
            json,
            "the server redirected tenantd to 127.0.0.1/app/elsewhere.php. Check `url`",
        ),
        (status(500, None), json, "the server failed (status 500)"),
        (status(503, Some(3600)), json, "the server is busy and asks tenantd to wait 3600 s (status 503)"),
        (status(404, None), json, "the page does not exist (status 404). Check `url`"),
        (F::HangForever, json, "the server cannot be reached: no answer within 3 s"),
        (
            F::SlowLoris(Duration::from_millis(500)),
            json,
            "the server cannot be reached: no answer within 3 s",
        ),
        (F::ConnectionReset, json, "the server cannot be reached: connection reset by peer"),
    ]
}

on_both_databases! { async fn a_faulty_answer_is_never_taken_for_an_empty_list(mut harness) {
    let unmanaged = prepared(&mut harness).await;
    for (number, (kind, page, expected)) in answers().into_iter().enumerate() {
        harness.connect_with_short_timeout(TIMEOUT);
        let shown = format!("{kind:?} on {page}");
        harness.pbx("hq").inject(Fault::new(kind).page(page));
        let line = if number == 0 {
            pass_without_hq(&harness).await
        } else {
            // The first pass already reconciled the other server's tenants.
            let (changes, digests) = (harness.mutations(), harness.pbx("hq").digests());
            let (plan, outcome) = harness.pass().await;
            assert!(outcome.steps.is_empty(), "{shown}: {outcome:#?}");
            assert_eq!(plan.held.len(), 4, "{shown}: {plan:#?}");
            assert_eq!(harness.mutations(), changes, "{shown}");
            assert_eq!(harness.pbx("hq").digests(), digests, "{shown}");
            reason(&plan.warnings[0])
        };
        let line = line.strip_prefix("cannot read the domains: ").unwrap();
        assert!(line.starts_with(expected), "{shown}: {line}");
        harness.pbx("hq").clear_faults();
    }
    assert_recovers(&mut harness, &unmanaged).await;
} }
