//! SMS numbers that change hands between tenants: together, in one transaction at the end of a run, so that two tenants
//! can exchange theirs and no number is without a tenant meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::{Apply, Outcome, StepError, StepResult};
use crate::diff::Field;
use crate::model::{SmsNumber, TenantKey};
use crate::plan::{Plan, Step, wanted_by};

/// The numbers that the plan's tenants are to get or to keep.
pub(super) fn claimed(plan: &Plan) -> BTreeSet<SmsNumber> {
    plan.steps.iter().filter_map(|step| numbers_of(step)).flatten().cloned().collect()
}

/// The numbers that the step brings its tenant to, where they change.
fn numbers_of(step: &Step) -> Option<&BTreeSet<SmsNumber>> {
    let changes = step.changes.iter().any(|change| change.field == Field::SmsNumbers);
    wanted_by(&step.work)?.sms_numbers.as_ref().filter(|_| changes)
}

/// Gives the tenants whose steps were done what they wait for. Where that fails, these steps have failed.
pub(super) async fn exchange(
    apply: &Apply<'_>,
    plan: &Plan,
    claimed: &BTreeSet<SmsNumber>,
    outcome: &mut Outcome,
) {
    if claimed.is_empty() {
        return;
    }
    let is_done = |at: usize| outcome.steps.get(at).is_some_and(|of| matches!(of.result, StepResult::Done));
    let done: Vec<(usize, TenantKey, BTreeSet<SmsNumber>)> = plan
        .steps
        .iter()
        .enumerate()
        .filter(|(at, _)| is_done(*at))
        .filter_map(|(at, step)| Some((at, step.tenant.clone(), numbers_of(step)?.clone())))
        .collect();
    let now = apply.environment.now();
    let wanted: BTreeMap<TenantKey, BTreeSet<SmsNumber>> =
        done.iter().map(|(_, key, numbers)| (key.clone(), numbers.clone())).collect();
    let exchanged = apply
        .database
        .write(move |store| {
            let records = store.tenants()?;
            let with_id = |(key, numbers)| Some((records.get(&key)?.id, numbers));
            store.exchange_sms_numbers(&wanted.into_iter().filter_map(with_id).collect(), now)
        })
        .await;
    if let Err(error) = exchanged {
        let why = crate::report::chain(&error);
        for (at, ..) in done {
            outcome.steps[at].result = StepResult::Failed(StepError::Numbers(why.clone()));
        }
    }
}
