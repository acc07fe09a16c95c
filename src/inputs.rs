//! What one pass decides from: the files, the database and the PBXs as they were read.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::model::{
    Desired, DomainId, DomainState, InstanceKey, InstanceView, Observed, PbxSetting, Recorded, TenantKey,
    TenantRecord,
};
use crate::plan::{self, Inputs, Plan, Policy};

/// The three sides as one pass saw them.
#[derive(Clone, Debug)]
pub struct PassInputs {
    pub desired: Desired,
    pub recorded: Recorded,
    pub observed: Observed,
    pub policy: Policy,
    pub now: DateTime<Utc>,
    /// Who the servers proved to be.
    pub identities: BTreeMap<InstanceKey, String>,
}

impl PassInputs {
    /// Diff and plan: a pure function of what was seen.
    pub fn plan(&self) -> Plan {
        plan::make(self.inputs())
    }

    /// Why an instance is not to be believed: it could not be seen whole, or may be another server.
    pub fn doubts(&self, instance: &InstanceKey) -> Option<String> {
        if let InstanceView::Unknown { reason } = self.observed.instance(instance) {
            return Some(reason.clone());
        }
        plan::vanished(self.inputs()).get(instance).map(|missing| {
            format!(
                "{missing} recorded domains are missing on {instance} at once. It may be another server or a \
                 restored backup"
            )
        })
    }

    /// Whether a plan for one tenant is another one with these settings of its domain than without.
    ///
    /// It asks the planner itself, so that no difference which a pass would act on or report is missed. What else the
    /// tenant needs does not count.
    pub fn settings_differ(&self, key: &TenantKey, settings: Vec<PbxSetting>) -> bool {
        let Some(record) = self.recorded.tenants.get(key) else { return false };
        let without = self.of_tenant(record, BTreeMap::new()).plan();
        let with = self.of_tenant(record, [(record.domain_id, settings)].into()).plan();
        with.id != without.id || with.drifted != without.drifted || with.counts.drift != without.counts.drift
    }

    /// What was read of one tenant, as if there were no other.
    fn of_tenant(&self, record: &TenantRecord, settings: BTreeMap<DomainId, Vec<PbxSetting>>) -> Self {
        let (key, instance) = (&record.key, &record.definition.instance);
        let desired = Desired {
            tenants: self.desired.tenants.get_key_value(key).map(owned).into_iter().collect(),
            broken: self
                .desired
                .broken
                .iter()
                .filter(|file| file.key.as_ref() == Some(key))
                .cloned()
                .collect(),
            completeness: self.desired.completeness.clone(),
            ..Desired::unreadable("")
        };
        let recorded = Recorded {
            tenants: [(key.clone(), record.clone())].into(),
            pauses: self.recorded.pauses.clone(),
            clock_steady_since: self.recorded.clock_steady_since,
            ..Recorded::default()
        };
        let domains = match self.observed.instance(instance).domain(record.domain_id) {
            DomainState::Present(domain) => [(domain.id, domain.clone())].into(),
            DomainState::Absent | DomainState::Unknown => BTreeMap::new(),
        };
        let observed = Observed {
            instances: [(instance.clone(), InstanceView::Seen { domains, settings })].into(),
            versions: self.observed.versions.get_key_value(instance).map(owned).into_iter().collect(),
        };
        let (policy, identities) = (self.policy.clone(), BTreeMap::new());
        Self { desired, recorded, observed, policy, now: self.now, identities }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            desired: &self.desired,
            recorded: &self.recorded,
            observed: &self.observed,
            policy: &self.policy,
            now: self.now,
        }
    }
}

fn owned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}
