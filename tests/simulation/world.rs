//! One seed's world: a directory, two PBXs, a database, and the processes that keep them together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tenantd::apply::Outcome;
use tenantd::config::{
    AllowedSharing, Config, DaemonConfig, DatabaseConfig, Defaults, Deletion, DeletionMode, InstanceConfig,
    Limit, Limits, SecretSource, Tier, TlsTrust,
};
use tenantd::fusionpbx::{PbxRead, PbxWrite};
use tenantd::model::{Approval, InstanceKey, MaxUsers, Recorded, Suspension, TenantKey};
use tenantd::observe::Rotation;
use tenantd::plan::{Plan, Policy};
use tenantd::reconcile::{self, Reader, Writer};
use tenantd::store::{Access, Database, DatabaseOptions, StoreError, Weather};

use crate::client::ModelClient;
use crate::directory::{Directory, instance};
use crate::faults::Faults;
use crate::model_pbx::Server;
use crate::person;
use crate::properties::History;
use crate::sim::{Calm, Disk, Sim, run};
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
    /// Servers that are not connected now: another machine, or a backup of the first.
    aside: BTreeMap<InstanceKey, Server>,
    database: PathBuf,
    _dir: tempfile::TempDir,
}

/// A running tenantd: its own connections and clients.
struct Process {
    name: String,
    database: Database,
    readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
}

/// How a pass ended.
#[derive(Debug)]
pub enum Ending {
    Whole(Outcome),
    /// The database failed outside of a step.
    #[expect(dead_code, reason = "shown where a seed fails")]
    Failed(StoreError),
    Died,
}

/// A pass, as one who looks on saw it.
#[derive(Debug)]
pub struct Pass {
    pub rotation: Rotation,
    pub before: Recorded,
    pub after: Recorded,
    pub plan: Option<Plan>,
    pub ending: Ending,
}

impl World {
    pub fn new(seed: u64, told: bool, template: &Template) -> Self {
        let (dir, database) = template.copy();
        let own_domains: BTreeMap<InstanceKey, String> =
            ["hq", "branch"].map(|name| (instance(name), format!("{name}-pbx.example.com"))).into();
        let witness = Witness::new(&database, TimeDelta::zero(), own_domains.clone());
        let sim = Sim::new(seed, told, witness);
        let config = config(&mut sim.lock(), &database);
        {
            let mut state = sim.lock();
            state.witness.retention = TimeDelta::days(i64::from(config.deletion.retention_days));
            for (key, own) in &own_domains {
                let id = state.next_id();
                state.servers.insert(key.clone(), Server::new(own, id));
                for n in 0..2 {
                    let name = format!("foreign{n}.example.net");
                    person::add_foreign(&mut state, key, &name, Some(n == 0));
                }
            }
        }
        let calm = open(&database, Arc::new(Calm));
        let process = Process::start("first", &sim, &config, &database);
        Self {
            sim,
            directory: Directory::new(),
            config,
            calm,
            history: History::default(),
            process,
            aside: BTreeMap::new(),
            database,
            _dir: dir,
        }
    }

    /// New connections and new clients, as after a restart or on the stand-by machine.
    pub fn restart(&mut self, name: &str) {
        let tell = format!("the process {name} takes over");
        self.sim.lock().tell(|| tell);
        self.process = Process::start(name, &self.sim, &self.config, &self.database);
    }

    pub fn recorded(&self) -> Recorded {
        let now = self.sim.lock().now;
        run(&self.sim, self.calm.read(move |store| store.recorded(now))).unwrap().unwrap()
    }

    fn policy(&self) -> Policy {
        Policy::new(&self.config)
    }

    /// One pass of the process, which may die on the way.
    pub fn pass(&mut self, rotation: Rotation, dies_after: Option<u64>) -> Pass {
        let desired = self.directory.desired();
        let before = self.recorded();
        {
            let mut state = self.sim.lock();
            state.tell(|| format!("--- a pass; the directory is {:?}", desired.completeness));
        }
        self.history.begin(&self.sim, &before, &desired);
        self.sim.lock().doom(dies_after);
        let mut plan = None;
        let ended = run(
            &self.sim,
            self.process.pass(&self.sim, &self.config, self.policy(), desired.clone(), rotation, &mut plan),
        );
        {
            let mut state = self.sim.lock();
            state.witness.acting_for = None;
            state.doom(None);
            state.deliver_late(true);
            if let Some(Ok(outcome)) = &ended {
                for step in &outcome.steps {
                    state.tell(|| {
                        format!(
                            "{} {} on {}: {}",
                            step.action,
                            step.tenant,
                            step.instance,
                            result(&step.result)
                        )
                    });
                }
            }
            if let Some(plan) = &plan {
                for held in &plan.held {
                    state.tell(|| format!("held: {} {}: {}", held.action, held.tenant, held.reason));
                }
            }
        }
        let ending = match ended {
            Some(Ok(outcome)) => Ending::Whole(outcome),
            Some(Err(error)) => Ending::Failed(error),
            None => Ending::Died,
        };
        let died = matches!(ending, Ending::Died);
        let pass = Pass { rotation, before, after: self.recorded(), plan, ending };
        self.history.end(&self.sim, &self.config, &desired, &pass);
        if died {
            self.restart("next");
        }
        pass
    }

    /// Only looks; no server may see a changing request.
    pub fn preview(&mut self) -> Option<Plan> {
        let desired = self.directory.desired();
        let seen = self.sim.lock().witness.mutations;
        let look =
            run(&self.sim, self.process.look(&self.sim, &self.config, self.policy(), desired, Rotation::All));
        let mut state = self.sim.lock();
        if state.witness.mutations != seen {
            state.violate(|| "a preview sent a changing request".into());
        }
        look.and_then(Result::ok)
    }

    /// A person lifts what a plan holds for want of approval.
    pub fn approve(&mut self, plan: &Plan) {
        let now = self.sim.lock().now;
        let lifts = |with: &str| {
            plan.held.iter().any(|held| held.lift.as_deref().is_some_and(|lift| lift.starts_with(with)))
        };
        let mut words: Vec<(Option<String>, Option<TenantKey>)> = Vec::new();
        if lifts("tenantd approve r-") {
            words.push((plan.removals_id.clone(), None));
        }
        for held in &plan.held {
            if held.lift.as_deref().is_some_and(|lift| lift.starts_with("tenantd approve --tenant")) {
                words.push((None, Some(held.tenant.clone())));
            }
        }
        words.dedup();
        for (removals_id, deletion_of) in words {
            let mut state = self.sim.lock();
            state.tell(|| format!("a person approves {removals_id:?} {deletion_of:?}"));
            let approval = Approval {
                id: state.next_id(),
                removals_id,
                deletion_of,
                approved_by: "a person".into(),
                approved_at: now,
                expires_at: now + TimeDelta::hours(1),
            };
            drop(state);
            self.history.approvals.push(approval.clone());
            run(&self.sim, self.calm.write(move |store| store.approve(&approval))).unwrap().unwrap();
        }
    }

    pub fn suspend(&mut self) {
        let mut state = self.sim.lock();
        let now = state.now;
        let key = state.chance(0.5).then(|| TenantKey::parse("t1").unwrap());
        let instance = state.chance(0.5).then(|| instance("hq"));
        state.tell(|| format!("a person suspends {key:?} {instance:?}"));
        let hours = state.pick(&[1, 30]);
        let suspension = Suspension {
            id: state.next_id(),
            key,
            instance,
            until: now + TimeDelta::hours(hours),
            reason: "maintenance".into(),
            suspended_by: "a person".into(),
            suspended_at: now,
        };
        drop(state);
        run(&self.sim, self.calm.write(move |store| store.suspend(&suspension))).unwrap().unwrap();
    }

    pub fn resume(&mut self) {
        let resumed = self.calm.write(|store| {
            store.resume(None, None)?;
            store.resume(Some(&TenantKey::parse("t1").unwrap()), None)?;
            store.resume(None, Some(&instance("hq")))
        });
        run(&self.sim, resumed).unwrap().unwrap();
    }

    /// Another machine answers at an address, or the first one again.
    pub fn swap_server(&mut self) {
        let mut state = self.sim.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        let own = state.witness.own_domains[&key].clone();
        let id = state.next_id();
        let other = self.aside.remove(&key).unwrap_or_else(|| Server::new(&own, id));
        if let Some(server) = state.servers.insert(key.clone(), other) {
            self.aside.insert(key.clone(), server);
        }
        state.tell(|| format!("{key}: another server answers at its address"));
    }

    /// The servers that belong to the addresses are back.
    pub fn unswap_servers(&mut self) {
        let instances = run(&self.sim, self.calm.read(|store| store.instances())).unwrap().unwrap();
        let mut state = self.sim.lock();
        for (key, server) in std::mem::take(&mut self.aside) {
            let own = &state.witness.own_domains[&key];
            let enrolled =
                instances.iter().find(|row| row.key == key.as_str()).and_then(|row| row.identity.clone());
            if server.identity(own) == enrolled {
                state.servers.insert(key, server);
            }
        }
    }

    /// Between two passes, at random: what files, people, clocks and machines do.
    pub fn live(&mut self) {
        self.directory.heal(&mut self.sim.lock());
        let edits = self.sim.lock().below(4).saturating_sub(1);
        for _ in 0..edits {
            self.directory.commit(&mut self.sim.lock());
        }
        let what = self.sim.lock().below(30);
        match what {
            0..=2 => {
                let mut state = self.sim.lock();
                person::meddle(&mut state);
            }
            3 => self.swap_server(),
            4 => self.suspend(),
            5..=6 => self.resume(),
            13 => self.restart("other"),
            7..=8 => {
                if let Some(plan) = self.preview() {
                    self.approve(&plan);
                }
            }
            9 => {
                drop(self.preview());
            }
            10..=11 => self.fail_server(),
            12 => self.restore_backup(),
            _ => {}
        }
        let mut state = self.sim.lock();
        let hours = state.pick(&[0, 0, 1, 5, 12, 23, 25, 49]);
        state.now += TimeDelta::hours(hours);
        if state.chance(0.03) {
            let jump = state.pick(&[-400, -30, -2, 3, 40]);
            state.tell(|| format!("the clock jumps by {jump} h"));
            state.now += TimeDelta::hours(jump);
        }
    }

    fn fail_server(&mut self) {
        let mut state = self.sim.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        let what = state.below(3);
        let Some(server) = state.servers.get_mut(&key) else { return };
        match what {
            0 => server.reachable = !server.reachable,
            1 => server.page_missing = !server.page_missing,
            _ => server.may_delete = !server.may_delete,
        }
        let told = format!(
            "{key}: reachable {}, page missing {}, may delete {}",
            server.reachable, server.page_missing, server.may_delete
        );
        state.tell(|| told);
    }

    /// A server goes back to an earlier state of itself: a copy kept aside, if one was.
    fn restore_backup(&mut self) {
        let mut state = self.sim.lock();
        let keys: Vec<InstanceKey> = state.servers.keys().cloned().collect();
        let key = state.pick(&keys);
        self.history.backup(&mut state, &key);
    }

    /// Fair weather: everything can be read, everybody keeps their hands off, the clock goes on.
    pub fn make_peace(&mut self) {
        self.unswap_servers();
        self.resume();
        let mut state = self.sim.lock();
        state.tell(|| "=== the faults stop".into());
        state.faults = Faults::none();
        for server in state.servers.values_mut() {
            server.reachable = true;
            server.page_missing = false;
            server.may_delete = true;
        }
        self.directory.settle(&mut state);
        state.now += TimeDelta::days(2);
    }
}

fn result(result: &tenantd::apply::StepResult) -> String {
    match result {
        tenantd::apply::StepResult::Done => "done".into(),
        tenantd::apply::StepResult::Skipped(why) => format!("skipped: {why}"),
        tenantd::apply::StepResult::Failed(error) => format!("failed: {}", tenantd::report::chain(error)),
    }
}

impl Process {
    fn start(name: &str, sim: &Arc<Sim>, config: &Config, database: &std::path::Path) -> Self {
        let client = |key: &InstanceKey| ModelClient { sim: Arc::clone(sim), instance: key.clone() };
        let keys: BTreeSet<&InstanceKey> = config.instances.keys().collect();
        Self {
            name: name.to_owned(),
            database: open(database, Arc::new(Disk(Arc::clone(sim)))),
            readers: keys
                .iter()
                .map(|key| ((*key).clone(), Arc::new(client(key)) as Arc<dyn PbxRead>))
                .collect(),
            writers: keys
                .iter()
                .map(|key| ((*key).clone(), Arc::new(client(key)) as Arc<dyn PbxWrite>))
                .collect(),
        }
    }

    async fn look(
        &self,
        sim: &Sim,
        config: &Config,
        policy: Policy,
        desired: tenantd::model::Desired,
        rotation: Rotation,
    ) -> Result<Plan, StoreError> {
        let reader =
            Reader { config, database: &self.database, pbxs: &self.readers, environment: sim, rotation };
        Ok(reconcile::look(&reader, desired, policy).await?.plan())
    }

    async fn pass(
        &self,
        sim: &Sim,
        config: &Config,
        policy: Policy,
        desired: tenantd::model::Desired,
        rotation: Rotation,
        planned: &mut Option<Plan>,
    ) -> Result<Outcome, StoreError> {
        let reader =
            Reader { config, database: &self.database, pbxs: &self.readers, environment: sim, rotation };
        let look = reconcile::look(&reader, desired.clone(), policy).await?;
        let plan = look.plan();
        *planned = Some(plan.clone());
        sim.lock().witness.begin_acting(desired);
        let writer = Writer {
            database: &self.database,
            pbxs: &self.writers,
            environment: sim,
            actor: self.name.clone(),
            stop: Default::default(),
        };
        reconcile::act(&writer, config, &look, &plan).await
    }
}

pub fn open(path: &std::path::Path, weather: Arc<dyn Weather>) -> Database {
    let options = DatabaseOptions {
        database: DatabaseConfig::Sqlite { path: path.to_owned() },
        password: None,
        access: Access::ReadWrite,
    };
    Database::open_inline(&options, weather).unwrap()
}

fn config(state: &mut crate::sim::State, database: &std::path::Path) -> Config {
    let instances = ["hq", "branch"].map(|name| {
        let config = InstanceConfig {
            key: instance(name),
            url: format!("https://{name}-pbx.example.com/").parse().unwrap(),
            username: format!("tenantd@{name}-pbx.example.com"),
            password: SecretSource::File(PathBuf::from("/nonexistent")),
            tls: TlsTrust::SystemRoots,
            sessions: state.below(3) + 1,
            timeout: Duration::from_secs(10),
            max_requests_per_second: 1000,
            allow_plaintext: false,
        };
        (instance(name), config)
    });
    let limit = |count, percent| Limit { count, percent };
    Config {
        path: "tenantd.yaml".into(),
        database: DatabaseConfig::Sqlite { path: database.to_owned() },
        tenants_dir: "tenants.d".into(),
        instances: instances.into(),
        defaults: Defaults::default(),
        tier: Tier {
            name: "test".into(),
            max_users_per_tenant: None,
            max_pbx_instances: None,
            max_tenants: None,
        },
        deletion: Deletion {
            mode: state.pick(&[
                DeletionMode::Automatic,
                DeletionMode::Automatic,
                DeletionMode::Approve,
                DeletionMode::Never,
            ]),
            retention_days: state.pick(&[1, 1, 2, 5, 30]),
        },
        limits: Limits {
            removals: state.pick(&[limit(1, 10), limit(1, 10), limit(2, 30), limit(0, 0)]),
            disables: state.pick(&[limit(3, 20), limit(1, 10)]),
            creates: state.pick(&[None, None, Some(limit(3, 50))]),
            updates: state.pick(&[None, None, Some(limit(3, 50))]),
        },
        daemon: DaemonConfig::default(),
        cross_tenant: AllowedSharing::default(),
        archive_dir: database.with_extension("archive"),
    }
}

impl World {
    /// The larger of the domains' users: unlimited or a number, as `limit.users` says it.
    pub fn user_limit(max_users: MaxUsers) -> Option<String> {
        match max_users {
            MaxUsers::Limited(n) => Some(n.to_string()),
            MaxUsers::Unlimited => None,
        }
    }
}
