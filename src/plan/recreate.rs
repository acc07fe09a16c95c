//! A record whose domain is missing on its instance, or whose creation or restore was not finished.

use chrono::{DateTime, Utc};

use super::adoption::becomes_managed;
use super::index::{Index, reference};
use super::own_account::locks_tenantd_out;
use super::reason::{HeldReason, StepReason};
use super::rename::{may_rename, taken};
use super::types::{Action, Drifted, FieldChange, Held, Preview, Step, Work};
use super::{Draft, Inputs};
use crate::diff::{self, Field, Seen};
use crate::model::{DriftPolicy, PbxDomain, Tenant, TenantRecord};

/// Recorded, and the instance does not have it: created again under the recorded identity.
pub(super) fn absent<'a>(index: &Index<'a>, tenant: &'a Tenant, record: &'a TenantRecord, draft: &mut Draft) {
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
            // What happens on the PBX is only reported; that the platform's users are refused is not up to it.
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
pub(super) fn unfinished_creation<'a>(
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
        // Someone may have made another one of this name since tenantd's was looked for.
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
