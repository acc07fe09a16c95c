//! `tenantd isolation check`, `stats`, `archive`, `restore` and `sync`: the tenants' own data.

use std::path::Path;

use super::args::{ArchiveArgs, IsolationCommand};
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::plan::actor;
use crate::environment::{Environment as _, System};
use crate::model::TenantKey;
use crate::report::{FORMAT_VERSION, chain};
use crate::store::{Access, StoreError};
use crate::{archive, isolation, stats, sync};

/// Ends with 1 when anything leaks.
pub async fn isolation(context: &Context, command: &IsolationCommand) -> Result<Exit> {
    let IsolationCommand::Check = command;
    let config = context.config()?;
    let database = context.database(&config, Access::ReadOnly).await?;
    let report = isolation::check(&database).await.map_err(|error| Failure::of(&error))?;
    if report.tables.is_empty() {
        return Err(Failure::new("there is no database yet: `tenantd apply` or the daemon makes it"));
    }
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "tight": report.is_tight(),
            "report": report,
        }));
    } else {
        context.say(&report.text());
    }
    Ok(if report.is_tight() { Exit::Done } else { Exit::Error })
}

pub async fn stats(context: &Context, key: Option<&TenantKey>) -> Result<Exit> {
    let config = context.config()?;
    let database = context.database(&config, Access::ReadOnly).await?;
    let now = System.now();
    let all = database.read(move |store| store.stats(now)).await.map_err(|error| Failure::of(&error))?;
    let warnings = stats::warnings(&all, &config.tier);
    let shown: Vec<_> = all.into_iter().filter(|tenant| key.is_none_or(|key| tenant.key == *key)).collect();
    if let Some(key) = key.filter(|_| shown.is_empty()) {
        return Err(Failure::new(format!("there is no record of the tenant {key}")));
    }
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "tenants": stats::json(&shown, &config.tier),
            "warnings": warnings,
        }));
    } else {
        context.say(&stats::table(&shown, &config.tier));
        let paint = context.paint();
        for warning in &warnings {
            context.say(&format!("{} {warning}\n", paint.warning("warning:")));
        }
    }
    Ok(Exit::Done)
}

pub async fn archive(context: &Context, args: &ArchiveArgs) -> Result<Exit> {
    let config = context.config()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let ArchiveArgs { key, to } = args;
    let dir = to.as_ref().unwrap_or(&config.archive_dir);
    let dir = std::path::absolute(dir).map_err(|error| Failure::of(&error))?;
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let record =
        records.get(key).ok_or_else(|| Failure::new(format!("there is no record of the tenant {key}")))?;
    let file =
        archive::archive(&database, record, &dir, System.now()).await.map_err(|error| Failure::of(&error))?;
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "path": file.path.display().to_string(),
            "sha256": file.sha256,
            "manifest": file.manifest,
        }));
    } else {
        context.say(&format!(
            "{}: {} rows of {} tables, read back and checked\nsha256 {}\n",
            file.path.display(),
            file.rows(),
            file.manifest.tables.len(),
            file.sha256
        ));
    }
    Ok(Exit::Done)
}

pub async fn restore(context: &Context, file: &Path) -> Result<Exit> {
    let config = context.config()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let (path, now, actor) = (file.to_owned(), System.now(), actor("restore", None));
    let restored = database
        .write(move |store| {
            // Any error rolls everything back.
            archive::restore(store, &path, &actor, now).map_err(|error| match error {
                archive::ArchiveError::Store(error) => error,
                other => StoreError::Refused(chain(&other)),
            })
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let rows: u64 = restored.manifest.tables.iter().map(|table| table.rows).sum();
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "tenant": restored.manifest.key,
            "tenant_id": restored.manifest.tenant_id,
            "rows": rows,
            "sessions_ended": restored.sessions_ended,
        }));
    } else {
        context.say(&format!(
            "{} is back, disabled, with {rows} rows; with a file of its own and `enabled: true` it opens again\n",
            restored.manifest.key
        ));
    }
    Ok(Exit::Done)
}

/// Ends with 3 when users were refused, and with 4 when an instance could not be read whole.
pub async fn sync(context: &Context, key: Option<&TenantKey>) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let readers = context.readers(&config)?;
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let only = match key {
        Some(key) => Some(
            records
                .get(key)
                .ok_or_else(|| Failure::new(format!("there is no record of the tenant {key}")))?,
        ),
        None => None,
    };
    let mut reports = Vec::new();
    for (instance, pbx) in &readers {
        if only.is_some_and(|record| record.instance != *instance) {
            continue;
        }
        let now = System.now();
        let report = sync::sync_instance(&database, instance, &**pbx, key, now)
            .await
            .map_err(|error| Failure::of(&error))?;
        if key.is_none() {
            sync::note(&database, instance, &report, now).await.map_err(|error| Failure::of(&error))?;
        }
        reports.push(report);
    }
    if context.is_json() {
        context.json(&serde_json::json!({ "format_version": FORMAT_VERSION, "instances": reports }));
    } else {
        context.say(&sync::text(&reports));
    }
    Ok(if reports.iter().any(|report| report.unknown.is_some() || !report.left_alone.is_empty()) {
        Exit::SomeFailed
    } else if reports.iter().flat_map(|report| &report.tenants).any(|tenant| tenant.kept_out() > 0) {
        Exit::Held
    } else {
        Exit::Done
    })
}
