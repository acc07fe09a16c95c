//! `tenantd sync`.

use super::args::SyncArgs;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::gather::gather;
use super::lookup::record_of;
use super::output::{patiently, reading};
use crate::environment::{Environment as _, System};
use crate::model::Desired;
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::report::FORMAT_VERSION;
use crate::store::Access;
use crate::sync;

/// Ends with 3 when users were refused, and with 4 when an instance could not be read whole.
pub async fn run(context: &Context, args: &SyncArgs) -> Result<Exit> {
    let SyncArgs { key, accept_missing } = args;
    let key = key.as_ref();
    let config = context.config_with_secrets()?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let mut readers = context.readers(&config)?;
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    if let Some(key) = key {
        let record = record_of(context, &config, &records, key).await?;
        readers.retain(|instance, _| *instance == record.definition.instance);
    }
    // No file has a say in this.
    let desired = Desired::unreadable("is not read");
    let inputs = gather(&config, &database, &readers, desired, Policy::new(&config), Rotation::None).await?;
    let rules =
        sync::Rules { only: key.cloned(), accept_missing: *accept_missing, ..sync::Rules::of(&config.tier) };
    let mut reports = Vec::new();
    for (instance, pbx) in &readers {
        let now = System.now();
        let report = match inputs.doubts(instance) {
            Some(reason) => sync::InstanceSync::unchanged(instance, reason),
            None => {
                let synced = sync::sync_instance(&database, instance, &**pbx, &rules, now);
                patiently(|| reading([instance]), synced).await.map_err(|error| Failure::of(&error))?
            }
        };
        if key.is_none() {
            sync::remember(&database, instance, &report, now).await.map_err(|error| Failure::of(&error))?;
        }
        reports.push(report);
    }
    if context.is_json() {
        context.json(&serde_json::json!({ "format_version": FORMAT_VERSION, "instances": reports }));
    } else {
        context.say(&sync::text(&reports));
    }
    Ok(if reports.iter().any(|report| report.problem.is_some() || !report.skipped.is_empty()) {
        Exit::SomeFailed
    } else if reports.iter().flat_map(|report| &report.tenants).any(|tenant| tenant.without_access() > 0) {
        Exit::Held
    } else {
        Exit::Done
    })
}
