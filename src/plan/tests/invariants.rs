//! What holds for every plan, whatever the world: written anew from the rules, not from the planner.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::scene::Scene;
use crate::config::{DeletionMode, Limit};
use crate::model::{
    Completeness, DomainId, InstanceKey, InstanceView, PbxDomain, RemovalKind, TenantId, TenantRecord,
};
use crate::plan::{Action, Plan, RecordRef, Step, Work};

pub fn check(scene: &Scene, plan: &Plan) {
    assert_eq!(scene.unchecked(), *plan, "the same world gives another plan");
    let context = || format!("{plan:#?}\nof {scene:#?}");
    if matches!(scene.desired.completeness, Completeness::Unreadable { .. }) {
        assert!(plan.is_empty(), "an unreadable directory leads to steps: {}", context());
    }
    assert!(plan.steps.is_sorted_by_key(|step| &step.tenant), "{}", context());
    assert!(plan.held.is_sorted_by_key(|held| (&held.reason, held.action, &held.tenant)), "{}", context());
    for step in &plan.steps {
        only_ours(scene, step);
        nothing_on_the_unknown(scene, step);
        nothing_suspended(scene, step);
        never_our_own_account(scene, step);
        if takes_away(scene, step) {
            assert!(!scene.policy.no_removals, "the brake is on: {step:#?}");
        }
        if is_removal(step) {
            removals_need_completeness(scene, step);
        }
        if matches!(step.work, Work::DisableFormer { .. }) {
            nobody_is_closed_out(scene, plan, step);
        }
        if deletes(step) {
            deletion_needs_everything(scene, plan, step);
        }
        assert!(scene.policy.only.is_empty() || scene.policy.only.contains(&step.tenant), "{step:#?}");
        assert!(!step.reason.is_empty() && !step.changes.is_empty(), "{step:#?}");
        assert!(plan.previews.contains_key(&step.tenant) || of_former(step), "no preview: {step:#?}");
    }
    for held in &plan.held {
        assert!(!held.reason.is_empty());
    }
    let rekeys = |step: &Step| matches!(step.work, Work::Rekey { .. });
    let distinct: BTreeSet<_> =
        plan.steps.iter().map(|step| (&step.tenant, &step.instance, step.action, rekeys(step))).collect();
    assert_eq!(distinct.len(), plan.steps.len(), "a step stands twice: {}", context());
    never_deleted_and_something_else(scene, plan);
    within_the_limits(scene, plan);
}

fn of_former(step: &Step) -> bool {
    matches!(step.work, Work::DisableFormer { .. } | Work::DeleteFormer { .. })
}

pub fn reference(step: &Step) -> Option<RecordRef> {
    match &step.work {
        Work::Create { .. } | Work::Adopt { .. } => None,
        Work::Recreate { record, .. }
        | Work::Rekey { record, .. }
        | Work::Rename { record, .. }
        | Work::Move { record, .. }
        | Work::Update { record, .. }
        | Work::Enable { record, .. }
        | Work::Disable { record, .. }
        | Work::DisableFormer { record, .. }
        | Work::Delete { record, .. }
        | Work::DeleteFormer { record, .. }
        | Work::Forget { record } => Some(*record),
    }
}

pub fn record<'s>(scene: &'s Scene, step: &Step) -> Option<&'s TenantRecord> {
    let reference = reference(step)?;
    let found = scene.recorded.tenants.values().find(|record| record.id == reference.id);
    let found = found.unwrap_or_else(|| panic!("a step of a record that is not there: {step:#?}"));
    assert_eq!(found.revision, reference.revision);
    Some(found)
}

/// The domains that a step touches: where, which, and as it was seen.
fn touched<'p>(scene: &Scene, step: &'p Step) -> Vec<(InstanceKey, DomainId, Option<&'p PbxDomain>)> {
    let at = |expect: &'p PbxDomain| vec![(step.instance.clone(), expect.id, Some(expect))];
    match &step.work {
        Work::Create { .. } | Work::Rekey { .. } => Vec::new(),
        Work::Recreate { .. } | Work::Forget { .. } => {
            vec![(step.instance.clone(), record(scene, step).unwrap().domain_id, None)]
        }
        Work::Move { returns_to, .. } => {
            let old = record(scene, step).unwrap();
            let there = returns_to.map(|id| (step.instance.clone(), id, None));
            there.into_iter().chain([(old.instance.clone(), old.domain_id, None)]).collect()
        }
        Work::Disable { expect, .. } => match expect {
            Some(expect) => at(expect),
            None => vec![(step.instance.clone(), record(scene, step).unwrap().domain_id, None)],
        },
        Work::Adopt { found: expect, .. }
        | Work::Rename { expect, .. }
        | Work::Update { expect, .. }
        | Work::Enable { expect, .. }
        | Work::DisableFormer { expect, .. }
        | Work::Delete { expect, .. } => at(expect),
        Work::DeleteFormer { expect, placement, .. } => {
            vec![(step.instance.clone(), placement.domain_id, expect.as_ref())]
        }
    }
}

fn is_ours(scene: &Scene, on: &InstanceKey, id: DomainId) -> bool {
    let mut records = scene.recorded.tenants.values();
    records.any(|record| record.instance == *on && record.domain_id == id)
        || scene.recorded.former.iter().any(|former| former.instance == *on && former.domain_id == id)
}

fn only_ours(scene: &Scene, step: &Step) {
    for (on, id, expect) in touched(scene, step) {
        if let Work::Adopt { tenant, .. } = &step.work {
            assert!(tenant.adopt, "taken over without the file's word: {step:#?}");
            assert!(!is_ours(scene, &on, id), "adopted what somebody has: {step:#?}");
        } else {
            assert!(is_ours(scene, &on, id), "a step on what is not ours: {step:#?}");
        }
        if let (Some(expect), InstanceView::Seen { domains, .. }) = (expect, scene.observed.instance(&on)) {
            assert_eq!(domains.get(&id), Some(expect), "{step:#?}");
        }
    }
}

/// The instances that a step sends requests to.
fn instances(scene: &Scene, step: &Step) -> BTreeSet<InstanceKey> {
    touched(scene, step).into_iter().map(|(on, ..)| on).chain([step.instance.clone()]).collect()
}

fn nothing_on_the_unknown(scene: &Scene, step: &Step) {
    for on in instances(scene, step) {
        let view = scene.observed.instance(&on);
        assert!(matches!(view, InstanceView::Seen { .. }), "a step on {on}, which is unknown: {step:#?}");
    }
}

fn nothing_suspended(scene: &Scene, step: &Step) {
    for suspension in scene.recorded.suspensions.iter().filter(|s| s.until > scene.now) {
        let old_key = record(scene, step).map(|record| &record.key);
        let tenant = suspension.key.as_ref().is_none_or(|key| *key == step.tenant || Some(key) == old_key);
        let instance = suspension.instance.as_ref().is_none_or(|on| instances(scene, step).contains(on));
        assert!(!(tenant && instance), "suspended, and yet: {step:#?}");
    }
}

fn never_our_own_account(scene: &Scene, step: &Step) {
    let closes_or_renames = match &step.work {
        Work::Rename { .. } | Work::Move { .. } | Work::DeleteFormer { .. } => true,
        Work::Recreate { tenant, .. } => {
            !tenant.enabled || record(scene, step).unwrap().domain != tenant.domain
        }
        _ => takes_away(scene, step),
    };
    if !closes_or_renames {
        return;
    }
    for (on, id, _) in touched(scene, step) {
        if let (Work::Move { returns_to, .. }, true) = (&step.work, on == step.instance)
            && *returns_to == Some(id)
        {
            continue;
        }
        let Some(own) = scene.policy.own_domains.get(&on) else { continue };
        if let InstanceView::Seen { domains, .. } = scene.observed.instance(&on) {
            let name = domains.get(&id).map(|domain| domain.name.to_lowercase());
            assert_ne!(name.as_ref(), Some(own), "it would lock tenantd out: {step:#?}");
        }
    }
}

/// Whether somebody loses access that he had, or data.
pub fn takes_away(scene: &Scene, step: &Step) -> bool {
    match &step.work {
        Work::Disable { .. }
        | Work::DisableFormer { .. }
        | Work::Delete { .. }
        | Work::DeleteFormer { .. }
        | Work::Forget { .. } => true,
        Work::Adopt { tenant, found, .. } => !tenant.enabled && found.enabled != Some(false),
        Work::Recreate { tenant, .. } => !tenant.enabled && record(scene, step).unwrap().enabled,
        _ => false,
    }
}

fn is_removal(step: &Step) -> bool {
    match &step.work {
        Work::Disable { removed, .. } => *removed,
        Work::Delete { .. } | Work::Forget { .. } => true,
        Work::DeleteFormer { expect, .. } => expect.is_some(),
        _ => false,
    }
}

fn removals_need_completeness(scene: &Scene, step: &Step) {
    assert_eq!(scene.desired.completeness, Completeness::Complete, "{step:#?}");
    assert!(!scene.desired.is_broken(&step.tenant), "{step:#?}");
    if !of_former(step) {
        assert!(!scene.desired.tenants.contains_key(&step.tenant), "it has a file: {step:#?}");
        let record = record(scene, step).unwrap();
        let wanted = |tenant: &crate::model::Tenant| {
            !scene.recorded.tenants.contains_key(&tenant.key)
                && (tenant.domain == record.domain && tenant.previously.is_none()
                    || tenant.previously.as_ref() == Some(&record.key))
        };
        let heirs: Vec<_> = scene.desired.tenants.values().filter(|tenant| wanted(tenant)).collect();
        assert!(heirs.is_empty(), "its file has another name now, {heirs:#?}: {step:#?}");
    }
}

pub fn deletes(step: &Step) -> bool {
    match &step.work {
        Work::Delete { .. } | Work::Forget { .. } => true,
        Work::DeleteFormer { expect, .. } => expect.is_some(),
        _ => false,
    }
}

/// What a tenant left is closed only when it has its new place, or gets it before.
fn nobody_is_closed_out(scene: &Scene, plan: &Plan, step: &Step) {
    let record = record(scene, step).unwrap();
    let made = |other: &Step| matches!(other.work, Work::Recreate { .. }) && other.tenant == step.tenant;
    assert!(
        record.provisioned
            || !record.enabled
            || scene.desired.tenants.get(&step.tenant).is_some_and(|tenant| !tenant.enabled)
            || plan.steps.iter().any(made),
        "closed before it is made elsewhere: {step:#?}"
    );
}

/// Whether deleting it there was begun and not finished.
fn begun(scene: &Scene, tenant: TenantId, on: &InstanceKey) -> bool {
    let mut intents = scene.recorded.open_intents.iter();
    intents.any(|intent| intent.tenant == tenant && intent.instance == *on && intent.action == "delete")
}

fn deletion_needs_everything(scene: &Scene, plan: &Plan, step: &Step) {
    let record = record(scene, step).unwrap();
    let retention = TimeDelta::days(i64::from(scene.policy.deletion.retention_days));
    assert!(!record.protected, "{step:#?}");
    let (since, confirmed, name) = match &step.work {
        Work::DeleteFormer { placement, .. } => {
            (placement.left_at, placement.disable_confirmed_at.unwrap(), &placement.domain)
        }
        _ => {
            assert!(!record.enabled && record.disabled_at.is_some(), "{step:#?}");
            assert_eq!(scene.recorded.open_sessions.get(&record.id).copied().unwrap_or(0), 0, "{step:#?}");
            assert!(scene.recorded.former.iter().all(|former| former.tenant != record.id), "{step:#?}");
            (record.removed_at.unwrap(), record.disable_confirmed_at.unwrap(), &record.domain)
        }
    };
    assert!(scene.now - since >= retention && scene.now - confirmed >= retention, "{step:#?}");
    if let Some(steady) = scene.recorded.clock_steady_since {
        assert!(scene.now - steady >= retention.min(TimeDelta::hours(24)), "{step:#?}");
    }
    for (on, id, _) in touched(scene, step) {
        let InstanceView::Seen { domains, .. } = scene.observed.instance(&on) else { unreachable!() };
        match domains.get(&id) {
            None => assert!(matches!(step.work, Work::Forget { .. })),
            Some(domain) => {
                assert_eq!(domain.enabled, Some(false), "{step:#?}");
                assert_eq!(domain.name, name.as_str(), "{step:#?}");
            }
        }
    }
    let word = |approval: &crate::model::Approval| {
        approval.expires_at > scene.now
            && (approval.deletion_of.as_ref() == Some(&step.tenant)
                || approval.removals_id.is_some() && approval.removals_id == plan.removals_id)
    };
    match scene.policy.deletion.mode {
        DeletionMode::Automatic => {}
        DeletionMode::Approve if begun(scene, record.id, &step.instance) => {}
        DeletionMode::Approve => assert!(
            scene.policy.allow_delete.contains(&step.tenant) || scene.recorded.approvals.iter().any(word),
            "nobody approved {step:#?}"
        ),
        DeletionMode::Never => panic!("never, and yet: {step:#?}"),
    }
}

fn never_deleted_and_something_else(scene: &Scene, plan: &Plan) {
    let mut uses: BTreeMap<(InstanceKey, DomainId), Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        for (on, id, _) in touched(scene, step) {
            uses.entry((on, id)).or_default().push(step);
        }
    }
    for (domain, steps) in uses {
        if steps.iter().any(|step| matches!(step.action, Action::Delete | Action::Forget)) {
            assert_eq!(steps.len(), 1, "{domain:?} is deleted and something else: {steps:#?}");
        }
    }
}

pub fn allowed(limit: Limit, managed: usize) -> usize {
    (limit.count as usize).max(managed * limit.percent as usize / 100)
}

fn within_the_limits(scene: &Scene, plan: &Plan) {
    let approved = scene.recorded.approvals.iter().any(|approval| {
        approval.removals_id.is_some()
            && approval.removals_id == plan.removals_id
            && approval.expires_at > scene.now
    });
    if approved {
        return;
    }
    let lately = |kinds: &[RemovalKind]| -> BTreeSet<TenantId> {
        let removals = scene.recorded.removals.iter().filter(|removal| kinds.contains(&removal.kind));
        removals.map(|removal| removal.tenant).collect()
    };
    let records = scene.recorded.tenants.values();
    let unfinished = records.filter(|record| begun(scene, record.id, &record.instance));
    let mut gone = lately(&[RemovalKind::FileGone, RemovalKind::Deleted]);
    gone.extend(unfinished.map(|record| record.id));
    let managed: BTreeSet<TenantId> = scene
        .recorded
        .tenants
        .values()
        .filter(|record| record.removed_at.is_none())
        .map(|record| record.id)
        .chain(lately(&[RemovalKind::FileGone]))
        .collect();
    let limits = &scene.policy.limits;
    let window = |limit: Limit, before: BTreeSet<TenantId>, now: BTreeSet<TenantId>| {
        let more = now.difference(&before).count();
        assert!(
            more == 0 || before.len() + more <= allowed(limit, managed.len()),
            "{more} more than {} of {}: {plan:#?}",
            before.len(),
            managed.len()
        );
    };
    let steps = |wanted: &dyn Fn(&Step) -> bool| -> BTreeSet<TenantId> {
        plan.steps.iter().filter(|s| wanted(s)).filter_map(|s| Some(reference(s)?.id)).collect()
    };
    window(limits.removals, gone, steps(&|step| counts(step, true) || deletes(step) && !of_former(step)));
    let disables = |step: &Step| {
        counts(step, false)
            || matches!(step.work, Work::Recreate { .. }) && takes_away(scene, step)
            || step.interrupts(|id| is_enabled(scene, id)).is_some()
    };
    let interrupted = lately(&[RemovalKind::Disabled, RemovalKind::Renamed, RemovalKind::Moved]);
    window(limits.disables, interrupted, steps(&disables));
    for (limit, actions) in [
        (limits.creates, &[Action::Create, Action::Adopt][..]),
        (limits.updates, &[Action::Update, Action::Rename, Action::Move][..]),
    ] {
        let Some(limit) = limit else { continue };
        let tenants: BTreeSet<_> = plan
            .steps
            .iter()
            .filter(|step| actions.contains(&step.action))
            .map(|step| &step.tenant)
            .collect();
        assert!(tenants.len() <= allowed(limit, managed.len()), "{plan:#?}");
    }
    if let Some(most) = scene.policy.max_tenants {
        let there = scene.recorded.tenants.values().filter(|record| record.removed_at.is_none()).count();
        let new = plan.steps.iter().filter(|step| reference(step).is_none()).count();
        assert!(new == 0 || there + new <= most as usize, "beyond the tier: {plan:#?}");
    }
    let mut enabled: BTreeMap<&InstanceKey, BTreeSet<TenantId>> = BTreeMap::new();
    for record in scene.recorded.tenants.values().filter(|record| record.enabled) {
        enabled.entry(&record.instance).or_default().insert(record.id);
    }
    let closed =
        steps(&|step| counts(step, true) || counts(step, false) || matches!(step.work, Work::Move { .. }));
    for (on, tenants) in enabled {
        assert!(tenants.len() < 2 || !tenants.is_subset(&closed), "{on} is emptied: {plan:#?}");
    }
}

fn is_enabled(scene: &Scene, id: TenantId) -> bool {
    scene.recorded.tenants.values().any(|record| record.id == id && record.enabled)
}

fn counts(step: &Step, of_removed: bool) -> bool {
    matches!(&step.work, Work::Disable { removed, counts: true, .. } if *removed == of_removed)
}
