//! A database made before tables and columns got their plain names is taken over, with every value in it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tenantd::isolation;
use tenantd::model::{
    Approval, Condition, ConditionSince, CrossTenant, DaemonState, Definition, DomainId, DomainName,
    DriftPolicy, Heartbeat, MaxUsers, OpenIntent, Pause, PreviousPlacement, SettingId, SettingName,
    TenantCondition, TenantId, TenantRecord, WebSignInBlock,
};
use tenantd::store::{Access, AuditEntry, Database, StoreError};
use uuid::Uuid;

use crate::common::harness::{instance, key};
use crate::common::sql_client::{SqlClient, fresh, migrate_before, open};

/// The first migration that the earlier program did not have.
const PLAIN_NAMES: &str = "2026-11-27-020000";

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn id(n: u128) -> TenantId {
    TenantId(uuid(n))
}

fn time(text: &str) -> DateTime<Utc> {
    format!("{text}:00Z").replace(' ', "T").parse().unwrap()
}

fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

const ACME: u128 = 0xa;
const CAFE: u128 = 0xb;
const HOOLI: u128 = 0xc;
const STARK: u128 = 0xd;

/// What the earlier program wrote: an enabled tenant that moved, one whose record may be deleted, a protected one, and one
/// without an intent to delete it.
fn earlier_rows() -> Vec<String> {
    let (acme, cafe, hooli, stark) = (uuid(ACME), uuid(CAFE), uuid(HOOLI), uuid(STARK));
    let (d1, d2, d3, d4, d5) = (uuid(0xd1), uuid(0xd2), uuid(0xd3), uuid(0xd4), uuid(0xd5));
    let (entry, off) = (uuid(0xe1), uuid(0xe2));
    let block = format!(r#"{{"entry":"{entry}","switched_off":["{off}"]}}"#);
    let columns = "id, key, name, domain, instance, enabled, session_timeout_minutes, max_users, protected, \
         pbx_settings_json, cross_tenant_json, drift, domain_id, provisioned, disabled_at, disable_confirmed_at, \
         deletable_from, removed_at, login_lock_json, lock_left_open, settings_checked_at, applied_hash, reapplied_json, \
         revision, created_at, updated_at, restored_at";
    let removed = |id: Uuid, key: &str, protected: bool, domain: Uuid, block: &str, left_open: bool| {
        format!(
            "INSERT INTO tenants ({columns}) VALUES ('{id}', '{key}', '{key} AG', '{key}.example.com', 'hq', false, 60, NULL, \
             {protected}, '{{}}', '{{}}', 'correct', '{domain}', true, '2026-09-01 10:00:00', '2026-09-01 10:05:00', \
             '2026-10-01 10:05:00', '2026-09-01 09:59:00', {block}, {left_open}, NULL, NULL, '{{}}', 3, \
             '2026-01-02 03:04:00', '2026-09-01 10:05:00', NULL)"
        )
    };
    let intent = |n: u128, tenant: Uuid, key: &str, action: &str, closed: &str| {
        format!(
            "INSERT INTO journal (id, plan_id, tenant_id, tenant_key, instance, action, request, opened_at, closed_at, outcome) \
             VALUES ('{}', 'p-1', '{tenant}', '{key}', 'hq', '{action}', 'x', '2026-11-20 12:00:00', {closed})",
            uuid(n)
        )
    };
    vec![
        format!(
            "INSERT INTO tenants ({columns}) VALUES ('{acme}', 'acme', 'Acme & Söhne', 'acme.example.com', 'branch', true, \
             30, 25, false, '{{\"domain.time_zone.name\":\"Europe/Berlin\"}}', '{{\"chat\":[\"hooli\"]}}', 'report', '{d1}', \
             true, NULL, NULL, NULL, NULL, NULL, false, '2026-11-20 08:00:00', 'hash', '{{\"name\":2}}', 7, \
             '2026-01-02 03:04:00', '2026-11-20 08:00:00', '2026-11-19 07:00:00')"
        ),
        removed(cafe, "cafe", false, d2, &format!("'{block}'"), false),
        removed(hooli, "hooli", true, d3, "NULL", true),
        removed(stark, "stark", false, d4, "NULL", false),
        format!(
            "INSERT INTO former_placements (tenant_id, instance, domain_id, domain, login_lock_json, left_at, \
             disable_confirmed_at, deletable_from) VALUES ('{acme}', 'hq', '{d5}', 'acme.example.com', '{block}', \
             '2026-11-01 08:00:00', '2026-11-01 08:01:00', '2026-12-01 08:01:00')"
        ),
        format!(
            "INSERT INTO suspensions (id, tenant_key, instance, until, reason, suspended_by, suspended_at) VALUES \
             ('{}', 'acme', 'hq', '2100-01-01 00:00:00', 'a migration', 'alice', '2026-11-20 09:00:00'), \
             ('{}', NULL, NULL, '2026-11-20 09:00:00', 'is over', 'bob', '2026-11-20 08:00:00')",
            uuid(0x51),
            uuid(0x52)
        ),
        format!(
            "INSERT INTO approvals (id, removals_id, tenant_key, approved_by, approved_at, expires_at) VALUES \
             ('{}', NULL, 'cafe', 'alice', '2026-11-20 09:00:00', '2100-01-01 00:00:00'), \
             ('{}', 'r-1', NULL, 'bob', '2026-11-20 09:00:00', '2100-01-01 00:00:00')",
            uuid(0x61),
            uuid(0x62)
        ),
        intent(0x71, cafe, "cafe", "forget", "NULL, NULL"),
        intent(0x72, hooli, "hooli", "delete", "NULL, NULL"),
        intent(0x73, stark, "stark", "forget", "'2026-11-20 12:01:00', 'done'"),
        "INSERT INTO tenant_conditions (tenant_key, condition, reason, lift, until, since) VALUES \
         ('acme', 'held', 'paused until then', 'tenantd resume acme', '2100-01-01 00:00:00', '2026-11-20 09:00:00')"
            .to_owned(),
        "INSERT INTO heartbeats (holder, state, interval_seconds, seen_at, pass_started_at, pass_ended_at, pass_result, \
         next_pass_at, last_error, last_error_at) VALUES ('daemon 1 on host', 'stopped', 300, '2026-11-20 12:00:00', \
         '2026-11-20 11:58:00', '2026-11-20 11:59:00', 'failed', NULL, 'no answer', '2026-11-20 11:59:00')"
            .to_owned(),
        format!(
            "INSERT INTO audit_log (at, actor, event, tenant_id, tenant_key, instance, plan_id, before_json, after_json, \
             result, detail) VALUES ('2026-11-20 08:00:00', 'daemon', 'tenant.updated', '{acme}', 'acme', 'hq', 'p-1', \
             '{{\"name\":\"A\"}}', '{{\"name\":\"B\"}}', 'failed', 'no answer')"
        ),
    ]
}

fn web_sign_in_block() -> WebSignInBlock {
    WebSignInBlock { entry: SettingId(uuid(0xe1)), switched_off: [SettingId(uuid(0xe2))].into() }
}

fn acme() -> TenantRecord {
    TenantRecord {
        id: id(ACME),
        key: key("acme"),
        definition: Definition {
            name: "Acme & Söhne".into(),
            domain: domain("acme.example.com"),
            instance: instance("branch"),
            enabled: true,
            session_timeout: 30,
            max_users: MaxUsers::Limited(25),
            protected: false,
            pbx_settings: [(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".to_owned())]
                .into(),
            cross_tenant: CrossTenant { chat: [key("hooli")].into(), ..CrossTenant::default() },
            drift: DriftPolicy::Report,
        },
        domain_id: DomainId(uuid(0xd1)),
        provisioned: true,
        disabled_at: None,
        disable_confirmed_at: None,
        deletable_from: None,
        file_removed_at: None,
        web_sign_in_block: None,
        web_sign_in_left_open: false,
        settings_checked_at: Some(time("2026-11-20 08:00")),
        applied_definition_hash: Some("hash".into()),
        restored_at: Some(time("2026-11-19 07:00")),
        corrections: [("name".to_owned(), 2)].into(),
        revision: 7,
        created_at: time("2026-01-02 03:04"),
        updated_at: time("2026-11-20 08:00"),
    }
}

fn removed(n: u128, name: &str, domain_id: u128) -> TenantRecord {
    TenantRecord {
        id: id(n),
        key: key(name),
        definition: Definition {
            name: format!("{name} AG"),
            domain: domain(&format!("{name}.example.com")),
            instance: instance("hq"),
            enabled: false,
            session_timeout: 60,
            max_users: MaxUsers::Unlimited,
            protected: false,
            pbx_settings: BTreeMap::new(),
            cross_tenant: CrossTenant::default(),
            drift: DriftPolicy::Correct,
        },
        domain_id: DomainId(uuid(domain_id)),
        provisioned: true,
        disabled_at: Some(time("2026-09-01 10:00")),
        disable_confirmed_at: Some(time("2026-09-01 10:05")),
        deletable_from: Some(time("2026-10-01 10:05")),
        file_removed_at: Some(time("2026-09-01 09:59")),
        web_sign_in_block: None,
        web_sign_in_left_open: false,
        settings_checked_at: None,
        applied_definition_hash: None,
        restored_at: None,
        corrections: BTreeMap::new(),
        revision: 3,
        created_at: time("2026-01-02 03:04"),
        updated_at: time("2026-09-01 10:05"),
    }
}

async fn every_value_arrived(database: &Database) {
    let (recorded, conditions, heartbeats, audit) = database
        .read(|store| {
            let recorded = store.recorded(Utc::now())?;
            Ok(Some((recorded, store.conditions()?, store.heartbeats()?, store.audit(None, 10)?)))
        })
        .await
        .unwrap()
        .unwrap();
    let mut cafe = removed(CAFE, "cafe", 0xd2);
    cafe.web_sign_in_block = Some(web_sign_in_block());
    let mut hooli = removed(HOOLI, "hooli", 0xd3);
    (hooli.definition.protected, hooli.web_sign_in_left_open) = (true, true);
    let tenants = [acme(), cafe, hooli, removed(STARK, "stark", 0xd4)];
    let tenants: BTreeMap<_, _> = tenants.map(|record| (record.key.clone(), record)).into();
    assert_eq!(recorded.tenants, tenants);
    assert_eq!(
        recorded.previous_placements,
        [PreviousPlacement {
            tenant: id(ACME),
            key: key("acme"),
            instance: instance("hq"),
            domain_id: DomainId(uuid(0xd5)),
            domain: domain("acme.example.com"),
            web_sign_in_block: Some(web_sign_in_block()),
            left_at: time("2026-11-01 08:00"),
            disable_confirmed_at: Some(time("2026-11-01 08:01")),
            deletable_from: Some(time("2026-12-01 08:01")),
        }]
    );
    let intent = |n, tenant, name, action: &str| OpenIntent {
        id: uuid(n),
        tenant: id(tenant),
        key: key(name),
        instance: instance("hq"),
        action: action.to_owned(),
        opened_at: time("2026-11-20 12:00"),
    };
    assert_eq!(
        recorded.open_intents,
        [intent(0x71, CAFE, "cafe", "delete_record"), intent(0x72, HOOLI, "hooli", "delete")]
    );
    assert_eq!(
        recorded.pauses,
        [Pause {
            id: uuid(0x51),
            key: Some(key("acme")),
            instance: Some(instance("hq")),
            until: time("2100-01-01 00:00"),
            reason: "a migration".into(),
            paused_by: "alice".into(),
            paused_at: time("2026-11-20 09:00"),
        }]
    );
    let approval = |n, removals_id: Option<&str>, of: Option<&str>, by: &str| Approval {
        id: uuid(n),
        removals_id: removals_id.map(str::to_owned),
        deletion_of: of.map(key),
        approved_by: by.to_owned(),
        approved_at: time("2026-11-20 09:00"),
        expires_at: time("2100-01-01 00:00"),
    };
    assert_eq!(
        recorded.approvals,
        [approval(0x61, None, Some("cafe"), "alice"), approval(0x62, Some("r-1"), None, "bob")]
    );
    let held = ConditionSince {
        standing: TenantCondition {
            condition: Condition::Held,
            reason: Some("paused until then".into()),
            lifted_by: Some("tenantd resume acme".into()),
            until: Some(time("2100-01-01 00:00")),
        },
        since: time("2026-11-20 09:00"),
    };
    assert_eq!(conditions, BTreeMap::from([(key("acme"), held)]));
    assert_eq!(
        heartbeats,
        [Heartbeat {
            pass_started_at: Some(time("2026-11-20 11:58")),
            pass_ended_at: Some(time("2026-11-20 11:59")),
            pass_result: Some("failed".into()),
            last_error: Some("no answer".into()),
            last_error_at: Some(time("2026-11-20 11:59")),
            ..Heartbeat::new("daemon 1 on host", DaemonState::Stopped, 300, time("2026-11-20 12:00"))
        }]
    );
    assert_eq!(
        audit,
        [AuditEntry {
            tenant: Some(id(ACME)),
            instance: Some(instance("hq")),
            plan_id: Some("p-1".into()),
            before: Some(r#"{"name":"A"}"#.into()),
            after: Some(r#"{"name":"B"}"#.into()),
            done: false,
            detail: Some("no answer".into()),
            ..AuditEntry::new(time("2026-11-20 08:00"), "daemon", "tenant.updated", key("acme"))
        }]
    );
}

async fn delete(database: &Database, n: u128) -> Result<(), String> {
    let deleted: Result<(), StoreError> = database.write(move |store| store.delete_tenant(id(n))).await;
    deleted.map_err(|error| tenantd::report::chain(&error))
}

async fn takes_over(postgres: bool) {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(postgres, dir.path()) else { return };
    let mut db = SqlClient::connect(&config).await;
    migrate_before(&mut db, PLAIN_NAMES).await;
    if postgres {
        db.run("SET TIME ZONE 'UTC'").await.unwrap();
    }
    for row in earlier_rows() {
        db.run(&row).await.unwrap_or_else(|error| panic!("{error}: {row}"));
    }
    // All are archived, so that it is the delete guard that refuses.
    db.run(
        "INSERT INTO archives (tenant_id, path, sha256, rows, checked_at) \
             SELECT id, '/a', 'x', 0, '2026-11-01 00:00:00' FROM tenants",
    )
    .await
    .unwrap();

    let database = open(&config, Access::ReadWrite).await;
    every_value_arrived(&database).await;
    let report = isolation::check(&database).await.unwrap();
    assert_eq!(report.findings, []);

    for (n, reason) in [
        // PostgreSQL asks the archive's guard first, and an enabled tenant has no archive since it was disabled.
        (ACME, if postgres { "tenant is not archived" } else { "tenant is enabled" }),
        (HOOLI, "tenant is protected"),
        (STARK, "tenant has no open intent to delete it after its retention"),
    ] {
        let refused = delete(&database, n).await.unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
    delete(&database, CAFE).await.unwrap();
    let left = db.texts("SELECT key FROM tenants").await;
    assert_eq!(
        left.into_iter().collect::<BTreeSet<_>>(),
        ["acme", "hooli", "stark"].map(str::to_owned).into()
    );

    db.run("UPDATE audit_log SET actor = 'x'").await.unwrap_err();
    let earlier_tables = if postgres {
        "SELECT count(*) FROM pg_class WHERE relname IN ('former_placements', 'suspensions')"
    } else {
        "SELECT count(*) FROM sqlite_master WHERE name IN ('former_placements', 'suspensions')"
    };
    assert_eq!(db.number(earlier_tables).await, 0);
    if postgres {
        let readable = db
            .texts(
                "SELECT t FROM unnest(ARRAY['tenants', 'previous_placements', 'pauses', 'heartbeats', 'tenant_conditions', \
                 'journal']) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p \
                 WHERE has_table_privilege('crystalqore_service', t, p)",
            )
            .await;
        assert_eq!(readable, [""; 0], "services reach no table of tenantd's own");
    } else {
        assert!(dir.path().join("tenantd.db.before-migration").exists(), "the database was copied first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_of_the_earlier_names_is_taken_over() {
    takes_over(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_of_the_earlier_names_is_taken_over() {
    takes_over(true).await;
}
