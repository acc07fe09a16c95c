use chrono::{DateTime, Utc};

use crate::environment::to_the_minute;
use crate::fusionpbx::PbxError;
use crate::model::{InstanceKey, TenantKey};
use crate::plan::Action;
use crate::store::StoreError;

/// What became of a plan: every step, in the plan's order.
#[derive(Debug, Default)]
pub struct Outcome {
    pub steps: Vec<StepOutcome>,
}

/// What became of one step.
#[derive(Debug)]
pub struct StepOutcome {
    pub tenant: TenantKey,
    pub instance: InstanceKey,
    pub action: Action,
    pub result: StepResult,
    /// Until when web sessions may continue that were open before this disable, where the server does not end them.
    pub sessions_until: Option<DateTime<Utc>>,
}

impl StepOutcome {
    /// What an operator has to know of a step that was done.
    pub fn note(&self) -> Option<String> {
        let until = to_the_minute(self.sessions_until?);
        Some(format!("web sessions that were open before may work until {until}"))
    }
}

#[derive(Debug)]
pub enum StepResult {
    Done,
    Failed(StepError),
    /// Not tried, and why.
    Skipped(String),
}

impl Outcome {
    pub fn done(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.result, StepResult::Done)).count()
    }

    pub fn failed(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.result, StepResult::Failed(_))).count()
    }

    pub fn skipped(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.result, StepResult::Skipped(_))).count()
    }
}

/// Why a step was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error("the PBX did not do it")]
    Pbx(#[source] PbxError),
    #[error("the database did not do it")]
    Store(#[source] StoreError),
    #[error("{0} since the plan was made, so nothing was changed. The next run plans anew")]
    Stale(String),
    #[error("the SMS numbers of this run were not reassigned: {0}")]
    Numbers(String),
    #[error("the PBX reported success, but {what} is still {found}; expected {wanted}")]
    NotApplied { what: String, wanted: String, found: String },
    #[error(
        "the PBX reported success, but the domain still exists: the account's group lacks the permission \
         `domain_delete`, which no group of a stock FusionPBX has. Grant it under Advanced, Group Manager, \
         Permissions"
    )]
    DeleteNotPermitted,
    #[error("{0}")]
    Refused(String),
    #[error("its PBX instance is not in tenantd.yaml")]
    NoInstance,
    #[error(
        "tenantd stopped this step because of an error in tenantd itself ({0}). The next run checks what was done; please report it"
    )]
    Panicked(String),
}

impl StepError {
    /// Whether the PBX took the request and did not keep what it was given.
    pub(super) fn was_in_vain(&self) -> bool {
        matches!(self, Self::NotApplied { .. })
    }

    /// Whether the error proves that the PBX did nothing of the request, if it saw it at all.
    pub(super) fn nothing_was_done(&self) -> bool {
        use crate::fusionpbx::PbxErrorKind as Kind;
        match self {
            Self::Pbx(error) => matches!(
                error.kind,
                Kind::AccessDenied { .. }
                    | Kind::CredentialsRejected
                    | Kind::SecondFactorNeeded
                    | Kind::CodeRejected { .. }
                    | Kind::SignInStopped { .. }
                    | Kind::NotOffered { .. }
                    | Kind::Certificate { .. }
                    | Kind::Busy { .. }
                    | Kind::CircuitOpen { .. }
                    | Kind::Setup { .. }
            ),
            Self::DeleteNotPermitted | Self::NoInstance => true,
            _ => false,
        }
    }
}

impl From<PbxError> for StepError {
    fn from(error: PbxError) -> Self {
        Self::Pbx(error)
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale { key } => Self::Stale(format!("the record of {key} changed")),
            error => Self::Store(error),
        }
    }
}
