//! Random histories: files, people and time, in whatever order.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::fixture::{Fixture, domain, instance, key};
use super::generated_inputs::{INSTANCES, KEYS, NEW_KEYS, name};
use super::{effect, invariants};
use crate::config::DeletionMode;
use crate::model::{DomainId, InstanceKey, InstanceView, Tenant, testing};
use crate::plan::Work;

/// Something that happens between two passes.
#[derive(Clone, Copy, Debug)]
enum Event {
    FileGoes(usize),
    FileComes(usize),
    Toggled(usize),
    Renamed(usize, usize),
    GitMv(usize, usize),
    Moved(usize),
    Protected(usize),
    /// Someone on the PBX enables or disables a domain.
    Meddled(usize),
    /// Someone on the PBX deletes a domain.
    Wiped(usize),
    Hours(i64),
    Approved(usize),
    PlanApproved,
    Pass,
    PassWithout(usize),
    PassWithABrokenFile,
}

fn events() -> impl Strategy<Value = Event> {
    let of = || 0..6_usize;
    prop_oneof![
        4 => of().prop_map(Event::FileGoes),
        2 => of().prop_map(Event::FileComes),
        1 => of().prop_map(Event::Toggled),
        1 => (of(), 0..8_usize).prop_map(|(of, to)| Event::Renamed(of, to)),
        1 => (of(), 0..3_usize).prop_map(|(of, to)| Event::GitMv(of, to)),
        2 => of().prop_map(Event::Moved),
        1 => of().prop_map(Event::Protected),
        1 => of().prop_map(Event::Meddled),
        1 => of().prop_map(Event::Wiped),
        4 => prop::sample::select(vec![1, 25, 24 * 15, 24 * 31]).prop_map(Event::Hours),
        1 => of().prop_map(Event::Approved),
        1 => Just(Event::PlanApproved),
        8 => Just(Event::Pass),
        1 => (0..2_usize).prop_map(Event::PassWithout),
        1 => Just(Event::PassWithABrokenFile),
    ]
}

/// When each domain was last seen to become closed, kept by anyone who looks on.
type Closed = BTreeMap<(InstanceKey, DomainId), DateTime<Utc>>;

/// What is on an instance that does not answer stays as it was last seen.
fn look(fixture: &Fixture, closed: &mut Closed) {
    let before = std::mem::take(closed);
    for (on, view) in &fixture.observed.instances {
        let InstanceView::Seen { domains, .. } = view else {
            closed.extend(before.clone().into_iter().filter(|((of, _), _)| of == on));
            continue;
        };
        for domain in domains.values().filter(|domain| domain.enabled == Some(false)) {
            let of = (on.clone(), domain.id);
            let since = before.get(&of).copied().unwrap_or(fixture.now);
            closed.insert(of, since);
        }
    }
}

/// What no one checks is not known: a domain that was opened and closed again between two passes counts as closed.
fn pass(fixture: &mut Fixture, closed: &mut Closed) {
    look(fixture, closed);
    let plan = fixture.plan();
    let retention = TimeDelta::days(i64::from(fixture.policy.deletion.retention_days));
    for step in plan.steps.iter().filter(|step| invariants::deletes(step)) {
        let (Work::Delete { expect, .. } | Work::DeletePrevious { expect: Some(expect), .. }) = &step.work
        else {
            continue;
        };
        let since = closed.get(&(step.instance.clone(), expect.id));
        let since = since.unwrap_or_else(|| panic!("deleted while open: {step:#?}"));
        assert!(fixture.now - *since >= retention, "deleted too early: {step:#?}");
    }
    effect::carry_out(fixture, &plan);
    look(fixture, closed);
}

fn happens(fixture: &mut Fixture, event: Event, closed: &mut Closed) {
    let mut keys: Vec<String> = fixture.desired.tenants.keys().map(ToString::to_string).collect();
    keys.push(String::new());
    let file = |n: usize| keys[n % keys.len()].clone();
    let free = |fixture: &Fixture, tenant: &Tenant| {
        let mut others = fixture.desired.tenants.values().filter(|other| other.key != tenant.key);
        others.all(|other| other.definition.domain != tenant.definition.domain)
    };
    let change = |fixture: &mut Fixture, of: &str, change: &dyn Fn(&mut Tenant)| {
        let Some(mut tenant) = fixture.desired.tenants.get(&key(of)).cloned() else { return };
        change(&mut tenant);
        if free(fixture, &tenant) {
            fixture.want(tenant);
        }
    };
    let ours = |fixture: &Fixture, n: usize| {
        let records: Vec<_> = fixture.recorded.tenants.values().collect();
        let record = records.get(n % records.len().max(1))?;
        Some((record.definition.instance.to_string(), record.domain_id))
    };
    match event {
        Event::FileGoes(n) if !file(n).is_empty() => fixture.remove_file(&file(n)),
        Event::FileComes(n) => {
            let tenant = testing::wanted(KEYS[n]);
            if free(fixture, &tenant) {
                fixture.want(tenant);
            }
        }
        Event::Toggled(n) if !file(n).is_empty() => {
            change(fixture, &file(n), &|tenant| tenant.definition.enabled = !tenant.definition.enabled);
        }
        Event::Renamed(n, to) if !file(n).is_empty() => {
            change(fixture, &file(n), &|tenant| tenant.definition.domain = domain(&name(to)));
        }
        Event::GitMv(n, to) if !file(n).is_empty() && !keys.contains(&NEW_KEYS[to].to_owned()) => {
            fixture.git_mv(&file(n), NEW_KEYS[to]);
        }
        Event::Moved(n) if !file(n).is_empty() => change(fixture, &file(n), &|tenant| {
            tenant.definition.instance =
                instance(INSTANCES[usize::from(tenant.definition.instance == instance("hq"))]);
        }),
        Event::Protected(n) if !file(n).is_empty() => {
            change(fixture, &file(n), &|tenant| tenant.definition.protected = !tenant.definition.protected);
        }
        Event::Meddled(n) => {
            let Some((on, id)) = ours(fixture, n) else { return };
            if let Some(domain) = fixture.domains(&on).get_mut(&id) {
                domain.enabled = domain.enabled.map(|enabled| !enabled);
            }
        }
        Event::Wiped(n) => {
            let Some((on, id)) = ours(fixture, n) else { return };
            fixture.domains(&on).remove(&id);
        }
        Event::Hours(hours) => fixture.later(TimeDelta::hours(hours)),
        Event::Approved(n) => fixture.approve_deletion(KEYS[n], 48),
        Event::PlanApproved => {
            if let Some(id) = fixture.plan().removals_id {
                fixture.approve(&id, 48);
            }
        }
        Event::PassWithout(n) => {
            let on = instance(INSTANCES[n]);
            let view = fixture.observed.instances[&on].clone();
            fixture.lose(on.as_str());
            pass(fixture, closed);
            fixture.observed.instances.insert(on, view);
        }
        Event::PassWithABrokenFile if !file(0).is_empty() => {
            let desired = fixture.desired.clone();
            fixture.break_file(&file(0));
            pass(fixture, closed);
            fixture.desired = desired;
        }
        Event::Pass => pass(fixture, closed),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order: nothing is deleted that was not closed for the whole retention.
    #[test]
    fn no_history_deletes_a_tenant_before_its_retention_ends(
        history in prop::collection::vec(events(), 1..60),
        mode in prop::sample::select(vec![DeletionMode::Approve, DeletionMode::Automatic]),
    ) {
        let mut fixture = Fixture::of(KEYS);
        fixture.policy.deletion.mode = mode;
        fixture.policy.limits.removals.count = 3;
        let mut closed = Closed::new();
        for event in history {
            happens(&mut fixture, event, &mut closed);
        }
    }
}
