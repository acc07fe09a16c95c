//! One pass: load → observe → diff → plan → apply → report. Read this file first.
//!
//! [`gather`] reads everything, [`PassInputs::plan`] decides, [`carry_out`] carries out. The first two hold nothing
//! that could
//! change anything. [`sync_users`] comes last: the users of tenants that are there now.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::advice;
use crate::apply::{self, Apply, Outcome, StepOutcome, StepResult};
use crate::config::Config;
use crate::environment::Environment;
use crate::fusionpbx::{PbxRead, PbxWrite};
use crate::inputs::PassInputs;
use crate::load;
use crate::model::{Desired, InstanceKey, InstanceView, Recorded, TenantKey};
use crate::observe::{Observer, Rotation};
use crate::plan::{self, Action, Plan, Policy};
use crate::report;
use crate::store::{About, Database, InstanceRecord, StoreError, StoreWriter};
use crate::sync::{self, InstanceSync, Rules, SyncState};

/// What looking needs. There is no way to write in it.
pub struct Reader<'a> {
    pub config: &'a Config,
    pub database: &'a Database,
    pub pbxs: &'a BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    pub environment: &'a dyn Environment,
    pub rotation: Rotation,
}

/// What acting needs besides.
pub struct Writer<'a> {
    pub database: &'a Database,
    pub pbxs: &'a BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
    pub environment: &'a dyn Environment,
    pub actor: String,
    pub stop: CancellationToken,
}

/// How many sessions each instance has.
pub fn widths(config: &Config) -> BTreeMap<InstanceKey, usize> {
    config.instances.iter().map(|(key, instance)| (key.clone(), instance.sessions)).collect()
}

/// What the database has, as it was read at one time.
pub struct FromDatabase {
    recorded: Recorded,
    instances: Vec<InstanceRecord>,
    now: DateTime<Utc>,
}

/// Reads the database. It does not depend on the files, so both may be read at the same time.
pub async fn read_database(
    database: &Database,
    environment: &dyn Environment,
) -> Result<FromDatabase, StoreError> {
    let now = environment.now();
    let (recorded, instances) =
        database.read(move |store| Ok((store.recorded(now)?, store.instances()?))).await?;
    Ok(FromDatabase { recorded, instances, now })
}

/// Looks at the database and at every PBX, for what the files want.
pub async fn gather(reader: &Reader<'_>, desired: Desired, policy: Policy) -> Result<PassInputs, StoreError> {
    let read = read_database(reader.database, reader.environment).await?;
    look(reader, desired, policy, read).await
}

/// Looks at every PBX, for what the files want and the database has.
pub async fn look(
    reader: &Reader<'_>,
    mut desired: Desired,
    policy: Policy,
    read: FromDatabase,
) -> Result<PassInputs, StoreError> {
    let FromDatabase { mut recorded, instances, now } = read;
    // Only for the few that the files change: what a step means for people is shown with it.
    let (affected, shortened) = plan::affected(&desired, &recorded);
    if !affected.is_empty() {
        recorded.activity =
            reader.database.read(move |store| store.activity(&affected, &shortened, now)).await?;
    }
    load::by_record(&reader.config.tenants_dir, &mut desired, &recorded);
    let asked_for = policy.only.iter().filter_map(|key| Some(recorded.tenants.get(key)?.domain_id));
    let known: BTreeMap<InstanceKey, String> = instances
        .into_iter()
        .filter_map(|instance| Some((InstanceKey::parse(&instance.key).ok()?, instance.identity?)))
        .collect();
    let observer = Observer {
        pbxs: reader.pbxs,
        own_domains: &policy.own_domains,
        identities: &known,
        parallel: &widths(reader.config),
        rotation: &reader.rotation.clone().with(asked_for),
    };
    let observed = observer.observe(&desired, &recorded).await;

    let identities = observed
        .instances
        .iter()
        .filter_map(|(key, view)| match view {
            InstanceView::Seen { domains, .. } => Some((key.clone(), observer.identity(key, domains)?)),
            InstanceView::Unknown { .. } => None,
        })
        .collect();
    Ok(PassInputs { desired, recorded, observed, policy, now, identities })
}

/// The tenants of the plan whose files are not the commit's.
async fn uncommitted(config: &Config, inputs: &PassInputs, plan: &Plan) -> BTreeSet<TenantKey> {
    let tenants: BTreeSet<&TenantKey> = plan.steps.iter().map(|step| &step.tenant).collect();
    match &inputs.desired.revision {
        Some(revision) if !tenants.is_empty() => {
            load::uncommitted(&config.tenants_dir, revision, &tenants).await
        }
        _ => BTreeSet::new(),
    }
}

/// Carries a plan out and notes the pass down.
///
/// Nothing is sent to a PBX when the database does not take the note: what cannot be journalled is not done.
pub async fn carry_out(
    writer: &Writer<'_>,
    config: &Config,
    inputs: &PassInputs,
    plan: &Plan,
) -> Result<Outcome, StoreError> {
    let urls =
        config.instances.iter().map(|(key, instance)| (key.clone(), instance.url.to_string())).collect();
    apply::note_pass(
        writer.database,
        &inputs.recorded,
        &inputs.observed,
        plan,
        &urls,
        &inputs.identities,
        inputs.now,
    )
    .await?;
    let apply = Apply {
        database: writer.database,
        pbxs: writer.pbxs,
        parallel: widths(config),
        environment: writer.environment,
        actor: writer.actor.clone(),
        uncommitted: uncommitted(config, inputs, plan).await,
        retention_days: config.deletion.retention_days,
        sessions_go_on: plan::sessions_go_on(&inputs.observed, &inputs.policy),
        archive_dir: config.archive_dir.clone(),
        stop: writer.stop.clone(),
    };
    let outcome = apply.carry_out(plan).await;
    // After the steps, so that tenants made in this pass share at once, and what a file no longer says is gone.
    let (desired, allowed, now) = (inputs.desired.clone(), config.cross_tenant.clone(), inputs.now);
    let kept = writer.database.write(move |store| {
        store.put_shares(&desired, &allowed)?;
        advice::remember(store, &desired, now)
    });
    if let Err(error) = kept.await {
        tracing::warn!(error = %report::chain(&error), "sharing between tenants is not up to date");
    }
    if let Err(error) = note_conditions(writer, inputs, plan, &outcome).await {
        tracing::warn!(error = %report::chain(&error), "the tenants' conditions were not saved, so `status` shows \
                                                        the ones of an earlier run");
    }
    Ok(outcome)
}

/// Notes how each tenant stands after the run, for `status`.
async fn note_conditions(
    writer: &Writer<'_>,
    inputs: &PassInputs,
    plan: &Plan,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let now = writer.environment.now();
    // Only a step changes what is recorded.
    let after = match outcome.steps.is_empty() {
        true => inputs.recorded.clone(),
        false => writer.database.read(move |store| store.recorded(now)).await?,
    };
    let standings = report::conditions(inputs, plan, Some(outcome), &after);
    let only = inputs.policy.only.clone();
    let note = move |store: &mut StoreWriter<'_>| {
        let about = if only.is_empty() { About::All } else { About::Only(&only) };
        store.put_conditions(&standings, about, now)
    };
    writer.database.write(note).await
}

/// Brings the platform's users to those of the PBXs, where a step of this pass made, took over or moved a tenant, and
/// where the last reading is older than `interval` (`None`: never for that reason). An instance is read once, whatever
/// the number of its tenants, and one that this pass could not see, or did not believe, is not asked.
///
/// Never fails the pass: what could not be read changes nothing, is reported once, and is tried again at the next pass.
pub async fn sync_users(
    reader: &Reader<'_>,
    writer: &Writer<'_>,
    inputs: &PassInputs,
    outcome: &Outcome,
    interval: Option<Duration>,
) -> Vec<InstanceSync> {
    let now = reader.environment.now();
    let keys: Vec<InstanceKey> = reader.pbxs.keys().cloned().collect();
    let notes: BTreeMap<InstanceKey, SyncState> = match reader
        .database
        .read(move |store| {
            keys.into_iter().map(|key| SyncState::of(store, &key).map(|note| (key, note))).collect()
        })
        .await
    {
        Ok(notes) => notes,
        Err(error) => {
            tracing::warn!(error = %report::chain(&error), "users are not synchronised in this run");
            return Vec::new();
        }
    };
    let changed = with_new_tenants(outcome);
    let due = reader.pbxs.iter().filter(|(key, _)| {
        let has_tenants =
            || inputs.recorded.tenants.values().any(|record| record.definition.instance == **key);
        let by_time = || notes.get(*key).is_some_and(|note| note.is_due(interval, now));
        (changed.contains(*key) || (has_tenants() && by_time())) && inputs.doubts(key).is_none()
    });
    let rules = Rules { recreated: recreated(inputs, outcome), ..Rules::of(&reader.config.tier) };
    let synced = due.map(|(key, pbx)| sync_one(writer, &rules, key, &**pbx, now));
    join_all(synced).await.into_iter().flatten().collect()
}

/// The instances where tenants are since this pass.
fn with_new_tenants(outcome: &Outcome) -> BTreeSet<InstanceKey> {
    let arrived = |action| matches!(action, Action::Create | Action::Adopt | Action::Move);
    outcome
        .steps
        .iter()
        .filter(|step| matches!(step.result, StepResult::Done) && arrived(step.action))
        .map(|step| step.instance.clone())
        .collect()
}

/// The tenants whose missing domain this pass re-created, without its users.
fn recreated(inputs: &PassInputs, outcome: &Outcome) -> BTreeSet<TenantKey> {
    let done = |action, tenant: &TenantKey| {
        let is_done = |step: &StepOutcome| matches!(step.result, StepResult::Done);
        outcome.steps.iter().any(|step| is_done(step) && step.action == action && step.tenant == *tenant)
    };
    // Under a key that the same pass gave it, it is a renamed tenant.
    let was_there = |key: &TenantKey| inputs.recorded.tenants.contains_key(key) || done(Action::Rename, key);
    let made = outcome.steps.iter().map(|step| &step.tenant).filter(|key| done(Action::Create, key));
    made.filter(|key| was_there(key)).cloned().collect()
}

/// `None` where the pass is to stop, or the database did not take it.
async fn sync_one(
    writer: &Writer<'_>,
    rules: &Rules,
    key: &InstanceKey,
    pbx: &dyn PbxRead,
    now: DateTime<Utc>,
) -> Option<InstanceSync> {
    let work = async {
        let report = tokio::select! {
            () = writer.stop.cancelled() => return Ok(None),
            report = sync::sync_instance(writer.database, key, pbx, rules, now) => report?,
        };
        let before = sync::remember(writer.database, key, &report, now).await?;
        report::log_users(&report, &before);
        Ok::<_, StoreError>(Some(report))
    };
    let error = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(report)) => return report,
        Ok(Err(error)) => report::chain(&error),
        Err(panic) => format!("it panicked: {}", report::panic_text(&*panic)),
    };
    tracing::warn!(instance = %key, error, "the users of {key} are not synchronised in this run");
    None
}
