//! `tenantd isolation check`, `stats`, `archive`, `restore` and `sync`: the tenants' own data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::future::join_all;

use super::args::{ArchiveArgs, IsolationCommand, SyncArgs};
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::known::record_of;
use super::output::{patiently, reading};
use super::plan::{by_hand, look};
use super::wake::{wake, when};
use crate::config::Config;
use crate::environment::{Environment as _, System};
use crate::isolation::PbxSweep;
use crate::model::{Desired, DomainId, InstanceKey, TenantKey, TenantRecord};
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::report::{FORMAT_VERSION, chain, count};
use crate::store::{Access, Database, StoreError, private};
use crate::{archive, isolation, stats, sync};

/// Ends with 1 when anything leaks, or could not be looked at.
pub async fn isolation(context: &Context, command: &IsolationCommand) -> Result<Exit> {
    let IsolationCommand::Check { no_pbx } = command;
    let config = context.config()?;
    let database = context.database(&config, Access::ReadOnly).await?;
    let mut report = isolation::check(&database).await.map_err(|error| Failure::of(&error))?;
    if report.tables.is_empty() {
        return Err(Failure::new("there is no database yet: `tenantd apply` or the daemon makes it"));
    }
    if *no_pbx {
        report.notes.push("the PBXs were not looked at, as asked for".to_owned());
    } else {
        report.pbxs = sweep_pbxs(context, &config, &database).await?;
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

/// Every instance that has tenants, side by side.
async fn sweep_pbxs(context: &Context, config: &Config, database: &Database) -> Result<Vec<PbxSweep>> {
    let (tenants, noted) = database
        .read(|store| Ok((store.tenants()?, store.instances()?)))
        .await
        .map_err(|error| Failure::of(&error))?;
    let tenants: Vec<TenantRecord> = tenants.into_values().collect();
    let instances: BTreeSet<&InstanceKey> = tenants.iter().map(|record| &record.instance).collect();
    let own_domains = Policy::new(config).own_domains;
    let sweeps = instances.iter().copied().map(|key| {
        let (tenants, own_domain) = (&tenants, own_domains.get(key));
        let identity =
            noted.iter().find(|noted| noted.key == key.as_str()).and_then(|noted| noted.identity.clone());
        async move {
            let client = match context.reader(config, key) {
                Ok(client) => client,
                Err(failure) => return PbxSweep::not_checked(key.as_str(), failure.message),
            };
            let is_the_server = |domains: &BTreeMap<DomainId, String>| {
                let own = domains.iter().find(|(_, name)| Some(*name) == own_domain);
                match (&identity, own) {
                    (Some(known), Some((id, _))) if *known == id.to_string() => Ok(()),
                    (None, _) => Ok(()),
                    _ => Err("another server answers at its address".to_owned()),
                }
            };
            isolation::sweep_pbx(key.as_str(), &client, tenants, is_the_server).await
        }
    });
    Ok(patiently(|| reading(&instances), join_all(sweeps)).await)
}

pub async fn stats(context: &Context, key: Option<&TenantKey>) -> Result<Exit> {
    let config = context.config()?;
    let database = context.database(&config, Access::ReadOnly).await?;
    let now = System.now();
    let all = database.read(move |store| store.stats(now)).await.map_err(|error| Failure::of(&error))?;
    let warnings: Vec<String> = stats::near_limits(&all, &config.tier)
        .into_iter()
        .filter(|(of, _)| key.is_none_or(|key| of.as_ref() == Some(key)))
        .map(|(_, text)| text)
        .collect();
    let shown: Vec<_> = all.into_iter().filter(|tenant| key.is_none_or(|key| tenant.key == *key)).collect();
    if let Some(key) = key.filter(|_| shown.is_empty()) {
        let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
        record_of(context, &config, &records, key).await?;
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
    let record = record_of(context, &config, &records, key).await?;
    let file =
        archive::archive(&database, record, &dir, System.now()).await.map_err(|error| Failure::of(&error))?;
    if to.is_none() {
        // The service looks for it there when it deletes the tenant.
        private::as_its_directory(&file.path).map_err(|error| Failure::of(&error))?;
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
                "its messages of {} are back without the number, which another tenant has or which is none\n",
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
    let instance = instance.map_or_else(|| "the PBX".to_owned(), |record| record.instance.to_string());
    let desired = context.load(config).await.desired;
    let next = match desired.tenants.values().find(|tenant| tenant.key.as_str() == key) {
        Some(tenant) if tenant.enabled => {
            format!("{key}.yaml exists, so the next run takes its domain over again, or creates it.")
        }
        Some(_) => format!("{key}.yaml says `enabled: false`, so it stays disabled."),
        None => format!("To put it back into service, add {key}.yaml with `enabled: true`."),
    };
    Ok(format!(
        "Restored the records of {key} ({}), as disabled; nothing changed on {instance}. {next}\n",
        count(rows, "row")
    ))
}

/// Ends with 3 when users were refused, and with 4 when an instance could not be read whole.
pub async fn sync(context: &Context, args: &SyncArgs) -> Result<Exit> {
    let SyncArgs { key, accept_missing } = args;
    let key = key.as_ref();
    let config = context.config_with_secrets()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let mut readers = context.readers(&config)?;
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    if let Some(key) = key {
        let record = record_of(context, &config, &records, key).await?;
        readers.retain(|instance, _| *instance == record.instance);
    }
    // No file has a say in this.
    let desired = Desired::unreadable("is not read");
    let look = look(&config, &database, &readers, desired, Policy::new(&config), Rotation::None).await?;
    let rules =
        sync::Rules { only: key.cloned(), accept_missing: *accept_missing, ..sync::Rules::of(&config.tier) };
    let mut reports = Vec::new();
    for (instance, pbx) in &readers {
        let now = System.now();
        let report = match look.doubts(instance) {
            Some(reason) => sync::InstanceSync::unknown(instance, reason),
            None => {
                let synced = sync::sync_instance(&database, instance, &**pbx, &rules, now);
                patiently(|| reading([instance]), synced).await.map_err(|error| Failure::of(&error))?
            }
        };
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
