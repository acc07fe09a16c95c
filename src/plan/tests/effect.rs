//! What carrying out a plan does to the world, as `apply` does it when nothing goes wrong.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::scene::Scene;
use crate::diff::Field;
use crate::model::{
    DomainId, DomainName, DomainState, FormerPlacement, InstanceKey, InstanceView, LoginLock, PbxDomain,
    PbxSetting, RemovalKind, RemovalRecord, SettingId, SettingName, Tenant, TenantId, TenantKey,
    TenantRecord, testing,
};
use crate::plan::{Plan, RecordRef, Step, Work, wanted_by};

pub fn carry_out(scene: &mut Scene, plan: &Plan) {
    for record in
        scene.recorded.tenants.values_mut().filter(|record| plan.reopened.tenants.contains(&record.id))
    {
        record.disable_confirmed_at = None;
    }
    for record in
        scene.recorded.tenants.values_mut().filter(|record| plan.reopened.returned.contains(&record.id))
    {
        record.removed_at = None;
    }
    let former = scene.recorded.former.iter_mut();
    for left in former.filter(|left| plan.reopened.former.contains(&(left.instance.clone(), left.domain_id)))
    {
        left.disable_confirmed_at = None;
    }
    for step in &plan.steps {
        let before = doubles(scene);
        one(scene, step);
        nothing_is_there_twice(scene, step, before);
    }
    exchange(scene, plan);
}

fn one(scene: &mut Scene, step: &Step) {
    let now = scene.now;
    let enabled = |id| scene.recorded.tenants.values().any(|record| record.id == id && record.enabled);
    if let Some((tenant, kind)) = step.interrupts(enabled) {
        let instance = step.instance.clone();
        scene.recorded.removals.push(RemovalRecord { tenant, kind, instance, at: now });
    }
    match &step.work {
        Work::Create { tenant } => {
            let id = unused(scene, tenant.key.as_str());
            let record = new_record(tenant, id, now);
            make(scene, &record);
            numbers(scene, &record, tenant);
            insert(scene, record);
        }
        Work::Adopt { tenant, found, .. } => {
            let record = new_record(tenant, found.id, now);
            assert_eq!(found.name, tenant.domain.as_str());
            make(scene, &record);
            numbers(scene, &record, tenant);
            insert(scene, record);
        }
        Work::Recreate { record, tenant, .. } => {
            let mut record = take(scene, *record);
            define(&mut record, tenant);
            placed(&mut record, tenant, now);
            make(scene, &record);
            numbers(scene, &record, tenant);
            insert(scene, record);
        }
        Work::Rekey { record, to } => {
            let mut record = take(scene, *record);
            for former in scene.recorded.former.iter_mut().filter(|former| former.tenant == record.id) {
                former.key = to.clone();
            }
            record.key = to.clone();
            insert(scene, record);
        }
        Work::Rename { record, to, expect } => {
            let mut record = take(scene, *record);
            assert_eq!(expect.id, record.domain_id);
            domain(scene, &record.instance, expect.id).name = to.to_string();
            record.domain = to.clone();
            insert(scene, record);
        }
        Work::Move { record, tenant, returns_to } => {
            let mut record = take(scene, *record);
            let left = FormerPlacement {
                tenant: record.id,
                key: tenant.key.clone(),
                instance: record.instance.clone(),
                domain_id: record.domain_id,
                domain: record.domain.clone(),
                login_lock: record.login_lock.clone(),
                left_at: now,
                disable_confirmed_at: Some(now),
                deletable_from: None,
            };
            close(scene, &left.instance, left.domain_id);
            define(&mut record, tenant);
            record.instance = tenant.instance.clone();
            record.domain_id = returns_to.unwrap_or_else(|| {
                DomainId(Uuid::new_v5(&record.domain_id.0, tenant.instance.as_str().as_bytes()))
            });
            placed(&mut record, tenant, now);
            scene.recorded.former.retain(|former| Some(former.domain_id) != *returns_to);
            if seen(scene, &left.instance, left.domain_id).is_some() {
                scene.recorded.former.push(left);
            }
            make(scene, &record);
            numbers(scene, &record, tenant);
            insert(scene, record);
        }
        Work::Update { record, tenant, expect, describe, settings } => {
            let mut record = take(scene, *record);
            numbers(scene, &record, tenant);
            assert_eq!(expect.id, record.domain_id);
            if *describe {
                domain(scene, &record.instance, expect.id).description = tenant.name.clone();
            }
            for (name, value) in settings {
                set(scene, &record, name, value.as_deref());
            }
            let (key, domain) = (record.key.clone(), record.domain.clone());
            define(&mut record, tenant);
            (record.key, record.domain) = (key, domain);
            record.removed_at = None;
            insert(scene, record);
        }
        Work::Enable { record, expect } => {
            let mut record = take(scene, *record);
            assert_eq!(expect.id, record.domain_id);
            domain(scene, &record.instance, expect.id).enabled = Some(true);
            unlock(scene, &record);
            record.enabled = true;
            record.disabled_at = None;
            record.disable_confirmed_at = None;
            record.removed_at = None;
            record.login_lock = None;
            record.lock_left_open = false;
            insert(scene, record);
        }
        Work::Disable { record, expect, removed, counts } => {
            let mut record = take(scene, *record);
            let found = seen(scene, &record.instance, record.domain_id);
            // A step before this one may have changed its name or description.
            assert_eq!(found.as_ref().map(|found| found.id), expect.as_ref().map(|expect| expect.id));
            let before = scene.observed.clone();
            close(scene, &record.instance, record.domain_id);
            let closed = found.is_none_or(|found| found.enabled == Some(false));
            let half_deleted = closed
                && scene.recorded.open_intents.iter().any(|intent| {
                    intent.tenant == record.id
                        && intent.instance == record.instance
                        && intent.action == "delete"
                });
            let unbroken =
                record.disable_confirmed_at.is_some() && (scene.observed == before || half_deleted);
            record.enabled = false;
            record.disabled_at = record.disabled_at.or(Some(now));
            if !unbroken {
                record.disable_confirmed_at = Some(now);
            }
            if *removed {
                record.removed_at = record.removed_at.or(Some(now));
            }
            record.login_lock = Some(LoginLock {
                entry: SettingId::for_login_lock(record.domain_id),
                switched_off: [].into(),
            });
            if *counts {
                let kind = if *removed { RemovalKind::FileGone } else { RemovalKind::Disabled };
                count(scene, &record, kind);
            }
            insert(scene, record);
        }
        Work::DisableFormer { record, placement, expect } => {
            let record = take(scene, *record);
            assert_eq!(seen(scene, &placement.instance, placement.domain_id).as_ref(), Some(expect));
            close(scene, &placement.instance, placement.domain_id);
            let found = scene
                .recorded
                .former
                .iter_mut()
                .find(|former| former.domain_id == placement.domain_id)
                .unwrap();
            found.disable_confirmed_at = Some(now);
            insert(scene, record);
        }
        Work::Delete { record, expect } => {
            let record = take(scene, *record);
            assert_eq!(expect.id, record.domain_id);
            remove(scene, &record.instance, expect.id).unwrap();
            count(scene, &record, RemovalKind::Deleted);
        }
        Work::Forget { record } => {
            let record = take(scene, *record);
            assert_eq!(seen(scene, &record.instance, record.domain_id), None);
            count(scene, &record, RemovalKind::Deleted);
        }
        Work::DeleteFormer { record, placement, expect } => {
            let record = take(scene, *record);
            assert_ne!(record.domain_id, placement.domain_id);
            assert_eq!(remove(scene, &placement.instance, placement.domain_id), *expect);
            scene.recorded.former.retain(|former| former.domain_id != placement.domain_id);
            insert(scene, record);
        }
    }
}

/// Keys and domains are unique in the database, and no step makes two domains of one name on a PBX.
fn nothing_is_there_twice(scene: &Scene, step: &Step, doubles_before: usize) {
    let domains: BTreeSet<_> = scene.recorded.tenants.values().map(|record| &record.domain).collect();
    assert_eq!(domains.len(), scene.recorded.tenants.len(), "two records of one domain after {step:#?}");
    assert!(doubles(scene) <= doubles_before, "two domains of one name after {step:#?}");
}

/// How many domains have the name of another one on the same PBX.
fn doubles(scene: &Scene) -> usize {
    let doubles = |view: &InstanceView| match view {
        InstanceView::Seen { domains, .. } => {
            let names: BTreeSet<_> = domains.values().map(|domain| &domain.name).collect();
            domains.len() - names.len()
        }
        InstanceView::Unknown { .. } => 0,
    };
    scene.observed.instances.values().map(doubles).sum()
}

fn new_record(tenant: &Tenant, id: DomainId, now: DateTime<Utc>) -> TenantRecord {
    let mut record = TenantRecord { domain_id: id, ..testing::record_of(tenant) };
    record.id = TenantId(id.0);
    placed(&mut record, tenant, now);
    record
}

/// An identity that nobody has or had here: a key may serve again after its tenant took another one.
fn unused(scene: &Scene, key: &str) -> DomainId {
    let named = |n: usize| DomainId(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{key}{n}").as_bytes()));
    let records = &scene.recorded.tenants;
    let former = &scene.recorded.former;
    let taken = |id: DomainId| {
        records.values().any(|record| record.domain_id == id || record.id.0 == id.0)
            || former.iter().any(|former| former.domain_id == id)
            || scene
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
    record.enabled = tenant.enabled;
    record.disabled_at = (!tenant.enabled).then_some(now);
    record.disable_confirmed_at = (!tenant.enabled).then_some(now);
    record.removed_at = None;
    record.lock_left_open = false;
}

/// The SMS numbers that the file owns.
fn numbers(scene: &mut Scene, record: &TenantRecord, tenant: &Tenant) {
    if let Some(numbers) = &tenant.sms_numbers {
        // What another tenant has is left to it until the end of the run.
        let others = scene.recorded.sms_numbers.iter().filter(|(id, _)| **id != record.id);
        let taken: BTreeSet<_> = others.flat_map(|(_, theirs)| theirs).cloned().collect();
        scene.recorded.sms_numbers.insert(record.id, numbers.difference(&taken).cloned().collect());
    }
}

/// At the end of a run, numbers change hands.
fn exchange(scene: &mut Scene, plan: &Plan) {
    let changes = |step: &&Step| step.changes.iter().any(|change| change.field == Field::SmsNumbers);
    for step in plan.steps.iter().filter(changes) {
        let wanted = wanted_by(&step.work).and_then(|tenant| tenant.sms_numbers.clone()).unwrap();
        let id = scene.recorded.tenants[&step.tenant].id;
        scene.recorded.sms_numbers.insert(id, wanted);
    }
    let all: Vec<_> = scene.recorded.sms_numbers.values().flatten().collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "a number belongs to two tenants: {all:?}");
}

fn define(record: &mut TenantRecord, tenant: &Tenant) {
    record.key = tenant.key.clone();
    record.name = tenant.name.clone();
    record.domain = tenant.domain.clone();
    record.session_timeout = tenant.session_timeout;
    record.max_users = tenant.max_users;
    record.protected = tenant.protected;
    record.pbx_settings = tenant.pbx_settings.clone();
    record.cross_tenant = tenant.cross_tenant.clone();
    record.drift = tenant.drift;
}

fn take(scene: &mut Scene, reference: RecordRef) -> TenantRecord {
    let found = scene.recorded.tenants.values().find(|record| record.id == reference.id);
    let key: TenantKey = found.expect("a step needs a record that is not there").key.clone();
    let record = scene.recorded.tenants.remove(&key).unwrap();
    assert!(record.revision >= reference.revision);
    record
}

fn insert(scene: &mut Scene, mut record: TenantRecord) {
    record.revision += 1;
    let before = scene.recorded.tenants.insert(record.key.clone(), record);
    assert_eq!(before, None, "two records of one key");
}

fn count(scene: &mut Scene, record: &TenantRecord, kind: RemovalKind) {
    let (tenant, instance, at) = (record.id, record.instance.clone(), scene.now);
    scene.recorded.removals.push(RemovalRecord { tenant, kind, instance, at });
}

fn seen(scene: &mut Scene, on: &InstanceKey, id: DomainId) -> Option<PbxDomain> {
    scene.domains(on.as_str()).get(&id).cloned()
}

fn domain<'s>(scene: &'s mut Scene, on: &InstanceKey, id: DomainId) -> &'s mut PbxDomain {
    scene.domains(on.as_str()).get_mut(&id).unwrap()
}

fn remove(scene: &mut Scene, on: &InstanceKey, id: DomainId) -> Option<PbxDomain> {
    scene.domains(on.as_str()).remove(&id)
}

/// The domain as the record says, with its settings.
fn make(scene: &mut Scene, record: &TenantRecord) {
    let name: &DomainName = &record.domain;
    let made = PbxDomain {
        id: record.domain_id,
        name: name.to_string(),
        enabled: Some(record.enabled),
        description: record.name.clone(),
    };
    scene.put(&record.instance.clone(), made);
    let wanted = record.pbx_settings.iter().map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in wanted.collect::<Vec<_>>() {
        set(scene, record, &name, Some(&value));
    }
    if record.enabled {
        unlock(scene, record);
    } else {
        close(scene, &record.instance, record.domain_id);
    }
}

fn rows<'s>(scene: &'s mut Scene, on: &InstanceKey, id: DomainId) -> Option<&'s mut Vec<PbxSetting>> {
    match scene.observed.instances.get_mut(on).unwrap() {
        InstanceView::Seen { settings, .. } => settings.get_mut(&id),
        InstanceView::Unknown { .. } => panic!("a step on {on}, which is unknown"),
    }
}

fn set(scene: &mut Scene, record: &TenantRecord, name: &SettingName, value: Option<&str>) {
    let id = SettingId::for_setting(record.domain_id, name);
    let Some(rows) = rows(scene, &record.instance, record.domain_id) else { return };
    rows.retain(|row| row.name != *name);
    if let Some(value) = value {
        rows.push(PbxSetting { id, ..super::scene::row(0, name, value, true) });
    }
}

fn close(scene: &mut Scene, on: &InstanceKey, id: DomainId) {
    if let Some(domain) = scene.domains(on.as_str()).get_mut(&id) {
        domain.enabled = Some(false);
    }
    let Some(rows) = rows(scene, on, id) else { return };
    let lock = super::scene::lock_row(id);
    rows.iter_mut().filter(|row| row.name == lock.name).for_each(|row| row.enabled = false);
    match rows.iter_mut().find(|row| row.id == lock.id) {
        Some(row) => *row = lock,
        None => rows.push(lock),
    }
}

fn unlock(scene: &mut Scene, record: &TenantRecord) {
    let lock = SettingId::for_login_lock(record.domain_id);
    if let Some(rows) = rows(scene, &record.instance, record.domain_id) {
        rows.retain(|row| row.id != lock);
    }
}
