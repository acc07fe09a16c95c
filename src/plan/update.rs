//! A file with a record: what to change so that record and PBX become what the file says.

use std::collections::BTreeSet;

use super::index::{Index, reference, seen};
use super::move_tenant::moving;
use super::own_account::locks_tenantd_out;
use super::reason::{HeldReason, NotCheckedStep, StepReason};
use super::recreate::{absent, unfinished_creation};
use super::rename::{may_rename, rekey_first};
use super::retention::deletion_started;
use super::types::{Action, Drifted, FieldChange, Held, Preview, Step, Work};
use super::{Draft, Inputs, definition_hash, observed_values, sms_numbers};
use crate::diff::{self, Difference, Field, Origin, Seen};
use crate::model::{DomainState, DriftPolicy, InstanceView, PbxDomain, Tenant, TenantDocument, TenantRecord};

/// A field that came back changed this often in a row is left alone.
pub const CONTESTED_AFTER: u32 = 3;

/// Under which name a correction of a field is counted: another wanted value starts again.
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
            show_observed_values(&differences, tenant, draft);
            if differences.is_empty() {
                draft.unchanged += 1;
                return;
            }
            let is_switched =
                |difference: &Difference| matches!(difference.field, Field::Enabled | Field::WebSignIn);
            let enables = tenant.definition.enabled && differences.iter().any(is_switched);
            let differences = &differences;
            steps(&Changed { inputs, tenant, record, domain, differences, enables }, index, draft);
        }
    }
}

/// Corrections that lasted are dropped; only what was checked counts.
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

/// In the preview, the lines before are what the PBX shows where it drifted and is corrected.
fn show_observed_values(differences: &[Difference], tenant: &Tenant, draft: &mut Draft) {
    let Some(Preview { before: Some(before), .. }) = draft.previews.get_mut(&tenant.key) else { return };
    for difference in differences.iter().filter(|difference| difference.origin == Origin::Drift) {
        observed_values::show(before, &difference.field, difference.before.clone());
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

/// What only the database holds, no one else sets.
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

/// Whether the difference is work of tenantd's that was cut short, and not a outside change.
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

/// A tenant with a file, a record and a domain, and what differs between them.
struct Changed<'a> {
    inputs: Inputs<'a>,
    tenant: &'a Tenant,
    record: &'a TenantRecord,
    domain: &'a PbxDomain,
    differences: &'a [Difference],
    /// Whether a step enables the tenant. It then also records that the file is back.
    enables: bool,
}

/// Which step a difference belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Enabling or disabling.
    Switch,
    Rename,
    Update,
    /// A step of its own: another key, or another instance.
    Elsewhere,
}

fn steps<'a>(changed: &Changed<'a>, index: &Index<'a>, draft: &mut Draft) {
    let Changed { inputs, tenant, record, differences, .. } = *changed;
    if deletion_started(inputs, record.id, &record.definition.instance) {
        draft.warnings.push(format!(
            "the deletion of {} on {} had begun before its file came back. Check there whether dialplans, extensions or \
             users are missing",
            record.key, record.definition.instance
        ));
    }
    rekey_first(tenant, record, differences, draft);
    // Disabling comes first, so that no other step that fails keeps the tenant in service; enabling comes last.
    if !tenant.definition.enabled {
        changed.disable(draft);
    }
    changed.rename(index, draft);
    changed.update(draft);
    if tenant.definition.enabled {
        changed.enable(draft);
    }
}

impl Changed<'_> {
    fn part_of(&self, field: &Field) -> Part {
        match field {
            Field::Enabled | Field::WebSignIn => Part::Switch,
            Field::File if self.enables => Part::Switch,
            Field::Domain => Part::Rename,
            Field::Key | Field::Instance => Part::Elsewhere,
            Field::Name
            | Field::SessionTimeout
            | Field::MaxUsers
            | Field::Protected
            | Field::CrossTenant(_)
            | Field::Drift
            | Field::Setting(_)
            | Field::SmsNumbers
            | Field::File => Part::Update,
        }
    }

    fn differences_of(&self, part: Part) -> Vec<&Difference> {
        self.differences.iter().filter(|difference| self.part_of(&difference.field) == part).collect()
    }

    fn reason(&self, differences: &[&Difference]) -> StepReason {
        let Self { tenant, record, .. } = *self;
        let all = |of: &dyn Fn(&Difference) -> bool| differences.iter().all(|difference| of(difference));
        if record.file_removed_at.is_some() && !all(&|difference| difference.origin != Origin::File) {
            StepReason::FileBack
        } else if !all(&|difference| !unfinished(record, difference)) {
            // `tenantd block` asks for a comparison; a block is recorded before it is sent, so nothing has begun.
            let not_begun = !tenant.definition.enabled
                && !record.definition.enabled
                && record.web_sign_in_block.is_none()
                && record.settings_checked_at.is_none();
            if not_begun { StepReason::WebSignInNotBlocked } else { StepReason::Unfinished }
        } else if all(&|difference| difference.origin == Origin::Drift) {
            StepReason::DriftOnPbx
        } else if all(&|difference| difference.field == Field::SmsNumbers)
            && record.applied_definition_hash.as_ref() == Some(&definition_hash(tenant))
        {
            StepReason::DriftOfSmsNumbers
        } else {
            StepReason::FileChanged
        }
    }

    fn step(&self, action: Action, differences: &[&Difference], work: Work) -> Step {
        Step {
            tenant: self.tenant.key.clone(),
            instance: self.record.definition.instance.clone(),
            action,
            reason: self.reason(differences),
            changes: differences.iter().map(|difference| FieldChange::from(*difference)).collect(),
            work,
        }
    }

    fn held(&self, action: Action, reason: HeldReason) -> Held {
        Held::new(&self.tenant.key, &self.record.definition.instance, action, reason)
    }

    fn enable(&self, draft: &mut Draft) {
        let differences = self.differences_of(Part::Switch);
        if differences.is_empty() {
            return;
        }
        let work = Work::Enable { record: reference(self.record), expect: self.domain.clone() };
        draft.steps.push(self.step(Action::Enable, &differences, work));
    }

    fn disable(&self, draft: &mut Draft) {
        let differences = self.differences_of(Part::Switch);
        if differences.is_empty() {
            return;
        }
        if let Some(reason) = locks_tenantd_out(self.inputs, self.record) {
            draft.held.push(self.held(Action::Disable, reason));
            return;
        }
        let work = Work::Disable {
            record: reference(self.record),
            expect: Some(self.domain.clone()),
            file_removed: false,
            counts: self.record.definition.enabled,
        };
        draft.steps.push(self.step(Action::Disable, &differences, work));
    }

    fn rename<'a>(&self, index: &Index<'a>, draft: &mut Draft)
    where
        Self: 'a,
    {
        let differences = self.differences_of(Part::Rename);
        if differences.is_empty() {
            return;
        }
        match may_rename(self.inputs, index, self.tenant, self.record) {
            Ok(()) => {
                let work = Work::Rename {
                    record: reference(self.record),
                    to: self.tenant.definition.domain.clone(),
                    expect: self.domain.clone(),
                };
                draft.steps.push(self.step(Action::Rename, &differences, work));
            }
            Err(reason) => draft.held.push(self.held(Action::Rename, reason)),
        }
    }

    fn update(&self, draft: &mut Draft) {
        let differences = self.differences_of(Part::Update);
        if differences.is_empty() {
            return;
        }
        let wanted = diff::wanted_settings(self.tenant);
        let setting = |difference: &&Difference| {
            let name = difference.field.setting()?;
            // A setting that left the file is no longer managed; its value stays.
            let value = wanted.get(&name)?.clone();
            Some((name, value))
        };
        let work = Work::Update {
            record: reference(self.record),
            tenant: self.tenant.clone(),
            expect: self.domain.clone(),
            describe: differences.iter().any(|difference| difference.field == Field::Name),
            settings: differences.iter().filter_map(setting).collect(),
        };
        draft.steps.push(self.step(Action::Update, &differences, work));
    }
}
