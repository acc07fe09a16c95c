//! What no one may touch in a pass: what the directory does not speak of, what people paused, what is only reported.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tenantd::model::{Completeness, Desired, DomainId, DriftPolicy, InstanceKey, Recorded, TenantRecord};
use tenantd::plan::definition_hash;

use crate::process::Task;
use crate::properties::heirs;

#[derive(Default)]
pub struct OffLimits {
    everything: Vec<Why>,
    instances: BTreeMap<InstanceKey, Vec<Why>>,
    domains: BTreeMap<(InstanceKey, DomainId), Vec<Why>>,
}

#[derive(Clone, Copy)]
struct Why {
    what: &'static str,
    /// When it ends, also while a pass runs: the clock may be set ahead then, and another daemon plan again.
    until: DateTime<Utc>,
}

impl Why {
    fn always(what: &'static str) -> Self {
        Self { what, until: DateTime::<Utc>::MAX_UTC }
    }
}

impl OffLimits {
    pub fn of(recorded: &Recorded, task: &Task, now: DateTime<Utc>) -> Self {
        let Task { desired, policy, rotation: _ } = task;
        let mut limits = Self::default();
        if matches!(desired.completeness, Completeness::Unreadable { .. }) {
            limits.everything.push(Why::always("the directory was not read"));
        }
        for record in recorded.tenants.values() {
            let mut heirs = heirs(desired, recorded, record);
            heirs.insert(record.key.clone());
            if desired.is_broken(&record.key) {
                limits.close(record, Why::always("its file is broken"));
            }
            if !policy.only.is_empty() && heirs.is_disjoint(&policy.only) {
                limits.close(record, Why::always("the pass is for others only"));
            }
            if is_only_reported(desired, record) {
                limits.close(record, Why::always("what differs is only to be reported"));
            }
            for pause in recorded.pauses.iter().filter(|pause| pause.until > now) {
                let of_instance =
                    pause.instance.as_ref().is_none_or(|key| *key == record.definition.instance);
                let of_tenant = pause.key.as_ref().is_none_or(|key| heirs.iter().all(|heir| heir == key));
                if of_instance && of_tenant {
                    limits.close(record, Why { what: "it is suspended", until: pause.until });
                }
            }
        }
        for pause in recorded.pauses.iter().filter(|pause| pause.until > now) {
            let until = pause.until;
            match (&pause.key, &pause.instance) {
                (None, None) => limits.everything.push(Why { what: "everything is suspended", until }),
                (None, Some(instance)) => {
                    let why = Why { what: "the instance is suspended", until };
                    limits.instances.entry(instance.clone()).or_default().push(why);
                }
                (Some(_), _) => {}
            }
        }
        limits
    }

    fn close(&mut self, record: &TenantRecord, why: Why) {
        self.domains.entry((record.definition.instance.clone(), record.domain_id)).or_default().push(why);
    }

    /// `latest` is as late as it was in this pass.
    pub fn judge(&self, instance: &InstanceKey, id: DomainId, latest: DateTime<Utc>) -> Result<(), String> {
        let on_it = self.instances.get(instance).into_iter().flatten();
        let of_it = self.domains.get(&(instance.clone(), id)).into_iter().flatten();
        match self.everything.iter().chain(on_it).chain(of_it).find(|why| why.until > latest) {
            Some(why) => Err(format!("it is off limits: {}", why.what)),
            None => Ok(()),
        }
    }
}

/// The file says `drift: report`, and nothing in it is new since it was applied whole.
fn is_only_reported(desired: &Desired, record: &TenantRecord) -> bool {
    desired.tenants.get(&record.key).is_some_and(|tenant| {
        tenant.definition.drift == DriftPolicy::Report
            && record.applied_definition_hash.as_ref() == Some(&definition_hash(tenant))
            && tenant.definition.domain == record.definition.domain
            && tenant.definition.instance == record.definition.instance
            && tenant.definition.enabled == record.definition.enabled
            && record.provisioned
            && record.file_removed_at.is_none()
            && (record.definition.enabled || record.disable_confirmed_at.is_some())
    })
}
