//! The random configuration of a seed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tenantd::config::{
    AllowedSharing, Config, DaemonConfig, DatabaseConfig, Defaults, Deletion, DeletionMode, InstanceConfig,
    Limit, Limits, SecretSource, Tier, TlsTrust,
};

use crate::directory::instance;
use crate::state::State;

/// How long a web session lasts if the server does not end it.
pub const WEB_SESSION_LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub fn config(state: &mut State, database: &Path) -> Config {
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
            totp: None,
            web_session_lifetime: WEB_SESSION_LIFETIME,
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
            retention_days: state.pick(&[0, 1, 1, 2, 5, 30]),
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
        git: None,
    }
}
