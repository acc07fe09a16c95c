//! One tenant's file was removed and another one is new, and the two look alike: perhaps a rename of key and domain
//! without `previously:`. To disable the one and create the other would take the phones away, so both are held until
//! the file says which it is, or an operator does. The same rename in two commits (a copy first, the old file deleted
//! later) is asked about for a day: then the new one exists, and the removal alone is held.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::likeness::{Common, Features, likeness};
use super::reason::{HeldReason, LikelyRename, Likeness};
use super::types::{Held, Step, Work};
use super::{Draft, Inputs, identity};
use crate::model::{InstanceKey, Tenant, TenantKey, TenantRecord};

/// For how long a created tenant may be a removed one under another name.
const RECENT: TimeDelta = TimeDelta::hours(24);
/// Two that were created closer together come from one run, so neither is a copy of the other.
const ONE_RUN: TimeDelta = TimeDelta::seconds(60);

/// Which new keys took over which records, so that they are known to be renames.
pub(super) type Rekeyed = BTreeMap<TenantKey, TenantKey>;

/// A removed and a new tenant that look alike.
struct Pair<'a> {
    old: &'a TenantRecord,
    new: TenantKey,
    /// When the new one was created, where it was before this run.
    created: Option<DateTime<Utc>>,
    likeness: Likeness,
    /// What an operator approves who says that they are two.
    id: String,
}

/// A tenant that could be a removed one under another name.
struct Candidate<'a> {
    tenant: &'a Tenant,
    features: Features,
    /// `None` where this run creates it.
    created: Option<DateTime<Utc>>,
}

impl Candidate<'_> {
    /// Whether it came after the other one.
    fn is_newer(&self, old: &TenantRecord) -> bool {
        self.created.is_none_or(|created| created > old.created_at + ONE_RUN)
    }
}

/// Holds the steps of likely renames. A pair that an operator called two tenants continues to the other gates.
pub(super) fn hold(inputs: Inputs<'_>, rekeyed: &Rekeyed, draft: &mut Draft) {
    let pairs = pairs(inputs, rekeyed, &draft.steps);
    if pairs.is_empty() {
        return;
    }
    let steps = std::mem::take(&mut draft.steps);
    for step in steps {
        let of_step: Vec<&Pair<'_>> = pairs.iter().filter(|pair| pair.is_of(&step)).collect();
        match of_step.iter().max_by_key(|pair| pair.likeness) {
            Some(best) => draft.held.push(best.held(&step, &of_step)),
            None => draft.steps.push(step),
        }
    }
}

impl Pair<'_> {
    fn is_of(&self, step: &Step) -> bool {
        match &step.work {
            Work::Create { tenant } => self.created.is_none() && tenant.key == self.new,
            Work::Disable { record, file_removed: true, .. } => record.id == self.old.id,
            _ => false,
        }
    }

    fn held(&self, step: &Step, all: &[&Pair<'_>]) -> Held {
        let others = all
            .iter()
            .filter(|pair| pair.id != self.id)
            .map(|pair| if step.tenant == pair.new { &pair.old.key } else { &pair.new });
        let reason = HeldReason::LikelyRename(LikelyRename {
            old: self.old.key.clone(),
            new: self.new.clone(),
            created: self.created,
            likeness: self.likeness,
            others: others.cloned().collect(),
        });
        Held::step(step, reason).lifted_by(format!("tenantd approve {}", self.id))
    }
}

fn pairs<'a>(inputs: Inputs<'a>, rekeyed: &Rekeyed, steps: &[Step]) -> Vec<Pair<'a>> {
    let gone = gone(inputs, rekeyed);
    if gone.is_empty() {
        return Vec::new();
    }
    let new = candidates(inputs, steps);
    if new.is_empty() {
        return Vec::new();
    }
    let mut going: BTreeMap<&InstanceKey, usize> = BTreeMap::new();
    for old in &gone {
        *going.entry(&old.definition.instance).or_default() += 1;
    }
    let common = Common::of(inputs);
    let mut found = Vec::new();
    for old in gone.iter().copied() {
        let old_features = Features::of(&old.definition);
        // What comes in this run, and with it what came within the day.
        let newer = || {
            new.iter()
                .filter(|one| one.tenant.definition.instance == old.definition.instance && one.is_newer(old))
        };
        let (now, lately) = (newer().filter(|one| one.created.is_none()).count(), newer().count());
        for candidate in new.iter().filter(|candidate| candidate.is_newer(old)) {
            let tenant = candidate.tenant;
            // Whether on their instance no other tenant goes, and no other one came.
            let came = if candidate.created.is_some() { lately } else { now };
            let alone = tenant.definition.instance == old.definition.instance
                && going[&old.definition.instance] == 1
                && came == 1;
            let Some(likeness) =
                likeness(inputs, (old, &old_features), (tenant, &candidate.features), &common, alone)
            else {
                continue;
            };
            let id = identity::of_two(old.id, tenant);
            let is_two = inputs.recorded.approvals.iter().any(|approval| {
                approval.removals_id.as_ref() == Some(&id) && approval.expires_at > inputs.now
            });
            if !is_two {
                let created = candidate.created;
                found.push(Pair { old, new: tenant.key.clone(), created, likeness, id });
            }
        }
    }
    found
}

/// What this run creates, and what was created within the last day.
fn candidates<'a>(inputs: Inputs<'a>, steps: &'a [Step]) -> Vec<Candidate<'a>> {
    let candidate =
        |tenant, created| Candidate { tenant, features: Features::of(&tenant.definition), created };
    let now = steps.iter().filter_map(|step| match &step.work {
        Work::Create { tenant } => Some(candidate(tenant, None)),
        _ => None,
    });
    let lately = inputs.recorded.tenants.values().filter_map(|record| {
        let is_recent = record.created_at > inputs.now - RECENT && record.restored_at.is_none();
        let tenant = inputs.desired.tenants.get(&record.key)?;
        is_recent.then(|| candidate(tenant, Some(record.created_at)))
    });
    now.chain(lately).collect()
}

/// The recorded tenants whose file was removed.
fn gone<'a>(inputs: Inputs<'a>, rekeyed: &Rekeyed) -> Vec<&'a TenantRecord> {
    let taken: BTreeSet<&TenantKey> = rekeyed.values().collect();
    // One that was disabled for good is not about to be; its removal was checked in its own pass.
    inputs
        .recorded
        .tenants
        .values()
        .filter(|record| record.definition.enabled || record.file_removed_at.is_none())
        .filter(|record| !inputs.desired.tenants.contains_key(&record.key))
        .filter(|record| !inputs.desired.is_broken(&record.key) && !taken.contains(&record.key))
        .collect()
}

/// A `previously:` that renames nothing in this pass, and why; an operator who wrote it expects something else.
pub(super) fn without_effect(inputs: Inputs<'_>, rekeyed: &Rekeyed, draft: &mut Draft) {
    for (key, tenant) in &inputs.desired.tenants {
        let Some(old) = &tenant.previously else { continue };
        if rekeyed.get(key) == Some(old) || *old == *key {
            continue;
        }
        let own = inputs.recorded.tenants.get(key);
        let record = inputs.recorded.tenants.get(old);
        if own.is_some() && record.is_none() {
            draft
                .warnings
                .push(format!("{old} is already renamed to {key}. Delete the line `previously: {old}`."));
            continue;
        }
        let why = match (own, record) {
            (Some(_), Some(_)) => format!(
                "{key} already exists, so {old} cannot be renamed to it. To undo, restore {old}.yaml and remove \
                 {key}.yaml in the same commit"
            ),
            (_, None) => format!("the tenant {old} is not recorded; correct the key, or delete the line"),
            (None, Some(_)) if inputs.desired.is_broken(old) => {
                format!("the file of {old} still exists and is broken; delete it in the same commit")
            }
            (None, Some(_)) => match rekeyed.iter().find(|(_, of)| *of == old) {
                Some((heir, _)) => format!(
                    "{old} is already renamed to {heir}; delete the line in one of the two \
                                            files"
                ),
                None => format!("the file of {old} still exists; delete it in the same commit"),
            },
        };
        draft.warnings.push(format!("{key}: `previously: {old}` has no effect: {why}"));
    }
}
