//! What must not change in a pass: tenants with broken files, paused tenants, tenants with `drift: report`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tenantd::model::{Completeness, Desired, DomainId, DriftPolicy, InstanceKey, Recorded, TenantRecord};
use tenantd::plan::definition_hash;

use crate::pass_checks::tenant_keys;
use crate::process::Task;

#[derive(Default)]
pub struct MustNotChange {
    everything: Vec<Ban>,
    instances: BTreeMap<InstanceKey, Vec<Ban>>,
    domains: BTreeMap<(InstanceKey, DomainId), Vec<Ban>>,
}

#[derive(Clone, Copy)]
struct Ban {
    what: &'static str,
    /// When it ends. That may be during a pass: the clock is set ahead, and another daemon plans again.
    until: DateTime<Utc>,
}

impl Ban {
    fn always(what: &'static str) -> Self {
        Self { what, until: DateTime::<Utc>::MAX_UTC }
    }
}

impl MustNotChange {
    pub fn of(recorded: &Recorded, task: &Task, now: DateTime<Utc>) -> Self {
        let Task { desired, policy, rotation: _, instances: _ } = task;
        let mut limits = Self::default();
        if matches!(desired.completeness, Completeness::Unreadable { .. }) {
            limits.everything.push(Ban::always("the directory was not read"));
        }
        for record in recorded.tenants.values() {
            let mut tenant_keys = tenant_keys(desired, recorded, record);
            tenant_keys.insert(record.key.clone());
            if desired.is_broken(&record.key) {
                limits.close(record, Ban::always("its file is broken"));
            }
            if !policy.only.is_empty() && tenant_keys.is_disjoint(&policy.only) {
                limits.close(record, Ban::always("the pass is for others only"));
            }
            if is_only_reported(desired, record) {
                limits.close(record, Ban::always("what differs is only to be reported"));
            }
            for pause in recorded.pauses.iter().filter(|pause| pause.until > now) {
                let of_instance =
                    pause.instance.as_ref().is_none_or(|key| *key == record.definition.instance);
                let of_tenant = pause
                    .key
                    .as_ref()
                    .is_none_or(|key| tenant_keys.iter().all(|key_of_file| key_of_file == key));
                if of_instance && of_tenant {
                    limits.close(record, Ban { what: "it is paused", until: pause.until });
                }
            }
        }
        for pause in recorded.pauses.iter().filter(|pause| pause.until > now) {
            let until = pause.until;
            match (&pause.key, &pause.instance) {
                (None, None) => limits.everything.push(Ban { what: "everything is paused", until }),
                (None, Some(instance)) => {
                    let why = Ban { what: "the instance is paused", until };
                    limits.instances.entry(instance.clone()).or_default().push(why);
                }
                (Some(_), _) => {}
            }
        }
        limits
    }

    fn close(&mut self, record: &TenantRecord, why: Ban) {
        self.domains.entry((record.definition.instance.clone(), record.domain_id)).or_default().push(why);
    }

    /// `latest` is the latest time of this pass.
    pub fn judge(&self, instance: &InstanceKey, id: DomainId, latest: DateTime<Utc>) -> Result<(), String> {
        let on_it = self.instances.get(instance).into_iter().flatten();
        let of_it = self.domains.get(&(instance.clone(), id)).into_iter().flatten();
        match self.everything.iter().chain(on_it).chain(of_it).find(|why| why.until > latest) {
            Some(why) => Err(format!("it must not change: {}", why.what)),
            None => Ok(()),
        }
    }
}

/// The file has `drift: report`, and it was not changed since it was applied.
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
