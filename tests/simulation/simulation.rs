//! One seed's directory, two PBXs, database and tenantd processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join;
use tenantd::apply::{Outcome, StepResult};
use tenantd::config::Config;
use tenantd::daemon::scope::{Before, narrow};
use tenantd::model::{InstanceKey, Recorded};
use tenantd::observe::Rotation;
use tenantd::plan::{Plan, Policy};
use tenantd::store::{Database, StoreError};

use crate::directory::{Directory, instance};
use crate::model_pbx::Server;
use crate::operator;
use crate::pass_checks::History;
use crate::process::{Process, Task, open};
use crate::random_config;
use crate::request_checks::RequestChecks;
use crate::state::{NoFaults, SharedState, State, run};
use crate::template::Template;

pub struct Simulation {
    pub shared: Arc<SharedState>,
    pub directory: Directory,
    pub config: Config,
    /// The checks' own connection, without faults.
    pub observer: Database,
    pub history: History,
    process: Process,
    /// What the last passes leave for a narrow one.
    before: Option<Before>,
    /// Servers that do not answer at an address now: the original one, or the other one.
    pub unplugged: BTreeMap<InstanceKey, Server>,
    database: PathBuf,
    _dir: tempfile::TempDir,
}

/// How many daemons make a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemons {
    One,
    /// Another daemon takes the lease during a pass.
    TakenOver,
    /// One daemon is stopped after it planned, another makes a whole pass, then the first one continues.
    StoppedAndResumed,
}

/// The plan of each daemon, and how its pass ended; `None` if it crashed.
type Passes = (Vec<Option<Plan>>, Vec<Option<Result<Outcome, StoreError>>>);

/// How a pass ended.
#[derive(Debug)]
pub enum Ending {
    Whole(Outcome),
    /// The database failed outside of a step.
    Failed(StoreError),
    Died,
}

/// A pass as the checks see it.
#[derive(Debug)]
pub struct Pass {
    pub task: Task,
    pub before: Recorded,
    pub after: Recorded,
    /// One for each daemon that made a plan.
    pub plans: Vec<Plan>,
    pub endings: Vec<Ending>,
}

impl Simulation {
    pub fn new(seed: u64, with_log: bool, template: &Template) -> Self {
        let (dir, database) = template.copy();
        let own_domains: BTreeMap<InstanceKey, String> =
            ["hq", "branch"].map(|name| (instance(name), format!("{name}-pbx.example.com"))).into();
        let shared = SharedState::new(seed, with_log, RequestChecks::new(&database, own_domains.clone()));
        let config = random_config::config(&mut shared.lock(), &database);
        {
            let mut state = shared.lock();
            state.checks.retention = TimeDelta::days(i64::from(config.deletion.retention_days));
            for (key, own) in &own_domains {
                let id = state.next_id();
                let version = state.pick(&["5.4.4", "5.5.7", "5.6.4-dev"]);
                state.servers.insert(key.clone(), Server { version, ..Server::new(own, id) });
                for n in 0..2 {
                    let name = format!("foreign{n}.example.net");
                    operator::add_unmanaged(&mut state, key, &name, Some(n == 0));
                }
            }
        }
        let process = Process::start("first", &shared, &config, &database);
        process.take_the_lease();
        Self {
            directory: Directory::new(),
            observer: open(&database, Arc::new(NoFaults)),
            history: History::default(),
            process,
            before: None,
            unplugged: BTreeMap::new(),
            shared,
            config,
            database,
            _dir: dir,
        }
    }

    pub fn is_over(&self) -> bool {
        self.shared.lock().violation.is_some()
    }

    /// Starts a new process with new connections, as after a restart or on a stand-by machine.
    pub fn restart(&mut self, name: &str) {
        let line = format!("the process {name} takes over");
        self.shared.lock().log(|| line);
        self.process = Process::start(name, &self.shared, &self.config, &self.database);
        self.process.take_the_lease();
    }

    pub fn recorded(&self) -> Recorded {
        let now = self.shared.lock().now;
        run(&self.shared, self.observer.read(move |store| store.recorded(now))).unwrap().unwrap()
    }

    /// The input of the next pass.
    pub fn task(&self) -> Task {
        Task {
            desired: self.directory.desired(),
            policy: Policy::new(&self.config),
            rotation: Rotation::All,
            instances: None,
        }
    }

    /// Narrows a pass to the tenants whose files changed, as the daemon does when files change.
    pub fn narrow(&self, task: &mut Task) {
        let Some(scope) = self.before.as_ref().and_then(|before| narrow(before, &task.desired)) else {
            return;
        };
        self.shared.lock().log(|| format!("the pass is for {:?} alone", scope.tenants));
        task.policy.only = scope.tenants;
        task.instances = Some(scope.instances);
    }

    /// Notes what a pass leaves for a narrow one.
    fn note_before(&mut self, pass: &Pass) {
        let before = self.before.take();
        let ([plan], [Ending::Whole(outcome)]) = (pass.plans.as_slice(), pass.endings.as_slice()) else {
            return;
        };
        let Some(inputs) = self.process.last_inputs.lock().unwrap().take() else { return };
        let policy = &pass.task.policy;
        self.before = match (&pass.task.instances, before) {
            (Some(_), Some(mut before)) => {
                before.narrow_pass(inputs.desired.clone(), plan, outcome);
                Some(before)
            }
            (None, _) if policy.only.is_empty() && !policy.no_removals => {
                Some(Before::full_pass(inputs, plan, outcome))
            }
            _ => None,
        };
    }

    /// One pass, which may crash, with all its checks.
    pub fn pass(&mut self, task: Task, daemons: Daemons, crash_after: Option<u64>) -> Pass {
        let before = self.recorded();
        self.shared.lock().log(|| {
            let policy = &task.policy;
            let word = if policy.no_removals { ", no removals" } else { "" };
            format!("--- a pass; the directory is {:?}{word} {:?}", task.desired.completeness, policy.only)
        });
        self.history.begin(&self.shared, &before, &task);
        self.shared.lock().crash_after_points(crash_after);
        let (plans, endings) = match daemons {
            Daemons::One => {
                let mut plan = None;
                let ended = run(&self.shared, self.process.pass(task.clone(), &mut plan));
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
        self.shared.lock().finish(&pass);
        self.history.end(&self.shared, &self.config, &pass);
        self.note_before(&pass);
        if pass.endings.iter().any(|ending| matches!(ending, Ending::Died)) {
            self.restart("next");
        }
        pass
    }

    fn taken_over(&mut self, task: &Task) -> Passes {
        let other = Process::start("second", &self.shared, &self.config, &self.database);
        let waits = {
            let mut state = self.shared.lock();
            let most = state.pick(&[20, 80, 300]);
            state.below(most)
        };
        let (mut first, mut second) = (None, None);
        let takes_over = async {
            for _ in 0..waits {
                self.shared.point().await;
            }
            other.take_the_lease();
            other.pass(task.clone(), &mut second).await
        };
        let both = join(self.process.pass(task.clone(), &mut first), takes_over);
        let endings = match run(&self.shared, both) {
            Some((one, two)) => vec![Some(one), Some(two)],
            None => vec![None],
        };
        self.process = other;
        (vec![first, second], endings)
    }

    fn stopped_and_resumed(&mut self, task: &Task) -> Passes {
        let Some(Ok((look, plan))) = run(&self.shared, self.process.look(task.clone())) else {
            return (Vec::new(), vec![None]);
        };
        let other = Process::start("second", &self.shared, &self.config, &self.database);
        other.take_the_lease();
        let mut newer = None;
        let second = run(&self.shared, other.pass(task.clone(), &mut newer));
        self.shared.lock().log(|| "the stopped process continues".into());
        let first = run(&self.shared, self.process.act(&look, &plan));
        self.process = other;
        (vec![Some(plan), newer], vec![first, second])
    }

    /// Makes a plan; no server may see a changing request.
    pub fn preview(&mut self) -> Option<Plan> {
        let seen = self.shared.lock().checks.mutations;
        let look = run(&self.shared, self.process.look(self.task()));
        let mut state = self.shared.lock();
        if state.checks.mutations != seen {
            state.violate(|| "a preview sent a changing request".into());
        }
        look.and_then(Result::ok).map(|(_, plan)| plan)
    }
}

impl State {
    /// Ends a pass: late requests are carried out, and the results are logged.
    fn finish(&mut self, pass: &Pass) {
        self.checks.acting_for = None;
        self.crash_after_points(None);
        self.deliver_left();
        for ending in &pass.endings {
            match ending {
                Ending::Whole(outcome) => {
                    for step in &outcome.steps {
                        self.log(|| {
                            let result = result_text(&step.result);
                            format!("{} {} on {}: {result}", step.action, step.tenant, step.instance)
                        });
                    }
                }
                Ending::Failed(error) => {
                    self.log(|| format!("the pass failed: {}", tenantd::report::chain(error)));
                }
                Ending::Died => {}
            }
        }
        for held in pass.plans.iter().flat_map(|plan| &plan.held) {
            self.log(|| format!("held: {} {}: {}", held.action, held.tenant, held.reason));
        }
    }
}

fn result_text(result: &StepResult) -> String {
    match result {
        StepResult::Done => "done".into(),
        StepResult::Skipped(why) => format!("skipped: {why}"),
        StepResult::Failed(error) => format!("failed: {}", tenantd::report::chain(error)),
    }
}
