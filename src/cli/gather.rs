//! What `plan`, `apply`, `approve` and others decide from: files, database and PBXs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::args::Selection;
use super::context::{Context, Failure, Result};
use super::output::{patiently, reading};
use crate::config::Config;
use crate::environment::System;
use crate::fusionpbx::PbxRead;
use crate::load::{self, Loaded};
use crate::model::{Completeness, Desired, InstanceKey, TenantKey};
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::reconcile::{self, PassInputs, Reader};
use crate::store::{Access, Database};

/// The problems of files. That nothing could be read is the end of the command, and told there.
pub fn show_problems(context: &Context, loaded: &Loaded) {
    if !matches!(loaded.desired.completeness, Completeness::Unreadable { .. }) {
        context.show_problems(&loaded.problems);
    }
}

/// What could be the file of a tenant that is recorded and has none.
pub fn show_unusual(context: &Context, look: &PassInputs) {
    let mut found = look.desired.unusual.clone();
    found.retain(|file| file.by_record);
    context.show_problems(&load::unusual_problems(&found));
}

/// Looks with nothing in hand that could change anything.
pub async fn look_only(
    context: &Context,
    config: &Config,
    loaded: Loaded,
    policy: Policy,
    rotation: Rotation,
) -> Result<PassInputs> {
    let database = context.database(config, Access::ReadOnly).await?;
    let readers = context.readers(config)?;
    look(config, &database, &readers, loaded.desired, policy, rotation).await
}

/// The share of settings that a single run compares is that of a daemon's pass.
pub fn rotation(config: &Config) -> Rotation {
    Rotation::Share { interval: config.daemon.interval, cycle: config.daemon.settings_cycle }
}

/// Looks at everything with the machine's clock.
pub async fn look(
    config: &Config,
    database: &Database,
    pbxs: &BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    desired: Desired,
    policy: Policy,
    rotation: Rotation,
) -> Result<PassInputs> {
    let reader = Reader { config, database, pbxs, environment: &System, rotation };
    let look = reconcile::gather(&reader, desired, policy);
    patiently(|| reading(pbxs.keys()), look).await.map_err(|error| Failure::of(&error))
}

pub fn policy(config: &Config, selection: &Selection, allow_delete: &[TenantKey]) -> Policy {
    Policy {
        allow_delete: allow_delete.iter().cloned().collect::<BTreeSet<_>>(),
        no_removals: selection.no_removals,
        only: selection.tenants.iter().cloned().collect(),
        ..Policy::new(config)
    }
}

pub fn readable(loaded: &Loaded) -> Result<()> {
    match &loaded.desired.completeness {
        Completeness::Unreadable { reason } => {
            Err(Failure::new(format!("the tenants directory {reason}: nothing is changed")))
        }
        Completeness::Complete | Completeness::Partial { .. } => Ok(()),
    }
}
