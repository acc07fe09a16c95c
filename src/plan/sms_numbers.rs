//! SMS numbers: the tenant's file owns them where it names them, and a number belongs to one tenant.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Index;
use super::reason::HeldReason;
use super::types::{Action, Held, Step, Work};
use super::{Draft, Inputs};
use crate::diff::{self, Difference, Field};
use crate::model::{InstanceKey, SmsNumber, Tenant, TenantId, TenantKey, TenantRecord};

/// What differs. A number that another tenant has and does not give up holds all of it back, and the rest of the tenant
/// continues.
pub(super) fn difference<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    draft: &mut Draft,
) -> Option<Difference> {
    let difference = diff::sms_numbers(tenant, inputs.recorded.sms_numbers.get(&record.id))?;
    let Some(reason) = taken(inputs, index, tenant, Some(record.id)) else { return Some(difference) };
    draft.held.push(held(&tenant.key, &record.definition.instance, reason));
    None
}

fn held(tenant: &TenantKey, instance: &InstanceKey, reason: HeldReason) -> Held {
    Held::new(tenant, instance, Action::Update, reason)
}

/// Why the tenant cannot have the numbers that its file wants: another one has one of them, and its file does not give
/// it up. One that it gives up changes hands in this run, also where two tenants exchange numbers.
pub(super) fn taken<'a>(
    inputs: Inputs<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    own: Option<TenantId>,
) -> Option<HeldReason> {
    let numbers = tenant.sms_numbers.iter().flatten();
    numbers
        .filter_map(|number| Some((number, index.with_number(number)?)))
        .find(|(number, (id, owner))| Some(*id) != own && !gives_up(inputs, owner, number))
        .map(|(number, (_, owner))| HeldReason::SmsNumberTaken {
            number: number.clone(),
            owner: owner.clone(),
        })
}

fn gives_up(inputs: Inputs<'_>, owner: &TenantKey, number: &SmsNumber) -> bool {
    let file = inputs.desired.tenants.get(owner);
    file.and_then(|file| file.sms_numbers.as_ref()).is_some_and(|wanted| !wanted.contains(number))
}

/// Holds what waits for a number that its owner gives up, but not in this run: its own change is held, or not asked
/// for.
pub(super) fn hold_unreleased(inputs: Inputs<'_>, draft: &mut Draft) {
    if !draft.steps.iter().any(changes_numbers) {
        return;
    }
    let owners: BTreeMap<&SmsNumber, (TenantId, &TenantKey)> = inputs
        .recorded
        .tenants
        .iter()
        .flat_map(|(key, record)| {
            let numbers = inputs.recorded.sms_numbers.get(&record.id).into_iter().flatten();
            numbers.map(move |number| (number, (record.id, key)))
        })
        .collect();
    // What is held may be what another one waits for.
    loop {
        let changing: BTreeSet<TenantId> =
            draft.steps.iter().filter(|step| changes_numbers(step)).filter_map(owner_of).collect();
        let waits = |step: &Step| {
            let wanted = wanted_by(&step.work)?.sms_numbers.as_ref()?;
            let found = wanted.iter().filter_map(|number| Some((number, owners.get(number)?)));
            let mut missing =
                found.filter(|(_, (id, _))| Some(*id) != owner_of(step) && !changing.contains(id));
            missing.next().map(|(number, (_, owner))| HeldReason::SmsNumberNotReleased {
                number: number.clone(),
                owner: (*owner).clone(),
            })
        };
        let found = draft
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| changes_numbers(step))
            .find_map(|(at, step)| Some((at, waits(step)?)));
        let Some((at, reason)) = found else { return };
        let step = &mut draft.steps[at];
        draft.held.push(held(&step.tenant, &step.instance, reason));
        step.changes.retain(|change| change.field != Field::SmsNumbers);
        // The rest of the tenant continues.
        if step.action == Action::Update && step.changes.is_empty() {
            draft.steps.remove(at);
        }
    }
}

fn changes_numbers(step: &Step) -> bool {
    step.changes.iter().any(|change| change.field == Field::SmsNumbers)
}

fn owner_of(step: &Step) -> Option<TenantId> {
    super::identity::record(&step.work).map(|record| record.id)
}

/// What the file says of the tenant, where the step brings the tenant to it.
pub fn wanted_by(work: &Work) -> Option<&Tenant> {
    match work {
        Work::Create { tenant }
        | Work::Recreate { tenant, .. }
        | Work::Adopt { tenant, .. }
        | Work::Move { tenant, .. }
        | Work::Update { tenant, .. } => Some(tenant),
        Work::Rekey { .. }
        | Work::Rename { .. }
        | Work::Enable { .. }
        | Work::Disable { .. }
        | Work::DisablePrevious { .. }
        | Work::Delete { .. }
        | Work::DeletePrevious { .. }
        | Work::DeleteRecord { .. } => None,
    }
}

/// The numbers that a tenant has on the platform, for a preview; `None` where it has none.
pub(super) fn shown(inputs: Inputs<'_>, id: TenantId) -> Option<Vec<String>> {
    let numbers = inputs.recorded.sms_numbers.get(&id).filter(|numbers| !numbers.is_empty())?;
    Some(numbers.iter().map(SmsNumber::to_string).collect())
}
