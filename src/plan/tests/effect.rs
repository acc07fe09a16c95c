//! What carrying out a plan does to the inputs, as `apply` does it when nothing goes wrong.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::fixture::Fixture;
use crate::diff::Field;
use crate::model::{
    DomainId, DomainName, DomainState, InstanceKey, InstanceView, PbxDomain, PbxSetting, PreviousPlacement,
    RemovalKind, RemovalRecord, SettingId, SettingName, Tenant, TenantId, TenantKey, TenantRecord,
    WebSignInBlock, testing,
};
use crate::plan::{Plan, RecordRef, Step, Work, wanted_by};

pub fn carry_out(fixture: &mut Fixture, plan: &Plan) {
    for record in
        fixture.recorded.tenants.values_mut().filter(|record| plan.reopened.tenants.contains(&record.id))
    {
        record.disable_confirmed_at = None;
    }
    for record in
        fixture.recorded.tenants.values_mut().filter(|record| plan.reopened.returned.contains(&record.id))
    {
        record.file_removed_at = None;
    }
    let previous = fixture.recorded.previous_placements.iter_mut();
    for left in
        previous.filter(|left| plan.reopened.previous.contains(&(left.instance.clone(), left.domain_id)))
    {
        left.disable_confirmed_at = None;
    }
    for step in &plan.steps {
        let before = doubles(fixture);
        one(fixture, step);
        nothing_is_there_twice(fixture, step, before);
    }
    exchange(fixture, plan);
}

fn one(fixture: &mut Fixture, step: &Step) {
    let now = fixture.now;
    let enabled =
        |id| fixture.recorded.tenants.values().any(|record| record.id == id && record.definition.enabled);
    if let Some((tenant, kind)) = step.interrupts(enabled) {
        let instance = step.instance.clone();
        fixture.recorded.removals.push(RemovalRecord { tenant, kind, instance, at: now });
    }
    match &step.work {
        Work::Create { tenant } => {
            let id = unused(fixture, tenant.key.as_str());
            let record = new_record(tenant, id, now);
            make(fixture, &record);
            numbers(fixture, &record, tenant);
            insert(fixture, record);
        }
        Work::Adopt { tenant, found, .. } => {
            let record = new_record(tenant, found.id, now);
            assert_eq!(found.name, tenant.definition.domain.as_str());
            make(fixture, &record);
            numbers(fixture, &record, tenant);
            insert(fixture, record);
        }
        Work::Recreate { record, tenant, .. } => {
            let mut record = take(fixture, *record);
            define(&mut record, tenant);
            placed(&mut record, tenant, now);
            make(fixture, &record);
            numbers(fixture, &record, tenant);
            insert(fixture, record);
        }
        Work::Rekey { record, to } => {
            let mut record = take(fixture, *record);
            for previous in fixture
                .recorded
                .previous_placements
                .iter_mut()
                .filter(|previous| previous.tenant == record.id)
            {
                previous.key = to.clone();
            }
            record.key = to.clone();
            insert(fixture, record);
        }
        Work::Rename { record, to, expect } => {
            let mut record = take(fixture, *record);
            assert_eq!(expect.id, record.domain_id);
            domain(fixture, &record.definition.instance, expect.id).name = to.to_string();
            record.definition.domain = to.clone();
            insert(fixture, record);
        }
        Work::Move { record, tenant, returns_to } => {
            let mut record = take(fixture, *record);
            let left = PreviousPlacement {
                tenant: record.id,
                key: tenant.key.clone(),
                instance: record.definition.instance.clone(),
                domain_id: record.domain_id,
                domain: record.definition.domain.clone(),
                web_sign_in_block: record.web_sign_in_block.clone(),
                left_at: now,
                disable_confirmed_at: Some(now),
                deletable_from: None,
            };
            close(fixture, &left.instance, left.domain_id);
            define(&mut record, tenant);
            record.definition.instance = tenant.definition.instance.clone();
            record.domain_id = returns_to.unwrap_or_else(|| {
                DomainId(Uuid::new_v5(&record.domain_id.0, tenant.definition.instance.as_str().as_bytes()))
            });
            placed(&mut record, tenant, now);
            fixture.recorded.previous_placements.retain(|previous| Some(previous.domain_id) != *returns_to);
            if seen(fixture, &left.instance, left.domain_id).is_some() {
                fixture.recorded.previous_placements.push(left);
            }
            make(fixture, &record);
            numbers(fixture, &record, tenant);
            insert(fixture, record);
        }
        Work::Update { record, tenant, expect, describe, settings } => {
            let mut record = take(fixture, *record);
            numbers(fixture, &record, tenant);
            assert_eq!(expect.id, record.domain_id);
            if *describe {
                domain(fixture, &record.definition.instance, expect.id).description =
                    tenant.definition.name.clone();
            }
            for (name, value) in settings {
                set(fixture, &record, name, value.as_deref());
            }
            let (key, domain) = (record.key.clone(), record.definition.domain.clone());
            define(&mut record, tenant);
            (record.key, record.definition.domain) = (key, domain);
            record.file_removed_at = None;
            insert(fixture, record);
        }
        Work::Enable { record, expect } => {
            let mut record = take(fixture, *record);
            assert_eq!(expect.id, record.domain_id);
            domain(fixture, &record.definition.instance, expect.id).enabled = Some(true);
            unlock(fixture, &record);
            record.definition.enabled = true;
            record.disabled_at = None;
            record.disable_confirmed_at = None;
            record.file_removed_at = None;
            record.web_sign_in_block = None;
            record.web_sign_in_left_open = false;
            insert(fixture, record);
        }
        Work::Disable { record, expect, file_removed: removed, counts } => {
            let mut record = take(fixture, *record);
            let found = seen(fixture, &record.definition.instance, record.domain_id);
            // A step before this one may have changed its name or description.
            assert_eq!(found.as_ref().map(|found| found.id), expect.as_ref().map(|expect| expect.id));
            let before = fixture.observed.clone();
            close(fixture, &record.definition.instance, record.domain_id);
            let closed = found.is_none_or(|found| found.enabled == Some(false));
            let half_deleted = closed
                && fixture.recorded.open_intents.iter().any(|intent| {
                    intent.tenant == record.id
                        && intent.instance == record.definition.instance
                        && intent.action == "delete"
                });
            let unbroken =
                record.disable_confirmed_at.is_some() && (fixture.observed == before || half_deleted);
            record.definition.enabled = false;
            record.disabled_at = record.disabled_at.or(Some(now));
            if !unbroken {
                record.disable_confirmed_at = Some(now);
            }
            if *removed {
                record.file_removed_at = record.file_removed_at.or(Some(now));
            }
            record.web_sign_in_block = Some(WebSignInBlock {
                entry: SettingId::for_web_sign_in_block(record.domain_id),
                switched_off: [].into(),
            });
            if *counts {
                let kind = if *removed { RemovalKind::FileGone } else { RemovalKind::Disabled };
                count(fixture, &record, kind);
            }
            insert(fixture, record);
        }
        Work::DisablePrevious { record, placement, expect } => {
            let record = take(fixture, *record);
            assert_eq!(seen(fixture, &placement.instance, placement.domain_id).as_ref(), Some(expect));
            close(fixture, &placement.instance, placement.domain_id);
            let found = fixture
                .recorded
                .previous_placements
                .iter_mut()
                .find(|previous| previous.domain_id == placement.domain_id)
                .unwrap();
            found.disable_confirmed_at = Some(now);
            insert(fixture, record);
        }
        Work::Delete { record, expect } => {
            let record = take(fixture, *record);
            assert_eq!(expect.id, record.domain_id);
            remove(fixture, &record.definition.instance, expect.id).unwrap();
            count(fixture, &record, RemovalKind::Deleted);
        }
        Work::DeleteRecord { record } => {
            let record = take(fixture, *record);
            assert_eq!(seen(fixture, &record.definition.instance, record.domain_id), None);
            count(fixture, &record, RemovalKind::Deleted);
        }
        Work::DeletePrevious { record, placement, expect } => {
            let record = take(fixture, *record);
            assert_ne!(record.domain_id, placement.domain_id);
            assert_eq!(remove(fixture, &placement.instance, placement.domain_id), *expect);
            fixture.recorded.previous_placements.retain(|previous| previous.domain_id != placement.domain_id);
            insert(fixture, record);
        }
    }
}

/// Keys and domains are unique in the database, and no step makes two domains of one name on a PBX.
fn nothing_is_there_twice(fixture: &Fixture, step: &Step, doubles_before: usize) {
    let domains: BTreeSet<_> =
        fixture.recorded.tenants.values().map(|record| &record.definition.domain).collect();
    assert_eq!(domains.len(), fixture.recorded.tenants.len(), "two records of one domain after {step:#?}");
    assert!(doubles(fixture) <= doubles_before, "two domains of one name after {step:#?}");
}

/// How many domains have the name of another one on the same PBX.
fn doubles(fixture: &Fixture) -> usize {
    let doubles = |view: &InstanceView| match view {
        InstanceView::Seen { domains, .. } => {
            let names: BTreeSet<_> = domains.values().map(|domain| &domain.name).collect();
            domains.len() - names.len()
        }
        InstanceView::Unknown { .. } => 0,
    };
    fixture.observed.instances.values().map(doubles).sum()
}

fn new_record(tenant: &Tenant, id: DomainId, now: DateTime<Utc>) -> TenantRecord {
    let mut record = TenantRecord { domain_id: id, ..testing::record_of(tenant) };
    record.id = TenantId(id.0);
    placed(&mut record, tenant, now);
    record
}

/// An identity that no one has or had here: a key may serve again after its tenant took another one.
fn unused(fixture: &Fixture, key: &str) -> DomainId {
    let named = |n: usize| DomainId(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{key}{n}").as_bytes()));
    let records = &fixture.recorded.tenants;
    let previous = &fixture.recorded.previous_placements;
    let taken = |id: DomainId| {
        records.values().any(|record| record.domain_id == id || record.id.0 == id.0)
            || previous.iter().any(|previous| previous.domain_id == id)
            || fixture
                .observed
                .instances
                .values()
                .any(|view| matches!(view.domain(id), DomainState::Present(_)))
    };
    (0..).map(named).find(|id| !taken(*id)).unwrap()
}

/// The record of a tenant whose domain was just made as its file says.
fn placed(record: &mut TenantRecord, tenant: &Tenant, now: DateTime<Utc>) {
    record.provisioned = true;
    record.definition.enabled = tenant.definition.enabled;
    record.disabled_at = (!tenant.definition.enabled).then_some(now);
    record.disable_confirmed_at = (!tenant.definition.enabled).then_some(now);
    record.file_removed_at = None;
    record.web_sign_in_left_open = false;
}

/// The SMS numbers that the file owns.
fn numbers(fixture: &mut Fixture, record: &TenantRecord, tenant: &Tenant) {
    if let Some(numbers) = &tenant.sms_numbers {
        // What another tenant has is left to it until the end of the run.
        let others = fixture.recorded.sms_numbers.iter().filter(|(id, _)| **id != record.id);
        let taken: BTreeSet<_> = others.flat_map(|(_, theirs)| theirs).cloned().collect();
        fixture.recorded.sms_numbers.insert(record.id, numbers.difference(&taken).cloned().collect());
    }
}

/// At the end of a run, numbers change hands.
fn exchange(fixture: &mut Fixture, plan: &Plan) {
    let changes = |step: &&Step| step.changes.iter().any(|change| change.field == Field::SmsNumbers);
    for step in plan.steps.iter().filter(changes) {
        let wanted = wanted_by(&step.work).and_then(|tenant| tenant.sms_numbers.clone()).unwrap();
        let id = fixture.recorded.tenants[&step.tenant].id;
        fixture.recorded.sms_numbers.insert(id, wanted);
    }
    let all: Vec<_> = fixture.recorded.sms_numbers.values().flatten().collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "a number belongs to two tenants: {all:?}");
}

fn define(record: &mut TenantRecord, tenant: &Tenant) {
    record.key = tenant.key.clone();
    record.definition.name = tenant.definition.name.clone();
    record.definition.domain = tenant.definition.domain.clone();
    record.definition.session_timeout = tenant.definition.session_timeout;
    record.definition.max_users = tenant.definition.max_users;
    record.definition.protected = tenant.definition.protected;
    record.definition.pbx_settings = tenant.definition.pbx_settings.clone();
    record.definition.cross_tenant = tenant.definition.cross_tenant.clone();
    record.definition.drift = tenant.definition.drift;
}

fn take(fixture: &mut Fixture, reference: RecordRef) -> TenantRecord {
    let found = fixture.recorded.tenants.values().find(|record| record.id == reference.id);
    let key: TenantKey = found.expect("a step needs a record that is not there").key.clone();
    let record = fixture.recorded.tenants.remove(&key).unwrap();
    assert!(record.revision >= reference.revision);
    record
}

fn insert(fixture: &mut Fixture, mut record: TenantRecord) {
    record.revision += 1;
    let before = fixture.recorded.tenants.insert(record.key.clone(), record);
    assert_eq!(before, None, "two records of one key");
}

fn count(fixture: &mut Fixture, record: &TenantRecord, kind: RemovalKind) {
    let (tenant, instance, at) = (record.id, record.definition.instance.clone(), fixture.now);
    fixture.recorded.removals.push(RemovalRecord { tenant, kind, instance, at });
}

fn seen(fixture: &mut Fixture, on: &InstanceKey, id: DomainId) -> Option<PbxDomain> {
    fixture.domains(on.as_str()).get(&id).cloned()
}

fn domain<'s>(fixture: &'s mut Fixture, on: &InstanceKey, id: DomainId) -> &'s mut PbxDomain {
    fixture.domains(on.as_str()).get_mut(&id).unwrap()
}

fn remove(fixture: &mut Fixture, on: &InstanceKey, id: DomainId) -> Option<PbxDomain> {
    fixture.domains(on.as_str()).remove(&id)
}

/// The domain as the record says, with its settings.
fn make(fixture: &mut Fixture, record: &TenantRecord) {
    let name: &DomainName = &record.definition.domain;
    let made = PbxDomain {
        id: record.domain_id,
        name: name.to_string(),
        enabled: Some(record.definition.enabled),
        description: record.definition.name.clone(),
    };
    fixture.put(&record.definition.instance.clone(), made);
    let wanted = record.definition.pbx_settings.iter().map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in wanted.collect::<Vec<_>>() {
        set(fixture, record, &name, Some(&value));
    }
    if record.definition.enabled {
        unlock(fixture, record);
    } else {
        close(fixture, &record.definition.instance, record.domain_id);
    }
}

fn rows<'s>(fixture: &'s mut Fixture, on: &InstanceKey, id: DomainId) -> Option<&'s mut Vec<PbxSetting>> {
    match fixture.observed.instances.get_mut(on).unwrap() {
        InstanceView::Seen { settings, .. } => settings.get_mut(&id),
        InstanceView::Unknown { .. } => panic!("a step on {on}, which is unknown"),
    }
}

fn set(fixture: &mut Fixture, record: &TenantRecord, name: &SettingName, value: Option<&str>) {
    let id = SettingId::for_setting(record.domain_id, name);
    let Some(rows) = rows(fixture, &record.definition.instance, record.domain_id) else { return };
    rows.retain(|row| row.name != *name);
    if let Some(value) = value {
        rows.push(PbxSetting { id, ..super::fixture::row(0, name, value, true) });
    }
}

fn close(fixture: &mut Fixture, on: &InstanceKey, id: DomainId) {
    if let Some(domain) = fixture.domains(on.as_str()).get_mut(&id) {
        domain.enabled = Some(false);
    }
    let Some(rows) = rows(fixture, on, id) else { return };
    let lock = super::fixture::block_row(id);
    rows.iter_mut().filter(|row| row.name == lock.name).for_each(|row| row.enabled = false);
    match rows.iter_mut().find(|row| row.id == lock.id) {
        Some(row) => *row = lock,
        None => rows.push(lock),
    }
}

fn unlock(fixture: &mut Fixture, record: &TenantRecord) {
    let lock = SettingId::for_web_sign_in_block(record.domain_id);
    if let Some(rows) = rows(fixture, &record.definition.instance, record.domain_id) {
        rows.retain(|row| row.id != lock);
    }
}
