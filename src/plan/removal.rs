//! A record without a file: disable now, delete much later and only when everything allows it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::decide::{reference, seen};
use super::types::{Action, FieldChange, Held, Preview, Step, Waiting, Work};
use super::update::locks_us_out;
use super::{Draft, World};
use crate::config::DeletionMode;
use crate::diff::{Field, lock_is_in_force};
use crate::model::{
    Completeness, DomainState, FormerPlacement, InstanceView, PbxDomain, SettingId, TenantDocument,
    TenantKey, TenantRecord,
};
use crate::sabotage::{Bug, active};

pub(super) fn without_file(world: World<'_>, key: &TenantKey, record: &TenantRecord, draft: &mut Draft) {
    let hold = |action: Action, reason: String| Held {
        tenant: key.clone(),
        instance: record.instance.clone(),
        action,
        reason,
        lift: None,
    };
    if world.desired.is_broken(key) {
        draft.held.push(hold(Action::Update, "its file is broken, so what it wants is unknown".into()));
        return;
    }
    let next = if record.enabled || record.removed_at.is_none() { Action::Disable } else { Action::Delete };
    match &world.desired.completeness {
        Completeness::Complete => {}
        Completeness::Partial { .. } if active(Bug::PartialIsComplete) => {}
        Completeness::Partial { reason } | Completeness::Unreadable { reason } => {
            draft.held.push(hold(
                next,
                format!(
                    "its file is not there, but {reason}: nothing is removed until every file can be read"
                ),
            ));
            return;
        }
    }
    let domain = match seen(world.observed, record) {
        DomainState::Unknown => {
            let InstanceView::Unknown { reason } = world.observed.instance(&record.instance) else { return };
            draft.held.push(hold(
                next,
                format!("its file is gone, but the instance {} is unknown: {reason}", record.instance),
            ));
            return;
        }
        DomainState::Present(domain) => Some(domain),
        DomainState::Absent => None,
    };
    if let Some(reason) = locks_us_out(world, record) {
        draft.held.push(hold(next, reason));
        return;
    }
    match why_disable(world, record, domain) {
        Some((reason, changes, counts)) => {
            let before = TenantDocument::from(record);
            let after = TenantDocument { enabled: false, ..before.clone() };
            draft.previews.insert(key.clone(), Preview { before: Some(before), after: Some(after) });
            draft.steps.push(Step {
                tenant: key.clone(),
                instance: record.instance.clone(),
                action: Action::Disable,
                reason,
                changes,
                work: Work::Disable {
                    record: reference(record),
                    expect: domain.cloned(),
                    removed: true,
                    counts,
                },
            });
        }
        None => delete(world, key, record, domain, draft),
    }
}

/// Whether there is something to close before deletion may be thought of: reason, changes, and whether it counts
/// against the removal limits.
fn why_disable(
    world: World<'_>,
    record: &TenantRecord,
    domain: Option<&PbxDomain>,
) -> Option<(String, Vec<FieldChange>, bool)> {
    let change = |field, before: &str, after: &str| FieldChange {
        field,
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
    };
    let file_gone = change(Field::File, "present", "gone");
    if record.enabled {
        return Some((
            "its file is gone".into(),
            vec![change(Field::Enabled, "true", "false"), file_gone],
            true,
        ));
    }
    if record.removed_at.is_none() {
        return Some((
            "its file is gone; it is disabled already, and its retention starts".into(),
            vec![file_gone],
            true,
        ));
    }
    if record.disable_confirmed_at.is_none() {
        return Some((
            "an earlier pass did not finish disabling it".into(),
            vec![change(Field::Enabled, "true", "false")],
            false,
        ));
    }
    let domain = domain?;
    if domain.enabled != Some(false) {
        return Some((
            "drift: somebody enabled it on the PBX".into(),
            vec![change(Field::Enabled, "true", "false")],
            false,
        ));
    }
    let rows = world.observed.instance(&record.instance).settings(record.domain_id)?;
    let locked = lock_is_in_force(rows, SettingId::for_login_lock(record.domain_id));
    (!locked && !record.lock_left_open).then(|| {
        (
            "drift: somebody opened its web sign-in on the PBX".into(),
            vec![change(Field::WebSignIn, "open", "locked")],
            false,
        )
    })
}

/// When a removed tenant's retention is over: so many days after the later of the file's going and the PBX's no.
pub fn retention_end(
    removed_at: DateTime<Utc>,
    disable_confirmed_at: DateTime<Utc>,
    retention_days: u32,
) -> DateTime<Utc> {
    let days = if active(Bug::NoRetention) { 0 } else { i64::from(retention_days) };
    removed_at.max(disable_confirmed_at) + TimeDelta::days(days)
}

fn delete(
    world: World<'_>,
    key: &TenantKey,
    record: &TenantRecord,
    domain: Option<&PbxDomain>,
    draft: &mut Draft,
) {
    let (Some(removed_at), Some(confirmed_at)) = (record.removed_at, record.disable_confirmed_at) else {
        return;
    };
    let action = if domain.is_some() { Action::Delete } else { Action::Forget };
    let hold = |reason: String| Held {
        tenant: key.clone(),
        instance: record.instance.clone(),
        action,
        reason,
        lift: None,
    };
    if world.policy.deletion.mode == DeletionMode::Never {
        return;
    }
    let until = retention_end(removed_at, confirmed_at, world.policy.deletion.retention_days);
    if world.now < until {
        draft.waiting.push(Waiting {
            tenant: key.clone(),
            instance: record.instance.clone(),
            action,
            until,
            reason: format!("kept for {} days after it was disabled", world.policy.deletion.retention_days),
        });
        return;
    }
    draft.previews.insert(key.clone(), Preview { before: Some(TenantDocument::from(record)), after: None });
    if record.protected {
        draft.held.push(hold(
            "it is protected: bring its file back with `protected: false` before removing it".into(),
        ));
        return;
    }
    if let Some(open) = world.recorded.open_sessions.get(&record.id).filter(|open| **open > 0) {
        draft.held.push(hold(format!("{open} user sessions are open")));
        return;
    }
    if let Some(former) = world.recorded.former.iter().find(|former| former.tenant == record.id) {
        draft.held.push(hold(format!(
            "its former domain {} on {} is still kept and has to go first",
            former.domain, former.instance
        )));
        return;
    }
    draft.steps.push(Step {
        tenant: key.clone(),
        instance: record.instance.clone(),
        action,
        reason: match domain {
            Some(_) => "its file is gone, it is disabled, and its retention is over".into(),
            None => "its file and its domain are gone, and its retention is over".into(),
        },
        changes: vec![FieldChange {
            field: Field::Domain,
            before: Some(record.domain.to_string()),
            after: None,
        }],
        work: match domain {
            Some(domain) => Work::Delete { record: reference(record), expect: domain.clone() },
            None => Work::Forget { record: reference(record) },
        },
    });
}

/// Domains that tenants left behind on other instances: kept closed, then deleted under the same rule.
///
/// A tenant whose file has another key now keeps its steps together under that key.
pub(super) fn former_placements(
    world: World<'_>,
    taken_over: &BTreeMap<&TenantKey, &TenantKey>,
    draft: &mut Draft,
) {
    for placement in &world.recorded.former {
        let Some(record) = world.recorded.tenants.get(&placement.key) else { continue };
        let key = taken_over.get(&placement.key).copied().unwrap_or(&placement.key);
        former(world, key, record, placement, draft);
    }
}

fn former(
    world: World<'_>,
    key: &TenantKey,
    record: &TenantRecord,
    placement: &FormerPlacement,
    draft: &mut Draft,
) {
    let step = |action, reason: String, changes, work| Step {
        tenant: key.clone(),
        instance: placement.instance.clone(),
        action,
        reason,
        changes,
        work,
    };
    let change = |field, before: Option<&str>, after: Option<&str>| FieldChange {
        field,
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    };
    // A tenant that is on its way back uses this domain again.
    let returns = world
        .desired
        .tenants
        .values()
        .any(|tenant| tenant.key == *key && tenant.instance == placement.instance);
    if returns {
        return;
    }
    let domain = match world.observed.instance(&placement.instance).domain(placement.domain_id) {
        DomainState::Unknown => return,
        DomainState::Absent => {
            draft.steps.push(step(
                Action::Forget,
                "the domain it left behind is gone".into(),
                vec![change(Field::Domain, Some(placement.domain.as_str()), None)],
                Work::DeleteFormer { record: reference(record), placement: placement.clone(), expect: None },
            ));
            return;
        }
        DomainState::Present(domain) => domain,
    };
    let rows = world.observed.instance(&placement.instance).settings(placement.domain_id);
    let unlocked =
        rows.is_some_and(|rows| !lock_is_in_force(rows, SettingId::for_login_lock(placement.domain_id)));
    if domain.enabled != Some(false) || placement.disable_confirmed_at.is_none() || unlocked {
        draft.steps.push(step(
            Action::Disable,
            format!("the tenant moved to {}; what it left behind stays closed", record.instance),
            vec![change(Field::Enabled, Some("true"), Some("false"))],
            Work::DisableFormer {
                record: reference(record),
                placement: placement.clone(),
                expect: domain.clone(),
            },
        ));
        return;
    }
    let Some(confirmed_at) = placement.disable_confirmed_at else { return };
    if world.policy.deletion.mode == DeletionMode::Never {
        return;
    }
    let until = retention_end(placement.left_at, confirmed_at, world.policy.deletion.retention_days);
    if world.now < until {
        draft.waiting.push(Waiting {
            tenant: key.clone(),
            instance: placement.instance.clone(),
            action: Action::Delete,
            until,
            reason: format!(
                "left behind by its move; kept for {} days",
                world.policy.deletion.retention_days
            ),
        });
        return;
    }
    if record.protected {
        draft.held.push(Held {
            tenant: key.clone(),
            instance: placement.instance.clone(),
            action: Action::Delete,
            reason: "what it left behind is kept, because the tenant is protected".into(),
            lift: None,
        });
        return;
    }
    if !matches!(world.desired.completeness, Completeness::Complete) {
        draft.held.push(Held {
            tenant: key.clone(),
            instance: placement.instance.clone(),
            action: Action::Delete,
            reason: "nothing is removed until every file can be read".into(),
            lift: None,
        });
        return;
    }
    draft.steps.push(step(
        Action::Delete,
        "left behind by its move, disabled, and its retention is over".into(),
        vec![change(Field::Domain, Some(placement.domain.as_str()), None)],
        Work::DeleteFormer {
            record: reference(record),
            placement: placement.clone(),
            expect: Some(domain.clone()),
        },
    ));
}
