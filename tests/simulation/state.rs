//! The state that everything in a simulation shares: random numbers, time, servers and the log.
//!
//! Everything runs in one thread and depends on the seed alone, so a seed has the same events every time.

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
use crate::operator;
use crate::request_checks::RequestChecks;

/// The shared state. The lock is never held across an await point.
pub struct SharedState(Mutex<State>);

pub struct State {
    pub rng: Xoshiro256PlusPlus,
    pub now: DateTime<Utc>,
    ids: u128,
    pub faults: Faults,
    /// The server at each instance's address.
    pub servers: BTreeMap<InstanceKey, Server>,
    /// Requests that the client gave up and the server carries out later.
    pub late: Vec<Late>,
    pub checks: RequestChecks,
    /// Points passed; a process can crash at each.
    pub point: u64,
    /// The process that holds the writer's lease, and the number of processes so far.
    pub holder: u64,
    pub processes: u64,
    crash_at: Option<u64>,
    crashed: bool,
    /// The first violation.
    pub violation: Option<String>,
    log: Option<String>,
}

/// A request that the client gave up and the server carries out later.
pub struct Late {
    pub instance: InstanceKey,
    pub mutation: Mutation,
    /// The number of points until then.
    pub points: u32,
    /// It was sent before this pass began.
    pub old: bool,
}

impl SharedState {
    pub fn new(seed: u64, with_log: bool, checks: RequestChecks) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            now: DateTime::from_timestamp(1_750_000_000, 0).unwrap_or_default(),
            ids: 0,
            faults: Faults::none(),
            servers: BTreeMap::new(),
            late: Vec::new(),
            checks,
            point: 0,
            holder: 0,
            processes: 0,
            crash_at: None,
            crashed: false,
            violation: None,
            log: with_log.then(String::new),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database_fails(&self, how_often: fn(&Faults) -> f64, what: &'static str) -> Result<(), StoreError> {
        let mut state = self.lock();
        let how_often = how_often(&state.faults);
        if state.chance(how_often) {
            state.log(|| what.into());
            return Err(StoreError::Interrupted);
        }
        Ok(())
    }

    /// A point where the process may crash, other processes continue, and time passes.
    pub async fn point(&self) {
        let rounds = self.lock().rng.random_range(0..3);
        Point { shared: self, rounds }.await;
    }
}

impl State {
    /// Writes a line of the log, if there is one.
    pub fn log(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(log_text) = &mut self.log {
            let _ = writeln!(log_text, "{} {}", now.format("%m-%d %H:%M:%S"), line());
        }
    }

    pub fn log_text(&self) -> &str {
        self.log.as_deref().unwrap_or_default()
    }

    pub fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = what();
            self.log(|| format!("VIOLATION: {what}"));
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

    /// The process crashes after this many points.
    pub fn crash_after_points(&mut self, points: Option<u64>) {
        self.crash_at = points.map(|points| self.point + points);
        self.crashed = false;
    }

    /// The clock is set.
    pub fn jump(&mut self) {
        let hours = self.pick(&[-400, -30, -2, 3, 40]);
        self.log(|| format!("the clock jumps by {hours} h"));
        self.now += TimeDelta::hours(hours);
    }

    fn pass_point(&mut self) {
        self.point += 1;
        let step = self.rng.random_range(0..150);
        self.now += TimeDelta::milliseconds(step);
        if self.crash_at.is_some_and(|at| self.point >= at) {
            self.crashed = true;
            self.log(|| "the process dies".into());
            return;
        }
        self.deliver_late();
        self.checks.latest = self.checks.latest.max(self.now);
        let jumps = self.faults.clock;
        if self.chance(jumps) {
            self.jump();
        }
        self.checks.earliest = self.checks.earliest.min(self.now);
        let operator = self.faults.operator;
        if self.chance(operator) {
            operator::change_something(self);
        }
    }

    /// Carries out the late requests that are due.
    fn deliver_late(&mut self) {
        for late in &mut self.late {
            late.points = late.points.saturating_sub(1);
        }
        self.deliver(|late| late.points == 0);
    }

    /// At the end of a pass, late requests are carried out now or during the next pass. tenantd waits long enough for a
    /// delete to be carried out.
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
            self.log(|| format!("{instance}: a given-up request is carried out late: {mutation}"));
            if let Some(server) = self.servers.get_mut(&instance) {
                server.carry_out(&mutation);
                server.mark_changed(mutation.domain());
            }
            self.done(&instance, &mutation);
        }
    }
}

/// Becomes ready after some rounds; never after the process has crashed.
struct Point<'a> {
    shared: &'a SharedState,
    rounds: u32,
}

impl Future for Point<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
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

/// Polls a process's work to its end; `None` if it crashed.
pub fn run<T>(shared: &SharedState, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    for _ in 0..1_000_000 {
        match work.as_mut().poll(&mut cx) {
            Poll::Ready(done) => return Some(done),
            Poll::Pending if shared.lock().crashed => return None,
            Poll::Pending => {}
        }
    }
    shared.lock().violate(|| "a pass does not come to an end".into());
    None
}

impl Environment for SharedState {
    fn now(&self) -> DateTime<Utc> {
        self.lock().now
    }

    fn new_id(&self) -> Uuid {
        self.lock().next_id()
    }
}

/// A process's database with faults: a transaction can fail, or be committed with its answer lost. It accepts changes
/// only from the process that holds the lease.
pub struct FaultyDatabase {
    pub shared: Arc<SharedState>,
    pub process: u64,
}

#[async_trait]
impl Weather for FaultyDatabase {
    async fn before(&self) -> Result<(), StoreError> {
        self.shared.point().await;
        self.shared.database_fails(|faults| faults.database, "the database does not take it")
    }

    async fn after(&self) -> Result<(), StoreError> {
        self.shared
            .database_fails(|faults| faults.database_answer, "the database took it; its answer is lost")?;
        self.shared.point().await;
        Ok(())
    }

    fn holds_lease(&self) -> bool {
        self.shared.lock().holder == self.process
    }
}

/// A database without faults, for the checks.
pub struct NoFaults;

#[async_trait]
impl Weather for NoFaults {
    async fn before(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn after(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
