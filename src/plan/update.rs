//! A file with a record: what to change so that record and PBX become what the file says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::adoption::becomes_managed;
use super::decision_table::{Index, name_is_shared, reference, seen};
use super::file_removed::deletion_begun;
use super::reason::{HeldReason, NotCheckedStep, StepReason};
use super::types::{Action, Drifted, FieldChange, Held, Preview, Step, Work};
use super::{Draft, Inputs, definition_hash, sms_numbers};
use crate::diff::{self, Difference, Field, Origin, Seen};
use crate::model::{
    Definition, DomainId, DomainState, DriftPolicy, InstanceKey, InstanceView, MaxUsers, PbxDomain,
    SettingName, Tenant, TenantDocument, TenantRecord,
};

/// A field that came back changed this often in a row is left alone.
pub const CONTESTED_AFTER: u32 = 3;

/// Under which name a correction of a field is counted: another wanted value starts anew.
pub(crate) fn correction_key(field: &Field, wanted: Option<&str>) -> String {
    format!("{field}={}", wanted.unwrap_or(""))
}

pub(super) fn tenant<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    draft: &mut Draft,
) {
    draft.previews.insert(
        tenant.key.clone(),
        Preview {
            before: Some(TenantDocument {
                // Where the file does not own them, they do not change.
                sms_numbers: tenant.sms_numbers.as_ref().and_then(|_| sms_numbers::shown(inputs, record.id)),
                ..TenantDocument::from(&record.definition)
            }),
            after: Some(TenantDocument::from(tenant)),
        },
    );
    if tenant.definition.instance != record.definition.instance {
        return moving(inputs, index, tenant, record, draft);
    }
    match seen(inputs.observed, record) {
        DomainState::Unknown => unknown(inputs, tenant, record, draft),
        DomainState::Absent => absent(index, tenant, record, draft),
        DomainState::Present(domain) if !record.provisioned => {
            unfinished_creation(inputs, index, tenant, record, domain, draft);
        }
        DomainState::Present(domain) => {
            let settings = inputs.observed.instance(&record.definition.instance).settings(record.domain_id);
            let seen = Seen { domain, settings };
            let differences = diff::tenant(tenant, record, Some(seen));
            note_settled(record, &differences, settings.is_some(), draft);
            let mut differences = without_reported(tenant, record, seen, differences, draft);
            differences.extend(sms_numbers::difference(inputs, index, tenant, record, draft));
            show_what_was_seen(&differences, tenant, draft);
            if differences.is_empty() {
                draft.unchanged += 1;
                return;
            }
            steps(inputs, index, tenant, record, domain, &differences, draft);
        }
    }
}

/// Corrections that lasted are forgotten; only what was looked at counts.
fn note_settled(record: &TenantRecord, differences: &[Difference], settings_read: bool, draft: &mut Draft) {
    let still: BTreeSet<String> = differences
        .iter()
        .map(|difference| correction_key(&difference.field, difference.after.as_deref()))
        .collect();
    let looked_at = |key: &str| {
        settings_read
            || !(key.starts_with("pbx_settings.")
                || key.starts_with("max_users=")
                || key.starts_with("web_sign_in="))
    };
    let settled: BTreeSet<String> =
        record.corrections.keys().filter(|key| looked_at(key) && !still.contains(*key)).cloned().collect();
    if !settled.is_empty() {
        draft.settled.insert(record.key.clone(), settled);
    }
}

/// In the preview, the lines before are what the PBX shows where it drifted and is put right.
fn show_what_was_seen(differences: &[Difference], tenant: &Tenant, draft: &mut Draft) {
    let Some(Preview { before: Some(before), .. }) = draft.previews.get_mut(&tenant.key) else { return };
    for difference in differences.iter().filter(|difference| difference.origin == Origin::Drift) {
        let value = difference.before.clone();
        match &difference.field {
            Field::Name => before.name = value.unwrap_or_default(),
            Field::Domain => before.domain = value.unwrap_or_default(),
            Field::Enabled => before.enabled = value.as_deref() == Some("true"),
            Field::MaxUsers => {
                let number = value.as_deref().and_then(|value| value.parse().ok());
                before.max_users = number.map_or(MaxUsers::Unlimited, MaxUsers::Limited).into();
            }
            Field::Setting(name) => {
                match value {
                    Some(value) => before.pbx_settings.insert(name.to_string(), value),
                    None => before.pbx_settings.remove(&name.to_string()),
                };
            }
            _ => {}
        }
    }
}

/// Takes out what is only to be shown (`drift: report`) and what comes back every time.
fn without_reported(
    tenant: &Tenant,
    record: &TenantRecord,
    seen: Seen<'_>,
    differences: Vec<Difference>,
    draft: &mut Draft,
) -> Vec<Difference> {
    let otherwise = diff::shown_otherwise(tenant, record, seen);
    let mut kept = Vec::new();
    for difference in differences {
        let drifted = difference.origin == Origin::Drift && !unfinished(record, &difference);
        if drifted {
            draft.changed_outside.insert(tenant.key.clone());
        }
        let fought = record
            .corrections
            .get(&correction_key(&difference.field, difference.after.as_deref()))
            .is_some_and(|times| *times >= CONTESTED_AFTER && is_on_the_pbx(&difference.field));
        // What the PBX shows as wanted is fought over no more: only the record has to follow.
        let is_setting = !matches!(difference.field, Field::Name | Field::Domain | Field::Enabled);
        let won = (!is_setting || seen.settings.is_some()) && !otherwise.contains(&difference.field);
        if drifted && tenant.definition.drift == DriftPolicy::Report {
            draft.drifted.push(Drifted {
                tenant: tenant.key.clone(),
                instance: record.definition.instance.clone(),
                change: FieldChange::from(&difference),
            });
        } else if fought && !won {
            let reason = HeldReason::ContestedField { field: difference.field.clone() };
            draft.held.push(Held::new(&tenant.key, &record.definition.instance, Action::Update, reason));
        } else {
            kept.push(difference);
        }
    }
    kept
}

/// What only the database holds, nobody else sets.
fn is_on_the_pbx(field: &Field) -> bool {
    match field {
        Field::Name
        | Field::Domain
        | Field::Enabled
        | Field::MaxUsers
        | Field::Setting(_)
        | Field::WebSignIn => true,
        Field::Key
        | Field::Instance
        | Field::SessionTimeout
        | Field::Protected
        | Field::CrossTenant(_)
        | Field::Drift
        | Field::SmsNumbers
        | Field::File => false,
    }
}

/// Whether the difference is work of ours that was cut short, and not a foreign change.
fn unfinished(record: &TenantRecord, difference: &Difference) -> bool {
    match difference.field {
        Field::Enabled | Field::WebSignIn if record.definition.enabled => record.web_sign_in_block.is_some(),
        Field::Enabled | Field::WebSignIn => record.disable_confirmed_at.is_none(),
        _ => !record.provisioned || record.applied_definition_hash.is_none(),
    }
}

/// The instance could not be read: only what the file changed can be told, and it is held.
fn unknown(inputs: Inputs<'_>, tenant: &Tenant, record: &TenantRecord, draft: &mut Draft) {
    let instance = &record.definition.instance;
    let InstanceView::Unknown { reason: problem } = inputs.observed.instance(instance) else { return };
    let mut differences = diff::tenant(tenant, record, None);
    differences.extend(diff::sms_numbers(tenant, inputs.recorded.sms_numbers.get(&record.id)));
    // Without a change there is nothing to hold, and it does not count as unchanged, because it was not checked.
    if differences.is_empty() {
        return;
    }
    let fields = differences.into_iter().map(|difference| difference.field).collect();
    let reason = HeldReason::InstanceNotChecked {
        instance: instance.clone(),
        problem: problem.clone(),
        planned: NotCheckedStep::Update(fields),
    };
    draft.held.push(Held::new(&tenant.key, instance, Action::Update, reason));
}

/// Recorded, and the instance does not have it: made again under the recorded identity.
fn absent<'a>(index: &Index<'a>, tenant: &'a Tenant, record: &'a TenantRecord, draft: &mut Draft) {
    let instance = &record.definition.instance;
    let hold = |reason: HeldReason| Held::new(&tenant.key, instance, Action::Create, reason);
    if let Some(taken) = taken(index, tenant, record, None) {
        draft.held.push(hold(HeldReason::DomainMissingAndTaken {
            instance: instance.clone(),
            taken: Box::new(taken),
        }));
        return;
    }
    if record.provisioned {
        draft.changed_outside.insert(tenant.key.clone());
        if let Some(missing) = index.vanished(instance) {
            draft.held.push(hold(HeldReason::DomainsMissing { instance: instance.clone(), missing }));
            return;
        }
        if tenant.definition.drift == DriftPolicy::Report {
            draft.drifted.push(Drifted {
                tenant: tenant.key.clone(),
                instance: record.definition.instance.clone(),
                change: FieldChange {
                    field: Field::Domain,
                    before: None,
                    after: Some(tenant.definition.domain.to_string()),
                },
            });
            // What happens on the PBX is only reported; that the platform's users are kept out is not up to it.
            if record.definition.enabled && !tenant.definition.enabled {
                draft.steps.push(Step {
                    tenant: tenant.key.clone(),
                    instance: record.definition.instance.clone(),
                    action: Action::Disable,
                    reason: StepReason::FileChanged,
                    changes: vec![FieldChange {
                        field: Field::Enabled,
                        before: Some("true".to_owned()),
                        after: Some("false".to_owned()),
                    }],
                    work: Work::Disable {
                        record: reference(record),
                        expect: None,
                        file_removed: false,
                        counts: true,
                    },
                });
            }
            return;
        }
    }
    if let Some(Preview { before, .. }) = draft.previews.get_mut(&tenant.key) {
        *before = None;
    }
    draft.steps.push(recreation(
        tenant,
        record,
        match record.restored_at {
            _ if record.provisioned => StepReason::DriftDomainMissing,
            Some(at) => StepReason::RestoredWithoutDomain { at, instance: instance.clone() },
            None => StepReason::UnfinishedCreate,
        },
    ));
}

/// Recorded and there, but perhaps only half as its file says: brought to that.
fn unfinished_creation<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    domain: &PbxDomain,
    draft: &mut Draft,
) {
    let renamed = domain.name != tenant.definition.domain.as_str()
        || record.definition.domain != tenant.definition.domain;
    let refused = if renamed {
        may_rename(inputs, index, tenant, record).err()
    } else {
        // Somebody may have made another one of this name since ours was looked for.
        locks_tenantd_out(inputs, record)
            .filter(|_| !tenant.definition.enabled)
            .or_else(|| taken(index, tenant, record, Some(record.domain_id)))
    };
    match refused {
        Some(reason) => {
            draft.held.push(Held::new(&tenant.key, &record.definition.instance, Action::Create, reason))
        }
        None => draft.steps.push(match record.restored_at {
            None => recreation(tenant, record, StepReason::UnfinishedCreate),
            Some(at) => still_there(inputs, tenant, record, domain, at),
        }),
    }
}

/// A record that came back from its archive, and its domain, which was there all the time.
fn still_there(
    inputs: Inputs<'_>,
    tenant: &Tenant,
    record: &TenantRecord,
    domain: &PbxDomain,
    at: DateTime<Utc>,
) -> Step {
    let settings = inputs.observed.instance(&record.definition.instance).settings(record.domain_id);
    let differences = diff::tenant(tenant, record, Some(Seen { domain, settings }));
    let mut changes: Vec<FieldChange> = differences.iter().map(FieldChange::from).collect();
    if changes.is_empty() {
        changes.push(becomes_managed(&tenant.key));
    }
    Step {
        action: Action::Adopt,
        changes,
        ..recreation(
            tenant,
            record,
            StepReason::Restored { at, instance: record.definition.instance.clone() },
        )
    }
}

/// The domain under its recorded identity, made or finished.
fn recreation(tenant: &Tenant, record: &TenantRecord, reason: StepReason) -> Step {
    Step {
        tenant: tenant.key.clone(),
        instance: record.definition.instance.clone(),
        action: Action::Create,
        reason,
        changes: vec![FieldChange {
            field: Field::Domain,
            before: None,
            after: Some(tenant.definition.domain.to_string()),
        }],
        work: Work::Recreate {
            record: reference(record),
            tenant: tenant.clone(),
            counts: record.definition.enabled && !tenant.definition.enabled,
        },
    }
}

/// Another instance: made there, disabled here.
fn moving<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    draft: &mut Draft,
) {
    let hold = |reason: HeldReason| Held::new(&tenant.key, &tenant.definition.instance, Action::Move, reason);
    for instance in [&tenant.definition.instance, &record.definition.instance] {
        if let InstanceView::Unknown { reason: problem } = inputs.observed.instance(instance) {
            draft.held.push(hold(HeldReason::InstanceNotChecked {
                instance: instance.clone(),
                problem: problem.clone(),
                planned: NotCheckedStep::Move,
            }));
            return;
        }
    }
    if let Some(reason) = locks_tenantd_out(inputs, record) {
        draft.held.push(hold(reason));
        return;
    }
    let returns_to = inputs
        .recorded
        .previous_placements
        .iter()
        .find(|previous| previous.tenant == record.id && previous.instance == tenant.definition.instance)
        .map(|previous| previous.domain_id);
    if let Some(taken) = taken(index, tenant, record, returns_to)
        .or_else(|| sms_numbers::taken(inputs, index, tenant, Some(record.id)))
    {
        draft.held.push(hold(taken));
        return;
    }
    let mut differences = diff::tenant(tenant, record, None);
    differences.extend(diff::sms_numbers(tenant, inputs.recorded.sms_numbers.get(&record.id)));
    draft.warnings.push(format!(
        "{}: moving from {} to {} does not take extensions and call routing along; its users are synchronised from {} \
         afterwards",
        tenant.key, record.definition.instance, tenant.definition.instance, tenant.definition.instance
    ));
    rekey_first(tenant, record, &differences, draft);
    // Disabled first and where it is, so that this counts like any other disabling.
    let closes = record.definition.enabled && !tenant.definition.enabled;
    let (switched, differences): (Vec<&Difference>, Vec<&Difference>) =
        differences.iter().partition(|difference| closes && difference.field == Field::Enabled);
    if closes {
        draft.steps.push(Step {
            tenant: tenant.key.clone(),
            instance: record.definition.instance.clone(),
            action: Action::Disable,
            reason: StepReason::FileChanged,
            changes: switched.into_iter().map(FieldChange::from).collect(),
            work: Work::Disable {
                record: reference(record),
                expect: match seen(inputs.observed, record) {
                    DomainState::Present(domain) => Some(domain.clone()),
                    DomainState::Absent | DomainState::Unknown => None,
                },
                file_removed: false,
                counts: true,
            },
        });
    }
    draft.steps.push(Step {
        tenant: tenant.key.clone(),
        instance: tenant.definition.instance.clone(),
        action: Action::Move,
        reason: StepReason::InstanceChanged {
            from: record.definition.instance.clone(),
            to: tenant.definition.instance.clone(),
        },
        changes: differences.into_iter().filter(|d| d.field != Field::Key).map(FieldChange::from).collect(),
        work: Work::Move { record: reference(record), tenant: tenant.clone(), returns_to },
    });
}

/// Closing or renaming the domain that tenantd's own account lives in would lock tenantd out of the PBX.
///
/// The name that the PBX shows is the one to sign in with, so it counts like the recorded one.
pub(super) fn locks_tenantd_out(inputs: Inputs<'_>, record: &TenantRecord) -> Option<HeldReason> {
    let shown = match seen(inputs.observed, record) {
        DomainState::Present(domain) => Some(domain.name.as_str()),
        DomainState::Absent | DomainState::Unknown => None,
    };
    [Some(record.definition.domain.as_str()), shown]
        .into_iter()
        .flatten()
        .find_map(|name| our_own_account(inputs, &record.definition.instance, name))
}

/// Why nothing is closed or renamed that has this name on this instance.
pub(super) fn our_own_account(inputs: Inputs<'_>, instance: &InstanceKey, name: &str) -> Option<HeldReason> {
    let own = inputs.policy.own_domains.get(instance)?;
    inputs
        .policy
        .is_own_domain(instance, name)
        .then(|| HeldReason::WouldLockTenantdOut { domain: own.clone(), instance: instance.clone() })
}

fn rekey_first(tenant: &Tenant, record: &TenantRecord, differences: &[Difference], draft: &mut Draft) {
    let Some(change) = differences.iter().find(|difference| difference.field == Field::Key) else { return };
    draft.steps.push(Step {
        tenant: tenant.key.clone(),
        instance: record.definition.instance.clone(),
        action: Action::Rename,
        reason: StepReason::FileRenamed {
            from: record.key.clone(),
            said: tenant.previously.as_ref() == Some(&record.key),
        },
        changes: vec![change.into()],
        work: Work::Rekey { record: reference(record), to: tenant.key.clone() },
    });
}

fn steps<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    domain: &PbxDomain,
    differences: &[Difference],
    draft: &mut Draft,
) {
    if deletion_begun(inputs, record.id, &record.definition.instance) {
        draft.warnings.push(format!(
            "deleting {} on {} was begun before its file came back: its dialplans, extensions and users may be gone, so \
             look at it there",
            record.key, record.definition.instance
        ));
    }
    rekey_first(tenant, record, differences, draft);
    let reason = |differences: &[&Difference]| {
        if record.file_removed_at.is_some() && differences.iter().any(|d| d.origin == Origin::File) {
            StepReason::FileBack
        } else if differences.iter().any(|difference| unfinished(record, difference)) {
            // `tenantd block` has it looked at anew; a block is recorded before it is sent, so nothing was begun.
            let not_begun = !tenant.definition.enabled
                && !record.definition.enabled
                && record.web_sign_in_block.is_none()
                && record.settings_checked_at.is_none();
            if not_begun { StepReason::WebSignInNotBlocked } else { StepReason::Unfinished }
        } else if differences.iter().all(|difference| difference.origin == Origin::Drift) {
            StepReason::DriftOnPbx
        } else if differences.iter().all(|difference| difference.field == Field::SmsNumbers)
            && record.applied_definition_hash.as_ref() == Some(&definition_hash(tenant))
        {
            StepReason::DriftOfSmsNumbers
        } else {
            StepReason::FileChanged
        }
    };
    let of = |wanted: &dyn Fn(&Field) -> bool| -> Vec<&Difference> {
        differences.iter().filter(|difference| wanted(&difference.field)).collect()
    };
    let changes =
        |differences: &[&Difference]| differences.iter().map(|d| FieldChange::from(*d)).collect::<Vec<_>>();
    let step = |action, reason: StepReason, changes, work| Step {
        tenant: tenant.key.clone(),
        instance: record.definition.instance.clone(),
        action,
        reason,
        changes,
        work,
    };

    // That the file is back is told by the step that enables the tenant, where there is one, and recorded by it.
    let enables =
        tenant.definition.enabled && differences.iter().any(|difference| is_switched(&difference.field));
    let switched = of(&|field| is_switched(field) || (enables && *field == Field::File));
    let switch = |draft: &mut Draft| {
        if switched.is_empty() {
            return;
        }
        if tenant.definition.enabled {
            draft.steps.push(step(
                Action::Enable,
                reason(&switched),
                changes(&switched),
                Work::Enable { record: reference(record), expect: domain.clone() },
            ));
        } else if let Some(reason) = locks_tenantd_out(inputs, record) {
            draft.held.push(Held::new(&tenant.key, &record.definition.instance, Action::Disable, reason));
        } else {
            draft.steps.push(step(
                Action::Disable,
                reason(&switched),
                changes(&switched),
                Work::Disable {
                    record: reference(record),
                    expect: Some(domain.clone()),
                    file_removed: false,
                    counts: record.definition.enabled,
                },
            ));
        }
    };
    // To take access away comes first, so that no other step that fails keeps it open; to give it comes last.
    if !tenant.definition.enabled {
        switch(draft);
    }

    let renamed = of(&|field| *field == Field::Domain);
    if !renamed.is_empty() {
        match may_rename(inputs, index, tenant, record) {
            Ok(()) => draft.steps.push(step(
                Action::Rename,
                reason(&renamed),
                changes(&renamed),
                Work::Rename {
                    record: reference(record),
                    to: tenant.definition.domain.clone(),
                    expect: domain.clone(),
                },
            )),
            Err(reason) => {
                draft.held.push(Held::new(&tenant.key, &record.definition.instance, Action::Rename, reason))
            }
        }
    }

    let updated = of(&|field| {
        let elsewhere = matches!(field, Field::Key | Field::Domain | Field::Instance);
        let told = enables && *field == Field::File;
        !elsewhere && !told && !is_switched(field)
    });
    if !updated.is_empty() {
        let settings: BTreeMap<SettingName, Option<String>> = updated
            .iter()
            .filter_map(|difference| match &difference.field {
                // A setting that left the file is no longer ours; its value stays.
                Field::Setting(name) => difference.after.clone().map(|value| (name.clone(), Some(value))),
                Field::MaxUsers => {
                    Some((SettingName::user_limit(), diff::user_limit(tenant.definition.max_users)))
                }
                _ => None,
            })
            .collect();
        draft.steps.push(step(
            Action::Update,
            reason(&updated),
            changes(&updated),
            Work::Update {
                record: reference(record),
                tenant: tenant.clone(),
                expect: domain.clone(),
                describe: updated.iter().any(|difference| difference.field == Field::Name),
                settings,
            },
        ));
    }

    if tenant.definition.enabled {
        switch(draft);
    }
}

/// What a step that enables or disables changes.
fn is_switched(field: &Field) -> bool {
    matches!(field, Field::Enabled | Field::WebSignIn)
}

fn may_rename<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
) -> Result<(), HeldReason> {
    let shared = || match seen(inputs.observed, record) {
        DomainState::Present(domain) if domain.name != tenant.definition.domain.as_str() => {
            name_is_shared(inputs.observed, &record.definition.instance, domain)
        }
        _ => None,
    };
    match locks_tenantd_out(inputs, record)
        .or_else(|| taken(index, tenant, record, Some(record.domain_id)))
        .or_else(shared)
    {
        Some(reason) => Err(reason),
        None => Ok(()),
    }
}

/// Why the tenant cannot have the domain that its file wants: a record has it, or another domain of its instance.
///
/// FusionPBX takes a name in use and has then two domains of one name: so look first. `own` is the domain that is
/// to have the name, where it is there already.
fn taken<'a>(
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    own: Option<DomainId>,
) -> Option<HeldReason> {
    let Definition { domain, instance, .. } = &tenant.definition;
    if let Some(owner) = index.recorded_with(domain).filter(|owner| **owner != record.key) {
        return Some(HeldReason::DomainOfAnotherTenant { domain: domain.clone(), owner: owner.clone() });
    }
    let named = index.named(instance, domain.as_str());
    let found = named.iter().find(|found| Some(found.id) != own)?;
    let owner = index.owner(instance, found.id);
    let (domain, instance) = (domain.clone(), instance.clone());
    Some(match owner {
        Some(owner) => HeldReason::DomainRecordedFor { domain, instance, owner: owner.clone() },
        None => HeldReason::DomainExists { domain: Some(domain), instance },
    })
}
