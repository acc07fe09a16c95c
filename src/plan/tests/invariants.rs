//! What holds for every plan, whatever the inputs: written again from the rules, not from the planner.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::fixture::Fixture;
use crate::config::{DeletionMode, Limit};
use crate::model::{
    Completeness, DomainId, InstanceKey, InstanceView, PbxDomain, RemovalKind, TenantId, TenantRecord,
};
use crate::plan::{Action, Plan, RecordRef, Step, Work};

pub fn check(fixture: &Fixture, plan: &Plan) {
    assert_eq!(fixture.unchecked(), *plan, "the same inputs gives another plan");
    let context = || format!("{plan:#?}\nof {fixture:#?}");
    if matches!(fixture.desired.completeness, Completeness::Unreadable { .. }) {
        assert!(plan.is_empty(), "an unreadable directory leads to steps: {}", context());
    }
    assert!(plan.steps.is_sorted_by_key(|step| &step.tenant), "{}", context());
    assert!(plan.held.is_sorted_by_key(|held| (&held.reason, held.action, &held.tenant)), "{}", context());
    for step in &plan.steps {
        only_ours(fixture, step);
        nothing_on_the_unknown(fixture, step);
        nothing_is_paused(fixture, step);
        never_our_own_account(fixture, step);
        if takes_away(fixture, step) {
            assert!(!fixture.policy.no_removals, "the brake is on: {step:#?}");
        }
        if is_removal(step) {
            removals_need_completeness(fixture, step);
        }
        if matches!(step.work, Work::DisablePrevious { .. }) {
            no_user_is_locked_out(fixture, plan, step);
        }
        if deletes(step) {
            deletion_needs_everything(fixture, plan, step);
        }
        assert!(fixture.policy.only.is_empty() || fixture.policy.only.contains(&step.tenant), "{step:#?}");
        assert!(!step.changes.is_empty(), "{step:#?}");
        assert!(plan.previews.contains_key(&step.tenant) || of_former(step), "no preview: {step:#?}");
    }
    let rekeys = |step: &Step| matches!(step.work, Work::Rekey { .. });
    let distinct: BTreeSet<_> =
        plan.steps.iter().map(|step| (&step.tenant, &step.instance, step.action, rekeys(step))).collect();
    assert_eq!(distinct.len(), plan.steps.len(), "a step stands twice: {}", context());
    never_deleted_and_something_else(fixture, plan);
    within_the_limits(fixture, plan);
}

fn of_former(step: &Step) -> bool {
    matches!(step.work, Work::DisablePrevious { .. } | Work::DeletePrevious { .. })
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
        | Work::DisablePrevious { record, .. }
        | Work::Delete { record, .. }
        | Work::DeletePrevious { record, .. }
        | Work::DeleteRecord { record } => Some(*record),
    }
}

pub fn record<'s>(fixture: &'s Fixture, step: &Step) -> Option<&'s TenantRecord> {
    let reference = reference(step)?;
    let found = fixture.recorded.tenants.values().find(|record| record.id == reference.id);
    let found = found.unwrap_or_else(|| panic!("a step of a record that is not there: {step:#?}"));
    assert_eq!(found.revision, reference.revision);
    Some(found)
}

/// The domains that a step touches: where, which, and as it was seen.
fn touched<'p>(fixture: &Fixture, step: &'p Step) -> Vec<(InstanceKey, DomainId, Option<&'p PbxDomain>)> {
    let at = |expect: &'p PbxDomain| vec![(step.instance.clone(), expect.id, Some(expect))];
    match &step.work {
        Work::Create { .. } | Work::Rekey { .. } => Vec::new(),
        Work::Recreate { .. } | Work::DeleteRecord { .. } => {
            vec![(step.instance.clone(), record(fixture, step).unwrap().domain_id, None)]
        }
        Work::Move { returns_to, .. } => {
            let old = record(fixture, step).unwrap();
            let there = returns_to.map(|id| (step.instance.clone(), id, None));
            there.into_iter().chain([(old.definition.instance.clone(), old.domain_id, None)]).collect()
        }
        Work::Disable { expect, .. } => match expect {
            Some(expect) => at(expect),
            None => vec![(step.instance.clone(), record(fixture, step).unwrap().domain_id, None)],
        },
        Work::Adopt { found: expect, .. }
        | Work::Rename { expect, .. }
        | Work::Update { expect, .. }
        | Work::Enable { expect, .. }
        | Work::DisablePrevious { expect, .. }
        | Work::Delete { expect, .. } => at(expect),
        Work::DeletePrevious { expect, placement, .. } => {
            vec![(step.instance.clone(), placement.domain_id, expect.as_ref())]
        }
    }
}

fn is_ours(fixture: &Fixture, on: &InstanceKey, id: DomainId) -> bool {
    let mut records = fixture.recorded.tenants.values();
    records.any(|record| record.definition.instance == *on && record.domain_id == id)
        || fixture
            .recorded
            .previous_placements
            .iter()
            .any(|previous| previous.instance == *on && previous.domain_id == id)
}

fn only_ours(fixture: &Fixture, step: &Step) {
    for (on, id, expect) in touched(fixture, step) {
        if let Work::Adopt { tenant, .. } = &step.work {
            assert!(tenant.adopt, "taken over without the file's word: {step:#?}");
            assert!(!is_ours(fixture, &on, id), "adopted what somebody has: {step:#?}");
        } else {
            assert!(is_ours(fixture, &on, id), "a step on what is not ours: {step:#?}");
        }
        if let (Some(expect), InstanceView::Seen { domains, .. }) = (expect, fixture.observed.instance(&on)) {
            assert_eq!(domains.get(&id), Some(expect), "{step:#?}");
        }
    }
}

/// The instances that a step sends requests to.
fn instances(fixture: &Fixture, step: &Step) -> BTreeSet<InstanceKey> {
    touched(fixture, step).into_iter().map(|(on, ..)| on).chain([step.instance.clone()]).collect()
}

fn nothing_on_the_unknown(fixture: &Fixture, step: &Step) {
    for on in instances(fixture, step) {
        let view = fixture.observed.instance(&on);
        assert!(matches!(view, InstanceView::Seen { .. }), "a step on {on}, which is unknown: {step:#?}");
    }
}

fn nothing_is_paused(fixture: &Fixture, step: &Step) {
    for pause in fixture.recorded.pauses.iter().filter(|s| s.until > fixture.now) {
        let old_key = record(fixture, step).map(|record| &record.key);
        let tenant = pause.key.as_ref().is_none_or(|key| *key == step.tenant || Some(key) == old_key);
        let instance = pause.instance.as_ref().is_none_or(|on| instances(fixture, step).contains(on));
        assert!(!(tenant && instance), "paused, and yet: {step:#?}");
    }
}

fn never_our_own_account(fixture: &Fixture, step: &Step) {
    let closes_or_renames = match &step.work {
        Work::Rename { .. } | Work::Move { .. } | Work::DeletePrevious { .. } => true,
        Work::Recreate { tenant, .. } => {
            !tenant.definition.enabled
                || record(fixture, step).unwrap().definition.domain != tenant.definition.domain
        }
        _ => takes_away(fixture, step),
    };
    if !closes_or_renames {
        return;
    }
    for (on, id, _) in touched(fixture, step) {
        if let (Work::Move { returns_to, .. }, true) = (&step.work, on == step.instance)
            && *returns_to == Some(id)
        {
            continue;
        }
        let Some(own) = fixture.policy.own_domains.get(&on) else { continue };
        if let InstanceView::Seen { domains, .. } = fixture.observed.instance(&on) {
            let name = domains.get(&id).map(|domain| domain.name.to_lowercase());
            assert_ne!(name.as_ref(), Some(own), "it would lock tenantd out: {step:#?}");
        }
    }
}

/// Whether someone loses access that he had, or data.
pub fn takes_away(fixture: &Fixture, step: &Step) -> bool {
    match &step.work {
        Work::Disable { .. }
        | Work::DisablePrevious { .. }
        | Work::Delete { .. }
        | Work::DeletePrevious { .. }
        | Work::DeleteRecord { .. } => true,
        Work::Adopt { tenant, found, .. } => !tenant.definition.enabled && found.enabled != Some(false),
        Work::Recreate { tenant, .. } => {
            !tenant.definition.enabled && record(fixture, step).unwrap().definition.enabled
        }
        _ => false,
    }
}

fn is_removal(step: &Step) -> bool {
    match &step.work {
        Work::Disable { file_removed, .. } => *file_removed,
        Work::Delete { .. } | Work::DeleteRecord { .. } => true,
        Work::DeletePrevious { expect, .. } => expect.is_some(),
        _ => false,
    }
}

fn removals_need_completeness(fixture: &Fixture, step: &Step) {
    assert_eq!(fixture.desired.completeness, Completeness::Complete, "{step:#?}");
    assert!(!fixture.desired.is_broken(&step.tenant), "{step:#?}");
    if !of_former(step) {
        assert!(!fixture.desired.tenants.contains_key(&step.tenant), "it has a file: {step:#?}");
        let record = record(fixture, step).unwrap();
        let wanted = |tenant: &crate::model::Tenant| {
            !fixture.recorded.tenants.contains_key(&tenant.key)
                && (tenant.definition.domain == record.definition.domain && tenant.previously.is_none()
                    || tenant.previously.as_ref() == Some(&record.key))
        };
        let heirs: Vec<_> = fixture.desired.tenants.values().filter(|tenant| wanted(tenant)).collect();
        assert!(heirs.is_empty(), "its file has another name now, {heirs:#?}: {step:#?}");
    }
}

pub fn deletes(step: &Step) -> bool {
    match &step.work {
        Work::Delete { .. } | Work::DeleteRecord { .. } => true,
        Work::DeletePrevious { expect, .. } => expect.is_some(),
        _ => false,
    }
}

/// What a tenant left is closed only when it has its new place, or gets it before.
fn no_user_is_locked_out(fixture: &Fixture, plan: &Plan, step: &Step) {
    let record = record(fixture, step).unwrap();
    let made = |other: &Step| matches!(other.work, Work::Recreate { .. }) && other.tenant == step.tenant;
    assert!(
        record.provisioned
            || !record.definition.enabled
            || fixture.desired.tenants.get(&step.tenant).is_some_and(|tenant| !tenant.definition.enabled)
            || plan.steps.iter().any(made),
        "closed before it is made elsewhere: {step:#?}"
    );
}

/// Whether deleting it there has begun and not finished.
fn is_started(fixture: &Fixture, tenant: TenantId, on: &InstanceKey) -> bool {
    let mut intents = fixture.recorded.open_intents.iter();
    intents.any(|intent| intent.tenant == tenant && intent.instance == *on && intent.action == "delete")
}

fn deletion_needs_everything(fixture: &Fixture, plan: &Plan, step: &Step) {
    let record = record(fixture, step).unwrap();
    let retention = TimeDelta::days(i64::from(fixture.policy.deletion.retention_days));
    assert!(!record.definition.protected, "{step:#?}");
    let (since, confirmed, name) = match &step.work {
        Work::DeletePrevious { placement, .. } => {
            (placement.left_at, placement.disable_confirmed_at.unwrap(), &placement.domain)
        }
        _ => {
            assert!(!record.definition.enabled && record.disabled_at.is_some(), "{step:#?}");
            assert_eq!(fixture.recorded.open_sessions.get(&record.id).copied().unwrap_or(0), 0, "{step:#?}");
            assert!(
                fixture.recorded.previous_placements.iter().all(|previous| previous.tenant != record.id),
                "{step:#?}"
            );
            (record.file_removed_at.unwrap(), record.disable_confirmed_at.unwrap(), &record.definition.domain)
        }
    };
    assert!(fixture.now - since >= retention && fixture.now - confirmed >= retention, "{step:#?}");
    if let Some(steady) = fixture.recorded.clock_steady_since {
        assert!(fixture.now - steady >= retention.min(TimeDelta::hours(24)), "{step:#?}");
    }
    for (on, id, _) in touched(fixture, step) {
        let InstanceView::Seen { domains, .. } = fixture.observed.instance(&on) else { unreachable!() };
        match domains.get(&id) {
            None => assert!(matches!(step.work, Work::DeleteRecord { .. })),
            Some(domain) => {
                assert_eq!(domain.enabled, Some(false), "{step:#?}");
                assert_eq!(domain.name, name.as_str(), "{step:#?}");
            }
        }
    }
    let word = |approval: &crate::model::Approval| {
        approval.expires_at > fixture.now
            && (approval.deletion_of.as_ref() == Some(&step.tenant)
                || approval.removals_id.is_some() && approval.removals_id == plan.removals_id)
    };
    match fixture.policy.deletion.mode {
        DeletionMode::Automatic => {}
        DeletionMode::Approve if is_started(fixture, record.id, &step.instance) => {}
        DeletionMode::Approve => assert!(
            fixture.policy.allow_delete.contains(&step.tenant) || fixture.recorded.approvals.iter().any(word),
            "nobody approved {step:#?}"
        ),
        DeletionMode::Never => panic!("never, and yet: {step:#?}"),
    }
}

fn never_deleted_and_something_else(fixture: &Fixture, plan: &Plan) {
    let mut uses: BTreeMap<(InstanceKey, DomainId), Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        for (on, id, _) in touched(fixture, step) {
            uses.entry((on, id)).or_default().push(step);
        }
    }
    for (domain, steps) in uses {
        if steps.iter().any(|step| matches!(step.action, Action::Delete | Action::DeleteRecord)) {
            assert_eq!(steps.len(), 1, "{domain:?} is deleted and something else: {steps:#?}");
        }
    }
}

pub fn allowed(limit: Limit, managed: usize) -> usize {
    (limit.count as usize).max(managed * limit.percent as usize / 100)
}

fn within_the_limits(fixture: &Fixture, plan: &Plan) {
    let approved = fixture.recorded.approvals.iter().any(|approval| {
        approval.removals_id.is_some()
            && approval.removals_id == plan.removals_id
            && approval.expires_at > fixture.now
    });
    if approved {
        return;
    }
    let lately = |kinds: &[RemovalKind]| -> BTreeSet<TenantId> {
        let removals = fixture.recorded.removals.iter().filter(|removal| kinds.contains(&removal.kind));
        removals.map(|removal| removal.tenant).collect()
    };
    let records = fixture.recorded.tenants.values();
    let unfinished = records.filter(|record| is_started(fixture, record.id, &record.definition.instance));
    let mut gone = lately(&[RemovalKind::FileGone, RemovalKind::Deleted]);
    gone.extend(unfinished.map(|record| record.id));
    let managed: BTreeSet<TenantId> = fixture
        .recorded
        .tenants
        .values()
        .filter(|record| record.file_removed_at.is_none())
        .map(|record| record.id)
        .chain(lately(&[RemovalKind::FileGone]))
        .collect();
    let limits = &fixture.policy.limits;
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
            || matches!(step.work, Work::Recreate { .. }) && takes_away(fixture, step)
            || step.interrupts(|id| is_enabled(fixture, id)).is_some()
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
    if let Some(most) = fixture.policy.max_tenants {
        let there =
            fixture.recorded.tenants.values().filter(|record| record.file_removed_at.is_none()).count();
        let new = plan.steps.iter().filter(|step| reference(step).is_none()).count();
        assert!(new == 0 || there + new <= most as usize, "beyond the tier: {plan:#?}");
    }
    let mut enabled: BTreeMap<&InstanceKey, BTreeSet<TenantId>> = BTreeMap::new();
    for record in fixture.recorded.tenants.values().filter(|record| record.definition.enabled) {
        enabled.entry(&record.definition.instance).or_default().insert(record.id);
    }
    let closed =
        steps(&|step| counts(step, true) || counts(step, false) || matches!(step.work, Work::Move { .. }));
    for (on, tenants) in enabled {
        assert!(tenants.len() < 2 || !tenants.is_subset(&closed), "{on} is emptied: {plan:#?}");
    }
}

fn is_enabled(fixture: &Fixture, id: TenantId) -> bool {
    fixture.recorded.tenants.values().any(|record| record.id == id && record.definition.enabled)
}

fn counts(step: &Step, of_removed: bool) -> bool {
    matches!(&step.work, Work::Disable { file_removed, counts: true, .. } if *file_removed == of_removed)
}
