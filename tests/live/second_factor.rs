//! A second factor by time. The server must have it switched on for the account.

use tenantd::model::Secret;

use crate::browser::Browser;
use crate::common::harness::instance;
use crate::common::scenario::held_because;
use crate::relay::Relay;
use crate::site::Live;
use crate::{live, request_counts};

/// Fails if the account can sign in without a code: then nothing here would be checked.
async fn assert_asked_for_a_code(live: &Live) {
    let site = &live.sites[&instance("hq")];
    let asked = Browser::new(site).is_asked_for_a_code(&site.user, &site.password).await;
    assert!(asked, "TENANTD_LIVE_TOTP_SECRET is set, and the server asks this account for no code");
}

live! { Totp: async fn a_code_is_given_at_every_sign_in_in_every_session(mut live) {
    assert_asked_for_a_code(live).await;
    let tenants = [live.tenant("acme")];
    let relay = Relay::before_hq(live).await;
    live.harness.want(tenants);
    live.converge().await;
    let codes = relay.codes();
    assert!(codes >= 1 && relay.passwords() == codes, "{codes} codes, {} passwords", relay.passwords());
    live.harness.edit("acme", |t| t.definition.name = "Another".into());
    live.converge().await;
    assert_eq!(relay.codes(), codes, "a session that is open needs no other code");

    // The server drops every session: each is signed in again, with a code.
    relay.lose_sessions();
    live.harness.edit("acme", |t| t.definition.name = "A third".into());
    live.converge().await;
    let renewed = relay.codes();
    assert!(renewed > codes && relay.passwords() == renewed, "{renewed} codes after {codes}");
    let domain = live.browser("hq").only(&live.name("acme")).await;
    assert_eq!(live.browser("hq").domain(domain).await["domain_description"], "A third");

    // Several at once, each with a session of its own.
    relay.lose_sessions();
    let tenants: Vec<_> = (0..6).map(|n| live.tenant(&format!("t{n}"))).collect();
    live.harness.desired.tenants.extend(tenants.into_iter().map(|tenant| (tenant.key.clone(), tenant)));
    live.converge().await;
    assert!(relay.codes() >= renewed + 2, "two sessions side by side: {} codes after {renewed}", relay.codes());
    assert!(relay.sessions() >= 2);
    assert_eq!(relay.passwords(), relay.codes());
} }

/// A pass that cannot sign in: its one warning, without the words around it. A second one sends nothing.
async fn refusal(live: &mut Live) -> String {
    live.harness.connect();
    let changes = request_counts::changes();
    let (plan, _) = live.harness.pass().await;
    assert!(held_because(&plan, "acme").contains("hq was not checked"), "{plan:#?}");
    assert_eq!(plan.warnings.len(), 1, "{:#?}", plan.warnings);
    let requests = request_counts::requests();
    live.harness.pass().await;
    assert_eq!(
        (request_counts::requests(), request_counts::changes()),
        (requests, changes),
        "it is not tried again"
    );
    let line = plan.warnings[0].clone();
    let (_, reason) = line.split_once("cannot read the domains: ").unwrap_or_else(|| panic!("{line}"));
    reason.to_owned()
}

live! { Totp: async fn a_wrong_or_missing_secret_is_reported_in_one_line_and_not_retried(mut live) {
    assert_asked_for_a_code(live).await;
    let acme = live.tenant("acme");
    live.harness.want([acme]);
    live.converge().await;
    live.harness.edit("acme", |t| t.definition.name = "Another".into());
    let hq = instance("hq");
    let right = live.harness.totp.insert(hq.clone(), Secret::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"));
    let line = refusal(live).await;
    assert!(line.starts_with("the server rejected the code of the second factor"), "{line}");
    assert!(!line.contains("GEZD"), "{line}");

    live.harness.totp.remove(&hq);
    let line = refusal(live).await;
    assert!(line.starts_with("the account needs a second factor"), "{line}");
    assert!(line.contains("`totp:`"), "{line}");

    live.harness.totp.extend(right.map(|secret| (hq, secret)));
    live.harness.connect();
    live.harness.settle(1).await;
} }
