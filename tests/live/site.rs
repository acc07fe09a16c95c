//! The servers that the environment names, and what surrounds each scenario: strangers that must stay as they are, and
//! a broom.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tenantd::config::{InstanceConfig, SecretSource, TlsTrust};
use tenantd::model::{DomainName, InstanceKey, Secret, Tenant};
use tenantd::plan::Plan;
use uuid::Uuid;

use super::common::rig::{self, Backend, Rig, instance};
use super::counting;
use super::person::Person;

/// What every domain of this suite begins with.
pub const PREFIX: &str = "tenantd-live-";

/// Domains whose pages are all compared; of more than these the rows of the bulk list are.
const LOOKED_INTO: usize = 25;

/// A server as the environment names it.
#[derive(Clone)]
pub struct Site {
    pub url: String,
    pub user: String,
    pub password: String,
    pub ca_file: Option<PathBuf>,
    pub ca_pem: Option<Vec<u8>>,
    pub fingerprint: Option<String>,
}

impl Site {
    fn named(variable: &str) -> Option<Self> {
        let get = |what: &str| {
            std::env::var(format!("{variable}_{what}")).ok().filter(|value| !value.trim().is_empty())
        };
        let ca_file = get("CA_FILE").map(PathBuf::from);
        Some(Self {
            url: get("URL")?,
            user: get("USER")?,
            password: get("PASSWORD")?,
            ca_pem: ca_file.as_ref().map(|path| std::fs::read(path).expect("the CA file can be read")),
            ca_file,
            fingerprint: get("FINGERPRINT"),
        })
    }

    fn config(&self, name: &str) -> InstanceConfig {
        let tls = match (&self.ca_file, &self.fingerprint) {
            (Some(path), _) => TlsTrust::CaFile(path.clone()),
            (None, Some(text)) => TlsTrust::Fingerprint(fingerprint(text)),
            (None, None) => TlsTrust::SystemRoots,
        };
        InstanceConfig {
            key: instance(name),
            url: self.url.parse().expect("a URL"),
            username: self.user.clone(),
            password: SecretSource::Env("UNUSED".into()),
            tls,
            sessions: 4,
            timeout: Duration::from_secs(60),
            allow_plaintext: false,
            totp: None,
            web_session_lifetime: Duration::from_secs(24 * 3600),
            max_requests_per_second: 50,
        }
    }
}

fn fingerprint(text: &str) -> [u8; 32] {
    let hex = text.trim_start_matches("sha256:").replace(':', "");
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("hexadecimal digits"))
        .collect();
    bytes.try_into().expect("a SHA-256 fingerprint")
}

fn tell(line: &str) {
    // Past the capture of the test harness: a line for whoever reads the log of a live run.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn sites() -> Option<BTreeMap<InstanceKey, Site>> {
    let first = Site::named("TENANTD_LIVE_PBX");
    let Some(first) = first else {
        static SKIPPED: Once = Once::new();
        SKIPPED.call_once(|| {
            tell(
                "skipped the live suite: TENANTD_LIVE_PBX_URL, TENANTD_LIVE_PBX_USER and TENANTD_LIVE_PBX_PASSWORD are \
                 not all set",
            );
        });
        return None;
    };
    let second = Site::named("TENANTD_LIVE_PBX2").map(|site| (instance("branch"), site));
    Some([(instance("hq"), first)].into_iter().chain(second).collect())
}

/// One scenario's surroundings.
pub struct Live {
    pub rig: Rig,
    pub sites: BTreeMap<InstanceKey, Site>,
    pub people: BTreeMap<InstanceKey, Person>,
    /// Whether the accounts may delete domains.
    pub may_delete: bool,
    tag: String,
    strangers: Strangers,
}

/// Everything of the domains that were there before the scenario.
struct Strangers {
    pages: BTreeMap<(InstanceKey, Uuid), String>,
    rows: BTreeMap<InstanceKey, BTreeMap<String, serde_json::Value>>,
}

impl Live {
    pub fn person(&self, on: &str) -> &Person {
        &self.people[&instance(on)]
    }

    /// A figure for whoever reads the log of a live run.
    pub fn tell(&self, figure: &str) {
        tell(&format!("live: {figure}"));
    }

    pub fn has_second(&self) -> bool {
        self.sites.len() > 1
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
        Tenant { domain: self.domain(name), ..rig::tenant(name) }
    }

    /// Only looks; fails if tenantd sent a changing request.
    pub async fn plan(&self) -> Plan {
        let before = counting::changes();
        let plan = self.rig.look().await.plan();
        assert_eq!(counting::changes(), before, "a plan sent a changing request");
        plan
    }

    /// A pass that must do everything it planned, after which nothing is left to do.
    pub async fn converge(&self) -> Plan {
        let plan = self.rig.converge().await;
        assert!(self.plan().await.is_empty());
        plan
    }

    async fn strangers(people: &BTreeMap<InstanceKey, Person>) -> Strangers {
        let mut strangers = Strangers { pages: BTreeMap::new(), rows: BTreeMap::new() };
        for (site, person) in people {
            strangers.rows.insert(site.clone(), person.enabled_rows().await);
            let domains = person.domains().await;
            // Evenly over the list, and always the suite's own strangers.
            let every = domains.len().div_ceil(LOOKED_INTO).max(1);
            for (at, (id, name)) in domains.into_iter().enumerate() {
                if at % every == 0 || name.starts_with(PREFIX) {
                    strangers.pages.insert((site.clone(), id), person.all_of(id).await);
                }
            }
        }
        strangers
    }

    /// Fails unless every domain that was there before is exactly as it was.
    async fn assert_untouched(&self) {
        for ((site, id), before) in &self.strangers.pages {
            let now = self.people[site].all_of(*id).await;
            assert_eq!(now, *before, "the domain {id} on {site} is not ours and was touched");
        }
        for (site, before) in &self.strangers.rows {
            let now = self.people[site].enabled_rows().await;
            for (id, row) in before {
                assert_eq!(now.get(id), Some(row), "the domain {id} on {site} is not ours and was touched");
            }
        }
    }
}

/// Makes the strangers that every server has during a scenario.
async fn make_strangers(tag: &str, person: &Person) {
    let name = |name: &str| format!("{PREFIX}{tag}-{name}.example.com");
    let busy = person.create_domain(&name("stranger"), true, "A & B <c> \"d\" 'e'").await;
    person.add_setting(busy, "domain.cidr.array", "0.0.0.0/0", true, "everybody").await;
    person.add_setting(busy, "limit.users.numeric", "7", true, "").await;
    person.add_user(busy, "olga", "Stranger-Secret-1").await;
    person.create_domain(&name("closed-stranger"), false, "").await;
    // Its name holds a tenant's: FusionPBX renames by substring.
    person.create_domain(&format!("{PREFIX}x-{}", name("t1")), true, &name("t1")).await;
}

/// Removes the domains whose names begin with a text; says how many could not be.
async fn sweep(person: &Person, beginning: &str) -> usize {
    let leftovers: Vec<_> =
        person.domains().await.into_iter().filter(|(_, name)| name.starts_with(beginning)).collect();
    if leftovers.is_empty() || !person.may_delete().await {
        return leftovers.len();
    }
    for (id, _) in &leftovers {
        person.delete_domain(*id).await;
    }
    person.domains().await.values().filter(|name| name.starts_with(beginning)).count()
}

type Body<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs one scenario; the servers are shared, so one after the other.
pub async fn run(name: &str, backend: Backend, scenario: impl for<'a> FnOnce(&'a mut Live) -> Body<'a>) {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    static SWEPT: AtomicU32 = AtomicU32::new(0);
    let Some(sites) = sites() else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    counting::start();
    let mut people = BTreeMap::new();
    for (key, site) in &sites {
        people.insert(key.clone(), Person::superadmin(site).await);
    }
    let number = SWEPT.fetch_add(1, Ordering::SeqCst);
    if number == 0 {
        for person in people.values() {
            sweep(person, PREFIX).await;
        }
    }
    let mut may_delete = true;
    for person in people.values() {
        may_delete &= person.may_delete().await;
    }
    let tag = format!("{:x}-{number}", std::process::id());
    for person in people.values() {
        make_strangers(&tag, person).await;
    }
    let strangers = Live::strangers(&people).await;
    let instances = sites.iter().map(|(key, site)| (key.clone(), site.config(key.as_str()))).collect();
    let passwords =
        sites.iter().map(|(key, site)| (key.clone(), Secret::new(site.password.clone()))).collect();
    let Some(rig) = Rig::over(backend, instances, passwords).await else { return };
    let mut live = Live { rig, sites, people, may_delete, tag, strangers };

    let (started, requests) = (Instant::now(), counting::requests());
    let ran = AssertUnwindSafe(async {
        scenario(&mut live).await;
        let (seconds, sent) = (started.elapsed().as_secs_f32(), counting::requests() - requests);
        assert!(live.plan().await.is_empty(), "the second plan is not empty");
        live.assert_untouched().await;
        tell(&format!("live: {name} on {backend:?}: {seconds:.1} s, {sent} requests by tenantd"));
    })
    .catch_unwind()
    .await;
    for (key, person) in &live.people {
        // Two beginnings: the tenants', and the stranger's that holds a tenant's name.
        let own = format!("{PREFIX}{}-", live.tag);
        let left = sweep(person, &own).await + sweep(person, &format!("{PREFIX}x-{own}")).await;
        if left > 0 {
            tell(&format!(
                "live: {left} domains whose names begin with {PREFIX} stay on {key}, because the account may not delete \
                 domains; grant it `domain_delete` and run the suite again, which sweeps them"
            ));
        }
    }
    if let Err(panic) = ran {
        std::panic::resume_unwind(panic);
    }
}
