//! The PBX side: what of one domain reaches into the domain of a managed tenant.
//!
//! A domain's extensions, dialplans and gateways work within its own name. A context, a realm or a proxy that is
//! another tenant's domain takes calls there.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Finding;
use crate::fusionpbx::{PbxError, PbxRouting};
use crate::model::{DomainId, PbxRoute, TenantRecord};

/// What was checked on one PBX instance.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PbxSweep {
    pub instance: String,
    pub domains: usize,
    pub extensions: usize,
    pub dialplans: usize,
    pub gateways: usize,
    /// Why it could not be checked. That is not a pass.
    pub not_checked: Option<String>,
    pub findings: Vec<Finding>,
}

impl PbxSweep {
    /// An instance that could not be checked.
    pub fn not_checked(instance: &str, reason: impl Into<String>) -> Self {
        Self { instance: instance.to_owned(), not_checked: Some(reason.into()), ..Self::default() }
    }

    pub fn is_tight(&self) -> bool {
        self.not_checked.is_none() && self.findings.is_empty()
    }
}

/// Reads an instance whole. Only reads.
pub async fn sweep(
    instance: &str,
    pbx: &dyn PbxRouting,
    tenants: &[TenantRecord],
    is_the_server: impl FnOnce(&BTreeMap<DomainId, String>) -> Result<(), String>,
) -> PbxSweep {
    let read = async {
        let routes = pbx.routes().await?;
        // After the rows, so that a domain made meanwhile is not taken for one that is gone.
        let domains: BTreeMap<DomainId, String> =
            pbx.domains().await?.into_iter().map(|domain| (domain.id, domain.name)).collect();
        Ok::<_, PbxError>((domains, routes))
    };
    let (domains, routes) = match read.await {
        Ok(read) => read,
        Err(error) => return PbxSweep::not_checked(instance, crate::report::chain(&error)),
    };
    if let Err(reason) = is_the_server(&domains) {
        return PbxSweep::not_checked(instance, reason);
    }
    judged(instance, &domains, &routes, tenants)
}

/// What the rows mean.
pub fn judged(
    instance: &str,
    domains: &BTreeMap<DomainId, String>,
    routes: &[PbxRoute],
    tenants: &[TenantRecord],
) -> PbxSweep {
    use crate::model::RouteKind::{Dialplan, Extension, Gateway};
    let count = |kind| routes.iter().filter(|route| route.kind == kind).count();
    let mut sweep = PbxSweep {
        instance: instance.to_owned(),
        domains: domains.len(),
        extensions: count(Extension),
        dialplans: count(Dialplan),
        gateways: count(Gateway),
        ..PbxSweep::default()
    };
    let by_domain: BTreeMap<&str, &TenantRecord> =
        tenants.iter().map(|record| (record.definition.domain.as_str(), record)).collect();
    for route in routes {
        let PbxRoute { kind, name, domain, domain_name, targets } = route;
        let own = match domain {
            // Rows of a domain that was deleted by halves work on, within anyone who has its name now.
            Some(id) => domains.get(id).map_or("a domain that does not exist", String::as_str),
            // What belongs to all domains is the provider's own.
            None if domains.values().all(|known| known != domain_name) => continue,
            None => domain_name,
        };
        for (field, value) in targets {
            let Some((target, tenant)) = hosts(value).find_map(|host| by_domain.get_key_value(host.as_str()))
            else {
                continue;
            };
            if !own.eq_ignore_ascii_case(target) {
                let object = format!("{instance}: {} {name} of {own}", kind.as_str());
                let detail = format!("its {field} is {value}, the domain of the tenant {}", tenant.key);
                sweep.findings.push(Finding::new(&object, "pbx", detail));
            }
        }
    }
    sweep.findings.sort();
    sweep.findings.dedup();
    sweep
}

/// The names that a value may mean: the whole, and the host in `sip:user@host:port;transport=tls`.
fn hosts(value: &str) -> impl Iterator<Item = String> {
    let lower = value.trim().to_lowercase();
    let host = lower.rsplit('@').next().unwrap_or_default().trim_start_matches(['<', '"', ' ']);
    let host = host.trim_start_matches("sips:").trim_start_matches("sip:");
    let host = host.split([':', ';', ',', '/', '>']).next().unwrap_or_default().trim_matches(['<', ' ', '.']);
    let host = host.to_owned();
    [lower, host].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_in_every_common_spelling() {
        for value in [
            "b.example.com",
            "B.Example.com",
            "sip:b.example.com",
            "sip:100@b.example.com:5061;transport=tls",
            "sips:b.example.com:5061",
            "b.example.com:5080",
            "agents@b.example.com",
            "<sip:b.example.com>",
            "b.example.com.",
        ] {
            assert!(hosts(value).any(|host| host == "b.example.com"), "{value}");
        }
        for value in ["", "public", "xb.example.com", "b.example.com.evil.org", "10.0.0.1"] {
            assert!(hosts(value).all(|host| host != "b.example.com"), "{value}");
        }
    }
}
