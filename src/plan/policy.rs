use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{Config, Deletion, Limits};
use crate::model::{InstanceKey, TenantKey};

/// What the deployment allows, and what an operator allowed by hand for this run.
#[derive(Clone, Debug)]
pub struct Policy {
    pub deletion: Deletion,
    pub limits: Limits,
    /// How many tenants the tier allows.
    pub max_tenants: Option<u32>,
    /// `apply --allow-delete KEY`.
    pub allow_delete: BTreeSet<TenantKey>,
    /// `--no-removals`: the brake. Nothing is disabled, deleted or dropped in this run.
    pub no_removals: bool,
    /// Only these tenants; empty means all.
    pub only: BTreeSet<TenantKey>,
    /// The domain that tenantd's own account lives in, by instance: disabling it would lock tenantd out.
    pub own_domains: BTreeMap<InstanceKey, String>,
    /// How long a web session may continue where disabling does not end it.
    pub web_session_lifetimes: BTreeMap<InstanceKey, Duration>,
}

impl Policy {
    pub fn new(config: &Config) -> Self {
        Self {
            deletion: config.deletion.clone(),
            limits: config.limits.clone(),
            max_tenants: config.tier.max_tenants,
            allow_delete: BTreeSet::new(),
            no_removals: false,
            only: BTreeSet::new(),
            own_domains: config
                .instances
                .iter()
                .filter_map(|(key, instance)| {
                    let (_, domain) = instance.username.rsplit_once('@')?;
                    Some((key.clone(), domain.to_ascii_lowercase()))
                })
                .collect(),
            web_session_lifetimes: config
                .instances
                .iter()
                .map(|(key, instance)| (key.clone(), instance.web_session_lifetime))
                .collect(),
        }
    }

    /// Whether tenantd's own account on this instance lives in the domain of this name.
    pub fn is_own_domain(&self, instance: &InstanceKey, domain: &str) -> bool {
        self.own_domains.get(instance).is_some_and(|own| own.eq_ignore_ascii_case(domain))
    }
}
