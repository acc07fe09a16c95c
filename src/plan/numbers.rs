//! SMS numbers: the tenant's file owns them where it names them, and a number belongs to one tenant.

use super::decide::Index;
use super::types::{Action, Held};
use super::{Draft, World};
use crate::diff::{self, Difference};
use crate::model::{SmsNumber, Tenant, TenantId, TenantRecord};

/// What differs. A number that another tenant has holds all of it back, and the rest of the tenant goes on.
pub(super) fn difference<'a>(
    world: World<'a>,
    index: &Index<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    draft: &mut Draft,
) -> Option<Difference> {
    let difference = diff::sms_numbers(tenant, world.recorded.sms_numbers.get(&record.id))?;
    let Some(reason) = taken(index, tenant, Some(record.id)) else { return Some(difference) };
    draft.held.push(Held {
        tenant: tenant.key.clone(),
        instance: record.instance.clone(),
        action: Action::Update,
        reason,
        lift: None,
    });
    None
}

/// Why the tenant cannot have the numbers that its file wants: another one has one of them.
pub(super) fn taken<'a>(index: &Index<'a>, tenant: &'a Tenant, own: Option<TenantId>) -> Option<String> {
    let numbers = tenant.sms_numbers.iter().flatten();
    numbers
        .filter_map(|number| Some((number, index.with_number(number)?)))
        .find(|(_, (id, _))| Some(*id) != own)
        .map(|(number, (_, owner))| {
            format!(
                "the SMS number {number} still belongs to the tenant {owner}; it must be released there first"
            )
        })
}

/// The numbers that a tenant has on the platform, for a preview; `None` where it has none.
pub(super) fn shown(world: World<'_>, id: TenantId) -> Option<Vec<String>> {
    let numbers = world.recorded.sms_numbers.get(&id).filter(|numbers| !numbers.is_empty())?;
    Some(numbers.iter().map(SmsNumber::to_string).collect())
}
