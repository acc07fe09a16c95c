//! The PBX side: what routes calls from one domain into the domain of a managed tenant.
//!
//! A domain's extensions, dialplans and gateways use the domain's own name. A context, a realm or a proxy with the name of
//! another tenant's domain sends calls there.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Finding;
use crate::fusionpbx::{PbxError, PbxRouting};
use crate::model::{DomainId, PbxRoute, TenantRecord};
use crate::report::count;

/// The check of one PBX instance.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PbxCheckResult {
    pub instance: String,
    pub domains: usize,
    pub extensions: usize,
    pub dialplans: usize,
    pub gateways: usize,
    /// Why the instance could not be checked, which does not count as passed.
    pub not_checked: Option<String>,
    pub findings: Vec<Finding>,
}

impl PbxCheckResult {
    /// An instance that could not be checked.
    pub fn not_checked(instance: &str, reason: impl Into<String>) -> Self {
        Self { instance: instance.to_owned(), not_checked: Some(reason.into()), ..Self::default() }
    }

    /// The result for people.
    pub(super) fn text(&self) -> String {
        let Self { instance, domains, extensions, dialplans, gateways, not_checked, findings } = self;
        let mut text: String = findings.iter().map(Finding::line).collect();
        text.push_str(&match not_checked {
            Some(reason) => format!("FAIL  {instance} could not be checked: {reason}\n"),
            None => format!(
                "{instance}: {}, {} and {} of {}: {}\n",
                count(*extensions, "extension"),
                count(*dialplans, "dialplan"),
                count(*gateways, "gateway"),
                count(*domains, "domain"),
                super::summary(findings.len())
            ),
        });
        text
    }

    /// Whether the instance was checked and nothing was found.
    pub fn passed(&self) -> bool {
        self.not_checked.is_none() && self.findings.is_empty()
    }
}

/// Checks one instance. It only reads. `check_server` gets the domains of the instance and refuses another server.
///
/// A failure is in the result ([`PbxCheckResult::not_checked`]).
pub async fn check_instance(
    instance: &str,
    pbx: &dyn PbxRouting,
    tenants: &[TenantRecord],
    check_server: impl FnOnce(&BTreeMap<DomainId, String>) -> Result<(), String>,
) -> PbxCheckResult {
    let read = async {
        let routes = pbx.routes().await?;
        // After the rows, so that a domain created meanwhile is not taken for a deleted one.
        let domains: BTreeMap<DomainId, String> =
            pbx.domains().await?.into_iter().map(|domain| (domain.id, domain.name)).collect();
        Ok::<_, PbxError>((domains, routes))
    };
    let (domains, routes) = match read.await {
        Ok(read) => read,
        Err(error) => return PbxCheckResult::not_checked(instance, crate::report::chain(&error)),
    };
    if let Err(reason) = check_server(&domains) {
        return PbxCheckResult::not_checked(instance, reason);
    }
    evaluate(instance, &domains, &routes, tenants)
}

/// Finds the rows that route calls into the domain of a tenant.
fn evaluate(
    instance: &str,
    domains: &BTreeMap<DomainId, String>,
    routes: &[PbxRoute],
    tenants: &[TenantRecord],
) -> PbxCheckResult {
    use crate::model::RouteKind::{Dialplan, Extension, Gateway};
    let rows = |kind| routes.iter().filter(|route| route.kind == kind).count();
    let mut result = PbxCheckResult {
        instance: instance.to_owned(),
        domains: domains.len(),
        extensions: rows(Extension),
        dialplans: rows(Dialplan),
        gateways: rows(Gateway),
        ..PbxCheckResult::default()
    };
    let by_domain: BTreeMap<&str, &TenantRecord> =
        tenants.iter().map(|record| (record.definition.domain.as_str(), record)).collect();
    for route in routes {
        let PbxRoute { kind, name, domain, domain_name, targets } = route;
        let own = match domain {
            // Rows of an incompletely deleted domain still work, in any domain that now has its name.
            Some(id) => domains.get(id).map_or("a domain that does not exist", String::as_str),
            // Global rows are the provider's own.
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
                result.findings.push(Finding::new(&object, "pbx", detail));
            }
        }
    }
    result.findings.sort();
    result.findings.dedup();
    result
}

/// The names that a value may contain: itself, and the host in `sip:user@host:port;transport=tls`.
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
    fn a_host_is_found_in_every_common_form() {
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
