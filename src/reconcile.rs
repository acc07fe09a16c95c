//! One pass: load → observe → diff → plan → apply → report. Read this file first.
//!
//! [`look`] reads everything, [`Look::plan`] decides, [`act`] carries out. The first two hold nothing that could
//! change anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::apply::{self, Apply, Outcome};
use crate::config::Config;
use crate::environment::Environment;
use crate::fusionpbx::{PbxRead, PbxWrite};
use crate::model::{Desired, InstanceKey, InstanceView, Observed, Recorded};
use crate::observe::{Observer, Rotation};
use crate::plan::{self, Plan, Policy, World};
use crate::store::{Database, StoreError};

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

/// The three sides as one pass saw them.
#[derive(Clone, Debug)]
pub struct Look {
    pub desired: Desired,
    pub recorded: Recorded,
    pub observed: Observed,
    pub policy: Policy,
    pub now: DateTime<Utc>,
    /// Who the servers proved to be.
    pub identities: BTreeMap<InstanceKey, String>,
}

impl Look {
    /// Diff and plan: a pure function of what was seen.
    pub fn plan(&self) -> Plan {
        plan::make(World {
            desired: &self.desired,
            recorded: &self.recorded,
            observed: &self.observed,
            policy: &self.policy,
            now: self.now,
        })
    }
}

/// How many sessions each instance has.
pub fn widths(config: &Config) -> BTreeMap<InstanceKey, usize> {
    config.instances.iter().map(|(key, instance)| (key.clone(), instance.sessions)).collect()
}

/// Looks at the database and at every PBX, for what the files want.
pub async fn look(reader: &Reader<'_>, desired: Desired, policy: Policy) -> Result<Look, StoreError> {
    let now = reader.environment.now();
    let (recorded, instances) =
        reader.database.read(move |store| Ok((store.recorded(now)?, store.instances()?))).await?;
    let known: BTreeMap<InstanceKey, String> = instances
        .into_iter()
        .filter_map(|instance| Some((InstanceKey::parse(&instance.key).ok()?, instance.identity?)))
        .collect();
    let observer = Observer {
        pbxs: reader.pbxs,
        own_domains: &policy.own_domains,
        identities: &known,
        parallel: &widths(reader.config),
        rotation: reader.rotation,
    };
    let observed = observer.look(&recorded).await;
    let identities = observed
        .instances
        .iter()
        .filter_map(|(key, view)| match view {
            InstanceView::Seen { domains, .. } => Some((key.clone(), observer.identity(key, domains)?)),
            InstanceView::Unknown { .. } => None,
        })
        .collect();
    Ok(Look { desired, recorded, observed, policy, now, identities })
}

/// Carries a plan out and notes the pass down.
///
/// Nothing is sent to a PBX when the database does not take the note: what cannot be journalled is not done.
pub async fn act(
    writer: &Writer<'_>,
    config: &Config,
    look: &Look,
    plan: &Plan,
) -> Result<Outcome, StoreError> {
    let urls =
        config.instances.iter().map(|(key, instance)| (key.clone(), instance.url.to_string())).collect();
    apply::note_pass(
        writer.database,
        &look.recorded,
        &look.observed,
        plan,
        &urls,
        &look.identities,
        look.now,
    )
    .await?;
    let apply = Apply {
        database: writer.database,
        pbxs: writer.pbxs,
        parallel: widths(config),
        environment: writer.environment,
        actor: writer.actor.clone(),
        retention_days: config.deletion.retention_days,
        archive_dir: config.archive_dir.clone(),
        stop: writer.stop.clone(),
    };
    let outcome = apply.carry_out(plan).await;
    // After the steps, so that tenants made in this pass share at once, and what a file no longer says is gone.
    let (desired, allowed) = (look.desired.clone(), config.cross_tenant.clone());
    if let Err(error) = writer.database.write(move |store| store.put_shares(&desired, &allowed)).await {
        tracing::warn!(error = %crate::report::chain(&error), "sharing between tenants is not up to date");
    }
    Ok(outcome)
}
