//! The decision table: file × record × PBX → steps, tenant by tenant.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use super::reason::{HeldReason, NotCheckedStep, StepReason};
use super::types::{Action, Held, Preview, Step, Work};
use super::{Draft, Inputs, adoption, file_removed, previous_placements, sms_numbers, update};
use crate::diff::{Field, number_list};
use crate::model::{Completeness, Definition, InstanceView, Tenant, TenantDocument, TenantKey, TenantRecord};
use crate::plan::FieldChange;

/// Decides for every tenant. Returns which new keys take over which records.
pub(super) fn all_tenants(inputs: Inputs<'_>, draft: &mut Draft) -> BTreeMap<TenantKey, TenantKey> {
    if matches!(inputs.desired.completeness, Completeness::Unreadable { .. }) {
        return BTreeMap::new();
    }
    let index = Index::new(inputs);
    let rekeyed = rekeyed(inputs, &index);
    let taken_over: BTreeMap<&TenantKey, &TenantKey> =
        rekeyed.iter().map(|(new, old)| (*old, *new)).collect();
    let only = &inputs.policy.only;
    for (key, tenant) in &inputs.desired.tenants {
        let record = rekeyed
            .get(key)
            .map_or_else(|| inputs.recorded.tenants.get(key), |old| inputs.recorded.tenants.get(*old));
        // A run for some tenants keeps the steps of those alone. A new tenant may be the other half of a rename.
        if !only.is_empty() && !only.contains(key) && record.is_some_and(|record| record.key == *key) {
            continue;
        }
        with_file(inputs, &index, tenant, record, draft);
    }
    for (key, record) in &inputs.recorded.tenants {
        let has_file = inputs.desired.tenants.contains_key(key) || taken_over.contains_key(key);
        if !has_file {
            file_removed::without_file(inputs, key, record, draft);
        }
    }
    previous_placements::previous_placements(inputs, &taken_over, draft);
    adoption::one_command_for_many(inputs, draft);
    rekeyed.into_iter().map(|(new, old)| (new.clone(), old.clone())).collect()
}

/// Which new keys take over which records: by `previously:`, or because the domain stayed the same (`git mv`).
///
/// What a file says comes before what can be guessed from its domain.
fn rekeyed<'a>(inputs: Inputs<'a>, index: &Index<'a>) -> BTreeMap<&'a TenantKey, &'a TenantKey> {
    let previous = |tenant: &'a Tenant| inputs.recorded.tenants.get_key_value(tenant.previously.as_ref()?);
    let mut found = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut take = |key: &'a TenantKey, old: Option<&'a TenantKey>| {
        if let Some(old) = old
            && !inputs.recorded.tenants.contains_key(key)
            && !inputs.desired.tenants.contains_key(old)
            && !inputs.desired.is_broken(old)
            && taken.insert(old)
        {
            found.insert(key, old);
        }
    };
    for (key, tenant) in &inputs.desired.tenants {
        take(key, previous(tenant).map(|(old, _)| old));
    }
    for (key, tenant) in &inputs.desired.tenants {
        if previous(tenant).is_none() {
            take(key, index.recorded_with(&tenant.definition.domain));
        }
    }
    found
}

/// The first rows of the table: there is a file.
fn with_file<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: Option<&'a TenantRecord>,
    draft: &mut Draft,
) {
    match record {
        None => without_record(inputs, index, tenant, draft),
        Some(record) if !inputs.observed.instances.contains_key(&record.definition.instance) => {
            let instance = &record.definition.instance;
            let reason = HeldReason::InstanceNotConfigured { instance: instance.clone() };
            draft.held.push(Held::new(&tenant.key, instance, Action::Update, reason));
        }
        Some(record) => update::tenant(inputs, index, tenant, record, draft),
    }
}

/// A file without a record: create, adopt, or held.
fn without_record<'a>(inputs: Inputs<'a>, index: &Index<'a>, tenant: &'a Tenant, draft: &mut Draft) {
    let Definition { domain, instance, .. } = &tenant.definition;
    let hold = |action: Action, reason: HeldReason| Held::new(&tenant.key, instance, action, reason);
    draft
        .previews
        .insert(tenant.key.clone(), Preview { before: None, after: Some(TenantDocument::from(tenant)) });
    if let Some(owner) = index.recorded_with(domain) {
        let reason = HeldReason::DomainOfAnotherTenant { domain: domain.clone(), owner: owner.clone() };
        draft.held.push(hold(Action::Create, reason));
        return;
    }
    if let Some(reason) = sms_numbers::taken(inputs, index, tenant, None) {
        let action = if tenant.adopt { Action::Adopt } else { Action::Create };
        draft.held.push(hold(action, reason));
        return;
    }
    if let InstanceView::Unknown { reason: problem } = inputs.observed.instance(instance) {
        let reason = HeldReason::InstanceNotChecked {
            instance: instance.clone(),
            problem: problem.clone(),
            planned: NotCheckedStep::Create,
        };
        draft.held.push(hold(Action::Create, reason));
        return;
    }
    match index.named(instance, domain.as_str()) {
        [] => draft.steps.push(Step {
            tenant: tenant.key.clone(),
            instance: instance.clone(),
            action: Action::Create,
            reason: StepReason::FileNew,
            changes: creation(tenant),
            work: Work::Create { tenant: tenant.clone() },
        }),
        [found] => match index.owner(instance, found.id) {
            Some(owner) => {
                let reason = HeldReason::DomainRecordedFor {
                    domain: domain.clone(),
                    instance: instance.clone(),
                    owner: owner.clone(),
                };
                draft.held.push(hold(Action::Create, reason));
            }
            None => adoption::unmanaged(inputs, tenant, found, draft),
        },
        several => {
            let reason = HeldReason::SeveralDomains {
                domain: domain.clone(),
                instance: instance.clone(),
                count: several.len(),
            };
            draft.held.push(hold(Action::Adopt, reason));
        }
    }
}

/// The fields of a new tenant, as changes from nothing.
fn creation(tenant: &Tenant) -> Vec<FieldChange> {
    let Definition {
        name,
        domain,
        instance,
        enabled,
        session_timeout,
        max_users,
        protected,
        pbx_settings,
        // What is shared and how drift is treated does not stand on the PBX; the preview shows both.
        cross_tenant: _,
        drift: _,
    } = &tenant.definition;
    let change = |field, after: String| FieldChange { field, before: None, after: Some(after) };
    let mut changes = vec![
        change(Field::Name, name.clone()),
        change(Field::Domain, domain.to_string()),
        change(Field::Instance, instance.to_string()),
        change(Field::Enabled, enabled.to_string()),
        change(Field::SessionTimeout, session_timeout.to_string()),
        change(Field::MaxUsers, max_users.to_string()),
    ];
    if *protected {
        changes.push(change(Field::Protected, true.to_string()));
    }
    for (name, value) in pbx_settings {
        changes.push(change(Field::Setting(name.clone()), value.clone()));
    }
    if let Some(numbers) = tenant.sms_numbers.as_ref().and_then(number_list) {
        changes.push(change(Field::SmsNumbers, numbers));
    }
    changes
}
