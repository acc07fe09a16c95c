//! Every version of FusionPBX that the stand-in imitates: the life of a tenant on each, and the differences.

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::harness::{Backend, Harness, PASSWORD, instance, key, tenant};
use fusionpbx_standin::{NewUser, PbxProfile, StandIn, StandInOptions};
use tenantd::apply::StepResult;
use tenantd::environment::Environment as _;
use tenantd::fusionpbx::{Credentials, PbxClient, PbxErrorKind, PbxRead as _};
use tenantd::model::{Condition, DomainName, MaxUsers, Secret, SettingName};
use tenantd::plan::{Action, ScheduledReason};
use tenantd::report;

/// Every version on SQLite, and the oldest and the newest on PostgreSQL as well.
fn versions_and_backends() -> impl Iterator<Item = (PbxProfile, Backend)> {
    let postgres = [(PbxProfile::V5_2, Backend::Postgres), (PbxProfile::Master, Backend::Postgres)];
    PbxProfile::ALL.into_iter().map(|profile| (profile, Backend::Sqlite)).chain(postgres)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_created_changed_disabled_and_deleted_on_every_version() {
    for (profile, backend) in versions_and_backends() {
        let Some(mut harness) = Harness::of_version(backend, profile).await else { continue };
        let version = harness.readers[&instance("hq")].version().await.unwrap().unwrap();
        assert_eq!(version.as_str(), profile.version());
        assert!(version.is_tested());

        let unmanaged = harness.unmanaged();
        let mut acme = tenant("acme");
        acme.definition.max_users = MaxUsers::Limited(7);
        acme.definition
            .pbx_settings
            .insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
        harness.want([acme, tenant("globex")]);
        harness.converge().await;
        let (id, row) = domain(&harness, "acme.example.com");
        assert_eq!(row, Some(true), "{profile:?}");
        assert_eq!(harness.pbx("hq").settings(id).len(), 2, "{profile:?}");

        harness.edit("acme", |tenant| tenant.definition.enabled = false);
        harness.converge().await;
        assert_eq!(domain(&harness, "acme.example.com").1, Some(false), "{profile:?}");
        harness.edit("acme", |tenant| tenant.definition.enabled = true);
        harness.converge().await;
        assert_eq!(domain(&harness, "acme.example.com"), (id, Some(true)), "{profile:?}");

        harness.edit("acme", |tenant| {
            tenant.definition.domain = DomainName::parse("acme-2.example.com").unwrap()
        });
        harness.converge().await;
        assert_eq!(domain(&harness, "acme-2.example.com"), (id, Some(true)), "{profile:?}");

        harness.remove_file("acme");
        harness.converge().await;
        harness.live_through(TimeDelta::days(31)).await;
        let plan = harness.converge().await;
        assert_eq!(plan.count(Action::Delete), 1, "{profile:?}: {plan:#?}");
        assert!(harness.pbx("hq").domains().iter().all(|row| row.uuid != id), "{profile:?}");
        harness.assert_converged(&unmanaged).await;
    }
}

fn domain(harness: &Harness, name: &str) -> (uuid::Uuid, Option<bool>) {
    let domains = harness.pbx("hq").domains();
    let row = domains.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} does not exist"));
    (row.uuid, row.enabled)
}

/// A domain with NULL, which a checkbox shows like `false`, is not reported as disabled.
#[tokio::test]
async fn a_domain_without_a_state_is_not_a_disabled_one_on_any_version() {
    for profile in PbxProfile::ALL {
        let server = StandIn::start(StandInOptions { profile, ..StandInOptions::plain() }).await.unwrap();
        let pbx = server.pbx();
        for (name, state) in [("on", Some(true)), ("off", Some(false)), ("null", None)] {
            pbx.add_domain(&format!("{name}.example.com"), state, None);
        }
        let client = client(&server, PASSWORD, None);
        let domains = client.domains().await.unwrap();
        for (name, state) in [("on", Some(true)), ("off", Some(false)), ("null", None)] {
            let name = format!("{name}.example.com");
            let found = domains.iter().find(|domain| domain.name == name).unwrap();
            assert_eq!(found.enabled, state, "{profile:?} {name}");
            let single = client.domain(found.id).await.unwrap().unwrap();
            assert_eq!(single.enabled, state, "{profile:?} {name}");
        }
    }
}

/// Beyond 300 users the list page is read. Up to 5.2 its rows show only the name of the domain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_users_are_assigned_to_their_domains_on_every_version() {
    for profile in PbxProfile::ALL {
        let server = StandIn::start(StandInOptions { profile, ..StandInOptions::plain() }).await.unwrap();
        let pbx = server.pbx();
        let domains: Vec<_> =
            (0..4).map(|n| pbx.add_domain(&format!("d{n}.example.com"), Some(true), None)).collect();
        for n in 0..700 {
            pbx.add_user(NewUser {
                domain: domains[n % 4],
                username: format!("user{n}"),
                password: "x".into(),
                enabled: Some(n % 7 != 0),
                groups: vec!["user".into()],
            });
        }
        let users = client(&server, PASSWORD, None).users().await.unwrap();
        assert_eq!(users.len(), 701, "{profile:?}");
        for user in users {
            let Some(n) = user.username.strip_prefix("user").and_then(|n| n.parse::<usize>().ok()) else {
                continue;
            };
            assert_eq!(user.domain.0, domains[n % 4], "{profile:?} {}", user.username);
            assert_eq!(user.enabled, n % 7 != 0, "{profile:?} {}", user.username);
        }
    }
}

/// If disabling does not end open sessions, it is confirmed only when they must have ended, and deletion waits for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabling_that_leaves_sessions_open_is_confirmed_when_they_have_ended() {
    for (profile, stay_open) in [(PbxProfile::V5_4, true), (PbxProfile::V5_5, false)] {
        let mut harness = Harness::of_version(Backend::Sqlite, profile).await.unwrap();
        for config in harness.config.instances.values_mut() {
            config.web_session_lifetime = Duration::from_secs(3 * 3600);
        }
        harness.config.deletion.retention_days = 0;
        harness.connect();
        harness.want([tenant("acme"), tenant("globex"), tenant("initech")]);
        harness.converge().await;
        harness.remove_file("acme");
        harness.edit("globex", |tenant| tenant.definition.enabled = false);
        let (plan, outcome) = harness.pass().await;
        // The same run reports it, in its outcome and in the tenant's condition.
        let text = report::outcome_text(&outcome, report::Paint(false));
        let notes = text.matches(": web sessions that were open before may work until ").count();
        assert_eq!(notes, if stay_open { 2 } else { 0 }, "{text}");
        let known = harness.database.read(|store| store.conditions()).await.unwrap();
        let globex = &known[&key("globex")].standing;
        let condition = if stay_open { Condition::Scheduled } else { Condition::InSync };
        assert_eq!(globex.condition, condition, "{globex:?}");
        assert_eq!(
            globex.reason.as_ref().is_some_and(|text| text.contains("web sessions")),
            stay_open,
            "{globex:?}"
        );
        assert!(outcome.steps.iter().all(|step| matches!(step.result, StepResult::Done)), "{outcome:#?}");
        let warned = plan.warnings.iter().any(|text| text.contains("may work for 3 hours"));
        assert_eq!(warned, stay_open, "{:?}", plan.warnings);

        let record = harness.recorded().await.tenants[&key("acme")].clone();
        let confirmed = record.disable_confirmed_at.unwrap() - harness.clock.now();
        assert_eq!(confirmed > TimeDelta::hours(2), stay_open, "{confirmed}");
        let plan = harness.plan().await;
        assert_eq!(plan.count(Action::Delete), usize::from(!stay_open), "{plan:#?}");
        let scheduled = plan.scheduled.iter().find(|scheduled| scheduled.action == Action::Disable);
        assert_eq!(scheduled.is_some(), stay_open, "{plan:#?}");
        if let Some(scheduled) = scheduled {
            assert_eq!(scheduled.until, record.disable_confirmed_at.unwrap());
            assert_eq!(scheduled.reason, ScheduledReason::WebSessionsOpen);
        }
        harness.live_through(TimeDelta::hours(4)).await;
        let plan = harness.plan().await;
        assert_eq!(plan.count(Action::Delete), 1, "{plan:#?}");
        assert!(plan.scheduled.iter().all(|scheduled| scheduled.action != Action::Disable), "{plan:#?}");
    }
}

const TOTP: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

fn client(server: &StandIn, password: &str, totp: Option<&str>) -> PbxClient {
    let mut config = common::harness::plain_config("hq", server);
    config.username = StandInOptions::default().username;
    let credentials = Credentials { password: Secret::new(password), totp: totp.map(Secret::new) };
    PbxClient::new(&config, credentials).unwrap()
}

#[tokio::test]
async fn tenantd_signs_in_with_a_second_factor_on_every_version() {
    for profile in PbxProfile::ALL {
        let options = StandInOptions { profile, totp_secret: Some(TOTP.into()), ..StandInOptions::plain() };
        let server = StandIn::start(options).await.unwrap();
        let right = client(&server, PASSWORD, Some(TOTP));
        assert_eq!(right.domains().await.unwrap().len(), 1, "{profile:?}");
        // A server with a wrong clock gets the code of its own time.
        server.pbx().advance_clock(Duration::from_secs(600));
        server.pbx().end_sessions();
        assert_eq!(right.domains().await.unwrap().len(), 1, "{profile:?}");

        let sign_ins = || server.pbx().sign_ins().len();
        let wrong = client(&server, PASSWORD, Some("MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK"));
        let before = sign_ins();
        for _ in 0..3 {
            let error = wrong.domains().await.unwrap_err();
            assert!(matches!(error.kind, PbxErrorKind::CodeRejected { .. }), "{profile:?}: {error}");
        }
        assert_eq!(sign_ins(), before + 1, "a rejected code is not sent again");

        let none = client(&server, PASSWORD, None);
        let error = none.domains().await.unwrap_err();
        assert!(matches!(error.kind, PbxErrorKind::SecondFactorNeeded), "{profile:?}: {error}");
        assert!(error.to_string().contains("`totp:`"), "{error}");
    }
}

#[test]
fn every_profile_is_found_by_its_name_and_its_version() {
    for profile in PbxProfile::ALL {
        assert_eq!(PbxProfile::parse(profile.name()), Some(profile));
        assert_eq!(PbxProfile::parse(profile.version()), Some(profile));
    }
    assert_eq!(PbxProfile::parse("4.4.1"), None);
}
