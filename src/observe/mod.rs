//! Stage 2: reads what the PBXs show. An instance that is not fully read is unknown, never empty.

mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use crate::fusionpbx::{PbxError, PbxRead};
use crate::model::{
    Desired, DomainId, InstanceKey, InstanceView, Observed, PbxDomain, PbxSetting, PbxVersion, Recorded,
};
use crate::sabotage::{Bug, active};

pub use rotation::Rotation;

/// Reads the instances, and checks that each is the server it was before.
pub struct Observer<'a> {
    pub pbxs: &'a BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    /// The domain of tenantd's own account on each instance. Its uuid is the server's identity.
    pub own_domains: &'a BTreeMap<InstanceKey, String>,
    /// The recorded identities of the instances.
    pub identities: &'a BTreeMap<InstanceKey, String>,
    /// How many domains' settings are read at the same time, by instance.
    pub parallel: &'a BTreeMap<InstanceKey, usize>,
    /// Whose settings are read.
    pub rotation: &'a Rotation,
}

fn unknown(reason: String) -> (InstanceView, Option<PbxVersion>) {
    (InstanceView::Unknown { reason }, None)
}

impl Observer<'_> {
    /// Reads all instances at the same time. An instance that fails is unknown and does not stop the others.
    pub async fn observe(&self, desired: &Desired, recorded: &Recorded) -> Observed {
        let due = self.rotation.due(desired, recorded);
        let due = &due;
        let views = self.pbxs.iter().map(|(key, pbx)| async move {
            let view = match AssertUnwindSafe(self.instance(key, &**pbx, due)).catch_unwind().await {
                Ok(Ok(view)) => view,
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
        due: &BTreeSet<DomainId>,
    ) -> Result<(InstanceView, Option<PbxVersion>), PbxError> {
        let domains: BTreeMap<DomainId, PbxDomain> =
            pbx.domains().await?.into_iter().map(|domain| (domain.id, domain.in_lower_case())).collect();
        if let Some(reason) = self.replaced_server(key, &domains) {
            return Ok(unknown(reason));
        }
        let version = pbx.version().await?;
        let due = due.iter().copied().filter(|domain| domains.contains_key(domain));
        let width = self.parallel.get(key).copied().unwrap_or(1).max(1);
        let read: Vec<(DomainId, Result<Vec<PbxSetting>, PbxError>)> = stream::iter(due)
            .map(|id| async move { (id, pbx.settings(id).await) })
            .buffer_unordered(width)
            .collect()
            .await;
        let mut settings = BTreeMap::new();
        for (id, rows) in read {
            // If one domain's settings cannot be read, the whole instance is unknown.
            settings.insert(id, rows?);
        }
        Ok((InstanceView::Seen { domains, settings }, version))
    }

    /// Why the server is another one than before, if it is: the domain of tenantd's own account has another id.
    fn replaced_server(&self, key: &InstanceKey, domains: &BTreeMap<DomainId, PbxDomain>) -> Option<String> {
        let known = self.identities.get(key)?;
        let found = self.identity(key, domains);
        if found.as_deref() == Some(known.as_str()) || active(Bug::AnyServer) {
            return None;
        }
        let found = found.unwrap_or_else(|| "no id".to_owned());
        Some(format!(
            "another server answers at its address: the domain of tenantd's account had the id {known} and now has \
             {found}. If the server was replaced on purpose: tenantd pbx enroll {key}"
        ))
    }

    /// The identity of a server: the uuid of the domain of tenantd's own account.
    pub fn identity(&self, key: &InstanceKey, domains: &BTreeMap<DomainId, PbxDomain>) -> Option<String> {
        let own = self.own_domains.get(key)?;
        domains.values().find(|domain| domain.name == *own).map(|domain| domain.id.to_string())
    }
}
