//! Errors of PBXs, of the database and of steps, in the form in which an operator sees them: with their causes.

use std::time::Duration;

use tenantd::apply::StepError;
use tenantd::fusionpbx::{NotUnderstood, PbxError, PbxErrorKind};
use tenantd::model::{InstanceKey, PbxVersion};
use tenantd::report::chain;
use tenantd::store::StoreError;

/// Where a variant stands in the list below. A new one does not compile until it has its place.
fn place_of_pbx_error(kind: &PbxErrorKind) -> usize {
    use PbxErrorKind as K;
    match kind {
        K::Unreachable { .. } => 0,
        K::Certificate { .. } => 1,
        K::CredentialsRejected => 2,
        K::SecondFactorNeeded => 3,
        K::CodeRejected { .. } => 4,
        K::SignInStopped { .. } => 5,
        K::Blocked { .. } => 6,
        K::NoSuchPage => 7,
        K::UnexpectedRedirect { .. } => 8,
        K::NotUnderstood(_) => 9,
        K::NotOffered { .. } => 10,
        K::AccessDenied { .. } => 11,
        K::UnexpectedPage { .. } => 12,
        K::Incomplete { .. } => 13,
        K::Busy { .. } => 14,
        K::Server => 15,
        K::Refused { .. } => 16,
        K::OutcomeUnknown { .. } => 17,
        K::Setup { .. } => 18,
        K::Superseded => 19,
        K::CircuitOpen { .. } => 20,
    }
}

#[test]
fn errors_of_a_pbx() {
    use PbxErrorKind as K;
    let not_understood = |version: Option<&str>| {
        K::NotUnderstood(Box::new(NotUnderstood {
            expected: "the list of domains",
            found: "a row without its state".into(),
            version: version.and_then(PbxVersion::parse),
        }))
    };
    let all = vec![
        K::Unreachable { detail: "connection refused".into() },
        K::Certificate { detail: "it has expired. Renew it on the server".into() },
        K::CredentialsRejected,
        K::SecondFactorNeeded,
        K::CodeRejected { skew: Some(90) },
        K::CodeRejected { skew: Some(2) },
        K::CodeRejected { skew: None },
        K::SignInStopped {
            found: "FusionPBX asks for a new password",
            help: "Sign in once with a browser and change it, then give the new one to tenantd",
        },
        K::Blocked { status: 403 },
        K::NoSuchPage,
        K::UnexpectedRedirect { expected: "a list of domains", to: "/terms".into() },
        not_understood(Some("5.4.4")),
        not_understood(None),
        K::NotOffered { permission: "domain_add" },
        K::AccessDenied { permission: Some("domain_view") },
        K::AccessDenied { permission: None },
        K::UnexpectedPage { expected: "a JSON list of domains", found: "an empty answer".into() },
        K::Incomplete { expected: 120, found: 100 },
        K::Busy { retry_after: Some(Duration::from_secs(30)) },
        K::Busy { retry_after: None },
        K::Server,
        K::Refused { message: "Domain already exists".into() },
        K::OutcomeUnknown { detail: "no answer within 30 s".into() },
        K::Setup { detail: "`hq`: no secret in the systemd credential `hq`: it is empty".into() },
        K::Superseded,
        K::CircuitOpen { retry_in: Duration::from_secs(42), last: "the server failed".into() },
    ];
    let places: std::collections::BTreeSet<usize> = all.iter().map(place_of_pbx_error).collect();
    assert_eq!(places, (0..=20).collect(), "an error is missing here");
    let texts: Vec<String> = all
        .into_iter()
        .map(|kind| {
            let is_page = matches!(kind, K::NotUnderstood(_));
            let error = PbxError::new("read the domains", kind);
            let hq = InstanceKey::parse("hq").unwrap();
            if is_page { error.with_capture_of(hq) } else { error }.to_string()
        })
        .collect();
    super::compare("errors_of_a_pbx", &texts.join("\n"));
}

fn place_of_store_error(error: &StoreError) -> usize {
    use StoreError as E;
    match error {
        E::Open { .. } => 0,
        E::Query { .. } => 1,
        E::Row { .. } => 2,
        E::Migrate { .. } => 3,
        E::Backup { .. } => 4,
        E::TooNew { .. } => 5,
        E::TooOld => 6,
        E::Elsewhere { .. } => 7,
        E::NoSchema { .. } => 8,
        E::Locked { .. } => 9,
        E::LeaseLost => 10,
        E::Stale { .. } => 11,
        E::Refused(_) => 12,
        E::Interrupted => 13,
    }
}

#[test]
fn errors_of_the_database() {
    use StoreError as E;
    let full = || {
        diesel::result::Error::DatabaseError(
            diesel::result::DatabaseErrorKind::Unknown,
            Box::new("disk I/O error".to_owned()),
        )
    };
    let all = vec![
        E::Open { place: "/var/lib/tenantd/tenantd.db".into(), source: "permission denied".into() },
        E::Query { operation: "read the recorded tenants", source: full() },
        E::Row {
            operation: "read the recorded tenants",
            object: "acme".into(),
            found: "Acme".into(),
            expected: "a tenant key",
        },
        E::Migrate { source: "disk full".into() },
        E::Backup { path: "/var/lib/tenantd/tenantd.db.before".into(), source: full() },
        E::TooNew { version: "20270101000000".into() },
        E::TooOld,
        E::Elsewhere { schema: "tenantd".into(), current: "public".into() },
        E::NoSchema { path: "nosuch".into() },
        E::Locked { holder: "tenantd daemon on pbx1, process 4711".into() },
        E::LeaseLost,
        E::Stale { key: "acme".into() },
        E::Refused("acme is enabled: it cannot be deleted".into()),
        E::Interrupted,
    ];
    let places: std::collections::BTreeSet<usize> = all.iter().map(place_of_store_error).collect();
    assert_eq!(places, (0..=13).collect(), "an error is missing here");
    let texts: Vec<String> = all.iter().map(|error| chain(error)).collect();
    super::compare("errors_of_the_database", &texts.join("\n"));
}

#[test]
fn errors_of_a_step() {
    use StepError as E;
    let place = |error: &StepError| match error {
        E::Pbx(_) => 0,
        E::Store(_) => 1,
        E::Stale(_) => 2,
        E::Numbers(_) => 3,
        E::NotApplied { .. } => 4,
        E::DeleteNotPermitted => 5,
        E::Refused(_) => 6,
        E::NoInstance => 7,
        E::Panicked(_) => 8,
    };
    let all = vec![
        E::Pbx(PbxError::new("create the domain acme.example.com", PbxErrorKind::Server)),
        E::Store(StoreError::LeaseLost),
        E::Stale("the record of acme changed".into()),
        E::Numbers("another tenant has +4930123456".into()),
        E::NotApplied { what: "the domain's name".into(), wanted: "a".into(), found: "b".into() },
        E::DeleteNotPermitted,
        E::Refused("acme is still in its retention, so it is not deleted".into()),
        E::NoInstance,
        E::Panicked("index out of bounds".into()),
    ];
    let places: std::collections::BTreeSet<usize> = all.iter().map(place).collect();
    assert_eq!(places, (0..=8).collect(), "an error is missing here");
    let texts: Vec<String> = all.iter().map(|error| chain(error)).collect();
    super::compare("errors_of_a_step", &texts.join("\n"));
}
