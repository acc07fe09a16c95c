//! The surroundings of each scenario: unmanaged domains that must stay as they are, and the removal of test domains.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tenantd::model::{DomainName, InstanceKey, PbxVersion, Secret, Tenant};
use tenantd::plan::Plan;
use uuid::Uuid;

use super::browser::Browser;
use super::common::harness::{self, Backend, Harness, instance};
use super::request_counts;
use super::servers::{Server, Servers, Site, Turn};
use super::table::name_of;
use super::trials::Scenario;

/// What every domain of this suite begins with.
pub const PREFIX: &str = "tenantd-live-";

/// Domains whose pages are all compared; of more than these the rows of the bulk list are.
const LOOKED_INTO: usize = 25;

/// A line for readers of the log of a live run.
pub fn log(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One scenario's surroundings.
pub struct Live {
    pub harness: Harness,
    pub sites: BTreeMap<InstanceKey, Site>,
    pub people: BTreeMap<InstanceKey, Browser>,
    /// Whether the accounts may delete domains.
    pub may_delete: bool,
    /// What `hq` says of its version.
    pub version: Option<PbxVersion>,
    tag: String,
    unmanaged: BTreeMap<InstanceKey, Arc<UnmanagedDomains>>,
}

impl Live {
    pub fn browser(&self, on: &str) -> &Browser {
        &self.people[&instance(on)]
    }

    /// A figure for anyone who reads the log of a live run.
    pub fn log(&self, figure: &str) {
        log(&format!("live: {figure}"));
    }

    pub fn has_second(&self) -> bool {
        self.sites.len() > 1
    }

    /// Whether `hq` ends open web sessions of a tenant that is disabled.
    pub fn block_ends_sessions(&self) -> bool {
        self.version.as_ref().is_some_and(PbxVersion::block_ends_sessions)
    }

    /// A domain name of this scenario's own.
    pub fn name(&self, name: &str) -> String {
        format!("{PREFIX}{}-{name}.example.com", self.tag)
    }

    pub fn domain(&self, name: &str) -> DomainName {
        DomainName::parse(&self.name(name)).expect("a domain name")
    }

    /// A tenant with a domain of this scenario's own.
    pub fn tenant(&self, name: &str) -> Tenant {
        let mut tenant = harness::tenant(name);
        tenant.definition.domain = self.domain(name);
        tenant
    }

    /// Only looks; fails if tenantd sent a changing request.
    pub async fn plan(&self) -> Plan {
        let before = request_counts::changes();
        let plan = self.harness.look().await.plan();
        assert_eq!(request_counts::changes(), before, "a plan sent a changing request");
        plan
    }

    /// A pass that must do everything it planned, after which nothing is left to do.
    pub async fn converge(&self) -> Plan {
        let plan = self.harness.converge().await;
        assert!(self.plan().await.is_empty());
        plan
    }

    /// Fails unless every domain that was there before is exactly as it was.
    async fn assert_untouched(&self) {
        for (site, unmanaged) in &self.unmanaged {
            unmanaged.assert_untouched(site, &self.people[site]).await;
        }
    }
}

/// Everything of the domains that were there before the first scenario.
pub struct UnmanagedDomains {
    pages: BTreeMap<Uuid, String>,
    rows: BTreeMap<String, serde_json::Value>,
}

impl UnmanagedDomains {
    async fn of(browser: &Browser) -> Self {
        let mut unmanaged = Self { pages: BTreeMap::new(), rows: browser.enabled_rows().await };
        let domains = browser.domains().await;
        // Evenly over the list, and always the suite's own unmanaged.
        let every = domains.len().div_ceil(LOOKED_INTO).max(1);
        for (at, (id, name)) in domains.into_iter().enumerate() {
            if at % every == 0 || name.starts_with(PREFIX) {
                unmanaged.pages.insert(id, browser.all_of(id).await);
            }
        }
        unmanaged
    }

    async fn assert_untouched(&self, site: &InstanceKey, browser: &Browser) {
        for (id, before) in &self.pages {
            let now = browser.all_of(*id).await;
            assert_eq!(now, *before, "the domain {id} on {site} is not ours and was touched");
        }
        let now = browser.enabled_rows().await;
        for (id, row) in &self.rows {
            assert_eq!(now.get(id), Some(row), "the domain {id} on {site} is not ours and was touched");
        }
    }
}

/// Creates the unmanaged domains that every server has during a scenario.
async fn add_unmanaged_domains(tag: &str, browser: &Browser) {
    let name = |name: &str| format!("{PREFIX}{tag}-{name}.example.com");
    let busy = browser.create_domain(&name("stranger"), true, "A & B <c> \"d\" 'e'").await;
    browser.add_setting(busy, "domain.cidr.array", "0.0.0.0/0", true, "everybody").await;
    browser.add_setting(busy, "limit.users.numeric", "7", true, "").await;
    browser.add_user(busy, "olga", "Stranger-Secret-1").await;
    browser.create_domain(&name("closed-stranger"), false, "").await;
    // Its name holds a tenant's: FusionPBX renames by substring.
    browser.create_domain(&format!("{PREFIX}x-{}", name("t1")), true, &name("t1")).await;
}

/// Removes the suite's domains, but for those in `kept`; says how many could not be.
async fn sweep(browser: &Browser, kept: &UnmanagedDomains) -> usize {
    let is_left = |(id, name): &(Uuid, String)| name.starts_with(PREFIX) && !kept.pages.contains_key(id);
    let leftovers: Vec<Uuid> =
        browser.domains().await.into_iter().filter(is_left).map(|(id, _)| id).collect();
    if leftovers.is_empty() || !browser.may_delete().await {
        return leftovers.len();
    }
    browser.delete_domains(&leftovers).await;
    browser.domains().await.into_iter().filter(is_left).count()
}

const NOBODY: UnmanagedDomains = UnmanagedDomains { pages: BTreeMap::new(), rows: BTreeMap::new() };

/// The unmanaged on a server. Where they can be removed, all scenarios have the same, which must stay as they are until
/// the last one is over.
async fn unmanaged(server: &Server, browser: &Browser, tag: &str) -> Arc<UnmanagedDomains> {
    let known = || server.unmanaged.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(unmanaged) = known().clone() {
        return unmanaged;
    }
    add_unmanaged_domains(tag, browser).await;
    let unmanaged = Arc::new(UnmanagedDomains::of(browser).await);
    *known() = Some(unmanaged.clone());
    unmanaged
}

/// Removes the unmanaged after the last scenario.
pub fn sweep_all(servers: &Servers) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for server in servers.all().filter(|server| server.is_used()) {
            let left = sweep(&Browser::superadmin(&server.site).await, &NOBODY).await;
            if left > 0 {
                log(&format!(
                    "live: {left} domains whose names begin with {PREFIX} stay on {}, because the account may not \
                     delete domains; grant it `domain_delete` and run the suite again, which sweeps them",
                    server.title()
                ));
            }
        }
    });
}

/// Runs one scenario; says how long it took, or nothing where the database is not to be had.
pub async fn run(scenario: &Scenario, backend: Backend, turn: &Turn<'_>) -> Option<Duration> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let taken: Vec<_> = [("hq", Some(turn.first)), ("branch", turn.second)]
        .into_iter()
        .filter_map(|(key, server)| Some((key, server?)))
        .collect();
    let sites: BTreeMap<_, _> =
        taken.iter().map(|(key, server)| (instance(key), server.site.clone())).collect();
    let instances = sites.iter().map(|(key, site)| (key.clone(), site.config(key.as_str()))).collect();
    let passwords =
        sites.iter().map(|(key, site)| (key.clone(), Secret::new(site.password.clone()))).collect();
    let mut harness = Harness::over(backend, instances, passwords).await?;
    harness.totp =
        sites.iter().filter_map(|(key, site)| Some((key.clone(), Secret::new(site.totp.clone()?)))).collect();
    harness.connect();
    let mut people = BTreeMap::new();
    for (key, server) in &taken {
        let browser = Browser::superadmin(&server.site).await;
        if server.is_first_use() {
            sweep(&browser, &NOBODY).await;
        }
        people.insert(instance(key), browser);
    }
    let version =
        harness.readers[&instance("hq")].version().await.expect("the server can be asked for its version");
    turn.first.learn_version(version.clone());
    let mut may_delete = true;
    for browser in people.values() {
        may_delete &= browser.may_delete().await;
    }
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    // What cannot be removed keeps its names.
    let tag = if may_delete {
        format!("{:x}", std::process::id())
    } else {
        format!("{:x}-{number}", std::process::id())
    };
    let mut strangers_of = BTreeMap::new();
    for (key, server) in &taken {
        let key = instance(key);
        if !may_delete {
            delete_unmanaged_domains(server);
        }
        let found = unmanaged(server, &people[&key], &tag).await;
        strangers_of.insert(key, found);
    }
    let mut live = Live { harness, sites, people, may_delete, version, tag, unmanaged: strangers_of };
    let (started, requests) = (Instant::now(), request_counts::requests());
    let ran = AssertUnwindSafe(async {
        (scenario.body)(&mut live).await;
        let (time, sent) = (started.elapsed(), request_counts::requests() - requests);
        assert!(live.plan().await.is_empty(), "the second plan is not empty");
        live.assert_untouched().await;
        log(&format!(
            "live: {} on {} with {}: {:.1} s, {sent} requests by tenantd",
            scenario.name,
            turn.first.title(),
            name_of(backend),
            time.as_secs_f32()
        ));
        time
    })
    .catch_unwind()
    .await;
    for (key, browser) in &live.people {
        sweep(browser, &live.unmanaged[key]).await;
    }
    match ran {
        Ok(time) => Some(time),
        Err(panic) => {
            // They may be what failed; the next scenario checks them again.
            taken.iter().for_each(|(_, server)| delete_unmanaged_domains(server));
            std::panic::resume_unwind(panic)
        }
    }
}

fn delete_unmanaged_domains(server: &Server) {
    *server.unmanaged.lock().unwrap_or_else(PoisonError::into_inner) = None;
}
