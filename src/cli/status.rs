//! `tenantd status`

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use crate::advice::{self, Accepted, Advice};
use crate::config::Config;
use crate::environment::to_the_minute;
use crate::load::Loaded;
use crate::model::{Completeness, InstanceKey, Recorded, Tenant, TenantKey, TenantRecord};
use crate::report::{self, FORMAT_VERSION, StatusJson, TenantStatusJson, WarningJson};
use crate::stats::{self, StatsJson};
use crate::store::data::TenantStats;
use crate::store::{Access, AuditEntry, InstanceRecord, Store, StoreError};
use crate::sync::SyncNote;

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
    let keys = config.instances.keys().cloned().collect();
    let noted = database
        .read(move |store| Noted::read(store, keys, now))
        .await
        .map_err(|error| Failure::of(&error))?;
    Ok(build(&config, &loaded, &noted))
}

/// What the database knows. The number of readings does not depend on the number of tenants.
#[derive(Default)]
pub struct Noted {
    recorded: Recorded,
    instances: Vec<InstanceRecord>,
    last_events: Vec<AuditEntry>,
    stats: Vec<TenantStats>,
    users: BTreeMap<InstanceKey, SyncNote>,
    accepted: Accepted,
}

impl Noted {
    pub fn read(
        store: &mut Store<'_>,
        instances: Vec<InstanceKey>,
        now: DateTime<Utc>,
    ) -> std::result::Result<Self, StoreError> {
        Ok(Self {
            recorded: store.recorded(now)?,
            instances: store.instances()?,
            last_events: store.last_events()?,
            stats: store.stats(now)?,
            users: instances
                .into_iter()
                .map(|key| SyncNote::of(store, &key).map(|note| (key, note)))
                .collect::<std::result::Result<_, _>>()?,
            accepted: advice::accepted(store)?,
        })
    }
}

/// Puts files, records and notes together.
pub fn build(config: &Config, loaded: &Loaded, noted: &Noted) -> StatusJson {
    let Noted { recorded, instances, last_events, stats, users, accepted } = noted;
    let stats_of: BTreeMap<String, StatsJson> =
        stats::json(stats, &config.tier).into_iter().map(|stats| (stats.key.clone(), stats)).collect();
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
            let stats = stats_of.get(key.as_str()).cloned();
            TenantStatusJson { stats, ..tenant(key, wanted, record, last, loaded, recorded, &problems) }
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
                    users_read: users.get(key).and_then(|note| note.read_at).map(|at| at.to_rfc3339()),
                    users_problem: users.get(key).and_then(|note| note.problem.clone()),
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
                format!(
                    "{} is suspended by {} until {}: {}",
                    suspension.scope(),
                    suspension.suspended_by,
                    to_the_minute(suspension.until),
                    suspension.reason
                )
            })
            .collect(),
        open_intents: recorded.open_intents.len(),
        warnings: warnings(config, loaded, noted, accepted),
        error: None,
    }
}

fn warnings(config: &Config, loaded: &Loaded, noted: &Noted, accepted: &Accepted) -> Vec<WarningJson> {
    let of_files = loaded.problems.iter().filter(|problem| !problem.is_error()).map(|problem| WarningJson {
        lint: problem.lint.map(str::to_owned),
        subject: Some(problem.file.clone()),
        text: problem.to_string(),
    });
    let advice = advice::all(&loaded.desired, &noted.recorded, &noted.stats, &config.tier, accepted);
    let of_tenants = advice.into_iter().map(|Advice { lint, tenant, text }| WarningJson {
        lint: Some(lint.name.to_owned()),
        subject: Some(tenant.to_string()),
        text: format!("{text} [{}]", lint.name),
    });
    let of_all = stats::near_limits(&noted.stats, &config.tier)
        .into_iter()
        .filter(|(tenant, _)| tenant.is_none())
        .map(|(_, text)| WarningJson { lint: None, subject: None, text });
    let unread = match &loaded.desired.completeness {
        Completeness::Complete => None,
        Completeness::Partial { reason } => {
            Some(format!("{reason}: nothing is removed until every file can be read"))
        }
        Completeness::Unreadable { reason } => Some(format!(
            "the tenants directory {reason}: what the files want is unknown, and nothing is changed"
        )),
    };
    let unread = unread.map(|text| WarningJson { lint: None, subject: None, text });
    let unknown = noted.instances.iter().filter_map(|instance| {
        config.instances.keys().find(|key| key.as_str() == instance.key)?;
        let problem = instance.last_problem.as_ref()?;
        Some(WarningJson {
            lint: None,
            subject: Some(instance.key.clone()),
            text: format!("the instance {} is unknown: {problem}", instance.key),
        })
    });
    unread.into_iter().chain(unknown).chain(of_files).chain(of_tenants).chain(of_all).collect()
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
                format!(
                    "it was disabled before it was imported, and its web sign-in is still open; to block it: tenantd \
                     block {key}"
                )
            })
        });
    let suspended = recorded.suspensions.iter().find(|suspension| suspension.covers(key, instance));
    let suspended = suspended.map(|suspension| {
        let until = to_the_minute(suspension.until);
        format!("suspended until {until}: {}", suspension.reason)
    });
    let problem = match (problem, suspended) {
        (Some(problem), Some(suspended)) => Some(format!("{problem}; {suspended}")),
        (problem, suspended) => problem.or(suspended),
    };
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
        stats: None,
    }
}

/// The status for people: the table, then what does not belong to one tenant.
pub fn text(context: &Context, status: &StatusJson) -> String {
    let paint = context.paint();
    let mut text = report::status_table(status);
    text.push('\n');
    let stats: Vec<StatsJson> = status.tenants.iter().filter_map(|tenant| tenant.stats.clone()).collect();
    if !stats.is_empty() {
        text.push_str(&format!("\n{}\n", stats::table_of(&stats)));
    }
    for warning in &status.warnings {
        text.push_str(&format!("{} {}\n", paint.warning("warning:"), warning.text));
    }
    for instance in &status.instances {
        if let Some(problem) = &instance.users_problem {
            text.push_str(&format!(
                "{} {}: its users cannot be read whole: {problem}\n",
                paint.warning("instance"),
                instance.key
            ));
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
