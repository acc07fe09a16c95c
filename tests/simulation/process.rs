//! A running tenantd: its own connection and clients, and the passes that it makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tenantd::apply::Outcome;
use tenantd::config::{Config, DatabaseConfig};
use tenantd::fusionpbx::{PbxRead, PbxWrite};
use tenantd::inputs::PassInputs;
use tenantd::model::{Desired, InstanceKey};
use tenantd::observe::Rotation;
use tenantd::plan::{Plan, Policy};
use tenantd::reconcile::{self, Reader, Writer};
use tenantd::store::{Access, Database, DatabaseOptions, StoreError, Weather};

use crate::model_client::ModelClient;
use crate::state::{FaultyDatabase, SharedState};

pub struct Process {
    name: String,
    number: u64,
    shared: Arc<SharedState>,
    config: Config,
    database: Database,
    readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
    /// What the last pass read.
    pub last_inputs: Mutex<Option<Arc<PassInputs>>>,
}

/// The input of a pass.
#[derive(Clone, Debug)]
pub struct Task {
    pub desired: Desired,
    pub policy: Policy,
    pub rotation: Rotation,
    /// The instances of a narrow pass; `None` where the pass reads all of them.
    pub instances: Option<BTreeSet<InstanceKey>>,
}

impl Process {
    pub fn start(name: &str, shared: &Arc<SharedState>, config: &Config, database: &Path) -> Self {
        let client = |key: &InstanceKey| ModelClient { shared: Arc::clone(shared), instance: key.clone() };
        let readers = config.instances.keys().map(|key| (key.clone(), Arc::new(client(key)) as _));
        let writers = config.instances.keys().map(|key| (key.clone(), Arc::new(client(key)) as _));
        let number = {
            let mut state = shared.lock();
            state.processes += 1;
            state.processes
        };
        Self {
            name: name.to_owned(),
            number,
            shared: Arc::clone(shared),
            config: config.clone(),
            database: open(
                database,
                Arc::new(FaultyDatabase { shared: Arc::clone(shared), process: number }),
            ),
            readers: readers.collect(),
            writers: writers.collect(),
            last_inputs: Mutex::new(None),
        }
    }

    /// Takes the writer's lease. A process that had it finds out when it writes.
    pub fn take_the_lease(&self) {
        let mut state = self.shared.lock();
        state.holder = self.number;
        state.log(|| format!("the process {} has the lease", self.name));
    }

    pub async fn look(&self, task: Task) -> Result<(PassInputs, Plan), StoreError> {
        let mut readers = self.readers.clone();
        readers.retain(|key, _| task.instances.as_ref().is_none_or(|instances| instances.contains(key)));
        let reader = Reader {
            config: &self.config,
            database: &self.database,
            pbxs: &readers,
            environment: &*self.shared,
            rotation: task.rotation,
        };
        let look = reconcile::gather(&reader, task.desired, task.policy).await?;
        let plan = look.plan();
        *self.last_inputs.lock().unwrap() = Some(Arc::new(look.clone()));
        Ok((look, plan))
    }

    pub async fn act(&self, look: &PassInputs, plan: &Plan) -> Result<Outcome, StoreError> {
        {
            // A process without the lease must not write.
            let mut state = self.shared.lock();
            if state.holder == self.number {
                state.checks.begin_acting(look.desired.clone());
            }
        }
        let writer = Writer {
            database: &self.database,
            pbxs: &self.writers,
            environment: &*self.shared,
            actor: self.name.clone(),
            stop: Default::default(),
        };
        reconcile::carry_out(&writer, &self.config, look, plan).await
    }

    /// Observes, plans and applies; the plan is in `planned` before the first change.
    pub async fn pass(&self, task: Task, planned: &mut Option<Plan>) -> Result<Outcome, StoreError> {
        let (look, plan) = self.look(task).await?;
        let plan = planned.insert(plan);
        self.act(&look, plan).await
    }
}

pub fn open(path: &Path, weather: Arc<dyn Weather>) -> Database {
    let options = DatabaseOptions {
        database: DatabaseConfig::Sqlite { path: path.to_owned() },
        password: None,
        access: Access::ReadWrite,
    };
    Database::open_inline(&options, weather).unwrap()
}
