//! Stage 5: carries a plan out. The only stage that changes anything.
//!
//! Steps of one tenant run in order, tenants side by side, as many at once on an instance as it has sessions. A
//! failed step stops the later steps of its tenant and nothing else.

mod bookkeeping;
mod create;
mod delete;
mod enable_disable;
mod move_tenant;
mod outcome;
mod rename_update;
mod request;
mod run;
mod settings;
mod sms_numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::diff::Field;
use crate::environment::Environment;
use crate::fusionpbx::PbxWrite;
use crate::model::{InstanceKey, SmsNumber, TenantKey};
use crate::plan::{Action, Plan, Step, Work, record_of};
use crate::store::{AuditEntry, Database};

pub use bookkeeping::note_pass;
pub use outcome::{Outcome, StepError, StepOutcome, StepResult};

use run::Run;

/// Everything that carrying out a plan needs.
pub struct Apply<'a> {
    pub database: &'a Database,
    pub pbxs: &'a BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
    /// How many tenants are worked on at once, by instance.
    pub parallel: BTreeMap<InstanceKey, usize>,
    pub environment: &'a dyn Environment,
    /// Who, or which commit, for the audit log.
    pub actor: String,
    /// Tenants whose own files are not those of the commit that `actor` names.
    pub uncommitted: BTreeSet<TenantKey>,
    pub retention_days: u32,
    /// For how long after a disable the web sessions of its users may continue, where the server does not end them.
    pub sessions_go_on: BTreeMap<InstanceKey, TimeDelta>,
    /// Where archives are kept.
    pub archive_dir: PathBuf,
    /// Once cancelled, the steps in hand are finished and no other is begun.
    pub stop: CancellationToken,
}

/// What an audit log or a report may show of a field's value.
///
/// FusionPBX itself masks settings whose name ends like a secret's; so does tenantd, by the field and never by
/// looking for a value.
pub fn redact(field: &Field, value: String) -> String {
    match field {
        Field::Setting(name) if name.is_secret() => "(secret)".to_owned(),
        _ => value,
    }
}

impl Apply<'_> {
    /// Carries the plan out. Every step of it is in the outcome, in the plan's order.
    pub async fn carry_out(&self, plan: &Plan) -> Outcome {
        let slots: BTreeMap<&InstanceKey, Semaphore> =
            self.pbxs.keys().map(|key| (key, Semaphore::new(self.width(key)))).collect();
        let tenants: Vec<&[Step]> = plan.steps.chunk_by(|a, b| a.tenant == b.tenant).collect();
        let claimed = sms_numbers::claimed(plan);
        let width: usize = self.pbxs.keys().map(|key| self.width(key)).sum();
        let done: Vec<Vec<StepOutcome>> = stream::iter(tenants)
            .map(|steps| async {
                let slot = steps.first().and_then(|step| slots.get(&step.instance));
                let _slot = match slot {
                    // A semaphore that is never closed always gives a permit.
                    Some(slot) => slot.acquire().await.ok(),
                    None => None,
                };
                self.tenant(plan, steps, &claimed).await
            })
            // Ordered, and wide enough that a slow instance does not keep the others waiting.
            .buffered(width.max(1) * 8)
            .collect()
            .await;
        let mut outcome = Outcome { steps: done.into_iter().flatten().collect() };
        sms_numbers::exchange(self, plan, &claimed, &mut outcome).await;
        outcome
    }

    /// Who, for what is done to one tenant.
    fn actor_of(&self, key: &TenantKey) -> String {
        match self.actor.strip_suffix(')') {
            Some(start) if self.uncommitted.contains(key) => format!("{start}, with uncommitted changes)"),
            _ => self.actor.clone(),
        }
    }

    /// Until when web sessions may continue after this step, where it disables a tenant.
    fn sessions_until(&self, step: &Step) -> Option<DateTime<Utc>> {
        let goes_on = self.sessions_go_on.get(&step.instance).filter(|_| step.action == Action::Disable)?;
        Some(self.environment.now() + *goes_on)
    }

    fn width(&self, instance: &InstanceKey) -> usize {
        self.parallel.get(instance).copied().unwrap_or(1).max(1)
    }

    async fn tenant(&self, plan: &Plan, steps: &[Step], claimed: &BTreeSet<SmsNumber>) -> Vec<StepOutcome> {
        let mut outcomes = Vec::new();
        let mut revision = None;
        let mut seen = None;
        let mut failed = false;
        for step in steps {
            let outcome = |result| StepOutcome {
                tenant: step.tenant.clone(),
                instance: step.instance.clone(),
                action: step.action,
                sessions_until: self.sessions_until(step).filter(|_| matches!(result, StepResult::Done)),
                result,
            };
            if failed {
                outcomes
                    .push(outcome(StepResult::Skipped("an earlier step of this tenant was not done".into())));
                continue;
            }
            if self.stop.is_cancelled() {
                outcomes.push(outcome(StepResult::Skipped("tenantd was asked to stop".into())));
                continue;
            }
            let mut run = Run { apply: self, plan_id: &plan.id, step, revision, seen, claimed };
            let span = tracing::info_span!(
                "step", tenant = %step.tenant, instance = %step.instance, action = %step.action
            );
            let result = AssertUnwindSafe(carry_out(&mut run).instrument(span)).catch_unwind().await;
            (revision, seen) = (run.revision, run.seen);
            let result = match result {
                Ok(Ok(())) => StepResult::Done,
                Ok(Err(StepError::Stale(why))) => {
                    StepResult::Skipped(format!("{why} since the plan was made"))
                }
                Ok(Err(error)) => StepResult::Failed(error),
                Err(panic) => StepResult::Failed(StepError::Panicked(crate::report::panic_text(&*panic))),
            };
            failed = !matches!(result, StepResult::Done);
            if let StepResult::Failed(error) = &result {
                self.note_failure(plan, step, error).await;
            }
            outcomes.push(outcome(result));
        }
        outcomes
    }

    /// The audit log also tells what failed. That it cannot be written is not a second failure of the step.
    async fn note_failure(&self, plan: &Plan, step: &Step, error: &StepError) {
        let event = format!("tenant.{}", step.action.as_str());
        let entry = AuditEntry {
            tenant: record_of(&step.work).map(|record| record.id),
            instance: Some(step.instance.clone()),
            plan_id: Some(plan.id.clone()),
            done: false,
            detail: Some(crate::report::chain(error)),
            ..AuditEntry::new(self.environment.now(), self.actor_of(&step.tenant), event, step.tenant.clone())
        };
        if let Err(error) = self.database.write(move |store| store.append_audit(&entry)).await {
            tracing::warn!(error = %crate::report::chain(&error), "the failure is not in the audit log");
        }
    }
}

async fn carry_out(run: &mut Run<'_>) -> Result<(), StepError> {
    match &run.step.work {
        Work::Create { tenant } => run.create(tenant).await,
        Work::Recreate { record, tenant, counts } => run.recreate(*record, tenant, *counts).await,
        Work::Adopt { tenant, found, how } => run.adopt(tenant, found, *how).await,
        Work::Rekey { record, to } => run.rekey(*record, to).await,
        Work::Rename { record, to, expect } => run.rename(*record, to, expect).await,
        Work::Move { record, tenant, returns_to } => run.move_to(*record, tenant, *returns_to).await,
        Work::Update { record, tenant, expect, describe, settings } => {
            run.update(*record, tenant, expect, *describe, settings).await
        }
        Work::Enable { record, expect } => run.enable(*record, expect).await,
        Work::Disable { record, expect, file_removed, counts } => {
            run.disable(*record, expect.as_ref(), *file_removed, *counts).await
        }
        Work::DisablePrevious { record, placement, expect } => {
            run.disable_previous(*record, placement, expect).await
        }
        Work::Delete { record, expect } => run.delete(*record, Some(expect)).await,
        Work::DeletePrevious { record, placement, expect } => {
            run.delete_previous(*record, placement, expect.as_ref()).await
        }
        Work::DeleteRecord { record } => run.delete(*record, None).await,
    }
}
