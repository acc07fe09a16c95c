//! A web session that was open when its tenant was disabled: what it can still do, and what tenantd says of it.

use std::time::Duration;

use chrono::TimeDelta;
use tenantd::environment::Environment as _;
use tenantd::plan::{Action, ScheduledReason};
use uuid::Uuid;

use crate::browser::Browser;
use crate::common::harness::{instance, key};
use crate::common::scenario::steps;
use crate::live;
use crate::site::Live;

const PASSWORD: &str = "Anna-Secret-123";

/// What an open session could do.
#[derive(Debug, PartialEq, Eq)]
struct Can {
    read: bool,
    make_a_user: bool,
}

async fn can(live: &Live, session: &Browser, domain: Uuid, made: &str) -> Can {
    let page = session.get("/core/users/users.php").await;
    let read = page.status == 200 && page.body.contains("anna");
    session.try_to_add_user("user", domain, made, PASSWORD).await;
    let users = live.browser("hq").users(domain).await;
    Can { read, make_a_user: users.iter().any(|user| user["username"] == made) }
}

/// For how many minutes the session is watched after the disable.
fn minutes() -> u64 {
    let text = std::env::var("TENANTD_LIVE_OPEN_SESSION_MINUTES").unwrap_or_default();
    text.parse().unwrap_or_default()
}

live! { async fn a_session_that_was_open_at_a_disable_can_do_what_tenantd_says(mut live) {
    let tenants = [live.tenant("acme"), live.tenant("calm")];
    live.harness.want(tenants);
    live.converge().await;
    let ends = live.block_ends_sessions();
    let version = live.version.clone().map_or("of an unknown version".to_owned(), |found| found.to_string());
    let site = live.sites[&instance("hq")].clone();
    let domain = live.browser("hq").only(&live.name("acme")).await;
    live.browser("hq").add_user_in("admin", domain, "anna", PASSWORD).await;
    let anna = format!("anna@{}", live.name("acme"));
    let session = Browser::new(&site);
    assert!(session.signs_in(&anna, PASSWORD).await);
    assert_eq!(can(live, &session, domain, "before").await, Can { read: true, make_a_user: true });

    live.harness.edit("acme", |t| t.definition.enabled = false);
    let before = live.harness.clock.now();
    let warnings = live.plan().await.warnings;
    live.log(&format!("open session on {version}: plan warns: {warnings:?}"));
    let told = warnings.iter().filter(|line| line.contains("may work for")).count();
    assert_eq!(told, usize::from(!ends), "{warnings:?}");
    assert_eq!(steps(&live.converge().await), ["disable acme"]);

    let lasts = Can { read: !ends, make_a_user: !ends };
    for minute in 0..=minutes() {
        if minute > 0 {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let found = can(live, &session, domain, &format!("after{minute}")).await;
        live.log(&format!("open session on {version}: {minute} min after the disable: {found:?}"));
        assert_eq!(found, lasts, "what the server does is what tenantd says it does");
    }
    assert!(!Browser::new(&site).signs_in(&anna, PASSWORD).await, "a new sign-in is refused on every version");

    // What tenantd says from then on.
    let plan = live.plan().await;
    let waits = plan.scheduled.iter().filter(|scheduled| scheduled.reason == ScheduledReason::WebSessionsOpen).count();
    assert_eq!(waits, usize::from(!ends), "{:?}", plan.scheduled);
    let confirmed = live.harness.record("acme").await.disable_confirmed_at.unwrap();
    let lifetime = TimeDelta::hours(24);
    assert_eq!(confirmed >= before + lifetime, !ends, "{confirmed}");
    let shown = live.tenantd(&["show", "acme"]).await;
    for line in shown.lines().filter(|line| line.contains("disable") || line.contains("session")) {
        live.log(&format!("open session on {version}: show: {}", line.trim()));
    }
    assert_eq!(shown.contains(&ScheduledReason::WebSessionsOpen.to_string()), !ends, "{shown}");
    let checked = live.tenantd(&["pbx", "check", "--instance", "hq"]).await;
    assert_eq!(checked.contains("does not end open web sessions"), !ends, "{checked}");

    // A deletion waits for it, however short the retention.
    live.harness.config.deletion.retention_days = 0;
    live.harness.remove_file("acme");
    live.harness.pass().await;
    let plan = live.plan().await;
    assert_eq!(plan.count(Action::Delete), usize::from(ends), "{plan:#?}");
    live.harness.live_through(lifetime + TimeDelta::hours(1)).await;
    let plan = live.plan().await;
    assert_eq!(plan.count(Action::Delete), 1, "{plan:#?}");
    let ended = plan.scheduled.iter().all(|scheduled| scheduled.reason != ScheduledReason::WebSessionsOpen);
    assert!(ended, "{:?}", plan.scheduled);
    if live.may_delete {
        live.converge().await;
        assert!(live.browser("hq").named(&live.name("acme")).await.is_empty());
    } else {
        live.harness.config.deletion.mode = tenantd::config::DeletionMode::Never;
    }
    assert!(live.harness.desired.tenants.contains_key(&key("calm")));
} }
