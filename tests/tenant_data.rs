//! The tenants' own data: login rules by plain SQL, sharing, statistics, archives, synchronisation.

mod common;

use std::path::Path;

use chrono::{TimeDelta, Utc};
use common::harness::{Backend, Harness, key, tenant};
use common::rows::{change, fill, insert, record, user};
use common::sql_client::{SqlClient, fresh, open};
use fusionpbx_standin::NewUser;
use tenantd::archive::{self, ArchiveError};
use tenantd::config::{AllowedSharing, DatabaseConfig, Tier};
use tenantd::environment::Environment as _;
use tenantd::model::{Completeness, Desired, MaxUsers, TenantId, TenantRecord};
use tenantd::store::data::TableDigest;
use tenantd::store::{Access, Database, StoreError};
use tenantd::{stats, sync};

/// The body runs on SQLite and, where it is installed, on PostgreSQL.
macro_rules! on_both {
    ($(async fn $name:ident($config:ident, $database:ident, $db:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            #[allow(unused_mut, unused_variables)]
            async fn body(postgres: bool) {
                let dir = tempfile::tempdir().unwrap();
                let Some($config) = fresh(postgres, dir.path()) else { return };
                let $database = open(&$config, Access::ReadWrite).await;
                let mut $db = SqlClient::connect(&$config).await;
                $body
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                body(false).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                body(true).await;
            }
        }
    )* };
}

async fn digests(database: &Database, tenant: TenantId) -> Vec<TableDigest> {
    database.read(move |store| store.in_scope(tenant, |scope| scope.digests())).await.unwrap()
}

async fn recorded(database: &Database, name: &str) -> TenantRecord {
    database.read(|store| store.tenants()).await.unwrap().remove(&key(name)).unwrap()
}

async fn restore(database: &Database, path: &Path) -> Result<archive::Restored, String> {
    let path = path.to_owned();
    let manifest = archive::check(&path).map_err(|error| tenantd::report::chain(&error))?;
    database
        .write(move |store| {
            archive::restore(store, &path, manifest, "test", Utc::now())
                .map_err(|error| StoreError::Refused(tenantd::report::chain(&error)))
        })
        .await
        .map_err(|error| error.to_string())
}

fn session(db: &SqlClient, tenant: TenantId, id: &str, user: &str, minutes: i32) -> String {
    format!(
        "INSERT INTO user_sessions (tenant_id, id, user_id, expires_at) VALUES ('{tenant}', '{id}', '{user}', {})",
        db.in_minutes(minutes)
    )
}

fn refused(result: Result<(), String>, with: &str) {
    let refusal = result.expect_err(with);
    assert!(refusal.contains(with), "{refusal}");
}

on_both! {
    async fn sessions_start_only_where_they_may(config, database, db) {
        let mut acme = record("acme");
        insert(&database, &acme).await;
        db.run(&user(acme.id, "anna")).await.unwrap();
        db.run(&user(acme.id, "bert")).await.unwrap();
        db.run("UPDATE users SET enabled = false WHERE id = 'bert'").await.unwrap();
        db.run(&session(&db, acme.id, "s1", "anna", 59)).await.unwrap();
        refused(db.run(&session(&db, acme.id, "s2", "anna", 62)).await, "session_timeout");
        refused(db.run(&session(&db, acme.id, "s2", "bert", 30)).await, "user is disabled");
        let past = format!(
            "INSERT INTO user_sessions (tenant_id, id, user_id, started_at, expires_at) VALUES ('{}', 'p', 'anna', {}, {})",
            acme.id, db.in_minutes(-40), db.in_minutes(-1)
        );
        refused(db.run(&past).await, "expired already");
        let future = format!(
            "INSERT INTO user_sessions (tenant_id, id, user_id, started_at, expires_at) VALUES ('{}', 'p', 'anna', {}, {})",
            acme.id, db.in_minutes(100), db.in_minutes(140)
        );
        refused(db.run(&future).await, "in the future");
        let longer = format!("UPDATE user_sessions SET expires_at = {} WHERE id = 's1'", db.in_minutes(90));
        refused(db.run(&longer).await, "session_timeout");
        change(&database, &mut acme, |acme| { acme.definition.enabled = false; acme.disabled_at = Some(Utc::now()); }).await;
        refused(db.run(&session(&db, acme.id, "s3", "anna", 30)).await, "tenant is disabled");
    }

    async fn disabling_a_tenant_or_a_user_ends_sessions_in_the_same_transaction(config, database, db) {
        let mut acme = record("acme");
        let globex = record("globex");
        insert(&database, &acme).await;
        insert(&database, &globex).await;
        fill(&mut db, acme.id).await;
        fill(&mut db, globex.id).await;
        let open = "SELECT count(*) FROM user_sessions WHERE ended_at IS NULL";
        assert_eq!(db.number(open).await, 4);
        db.run(&format!("UPDATE users SET enabled = false WHERE tenant_id = '{}' AND id = 'anna'", acme.id)).await.unwrap();
        assert_eq!(db.number(open).await, 3);
        let undone = database.write({
            let mut acme = acme.clone();
            move |store| {
                acme.definition.enabled = false;
                store.update_tenant(&mut acme, Utc::now())?;
                Err::<(), _>(StoreError::Interrupted)
            }
        }).await;
        assert!(undone.is_err());
        assert_eq!(db.number(open).await, 3, "what was rolled back ended nothing");
        change(&database, &mut acme, |acme| { acme.definition.enabled = false; acme.disabled_at = Some(Utc::now()); }).await;
        assert_eq!(db.number(open).await, 2);
        let ended = format!("SELECT DISTINCT end_reason FROM user_sessions WHERE tenant_id = '{}' ORDER BY 1", acme.id);
        assert_eq!(db.texts(&ended).await, ["tenant disabled", "user disabled"]);
        refused(db.run("UPDATE user_sessions SET ended_at = NULL WHERE ended_at IS NOT NULL").await, "not opened again");
        let sessions = database.read(|store| store.recorded(Utc::now())).await.unwrap().open_sessions;
        assert_eq!(sessions, [(globex.id, 2)].into());
    }

    async fn a_lower_timeout_shortens_open_sessions(config, database, db) {
        let mut acme = record("acme");
        insert(&database, &acme).await;
        db.run(&user(acme.id, "anna")).await.unwrap();
        db.run(&session(&db, acme.id, "long", "anna", 59)).await.unwrap();
        db.run(&session(&db, acme.id, "short", "anna", 5)).await.unwrap();
        change(&database, &mut acme, |acme| acme.definition.session_timeout = 10).await;
        let left = if db.is_postgres() {
            "SELECT round(extract(epoch FROM expires_at - started_at) / 60)::text FROM user_sessions ORDER BY id"
        } else {
            "SELECT CAST(round((julianday(expires_at) - julianday(started_at)) * 1440) AS INTEGER) FROM (SELECT * FROM user_sessions ORDER BY id)"
        };
        assert_eq!(db.texts(left).await, ["10", "5"]);
        change(&database, &mut acme, |acme| acme.definition.session_timeout = 90).await;
        assert_eq!(db.texts(left).await, ["10", "5"], "a longer one lengthens nothing");
    }

    async fn a_user_beyond_the_limit_is_refused_with_its_name(config, database, db) {
        let mut acme = record("acme");
        acme.definition.max_users = MaxUsers::Limited(2);
        insert(&database, &acme).await;
        db.run(&user(acme.id, "anna")).await.unwrap();
        db.run(&user(acme.id, "bert")).await.unwrap();
        refused(db.run(&user(acme.id, "carl")).await, "(max_users)");
        db.run("UPDATE users SET enabled = false WHERE id = 'bert'").await.unwrap();
        db.run(&user(acme.id, "carl")).await.unwrap();
        refused(db.run("UPDATE users SET enabled = true WHERE id = 'bert'").await, "(max_users)");
        if db.is_postgres() {
            refused(db.run(&user(acme.id, "dora")).await, "the tenant acme has reached its limit of 2 users");
        }
        refused(db.run("UPDATE users SET email = upper((SELECT email FROM users WHERE id = 'anna')) WHERE id = 'bert'").await, "");
    }

    async fn statistics_count_existing_rows(config, database, db) {
        let mut acme = record("acme");
        acme.definition.max_users = MaxUsers::Limited(2);
        let globex = record("globex");
        insert(&database, &acme).await;
        insert(&database, &globex).await;
        fill(&mut db, acme.id).await;
        let now = Utc::now();
        let all = database.read(move |store| store.stats(now)).await.unwrap();
        assert_eq!(all.len(), 2);
        let (of_acme, of_globex) = (&all[0], &all[1]);
        assert_eq!((of_acme.active_users, of_acme.files, of_acme.file_bytes, of_acme.open_sessions), (2, 1, 5_000_000_000, 2));
        assert!((of_acme.last_activity.unwrap() - now).abs() < TimeDelta::minutes(1), "{:?}", of_acme.last_activity);
        assert_eq!((of_globex.active_users, of_globex.files, of_globex.last_activity), (0, 0, None));
        let tier = Tier { name: "t".into(), max_users_per_tenant: Some(100), max_pbx_instances: None, max_tenants: Some(2) };
        let near = stats::near_limits(&all, &tier);
        let near: Vec<_> = near.iter().map(|(of, text)| (of.as_ref().map(|key| key.as_str()), text.as_str())).collect();
        assert_eq!(near, [
            (Some("acme"), "acme has reached max_users: 2 of 2 users"),
            (None, "the platform has reached the tier's limit: 2 of 2 tenants"),
        ]);
        assert!(stats::table(&all, &tier).contains("4.6 GiB"), "{}", stats::table(&all, &tier));
        let later = now + TimeDelta::hours(2);
        let all = database.read(move |store| store.stats(later)).await.unwrap();
        assert_eq!(all[0].open_sessions, 0, "a session past its expiry is not open");
    }

    async fn sharing_needs_both_files_and_the_deployment(config, database, db) {
        let mut wanted = [tenant("acme"), tenant("globex"), tenant("hooli")];
        let mut records = wanted.each_ref().map(|wanted| record(wanted.key.as_str()));
        for record in &records {
            insert(&database, record).await;
        }
        for (from, to) in [(0, "globex"), (1, "acme"), (2, "acme")] {
            wanted[from].definition.cross_tenant.presence.insert(key(to));
            wanted[from].definition.cross_tenant.chat.insert(key(to));
        }
        let mut desired = Desired { completeness: Completeness::Complete, ..Desired::unreadable("") };
        desired.tenants = wanted.into_iter().map(|tenant| (tenant.key.clone(), tenant)).collect();
        let allowed = AllowedSharing { presence: true, contacts: true, chat: false };
        let put = async |desired: &Desired, allowed: &AllowedSharing| {
            let (desired, allowed) = (desired.clone(), allowed.clone());
            database.write(move |store| store.put_shares(&desired, &allowed)).await.unwrap();
        };
        let shares = "SELECT kind || ' ' || a.key || ' ' || b.key FROM cross_tenant_shares s JOIN tenants a ON a.id = \
            s.tenant_id JOIN tenants b ON b.id = s.with_tenant_id ORDER BY 1";
        put(&desired, &allowed).await;
        assert!(db.texts(shares).await.is_empty(), "no update has recorded yet what the files say");
        let says = |of: &str| desired.tenants[&key(of)].definition.cross_tenant.clone();
        change(&database, &mut records[0], |record| record.definition.cross_tenant = says("acme")).await;
        put(&desired, &allowed).await;
        assert!(db.texts(shares).await.is_empty(), "one of the two updates is held");
        change(&database, &mut records[1], |record| record.definition.cross_tenant = says("globex")).await;
        put(&desired, &allowed).await;
        assert_eq!(db.texts(shares).await, ["presence acme globex", "presence globex acme"]);
        let mut broken = desired.clone();
        broken.tenants.remove(&key("globex"));
        broken.completeness = Completeness::Unreadable { reason: "gone".into() };
        broken.tenants.clear();
        put(&broken, &allowed).await;
        assert_eq!(db.texts(shares).await.len(), 2, "what cannot be read stays as it was recorded");
        put(&desired, &allowed).await;
        desired.tenants.get_mut(&key("globex")).unwrap().definition.cross_tenant.presence.clear();
        put(&desired, &allowed).await;
        assert_eq!(db.texts(shares).await.len(), 0, "gone when one side stops");
        put(&desired, &AllowedSharing::default()).await;
    }

    async fn a_whole_life_keeps_every_row(config, database, db) {
        let mut acme = record("acme");
        let globex = record("globex");
        insert(&database, &acme).await;
        insert(&database, &globex).await;
        fill(&mut db, acme.id).await;
        fill(&mut db, globex.id).await;
        let before = digests(&database, acme.id).await;
        assert_eq!(before.len(), 11);
        assert!(before.iter().all(|table| table.rows > 0), "{before:?}");
        let others = digests(&database, globex.id).await;
        change(&database, &mut acme, |acme| { acme.definition.enabled = false; acme.disabled_at = Some(Utc::now()); }).await;
        let but_sessions = |tables: &[TableDigest]| -> Vec<TableDigest> {
            tables.iter().filter(|table| table.table != "user_sessions").cloned().collect()
        };
        if db.is_postgres() {
            for table in &before {
                let query = format!(
                    "BEGIN; SET LOCAL ROLE crystalqore_service; SET LOCAL crystalqore.tenant = '{}'; \
                     SELECT count(*) FROM {}; COMMIT", acme.id, table.table
                );
                assert_eq!(db.number(&query).await, 0, "{} of a disabled tenant", table.table);
            }
        }
        let disabled = digests(&database, acme.id).await;
        assert_eq!(but_sessions(&disabled), but_sessions(&before), "intact underneath");
        change(&database, &mut acme, |acme| { acme.definition.enabled = true; acme.disabled_at = None; }).await;
        assert_eq!(digests(&database, acme.id).await, disabled);
        if db.is_postgres() {
            let query = format!(
                "BEGIN; SET LOCAL ROLE crystalqore_service; SET LOCAL crystalqore.tenant = '{}'; \
                 SELECT count(*) FROM chat_messages; COMMIT", acme.id
            );
            assert_eq!(db.number(&query).await, 2, "everything is back");
        }
        assert_eq!(digests(&database, globex.id).await, others);
    }

    async fn a_damaged_archive_and_a_taken_key_are_refused(config, database, db) {
        let acme = record("acme");
        insert(&database, &acme).await;
        fill(&mut db, acme.id).await;
        let dir = tempfile::tempdir().unwrap();
        let file = archive::archive(&database, &acme, dir.path(), Utc::now()).await.unwrap();
        assert_eq!(archive::check(&file.path).unwrap(), file.manifest);
        let refusal = restore(&database, &file.path).await.unwrap_err();
        assert!(refusal.contains("the identity") && refusal.contains("already exists"), "{refusal}");
        let whole = std::fs::read(&file.path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            std::fs::write(&file.path, &damaged).unwrap();
            // Some bits of a gzip mean nothing: when it was made, padding.
            assert!(archive::check(&file.path).map_or(true, |manifest| manifest == file.manifest), "byte {at}");
        }
        std::fs::write(&file.path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(archive::check(&file.path), Err(ArchiveError::Damaged { .. })));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no partial file stays behind");
    }
}

/// From creation by a pass to deletion by a pass, and back.
async fn archive_delete_restore(
    backend: Backend,
) -> Option<(Harness, TenantId, Vec<TableDigest>, std::path::PathBuf)> {
    let mut harness = Harness::new(backend).await?;
    harness.want([tenant("acme"), tenant("globex")]);
    harness.converge().await;
    let acme = recorded(&harness.database, "acme").await.id;
    let mut db = SqlClient::connect(&harness.config.database).await;
    fill(&mut db, acme).await;
    harness.remove_file("acme");
    harness.converge().await;
    let before = digests(&harness.database, acme).await;
    harness.clock.advance(TimeDelta::days(31));
    // A clock that jumps is not believed at once; passes over the days are.
    for _ in 0..40 {
        harness.pass().await;
        if harness.database.read(|store| store.tombstones()).await.unwrap().len() == 1 {
            break;
        }
        harness.clock.advance(TimeDelta::days(1));
    }
    let tombstone = harness.database.read(|store| store.tombstones()).await.unwrap().remove(0);
    assert_eq!(tombstone.tenant, acme);
    let path = std::path::PathBuf::from(tombstone.archive.unwrap());
    assert_eq!(archive::sha256_of(&path).unwrap(), tombstone.archive_sha256.unwrap());
    assert_eq!(db.number(&format!("SELECT count(*) FROM users WHERE tenant_id = '{acme}'")).await, 0);
    let restored = restore(&harness.database, &path).await.unwrap();
    assert_eq!((restored.tenant, restored.sessions_ended), (acme, 0));
    assert_eq!(digests(&harness.database, acme).await, before);
    let record = recorded(&harness.database, "acme").await;
    assert!(
        !record.definition.enabled && record.disabled_at.is_some() && record.disable_confirmed_at.is_none()
    );
    assert!(harness.database.read(|store| store.tombstones()).await.unwrap().is_empty());
    Some((harness, acme, before, path))
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_delete_restore_on_postgres() {
    archive_delete_restore(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_delete_restore_on_sqlite_and_then_into_postgres() {
    let (mut harness, acme, before, path) = archive_delete_restore(Backend::Sqlite).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    if let Some(config) = fresh(true, dir.path()) {
        let database = open(&config, Access::ReadWrite).await;
        restore(&database, &path).await.unwrap();
        assert_eq!(digests(&database, acme).await, before, "the same rows on the other database");
        let audit = database.read(|store| store.audit(Some(&key("acme")), 50)).await.unwrap();
        assert!(audit.len() > 2, "its audit lines came along");
        assert_eq!(audit[0].event, "tenant.restored");
    }
    // With its file back, it opens again on the PBX under the same identity.
    harness.desired.tenants.insert(key("acme"), tenant("acme"));
    harness.converge().await;
    let record = recorded(&harness.database, "acme").await;
    assert!(record.definition.enabled && record.id == acme && record.provisioned);
    assert_eq!(digests(&harness.database, acme).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_without_a_checked_archive() {
    let mut harness = Harness::new(Backend::Sqlite).await.unwrap();
    harness.want([tenant("acme"), tenant("globex")]);
    harness.converge().await;
    // A file where the directory should be.
    std::fs::write(&harness.config.archive_dir, "in the way").unwrap();
    harness.remove_file("acme");
    harness.converge().await;
    for _ in 0..40 {
        harness.clock.advance(TimeDelta::days(1));
        harness.pass().await;
    }
    assert_eq!(harness.pbx("hq").domains_named("acme.example.com").len(), 1, "the PBX keeps it as well");
    assert!(!recorded(&harness.database, "acme").await.definition.enabled);
    let audit = harness.database.read(|store| store.audit(Some(&key("acme")), 1)).await.unwrap();
    assert!(audit[0].detail.as_ref().unwrap().contains("not archived"), "{audit:?}");
}

async fn users_follow_the_pbx(backend: Backend) {
    let Some(mut harness) = Harness::new(backend).await else { return };
    harness.want([tenant("acme")]);
    harness.converge().await;
    let acme = recorded(&harness.database, "acme").await;
    let add = |harness: &Harness, instance: &str, domain, name: &str| {
        harness.pbx(instance).add_user(NewUser {
            domain,
            username: name.into(),
            password: "pw".into(),
            enabled: Some(true),
            groups: vec!["user".into()],
        })
    };
    for n in 0..350 {
        add(&harness, "hq", acme.domain_id.0, &format!("user{n:03}"));
    }
    let mut db = SqlClient::connect(&harness.config.database).await;
    db.run(&user(acme.id, "by-hand")).await.unwrap();
    let synced = async |harness: &Harness, instance: &str| {
        let name = common::harness::instance(instance);
        let now = harness.clock.now();
        sync::sync_instance(
            &harness.database,
            &name,
            &*harness.readers[&name],
            &sync::Rules::of(&harness.config.tier),
            now,
        )
        .await
        .unwrap()
    };
    let report = synced(&harness, "hq").await;
    assert_eq!((report.tenants[0].added.len(), report.problem), (350, None));
    assert_eq!(db.number("SELECT count(*) FROM users WHERE enabled AND source = 'fusionpbx'").await, 350);
    assert_eq!(
        db.texts("SELECT email FROM users WHERE username = 'user007'").await,
        ["user007@acme.example.com"]
    );
    assert!(synced(&harness, "hq").await.tenants.is_empty(), "a second time there is nothing to do");
    let gone = harness.pbx("hq").users().into_iter().find(|user| user.username == "user001").unwrap().uuid;
    harness.pbx("hq").remove_user(gone);
    let off = harness.pbx("hq").users().into_iter().find(|user| user.username == "user002").unwrap().uuid;
    harness.pbx("hq").edit_user(off, |user| user.enabled = Some(false));
    let report = synced(&harness, "hq").await;
    let mut disabled = report.tenants[0].disabled.clone();
    disabled.sort();
    assert_eq!(disabled, ["user001", "user002"]);
    assert_eq!(db.number("SELECT count(*) FROM users").await, 351, "never deleted");
    assert_eq!(db.number("SELECT count(*) FROM users WHERE enabled AND source = 'manual'").await, 1);
    harness.edit("acme", |tenant| {
        tenant.definition.instance = common::harness::instance("branch");
        tenant.definition.max_users = MaxUsers::Limited(10);
    });
    harness.converge().await;
    let moved = recorded(&harness.database, "acme").await;
    for name in ["user001", "user003", "fresh"] {
        add(&harness, "branch", moved.domain_id.0, name);
    }
    let report = synced(&harness, "branch").await;
    let of_acme = &report.tenants[0];
    assert_eq!(of_acme.disabled.len(), 347, "not on the new instance");
    assert_eq!(
        (of_acme.added.as_slice(), of_acme.refused.as_slice()),
        (["fresh".to_owned()].as_slice(), [].as_slice())
    );
    assert_eq!(db.number("SELECT count(*) FROM users WHERE enabled").await, 4);
    for n in 0..8 {
        add(&harness, "branch", moved.domain_id.0, &format!("x{n}"));
    }
    let report = synced(&harness, "branch").await;
    assert_eq!((report.tenants[0].added.len(), report.tenants[0].over_limit.len()), (8, 2));
    assert_eq!(db.number("SELECT count(*) FROM users WHERE enabled").await, 10, "and not one more");
    assert_eq!(report.tenants[0].over_limit, ["x6", "x7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_follow_the_pbx_on_sqlite() {
    users_follow_the_pbx(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_follow_the_pbx_on_postgres() {
    users_follow_the_pbx(Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_do_not_both_take_the_last_place() {
    let dir = tempfile::tempdir().unwrap();
    let Some(config @ DatabaseConfig::Postgres { .. }) = fresh(true, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let mut acme = record("acme");
    acme.definition.max_users = MaxUsers::Limited(1);
    insert(&database, &acme).await;
    let (mut one, mut two) = (SqlClient::connect(&config).await, SqlClient::connect(&config).await);
    one.run("BEGIN").await.unwrap();
    one.run(&user(acme.id, "anna")).await.unwrap();
    let statement = user(acme.id, "bert");
    let scheduled = tokio::spawn(async move { two.run(&statement).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!scheduled.is_finished(), "the second waits for the first");
    one.run("COMMIT").await.unwrap();
    refused(scheduled.await.unwrap(), "limit of 1 users");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_starts_while_its_tenant_is_disabled_does_not_stay_open() {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(true, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let mut acme = record("acme");
    insert(&database, &acme).await;
    let mut db = SqlClient::connect(&config).await;
    db.run(&user(acme.id, "anna")).await.unwrap();
    db.run("BEGIN").await.unwrap();
    db.run(&session(&db, acme.id, "s", "anna", 30)).await.unwrap();
    let disabling = tokio::spawn(async move {
        change(&database, &mut acme, |acme| {
            acme.definition.enabled = false;
            acme.disabled_at = Some(Utc::now());
        })
        .await;
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!disabling.is_finished(), "the disabling waits for the session");
    db.run("COMMIT").await.unwrap();
    disabling.await.unwrap();
    assert_eq!(db.number("SELECT count(*) FROM user_sessions WHERE ended_at IS NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_rows_can_be_read_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(true, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let (acme, mut globex) = (record("acme"), record("globex"));
    insert(&database, &acme).await;
    insert(&database, &globex).await;
    let mut db = SqlClient::connect(&config).await;
    fill(&mut db, acme.id).await;
    fill(&mut db, globex.id).await;
    for kind in ["presence", "contacts", "chat"] {
        db.run(&format!("INSERT INTO cross_tenant_shares VALUES ('{kind}', '{}', '{}')", globex.id, acme.id))
            .await
            .unwrap();
    }
    let as_acme = |sql: &str| {
        format!(
            "BEGIN; SET LOCAL ROLE crystalqore_service; SET LOCAL crystalqore.tenant = '{}'; {sql}; COMMIT",
            acme.id
        )
    };
    let other = globex.id;
    let theirs = async |db: &mut SqlClient, table: &str| {
        let count = format!("SELECT count(*) FROM {table} WHERE tenant_id = '{other}'");
        db.number(&as_acme(&count)).await
    };
    for (table, rows) in [
        ("presence", 1),
        ("contacts", 1),
        ("chat_conversations", 1),
        ("chat_messages", 1),
        ("chat_participants", 0),
        ("users", 0),
        ("files", 0),
        ("call_records", 0),
    ] {
        assert_eq!(theirs(&mut db, table).await, rows, "{table}");
    }
    db.run(&as_acme("UPDATE presence SET note = 'mine'; DELETE FROM contacts WHERE owner_id IS NULL"))
        .await
        .unwrap();
    let untouched =
        format!("SELECT count(*) FROM presence WHERE tenant_id = '{}' AND note IS NULL", globex.id);
    assert_eq!(db.number(&untouched).await, 1);
    assert_eq!(theirs(&mut db, "contacts").await, 1);
    change(&database, &mut globex, |globex| {
        globex.definition.enabled = false;
        globex.disabled_at = Some(Utc::now());
    })
    .await;
    assert_eq!(theirs(&mut db, "presence").await, 0, "a disabled tenant shares nothing");
}
