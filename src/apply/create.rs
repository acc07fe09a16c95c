//! Making and taking over domains.

use std::collections::BTreeMap;

use super::request::Request;
use super::run::Run;
use super::{StepError, settings};
use crate::diff::{wanted_settings, web_sign_in_is_blocked};
use crate::model::{
    AdoptHow, Definition, DomainId, InstanceKey, NewDomain, PbxDomain, RemovalKind, RemovalRecord,
    SettingName, Tenant, TenantId, TenantRecord, WebSignInBlock,
};
use crate::plan::{Action, RecordRef, definition_hash};

impl Run<'_> {
    /// A tenant's record before anything was done on the PBX.
    fn new_record(&self, tenant: &Tenant, domain_id: DomainId) -> TenantRecord {
        TenantRecord {
            web_sign_in_block: (!tenant.definition.enabled).then(|| new_block(domain_id)),
            ..TenantRecord::new(TenantId(self.apply.environment.new_id()), tenant, domain_id, self.now())
        }
    }

    pub(super) async fn create(&mut self, tenant: &Tenant) -> Result<(), StepError> {
        self.nobody_made(&tenant.definition.instance, tenant.definition.domain.as_str(), None).await?;
        let record = self.new_record(tenant, DomainId(self.apply.environment.new_id()));
        let inserted = record.clone();
        self.apply.database.write(move |store| store.insert_tenant(&inserted)).await?;
        self.revision = Some(record.revision);
        self.make_domain(&record, tenant, "tenant.created").await
    }

    pub(super) async fn recreate(
        &mut self,
        reference: RecordRef,
        tenant: &Tenant,
        counts: bool,
    ) -> Result<(), StepError> {
        let mut record = self.record(reference).await?;
        self.nobody_made(
            &record.definition.instance,
            tenant.definition.domain.as_str(),
            Some(record.domain_id),
        )
        .await?;
        record.provisioned = false;
        take_definition(&mut record, tenant);
        record.definition.enabled = tenant.definition.enabled;
        let now = self.now();
        record.disabled_at = (!tenant.definition.enabled).then(|| record.disabled_at.unwrap_or(now));
        record.disable_confirmed_at = None;
        record.deletable_from = None;
        record.file_removed_at = None;
        record.web_sign_in_left_open = false;
        if !tenant.definition.enabled && record.web_sign_in_block.is_none() {
            record.web_sign_in_block = Some(new_block(record.domain_id));
        }
        let removal = counts.then(|| RemovalRecord {
            tenant: record.id,
            kind: RemovalKind::Disabled,
            instance: record.definition.instance.clone(),
            at: now,
        });
        let record = self
            .update_record(&record, move |store, _| {
                removal.map_or(Ok(()), |removal| store.add_removal(&removal))
            })
            .await?;
        let instance = record.definition.instance.clone();
        if self.pbx(&instance)?.domain(record.domain_id).await?.is_some() {
            let record = self.converge_domain(&record, tenant, &instance).await?;
            let event = match self.step.action {
                Action::Adopt => "tenant.adopted",
                _ => "tenant.created",
            };
            return self.finish(record, tenant, event).await;
        }
        self.make_domain(&record, tenant, "tenant.created").await
    }

    /// Makes the domain of a record that is already written, and says so in the record when it is read back.
    pub(super) async fn make_domain(
        &mut self,
        record: &TenantRecord,
        tenant: &Tenant,
        event: &'static str,
    ) -> Result<(), StepError> {
        let domain = NewDomain {
            id: record.domain_id,
            name: tenant.definition.domain.to_string(),
            enabled: tenant.definition.enabled,
            description: tenant.definition.name.clone(),
        };
        let mut requests = vec![Request::CreateDomain(domain.clone())];
        let wanted: BTreeMap<SettingName, Option<String>> =
            wanted_settings(tenant).into_iter().filter(|(_, value)| value.is_some()).collect();
        requests.extend(settings::converge(record.domain_id, &[], &wanted));
        if !tenant.definition.enabled {
            requests.extend(
                settings::block_web_sign_in(record.domain_id, &[], record.web_sign_in_block.as_ref()).1,
            );
        }
        if let Err(error) = self.send(&tenant.definition.instance, record.id, &requests).await {
            return Err(self.made_otherwise(record, error).await);
        }
        self.seen = Some(PbxDomain {
            id: domain.id,
            name: domain.name,
            enabled: Some(domain.enabled),
            description: domain.description,
        });
        self.finish(record.clone(), tenant, event).await
    }

    /// The tenant is on the PBX as its file says.
    pub(super) async fn finish(
        &mut self,
        mut record: TenantRecord,
        tenant: &Tenant,
        event: &'static str,
    ) -> Result<(), StepError> {
        let now = self.now();
        record.provisioned = true;
        record.restored_at = None;
        if tenant.definition.enabled {
            // Of a domain that was created again nothing is locked, whatever was remembered of the old one.
            record.web_sign_in_block = None;
        }
        record.settings_checked_at = Some(now);
        record.disable_confirmed_at = (!tenant.definition.enabled).then_some(now);
        record.applied_definition_hash = Some(definition_hash(tenant));
        let entry = self.audit(event, record.id);
        let numbers = tenant.sms_numbers.clone();
        self.update_record(&record, move |store, record| {
            numbers.map_or(Ok(()), |numbers| store.put_sms_numbers(record.id, &numbers, now))?;
            store.append_audit(&entry)
        })
        .await?;
        Ok(())
    }

    pub(super) async fn adopt(
        &mut self,
        tenant: &Tenant,
        found: &PbxDomain,
        how: AdoptHow,
    ) -> Result<(), StepError> {
        let pbx = self.pbx(&tenant.definition.instance)?;
        self.look_present(pbx, found.id, found).await?;
        let rows = pbx.settings(found.id).await?;
        let mut record = self.new_record(tenant, found.id);
        let mut requests = Vec::new();
        let wanted = NewDomain {
            id: found.id,
            name: tenant.definition.domain.to_string(),
            enabled: tenant.definition.enabled,
            description: tenant.definition.name.clone(),
        };
        // A name that only repeats the domain needs no description.
        let nameless = found.description.is_empty() && wanted.description == wanted.name;
        if found.enabled != Some(wanted.enabled) || (found.description != wanted.description && !nameless) {
            requests.push(Request::UpdateDomain(wanted.clone()));
        }
        requests.extend(settings::converge(found.id, &rows, &wanted_settings(tenant)));
        if !tenant.definition.enabled {
            let (block, blocking) = settings::block_web_sign_in(found.id, &rows, None);
            // It was disabled by someone else, who may have left the web sign-in open on purpose.
            record.web_sign_in_left_open =
                how == AdoptHow::AsItIs && !web_sign_in_is_blocked(&rows, block.entry);
            record.web_sign_in_block = (!record.web_sign_in_left_open).then_some(block);
            if !record.web_sign_in_left_open {
                requests.extend(blocking);
            }
        }
        let inserted = record.clone();
        // To take over an open domain and close it is to disable a tenant, and counts as that for a day.
        let disables = !tenant.definition.enabled && found.enabled != Some(false);
        let removal = disables.then(|| RemovalRecord {
            tenant: record.id,
            kind: RemovalKind::Disabled,
            instance: tenant.definition.instance.clone(),
            at: record.created_at,
        });
        self.apply
            .database
            .write(move |store| {
                store.insert_tenant(&inserted)?;
                removal.map_or(Ok(()), |removal| store.add_removal(&removal))
            })
            .await?;
        self.revision = Some(record.revision);
        if let Err(error) = self.send(&tenant.definition.instance, record.id, &requests).await {
            return Err(self.made_otherwise(&record, error).await);
        }
        self.finish(record, tenant, "tenant.adopted").await
    }

    /// Records a domain that is there and does not read back as it was sent. It counts as made: what differs is put
    /// right by later passes, each time counted, and not created again for ever.
    async fn made_otherwise(&mut self, record: &TenantRecord, error: StepError) -> StepError {
        let there = match self.pbx(&record.definition.instance) {
            Ok(pbx) if error.was_in_vain() => {
                matches!(pbx.domain(record.domain_id).await, Ok(Some(_)))
            }
            _ => false,
        };
        if there {
            let made = TenantRecord {
                provisioned: true,
                applied_definition_hash: None,
                restored_at: None,
                ..record.clone()
            };
            if let Err(failed) = self.update_record(&made, |_, _| Ok(())).await {
                return failed;
            }
        }
        error
    }

    /// Brings a domain that is already there to what the tenant's file says.
    pub(super) async fn converge_domain(
        &mut self,
        record: &TenantRecord,
        tenant: &Tenant,
        instance: &InstanceKey,
    ) -> Result<TenantRecord, StepError> {
        let pbx = self.pbx(instance)?;
        let rows = pbx.settings(record.domain_id).await?;
        let mut requests = vec![Request::UpdateDomain(NewDomain {
            id: record.domain_id,
            name: tenant.definition.domain.to_string(),
            enabled: tenant.definition.enabled,
            description: tenant.definition.name.clone(),
        })];
        requests.extend(settings::converge(record.domain_id, &rows, &wanted_settings(tenant)));
        let mut record = record.clone();
        if tenant.definition.enabled {
            requests.extend(settings::lift_web_sign_in_block(
                record.domain_id,
                &rows,
                record.web_sign_in_block.as_ref(),
            ));
        } else {
            let (block, blocking) =
                settings::block_web_sign_in(record.domain_id, &rows, record.web_sign_in_block.as_ref());
            record.web_sign_in_block = Some(block);
            record = self.update_record(&record, |_, _| Ok(())).await?;
            requests.extend(blocking);
        }
        if let Err(error) = self.send(instance, record.id, &requests).await {
            return Err(self.made_otherwise(&record, error).await);
        }
        if tenant.definition.enabled {
            record.web_sign_in_block = None;
        }
        Ok(record)
    }
}

fn new_block(domain: DomainId) -> WebSignInBlock {
    WebSignInBlock { entry: crate::model::SettingId::for_web_sign_in_block(domain), switched_off: [].into() }
}

/// Writes what the file says into a record, but for what other steps own: whether it is enabled, and its placement.
pub(super) fn take_definition(record: &mut TenantRecord, tenant: &Tenant) {
    let placed = &record.definition;
    record.definition = Definition {
        enabled: placed.enabled,
        instance: placed.instance.clone(),
        ..tenant.definition.clone()
    };
    record.key.clone_from(&tenant.key);
}
