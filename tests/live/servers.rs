//! The servers that the environment names.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tenantd::config::{InstanceConfig, SecretSource, TlsTrust};
use tenantd::fusionpbx::Credentials;
use tenantd::model::{PbxVersion, Secret};

use super::common::harness::instance;
use super::site::UnmanagedDomains;

/// A server as the environment names it.
#[derive(Clone)]
pub struct Site {
    pub url: String,
    pub user: String,
    pub password: String,
    pub ca_file: Option<PathBuf>,
    pub ca_pem: Option<Vec<u8>>,
    pub fingerprint: Option<String>,
    /// The secret of the account's second factor.
    pub totp: Option<String>,
}

/// Which variables make a server of it.
pub const WANTED: &str =
    "TENANTD_LIVE_PBX_URL, TENANTD_LIVE_PBX_USER and TENANTD_LIVE_PBX_PASSWORD are not all set";

/// The values of a variable; several are separated by blanks or commas.
fn values(name: &str) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_default();
    text.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

impl Site {
    /// The servers of one family of variables: as many as it has addresses, with one account for all of them or one for
    /// each.
    fn all(variable: &str) -> Result<Vec<Self>, String> {
        let urls = values(&format!("{variable}_URL"));
        let count = urls.len();
        let each = |name: String| -> Result<Vec<Option<String>>, String> {
            let values = values(&name);
            match values.len() {
                0 => Ok(vec![None; count]),
                1 => Ok(vec![Some(values[0].clone()); count]),
                n if n == count => Ok(values.into_iter().map(Some).collect()),
                n => Err(format!(
                    "{name} has {n} values for {count} addresses; give one for all, or one for each"
                )),
            }
        };
        let users = each(format!("{variable}_USER"))?;
        let passwords = each(format!("{variable}_PASSWORD"))?;
        let ca_files = each(format!("{variable}_CA_FILE"))?;
        let fingerprints = each(format!("{variable}_FINGERPRINT"))?;
        let totps = each("TENANTD_LIVE_TOTP_SECRET".to_owned())?;
        let mut sites = Vec::new();
        for (at, url) in urls.into_iter().enumerate() {
            let (Some(user), Some(password)) = (users[at].clone(), passwords[at].clone()) else {
                return Ok(Vec::new());
            };
            let ca_file = ca_files[at].clone().map(PathBuf::from);
            let ca_pem = match &ca_file {
                Some(path) => Some(
                    std::fs::read(path)
                        .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
                ),
                None => None,
            };
            let fingerprint = fingerprints[at].clone();
            sites.push(Self { url, user, password, ca_file, ca_pem, fingerprint, totp: totps[at].clone() });
        }
        Ok(sites)
    }

    /// Host and port, as trials are named.
    pub fn address(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.trim_end_matches('/')
    }

    pub fn config(&self, name: &str) -> InstanceConfig {
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

    pub fn credentials(&self) -> Credentials {
        Credentials { password: Secret::new(self.password.clone()), totp: self.totp.clone().map(Secret::new) }
    }
}

fn fingerprint(text: &str) -> [u8; 32] {
    let hex = text.trim_start_matches("sha256:").replace(':', "");
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("hexadecimal digits"))
        .collect();
    bytes.try_into().expect("a SHA-256 fingerprint")
}

/// A server, and what this run knows about it.
pub struct Server {
    pub site: Site,
    /// Held by the scenario that runs on it.
    turn: Mutex<()>,
    used: AtomicBool,
    /// The unmanaged domains of all scenarios on it, as the first one found them.
    pub unmanaged: Mutex<Option<Arc<UnmanagedDomains>>>,
    version: OnceLock<Option<PbxVersion>>,
}

impl Server {
    fn new(site: Site) -> Self {
        Self {
            site,
            turn: Mutex::new(()),
            used: AtomicBool::new(false),
            unmanaged: Mutex::new(None),
            version: OnceLock::new(),
        }
    }

    /// Whether this scenario is the first on it.
    pub fn is_first_use(&self) -> bool {
        !self.used.swap(true, Ordering::SeqCst)
    }

    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::SeqCst)
    }

    pub fn learn_version(&self, version: Option<PbxVersion>) {
        self.version.get_or_init(|| version);
    }

    /// What it says of its version, else where it is.
    pub fn title(&self) -> String {
        match self.version.get() {
            Some(Some(version)) => version.to_string(),
            _ => self.site.address().to_owned(),
        }
    }
}

/// All servers: those that each scenario runs on, and one more as a second server for moves.
pub struct Servers {
    listed: Vec<Server>,
    helper: Option<Server>,
}

impl Servers {
    /// *Errors*: the variables do not fit each other.
    pub fn of_environment() -> Result<Self, String> {
        let listed = Site::all("TENANTD_LIVE_PBX")?.into_iter().map(Server::new).collect();
        let helper = Site::all("TENANTD_LIVE_PBX2")?.into_iter().map(Server::new).next();
        Ok(Self { listed, helper })
    }

    pub fn listed(&self) -> &[Server] {
        &self.listed
    }

    pub fn all(&self) -> impl Iterator<Item = &Server> {
        self.listed.iter().chain(&self.helper)
    }

    pub fn titles(&self) -> Vec<String> {
        self.listed.iter().map(Server::title).collect()
    }

    /// The second server beside one of the list.
    fn second(&self, beside: usize) -> Option<&Server> {
        if self.helper.is_some() || self.listed.len() < 2 {
            return self.helper.as_ref();
        }
        self.listed.get((beside + 1) % self.listed.len())
    }

    /// Waits until one server, or it and a second one, is free.
    pub fn take(&self, at: usize, with_second: bool) -> Turn<'_> {
        let first = &self.listed[at];
        let second = if with_second { self.second(at) } else { None };
        // Always in the same order, so that no two scenarios wait for each other.
        let mut order: Vec<&Server> = std::iter::once(first).chain(second).collect();
        order.sort_by_key(|server| std::ptr::from_ref(*server) as usize);
        let guards =
            order.into_iter().map(|server| server.turn.lock().unwrap_or_else(PoisonError::into_inner));
        Turn { _guards: guards.collect(), first, second }
    }
}

/// The turn of one scenario.
pub struct Turn<'a> {
    pub first: &'a Server,
    pub second: Option<&'a Server>,
    _guards: Vec<MutexGuard<'a, ()>>,
}
