//! `tenantd isolation check`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::args::IsolationCommand;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::output::{patiently, reading};
use crate::config::Config;
use crate::isolation;
use crate::isolation::PbxCheckResult;
use crate::model::{DomainId, InstanceKey, TenantRecord};
use crate::plan::Policy;
use crate::report::FORMAT_VERSION;
use crate::store::{Access, Database};

/// Ends with 1 when anything leaks, or could not be checked.
pub async fn run(context: &Context, command: &IsolationCommand) -> Result<Exit> {
    let IsolationCommand::Check { no_pbx } = command;
    let config = context.config()?;
    let database = context.database(&config, Access::ReadOnly).await?;
    let mut report = isolation::check(&database).await.map_err(|error| Failure::of(&error))?;
    if report.tables.is_empty() {
        return Err(Failure::new("there is no database yet. `tenantd apply` or the daemon creates it"));
    }
    if *no_pbx {
        report.notes.push("the PBXs were not checked (--no-pbx)".to_owned());
    } else {
        report.pbxs = sweep_pbxs(context, &config, &database).await?;
    }
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "tight": report.passed(),
            "report": report,
        }));
    } else {
        context.say(&report.text());
    }
    Ok(if report.passed() { Exit::Done } else { Exit::Error })
}

/// Every instance that has tenants, side by side.
async fn sweep_pbxs(context: &Context, config: &Config, database: &Database) -> Result<Vec<PbxCheckResult>> {
    let (tenants, noted) = database
        .read(|store| Ok((store.tenants()?, store.instances()?)))
        .await
        .map_err(|error| Failure::of(&error))?;
    let tenants: Vec<TenantRecord> = tenants.into_values().collect();
    let instances: BTreeSet<&InstanceKey> =
        tenants.iter().map(|record| &record.definition.instance).collect();
    let own_domains = Policy::new(config).own_domains;
    let sweeps = instances.iter().copied().map(|key| {
        let (tenants, own_domain) = (&tenants, own_domains.get(key));
        let identity =
            noted.iter().find(|noted| noted.key == key.as_str()).and_then(|noted| noted.identity.clone());
        async move {
            let client = match context.reader(config, key) {
                Ok(client) => client,
                Err(failure) => return PbxCheckResult::not_checked(key.as_str(), failure.message),
            };
            let is_the_server = |domains: &BTreeMap<DomainId, String>| {
                let own = domains.iter().find(|(_, name)| Some(*name) == own_domain);
                match (&identity, own) {
                    (Some(known), Some((id, _))) if *known == id.to_string() => Ok(()),
                    (None, _) => Ok(()),
                    _ => Err("another server answers at its address".to_owned()),
                }
            };
            isolation::check_instance(key.as_str(), &client, tenants, is_the_server).await
        }
    });
    Ok(patiently(|| reading(&instances), join_all(sweeps)).await)
}
