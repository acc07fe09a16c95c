//! One seed's world: a directory, two PBXs, a database, and the processes that keep them together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join;
use tenantd::apply::{Outcome, StepResult};
use tenantd::config::Config;
use tenantd::model::{InstanceKey, Recorded};
use tenantd::observe::Rotation;
use tenantd::plan::{Plan, Policy};
use tenantd::store::{Database, StoreError};

use crate::directory::{Directory, instance};
use crate::model_pbx::Server;
use crate::person;
use crate::process::{Process, Task, open};
use crate::properties::History;
use crate::scenery;
use crate::sim::{Calm, Sim, State, run};
use crate::template::Template;
use crate::witness::Witness;

pub struct World {
    pub sim: Arc<Sim>,
    pub directory: Directory,
    pub config: Config,
    /// A connection for looking on, without weather.
    pub calm: Database,
    pub history: History,
    process: Process,
    /// Servers that are not connected now: the one that belongs to an address, or another machine.
    pub aside: BTreeMap<InstanceKey, Server>,
    database: PathBuf,
    _dir: tempfile::TempDir,
}

/// How many daemons make a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemons {
    One,
    /// Another one takes over the lease while one is at work.
    TakenOver,
    /// One is stopped after it looked, another makes a whole pass, and then the first continues.
    StoppedAndResumed,
}

/// What two daemons planned, and how each one's pass ended; `None` where it died.
type Passes = (Vec<Option<Plan>>, Vec<Option<Result<Outcome, StoreError>>>);

/// How a pass ended.
#[derive(Debug)]
pub enum Ending {
    Whole(Outcome),
    /// The database failed outside of a step.
    Failed(StoreError),
    Died,
}

/// A pass, as one who looks on saw it.
#[derive(Debug)]
pub struct Pass {
    pub task: Task,
    pub before: Recorded,
    pub after: Recorded,
    /// One for each daemon that came to a plan.
    pub plans: Vec<Plan>,
    pub endings: Vec<Ending>,
}

impl World {
    pub fn new(seed: u64, told: bool, template: &Template) -> Self {
        let (dir, database) = template.copy();
        let own_domains: BTreeMap<InstanceKey, String> =
            ["hq", "branch"].map(|name| (instance(name), format!("{name}-pbx.example.com"))).into();
        let sim = Sim::new(seed, told, Witness::new(&database, own_domains.clone()));
        let config = scenery::config(&mut sim.lock(), &database);
        {
            let mut state = sim.lock();
            state.witness.retention = TimeDelta::days(i64::from(config.deletion.retention_days));
            for (key, own) in &own_domains {
                let id = state.next_id();
                let version = state.pick(&["5.4.4", "5.5.7", "5.6.4-dev"]);
                state.servers.insert(key.clone(), Server { version, ..Server::new(own, id) });
                for n in 0..2 {
                    let name = format!("foreign{n}.example.net");
                    person::add_unmanaged(&mut state, key, &name, Some(n == 0));
                }
            }
        }
        let process = Process::start("first", &sim, &config, &database);
        process.take_the_lease();
        Self {
            directory: Directory::new(),
            calm: open(&database, Arc::new(Calm)),
            history: History::default(),
            process,
            aside: BTreeMap::new(),
            sim,
            config,
            database,
            _dir: dir,
        }
    }

    pub fn is_over(&self) -> bool {
        self.sim.lock().violation.is_some()
    }

    /// New connections and new clients, as after a restart or on the stand-by machine.
    pub fn restart(&mut self, name: &str) {
        let tell = format!("the process {name} takes over");
        self.sim.lock().tell(|| tell);
        self.process = Process::start(name, &self.sim, &self.config, &self.database);
        self.process.take_the_lease();
    }

    pub fn recorded(&self) -> Recorded {
        let now = self.sim.lock().now;
        run(&self.sim, self.calm.read(move |store| store.recorded(now))).unwrap().unwrap()
    }

    /// What a daemon would work from now.
    pub fn task(&self) -> Task {
        Task { desired: self.directory.desired(), policy: Policy::new(&self.config), rotation: Rotation::All }
    }

    /// One pass, which may die on the way, with everything that must hold of it.
    pub fn pass(&mut self, task: Task, daemons: Daemons, dies_after: Option<u64>) -> Pass {
        let before = self.recorded();
        self.sim.lock().tell(|| {
            let policy = &task.policy;
            let word = if policy.no_removals { ", no removals" } else { "" };
            format!("--- a pass; the directory is {:?}{word} {:?}", task.desired.completeness, policy.only)
        });
        self.history.begin(&self.sim, &before, &task);
        self.sim.lock().doom(dies_after);
        let (plans, endings) = match daemons {
            Daemons::One => {
                let mut plan = None;
                let ended = run(&self.sim, self.process.pass(task.clone(), &mut plan));
                (vec![plan], vec![ended])
            }
            Daemons::TakenOver => self.taken_over(&task),
            Daemons::StoppedAndResumed => self.stopped_and_resumed(&task),
        };
        let endings: Vec<Ending> = endings
            .into_iter()
            .map(|ended| match ended {
                Some(Ok(outcome)) => Ending::Whole(outcome),
                Some(Err(error)) => Ending::Failed(error),
                None => Ending::Died,
            })
            .collect();
        let pass = Pass {
            task,
            before,
            after: self.recorded(),
            plans: plans.into_iter().flatten().collect(),
            endings,
        };
        self.sim.lock().finish(&pass);
        self.history.end(&self.sim, &self.config, &pass);
        if pass.endings.iter().any(|ending| matches!(ending, Ending::Died)) {
            self.restart("next");
        }
        pass
    }

    fn taken_over(&mut self, task: &Task) -> Passes {
        let other = Process::start("beside", &self.sim, &self.config, &self.database);
        let waits = {
            let mut state = self.sim.lock();
            let most = state.pick(&[20, 80, 300]);
            state.below(most)
        };
        let (mut first, mut second) = (None, None);
        let takes_over = async {
            for _ in 0..waits {
                self.sim.point().await;
            }
            other.take_the_lease();
            other.pass(task.clone(), &mut second).await
        };
        let both = join(self.process.pass(task.clone(), &mut first), takes_over);
        let endings = match run(&self.sim, both) {
            Some((one, two)) => vec![Some(one), Some(two)],
            None => vec![None],
        };
        self.process = other;
        (vec![first, second], endings)
    }

    fn stopped_and_resumed(&mut self, task: &Task) -> Passes {
        let Some(Ok((look, plan))) = run(&self.sim, self.process.look(task.clone())) else {
            return (Vec::new(), vec![None]);
        };
        let other = Process::start("meanwhile", &self.sim, &self.config, &self.database);
        other.take_the_lease();
        let mut newer = None;
        let second = run(&self.sim, other.pass(task.clone(), &mut newer));
        self.sim.lock().tell(|| "the stopped process goes on".into());
        let first = run(&self.sim, self.process.act(&look, &plan));
        self.process = other;
        (vec![Some(plan), newer], vec![first, second])
    }

    /// Only looks; no server may see a changing request.
    pub fn preview(&mut self) -> Option<Plan> {
        let seen = self.sim.lock().witness.mutations;
        let look = run(&self.sim, self.process.look(self.task()));
        let mut state = self.sim.lock();
        if state.witness.mutations != seen {
            state.violate(|| "a preview sent a changing request".into());
        }
        look.and_then(Result::ok).map(|(_, plan)| plan)
    }
}

impl State {
    /// The pass is over: what it left on its way arrives, and what came of it is reported.
    fn finish(&mut self, pass: &Pass) {
        self.witness.acting_for = None;
        self.doom(None);
        self.deliver_left();
        for ending in &pass.endings {
            match ending {
                Ending::Whole(outcome) => {
                    for step in &outcome.steps {
                        self.tell(|| {
                            let result = told(&step.result);
                            format!("{} {} on {}: {result}", step.action, step.tenant, step.instance)
                        });
                    }
                }
                Ending::Failed(error) => {
                    self.tell(|| format!("the pass failed: {}", tenantd::report::chain(error)));
                }
                Ending::Died => {}
            }
        }
        for held in pass.plans.iter().flat_map(|plan| &plan.held) {
            self.tell(|| format!("held: {} {}: {}", held.action, held.tenant, held.reason));
        }
    }
}

fn told(result: &StepResult) -> String {
    match result {
        StepResult::Done => "done".into(),
        StepResult::Skipped(why) => format!("skipped: {why}"),
        StepResult::Failed(error) => format!("failed: {}", tenantd::report::chain(error)),
    }
}
