//! What nobody may touch in a pass: what the directory does not speak of, what people suspended, what is only reported.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tenantd::model::{Completeness, Desired, DomainId, DriftPolicy, InstanceKey, Recorded, TenantRecord};
use tenantd::plan::definition_hash;

use crate::process::Task;
use crate::properties::heirs;

#[derive(Default)]
pub struct OffLimits {
    everything: Option<&'static str>,
    instances: BTreeSet<InstanceKey>,
    domains: BTreeMap<(InstanceKey, DomainId), &'static str>,
}

impl OffLimits {
    pub fn of(recorded: &Recorded, task: &Task, now: DateTime<Utc>) -> Self {
        let Task { desired, policy, rotation: _ } = task;
        let mut limits = Self::default();
        if matches!(desired.completeness, Completeness::Unreadable { .. }) {
            limits.everything = Some("the directory was not read");
        }
        for record in recorded.tenants.values() {
            let mut heirs = heirs(desired, recorded, record);
            heirs.insert(record.key.clone());
            if desired.is_broken(&record.key) {
                limits.close(record, "its file is broken");
            }
            if !policy.only.is_empty() && heirs.is_disjoint(&policy.only) {
                limits.close(record, "the pass is for others only");
            }
            if is_only_reported(desired, record) {
                limits.close(record, "what differs is only to be reported");
            }
            for suspension in recorded.suspensions.iter().filter(|suspension| suspension.until > now) {
                let of_instance = suspension.instance.as_ref().is_none_or(|key| *key == record.instance);
                let of_tenant =
                    suspension.key.as_ref().is_none_or(|key| heirs.iter().all(|heir| heir == key));
                if of_instance && of_tenant {
                    limits.close(record, "it is suspended");
                }
            }
        }
        for suspension in recorded.suspensions.iter().filter(|suspension| suspension.until > now) {
            match (&suspension.key, &suspension.instance) {
                (None, None) => limits.everything = Some("everything is suspended"),
                (None, Some(instance)) => {
                    limits.instances.insert(instance.clone());
                }
                (Some(_), _) => {}
            }
        }
        limits
    }

    fn close(&mut self, record: &TenantRecord, why: &'static str) {
        self.domains.insert((record.instance.clone(), record.domain_id), why);
    }

    pub fn judge(&self, instance: &InstanceKey, id: DomainId) -> Result<(), String> {
        if let Some(why) = self.everything {
            return Err(format!("it is off limits: {why}"));
        }
        if self.instances.contains(instance) {
            return Err("it is off limits: the instance is suspended".into());
        }
        match self.domains.get(&(instance.clone(), id)) {
            Some(why) => Err(format!("it is off limits: {why}")),
            None => Ok(()),
        }
    }
}

/// The file says `drift: report`, and nothing in it is new since it was applied whole.
fn is_only_reported(desired: &Desired, record: &TenantRecord) -> bool {
    desired.tenants.get(&record.key).is_some_and(|tenant| {
        tenant.drift == DriftPolicy::Report
            && record.applied_hash.as_ref() == Some(&definition_hash(tenant))
            && tenant.domain == record.domain
            && tenant.instance == record.instance
            && tenant.enabled == record.enabled
            && record.provisioned
            && record.removed_at.is_none()
            && (record.enabled || record.disable_confirmed_at.is_some())
    })
}
