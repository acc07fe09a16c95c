//! Two stand-in PBXs, a database, and passes over them: the whole path without files and without processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fusionpbx_standin::{Handle, PbxProfile, StandIn, StandInOptions};
use tenantd::apply::{Outcome, StepResult};
use tenantd::config::{
    AllowedSharing, Config, DaemonConfig, DatabaseConfig, Defaults, Deletion, DeletionMode, InstanceConfig,
    Limits, SecretSource, Tier, TlsTrust,
};
use tenantd::environment::Environment;
use tenantd::fusionpbx::{Credentials, PbxClient, PbxRead, PbxWrite};
use tenantd::inputs::PassInputs;
use tenantd::model::{
    BrokenFile, Completeness, CrossTenant, Definition, Desired, DomainName, DriftPolicy, InstanceKey,
    MaxUsers, Secret, Tenant, TenantKey,
};
use tenantd::observe::Rotation;
use tenantd::plan::{Plan, Policy};
use tenantd::reconcile::{self, Reader, Writer};
use tenantd::store::{Access, Database, DatabaseOptions};

pub const PASSWORD: &str = "stand-in-Secret-1";

/// A clock that tests move by hand.
#[derive(Debug, Default)]
pub struct MovedClock {
    ahead_seconds: AtomicI64,
}

impl MovedClock {
    pub fn advance(&self, by: TimeDelta) {
        self.ahead_seconds.fetch_add(by.num_seconds(), Ordering::SeqCst);
    }
}

impl Environment for MovedClock {
    fn now(&self) -> DateTime<Utc> {
        let now = tenantd::environment::System.now();
        now + TimeDelta::seconds(self.ahead_seconds.load(Ordering::SeqCst))
    }

    fn new_id(&self) -> uuid::Uuid {
        tenantd::environment::System.new_id()
    }
}

/// Which database a scenario runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

pub struct Harness {
    pub config: Config,
    pub passwords: BTreeMap<InstanceKey, Secret>,
    /// Secrets of accounts with a second factor.
    pub totp: BTreeMap<InstanceKey, Secret>,
    pub servers: BTreeMap<InstanceKey, StandIn>,
    pub database: Database,
    /// The database as a configuration names it.
    pub database_url: String,
    pub readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    pub writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
    pub clock: MovedClock,
    pub desired: Desired,
    pub allow_delete: BTreeSet<TenantKey>,
    pub rotation: Rotation,
    _dir: tempfile::TempDir,
}

pub fn key(text: &str) -> TenantKey {
    TenantKey::parse(text).unwrap()
}

pub fn instance(text: &str) -> InstanceKey {
    InstanceKey::parse(text).unwrap()
}

pub fn tenant(name: &str) -> Tenant {
    Tenant {
        key: key(name),
        definition: Definition {
            name: format!("{name} Ltd"),
            domain: DomainName::parse(&format!("{name}.example.com")).unwrap(),
            instance: instance("hq"),
            enabled: true,
            session_timeout: 60,
            max_users: MaxUsers::Unlimited,
            protected: false,
            pbx_settings: BTreeMap::new(),
            cross_tenant: CrossTenant::default(),
            drift: DriftPolicy::Correct,
        },
        previously: None,
        adopt: false,
        sms_numbers: None,
        accept: BTreeSet::new(),
    }
}

/// The scenario's body runs on SQLite and, where it is installed, on PostgreSQL.
#[macro_export]
macro_rules! on_both_databases {
    ($(#[$meta:meta])* async fn $name:ident(mut $harness:ident) $body:block) => {
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn scenario(mut $harness: $crate::common::harness::Harness) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                scenario($crate::common::harness::Harness::new($crate::common::harness::Backend::Sqlite).await.unwrap()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(harness) = $crate::common::harness::Harness::new($crate::common::harness::Backend::Postgres).await {
                    scenario(harness).await;
                }
            }
        }
    };
}

impl Harness {
    /// With two stand-ins, `hq` and `branch`, of a version that [`profile`] chooses. `None` where the database is not
    /// to be had.
    pub async fn new(backend: Backend) -> Option<Self> {
        Self::of_version(backend, profile()).await
    }

    /// With two stand-ins of one version.
    pub async fn of_version(backend: Backend, profile: PbxProfile) -> Option<Self> {
        let mut servers = BTreeMap::new();
        let mut instances = BTreeMap::new();
        for name in ["hq", "branch"] {
            let server = StandIn::start(StandInOptions {
                username: format!("tenantd@{name}-pbx.example.com"),
                password: PASSWORD.into(),
                grant_delete: true,
                profile,
                ..StandInOptions::default()
            })
            .await
            .unwrap();
            let config = instance_config(name, &server);
            instances.insert(instance(name), config);
            servers.insert(instance(name), server);
        }
        let passwords = instances.keys().map(|key| (key.clone(), Secret::new(PASSWORD))).collect();
        let mut harness = Self::over(backend, instances, passwords).await?;
        harness.servers = servers;
        Some(harness)
    }

    /// Over servers that are there already. `None` where the database is not to be had.
    pub async fn over(
        backend: Backend,
        instances: BTreeMap<InstanceKey, InstanceConfig>,
        passwords: BTreeMap<InstanceKey, Secret>,
    ) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tenantd.db");
        let database_url = match backend {
            Backend::Sqlite => format!("sqlite://{}", path.display()),
            Backend::Postgres => super::postgres::database()?,
        };
        let database = match backend {
            Backend::Sqlite => DatabaseConfig::Sqlite { path },
            Backend::Postgres => {
                DatabaseConfig::Postgres { url: database_url.parse().unwrap(), password: None, ca_file: None }
            }
        };
        let config = Config {
            path: dir.path().join("tenantd.yaml"),
            database,
            tenants_dir: dir.path().join("tenants.d"),
            instances,
            defaults: Defaults::default(),
            tier: Tier {
                name: "test".into(),
                max_users_per_tenant: None,
                max_pbx_instances: None,
                max_tenants: None,
            },
            deletion: Deletion { mode: DeletionMode::Automatic, retention_days: 30 },
            limits: Limits::default(),
            daemon: DaemonConfig::default(),
            cross_tenant: AllowedSharing::default(),
            archive_dir: dir.path().join("archive"),
            git: None,
        };
        let database = Database::open(DatabaseOptions {
            database: config.database.clone(),
            password: None,
            access: Access::ReadWrite,
        })
        .await
        .unwrap();
        let mut harness = Self {
            config,
            passwords,
            totp: BTreeMap::new(),
            servers: BTreeMap::new(),
            database,
            database_url,
            readers: BTreeMap::new(),
            writers: BTreeMap::new(),
            clock: MovedClock::default(),
            desired: desired([]),
            allow_delete: BTreeSet::new(),
            rotation: Rotation::All,
            _dir: dir,
        };
        harness.connect();
        Some(harness)
    }

    /// New clients, with new sessions, as after a restart.
    pub fn connect(&mut self) {
        for (key, config) in &self.config.instances {
            let credentials =
                Credentials { password: self.passwords[key].clone(), totp: self.totp.get(key).cloned() };
            let client = PbxClient::new(config, credentials).unwrap();
            self.readers.insert(key.clone(), Arc::new(client.reader()));
            self.writers.insert(key.clone(), Arc::new(client));
        }
    }

    pub fn pbx(&self, name: &str) -> &Handle {
        self.servers[&instance(name)].pbx()
    }

    pub fn want(&mut self, tenants: impl IntoIterator<Item = Tenant>) {
        self.desired = desired(tenants);
    }

    /// Changes the file of one tenant.
    pub fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Tenant)) {
        edit(self.desired.tenants.get_mut(&key(name)).unwrap());
    }

    pub fn remove_file(&mut self, name: &str) {
        self.desired.tenants.remove(&key(name)).unwrap();
    }

    pub fn break_file(&mut self, name: &str) {
        self.desired.tenants.remove(&key(name));
        self.desired.broken.push(BrokenFile {
            file: format!("{name}.yaml"),
            key: Some(key(name)),
            problems: vec!["broken".into()],
        });
        self.desired.completeness = Completeness::Partial { reason: format!("{name}.yaml is broken") };
    }

    pub fn policy(&self) -> Policy {
        Policy { allow_delete: self.allow_delete.clone(), ..Policy::new(&self.config) }
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader {
            config: &self.config,
            database: &self.database,
            pbxs: &self.readers,
            environment: &self.clock,
            rotation: self.rotation.clone(),
        }
    }

    pub fn writer(&self) -> Writer<'_> {
        Writer {
            database: &self.database,
            pbxs: &self.writers,
            environment: &self.clock,
            actor: "test".into(),
            stop: Default::default(),
        }
    }

    pub async fn look(&self) -> PassInputs {
        reconcile::gather(&self.reader(), self.desired.clone(), self.policy()).await.unwrap()
    }

    /// Lets time go by while passes come and find nothing, so that the clock is seen to run evenly.
    pub async fn live_through(&self, by: TimeDelta) {
        let mut left = by;
        while left > TimeDelta::zero() {
            let step = left.min(TimeDelta::hours(24));
            self.clock.advance(step);
            left -= step;
            let now = self.clock.now();
            self.database.write(move |store| store.note_clock(now)).await.unwrap();
        }
    }

    /// An operator's word for exactly these removals, for an hour.
    pub async fn approve(&self, removals_id: String) {
        let now = self.clock.now();
        let approval = tenantd::model::Approval {
            id: self.clock.new_id(),
            removals_id: Some(removals_id),
            deletion_of: None,
            approved_by: "test".into(),
            approved_at: now,
            expires_at: now + TimeDelta::hours(1),
        };
        self.database.write(move |store| store.approve(&approval)).await.unwrap();
    }

    /// Only looks; fails the test if a PBX saw a changing request.
    pub async fn plan(&self) -> Plan {
        let before = self.mutations();
        let plan = self.look().await.plan();
        assert_eq!(self.mutations(), before, "a plan sent a changing request");
        plan
    }

    pub fn mutations(&self) -> usize {
        self.servers.values().map(|server| server.pbx().mutating_requests()).sum()
    }

    pub async fn pass(&self) -> (Plan, Outcome) {
        let look = self.look().await;
        let plan = look.plan();
        let outcome = self.carry_out(&look, &plan).await;
        (plan, outcome)
    }

    /// Carries out a plan that was made from this look, or from an earlier one.
    pub async fn carry_out(&self, look: &PassInputs, plan: &Plan) -> Outcome {
        reconcile::carry_out(&self.writer(), &self.config, look, plan).await.unwrap()
    }

    /// A pass that must do everything it planned, after which nothing is left to do.
    pub async fn converge(&self) -> Plan {
        let (plan, outcome) = self.pass().await;
        for step in &outcome.steps {
            if let StepResult::Failed(error) = &step.result {
                panic!(
                    "{} {} on {}: {}",
                    step.action,
                    step.tenant,
                    step.instance,
                    tenantd::report::chain(error)
                );
            }
            assert!(matches!(step.result, StepResult::Done), "{step:?}");
        }
        let second = self.plan().await;
        assert!(second.is_empty(), "the second plan is not empty: {second:#?}");
        plan
    }
}

/// The version that a test's stand-ins speak: the one that `TENANTD_TEST_PBX_VERSION` names, else that of development.
/// The suite `versions` lives a tenant's life on each.
pub fn profile() -> PbxProfile {
    match std::env::var("TENANTD_TEST_PBX_VERSION") {
        Ok(version) => {
            PbxProfile::parse(&version).expect("TENANTD_TEST_PBX_VERSION names a version of the stand-in")
        }
        Err(_) => PbxProfile::Master,
    }
}

/// An instance at a stand-in over plain HTTP.
pub fn plain_config(name: &str, server: &StandIn) -> InstanceConfig {
    InstanceConfig {
        key: instance(name),
        url: server.url().parse().unwrap(),
        username: format!("tenantd@{name}-pbx.example.com"),
        password: SecretSource::File(PathBuf::from("/nonexistent")),
        totp: None,
        tls: TlsTrust::SystemRoots,
        sessions: 2,
        timeout: Duration::from_secs(10),
        max_requests_per_second: 1000,
        allow_plaintext: false,
        web_session_lifetime: Duration::ZERO,
    }
}

pub fn instance_config(name: &str, server: &StandIn) -> InstanceConfig {
    let fingerprint =
        server.certificate_fingerprint().unwrap().trim_start_matches("sha256:").replace(':', "");
    let mut bytes = [0; 32];
    for (byte, hex) in bytes.iter_mut().zip(fingerprint.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
    }
    InstanceConfig {
        key: instance(name),
        url: server.url().parse().unwrap(),
        username: format!("tenantd@{name}-pbx.example.com"),
        password: SecretSource::File(PathBuf::from("/nonexistent")),
        tls: TlsTrust::Fingerprint(bytes),
        sessions: 2,
        timeout: Duration::from_secs(10),
        max_requests_per_second: 1000,
        allow_plaintext: false,
        totp: None,
        // A test of what outlives a disable sets its own.
        web_session_lifetime: std::time::Duration::ZERO,
    }
}

pub fn desired(tenants: impl IntoIterator<Item = Tenant>) -> Desired {
    Desired {
        tenants: tenants.into_iter().map(|tenant| (tenant.key.clone(), tenant)).collect(),
        broken: Vec::new(),
        unusual: Vec::new(),
        ignored: Vec::new(),
        completeness: Completeness::Complete,
        warnings: Vec::new(),
        digest: String::new(),
        revision: None,
    }
}
