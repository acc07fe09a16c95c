//! What everything in a simulation shares: chance, time, what answers at each address, and the story so far.
//!
//! All of it runs in one thread and depends on the seed alone, so a seed tells the same story every time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::task::noop_waker;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use tenantd::environment::Environment;
use tenantd::model::InstanceKey;
use tenantd::store::{StoreError, Weather};
use uuid::Uuid;

use crate::faults::Faults;
use crate::model_pbx::{Mutation, Server};
use crate::person;
use crate::witness::Witness;

/// The shared state. No one keeps the lock across an await point.
pub struct Sim(Mutex<State>);

pub struct State {
    pub rng: Xoshiro256PlusPlus,
    pub now: DateTime<Utc>,
    ids: u128,
    pub faults: Faults,
    /// What answers at each instance's address.
    pub servers: BTreeMap<InstanceKey, Server>,
    /// Requests that were given up and are carried out all the same, so many points from now.
    pub late: Vec<Late>,
    pub witness: Witness,
    /// Points passed: every place where work can be cut short is one.
    pub point: u64,
    /// The process that holds the writer's lease, and how many there were.
    pub holder: u64,
    pub processes: u64,
    crash_at: Option<u64>,
    crashed: bool,
    /// The first property that was found violated.
    pub violation: Option<String>,
    story: Option<String>,
}

/// A request that was given up and is on its way all the same.
pub struct Late {
    pub instance: InstanceKey,
    pub mutation: Mutation,
    /// So many points from now.
    pub points: u32,
    /// It was on its way already when the pass began.
    pub old: bool,
}

impl Sim {
    pub fn new(seed: u64, told: bool, witness: Witness) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            now: DateTime::from_timestamp(1_750_000_000, 0).unwrap_or_default(),
            ids: 0,
            faults: Faults::none(),
            servers: BTreeMap::new(),
            late: Vec::new(),
            witness,
            point: 0,
            holder: 0,
            processes: 0,
            crash_at: None,
            crashed: false,
            violation: None,
            story: told.then(String::new),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database_fails(&self, how_often: fn(&Faults) -> f64, what: &'static str) -> Result<(), StoreError> {
        let mut state = self.lock();
        let how_often = how_often(&state.faults);
        if state.chance(how_often) {
            state.tell(|| what.into());
            return Err(StoreError::Interrupted);
        }
        Ok(())
    }

    /// A place where the process may die, where others continue, and where time passes.
    pub async fn point(&self) {
        let rounds = self.lock().rng.random_range(0..3);
        Point { sim: self, rounds }.await;
    }
}

impl State {
    /// The next line of the story, told only where someone listens.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            let _ = writeln!(story, "{} {}", now.format("%m-%d %H:%M:%S"), line());
        }
    }

    pub fn story(&self) -> &str {
        self.story.as_deref().unwrap_or_default()
    }

    pub fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = what();
            self.tell(|| format!("VIOLATION: {what}"));
            self.violation = Some(what);
        }
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len());
        from[at].clone()
    }

    pub fn next_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + self.ids)
    }

    /// The process dies at the point after so many from now.
    pub fn doom(&mut self, points: Option<u64>) {
        self.crash_at = points.map(|points| self.point + points);
        self.crashed = false;
    }

    /// The clock is set.
    pub fn jump(&mut self) {
        let hours = self.pick(&[-400, -30, -2, 3, 40]);
        self.tell(|| format!("the clock jumps by {hours} h"));
        self.now += TimeDelta::hours(hours);
    }

    fn pass_point(&mut self) {
        self.point += 1;
        let step = self.rng.random_range(0..150);
        self.now += TimeDelta::milliseconds(step);
        if self.crash_at.is_some_and(|at| self.point >= at) {
            self.crashed = true;
            self.tell(|| "the process dies".into());
            return;
        }
        self.deliver_late();
        self.witness.latest = self.witness.latest.max(self.now);
        let jumps = self.faults.clock;
        if self.chance(jumps) {
            self.jump();
        }
        self.witness.earliest = self.witness.earliest.min(self.now);
        let meddling = self.faults.meddling;
        if self.chance(meddling) {
            person::meddle(self);
        }
    }

    /// Carries out the given-up requests whose time has come.
    fn deliver_late(&mut self) {
        for late in &mut self.late {
            late.points = late.points.saturating_sub(1);
        }
        self.deliver(|late| late.points == 0);
    }

    /// At the end of a pass: what was given up is carried out by now, or during the next pass. Who waits for a delete
    /// to be carried out waits long enough.
    pub fn deliver_left(&mut self) {
        let all = self.chance(0.7);
        self.deliver(|late| all || late.old || matches!(late.mutation, Mutation::Delete(_)));
        self.late.iter_mut().for_each(|late| late.old = true);
    }

    fn deliver(&mut self, which: impl Fn(&Late) -> bool) {
        let (due, left) = std::mem::take(&mut self.late).into_iter().partition(which);
        self.late = left;
        let due: Vec<Late> = due;
        for Late { instance, mutation, .. } in due {
            self.tell(|| format!("{instance}: a given-up request is carried out late: {mutation}"));
            if let Some(server) = self.servers.get_mut(&instance) {
                server.carry_out(&mutation);
                server.tamper(mutation.domain());
            }
            self.done(&instance, &mutation);
        }
    }
}

/// Becomes ready after some rounds; never again once the process is dead.
struct Point<'a> {
    sim: &'a Sim,
    rounds: u32,
}

impl Future for Point<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.sim.lock();
        if !state.crashed {
            state.pass_point();
        }
        if state.crashed {
            return Poll::Pending;
        }
        drop(state);
        if self.rounds == 0 {
            return Poll::Ready(());
        }
        self.rounds -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Runs a process's work by hand; `None` when it died on the way.
pub fn run<T>(sim: &Sim, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    for _ in 0..1_000_000 {
        match work.as_mut().poll(&mut cx) {
            Poll::Ready(done) => return Some(done),
            Poll::Pending if sim.lock().crashed => return None,
            Poll::Pending => {}
        }
    }
    sim.lock().violate(|| "a pass does not come to an end".into());
    None
}

impl Environment for Sim {
    fn now(&self) -> DateTime<Utc> {
        self.lock().now
    }

    fn new_id(&self) -> Uuid {
        self.lock().next_id()
    }
}

/// A process's database: work on it can be cut short, can fail, or can be done and its answer lost. It takes changes
/// from the process that holds the lease.
pub struct Disk {
    pub sim: Arc<Sim>,
    pub process: u64,
}

#[async_trait]
impl Weather for Disk {
    async fn before(&self) -> Result<(), StoreError> {
        self.sim.point().await;
        self.sim.database_fails(|faults| faults.database, "the database does not take it")
    }

    async fn after(&self) -> Result<(), StoreError> {
        self.sim
            .database_fails(|faults| faults.database_answer, "the database took it; its answer is lost")?;
        self.sim.point().await;
        Ok(())
    }

    fn holds_lease(&self) -> bool {
        self.sim.lock().holder == self.process
    }
}

/// A database without weather, for looking on.
pub struct Calm;

#[async_trait]
impl Weather for Calm {
    async fn before(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn after(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
