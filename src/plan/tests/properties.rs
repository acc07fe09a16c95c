//! Random worlds and random histories: no rule is ever broken, and what can be done is soon done.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::scene::{Scene, domain, instance, key, lock_row};
use super::{effect, invariants};
use crate::config::{Deletion, DeletionMode, Limit, Limits};
use crate::model::{
    Completeness, Desired, DomainId, DriftPolicy, InstanceView, PbxDomain, RemovalKind, Tenant, testing,
};
use crate::plan::{Action, Plan, Work};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const NEW_KEYS: [&str; 3] = ["b2", "x", "y"];
const INSTANCES: [&str; 2] = ["hq", "branch"];

fn name(n: usize) -> String {
    format!("{}.example.com", ["a", "b", "c", "d", "e", "f", "free", "other"][n % 8])
}

#[derive(Clone, Copy, Debug)]
enum File {
    Agrees,
    Gone,
    Broken,
    Edited,
    Toggled,
    Renamed(usize),
    Moved,
    /// The key goes, a new one comes.
    GitMv(usize),
    Previously(usize, usize),
}

#[derive(Clone, Copy, Debug)]
enum Pbx {
    Agrees,
    Toggled,
    Null,
    Absent,
    Renamed(usize),
    Described,
}

#[derive(Clone, Debug)]
struct Subject {
    file: File,
    pbx: Pbx,
    on: usize,
    disabled: bool,
    recorded: bool,
    removed_days_ago: Option<i64>,
    confirmed: bool,
    protected: bool,
    provisioned: bool,
    reports_drift: bool,
    adopt: bool,
    settings: Option<bool>,
    former: Option<(i64, Option<bool>)>,
    removed_lately: Option<RemovalKind>,
    sessions: i64,
    begun: Option<(usize, Action)>,
}

fn files() -> impl Strategy<Value = File> {
    prop_oneof![
        4 => Just(File::Agrees),
        4 => Just(File::Gone),
        1 => Just(File::Broken),
        1 => Just(File::Edited),
        2 => Just(File::Toggled),
        2 => (0..8_usize).prop_map(File::Renamed),
        2 => Just(File::Moved),
        1 => (0..3_usize).prop_map(File::GitMv),
        1 => (0..3_usize, 0..8_usize).prop_map(|(key, name)| File::Previously(key, name)),
    ]
}

fn pbxs() -> impl Strategy<Value = Pbx> {
    prop_oneof![
        8 => Just(Pbx::Agrees),
        2 => Just(Pbx::Toggled),
        1 => Just(Pbx::Null),
        1 => Just(Pbx::Absent),
        1 => (0..8_usize).prop_map(Pbx::Renamed),
        1 => Just(Pbx::Described),
    ]
}

fn often() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.85)
}

fn seldom() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

fn days() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, 29, 30, 31, 400])
}

prop_compose! {
    fn any_subject()(
        (file, pbx, on) in (files(), pbxs(), 0..2_usize),
        (disabled, recorded, confirmed) in (any::<bool>(), often(), often()),
        (protected, provisioned, reports_drift, adopt) in (seldom(), often(), seldom(), any::<bool>()),
        removed_days_ago in prop::option::of(days()),
        settings in prop::option::weighted(0.3, any::<bool>()),
        former in prop::option::weighted(0.3, (days(), prop::option::weighted(0.9, seldom()))),
        removed_lately in prop::option::weighted(
            0.1,
            prop::sample::select(vec![RemovalKind::FileGone, RemovalKind::Deleted, RemovalKind::Disabled]),
        ),
        sessions in prop::sample::select(vec![0, 0, 0, 2]),
        begun in prop::option::weighted(0.2, (0..2_usize, prop::sample::select(vec![Action::Delete, Action::Disable]))),
    ) -> Subject {
        Subject {
            file, pbx, on, disabled, recorded, removed_days_ago, confirmed, protected, provisioned,
            reports_drift, adopt, settings, former, removed_lately, sessions, begun,
        }
    }
}

/// Some are on their way to deletion, which is long for chance alone.
fn subjects() -> impl Strategy<Value = Subject> {
    let leaving = any_subject().prop_map(|subject| Subject {
        file: File::Gone,
        pbx: if matches!(subject.pbx, Pbx::Agrees | Pbx::Absent) { subject.pbx } else { Pbx::Absent },
        disabled: true,
        recorded: true,
        removed_days_ago: subject.removed_days_ago.or(Some(31)),
        confirmed: true,
        former: None,
        sessions: 0,
        ..subject
    });
    prop_oneof![3 => any_subject(), 1 => leaving]
}

fn limits() -> impl Strategy<Value = Limit> {
    (0..4_u32, prop::sample::select(vec![0, 10, 20, 50, 100]))
        .prop_map(|(count, percent)| Limit { count, percent })
}

#[derive(Clone, Debug)]
struct World {
    subjects: Vec<Subject>,
    foreign: Vec<(usize, usize)>,
    unknown: Option<usize>,
    directory: u8,
    deletion: Deletion,
    limits: Limits,
    approved: Vec<usize>,
    suspended: Vec<(Option<usize>, Option<usize>, i64)>,
    own: Option<(usize, usize)>,
    max_tenants: Option<u32>,
    steady_hours: Option<i64>,
    no_removals: bool,
    only: Vec<usize>,
}

prop_compose! {
    fn worlds()(
        subjects in prop::collection::vec(subjects(), 0..=6),
        foreign in prop::collection::vec((0..2_usize, 0..8_usize), 0..3),
        unknown in prop::option::weighted(0.1, 0..2_usize),
        directory in prop::sample::select(vec![0, 0, 0, 0, 0, 0, 0, 1, 2]),
        mode in prop::sample::select(vec![DeletionMode::Approve, DeletionMode::Automatic, DeletionMode::Never]),
        retention_days in prop::sample::select(vec![0, 30]),
        (removals, disables) in (limits(), limits()),
        (creates, updates) in (prop::option::weighted(0.2, limits()), prop::option::weighted(0.2, limits())),
        approved in prop::collection::vec(0..6_usize, 0..3),
        suspended in prop::collection::vec(
            (prop::option::of(0..6_usize), prop::option::of(0..2_usize), -1..2_i64), 0..2,
        ),
        own in prop::option::weighted(0.3, (0..2_usize, 0..8_usize)),
        max_tenants in prop::option::weighted(0.2, 0..6_u32),
        steady_hours in prop::option::weighted(0.2, prop::sample::select(vec![0, 1, 24, 25])),
        no_removals in seldom(),
        only in prop::collection::vec(0..6_usize, 0..2),
    ) -> World {
        World {
            subjects, foreign, unknown, directory, deletion: Deletion { mode, retention_days },
            limits: Limits { removals, disables, creates, updates },
            approved, suspended, own, max_tenants, steady_hours, no_removals, only,
        }
    }
}

impl World {
    fn scene(&self) -> Scene {
        let mut scene = Scene::of([]);
        for (subject, of) in self.subjects.iter().zip(KEYS) {
            three_sides(&mut scene, subject, of);
        }
        for (subject, of) in self.subjects.iter().zip(KEYS) {
            file(&mut scene, subject, of);
        }
        for (n, (on, named)) in self.foreign.iter().enumerate() {
            scene.foreign(INSTANCES[*on], n as u128 + 1, &name(*named));
        }
        scene.policy.deletion = self.deletion.clone();
        scene.policy.limits = self.limits.clone();
        scene.policy.no_removals = self.no_removals;
        scene.policy.max_tenants = self.max_tenants;
        scene.recorded.clock_steady_since =
            self.steady_hours.map(|hours| scene.now - TimeDelta::hours(hours));
        scene.policy.only = self.only.iter().map(|n| key(KEYS[*n])).collect();
        if let Some((on, named)) = self.own {
            scene.policy.own_domains = [(instance(INSTANCES[on]), name(named))].into();
        }
        for n in &self.approved {
            scene.approve_deletion(KEYS[*n], 1000);
        }
        for (of, on, hours) in &self.suspended {
            scene.suspend(of.map(|n| KEYS[n]), on.map(|n| INSTANCES[n]), *hours);
        }
        match self.directory {
            1 => scene.desired.completeness = Completeness::Partial { reason: "x is broken".into() },
            2 => scene.desired = Desired::unreadable("cannot be read"),
            _ => {}
        }
        if let Some(on) = self.unknown {
            scene.lose(INSTANCES[on]);
        }
        scene
    }
}

fn three_sides(scene: &mut Scene, subject: &Subject, of: &str) {
    let mut tenant = testing::wanted(of);
    tenant.instance = instance(INSTANCES[subject.on]);
    tenant.enabled = !subject.disabled;
    tenant.protected = subject.protected;
    tenant.adopt = subject.adopt;
    if subject.reports_drift {
        tenant.drift = DriftPolicy::Report;
    }
    scene.agree(tenant);
    if let Some(days_ago) = subject.removed_days_ago.filter(|_| subject.disabled) {
        let tenant = scene.desired.tenants[&key(of)].clone();
        scene.removed(of, days_ago);
        scene.want(tenant);
    }
    let id = scene.record(of).id;
    scene.recorded.open_sessions.insert(id, subject.sessions);
    let record = scene.record(of);
    record.provisioned = subject.provisioned;
    if !subject.confirmed {
        record.disable_confirmed_at = None;
    }
    let domain = scene.pbx(of);
    match subject.pbx {
        Pbx::Agrees => {}
        Pbx::Toggled => domain.enabled = domain.enabled.map(|enabled| !enabled),
        Pbx::Null => domain.enabled = None,
        Pbx::Renamed(to) => domain.name = name(to),
        Pbx::Described => domain.description = "theirs".into(),
        Pbx::Absent => scene.vanish(of),
    }
    if let Some((locked, domain)) = subject.settings.zip(Some(scene.record(of).domain_id))
        && !matches!(subject.pbx, Pbx::Absent)
    {
        scene.read_settings(of, if locked { vec![lock_row(domain)] } else { Vec::new() });
    }
    if let Some((days_ago, enabled)) = subject.former {
        let on = INSTANCES[1 - subject.on];
        let id = scene.former(of, on, days_ago);
        scene.domains(on).get_mut(&id).unwrap().enabled = enabled;
    }
    if let Some(kind) = subject.removed_lately {
        scene.removed_lately(of, kind, 3);
    }
    if let Some((on, action)) = subject.begun {
        scene.begun(of, INSTANCES[on], action);
    }
    if !subject.recorded {
        let record = scene.recorded.tenants.remove(&key(of)).unwrap();
        scene.recorded.former.retain(|former| former.tenant != record.id);
    }
}

/// The loader lets no two files have one domain, and no `previously` name a file that is there.
fn file(scene: &mut Scene, subject: &Subject, of: &str) {
    let Some(mut tenant) = scene.desired.tenants.remove(&key(of)) else { return };
    let becomes = |tenant: &mut Tenant, new: usize| tenant.key = key(NEW_KEYS[new]);
    match subject.file {
        File::Agrees => {}
        File::Gone => return,
        File::Broken => {
            scene.want(tenant);
            return scene.break_file(of);
        }
        File::Edited => tenant.name = "Edited".into(),
        File::Toggled => tenant.enabled = !tenant.enabled,
        File::Renamed(to) => tenant.domain = domain(&name(to)),
        File::Moved => tenant.instance = instance(INSTANCES[1 - subject.on]),
        File::GitMv(new) => becomes(&mut tenant, new),
        File::Previously(new, to) => {
            becomes(&mut tenant, new);
            tenant.domain = domain(&name(to));
            tenant.previously = Some(key(of));
        }
    }
    let mut others = scene.desired.tenants.values();
    if others.all(|other| other.domain != tenant.domain && other.key != tenant.key) {
        scene.want(tenant);
    } else {
        scene.break_file(of);
    }
}

/// What a plan does and holds, whatever the reasons.
fn outline(plan: &Plan) -> (String, Vec<String>, Vec<(String, String, Action)>) {
    let steps = plan.steps.iter().map(|step| format!("{:?}", (&step.tenant, &step.changes, &step.work)));
    let held = plan.held.iter().map(|held| (held.tenant.to_string(), held.instance.to_string(), held.action));
    let mut held: Vec<_> = held.collect();
    held.sort();
    (plan.id.clone(), steps.collect(), held)
}

fn foreign(scene: &Scene) -> Vec<PbxDomain> {
    let seen = scene.observed.instances.values();
    let domains = seen.flat_map(|view| match view {
        InstanceView::Seen { domains, .. } => domains.values().cloned().collect(),
        InstanceView::Unknown { .. } => Vec::new(),
    });
    domains.filter(|domain| domain.description == "not ours").collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_world_leads_to_a_plan_that_breaks_a_rule(world in worlds()) {
        world.scene().plan();
    }

    /// A few passes carry out all that can be, and never touch what is not ours.
    #[test]
    fn every_world_settles(world in worlds()) {
        let mut scene = world.scene();
        let mut passes = 0;
        loop {
            let (theirs, plan) = (foreign(&scene), scene.plan());
            effect::carry_out(&mut scene, &plan);
            let adopted = plan.steps.iter().filter(|step| match &step.work {
                Work::Adopt { found, .. } => theirs.contains(found),
                _ => false,
            });
            prop_assert_eq!(theirs.len() - adopted.count(), foreign(&scene).len());
            if plan.steps.is_empty() {
                break;
            }
            passes += 1;
            prop_assert!(passes < 12, "it never ends: {:#?}", plan.steps);
        }
    }

    #[test]
    fn the_order_of_what_is_read_does_not_matter(world in worlds(), by in any::<Index>()) {
        let scene = world.scene();
        let mut turned = scene.clone();
        fn turn<T>(values: &mut [T], by: Index) {
            if !values.is_empty() {
                values.rotate_left(by.index(values.len()));
            }
        }
        turn(&mut turned.recorded.former, by);
        turn(&mut turned.recorded.removals, by);
        turn(&mut turned.recorded.approvals, by);
        turn(&mut turned.recorded.suspensions, by);
        turn(&mut turned.desired.broken, by);
        prop_assert_eq!(outline(&scene.plan()), outline(&turned.plan()));
    }
}

/// Else the properties would hold for want of anything to do.
#[test]
fn random_worlds_lead_to_every_kind_of_step_and_hold_every_action() {
    let mut runner = TestRunner::deterministic();
    let (mut done, mut held) = (BTreeMap::<String, usize>::new(), BTreeMap::<Action, usize>::new());
    for _ in 0..1500 {
        let plan = worlds().new_tree(&mut runner).unwrap().current().scene().plan();
        for step in plan.steps {
            let work = format!("{:?}", step.work);
            let kind = work.split([' ', '{']).next().unwrap_or_default().to_owned();
            *done.entry(kind).or_default() += 1;
        }
        for of in plan.held {
            *held.entry(of.action).or_default() += 1;
        }
    }
    assert!(done.len() == 13 && done.values().all(|times| *times > 4), "{done:#?}");
    assert!(held.len() == Action::ALL.len() && held.values().all(|times| *times > 4), "{held:#?}");
}

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
type Closed = BTreeMap<DomainId, DateTime<Utc>>;

fn look(scene: &Scene, closed: &mut Closed) {
    let mut there = BTreeMap::new();
    for view in scene.observed.instances.values() {
        let InstanceView::Seen { domains, .. } = view else { continue };
        for domain in domains.values().filter(|domain| domain.enabled == Some(false)) {
            there.insert(domain.id, closed.get(&domain.id).copied().unwrap_or(scene.now));
        }
    }
    *closed = there;
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
        let since = closed.get(&expect.id).unwrap_or_else(|| panic!("deleted while open: {step:#?}"));
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
            let plan = scene.plan();
            effect::carry_out(scene, &plan);
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
