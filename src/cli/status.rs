//! `tenantd status`: how every tenant stands, from the files and the database alone. It asks no PBX: runs note what
//! they saw and concluded.

mod check;
mod tenants;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::args::StatusArgs;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::lookup::{known, known_instance};
use crate::advice::{self, Accepted, Advice};
use crate::config::Config;
use crate::environment::to_the_minute;
use crate::load::{self, Loaded};
use crate::model::{Completeness, ConditionSince, DaemonState, Heartbeat, InstanceKey, Recorded, TenantKey};
use crate::report::{
    self, DaemonJson, FORMAT_VERSION, HoldJson, InstanceStatusJson, PassJson, StatusJson, WarningJson,
};
use crate::stats::{self, StatsJson};
use crate::store::data::TenantStats;
use crate::store::{Access, AuditEntry, Database, InstanceRecord, Store, StoreError};
use crate::sync::SyncState;

pub use tenants::{Subject, standing};
pub use text::{minute, text};

pub async fn run(context: &Context, args: &StatusArgs) -> Result<Exit> {
    let collected = collect(context, args).await;
    if args.check {
        return Ok(show_check(context, collected));
    }
    match collected {
        Ok(status) => {
            if context.is_json() {
                context.json(&status);
            } else {
                context.say(&text(context, &status, Utc::now()));
            }
            Ok(Exit::Done)
        }
        Err(failure) => {
            if context.is_json() {
                context.json(&without_status(&failure));
            }
            Err(failure)
        }
    }
}

fn without_status(failure: &Failure) -> StatusJson {
    StatusJson {
        format_version: FORMAT_VERSION,
        error: Some(failure.message.clone()),
        ..StatusJson::default()
    }
}

/// One line; whatever fails is UNKNOWN.
fn show_check(context: &Context, collected: Result<StatusJson>) -> Exit {
    let (mut status, (state, check)) = match collected {
        Ok(status) => {
            let check = check::check(&status);
            (status, check)
        }
        Err(failure) => (without_status(&failure), check::failed(&failure.message)),
    };
    if context.is_json() {
        status.check = Some(check);
        context.json(&status);
    } else {
        context.say(&format!("{}\n", check.text));
    }
    state.exit()
}

async fn collect(context: &Context, args: &StatusArgs) -> Result<StatusJson> {
    let config = context.config()?;
    if let Some(instance) = &args.instance {
        known_instance(&config, instance)?;
    }
    let mut loaded = context.load(&config).await;
    let database = context.database(&config, Access::ReadOnly).await?;
    let now = Utc::now();
    let keys = config.instances.keys().cloned().collect();
    let mut noted = database
        .read(move |store| Noted::read(store, keys, now))
        .await
        .map_err(|error| Failure::of(&error))?;
    noted.gone = gone(&database, &noted.heartbeats).await?;
    load::by_record(&config.tenants_dir, &mut loaded.desired, &noted.recorded);
    known(&loaded.desired, noted.recorded.tenants.keys(), &args.keys)?;
    let mut status = build(&config, &loaded, &noted, now);
    status.tenants.retain(|tenant| is_wanted(tenant, args));
    Ok(status)
}

fn is_wanted(tenant: &report::TenantStatusJson, args: &StatusArgs) -> bool {
    let StatusArgs { keys, problems, instance, states, check: _ } = args;
    let is = |state: &String| {
        tenant.condition.as_str().replace(' ', "-") == *state || tenant.state.replace(' ', "-") == *state
    };
    (keys.is_empty() || keys.iter().any(|key| key.as_str() == tenant.key))
        && (!problems || tenant.condition.is_problem() || tenant.problem.is_some())
        && instance.as_ref().is_none_or(|instance| instance.as_str() == tenant.instance)
        && (states.is_empty() || states.iter().any(is))
}

/// What the database knows. The number of readings does not depend on the number of tenants.
#[derive(Default)]
pub struct Noted {
    recorded: Recorded,
    conditions: BTreeMap<TenantKey, ConditionSince>,
    heartbeats: Vec<Heartbeat>,
    instances: Vec<InstanceRecord>,
    last_events: Vec<AuditEntry>,
    stats: Vec<TenantStats>,
    users: BTreeMap<InstanceKey, SyncState>,
    accepted: Accepted,
    /// The daemon that says that it serves, and does not have the writer's lease any more.
    gone: Option<String>,
}

async fn gone(database: &Database, heartbeats: &[Heartbeat]) -> Result<Option<String>> {
    let Some(beat) = heartbeats.iter().find(|beat| beat.state == DaemonState::Serving) else {
        return Ok(None);
    };
    let may_be = database.may_be_held_by(&beat.holder).await.map_err(|error| Failure::of(&error))?;
    Ok((!may_be).then(|| beat.holder.clone()))
}

impl Noted {
    pub fn read(
        store: &mut Store<'_>,
        instances: Vec<InstanceKey>,
        now: DateTime<Utc>,
    ) -> std::result::Result<Self, StoreError> {
        Ok(Self {
            recorded: store.recorded(now)?,
            conditions: store.conditions()?,
            heartbeats: store.heartbeats()?,
            instances: store.instances()?,
            last_events: store.last_events()?,
            stats: store.stats(now)?,
            users: instances
                .into_iter()
                .map(|key| SyncState::of(store, &key).map(|note| (key, note)))
                .collect::<std::result::Result<_, _>>()?,
            accepted: advice::accepted(store)?,
            gone: None,
        })
    }
}

/// Puts files, records and notes together.
pub fn build(config: &Config, loaded: &Loaded, noted: &Noted, now: DateTime<Utc>) -> StatusJson {
    let tenants = tenant_lines(config, loaded, noted);
    let mut summary = BTreeMap::new();
    for tenant in &tenants {
        *summary.entry(tenant.condition.as_str().to_owned()).or_insert(0) += 1;
    }
    let holds = tenants.iter().filter(|tenant| tenant.condition == crate::model::Condition::Held);
    StatusJson {
        format_version: FORMAT_VERSION,
        summary,
        holds: holds
            .map(|tenant| HoldJson {
                tenant: tenant.key.clone(),
                condition: tenant.condition,
                reason: tenant.reason.clone(),
                lifted_by: tenant.lifted_by.clone(),
            })
            .collect(),
        tenants,
        daemon: daemon(noted, now),
        standing_by: noted
            .heartbeats
            .iter()
            .filter(|beat| beat.state == DaemonState::StandingBy && !beat.is_silent(now))
            .map(|beat| beat.holder.clone())
            .collect(),
        last_pass: last_pass(&noted.heartbeats),
        instances: instance_lines(config, noted),
        ignored_files: loaded
            .desired
            .ignored
            .iter()
            .map(|ignored| report::IgnoredJson { file: ignored.file.clone(), reason: ignored.reason })
            .collect(),
        unusual_files: loaded
            .desired
            .unusual
            .iter()
            .map(|file| report::UnusualJson {
                file: file.file.clone(),
                tenants: file.tenants.iter().map(ToString::to_string).collect(),
                what: file.what.clone(),
                mend: file.mend.clone(),
            })
            .collect(),
        pauses: noted
            .recorded
            .pauses
            .iter()
            .map(|pause| {
                let (stays, until) =
                    (if pause.key.is_some() { "It stays" } else { "They stay" }, to_the_minute(pause.until));
                let (scope, by, reason) =
                    (pause.paused(), &pause.paused_by, pause.reason.trim_end_matches('.'));
                format!("{scope}, by {by}, until {until}: {reason}. {stays} in service.")
            })
            .collect(),
        open_intents: noted.recorded.open_intents.len(),
        warnings: warnings(config, loaded, noted, &noted.accepted),
        check: None,
        error: None,
    }
}

fn tenant_lines(config: &Config, loaded: &Loaded, noted: &Noted) -> Vec<report::TenantStatusJson> {
    let mut stats: BTreeMap<String, StatsJson> =
        stats::json(&noted.stats, &config.tier).into_iter().map(|stats| (stats.key.clone(), stats)).collect();
    let last: BTreeMap<&TenantKey, &AuditEntry> =
        noted.last_events.iter().map(|entry| (&entry.key, entry)).collect();
    let problems: BTreeMap<&str, &str> = noted
        .instances
        .iter()
        .filter_map(|instance| Some((instance.key.as_str(), instance.last_problem.as_deref()?)))
        .collect();
    let mut keys: BTreeSet<&TenantKey> = loaded.desired.tenants.keys().collect();
    keys.extend(noted.recorded.tenants.keys());
    keys.extend(loaded.desired.broken.iter().filter_map(|file| file.key.as_ref()));
    keys.extend(loaded.desired.unusual.iter().flat_map(|file| &file.tenants));
    keys.into_iter()
        .map(|key| {
            let of = Subject::new(key, &loaded.desired, &noted.recorded, last.get(key).copied());
            tenants::line(of, loaded, noted, &problems, stats.remove(key.as_str()))
        })
        .collect()
}

fn instance_lines(config: &Config, noted: &Noted) -> Vec<InstanceStatusJson> {
    let line = |(key, instance): (&InstanceKey, &crate::config::InstanceConfig)| {
        let seen = noted.instances.iter().find(|noted| noted.key == key.as_str());
        let users = noted.users.get(key);
        InstanceStatusJson {
            key: key.to_string(),
            url: instance.url.to_string(),
            version: seen.and_then(|seen| seen.version.clone()),
            last_seen: seen.and_then(|seen| seen.last_seen_at).map(|at| at.to_rfc3339()),
            problem: seen.and_then(|seen| seen.last_problem.clone()),
            problem_at: seen.and_then(|seen| seen.last_problem_at).map(|at| at.to_rfc3339()),
            users_read: users.and_then(|note| note.read_at).map(|at| at.to_rfc3339()),
            users_problem: users.and_then(|note| note.problem.clone()),
        }
    };
    config.instances.iter().map(line).collect()
}

/// The daemon that serves; where none does, the one that was seen last.
fn daemon(noted: &Noted, now: DateTime<Utc>) -> DaemonJson {
    let daemons = || noted.heartbeats.iter().filter(|beat| beat.state != DaemonState::Command);
    let is_gone = |beat: &Heartbeat| noted.gone.as_ref() == Some(&beat.holder);
    let serving =
        daemons().find(|beat| beat.state == DaemonState::Serving && !beat.is_silent(now) && !is_gone(beat));
    let Some(beat) = serving.or_else(|| daemons().max_by_key(|beat| beat.seen_at)) else {
        return DaemonJson::default();
    };
    let old_configuration = beat.old_configuration();
    let last_error = beat.last_error.clone();
    DaemonJson {
        running: beat.state != DaemonState::Stopped && !beat.is_silent(now) && !is_gone(beat),
        ended_abruptly: is_gone(beat),
        holder: Some(beat.holder.clone()),
        state: Some(beat.state),
        seen_at: Some(beat.seen_at.to_rfc3339()),
        interval_seconds: Some(beat.interval_seconds),
        next_pass_at: beat.next_pass_at.map(|at| at.to_rfc3339()),
        last_error_at: beat.last_error_at.filter(|_| last_error.is_some()).map(|at| at.to_rfc3339()),
        last_error,
        old_configuration_since: old_configuration.map(|(since, _)| since.to_rfc3339()),
        old_configuration_reason: old_configuration.map(|(_, why)| why.to_owned()),
    }
}

fn last_pass(heartbeats: &[Heartbeat]) -> Option<PassJson> {
    let beat = heartbeats
        .iter()
        .filter(|beat| beat.pass_ended_at.is_some())
        .max_by_key(|beat| beat.pass_ended_at)?;
    Some(PassJson {
        by: beat.holder.clone(),
        started_at: beat.pass_started_at.map(|at| at.to_rfc3339()),
        ended_at: beat.pass_ended_at.map(|at| at.to_rfc3339()),
        result: beat.pass_result.clone(),
    })
}

/// Notes a run from the command line, for `status`. That it cannot be noted is no failure of the run.
pub async fn note_run(database: &Database, actor: &str, started_at: DateTime<Utc>, result: String) {
    let now = Utc::now();
    let beat = Heartbeat {
        pass_started_at: Some(started_at),
        pass_ended_at: Some(now),
        pass_result: Some(format!("{actor}: {result}")),
        ..Heartbeat::new("command line", DaemonState::Command, 0, now)
    };
    if let Err(error) = database.write(move |store| store.put_heartbeat(&beat)).await {
        tracing::warn!(error = %report::chain(&error), "the result of this run was not saved for `status`");
    }
}

fn warnings(config: &Config, loaded: &Loaded, noted: &Noted, accepted: &Accepted) -> Vec<WarningJson> {
    let of_files = loaded.problems.iter().filter(|problem| !problem.is_error()).map(|problem| WarningJson {
        advice: problem.advice.map(str::to_owned),
        subject: Some(problem.file.clone()),
        text: problem.to_string(),
    });
    let advice = advice::all(&loaded.desired, &noted.recorded, &noted.stats, &config.tier, accepted);
    let of_tenants = advice.into_iter().map(|Advice { kind, tenant, text }| WarningJson {
        advice: Some(kind.name.to_owned()),
        subject: Some(tenant.to_string()),
        text: format!("{text} [{}]", kind.name),
    });
    let of_all = stats::near_limits(&noted.stats, &config.tier)
        .into_iter()
        .filter(|(tenant, _)| tenant.is_none())
        .map(|(_, text)| WarningJson { advice: None, subject: None, text });
    let unread = match &loaded.desired.completeness {
        Completeness::Complete => None,
        Completeness::Partial { reason } => Some(format!(
            "{reason}: no tenant is disabled or deleted until `tenantd validate` finds every file readable"
        )),
        Completeness::Unreadable { reason } => Some(format!(
            "the tenants directory {reason}, so the desired state is not known and nothing is changed"
        )),
    };
    let unread = unread.map(|text| WarningJson { advice: None, subject: None, text });
    let unknown = noted.instances.iter().filter_map(|instance| {
        config.instances.keys().find(|key| key.as_str() == instance.key)?;
        let problem = instance.last_problem.as_ref()?;
        Some(WarningJson {
            advice: None,
            subject: Some(instance.key.clone()),
            text: format!("{} was not checked: {problem}", instance.key),
        })
    });
    unread.into_iter().chain(unknown).chain(of_files).chain(of_tenants).chain(of_all).collect()
}
