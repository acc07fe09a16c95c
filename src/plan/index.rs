//! What the planner looks up: domains by name, recorded owners, and what an instance shows of a record.

use std::collections::BTreeMap;

use super::Inputs;
use super::reason::HeldReason;
use super::types::RecordRef;
use crate::model::{
    DomainId, DomainName, DomainState, InstanceKey, InstanceView, Observed, PbxDomain, SmsNumber, TenantId,
    TenantKey, TenantRecord,
};

/// Looks up domains by name and recorded owners by domain, each built once for a plan.
pub(super) struct Index<'a> {
    by_name: BTreeMap<(&'a InstanceKey, &'a str), Vec<&'a PbxDomain>>,
    owner_by_id: BTreeMap<(&'a InstanceKey, DomainId), &'a TenantKey>,
    owner_by_domain: BTreeMap<&'a DomainName, &'a TenantKey>,
    number_owner: BTreeMap<&'a SmsNumber, (TenantId, &'a TenantKey)>,
    vanished: BTreeMap<&'a InstanceKey, usize>,
}

impl<'a> Index<'a> {
    pub(super) fn new(inputs: Inputs<'a>) -> Self {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, view) in &inputs.observed.instances {
            if let InstanceView::Seen { domains, .. } = view {
                for domain in domains.values() {
                    by_name.entry((key, domain.name.as_str())).or_default().push(domain);
                }
            }
        }
        let mut owner_by_id = BTreeMap::new();
        let mut owner_by_domain = BTreeMap::new();
        for (key, record) in &inputs.recorded.tenants {
            owner_by_id.insert((&record.definition.instance, record.domain_id), key);
            owner_by_domain.insert(&record.definition.domain, key);
        }
        let mut number_owner = BTreeMap::new();
        for (key, record) in &inputs.recorded.tenants {
            for number in inputs.recorded.sms_numbers.get(&record.id).into_iter().flatten() {
                number_owner.insert(number, (record.id, key));
            }
        }
        for previous in &inputs.recorded.previous_placements {
            owner_by_id.insert((&previous.instance, previous.domain_id), &previous.key);
        }
        Self { by_name, owner_by_id, owner_by_domain, number_owner, vanished: vanished(inputs) }
    }

    /// How many recorded domains an instance lost at once, where that is more than the removal limit would allow.
    pub(super) fn vanished(&self, instance: &InstanceKey) -> Option<usize> {
        self.vanished.get(instance).copied()
    }

    pub(super) fn named(&self, instance: &'a InstanceKey, name: &'a str) -> &[&'a PbxDomain] {
        self.by_name.get(&(instance, name)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn owner(&self, instance: &'a InstanceKey, id: DomainId) -> Option<&'a TenantKey> {
        self.owner_by_id.get(&(instance, id)).copied()
    }

    pub(super) fn with_number(&self, number: &SmsNumber) -> Option<(TenantId, &'a TenantKey)> {
        self.number_owner.get(number).copied()
    }

    pub(super) fn recorded_with(&self, domain: &DomainName) -> Option<&'a TenantKey> {
        self.owner_by_domain.get(domain).copied()
    }
}

/// Instances that lost more recorded domains than the removal limit allows: not the server we knew.
///
/// What is to be deleted anyway does not count.
pub(super) fn vanished(inputs: Inputs<'_>) -> BTreeMap<&InstanceKey, usize> {
    let mut known: BTreeMap<&InstanceKey, (usize, usize)> = BTreeMap::new();
    let expected = |record: &&TenantRecord| record.provisioned && record.file_removed_at.is_none();
    for record in inputs.recorded.tenants.values().filter(expected) {
        let (all, missing) = known.entry(&record.definition.instance).or_default();
        *all += 1;
        *missing += usize::from(seen(inputs.observed, record) == DomainState::Absent);
    }
    known
        .into_iter()
        .filter(|(_, (all, missing))| *missing > inputs.policy.limits.removals.of(*all))
        .map(|(instance, (_, missing))| (instance, missing))
        .collect()
}

/// A reference to the record as it was read.
pub(super) fn reference(record: &TenantRecord) -> RecordRef {
    RecordRef { id: record.id, revision: record.revision }
}

/// Why a domain is neither renamed nor deleted while another one has its name: FusionPBX moves and deletes
/// directories by name, so it would take those of the other one along.
pub(super) fn name_is_shared(
    observed: &Observed,
    instance: &InstanceKey,
    domain: &PbxDomain,
) -> Option<HeldReason> {
    let InstanceView::Seen { domains, .. } = observed.instance(instance) else { return None };
    let is_shared = domains.values().any(|other| other.name == domain.name && other.id != domain.id);
    is_shared.then(|| HeldReason::NameShared { domain: domain.name.clone(), instance: instance.clone() })
}

/// What an instance shows of a record's domain.
pub(super) fn seen<'a>(observed: &'a Observed, record: &TenantRecord) -> DomainState<'a> {
    observed.instance(&record.definition.instance).domain(record.domain_id)
}
