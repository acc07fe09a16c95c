//! Stage 2: what the PBXs show. Reads only; what cannot be read whole is unknown, never absent.

mod rotation;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use crate::fusionpbx::{PbxError, PbxRead};
use crate::model::{
    DomainId, InstanceKey, InstanceView, Observed, PbxDomain, PbxSetting, PbxVersion, Recorded,
};
use crate::sabotage::{Bug, active};

pub use rotation::Rotation;

/// What to look at and how far to trust it.
pub struct Observer<'a> {
    pub pbxs: &'a BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    /// The domain of tenantd's own account on each instance: its uuid is the server's identity.
    pub own_domains: &'a BTreeMap<InstanceKey, String>,
    /// The identities that were recorded when the instances were first seen.
    pub identities: &'a BTreeMap<InstanceKey, String>,
    /// How many domains' settings are read at once.
    pub parallel: &'a BTreeMap<InstanceKey, usize>,
    pub rotation: Rotation,
}

fn unknown(reason: String) -> (InstanceView, Option<PbxVersion>) {
    (InstanceView::Unknown { reason }, None)
}

impl Observer<'_> {
    /// Looks at all instances side by side. One that fails is unknown and does not stop the others.
    pub async fn look(&self, recorded: &Recorded) -> Observed {
        let views = self.pbxs.iter().map(|(key, pbx)| async move {
            let view = match AssertUnwindSafe(self.instance(key, &**pbx, recorded)).catch_unwind().await {
                Ok(Ok(seen)) => seen,
                Ok(Err(_)) if active(Bug::UnknownIsAbsent) => {
                    (InstanceView::Seen { domains: BTreeMap::new(), settings: BTreeMap::new() }, None)
                }
                Ok(Err(error)) => unknown(error.to_string()),
                Err(panic) => unknown(format!("reading it panicked: {}", crate::report::panic_text(&*panic))),
            };
            (key.clone(), view)
        });
        let mut observed = Observed::default();
        for (key, (view, version)) in join_all(views).await {
            if matches!(view, InstanceView::Seen { .. }) {
                observed.versions.insert(key.clone(), version);
            }
            observed.instances.insert(key, view);
        }
        observed
    }

    async fn instance(
        &self,
        key: &InstanceKey,
        pbx: &dyn PbxRead,
        recorded: &Recorded,
    ) -> Result<(InstanceView, Option<PbxVersion>), PbxError> {
        let domains: BTreeMap<DomainId, PbxDomain> =
            pbx.domains().await?.into_iter().map(|domain| (domain.id, domain.in_lower_case())).collect();
        if let Some(reason) = self.not_the_server_we_knew(key, &domains) {
            return Ok(unknown(reason));
        }
        let version = pbx.version().await?;
        let due = self.rotation.due(key, recorded, &domains);
        let width = self.parallel.get(key).copied().unwrap_or(1).max(1);
        let read: Vec<(DomainId, Result<Vec<PbxSetting>, PbxError>)> = stream::iter(due)
            .map(|id| async move { (id, pbx.settings(id).await) })
            .buffer_unordered(width)
            .collect()
            .await;
        let mut settings = BTreeMap::new();
        for (id, rows) in read {
            // Half-read settings make the whole view unknown: a pass either knows or does not.
            settings.insert(id, rows?);
        }
        Ok((InstanceView::Seen { domains, settings }, version))
    }

    /// Another machine behind a known address: the domain of our own account has another identity there.
    fn not_the_server_we_knew(
        &self,
        key: &InstanceKey,
        domains: &BTreeMap<DomainId, PbxDomain>,
    ) -> Option<String> {
        let known = self.identities.get(key)?;
        let found = self.identity(key, domains);
        if found.as_deref() == Some(known.as_str()) || active(Bug::AnyServer) {
            return None;
        }
        let found = found.unwrap_or_else(|| "none".to_owned());
        Some(format!(
            "another server answers at its address: the id of the domain of tenantd's account was {known} and is \
             now {found}. If the server was replaced on purpose: tenantd pbx enroll {key}"
        ))
    }

    /// The uuid of the domain that tenantd's own account lives in.
    pub fn identity(&self, key: &InstanceKey, domains: &BTreeMap<DomainId, PbxDomain>) -> Option<String> {
        let own = self.own_domains.get(key)?;
        domains.values().find(|domain| domain.name == *own).map(|domain| domain.id.to_string())
    }
}
