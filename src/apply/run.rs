//! One tenant's steps: what every kind of step needs.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::request::{self, Request};
use super::{Apply, StepError};
use crate::fusionpbx::{PbxErrorKind, PbxWrite, permitted_while};
use crate::model::{
    DomainId, InstanceKey, OpenIntent, PbxDomain, SmsNumber, TenantId, TenantKey, TenantRecord,
};
use crate::plan::{RecordRef, Step};
use crate::sabotage::{Bug, active};
use crate::store::{AuditEntry, StoreError, StoreWriter};

/// The steps of one tenant, in order. It remembers what its own steps changed, so that a later one does not take
/// that for someone else's change.
pub(super) struct Run<'a> {
    pub(super) apply: &'a Apply<'a>,
    pub(super) plan_id: &'a str,
    pub(super) step: &'a Step,
    /// The record's revision after our last write.
    pub(super) revision: Option<i64>,
    /// The domain as we last read it back.
    pub(super) seen: Option<PbxDomain>,
    /// SMS numbers that the tenants of this plan want. They change hands together, at its end.
    pub(super) claimed: &'a BTreeSet<SmsNumber>,
}

impl<'a> Run<'a> {
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.apply.environment.now()
    }

    pub(super) fn key(&self) -> &'a TenantKey {
        &self.step.tenant
    }

    pub(super) fn pbx(&self, instance: &InstanceKey) -> Result<&'a dyn PbxWrite, StepError> {
        self.apply.pbxs.get(instance).map(|pbx| &**pbx).ok_or(StepError::NoInstance)
    }

    /// The record, if no one else changed it since the plan was made.
    pub(super) async fn record(&self, reference: RecordRef) -> Result<TenantRecord, StepError> {
        let expected = self.revision.unwrap_or(reference.revision);
        let key = self.key().to_string();
        let found = self.apply.database.write(move |store| store.tenant(reference.id)).await?;
        match found {
            Some(record) if record.revision == expected => Ok(record),
            Some(_) => Err(StepError::Stale(format!("the record of {key} changed"))),
            None => Err(StepError::Stale(format!("the record of {key} is gone"))),
        }
    }

    /// A fresh look at a domain, which must be as the plan saw it (or as our own last step left it).
    pub(super) async fn look(
        &self,
        pbx: &dyn PbxWrite,
        id: DomainId,
        expect: Option<&PbxDomain>,
    ) -> Result<Option<PbxDomain>, StepError> {
        let found = pbx.domain(id).await?.map(PbxDomain::in_lower_case);
        let expect = match &self.seen {
            Some(seen) if seen.id == id => Some(seen),
            _ => expect,
        };
        if found.as_ref() == expect {
            return Ok(found);
        }
        // NULL in `domain_enabled` shows as enabled on the form, so it cannot be told from it there.
        if let (Some(found), Some(expect)) = (&found, expect)
            && expect.enabled.is_none()
            && (PbxDomain { enabled: None, ..found.clone() }) == *expect
        {
            return Ok(Some(found.clone()));
        }
        Err(StepError::Stale(format!("the domain of {} changed on {}", self.key(), self.step.instance)))
    }

    /// Like [`Self::look`], for a domain that must be there.
    pub(super) async fn look_present(
        &self,
        pbx: &dyn PbxWrite,
        id: DomainId,
        expect: &PbxDomain,
    ) -> Result<PbxDomain, StepError> {
        self.look(pbx, id, Some(expect))
            .await?
            .ok_or_else(|| StepError::Stale(format!("the domain of {} is gone", self.key())))
    }

    /// FusionPBX takes a name in use and has then two domains of one name, so it is looked for right before.
    pub(super) async fn is_free_elsewhere(
        &self,
        instance: &InstanceKey,
        name: &str,
        ours: Option<DomainId>,
    ) -> Result<(), StepError> {
        if active(Bug::NameWithoutLook) {
            return Ok(());
        }
        let found = self.pbx(instance)?.domains_named(name).await?;
        nobody_else(found, instance, name, ours)
    }

    /// The same look at less cost, before a domain is made: all domains were just read, so only what someone made
    /// since is looked for, and that is enabled.
    pub(super) async fn nobody_made(
        &self,
        instance: &InstanceKey,
        name: &str,
        ours: Option<DomainId>,
    ) -> Result<(), StepError> {
        if active(Bug::NameWithoutLook) {
            return Ok(());
        }
        let found = self.pbx(instance)?.enabled_domains_named(name).await?;
        nobody_else(found, instance, name, ours)
    }

    /// Sends requests one after the other, each under an intent that is committed first, and reads back what they
    /// were to bring about before their intents are closed.
    ///
    /// An answer that was lost is no failure if the reading shows that the request was carried out.
    pub(super) async fn send(
        &mut self,
        instance: &InstanceKey,
        tenant: TenantId,
        requests: &[Request],
    ) -> Result<(), StepError> {
        for batch in request::in_batches(requests) {
            let mut rest = batch;
            while !rest.is_empty() {
                let done = self.send_until_failure(instance, tenant, rest).await?;
                rest = &rest[done..];
            }
        }
        Ok(())
    }

    /// Sends requests of one batch up to the first that fails, and reads them back; how many were carried out. A
    /// request without a proper answer that reads back as carried out counts as such: the next one follows it.
    async fn send_until_failure(
        &mut self,
        instance: &InstanceKey,
        tenant: TenantId,
        batch: &[Request],
    ) -> Result<usize, StepError> {
        let pbx = self.pbx(instance)?;
        let mut sent: Vec<&Request> = Vec::new();
        let mut intents = Vec::new();
        let mut failure = None;
        for request in batch {
            let intent = self.open_intent(instance, tenant, request).await?;
            intents.push(intent);
            sent.push(request);
            if !self.apply.database.may_still_write() {
                return Err(StoreError::LeaseLost.into());
            }
            let database = self.apply.database.clone();
            let may = move || database.may_still_write();
            if let Err(error) = permitted_while(may, request.send(pbx)).await {
                failure = Some(error);
                break;
            }
        }
        let proof = if active(Bug::SkipReadBack) && failure.is_none() {
            Ok(Ok(()))
        } else {
            request::read_back(&sent, pbx).await
        };
        match proof {
            Ok(Ok(())) => {
                self.close_intents(intents, "done").await?;
                match failure {
                    // Whatever else went wrong goes wrong for the next request as well.
                    Some(error)
                        if sent.len() < batch.len()
                            && !matches!(error.kind, PbxErrorKind::OutcomeUnknown { .. }) =>
                    {
                        Err(error.into())
                    }
                    _ => Ok(sent.len()),
                }
            }
            Ok(Err(mismatch)) => {
                self.close_intents(intents, "not applied").await?;
                Err(failure.map_or(mismatch, StepError::from))
            }
            // The intents stay open: the next pass settles them by looking.
            Err(error) => Err(failure.unwrap_or(error).into()),
        }
    }

    pub(super) fn intent(&self, instance: &InstanceKey, tenant: TenantId) -> OpenIntent {
        OpenIntent {
            id: self.apply.environment.new_id(),
            tenant,
            key: self.key().clone(),
            instance: instance.clone(),
            action: self.step.action.as_str().to_owned(),
            opened_at: self.now(),
        }
    }

    async fn open_intent(
        &self,
        instance: &InstanceKey,
        tenant: TenantId,
        request: &Request,
    ) -> Result<Uuid, StepError> {
        let intent = self.intent(instance, tenant);
        let (id, plan_id, what) = (intent.id, self.plan_id.to_owned(), request.describe());
        if active(Bug::SkipIntent) {
            return Ok(id);
        }
        self.apply.database.write(move |store| store.open_intent(&intent, &plan_id, &what)).await?;
        Ok(id)
    }

    async fn close_intents(&self, intents: Vec<Uuid>, outcome: &'static str) -> Result<(), StepError> {
        let now = self.now();
        self.apply
            .database
            .write(move |store| intents.iter().try_for_each(|id| store.close_intent(*id, outcome, now)))
            .await?;
        Ok(())
    }

    /// Changes the record, with whatever else belongs to the same transaction.
    pub(super) async fn update_record(
        &mut self,
        record: &TenantRecord,
        also: impl FnOnce(&mut StoreWriter<'_>, &TenantRecord) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<TenantRecord, StepError> {
        let mut record = record.clone();
        let now = self.now();
        let record = self
            .apply
            .database
            .write(move |store| {
                store.update_tenant(&mut record, now)?;
                also(store, &record)?;
                Ok(record)
            })
            .await?;
        self.revision = Some(record.revision);
        Ok(record)
    }

    /// The audit log's line for this step, as done.
    pub(super) fn audit(&self, event: &str, tenant: TenantId) -> AuditEntry {
        let values = |of: fn(&crate::plan::FieldChange) -> &Option<String>| {
            let map: serde_json::Map<String, serde_json::Value> = self
                .step
                .changes
                .iter()
                .filter_map(|change| {
                    let value = of(change).clone()?;
                    Some((change.field.to_string(), super::redact(&change.field, value).into()))
                })
                .collect();
            (!map.is_empty()).then(|| serde_json::Value::Object(map).to_string())
        };
        AuditEntry {
            tenant: Some(tenant),
            instance: Some(self.step.instance.clone()),
            plan_id: Some(self.plan_id.to_owned()),
            before: values(|change| &change.before),
            after: values(|change| &change.after),
            ..AuditEntry::new(self.now(), self.apply.actor_of(self.key()), event, self.key().clone())
        }
    }
}

fn nobody_else(
    found: Vec<PbxDomain>,
    instance: &InstanceKey,
    name: &str,
    ours: Option<DomainId>,
) -> Result<(), StepError> {
    if found.into_iter().any(|domain| Some(domain.id) != ours) {
        return Err(StepError::Stale(format!("a domain {name} was created on {instance}")));
    }
    Ok(())
}
