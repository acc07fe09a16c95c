//! What scenarios ask of a harness besides: unmanaged domains that must stay as they are, and passes until nothing is left to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fusionpbx_standin::{DomainRow, NewSetting, NewUser};
use tenantd::apply::{Outcome, StepResult};
use tenantd::config::DatabaseConfig;
use tenantd::fusionpbx::{PbxClient, RetryPolicy};
use tenantd::model::{InstanceKey, TenantRecord};
use tenantd::plan::Plan;
use uuid::Uuid;

use super::harness::{Backend, Harness, instance, key};

/// The digests of all domains that were there before the first tenant.
pub struct UnmanagedDomains(BTreeMap<(InstanceKey, Uuid), String>);

impl Harness {
    /// Fills both servers with domains that are not managed business, tenantd's own among them.
    pub fn unmanaged(&self) -> UnmanagedDomains {
        for (name, server) in &self.servers {
            let pbx = server.pbx();
            let busy = pbx.add_domain(&format!("busy.{name}.example.net"), Some(true), Some("A & B <c>"));
            pbx.add_setting(busy, NewSetting::new("domain", "cidr", "array", "192.0.2.0/24"));
            pbx.add_setting(busy, NewSetting::new("limit", "users", "numeric", "7"));
            pbx.set_rows(busy, "v_extensions", 12);
            pbx.add_user(new_user(busy, "olga"));
            let closed = pbx.add_domain("closed.example.net", Some(false), None);
            pbx.add_setting(closed, NewSetting::new("domain", "cidr", "array", "255.255.255.255/32"));
            pbx.add_domain("neither.example.net", None, Some("enabled is NULL"));
            // Names that hold a tenant's, or are held by one: FusionPBX renames by substring.
            pbx.add_domain("not-acme.example.com", Some(true), Some("acme.example.com"));
            pbx.add_domain("me.example.com", Some(true), None);
            pbx.add_domain("twice.example.net", Some(true), Some("one"));
            pbx.add_domain("twice.example.net", Some(false), Some("two"));
            pbx.add_domain("a b'c;drop<", Some(true), None);
        }
        UnmanagedDomains(self.digests())
    }

    fn digests(&self) -> BTreeMap<(InstanceKey, Uuid), String> {
        self.servers
            .iter()
            .flat_map(|(name, server)| {
                server.pbx().digests().into_iter().map(|(uuid, digest)| ((name.clone(), uuid), digest))
            })
            .collect()
    }

    /// Fails unless every unmanaged domain is byte for byte as it was.
    #[track_caller]
    pub fn assert_untouched(&self, unmanaged: &UnmanagedDomains) {
        let now = self.digests();
        for (whose, digest) in &unmanaged.0 {
            assert_eq!(now.get(whose), Some(digest), "a domain that is not ours was touched: {whose:?}");
        }
    }

    /// The end of every scenario: nothing is left to do, and what is not managed is as it was.
    pub async fn assert_converged(&self, unmanaged: &UnmanagedDomains) {
        let plan = self.plan().await;
        assert!(plan.is_empty(), "the second plan is not empty: {plan:#?}");
        assert!(self.recorded().await.open_intents.is_empty());
        self.assert_untouched(unmanaged);
    }

    /// Passes until a plan is empty; fails after `most`. Says how many passes did something.
    pub async fn settle(&self, most: usize) -> usize {
        let mut seen = Vec::new();
        for done in 0..=most {
            let (plan, outcome) = self.pass().await;
            if plan.is_empty() {
                return done;
            }
            seen.push(format!("{:?} {:?} {:#?}", steps(&plan), plan.held, outcome.steps));
        }
        panic!("not at rest after {most} passes: {seen:#?}");
    }

    pub async fn recorded(&self) -> tenantd::model::Recorded {
        use tenantd::environment::Environment as _;
        let now = self.clock.now();
        self.database.read(move |store| store.recorded(now)).await.unwrap()
    }

    pub async fn record(&self, name: &str) -> TenantRecord {
        self.recorded().await.tenants.remove(&key(name)).unwrap_or_else(|| panic!("no record of {name}"))
    }

    /// The one domain of this name.
    #[track_caller]
    pub fn only(&self, instance: &str, domain: &str) -> DomainRow {
        let mut found = self.pbx(instance).domains_named(domain);
        assert_eq!(found.len(), 1, "domains named {domain} on {instance}");
        found.remove(0)
    }

    /// New clients that wait for an answer only so long, and retry soon.
    pub fn connect_with_short_timeout(&mut self, timeout: Duration) {
        let retries = RetryPolicy { pause: Duration::from_millis(5), ..RetryPolicy::default() };
        for (key, config) in &self.config.instances {
            let config = tenantd::config::InstanceConfig { timeout, ..config.clone() };
            let client = PbxClient::with_retries(&config, self.passwords[key].clone(), retries).unwrap();
            self.readers.insert(key.clone(), Arc::new(client.reader()));
            self.writers.insert(key.clone(), Arc::new(client));
        }
    }

    pub fn backend(&self) -> Backend {
        match self.config.database {
            DatabaseConfig::Sqlite { .. } => Backend::Sqlite,
            DatabaseConfig::Postgres { .. } => Backend::Postgres,
        }
    }

    /// Changing requests that one server saw.
    pub fn mutations_of(&self, name: &str) -> usize {
        self.servers[&instance(name)].pbx().mutating_requests()
    }
}

/// Who may sign in and is in the group `user`.
pub fn new_user(domain: Uuid, name: &str) -> NewUser {
    NewUser {
        domain,
        username: name.into(),
        password: "pw".into(),
        enabled: Some(true),
        groups: vec!["user".into()],
    }
}

/// The steps of a plan as `action tenant`.
pub fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.action, step.tenant)).collect()
}

/// What became of a tenant's first step that was not done, as an operator reads it.
#[track_caller]
pub fn failure_of(outcome: &Outcome, tenant: &str) -> String {
    outcome
        .steps
        .iter()
        .filter(|step| step.tenant == key(tenant))
        .find_map(|step| match &step.result {
            StepResult::Done => None,
            StepResult::Failed(error) => Some(tenantd::report::chain(error)),
            StepResult::Skipped(why) => Some(format!("skipped: {why}")),
        })
        .unwrap_or_else(|| panic!("every step of {tenant} was done: {outcome:#?}"))
}

/// Whether every step of a tenant was done, and there was one.
pub fn all_done(outcome: &Outcome, tenant: &str) -> bool {
    let mut steps = outcome.steps.iter().filter(|step| step.tenant == key(tenant)).peekable();
    steps.peek().is_some() && steps.all(|step| matches!(step.result, StepResult::Done))
}

/// Why a tenant is held.
#[track_caller]
pub fn held_because(plan: &Plan, tenant: &str) -> String {
    let held: Vec<_> = plan.held.iter().filter(|held| held.tenant == key(tenant)).collect();
    assert_eq!(held.len(), 1, "{tenant} is held once: {plan:#?}");
    held[0].why()
}
