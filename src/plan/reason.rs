//! Why a step is planned, held or scheduled: one variant for each reason, with what its text names.
//!
//! The variant's name in snake case is the stable code in JSON. The texts for people stand in `report/reasons.rs`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use strum::{IntoStaticStr, VariantNames};

use crate::config::Limit;
use crate::diff::Field;
use crate::model::{DomainName, InstanceKey, SmsNumber, TenantKey};

/// Why a step is planned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum StepReason {
    FileNew,
    FileChanged,
    FileBack,
    FileRemoved,
    /// It was disabled before its file was removed.
    FileRemovedWhileDisabled,
    /// The file had another name; it says so, or its domain stayed the same.
    FileRenamed {
        from: TenantKey,
        /// `previously:` says so.
        declared: bool,
    },
    InstanceChanged {
        from: InstanceKey,
        to: InstanceKey,
    },
    /// A domain that exists is taken over because the file says `adopt: true`.
    AdoptedByFile,
    /// The same by `tenantd adopt`.
    AdoptedByCommand {
        by: String,
    },
    /// The same by `tenantd import`: it stays as it is.
    AdoptedByImport {
        by: String,
    },
    DriftOnPbx,
    DriftOfSmsNumbers,
    DriftEnabled,
    DriftWebSignIn,
    DriftDomainMissing,
    Unfinished,
    UnfinishedCreate,
    UnfinishedDelete,
    UnfinishedDeleteOfPrevious,
    DisableNotConfirmed,
    WebSignInNotBlocked,
    /// It was restored from an archive, and its domain exists.
    Restored {
        at: DateTime<Utc>,
        instance: InstanceKey,
    },
    RestoredWithoutDomain {
        at: DateTime<Utc>,
        instance: InstanceKey,
    },
    RestoredWithoutFile {
        at: DateTime<Utc>,
    },
    RestoredWithoutFileAndDomain {
        at: DateTime<Utc>,
        instance: InstanceKey,
        tenant: TenantKey,
    },
    RetentionEnded,
    /// The same where the PBX no longer has the domain.
    RetentionEndedWithoutDomain,
    RetentionOfPreviousEnded,
    PreviousDomainGone,
    PreviousStaysDisabled {
        instance: InstanceKey,
    },
}

impl StepReason {
    /// The code in JSON.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// Why a step is held. The order of the variants is the order in which held steps are shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum HeldReason {
    /// A limit that the plan would exceed.
    Limit(LimitExceeded),
    /// `deletion.mode: approve`.
    NeedsApproval {
        /// Only the record is to be deleted.
        record_only: bool,
        planned: StepReason,
    },
    LikelyRename(LikelyRename),
    /// A domain of this name exists and is not managed. `None` where many are held for this.
    DomainExists {
        domain: Option<DomainName>,
        instance: InstanceKey,
    },
    Paused {
        by: String,
        until: DateTime<Utc>,
        why: String,
    },
    NoRemovals,
    InstanceNotChecked {
        instance: InstanceKey,
        problem: String,
        planned: NotCheckedStep,
    },
    InstanceNotConfigured {
        instance: InstanceKey,
    },
    /// More recorded domains are missing at once than the removal limit allows.
    DomainsMissing {
        instance: InstanceKey,
        missing: usize,
    },
    FileBroken,
    /// Its file is missing, and another file could be it.
    FileUnderAnotherName {
        file: String,
        mend: String,
    },
    FilesNotFullyRead {
        problem: String,
    },
    /// The same of a previous placement's deletion.
    PreviousFilesNotFullyRead {
        problem: String,
    },
    TierFull {
        allowed: u32,
        managed: usize,
        new: usize,
    },
    ContestedField {
        field: Field,
    },
    DomainOfAnotherTenant {
        domain: DomainName,
        owner: TenantKey,
    },
    /// A domain of this name on the instance is recorded for another tenant.
    DomainRecordedFor {
        domain: DomainName,
        instance: InstanceKey,
        owner: TenantKey,
    },
    /// Its own domain is missing, and another one cannot be created.
    DomainMissingAndTaken {
        instance: InstanceKey,
        taken: Box<HeldReason>,
    },
    /// Several domains have the name, so that none can be told to be the one.
    SeveralDomains {
        domain: DomainName,
        instance: InstanceKey,
        count: usize,
    },
    NameShared {
        domain: String,
        instance: InstanceKey,
    },
    RenamedOnPbx {
        name: String,
    },
    /// The domain holds tenantd's own account, so it cannot be taken over.
    OwnAccount {
        domain: String,
        instance: InstanceKey,
    },
    /// The same of a recorded one, which is neither disabled nor renamed.
    WouldLockTenantdOut {
        domain: String,
        instance: InstanceKey,
    },
    SmsNumberTaken {
        number: SmsNumber,
        owner: TenantKey,
    },
    /// Its owner's file releases it, but not in this run.
    SmsNumberNotReleased {
        number: SmsNumber,
        owner: TenantKey,
    },
    Protected,
    PreviousProtected,
    SessionsOpen {
        count: i64,
    },
    PreviousPlacementFirst {
        domain: DomainName,
        instance: InstanceKey,
    },
    /// It moves and is disabled, and the disabling is held.
    DisableHeld,
    /// A previous domain is all that the tenant has until it is created on its new instance.
    CreateElsewhereHeld,
    CreateElsewhereUnfinished,
}

impl HeldReason {
    /// The code in JSON.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// What would be done on an instance that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotCheckedStep {
    Create,
    /// With the fields that changed.
    Update(Vec<Field>),
    Move,
    FileRemoved,
}

/// A limit, and how far the plan would exceed it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitExceeded {
    /// A limit of the configuration.
    Configured {
        /// As in the configuration: `limits.removals`.
        name: &'static str,
        /// What would be done: `disabled`, `moved`, …
        done: BTreeSet<&'static str>,
        /// How many tenants, those of the window included.
        count: usize,
        /// How many of them within the last 24 hours.
        earlier: usize,
        allowed: usize,
        limit: Limit,
        /// How many tenants the percentage is taken of.
        managed: usize,
    },
    /// No instance is left without an enabled tenant unless that is approved.
    LastEnabledTenants { instance: InstanceKey, count: usize },
}

/// A tenant whose file was removed, and a new one that looks like it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LikelyRename {
    pub old: TenantKey,
    pub new: TenantKey,
    /// When the new one was created, where it was before this run.
    pub created: Option<DateTime<Utc>>,
    pub likeness: Likeness,
    /// Other tenants that look like the step's tenant as well.
    pub others: Vec<TenantKey>,
}

/// In what two tenants are alike; the later, the more alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    Keys,
    /// Most lines, and no other tenant comes or continues the instance.
    LinesWhereNoOther,
    Lines,
    NameContainsTheOther,
    Names,
}

/// Why a step is scheduled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ScheduledReason {
    /// Its retention runs.
    Retention { days: u32, since: RetentionStart, protected: bool },
    /// The clock jumped or tenantd did not run, so the end of the retention cannot be believed yet.
    ClockNotSteady { protected: bool },
    /// Web sessions that were open at the disable may still work.
    WebSessionsOpen,
}

impl ScheduledReason {
    /// The code in JSON.
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

/// From when a retention runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetentionStart {
    Disabled,
    Moved,
}
