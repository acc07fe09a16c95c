//! Taking over a domain that exists on the PBX and is not managed.

use super::reason::{HeldReason, StepReason};
use super::types::{Action, FieldChange, Held, Preview, Step, Work};
use super::{Draft, Inputs, observed_values};
use crate::diff::{
    Field, enabled_values, number_list, setting_differs, wanted_settings, web_sign_in_is_blocked,
};
use crate::model::{
    AdoptHow, Adoption, Definition, MaxUsers, PbxDomain, PbxSetting, SettingId, Tenant, TenantDocument,
    TenantKey,
};

/// Its domain is there and not managed: taken over where the file has `adopt: true`, or after `tenantd adopt`.
pub(super) fn unmanaged(inputs: Inputs<'_>, tenant: &Tenant, found: &PbxDomain, draft: &mut Draft) {
    let Definition { domain, instance, .. } = &tenant.definition;
    let hold = |reason: HeldReason| Held::new(&tenant.key, instance, Action::Adopt, reason);
    if inputs.policy.is_own_domain(instance, &found.name) {
        let reason = HeldReason::OwnAccount { domain: found.name.clone(), instance: instance.clone() };
        draft.held.push(hold(reason));
        return;
    }
    let adoption = inputs.recorded.adoptions.get(&tenant.key).filter(|adoption| {
        adoption.instance == tenant.definition.instance
            && adoption.domain_id == found.id
            && adoption.until > inputs.now
    });
    let (how, reason) = match adoption {
        _ if tenant.adopt => (AdoptHow::AsItsFileSays, StepReason::AdoptedByFile),
        Some(Adoption { how: AdoptHow::AsItIs, by, .. }) => {
            (AdoptHow::AsItIs, StepReason::AdoptedByImport { by: by.clone() })
        }
        Some(Adoption { how, by, .. }) => (*how, StepReason::AdoptedByCommand { by: by.clone() }),
        None => {
            let reason =
                HeldReason::DomainExists { domain: Some(domain.clone()), instance: instance.clone() };
            draft.held.push(hold(reason).lifted_by(format!("tenantd adopt {}", tenant.key)));
            return;
        }
    };
    let rows = inputs.observed.instance(&tenant.definition.instance).settings(found.id);
    let after = TenantDocument::from(tenant);
    let before = found_as_document(tenant, found, rows, after.clone());
    // What changes on the PBX must not drown in what is only recorded. Where its settings were read, that is all.
    if before != after || rows.is_some() {
        draft.previews.insert(tenant.key.clone(), Preview { before: Some(before), after: Some(after) });
    }
    draft.steps.push(Step {
        tenant: tenant.key.clone(),
        instance: tenant.definition.instance.clone(),
        action: Action::Adopt,
        reason,
        changes: changes(tenant, found, rows, how),
        work: Work::Adopt { tenant: tenant.clone(), found: found.clone(), how },
    });
}

/// More than these are lifted by one command.
const FEW: usize = 3;

/// After a lost database it is everybody: one line then, and one command.
pub(super) fn one_command_for_many(inputs: Inputs<'_>, draft: &mut Draft) {
    // A run that is narrowed to some tenants does not advise to take over the others.
    let only = &inputs.policy.only;
    let is_one = |held: &&mut Held| {
        held.action == Action::Adopt
            && held.lifted_by.is_some()
            && (only.is_empty() || only.contains(&held.tenant))
    };
    if draft.held.iter_mut().filter(is_one).count() <= FEW {
        return;
    }
    for held in draft.held.iter_mut().filter(is_one) {
        held.reason = HeldReason::DomainExists { domain: None, instance: held.instance.clone() };
        if only.is_empty() {
            held.lifted_by = Some("tenantd adopt --all".to_owned());
        }
    }
}

/// A domain as the PBX shows it, in the form of its file. What was not read is as wanted.
fn found_as_document(
    tenant: &Tenant,
    found: &PbxDomain,
    rows: Option<&[PbxSetting]>,
    wanted: TenantDocument,
) -> TenantDocument {
    let mut document = TenantDocument { enabled: found.enabled == Some(true), ..wanted };
    if !is_described(tenant, found) {
        document.name.clone_from(&found.description);
    }
    let Some(rows) = rows else { return document };
    for (name, _) in wanted_settings(tenant).iter().filter(|(name, value)| {
        // An `array` has the wanted value among others, which stay.
        setting_differs(rows, name, value.as_deref())
    }) {
        observed_values::show(&mut document, &Field::of_setting(name), enabled_values(rows, name));
    }
    document
}

/// Whether the description is the tenant's name. A name that only repeats the domain needs none.
fn is_described(tenant: &Tenant, found: &PbxDomain) -> bool {
    found.description == tenant.definition.name
        || (found.description.is_empty() && tenant.definition.name == tenant.definition.domain.as_str())
}

/// What taking a domain over changes; where its settings were not read, what it sets.
fn changes(
    tenant: &Tenant,
    found: &PbxDomain,
    rows: Option<&[PbxSetting]>,
    how: AdoptHow,
) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut change = |field, before: Option<String>, after: Option<String>| {
        if before != after {
            changes.push(FieldChange { field, before, after });
        }
    };
    if !is_described(tenant, found) {
        change(Field::Name, Some(found.description.clone()), Some(tenant.definition.name.clone()));
    }
    change(
        Field::Enabled,
        found.enabled.map(|enabled| enabled.to_string()),
        Some(tenant.definition.enabled.to_string()),
    );
    for (name, value) in wanted_settings(tenant) {
        let field = Field::of_setting(&name);
        let is_limit = field == Field::MaxUsers;
        let shown = |value: Option<String>| match value {
            None if is_limit => Some(MaxUsers::Unlimited.to_string()),
            value => value,
        };
        match rows {
            None if is_limit => change(field, None, Some(tenant.definition.max_users.to_string())),
            None => change(field, None, value),
            Some(rows) if setting_differs(rows, &name, value.as_deref()) => {
                change(field, shown(enabled_values(rows, &name)), shown(value));
            }
            Some(_) => {}
        }
    }
    if let Some(numbers) = tenant.sms_numbers.as_ref().and_then(number_list) {
        change(Field::SmsNumbers, None, Some(numbers));
    }
    let block = SettingId::for_web_sign_in_block(found.id);
    if how == AdoptHow::AsItsFileSays
        && !tenant.definition.enabled
        && rows.is_some_and(|rows| !web_sign_in_is_blocked(rows, block))
    {
        change(Field::WebSignIn, Some("open".to_owned()), Some("locked".to_owned()));
    }
    if changes.is_empty() {
        changes.push(becomes_managed(&tenant.key));
    }
    changes
}

/// What taking over is where nothing changes on the PBX: the domain is some tenant's.
pub(super) fn becomes_managed(key: &TenantKey) -> FieldChange {
    FieldChange { field: Field::Key, before: None, after: Some(key.to_string()) }
}
