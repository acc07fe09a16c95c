//! How many tenants may be touched at once, checked for the whole plan before its first change.

use std::collections::{BTreeMap, BTreeSet};

use super::Inputs;
use super::reason::LimitExceeded;
use super::retention::deletion_started;
use super::types::{Action, Place, Step, Work};
use crate::config::Limit;
use crate::model::{InstanceKey, RemovalKind, TenantId, TenantKey};
use crate::sabotage::{Bug, active};

/// Which of a plan's steps. A new key and a new domain are both renames, and only one of them interrupts phones.
type StepId = (Place, bool);

fn step_id(step: &Step) -> StepId {
    (step.place(), matches!(step.work, Work::Rekey { .. }))
}

/// A limit that the plan would exceed, and the steps that it holds.
#[derive(Debug)]
pub(super) struct Exceeded {
    pub(super) limit: LimitExceeded,
    held: BTreeSet<StepId>,
}

impl Exceeded {
    pub(super) fn holds(&self, step: &Step) -> bool {
        self.held.contains(&step_id(step))
    }
}

/// The limits that these steps would exceed.
pub(super) fn exceeded(inputs: Inputs<'_>, steps: &[Step]) -> Vec<Exceeded> {
    let limits = &inputs.policy.limits;
    let managed = managed(inputs);
    let mut found = Vec::new();
    found.extend(removals(inputs, managed, steps));
    found.extend(disables(inputs, managed, steps));
    found.extend(surge("limits.creates", "created", limits.creates, managed, steps, |step| {
        // `tenantd adopt` named its tenants one by one and asked, so it is no surprise.
        let by_command = matches!(&step.work, Work::Adopt { tenant, .. } if !tenant.adopt);
        matches!(step.action, Action::Create | Action::Adopt) && !by_command
    }));
    found.extend(surge("limits.updates", "changed", limits.updates, managed, steps, |step| {
        matches!(step.action, Action::Update | Action::Rename | Action::Move)
    }));
    found.extend(emptied_instances(inputs, steps));
    found
}

/// The tenants that were counted within the window for one of these kinds.
fn in_window(inputs: Inputs<'_>, wanted: impl Fn(RemovalKind) -> bool) -> BTreeSet<TenantId> {
    inputs
        .recorded
        .removals
        .iter()
        .filter(|removal| wanted(removal.kind) && !active(Bug::NoLimitWindow))
        .map(|removal| removal.tenant)
        .collect()
}

/// How many tenants a percentage is taken of: those that existed before the window's removals. A deleted tenant lost
/// its file long before and is none of them.
fn managed(inputs: Inputs<'_>) -> usize {
    let with_file = inputs.recorded.tenants.values().filter(|record| record.file_removed_at.is_none());
    let removed = in_window(inputs, |kind| kind == RemovalKind::FileGone);
    with_file.map(|record| record.id).chain(removed).collect::<BTreeSet<_>>().len()
}

/// `limits.removals`: tenants that are disabled because their file was removed, or deleted.
fn removals(inputs: Inputs<'_>, managed: usize, steps: &[Step]) -> Option<Exceeded> {
    let removed = |step: &Step| match &step.work {
        Work::Disable { record, file_removed: true, counts: true, .. } => {
            Some((record.id, "disabled (file removed)"))
        }
        Work::Delete { record, .. } | Work::DeleteRecord { record } => Some((record.id, "deleted")),
        _ => None,
    };
    // A deletion that has begun and is not finished yet is one of the window's.
    let started = inputs
        .recorded
        .tenants
        .values()
        .filter(|record| deletion_started(inputs, record.id, &record.definition.instance));
    let mut lately = in_window(inputs, |kind| matches!(kind, RemovalKind::FileGone | RemovalKind::Deleted));
    lately.extend(started.map(|record| record.id));
    let counted = |id, _: &str| lately.contains(&id);
    let limit = inputs.policy.limits.removals;
    windowed("limits.removals", limit, managed, &lately, steps, &removed, &counted)
}

/// `limits.disables`: tenants that are disabled by their file, renamed or moved. A tenant without phones for a while is
/// as good as disabled to its callers.
fn disables(inputs: Inputs<'_>, managed: usize, steps: &[Step]) -> Option<Exceeded> {
    let records = inputs.recorded.tenants.values();
    let enabled: BTreeSet<TenantId> =
        records.filter(|record| record.definition.enabled).map(|record| record.id).collect();
    let disabled = |step: &Step| match &step.work {
        Work::Disable { record, file_removed: false, counts: true, .. }
        | Work::Recreate { record, counts: true, .. } => Some((record.id, "disabled")),
        // There is no record yet, so the domain's identity stands for the tenant's.
        Work::Adopt { found, .. } if step.disables_by_creating() => Some((TenantId(found.id.0), "disabled")),
        _ => step.interrupts(|id| enabled.contains(&id)).map(|(id, kind)| (id, kind.as_str())),
    };
    let interrupted_lately = in_window(inputs, |kind| {
        matches!(kind, RemovalKind::Disabled | RemovalKind::Renamed | RemovalKind::Moved)
    });
    // A rename that was allowed, or approved, allows no disable: the phones would have come back by themselves.
    let disabled_lately = in_window(inputs, |kind| kind == RemovalKind::Disabled);
    let counted = |id, done: &str| {
        let lately = if done == "disabled" { &disabled_lately } else { &interrupted_lately };
        lately.contains(&id)
    };
    let limit = inputs.policy.limits.disables;
    windowed("limits.disables", limit, managed, &interrupted_lately, steps, &disabled, &counted)
}

/// A limit over the rolling day. Tenants are counted, not steps; one that counted already does not count again.
fn windowed(
    name: &'static str,
    limit: Limit,
    managed: usize,
    lately: &BTreeSet<TenantId>,
    steps: &[Step],
    counts: &dyn Fn(&Step) -> Option<(TenantId, &'static str)>,
    counted: &dyn Fn(TenantId, &str) -> bool,
) -> Option<Exceeded> {
    let new = || steps.iter().filter_map(counts).filter(|(id, what)| !counted(*id, what));
    let fresh: BTreeSet<TenantId> = new().map(|(id, _)| id).collect();
    let done: BTreeSet<&'static str> = new().map(|(_, done)| done).collect();
    let count = lately.union(&fresh).count();
    let allowed = limit.of(managed);
    if fresh.is_empty() || count <= allowed {
        return None;
    }
    let held = steps
        .iter()
        .filter(|step| counts(step).is_some_and(|(id, what)| !counted(id, what)))
        .map(step_id)
        .collect();
    let earlier = lately.len();
    let limit = LimitExceeded::Configured { name, done, count, earlier, allowed, limit, managed };
    Some(Exceeded { limit, held })
}

/// A limit on one plan, where the deployment set one.
fn surge(
    name: &'static str,
    done: &'static str,
    limit: Option<Limit>,
    managed: usize,
    steps: &[Step],
    counted: impl Fn(&Step) -> bool,
) -> Option<Exceeded> {
    let limit = limit?;
    let tenants: BTreeSet<&TenantKey> =
        steps.iter().filter(|step| counted(step)).map(|step| &step.tenant).collect();
    let allowed = limit.of(managed);
    if tenants.len() <= allowed {
        return None;
    }
    let held = steps.iter().filter(|step| counted(step)).map(step_id).collect();
    let (done, count) = ([done].into(), tenants.len());
    let limit = LimitExceeded::Configured { name, done, count, earlier: 0, allowed, limit, managed };
    Some(Exceeded { limit, held })
}

/// An instance that had several enabled tenants and would have none after this plan.
fn emptied_instances(inputs: Inputs<'_>, steps: &[Step]) -> Vec<Exceeded> {
    let mut enabled: BTreeMap<&InstanceKey, BTreeSet<TenantId>> = BTreeMap::new();
    for record in inputs.recorded.tenants.values().filter(|record| record.definition.enabled) {
        enabled.entry(&record.definition.instance).or_default().insert(record.id);
    }
    let disables = |step: &Step| match &step.work {
        // Extensions do not move along, so anyone who moves has no phones here any more.
        Work::Disable { record, counts: true, .. }
        | Work::Recreate { record, counts: true, .. }
        | Work::Move { record, .. } => Some(record.id),
        _ => None,
    };
    enabled
        .into_iter()
        .filter(|(_, tenants)| tenants.len() > 1)
        .filter_map(|(instance, tenants)| {
            let closed: BTreeSet<TenantId> =
                steps.iter().filter_map(disables).filter(|id| tenants.contains(id)).collect();
            (closed.len() == tenants.len()).then(|| Exceeded {
                limit: LimitExceeded::LastEnabledTenants { instance: instance.clone(), count: closed.len() },
                held: steps
                    .iter()
                    .filter(|step| disables(step).is_some_and(|id| tenants.contains(&id)))
                    .map(step_id)
                    .collect(),
            })
        })
        .collect()
}
