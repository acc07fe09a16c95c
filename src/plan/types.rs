use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::effect::Effect;
use super::reason::{HeldReason, ScheduledReason, StepReason};
use crate::diff::{Difference, Field};
use crate::model::{
    AdoptHow, DomainId, DomainName, InstanceKey, PbxDomain, PreviousPlacement, RemovalKind, RetentionResets,
    SettingName, Tenant, TenantDocument, TenantId, TenantKey,
};

/// What a step does to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Database row, then domain on the PBX.
    Create,
    /// Take over a domain that exists on the PBX and is not managed, or that a restored tenant still has there.
    Adopt,
    /// Another domain, or another key, for the same tenant.
    Rename,
    /// To another PBX instance.
    Move,
    Update,
    Enable,
    Disable,
    /// From the PBX, then from the database; a tombstone remains.
    Delete,
    /// From the database alone, because the PBX no longer has it.
    DeleteRecord,
}

impl Action {
    pub const ALL: [Self; 9] = [
        Self::Create,
        Self::Adopt,
        Self::Rename,
        Self::Move,
        Self::Update,
        Self::Enable,
        Self::Disable,
        Self::Delete,
        Self::DeleteRecord,
    ];

    /// As programs read it; `Display` is for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Rename => "rename",
            Self::Move => "move",
            Self::Update => "update",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Delete => "delete",
            Self::DeleteRecord => "delete_record",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DeleteRecord => f.pad("delete record"),
            action => f.pad(action.as_str()),
        }
    }
}

/// One field before and after. `None` means that there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub field: Field,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl From<&Difference> for FieldChange {
    fn from(difference: &Difference) -> Self {
        let Difference { field, before, after, origin: _ } = difference;
        Self { field: field.clone(), before: before.clone(), after: after.clone() }
    }
}

impl FieldChange {
    /// A change between two values.
    pub(super) fn between(field: Field, before: &str, after: &str) -> Self {
        Self { field, before: Some(before.to_owned()), after: Some(after.to_owned()) }
    }
}

/// The record that a step was planned from; apply refuses one that has moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordRef {
    pub id: TenantId,
    pub revision: i64,
}

/// Everything that apply needs; it makes no choice of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    Create {
        tenant: Tenant,
    },
    /// The record is there and the domain is not: created again under the recorded identity.
    Recreate {
        record: RecordRef,
        tenant: Tenant,
        /// Counts against the limits, because the file disables it at the same time.
        counts: bool,
    },
    Adopt {
        tenant: Tenant,
        found: PbxDomain,
        how: AdoptHow,
    },
    /// Another key; the PBX is not touched.
    Rekey {
        record: RecordRef,
        to: TenantKey,
    },
    Rename {
        record: RecordRef,
        to: DomainName,
        expect: PbxDomain,
    },
    Move {
        record: RecordRef,
        tenant: Tenant,
        /// The domain that the tenant previous on the new instance when it was there before.
        returns_to: Option<DomainId>,
    },
    Update {
        record: RecordRef,
        tenant: Tenant,
        expect: PbxDomain,
        /// Send the domain's description.
        describe: bool,
        /// Settings to write; `None` switches a setting's rows off.
        settings: BTreeMap<SettingName, Option<String>>,
    },
    Enable {
        record: RecordRef,
        expect: PbxDomain,
    },
    Disable {
        record: RecordRef,
        expect: Option<PbxDomain>,
        /// Because the file was removed.
        file_removed: bool,
        /// Counts against the removal limits: it takes access away from someone who had it.
        counts: bool,
    },
    /// Keep a domain closed that a tenant previous on another instance.
    DisablePrevious {
        record: RecordRef,
        placement: PreviousPlacement,
        expect: PbxDomain,
    },
    Delete {
        record: RecordRef,
        expect: PbxDomain,
    },
    DeletePrevious {
        record: RecordRef,
        placement: PreviousPlacement,
        /// `None` where the instance no longer has it: only the record of it goes.
        expect: Option<PbxDomain>,
    },
    DeleteRecord {
        record: RecordRef,
    },
}

/// One thing that apply will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub tenant: TenantKey,
    pub instance: InstanceKey,
    pub action: Action,
    pub reason: StepReason,
    pub changes: Vec<FieldChange>,
    pub work: Work,
}

/// Which of a plan's steps, held or not: a tenant has one of an action on an instance, but for a new key beside a new
/// domain.
pub type Place = (TenantKey, InstanceKey, Action);

impl Step {
    /// The tenant whose phones the step interrupts without closing it, and how: an enabled tenant gets another domain,
    /// or goes to another instance. `enabled` tells whether a recorded tenant is enabled.
    pub fn interrupts(&self, enabled: impl Fn(TenantId) -> bool) -> Option<(TenantId, RemovalKind)> {
        match &self.work {
            Work::Rename { record, to, expect } if expect.name != to.as_str() => {
                (expect.enabled != Some(false)).then_some((record.id, RemovalKind::Renamed))
            }
            // One that is to be disabled is disabled first, which counts.
            Work::Move { record, tenant, .. } if tenant.definition.enabled && enabled(record.id) => {
                Some((record.id, RemovalKind::Moved))
            }
            _ => None,
        }
    }

    /// Whether the step creates a domain, or takes one over, whose tenant could sign in until now and then cannot.
    pub(super) fn disables_by_creating(&self) -> bool {
        match &self.work {
            Work::Recreate { counts, .. } => *counts,
            Work::Adopt { tenant, found, .. } => !tenant.definition.enabled && found.enabled != Some(false),
            _ => false,
        }
    }

    pub fn place(&self) -> Place {
        (self.tenant.clone(), self.instance.clone(), self.action)
    }
}

/// Something that will not be done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub tenant: TenantKey,
    pub instance: InstanceKey,
    pub action: Action,
    pub reason: HeldReason,
    /// The command that lifts the hold, where a command does.
    pub lifted_by: Option<String>,
    /// The instance on which the tenant is disabled now, although it should be enabled.
    pub out_of_service: Option<OutOfService>,
}

/// A tenant that should be enabled is disabled on this instance now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutOfService {
    pub instance: InstanceKey,
}

impl Held {
    /// A held step that no command lifts.
    pub(super) fn new(
        tenant: &TenantKey,
        instance: &InstanceKey,
        action: Action,
        reason: HeldReason,
    ) -> Self {
        Self {
            tenant: tenant.clone(),
            instance: instance.clone(),
            action,
            reason,
            lifted_by: None,
            out_of_service: None,
        }
    }

    /// The same step, held.
    pub(super) fn step(step: &Step, reason: HeldReason) -> Self {
        Self::new(&step.tenant, &step.instance, step.action, reason)
    }

    pub(super) fn lifted_by(self, command: impl Into<Option<String>>) -> Self {
        Self { lifted_by: command.into(), ..self }
    }

    /// Whether it is held because a field was changed back each time that tenantd set it.
    pub fn is_contested(&self) -> bool {
        matches!(self.reason, HeldReason::ContestedField { .. })
    }
}

/// Something that will become possible when time has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledStep {
    pub tenant: TenantKey,
    pub instance: InstanceKey,
    pub action: Action,
    pub until: DateTime<Utc>,
    pub reason: ScheduledReason,
}

impl ScheduledStep {
    /// What waits, up to the time: `delete not before`. `of` stands behind the action.
    pub fn what(&self, of: &str) -> String {
        match self.action {
            // It is done, and not yet known to refuse everyone.
            Action::Disable => format!("disable{of} not confirmed before"),
            action => format!("{action}{of} not before"),
        }
    }
}

/// A outside change that is shown and left alone (`drift: report`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drifted {
    pub tenant: TenantKey,
    pub instance: InstanceKey,
    pub change: FieldChange,
}

/// An instance that could not be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotChecked {
    pub instance: InstanceKey,
    /// Why it cannot be reached, was not fully read or not understood.
    pub reason: String,
    /// How many tenants it has, all of which were not checked.
    pub tenants: usize,
}

/// A tenant's definition before and after, for the preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    pub before: Option<TenantDocument>,
    pub after: Option<TenantDocument>,
}

/// What one pass will do and what it will not. It never changes once made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Hash of the contents; the same inputs gives the same id.
    pub id: String,
    /// Hash of the removals alone, held or not; an approval names it.
    pub removals_id: Option<String>,
    /// In the order in which a tenant's steps are carried out; tenants by key.
    pub steps: Vec<Step>,
    pub held: Vec<Held>,
    pub scheduled: Vec<ScheduledStep>,
    pub drifted: Vec<Drifted>,
    /// What the plan says nothing about, however empty it is.
    pub not_checked: Vec<NotChecked>,
    /// What does not belong to one tenant: broken files, unreadable instances, limits.
    pub warnings: Vec<String>,
    pub previews: BTreeMap<TenantKey, Preview>,
    /// What steps mean for people, held ones too.
    pub effects: BTreeMap<Place, Vec<Effect>>,
    pub counts: Counts,
    /// Fields that stayed as they were put, so that their count of corrections starts again.
    pub settled: BTreeMap<TenantKey, BTreeSet<String>>,
    /// What was confirmed disabled and is observed enabled, so that its retention begins again.
    pub reopened: RetentionResets,
}

/// Tenants that a plan does not touch, for the closing line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Tenants on file that were checked and need nothing.
    pub unchanged: usize,
    /// Tenants of an instance that could not be checked; they are not counted as unchanged.
    pub not_checked: usize,
    /// Tenants that someone changed on the PBX, whether that is corrected, held or only shown.
    pub drift: usize,
    /// Domains on the PBXs that are not managed.
    pub foreign_domains: usize,
    pub broken_files: usize,
    pub unknown_instances: usize,
    /// Tenants whose settings were compared with the PBX in this run.
    pub settings_compared: usize,
    /// Tenants with a domain on the PBX whose settings were not compared in this run.
    pub settings_not_compared: usize,
    /// When the settings of the tenant that was longest not compared were. `None` if one never was, or if all were
    /// compared in this run.
    pub oldest_comparison: Option<DateTime<Utc>>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.held.is_empty()
    }

    /// What a step means for people. A new key means nothing to them.
    pub fn effects_of_step(&self, step: &Step) -> &[Effect] {
        match step.work {
            Work::Rekey { .. } => &[],
            _ => self.effects_of(&step.tenant, &step.instance, step.action),
        }
    }

    /// What a planned or held step means for people.
    pub fn effects_of(&self, tenant: &TenantKey, instance: &InstanceKey, action: Action) -> &[Effect] {
        let place = (tenant.clone(), instance.clone(), action);
        self.effects.get(&place).map_or(&[], Vec::as_slice)
    }

    /// How many steps there are of an action.
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }
}
