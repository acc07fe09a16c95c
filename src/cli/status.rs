//! `tenantd status`

use std::collections::BTreeMap;

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use crate::config::Config;
use crate::load::Loaded;
use crate::model::{Recorded, Tenant, TenantKey, TenantRecord};
use crate::report::{self, FORMAT_VERSION, StatusJson, TenantStatusJson};
use crate::store::{Access, AuditEntry, InstanceRecord};

/// The table of tenants, from the files and the database. It asks no PBX: the daemon noted what it saw.
pub async fn run(context: &Context) -> Result<Exit> {
    match collect(context).await {
        Ok(status) => {
            if context.is_json() {
                context.json(&status);
            } else {
                context.say(&text(context, &status));
            }
            Ok(Exit::Done)
        }
        Err(failure) => {
            if context.is_json() {
                context.json(&StatusJson {
                    format_version: FORMAT_VERSION,
                    error: Some(failure.message.clone()),
                    ..StatusJson::default()
                });
            }
            Err(failure)
        }
    }
}

async fn collect(context: &Context) -> Result<StatusJson> {
    let config = context.config()?;
    let loaded = context.load(&config).await;
    let database = context.database(&config, Access::ReadOnly).await?;
    let now = chrono::Utc::now();
    let (recorded, instances, last_events) = database
        .read(move |store| Ok((store.recorded(now)?, store.instances()?, store.last_events()?)))
        .await
        .map_err(|error| Failure::of(&error))?;
    Ok(build(&config, &loaded, &recorded, &instances, &last_events))
}

/// Puts files, records and notes together.
pub fn build(
    config: &Config,
    loaded: &Loaded,
    recorded: &Recorded,
    instances: &[InstanceRecord],
    last_events: &[AuditEntry],
) -> StatusJson {
    let last: BTreeMap<&TenantKey, &AuditEntry> =
        last_events.iter().map(|entry| (&entry.key, entry)).collect();
    let problems: BTreeMap<&str, &str> = instances
        .iter()
        .filter_map(|instance| Some((instance.key.as_str(), instance.last_problem.as_deref()?)))
        .collect();
    let mut keys: std::collections::BTreeSet<&TenantKey> = loaded.desired.tenants.keys().collect();
    keys.extend(recorded.tenants.keys());
    keys.extend(loaded.desired.broken.iter().filter_map(|file| file.key.as_ref()));
    let tenants = keys
        .into_iter()
        .map(|key| {
            let wanted = loaded.desired.tenants.get(key);
            let record = recorded.tenants.get(key);
            let last = last.get(key).copied();
            tenant(key, wanted, record, last, loaded, recorded, &problems)
        })
        .collect();
    StatusJson {
        format_version: FORMAT_VERSION,
        tenants,
        instances: config
            .instances
            .iter()
            .map(|(key, instance)| {
                let noted = instances.iter().find(|noted| noted.key == key.as_str());
                report::InstanceStatusJson {
                    key: key.to_string(),
                    url: instance.url.to_string(),
                    last_seen: noted.and_then(|noted| noted.last_seen_at).map(|at| at.to_rfc3339()),
                    problem: noted.and_then(|noted| noted.last_problem.clone()),
                }
            })
            .collect(),
        ignored_files: loaded
            .desired
            .ignored
            .iter()
            .map(|ignored| report::IgnoredJson { file: ignored.file.clone(), reason: ignored.reason })
            .collect(),
        suspensions: recorded
            .suspensions
            .iter()
            .map(|suspension| {
                let scope = match (&suspension.key, &suspension.instance) {
                    (Some(key), _) => format!("the tenant {key}"),
                    (None, Some(instance)) => format!("the instance {instance}"),
                    (None, None) => "everything".to_owned(),
                };
                format!(
                    "{scope} is suspended by {} until {}: {}",
                    suspension.suspended_by,
                    suspension.until.format("%Y-%m-%d %H:%M UTC"),
                    suspension.reason
                )
            })
            .collect(),
        open_intents: recorded.open_intents.len(),
        error: None,
    }
}

fn tenant(
    key: &TenantKey,
    wanted: Option<&Tenant>,
    record: Option<&TenantRecord>,
    last: Option<&AuditEntry>,
    loaded: &Loaded,
    recorded: &Recorded,
    instances: &BTreeMap<&str, &str>,
) -> TenantStatusJson {
    let state = match record {
        None if wanted.is_some() => "new",
        None => "broken file",
        Some(record) if record.removed_at.is_some() => "removed",
        Some(record) if !record.enabled && record.disable_confirmed_at.is_none() => "disabling",
        Some(record) if !record.enabled => "disabled",
        Some(record) if !record.provisioned => "unfinished",
        Some(_) => "enabled",
    };
    let broken = loaded.desired.broken.iter().find(|file| file.key.as_ref() == Some(key));
    let instance = record.map(|record| &record.instance).or(wanted.map(|wanted| &wanted.instance));
    let problem = broken
        .map(|file| {
            file.problems.first().map_or_else(|| format!("{} is broken", file.file), Clone::clone)
        })
        .or_else(|| {
            let instance = instance?;
            instances.get(instance.as_str()).map(|problem| format!("{instance}: {problem}"))
        })
        .or_else(|| {
            let entry = last.filter(|entry| !entry.done)?;
            Some(entry.detail.clone().unwrap_or_else(|| format!("{} failed", entry.event)))
        })
        .or_else(|| {
            recorded
                .open_intents
                .iter()
                .any(|intent| intent.key == *key)
                .then(|| "a request's outcome is not known yet; the next pass looks".to_owned())
        })
        .or_else(|| {
            record.filter(|record| record.lock_left_open && !record.enabled).map(|_| {
                "imported disabled: its users can still sign in on the PBX's web pages; enable and disable it to \
                 close that"
                    .to_owned()
            })
        });
    let domain = wanted.map(|wanted| &wanted.domain).or(record.map(|record| &record.domain));
    TenantStatusJson {
        key: key.to_string(),
        name: wanted
            .map(|wanted| wanted.name.clone())
            .or(record.map(|record| record.name.clone()))
            .unwrap_or_default(),
        domain: domain.map(ToString::to_string).unwrap_or_default(),
        domain_unicode: domain.and_then(crate::model::DomainName::unicode),
        instance: instance.map(ToString::to_string).unwrap_or_default(),
        state: state.to_owned(),
        last_change: last.map(|entry| {
            format!("{} {}", entry.at.format("%Y-%m-%d %H:%M"), entry.event.replace("tenant.", ""))
        }),
        problem,
    }
}

/// The status for people: the table, then what does not belong to one tenant.
pub fn text(context: &Context, status: &StatusJson) -> String {
    let paint = context.paint();
    let mut text = report::status_table(status);
    text.push('\n');
    for instance in &status.instances {
        if let Some(problem) = &instance.problem {
            text.push_str(&format!("{} {}: {problem}\n", paint.warning("instance"), instance.key));
        }
    }
    for suspension in &status.suspensions {
        text.push_str(&format!("{} {suspension}\n", paint.warning("suspended:")));
    }
    for ignored in &status.ignored_files {
        text.push_str(&format!("{} {}: {}\n", paint.dim("ignored"), ignored.file, ignored.reason));
    }
    text
}
