//! How many tenants may be touched at once, checked for the whole plan before its first change.

use std::collections::{BTreeMap, BTreeSet};

use super::Inputs;
use super::reason::LimitExceeded;
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
    let gone = |kind: RemovalKind| matches!(kind, RemovalKind::FileGone | RemovalKind::Deleted);
    let in_window = |wanted: &dyn Fn(RemovalKind) -> bool| -> BTreeSet<TenantId> {
        inputs
            .recorded
            .removals
            .iter()
            .filter(|removal| wanted(removal.kind) && !active(Bug::NoLimitWindow))
            .map(|removal| removal.tenant)
            .collect()
    };
    // A deletion that was begun and not finished yet is one of the window's.
    let begun =
        inputs.recorded.tenants.values().filter(|record| {
            super::retention::deletion_begun(inputs, record.id, &record.definition.instance)
        });
    let removed_lately: BTreeSet<TenantId> =
        in_window(&gone).into_iter().chain(begun.map(|record| record.id)).collect();
    // What the percentage is taken of: the tenants there were before the window's removals. Whoever is deleted was
    // removed long before and is none of them.
    let managed: BTreeSet<TenantId> = inputs
        .recorded
        .tenants
        .values()
        .filter(|record| record.file_removed_at.is_none())
        .map(|record| record.id)
        .chain(in_window(&|kind| kind == RemovalKind::FileGone))
        .collect();
    let managed = managed.len();

    let enabled: BTreeSet<TenantId> = inputs
        .recorded
        .tenants
        .values()
        .filter(|record| record.definition.enabled)
        .map(|record| record.id)
        .collect();
    let removed = |step: &Step| match &step.work {
        Work::Disable { record, file_removed: true, counts: true, .. } => {
            Some((record.id, "disabled (file removed)"))
        }
        Work::Delete { record, .. } | Work::DeleteRecord { record } => Some((record.id, "deleted")),
        _ => None,
    };
    let disabled = |step: &Step| match &step.work {
        Work::Disable { record, file_removed: false, counts: true, .. }
        | Work::Recreate { record, counts: true, .. } => Some((record.id, "disabled")),
        // There is no record yet, so the domain's identity stands for the tenant's.
        Work::Adopt { found, .. } if step.disables_by_creating() => Some((TenantId(found.id.0), "disabled")),
        _ => step.interrupts(|id| enabled.contains(&id)).map(|(id, kind)| (id, kind.as_str())),
    };
    let mut found = Vec::new();
    let counted = |id, _: &str| removed_lately.contains(&id);
    found.extend(windowed(
        "limits.removals",
        limits.removals,
        managed,
        &removed_lately,
        steps,
        &removed,
        &counted,
    ));
    // A tenant without phones for a while is as good as disabled to whoever calls it.
    let interrupted =
        |kind| matches!(kind, RemovalKind::Disabled | RemovalKind::Renamed | RemovalKind::Moved);
    let interrupted_lately = in_window(&interrupted);
    // A rename that was allowed, or approved, allows no disable: the phones would have come back by themselves.
    let disabled_lately = in_window(&|kind| kind == RemovalKind::Disabled);
    let counted = |id, what: &str| {
        let lately = if what == "disabled" { &disabled_lately } else { &interrupted_lately };
        lately.contains(&id)
    };
    found.extend(windowed(
        "limits.disables",
        limits.disables,
        managed,
        &interrupted_lately,
        steps,
        &disabled,
        &counted,
    ));
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
    let closes = |step: &Step| match &step.work {
        // Extensions do not move along, so whoever moves has no phones here any more.
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
                steps.iter().filter_map(closes).filter(|id| tenants.contains(id)).collect();
            (closed.len() == tenants.len()).then(|| Exceeded {
                limit: LimitExceeded::LastEnabledTenants { instance: instance.clone(), count: closed.len() },
                held: steps
                    .iter()
                    .filter(|step| closes(step).is_some_and(|id| tenants.contains(&id)))
                    .map(step_id)
                    .collect(),
            })
        })
        .collect()
}
