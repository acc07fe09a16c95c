//! SMS numbers: one spelling, one tenant, and nothing is lost when one leaves its tenant.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{TimeDelta, Utc};
use common::harness::{key, tenant};
use common::rows::{fill, insert, number_of, record};
use common::scenario::{held_because, steps};
use common::sql_client::{SqlClient, fresh, migrate_before, open};
use tenantd::archive;
use tenantd::model::{SmsNumber, TenantId};
use tenantd::plan::Effect;
use tenantd::store::{Access, Database, StoreError};

fn numbers<const N: usize>(texts: [&str; N]) -> BTreeSet<SmsNumber> {
    texts.map(|text| SmsNumber::parse(text).unwrap()).into()
}

async fn put<const N: usize>(database: &Database, tenant: TenantId, texts: [&str; N]) {
    let wanted = numbers(texts);
    database.write(move |store| store.put_sms_numbers(tenant, &wanted, Utc::now())).await.unwrap();
}

async fn rows(db: &mut SqlClient, tenant: TenantId) -> Vec<String> {
    db.texts(&format!(
        "SELECT coalesce(number, 'was ' || former_number || ': ' || release_reason) FROM sms_numbers \
             WHERE tenant_id = '{tenant}'"
    ))
    .await
    .into_iter()
    .collect::<BTreeSet<_>>()
    .into_iter()
    .collect()
}

macro_rules! on_both {
    ($(async fn $name:ident($postgres:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            async fn body($postgres: bool) $body

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

on_both! {
async fn the_database_takes_one_spelling_of_a_number(postgres) {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(postgres, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let mut db = SqlClient::connect(&config).await;
    let acme = record("acme");
    insert(&database, &acme).await;
    let mut n = 0;
    let mut insertion = |number: &str| {
        n += 1;
        format!("INSERT INTO sms_numbers (tenant_id, id, number) VALUES ('{}', 'n{n}', '{number}')", acme.id)
    };
    for bad in [
        "+49 30 123456", "0049301234567", "+049301234567", "+123456", "+1234567890123456", "030123", "12", "123456789",
        "+49301234x", "", "+",
    ] {
        db.run(&insertion(bad)).await.expect_err(bad);
    }
    for good in ["+1234567", "+123456789012345", "123", "12345678"] {
        db.run(&insertion(good)).await.unwrap();
    }
    db.run(&insertion("123")).await.expect_err("a number belongs to one tenant");
    // A row without a number says which it was and since when.
    let release = |what: &str| format!("UPDATE sms_numbers SET {what} WHERE number = '123'");
    db.run(&release("number = NULL")).await.expect_err("without a previous number");
    db.run(&release("released_at = created_at")).await.expect_err("with a number");
    db.run(&release("number = NULL, former_number = number, released_at = created_at")).await.unwrap();
    db.run(&insertion("123")).await.unwrap();
}

async fn a_number_that_leaves_its_tenant_keeps_its_messages(postgres) {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(postgres, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let mut db = SqlClient::connect(&config).await;
    let (acme, globex) = (record("acme"), record("globex"));
    insert(&database, &acme).await;
    insert(&database, &globex).await;
    put(&database, acme.id, ["+4930123456", "12345"]).await;
    db.run(
        "INSERT INTO sms_messages (tenant_id, id, number_id, direction, body) SELECT tenant_id, 'm', id, 'inbound', 'hello' \
         FROM sms_numbers WHERE number = '+4930123456'"
    ).await.unwrap();
    // What another tenant has is left to it.
    put(&database, globex.id, ["+4930123456"]).await;
    assert_eq!(rows(&mut db, globex.id).await, [""; 0]);
    put(&database, acme.id, ["12345"]).await;
    assert_eq!(rows(&mut db, acme.id).await, ["12345", "was +4930123456: not in the tenant's file"]);
    assert_eq!(db.number("SELECT count(*) FROM sms_messages").await, 1);
    put(&database, globex.id, ["+4930123456"]).await;
    assert_eq!(rows(&mut db, globex.id).await, ["+4930123456"]);
    // It comes back to the same row, with its messages.
    put(&database, globex.id, []).await;
    put(&database, acme.id, ["+4930123456"]).await;
    assert_eq!(rows(&mut db, acme.id).await, ["+4930123456", "was 12345: not in the tenant's file"]);
    assert_eq!(
        db.texts("SELECT n.number FROM sms_messages m JOIN sms_numbers n ON n.tenant_id = m.tenant_id AND n.id = m.number_id").await,
        ["+4930123456"]
    );
}

async fn numbers_of_an_older_database_get_one_spelling_and_none_is_lost(postgres) {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(postgres, dir.path()) else { return };
    let mut db = SqlClient::connect(&config).await;
    migrate_before(&mut db, "2026-11-27-004000").await;
    let (acme, globex) = (record("acme"), record("globex"));
    for one in [&acme, &globex] {
        db.run(&format!(
            "INSERT INTO tenants (id, key, name, domain, instance, enabled, session_timeout_minutes, protected, drift, \
             domain_id, provisioned, lock_left_open, created_at, updated_at) VALUES ('{id}', '{key}', 'x', '{key}.example', \
             'hq', true, 60, false, 'correct', '{domain}', true, false, '2026-01-01', '2026-01-01')",
            id = one.id, key = one.key, domain = one.domain_id
        )).await.unwrap();
    }
    let old = [
        (&acme, "1", "+49 (0)30 12-34.56", "2026-02-01"),
        (&acme, "2", "0049/89/123456", "2026-02-01"),
        (&acme, "3", "12345", "2026-02-01"),
        (&acme, "4", "ask Anna", "2026-02-01"),
        (&globex, "1", "+4930123456", "2026-03-01"),
        (&globex, "2", "(030) 987654", "2026-02-01"),
    ];
    for (of, id, number, at) in old {
        db.run(&format!(
            "INSERT INTO sms_numbers (tenant_id, id, number, label, created_at) VALUES ('{}', '{id}', '{number}', 'L{id}', '{at}')",
            of.id
        )).await.unwrap();
        db.run(&format!(
            "INSERT INTO sms_messages (tenant_id, id, number_id, direction, body) VALUES ('{}', 'm{id}', '{id}', 'inbound', '{number}')",
            of.id
        )).await.unwrap();
    }
    drop(open(&config, Access::ReadWrite).await);
    assert_eq!(
        rows(&mut db, acme.id).await,
        ["+4930123456", "+4989123456", "12345", "was ask Anna: not in international form"]
    );
    assert_eq!(
        rows(&mut db, globex.id).await,
        ["was (030) 987654: not in international form", "was +4930123456: another row has the same number"]
    );
    let kept = db.number(
        "SELECT count(*) FROM sms_messages m JOIN sms_numbers n ON n.tenant_id = m.tenant_id AND n.id = m.number_id \
         WHERE n.label = 'L' || n.id AND m.id = 'm' || n.id"
    ).await;
    assert_eq!(kept, 6, "every message is with its number");
    let told = db.run(&format!("UPDATE sms_messages SET tenant_id = '{}' WHERE id = 'm3'", globex.id)).await;
    assert!(told.unwrap_err().contains("does not change its tenant"));
}

async fn an_archive_comes_back_when_its_number_has_another_tenant(postgres) {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(postgres, dir.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let mut db = SqlClient::connect(&config).await;
    let (acme, globex) = (record("acme"), record("globex"));
    insert(&database, &acme).await;
    fill(&mut db, acme.id).await;
    let path = archive::archive(&database, &acme, dir.path(), Utc::now()).await.unwrap().path;

    // Into another database, where the number is taken meanwhile.
    let other = tempfile::tempdir().unwrap();
    let Some(config) = fresh(postgres, other.path()) else { return };
    let database = open(&config, Access::ReadWrite).await;
    let mut db = SqlClient::connect(&config).await;
    insert(&database, &globex).await;
    let number = number_of(acme.id);
    let wanted: BTreeSet<SmsNumber> = [SmsNumber::parse(&number).unwrap()].into();
    database.write(move |store| store.put_sms_numbers(globex.id, &wanted, Utc::now())).await.unwrap();
    let restored = restore(&database, &path).await;
    assert_eq!(restored.numbers_released, std::slice::from_ref(&number));
    assert_eq!(rows(&mut db, acme.id).await, [format!("was {number}: another tenant has the number")]);
    assert_eq!(db.number("SELECT count(*) FROM sms_messages").await, 1);
}
}

async fn restore(database: &Database, path: &Path) -> archive::Restored {
    let path = path.to_owned();
    let manifest = archive::check(&path).unwrap();
    database
        .write(move |store| {
            archive::restore(store, &path, manifest, "test", Utc::now())
                .map_err(|error| StoreError::Refused(tenantd::report::chain(&error)))
        })
        .await
        .unwrap()
}

on_both_databases! { async fn numbers_follow_the_files_and_pass_from_tenant_to_tenant(mut harness) {
    let unmanaged = harness.unmanaged();
    let mut acme = tenant("acme");
    acme.sms_numbers = Some(numbers(["+4930123456", "12345"]));
    harness.want([acme, tenant("globex")]);
    harness.converge().await;
    harness.assert_converged(&unmanaged).await;
    let recorded = harness.recorded().await;
    let of = |recorded: &tenantd::model::Recorded, name: &str| {
        recorded.sms_numbers.get(&recorded.tenants[&key(name)].id).cloned().unwrap_or_default()
    };
    assert_eq!(of(&recorded, "acme"), numbers(["+4930123456", "12345"]));

    harness.edit("globex", |tenant| tenant.sms_numbers = Some(numbers(["12345"])));
    let (plan, _) = harness.pass().await;
    assert_eq!(steps(&plan), [""; 0]);
    assert!(held_because(&plan, "globex").contains("12345 still belongs to the tenant acme"), "{plan:#?}");

    harness.edit("acme", |tenant| tenant.sms_numbers = Some(numbers(["+4930123456"])));
    let (plan, _) = harness.pass().await;
    assert_eq!(steps(&plan), ["update acme", "update globex"]);
    assert_eq!(plan.effects_of_step(&plan.steps[0]), [Effect::NumbersReleased { numbers: vec!["12345".into()] }]);
    assert_eq!(steps(&harness.converge().await), [""; 0], "it changed hands within one run");
    let recorded = harness.recorded().await;
    assert_eq!((of(&recorded, "acme"), of(&recorded, "globex")), (numbers(["+4930123456"]), numbers(["12345"])));

    // Without the field the numbers stay as they are.
    harness.edit("acme", |tenant| tenant.sms_numbers = None);
    harness.clock.advance(TimeDelta::minutes(5));
    harness.converge().await;
    assert_eq!(of(&harness.recorded().await, "acme"), numbers(["+4930123456"]));
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn two_tenants_exchange_their_numbers_in_one_run(mut harness) {
    let unmanaged = harness.unmanaged();
    let (one, two) = ("+4930111111", "+4930222222");
    let mut all = [tenant("acme"), tenant("globex")];
    all[0].sms_numbers = Some(numbers([one, "12345"]));
    all[1].sms_numbers = Some(numbers([two]));
    harness.want(all);
    harness.converge().await;
    let of = |recorded: &tenantd::model::Recorded, name: &str| {
        recorded.sms_numbers.get(&recorded.tenants[&key(name)].id).cloned().unwrap_or_default()
    };
    harness.edit("acme", |tenant| tenant.sms_numbers = Some(numbers([two, "12345"])));
    harness.edit("globex", |tenant| tenant.sms_numbers = Some(numbers([one])));
    let (plan, outcome) = harness.pass().await;
    assert_eq!((steps(&plan), outcome.done()), (vec!["update acme".to_owned(), "update globex".to_owned()], 2));
    let recorded = harness.recorded().await;
    assert_eq!(of(&recorded, "acme"), numbers([two, "12345"]));
    assert_eq!(of(&recorded, "globex"), numbers([one]));
    assert_eq!(steps(&harness.converge().await), [""; 0]);
    // A third tenant joins, new: it gets what acme gives up, and acme what globex does.
    let mut new = tenant("new");
    new.sms_numbers = Some(numbers([two]));
    harness.desired.tenants.insert(key("new"), new);
    harness.edit("acme", |tenant| tenant.sms_numbers = Some(numbers([one, "12345"])));
    harness.edit("globex", |tenant| tenant.sms_numbers = Some(numbers([])));
    let (plan, _) = harness.pass().await;
    assert!(plan.held.is_empty(), "{plan:#?}");
    let recorded = harness.recorded().await;
    assert_eq!(of(&recorded, "acme"), numbers([one, "12345"]));
    assert_eq!(of(&recorded, "new"), numbers([two]));
    assert_eq!(of(&recorded, "globex"), numbers([]));
    harness.converge().await;
    harness.assert_converged(&unmanaged).await;
} }
