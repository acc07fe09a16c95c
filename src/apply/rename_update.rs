//! Renaming and updating.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::request::Request;
use super::run::Run;
use super::{StepError, settings};
use crate::diff::Field;
use crate::model::{
    DomainName, NewDomain, PbxDomain, RemovalRecord, SettingName, Tenant, TenantKey, TenantRecord,
};
use crate::plan::{RecordRef, correction_key, definition_hash};

impl Run<'_> {
    /// Counts the step's changes where they put something right (`corrected`), whether it took or not, and where they
    /// did not take: three in a row without lasting is a contest. What did not take is recorded at once.
    pub(super) async fn count_corrections(
        &mut self,
        record: &mut TenantRecord,
        corrected: bool,
        sent: &Result<(), StepError>,
        of: impl Fn(&Field) -> bool,
    ) -> Result<(), StepError> {
        let vain = sent.as_ref().is_err_and(StepError::was_in_vain);
        if corrected || vain {
            for change in self.step.changes.iter().filter(|change| of(&change.field)) {
                *record
                    .corrections
                    .entry(correction_key(&change.field, change.after.as_deref()))
                    .or_default() += 1;
            }
        }
        if vain {
            *record = self.update_record(record, |_, _| Ok(())).await?;
        }
        Ok(())
    }

    /// What this step counts as against the limits, where it interrupts phones.
    pub(super) fn interruption(&self, record: &TenantRecord, now: DateTime<Utc>) -> Option<RemovalRecord> {
        let (tenant, kind) = self.step.interrupts(|_| record.definition.enabled)?;
        Some(RemovalRecord { tenant, kind, instance: record.definition.instance.clone(), at: now })
    }

    /// Another key for the same tenant. The PBX is not touched.
    pub(super) async fn rekey(&mut self, reference: RecordRef, to: &TenantKey) -> Result<(), StepError> {
        let mut record = self.record(reference).await?;
        record.key = to.clone();
        let entry = self.audit("tenant.renamed", record.id);
        self.update_record(&record, move |store, _| store.append_audit(&entry)).await?;
        Ok(())
    }

    /// Another domain for the same tenant. FusionPBX takes a name in use, so it is looked for before and after.
    pub(super) async fn rename(
        &mut self,
        reference: RecordRef,
        to: &DomainName,
        expect: &PbxDomain,
    ) -> Result<(), StepError> {
        let mut record = self.record(reference).await?;
        let instance = record.definition.instance.clone();
        let pbx = self.pbx(&instance)?;
        let found = self.look_present(pbx, record.domain_id, expect).await?;
        self.is_free_elsewhere(&instance, to.as_str(), Some(record.domain_id)).await?;
        if found.name != to.as_str() {
            self.is_free_elsewhere(&instance, &found.name, Some(found.id)).await?;
            let wanted = NewDomain { name: to.to_string(), ..keep(&found) };
            // Counted before it is sent: once it may have been, its phones may be off.
            if let Some(removal) = self.interruption(&record, self.now()) {
                self.apply.database.write(move |store| store.add_removal(&removal)).await?;
            }
            let sent = self.send(&instance, record.id, &[Request::UpdateDomain(wanted)]).await;
            let corrected = record.definition.domain == *to;
            self.count_corrections(&mut record, corrected, &sent, |_| true).await?;
            sent?;
        }
        self.seen = Some(PbxDomain { name: to.to_string(), ..found });
        record.definition.domain = to.clone();
        let entry = self.audit("tenant.renamed", record.id);
        let record = self.update_record(&record, move |store, _| store.append_audit(&entry)).await?;
        if pbx.domains_named(to.as_str()).await?.into_iter().any(|domain| domain.id != record.domain_id) {
            return Err(StepError::Refused(format!(
                "{instance} now has two domains named {to}, because another one was created at the same moment. \
                 Delete that one, or rename this tenant"
            )));
        }
        Ok(())
    }

    pub(super) async fn update(
        &mut self,
        reference: RecordRef,
        tenant: &Tenant,
        expect: &PbxDomain,
        describe: bool,
        wanted: &BTreeMap<SettingName, Option<String>>,
    ) -> Result<(), StepError> {
        let mut record = self.record(reference).await?;
        let instance = record.definition.instance.clone();
        let corrected = record.applied_definition_hash.as_ref() == Some(&definition_hash(tenant));
        let mut described = Ok(());
        if describe {
            let found = self.look_present(self.pbx(&instance)?, record.domain_id, expect).await?;
            if found.description != tenant.definition.name {
                let wanted = NewDomain { description: tenant.definition.name.clone(), ..keep(&found) };
                described = self.send(&instance, record.id, &[Request::UpdateDomain(wanted)]).await;
                self.count_corrections(&mut record, corrected, &described, |field| *field == Field::Name)
                    .await?;
            }
            self.seen = Some(PbxDomain { description: tenant.definition.name.clone(), ..found });
        }
        // A description that the server does not take is no reason to keep the settings back.
        if described.as_ref().is_err_and(|error| !error.was_in_vain()) {
            return described;
        }
        if !wanted.is_empty() {
            let rows = self.pbx(&instance)?.settings(record.domain_id).await?;
            let requests = settings::converge(record.domain_id, &rows, wanted);
            let sent = self.send(&instance, record.id, &requests).await;
            self.count_corrections(&mut record, corrected, &sent, |field| *field != Field::Name).await?;
            sent?;
        }
        described?;
        let placed = (record.key.clone(), record.definition.domain.clone());
        super::create::take_definition(&mut record, tenant);
        (record.key, record.definition.domain) = placed;
        record.file_removed_at = None;
        record.applied_definition_hash = Some(definition_hash(tenant));
        let entry = self.audit("tenant.updated", record.id);
        let (numbers, kept, now) = (tenant.sms_numbers.clone(), self.claimed.clone(), self.now());
        self.update_record(&record, move |store, record| {
            numbers
                .map_or(Ok(()), |numbers| store.put_sms_numbers_except(record.id, &numbers, &kept, now))?;
            store.append_audit(&entry)
        })
        .await?;
        Ok(())
    }
}

/// All fields of a domain as they are: a field left out of the form would be set to NULL. The form cannot say NULL for
/// `enabled`, which refuses phones as `false` does.
pub(super) fn keep(found: &PbxDomain) -> NewDomain {
    NewDomain {
        id: found.id,
        name: found.name.clone(),
        enabled: found.enabled.unwrap_or(false),
        description: found.description.clone(),
    }
}
