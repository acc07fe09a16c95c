//! Archives of large tenants, of tenants that change meanwhile, and of older schemas.

mod common;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chrono::Utc;
use common::rows::{change, fill, insert, record};
use common::sql_client::{SqlClient, fresh, open};
use tempfile::TempDir;
use tenantd::archive;
use tenantd::model::{TenantId, TenantRecord};
use tenantd::store::{Access, Database, StoreError};

/// A database with one tenant, which has rows in every table.
struct World {
    dir: TempDir,
    database: Database,
    acme: TenantRecord,
    db: SqlClient,
}

/// `None` where the database is not to be had.
async fn world(postgres: bool) -> Option<World> {
    let dir = tempfile::tempdir().unwrap();
    let config = fresh(postgres, dir.path())?;
    let database = open(&config, Access::ReadWrite).await;
    let acme = record("acme");
    insert(&database, &acme).await;
    let mut db = SqlClient::connect(&config).await;
    fill(&mut db, acme.id).await;
    Some(World { dir, database, acme, db })
}

async fn on_both<F: AsyncFn(World)>(body: F) {
    for postgres in [false, true] {
        if let Some(world) = world(postgres).await {
            body(world).await;
        }
    }
}

async fn many_messages(db: &mut SqlClient, tenant: TenantId, count: u32) {
    let numbers = if db.is_postgres() {
        format!("generate_series(1, {count}) AS s(n)")
    } else {
        format!(
            "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s) AS s"
        )
    };
    let conversation = format!("SELECT id FROM chat_conversations WHERE tenant_id = '{tenant}' LIMIT 1");
    let sender = format!("SELECT id FROM users WHERE tenant_id = '{tenant}' LIMIT 1");
    db.run(&format!(
        "INSERT INTO chat_messages (tenant_id, id, conversation_id, sender_id, body) \
             SELECT '{tenant}', 'many-' || n, ({conversation}), ({sender}), 'message ' || n FROM {numbers}"
    ))
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn archiving_a_large_tenant_delays_no_other_work() {
    on_both(async |World { dir, database, acme, mut db }| {
        many_messages(&mut db, acme.id, 40_000).await;
        let lease = database.lease("test").await.unwrap().unwrap();
        let writing = lease.database();
        let archiving = {
            let (database, acme, to) = (lease.database(), acme.clone(), dir.path().join("archive"));
            tokio::spawn(async move { archive::archive(&database, &acme, &to, Utc::now()).await })
        };
        let (started, mut writes) = (Instant::now(), 0);
        while !archiving.is_finished() {
            writing.write(|store| store.put_fact("test", "written meanwhile", Utc::now())).await.unwrap();
            writes += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let file = archiving.await.unwrap().unwrap();
        let messages = file.manifest.tables.iter().find(|table| table.table == "chat_messages").unwrap();
        assert_eq!(messages.rows, 40_002);
        assert!(writes >= 3, "{writes} writes in the {:?} that the archive took", started.elapsed());
        assert!(lease.is_live());
        lease.release().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_no_longer_holds_what_the_database_holds_is_not_used() {
    on_both(async |World { dir, database, mut acme, mut db }| {
        change(&database, &mut acme, |acme| {
            acme.definition.enabled = false;
            acme.disabled_at = Some(Utc::now());
        })
        .await;
        let to = dir.path().join("archive");
        let first = archive::archive_or_reuse(&database, &acme, &to, Utc::now()).await.unwrap();
        let second = archive::archive_or_reuse(&database, &acme, &to, Utc::now()).await.unwrap();
        assert_eq!(first, second, "nothing changed, so the archive is the one that is there");
        // As many rows as before, with other contents.
        let id = acme.id;
        db.run(&format!("UPDATE chat_messages SET body = 'changed' WHERE tenant_id = '{id}'")).await.unwrap();
        let tables = first.manifest.tables.clone();
        let differs = database
            .read(move |store| store.in_scope(id, |scope| archive::contents_agree(scope, &tables)))
            .await
            .unwrap();
        assert_eq!(differs.as_deref(), Some("the rows of chat_messages changed since they were archived"));
        let third = archive::archive_or_reuse(&database, &acme, &to, Utc::now()).await.unwrap();
        assert_ne!(third.sha256, first.sha256);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_written_while_a_tenant_is_deleted_are_not_lost() {
    let Some(World { dir: _dir, database, acme, mut db }) = world(true).await else { return };
    let id = acme.id;
    let delete_while = async |meanwhile: String, db: &mut SqlClient| {
        let (compared, wait) = mpsc::channel();
        let (changed, go_on) = mpsc::channel();
        let database = database.clone();
        let deleting = tokio::spawn(async move {
            database
                .write_at_one_state(move |store| {
                    store.scope(id).digests()?;
                    compared.send(()).unwrap();
                    go_on.recv().unwrap();
                    store.scope(id).delete_all()
                })
                .await
        });
        tokio::task::spawn_blocking(move || wait.recv().unwrap()).await.unwrap();
        db.run(&meanwhile).await.unwrap();
        changed.send(()).unwrap();
        deleting.await.unwrap()
    };
    let update = format!("UPDATE chat_messages SET body = 'late' WHERE tenant_id = '{id}'");
    let refusal = delete_while(update, &mut db).await.unwrap_err();
    let refusal = tenantd::report::chain(&refusal);
    assert!(refusal.contains("could not serialize access"), "{refusal}");
    assert_eq!(db.number("SELECT count(*) FROM chat_messages").await, 2, "nothing is deleted");
    // A row that came later is not seen, so it stays; and with it the tenant, which its key refers to.
    let insert =
        format!("INSERT INTO contacts (tenant_id, id, display_name) VALUES ('{id}', 'late', 'Late Comer')");
    delete_while(insert, &mut db).await.unwrap();
    assert_eq!(db.texts("SELECT id FROM contacts").await, ["late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_outlasts_the_lease_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(config) = fresh(true, dir.path()) else { return };
    let (one, other) = (open(&config, Access::ReadWrite).await, open(&config, Access::ReadWrite).await);
    let lease = one.lease("one").await.unwrap().unwrap();
    let asking = tokio::spawn(async move {
        let until = Instant::now() + Duration::from_secs(14);
        while Instant::now() < until {
            if let Ok(Ok(taken)) = other.lease("other").await {
                taken.release().await;
                return true;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        false
    });
    lease
        .database()
        .write(|store| {
            for _ in 0..24 {
                store.fact("test")?;
                std::thread::sleep(Duration::from_millis(500));
            }
            Ok(())
        })
        .await
        .unwrap();
    assert!(lease.is_live(), "twelve seconds of work, and the lease is ours still");
    lease.database().write(|store| store.put_fact("test", "after", Utc::now())).await.unwrap();
    assert!(!asking.await.unwrap(), "nobody took it meanwhile");
    lease.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_an_older_schema_is_restored() {
    on_both(async |World { dir, database, acme, db }| {
        let file = archive::archive(&database, &acme, dir.path(), Utc::now()).await.unwrap();

        let later = tempfile::tempdir().unwrap();
        let config = fresh(db.is_postgres(), later.path()).unwrap();
        let database = open(&config, Access::ReadWrite).await;
        let mut db = SqlClient::connect(&config).await;
        db.run("ALTER TABLE contacts ADD COLUMN fax TEXT NOT NULL DEFAULT ''").await.unwrap();
        let path = file.path.clone();
        let manifest = archive::check(&path).unwrap();
        let restored = database
            .write(move |store| {
                archive::restore(store, &path, manifest, "test", Utc::now())
                    .map_err(|error| StoreError::Refused(error.to_string()))
            })
            .await
            .unwrap();
        assert_eq!(restored.tenant, acme.id);
        assert!(db.number("SELECT count(*) FROM contacts WHERE fax = ''").await > 0);
    })
    .await;
}

/// The archive as it was made before tables and columns got their plain names.
fn with_earlier_names(path: &Path, to: &Path) {
    use std::io::{Read as _, Write as _};

    use sha2::{Digest as _, Sha256};
    let file = std::fs::File::open(path).unwrap();
    let mut from = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut texts: Vec<(String, String)> = Vec::new();
    for entry in from.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        texts.push((name, text));
    }
    let earlier = [
        ("previous_placements", "former_placements"),
        ("file_removed_at", "removed_at"),
        ("web_sign_in_block_json", "login_lock_json"),
        ("web_sign_in_left_open", "lock_left_open"),
        ("applied_definition_hash", "applied_hash"),
        ("corrections_json", "reapplied_json"),
    ];
    let renamed = |text: &str, quote: &str| {
        let name = |text: String, (now, then): &(&str, &str)| {
            text.replace(&format!("{quote}{now}{quote}"), &format!("{quote}{then}{quote}"))
        };
        earlier.iter().fold(text.to_owned(), name)
    };
    let mut manifest: serde_json::Value = serde_json::from_str(&texts[0].1).unwrap();
    for (at, table) in manifest["tables"].as_array_mut().unwrap().iter_mut().enumerate() {
        let text = renamed(&texts[at + 1].1, "\"");
        let hash = Sha256::digest(text.as_bytes());
        table["sha256"] = hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        let name = renamed(table["table"].as_str().unwrap(), "");
        texts[at + 1] = (format!("{name}.jsonl"), text);
        table["table"] = name.into();
    }
    texts[0].1 = manifest.to_string();
    let gzip = flate2::write::GzEncoder::new(std::fs::File::create(to).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, text) in texts {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_the_earlier_names_is_restored_with_its_record() {
    on_both(async |World { dir, database, acme, db }| {
        let mut db = db;
        let block = r#"{"entry":"00000000-0000-0000-0000-0000000000e1","switched_off":[]}"#;
        db
            .run(&format!(
                "UPDATE tenants SET web_sign_in_block_json = '{block}', applied_definition_hash = 'abc' \
                 WHERE id = '{}'",
                acme.id
            ))
            .await
            .unwrap();
        db
            .run(&format!(
                "INSERT INTO previous_placements (tenant_id, instance, domain_id, domain, web_sign_in_block_json, left_at) \
                 VALUES ('{}', 'branch', '00000000-0000-0000-0000-0000000000d1', 'old.example.com', '{block}', \
                 '2026-09-01 10:00:00')",
                acme.id
            ))
            .await
            .unwrap();
        let file = archive::archive(&database, &acme, dir.path(), Utc::now()).await.unwrap();
        let path = dir.path().join("earlier.tar.gz");
        with_earlier_names(&file.path, &path);
        let manifest = archive::check(&path).unwrap();
        assert!(manifest.tables.iter().any(|table| table.table == "former_placements" && table.rows == 1));

        let later = tempfile::tempdir().unwrap();
        let config = fresh(db.is_postgres(), later.path()).unwrap();
        let database = open(&config, Access::ReadWrite).await;
        let mut db = SqlClient::connect(&config).await;
        let restored = database
            .write(move |store| {
                archive::restore(store, &path, manifest, "test", Utc::now())
                    .map_err(|error| StoreError::Refused(error.to_string()))
            })
            .await
            .unwrap();
        assert_eq!(restored.tenant, acme.id);
        assert_eq!(db.texts("SELECT web_sign_in_block_json FROM tenants").await, [block]);
        assert_eq!(db.texts("SELECT applied_definition_hash FROM tenants").await, ["abc"]);
        assert_eq!(db.texts("SELECT domain FROM previous_placements").await, ["old.example.com"]);
        assert_eq!(db.texts("SELECT web_sign_in_block_json FROM previous_placements").await, [block]);
    })
    .await;
}
