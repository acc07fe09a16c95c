//! Random generated: any file beside any record beside any domain, and whatever else a plan depends on.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::fixture::{Fixture, block_row, domain, instance, key};
use crate::config::{Deletion, DeletionMode, Limit, Limits};
use crate::model::{Completeness, Desired, DriftPolicy, RemovalKind, Tenant, testing};
use crate::plan::Action;

pub const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
pub const NEW_KEYS: [&str; 3] = ["b2", "x", "y"];
pub const INSTANCES: [&str; 2] = ["hq", "branch"];

pub fn name(n: usize) -> String {
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
    previous: Option<(i64, Option<bool>)>,
    removed_lately: Option<RemovalKind>,
    sessions: i64,
    started: Option<(usize, Action)>,
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
        previous in prop::option::weighted(0.3, (days(), prop::option::weighted(0.9, seldom()))),
        removed_lately in prop::option::weighted(
            0.1,
            prop::sample::select(vec![
                RemovalKind::FileGone,
                RemovalKind::Deleted,
                RemovalKind::Disabled,
                RemovalKind::Renamed,
                RemovalKind::Moved,
            ]),
        ),
        sessions in prop::sample::select(vec![0, 0, 0, 2]),
        started in prop::option::weighted(0.2, (0..2_usize, prop::sample::select(vec![Action::Delete, Action::Disable]))),
    ) -> Subject {
        Subject {
            file, pbx, on, disabled, recorded, removed_days_ago, confirmed, protected, provisioned,
            reports_drift, adopt, settings, previous, removed_lately, sessions, started,
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
        previous: None,
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
pub struct Inputs {
    subjects: Vec<Subject>,
    foreign: Vec<(usize, usize)>,
    unknown: Option<usize>,
    directory: u8,
    deletion: Deletion,
    limits: Limits,
    approved: Vec<usize>,
    paused: Vec<(Option<usize>, Option<usize>, i64)>,
    own: Option<(usize, usize)>,
    max_tenants: Option<u32>,
    steady_hours: Option<i64>,
    no_removals: bool,
    only: Vec<usize>,
}

prop_compose! {
    pub fn generated()(
        subjects in prop::collection::vec(subjects(), 0..=6),
        foreign in prop::collection::vec((0..2_usize, 0..8_usize), 0..3),
        unknown in prop::option::weighted(0.1, 0..2_usize),
        directory in prop::sample::select(vec![0, 0, 0, 0, 0, 0, 0, 1, 2]),
        mode in prop::sample::select(vec![DeletionMode::Approve, DeletionMode::Automatic, DeletionMode::Never]),
        retention_days in prop::sample::select(vec![0, 30]),
        (removals, disables) in (limits(), limits()),
        (creates, updates) in (prop::option::weighted(0.2, limits()), prop::option::weighted(0.2, limits())),
        approved in prop::collection::vec(0..6_usize, 0..3),
        paused in prop::collection::vec(
            (prop::option::of(0..6_usize), prop::option::of(0..2_usize), -1..2_i64), 0..2,
        ),
        own in prop::option::weighted(0.3, (0..2_usize, 0..8_usize)),
        max_tenants in prop::option::weighted(0.2, 0..6_u32),
        steady_hours in prop::option::weighted(0.2, prop::sample::select(vec![0, 1, 24, 25])),
        no_removals in seldom(),
        only in prop::collection::vec(0..6_usize, 0..2),
    ) -> Inputs {
        Inputs {
            subjects, foreign, unknown, directory, deletion: Deletion { mode, retention_days },
            limits: Limits { removals, disables, creates, updates },
            approved, paused, own, max_tenants, steady_hours, no_removals, only,
        }
    }
}

impl Inputs {
    pub fn fixture(&self) -> Fixture {
        let mut fixture = Fixture::of([]);
        for (subject, of) in self.subjects.iter().zip(KEYS) {
            three_sides(&mut fixture, subject, of);
        }
        for (subject, of) in self.subjects.iter().zip(KEYS) {
            file(&mut fixture, subject, of);
        }
        for (n, (on, named)) in self.foreign.iter().enumerate() {
            fixture.foreign(INSTANCES[*on], n as u128 + 1, &name(*named));
        }
        fixture.policy.deletion = self.deletion.clone();
        fixture.policy.limits = self.limits.clone();
        fixture.policy.no_removals = self.no_removals;
        fixture.policy.max_tenants = self.max_tenants;
        fixture.recorded.clock_steady_since =
            self.steady_hours.map(|hours| fixture.now - TimeDelta::hours(hours));
        fixture.policy.only = self.only.iter().map(|n| key(KEYS[*n])).collect();
        if let Some((on, named)) = self.own {
            fixture.policy.own_domains = [(instance(INSTANCES[on]), name(named))].into();
        }
        for n in &self.approved {
            fixture.approve_deletion(KEYS[*n], 1000);
        }
        for (of, on, hours) in &self.paused {
            fixture.pause(of.map(|n| KEYS[n]), on.map(|n| INSTANCES[n]), *hours);
        }
        match self.directory {
            1 => fixture.desired.completeness = Completeness::Partial { reason: "x is broken".into() },
            2 => fixture.desired = Desired::unreadable("cannot be read"),
            _ => {}
        }
        if let Some(on) = self.unknown {
            fixture.lose(INSTANCES[on]);
        }
        fixture
    }
}

fn three_sides(fixture: &mut Fixture, subject: &Subject, of: &str) {
    let mut tenant = testing::wanted(of);
    tenant.definition.instance = instance(INSTANCES[subject.on]);
    tenant.definition.enabled = !subject.disabled;
    tenant.definition.protected = subject.protected;
    tenant.adopt = subject.adopt;
    if subject.reports_drift {
        tenant.definition.drift = DriftPolicy::Report;
    }
    fixture.agree(tenant);
    if let Some(days_ago) = subject.removed_days_ago.filter(|_| subject.disabled) {
        let tenant = fixture.desired.tenants[&key(of)].clone();
        fixture.removed(of, days_ago);
        fixture.want(tenant);
    }
    let id = fixture.record(of).id;
    fixture.recorded.open_sessions.insert(id, subject.sessions);
    let record = fixture.record(of);
    record.provisioned = subject.provisioned;
    if !subject.confirmed {
        record.disable_confirmed_at = None;
    }
    let domain = fixture.pbx(of);
    match subject.pbx {
        Pbx::Agrees => {}
        Pbx::Toggled => domain.enabled = domain.enabled.map(|enabled| !enabled),
        Pbx::Null => domain.enabled = None,
        Pbx::Renamed(to) => domain.name = name(to),
        Pbx::Described => domain.description = "theirs".into(),
        Pbx::Absent => fixture.vanish(of),
    }
    if let Some((locked, domain)) = subject.settings.zip(Some(fixture.record(of).domain_id))
        && !matches!(subject.pbx, Pbx::Absent)
    {
        fixture.read_settings(of, if locked { vec![block_row(domain)] } else { Vec::new() });
    }
    if let Some((days_ago, enabled)) = subject.previous {
        let on = INSTANCES[1 - subject.on];
        let id = fixture.previous(of, on, days_ago);
        fixture.domains(on).get_mut(&id).unwrap().enabled = enabled;
    }
    if let Some(kind) = subject.removed_lately {
        fixture.removed_lately(of, kind, 3);
    }
    if let Some((on, action)) = subject.started {
        fixture.interrupted(of, INSTANCES[on], action);
    }
    if !subject.recorded {
        let record = fixture.recorded.tenants.remove(&key(of)).unwrap();
        fixture.recorded.previous_placements.retain(|previous| previous.tenant != record.id);
    }
}

/// The loader lets no two files have one domain, and no `previously` name a file that is there.
fn file(fixture: &mut Fixture, subject: &Subject, of: &str) {
    let Some(mut tenant) = fixture.desired.tenants.remove(&key(of)) else { return };
    let becomes = |tenant: &mut Tenant, new: usize| tenant.key = key(NEW_KEYS[new]);
    match subject.file {
        File::Agrees => {}
        File::Gone => return,
        File::Broken => {
            fixture.want(tenant);
            return fixture.break_file(of);
        }
        File::Edited => tenant.definition.name = "Edited".into(),
        File::Toggled => tenant.definition.enabled = !tenant.definition.enabled,
        File::Renamed(to) => tenant.definition.domain = domain(&name(to)),
        File::Moved => tenant.definition.instance = instance(INSTANCES[1 - subject.on]),
        File::GitMv(new) => becomes(&mut tenant, new),
        File::Previously(new, to) => {
            becomes(&mut tenant, new);
            tenant.definition.domain = domain(&name(to));
            tenant.previously = Some(key(of));
        }
    }
    let mut others = fixture.desired.tenants.values();
    if others.all(|other| other.definition.domain != tenant.definition.domain && other.key != tenant.key) {
        fixture.want(tenant);
    } else {
        fixture.break_file(of);
    }
}
