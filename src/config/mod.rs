//! `tenantd.yaml`: where things are and what is allowed. It holds no secret, only where each one is kept.

mod database;
#[cfg(test)]
mod database_tests;
mod instances;
mod keys;
mod mask;
mod paths;
mod postgres_url;
mod read;
mod rules;
mod secrets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use postgres_url::{Host, PostgresUrl, PostgresUrlError, Server, TlsMode};
pub use read::ConfigErrors;
pub use secrets::{SecretError, SecretErrorKind, Variables, process_environment};

use crate::model::{InstanceKey, MaxUsers};

/// The configuration, checked and with defaults filled in. Relative paths are already resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    pub database: DatabaseConfig,
    pub tenants_dir: PathBuf,
    pub instances: BTreeMap<InstanceKey, InstanceConfig>,
    pub defaults: Defaults,
    pub tier: Tier,
    pub deletion: Deletion,
    pub limits: Limits,
    pub daemon: DaemonConfig,
    pub cross_tenant: AllowedSharing,
    /// Where archives of tenants are kept. Default: `archive` beside an SQLite database, else
    /// `/var/lib/tenantd/archive`.
    pub archive_dir: PathBuf,
    /// What the tenants directory must be to be believed. Default: nothing is asked of it.
    pub git: Option<CommitRules>,
}

/// Of which commit the tenant files must be, to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRules {
    /// The branch that must be checked out.
    pub branch: Option<String>,
    /// Who may sign a commit with an SSH key, one of whom must have: a file as in ssh-keygen(1), ALLOWED SIGNERS.
    pub allowed_signers: Option<PathBuf>,
}

/// `database_url` and its companions.
#[derive(Clone, Debug)]
pub enum DatabaseConfig {
    /// `sqlite:///path`
    Sqlite { path: PathBuf },
    /// `postgres://user@host:port,host:port/name?sslmode=…`
    Postgres {
        /// Without a password.
        url: PostgresUrl,
        password: Option<SecretSource>,
        /// Trust these certificates instead of the system's.
        ca_file: Option<PathBuf>,
    },
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A systemd credential: a file of this name below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    File(PathBuf),
    Env(String),
}

/// A FusionPBX server.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    pub key: InstanceKey,
    pub url: Url,
    /// `user@domain` of a superadmin account.
    pub username: String,
    pub password: SecretSource,
    /// The secret of the account's second factor by time, in base 32.
    pub totp: Option<SecretSource>,
    pub tls: TlsTrust,
    /// Parallel sign-ins, 1 to 16; more than 4 gained nothing where it was measured.
    pub sessions: usize,
    /// One request's time, from connecting to the last byte.
    pub timeout: Duration,
    /// The most requests that are sent in a second, 1 to 1,000. A second's worth may be saved up.
    pub max_requests_per_second: u32,
    /// Plain `http://` to another machine was asked for by name (`allow_plaintext: true`).
    pub allow_plaintext: bool,
    /// How long a web session may continue that a FusionPBX up to 5.5.2 does not end when its tenant is disabled: as
    /// long as a browser may be kept in use there. A disable counts as confirmed, and retention begins, after this
    /// time.
    pub web_session_lifetime: Duration,
}

/// Whom to believe on the other end of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsTrust {
    SystemRoots,
    CaFile(PathBuf),
    /// SHA-256 of the server's certificate.
    Fingerprint([u8; 32]),
}

/// What a tenant gets that does not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Minutes.
    pub session_timeout: u32,
    pub max_users: MaxUsers,
}

/// What the deployment's licence allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    pub name: String,
    pub max_users_per_tenant: Option<u32>,
    pub max_pbx_instances: Option<u32>,
    pub max_tenants: Option<u32>,
}

/// How a tenant whose file was removed comes to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub mode: DeletionMode,
    /// Days that a disabled tenant is kept.
    pub retention_days: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionMode {
    /// Held until an operator approves it.
    Approve,
    /// Done when every other condition holds.
    Automatic,
    Never,
}

impl DeletionMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Automatic => "automatic",
            Self::Never => "never",
        }
    }
}

/// How many tenants one rolling day may lose. The larger of count and percent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tenants removed because their file was removed, or deleted. Default: 1 and 10 %.
    pub removals: Limit,
    /// Tenants disabled by `enabled: false`, renamed or moved, which interrupts their phones as well. Default: 3 and 20
    /// %.
    pub disables: Limit,
    /// Tenants created in one pass. Default: no limit.
    pub creates: Option<Limit>,
    /// Tenants updated, renamed or moved in one pass. Default: no limit.
    pub updates: Option<Limit>,
}

/// `max(count, percent of the managed tenants)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    pub count: u32,
    /// 0 to 100.
    pub percent: u32,
}

impl Limit {
    /// How many of so many, rounded down.
    pub fn of(self, all: usize) -> usize {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let percent = usize::try_from(self.percent).unwrap_or(usize::MAX);
        count.max(all.saturating_mul(percent) / 100)
    }
}

/// How the daemon paces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Between passes when nothing wakes it. Default 5 min.
    pub interval: Duration,
    /// The directory must have been quiet this long before a pass. Default 500 ms.
    pub quiet: Duration,
    /// A pass is not put off longer than this, however busy the directory. Default 10 s.
    pub quiet_max: Duration,
    /// All per-domain settings are compared once in this time. Default 1 h.
    pub settings_cycle: Duration,
    /// The users of each instance are read at the first pass after this time; `None` where it is `never`: then only
    /// after a tenant was made, taken over or moved. Default 15 min.
    pub user_sync: Option<Duration>,
}

/// Which kinds of sharing between tenants the deployment allows. Default: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedSharing {
    pub presence: bool,
    pub contacts: bool,
    pub chat: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { session_timeout: 60, max_users: MaxUsers::Unlimited }
    }
}

impl Default for Deletion {
    fn default() -> Self {
        Self { mode: DeletionMode::Approve, retention_days: 30 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            removals: Limit { count: 1, percent: 10 },
            disables: Limit { count: 3, percent: 20 },
            creates: None,
            updates: None,
        }
    }
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(300),
            quiet: Duration::from_millis(500),
            quiet_max: Duration::from_secs(10),
            settings_cycle: Duration::from_secs(3600),
            user_sync: Some(Duration::from_secs(900)),
        }
    }
}

impl std::fmt::Display for DatabaseConfig {
    /// The database as an operator names it, without credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite://{}", path.display()),
            Self::Postgres { url, .. } => url.fmt(f),
        }
    }
}
