//! Random histories: files, people and time, in whatever order.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::scene::{Scene, domain, instance, key};
use super::worlds::{INSTANCES, KEYS, NEW_KEYS, name};
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
    /// Somebody on the PBX enables or disables a domain.
    Meddled(usize),
    /// Somebody on the PBX deletes a domain.
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

/// When each domain was last seen to become closed, kept by whoever looks on.
type Closed = BTreeMap<(InstanceKey, DomainId), DateTime<Utc>>;

/// What is on an instance that does not answer stays as it was last seen.
fn look(scene: &Scene, closed: &mut Closed) {
    let before = std::mem::take(closed);
    for (on, view) in &scene.observed.instances {
        let InstanceView::Seen { domains, .. } = view else {
            closed.extend(before.clone().into_iter().filter(|((of, _), _)| of == on));
            continue;
        };
        for domain in domains.values().filter(|domain| domain.enabled == Some(false)) {
            let of = (on.clone(), domain.id);
            let since = before.get(&of).copied().unwrap_or(scene.now);
            closed.insert(of, since);
        }
    }
}

/// What nobody looks at is not known: a domain that was opened and closed again between two passes counts as closed.
fn pass(scene: &mut Scene, closed: &mut Closed) {
    look(scene, closed);
    let plan = scene.plan();
    let retention = TimeDelta::days(i64::from(scene.policy.deletion.retention_days));
    for step in plan.steps.iter().filter(|step| invariants::deletes(step)) {
        let (Work::Delete { expect, .. } | Work::DeleteFormer { expect: Some(expect), .. }) = &step.work
        else {
            continue;
        };
        let since = closed.get(&(step.instance.clone(), expect.id));
        let since = since.unwrap_or_else(|| panic!("deleted while open: {step:#?}"));
        assert!(scene.now - *since >= retention, "deleted too early: {step:#?}");
    }
    effect::carry_out(scene, &plan);
    look(scene, closed);
}

fn happens(scene: &mut Scene, event: Event, closed: &mut Closed) {
    let mut keys: Vec<String> = scene.desired.tenants.keys().map(ToString::to_string).collect();
    keys.push(String::new());
    let file = |n: usize| keys[n % keys.len()].clone();
    let free = |scene: &Scene, tenant: &Tenant| {
        let mut others = scene.desired.tenants.values().filter(|other| other.key != tenant.key);
        others.all(|other| other.domain != tenant.domain)
    };
    let change = |scene: &mut Scene, of: &str, change: &dyn Fn(&mut Tenant)| {
        let Some(mut tenant) = scene.desired.tenants.get(&key(of)).cloned() else { return };
        change(&mut tenant);
        if free(scene, &tenant) {
            scene.want(tenant);
        }
    };
    let ours = |scene: &Scene, n: usize| {
        let records: Vec<_> = scene.recorded.tenants.values().collect();
        let record = records.get(n % records.len().max(1))?;
        Some((record.instance.to_string(), record.domain_id))
    };
    match event {
        Event::FileGoes(n) if !file(n).is_empty() => scene.remove_file(&file(n)),
        Event::FileComes(n) => {
            let tenant = testing::wanted(KEYS[n]);
            if free(scene, &tenant) {
                scene.want(tenant);
            }
        }
        Event::Toggled(n) if !file(n).is_empty() => {
            change(scene, &file(n), &|tenant| tenant.enabled = !tenant.enabled);
        }
        Event::Renamed(n, to) if !file(n).is_empty() => {
            change(scene, &file(n), &|tenant| tenant.domain = domain(&name(to)));
        }
        Event::GitMv(n, to) if !file(n).is_empty() && !keys.contains(&NEW_KEYS[to].to_owned()) => {
            scene.git_mv(&file(n), NEW_KEYS[to]);
        }
        Event::Moved(n) if !file(n).is_empty() => change(scene, &file(n), &|tenant| {
            tenant.instance = instance(INSTANCES[usize::from(tenant.instance == instance("hq"))]);
        }),
        Event::Protected(n) if !file(n).is_empty() => {
            change(scene, &file(n), &|tenant| tenant.protected = !tenant.protected);
        }
        Event::Meddled(n) => {
            let Some((on, id)) = ours(scene, n) else { return };
            if let Some(domain) = scene.domains(&on).get_mut(&id) {
                domain.enabled = domain.enabled.map(|enabled| !enabled);
            }
        }
        Event::Wiped(n) => {
            let Some((on, id)) = ours(scene, n) else { return };
            scene.domains(&on).remove(&id);
        }
        Event::Hours(hours) => scene.later(TimeDelta::hours(hours)),
        Event::Approved(n) => scene.approve_deletion(KEYS[n], 48),
        Event::PlanApproved => {
            if let Some(id) = scene.plan().removals_id {
                scene.approve(&id, 48);
            }
        }
        Event::PassWithout(n) => {
            let on = instance(INSTANCES[n]);
            let view = scene.observed.instances[&on].clone();
            scene.lose(on.as_str());
            pass(scene, closed);
            scene.observed.instances.insert(on, view);
        }
        Event::PassWithABrokenFile if !file(0).is_empty() => {
            let desired = scene.desired.clone();
            scene.break_file(&file(0));
            pass(scene, closed);
            scene.desired = desired;
        }
        Event::Pass => pass(scene, closed),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order: nothing is deleted that was not closed for the whole retention.
    #[test]
    fn no_history_deletes_what_was_not_closed_for_its_retention(
        history in prop::collection::vec(events(), 1..60),
        mode in prop::sample::select(vec![DeletionMode::Approve, DeletionMode::Automatic]),
    ) {
        let mut scene = Scene::of(KEYS);
        scene.policy.deletion.mode = mode;
        scene.policy.limits.removals.count = 3;
        let mut closed = Closed::new();
        for event in history {
            happens(&mut scene, event, &mut closed);
        }
    }
}
