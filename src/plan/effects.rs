//! What a step means for people: shown beside it, so that no one is surprised. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::Inputs;
use super::effect::Effect;
use super::types::{Action, Place, Step, Work};
use crate::diff::Field;
use crate::model::{Activity, Completeness, Desired, Recorded, Tenant, TenantId, TenantRecord};

/// The tenants of which a plan may say who is active, and those of them whose sessions may be cut short: what has to
/// be read for `all`, and no more.
pub fn affected(desired: &Desired, recorded: &Recorded) -> (BTreeSet<TenantId>, BTreeSet<TenantId>) {
    let (mut affected, mut shortened) = (BTreeSet::new(), BTreeSet::new());
    if matches!(desired.completeness, Completeness::Unreadable { .. }) {
        return (affected, shortened);
    }
    for (key, record) in &recorded.tenants {
        let changes = desired.tenants.get(key).is_none_or(|tenant| {
            (record.definition.enabled && !tenant.definition.enabled)
                || record.definition.domain != tenant.definition.domain
                || record.definition.instance != tenant.definition.instance
                || is_shortened(tenant, record)
        });
        if changes {
            affected.insert(record.id);
        }
        if desired.tenants.get(key).is_some_and(|tenant| is_shortened(tenant, record)) {
            shortened.insert(record.id);
        }
    }
    (affected, shortened)
}

fn is_shortened(tenant: &Tenant, record: &TenantRecord) -> bool {
    tenant.definition.session_timeout < record.definition.session_timeout
}

/// The effects of every step that has any.
pub(super) fn all(inputs: Inputs<'_>, steps: &[Step]) -> BTreeMap<Place, Vec<Effect>> {
    let records: BTreeMap<TenantId, &TenantRecord> =
        inputs.recorded.tenants.values().map(|record| (record.id, record)).collect();
    let mut found: BTreeMap<Place, Vec<Effect>> = BTreeMap::new();
    for step in steps {
        let record = super::identity::record(&step.work).and_then(|of| records.get(&of.id).copied());
        let Some(record) = record else { continue };
        let effects = of(inputs, step, record);
        if !effects.is_empty() {
            found.entry(step.place()).or_default().extend(effects);
        }
    }
    found
}

fn of(inputs: Inputs<'_>, step: &Step, record: &TenantRecord) -> Vec<Effect> {
    let activity = inputs.recorded.activity.get(&record.id);
    let active = || {
        activity.map(|Activity { users, open_sessions, last_activity, .. }| Effect::Active {
            users: *users,
            open_sessions: *open_sessions,
            last_activity: *last_activity,
        })
    };
    let mut effects = Vec::new();
    match &step.work {
        Work::Rename { to, expect, .. } if expect.name != to.as_str() => {
            let (from, to) = (expect.name.clone(), to.to_string());
            let users = activity.map(|activity| activity.users);
            effects.push(Effect::SignInAddresses { from: from.clone(), to: to.clone(), users });
            // Those of a disabled tenant are refused already.
            if expect.enabled != Some(false) {
                effects.push(Effect::Phones { from, to });
            }
        }
        Work::Move { tenant, .. } => {
            // One that the file disables as well is disabled first, by a step that says who is active.
            if record.definition.enabled && tenant.definition.enabled {
                effects.extend(active());
                let (from, to) =
                    (record.definition.instance.to_string(), tenant.definition.instance.to_string());
                effects.push(Effect::Server { from, to });
            }
            if record.definition.domain != tenant.definition.domain {
                let (from, to) = (record.definition.domain.to_string(), tenant.definition.domain.to_string());
                let users = activity.map(|activity| activity.users);
                effects.push(Effect::SignInAddresses { from: from.clone(), to: to.clone(), users });
                if record.definition.enabled && tenant.definition.enabled {
                    effects.push(Effect::Phones { from, to });
                }
            }
        }
        Work::Disable { .. } if record.definition.enabled => effects.extend(active()),
        Work::Recreate { counts: true, .. } => effects.extend(active()),
        Work::Delete { .. } | Work::DeleteRecord { .. } => effects.extend(active()),
        _ => {}
    }
    if let Work::Update { tenant, .. } | Work::Move { tenant, .. } | Work::Recreate { tenant, .. } =
        &step.work
    {
        if let Some(activity) =
            activity.filter(|activity| activity.open_sessions > 0 && is_shortened(tenant, record))
        {
            effects.push(sessions_end(activity, tenant.definition.session_timeout, inputs.now));
        }
        let released = released(inputs, tenant, record, step);
        if !released.is_empty() {
            effects.push(Effect::NumbersReleased { numbers: released });
        }
    }
    effects
}

fn sessions_end(activity: &Activity, minutes: u32, now: DateTime<Utc>) -> Effect {
    let oldest = now - TimeDelta::minutes(i64::from(minutes));
    let ended = activity.session_starts.iter().filter(|start| **start <= oldest).count();
    Effect::SessionsEnd {
        ended: i64::try_from(ended).unwrap_or(i64::MAX),
        open: activity.open_sessions,
        minutes,
    }
}

fn released(inputs: Inputs<'_>, tenant: &Tenant, record: &TenantRecord, step: &Step) -> Vec<String> {
    let changes = step.action != Action::Update || step.changes.iter().any(|c| c.field == Field::SmsNumbers);
    let Some(wanted) = tenant.sms_numbers.as_ref().filter(|_| changes) else { return Vec::new() };
    let assigned = inputs.recorded.sms_numbers.get(&record.id);
    assigned
        .into_iter()
        .flatten()
        .filter(|number| !wanted.contains(number))
        .map(ToString::to_string)
        .collect()
}
