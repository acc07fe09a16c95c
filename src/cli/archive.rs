//! `tenantd archive` and `restore`.

use std::path::Path;

use super::actor::by_hand;
use super::args::ArchiveArgs;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::lookup::record_of;
use super::wake::{wake, when};
use crate::archive;
use crate::config::Config;
use crate::environment::{Environment as _, System};
use crate::report::{FORMAT_VERSION, chain, count};
use crate::store::{Access, Database, StoreError, file_permissions};

pub async fn archive(context: &Context, args: &ArchiveArgs) -> Result<Exit> {
    let config = context.config()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let ArchiveArgs { key, to } = args;
    let dir = to.as_ref().unwrap_or(&config.archive_dir);
    let dir = std::path::absolute(dir).map_err(|error| Failure::of(&error))?;
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let record = record_of(context, &config, &records, key).await?;
    let file =
        archive::archive(&database, record, &dir, System.now()).await.map_err(|error| Failure::of(&error))?;
    if to.is_none() {
        // The service looks for it there when it deletes the tenant.
        file_permissions::as_its_directory(&file.path).map_err(|error| Failure::of(&error))?;
    }
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "path": file.path.display().to_string(),
            "sha256": file.sha256,
            "manifest": file.manifest,
        }));
    } else {
        context.say(&format!(
            "{}: {} of {}, read back and checked\nsha256 {}\n",
            file.path.display(),
            count(file.rows(), "row"),
            count(file.manifest.tables.len(), "table"),
            file.sha256
        ));
    }
    Ok(Exit::Done)
}

pub async fn restore(context: &Context, file: &Path) -> Result<Exit> {
    let config = context.config()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let (path, now, actor) = (file.to_owned(), System.now(), by_hand("restore"));
    // All of the file, before the transaction: nothing is written from one that is not whole.
    let manifest = archive::check(file).map_err(|error| Failure::of(&error))?;
    let restored = database
        .write(move |store| {
            // Any error rolls everything back.
            archive::restore(store, &path, manifest, &actor, now).map_err(|error| match error {
                archive::ArchiveError::Store(error) => error,
                other => StoreError::Refused(chain(&other)),
            })
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let woken = wake(&database).await;
    let rows: u64 = restored.manifest.tables.iter().map(|table| table.rows).sum();
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "tenant": restored.manifest.key,
            "tenant_id": restored.manifest.tenant_id,
            "rows": rows,
            "sessions_ended": restored.sessions_ended,
            "numbers_released": restored.numbers_released,
            "woken": woken,
        }));
    } else {
        context.say(&restored_text(context, &config, &database, &restored.manifest.key, rows).await?);
        context.say(&when(woken.as_deref()));
        if !restored.numbers_released.is_empty() {
            context.say(&format!(
                "its messages of {} were restored without the number, which another tenant has or which is not valid\n",
                restored.numbers_released.join(", ")
            ));
        }
    }
    Ok(Exit::Done)
}

/// What was brought back, and what comes of it.
async fn restored_text(
    context: &Context,
    config: &Config,
    database: &Database,
    key: &str,
    rows: u64,
) -> Result<String> {
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let instance = records.values().find(|record| record.key.as_str() == key);
    let instance =
        instance.map_or_else(|| "the PBX".to_owned(), |record| record.definition.instance.to_string());
    let desired = context.load(config).await.desired;
    let next = match desired.tenants.values().find(|tenant| tenant.key.as_str() == key) {
        Some(tenant) if tenant.definition.enabled => {
            format!("{key}.yaml exists, so the next run takes over its domain again, or creates it.")
        }
        Some(_) => format!("{key}.yaml says `enabled: false`, so it stays disabled."),
        None => format!("To put it back into service, add {key}.yaml with `enabled: true`."),
    };
    Ok(format!(
        "Restored the records of {key} ({}), as disabled; nothing changed on {instance}. {next}\n",
        count(rows, "row")
    ))
}
