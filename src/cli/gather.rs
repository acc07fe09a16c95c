//! What `plan`, `apply`, `approve` and others decide from: files, database and PBXs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::args::Selection;
use super::context::{Context, Failure, Result};
use super::output::{patiently, reading};
use crate::config::Config;
use crate::environment::System;
use crate::fusionpbx::PbxRead;
use crate::inputs::PassInputs;
use crate::load::{self, Loaded};
use crate::model::{Completeness, Desired, InstanceKey, TenantKey};
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::reconcile::{self, Reader};
use crate::store::{Access, Database};

/// Shows the problems of files. An unreadable tenants directory ends the command, which then reports it.
pub fn show_problems(context: &Context, loaded: &Loaded) {
    if !matches!(loaded.desired.completeness, Completeness::Unreadable { .. }) {
        context.show_problems(&loaded.problems);
    }
}

/// Warns of files that could belong to a recorded tenant without a file.
pub fn show_unusual(context: &Context, inputs: &PassInputs) {
    let mut found = inputs.desired.unusual.clone();
    found.retain(|file| file.by_record);
    context.show_problems(&load::unusual_problems(&found));
}

/// Gathers files, database and PBXs with readers only: what a preview decides from.
pub async fn gather_read_only(
    context: &Context,
    config: &Config,
    loaded: Loaded,
    policy: Policy,
    rotation: Rotation,
) -> Result<PassInputs> {
    let database = context.database(config, Access::ReadOnly).await?;
    let readers = context.readers(config)?;
    gather(config, &database, &readers, loaded.desired, policy, rotation).await
}

/// How many tenants' settings a run compares besides those whose file changed.
const OTHERS: usize = 20;

/// Whose settings a run compares.
pub fn rotation(full: bool) -> Rotation {
    if full { Rotation::All } else { Rotation::oldest(OTHERS) }
}

/// Gathers files, database and PBXs, with the machine's clock.
pub async fn gather(
    config: &Config,
    database: &Database,
    pbxs: &BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    desired: Desired,
    policy: Policy,
    rotation: Rotation,
) -> Result<PassInputs> {
    let reader = Reader { config, database, pbxs, environment: &System, rotation };
    let gathered = reconcile::gather(&reader, desired, policy);
    patiently(|| reading(pbxs.keys()), gathered).await.map_err(|error| Failure::of(&error))
}

pub fn policy(config: &Config, selection: &Selection, allow_delete: &[TenantKey]) -> Policy {
    Policy {
        allow_delete: allow_delete.iter().cloned().collect::<BTreeSet<_>>(),
        no_removals: selection.no_removals,
        only: selection.tenants.iter().cloned().collect(),
        ..Policy::new(config)
    }
}

/// Fails where the tenants directory cannot be read: a command that changes something must not continue.
pub fn readable(config: &Config, desired: &Desired) -> Result<()> {
    match unreadable(config, desired) {
        Some(text) => Err(Failure::new(format!("{text}: nothing is changed"))),
        None => Ok(()),
    }
}

/// Why the tenants directory cannot be read, with its path. `None` where it was read.
pub fn unreadable(config: &Config, desired: &Desired) -> Option<String> {
    match &desired.completeness {
        Completeness::Unreadable { reason } => {
            Some(format!("the tenants directory {} {reason}", config.tenants_dir.display()))
        }
        Completeness::Complete | Completeness::Partial { .. } => None,
    }
}
