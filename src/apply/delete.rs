//! Deleting: every condition once more, right before the request.

use uuid::Uuid;

use super::request::Request;
use super::run::Run;
use super::{Apply, StepError};
use crate::archive::{self, ArchiveFile};
use crate::diff::web_sign_in_is_blocked;
use crate::model::{
    DomainId, InstanceKey, PbxDomain, PreviousPlacement, RemovalKind, RemovalRecord, SettingId, TenantId,
    TenantRecord, Tombstone,
};
use crate::plan::{Action, RecordRef, record_retention_end, retention_end};
use crate::report::chain;
use crate::sabotage::{Bug, active};
use crate::store::StoreError;

impl Run<'_> {
    pub(super) async fn delete(
        &mut self,
        reference: RecordRef,
        expect: Option<&PbxDomain>,
    ) -> Result<(), StepError> {
        let record = self.deletable(reference).await?;
        let instance = record.definition.instance.clone();
        let pbx = self.pbx(&instance)?;
        let blind = active(Bug::DeleteWithoutLook);
        let found = if blind { expect.cloned() } else { self.look(pbx, record.domain_id, expect).await? };
        let mut intents = self.started_deletions(&instance, record.id).await?;
        if let Some(found) = found.as_ref().filter(|_| !blind) {
            must_be_disabled(found)?;
            self.is_free_elsewhere(&instance, &found.name, Some(found.id)).await?;
            // A deletion that started may have removed the web sign-in block with the first tables.
            if !record.web_sign_in_left_open && intents.is_empty() {
                let rows = pbx.settings(record.domain_id).await?;
                if !web_sign_in_is_blocked(&rows, SettingId::for_web_sign_in_block(record.domain_id)) {
                    return Err(StepError::Stale(format!("the web sign-in of {} was opened", self.key())));
                }
            }
        }
        let archive = self.archive(&record).await?;
        if found.is_some() {
            let what = "delete the tenant: its domain, then its record";
            let sent =
                self.delete_domain(&instance, record.id, record.domain_id, what, intents.is_empty()).await;
            intents.push(sent?);
        } else {
            intents.push(self.intend(&instance, record.id, "delete the tenant's record").await?);
        }
        let now = self.now();
        let tombstone = Tombstone {
            tenant: record.id,
            key: record.key.clone(),
            name: record.definition.name.clone(),
            domain: record.definition.domain.clone(),
            instance: instance.clone(),
            domain_id: record.domain_id,
            disabled_at: record.disabled_at,
            deleted_at: now,
            archive: Some(archive.path.display().to_string()),
            archive_sha256: Some(archive.sha256.clone()),
        };
        let removal = RemovalRecord { tenant: record.id, kind: RemovalKind::Deleted, instance, at: now };
        let entry =
            self.audit(if found.is_some() { "tenant.deleted" } else { "tenant.forgotten" }, record.id);
        let key = record.key.clone();
        self.apply
            .database
            .write_at_one_state(move |store| {
                let mut scope = store.scope(removal.tenant);
                if let Some(differs) = archive::contents_agree(&mut scope, &archive.manifest.tables)? {
                    return Err(StoreError::Refused(format!("{differs}, so it is not deleted")));
                }
                scope.delete_all()?;
                store.delete_tenant(removal.tenant)?;
                store.add_tombstone(&tombstone)?;
                store.add_removal(&removal)?;
                store.use_up_approval(&key)?;
                store.append_audit(&entry)?;
                intents.iter().try_for_each(|id| store.close_intent(*id, "done", now))
            })
            .await?;
        self.seen = None;
        Ok(())
    }

    /// The tenant's data in a file that was read back: nothing is deleted without it.
    async fn archive(&self, record: &TenantRecord) -> Result<ArchiveFile, StepError> {
        let Apply { database, archive_dir, .. } = self.apply;
        archive::archive_or_reuse(database, record, archive_dir, self.now()).await.map_err(|error| {
            StepError::Refused(format!("it is not archived, so it is not deleted: {}", chain(&error)))
        })
    }

    /// Deletes a domain under an intent that stays open until its record is gone too, and gives the intent.
    ///
    /// Only the intent distinguishes a half-deleted domain from a whole one, so it is closed where nothing was started.
    async fn delete_domain(
        &mut self,
        instance: &InstanceKey,
        tenant: TenantId,
        domain: DomainId,
        what: &'static str,
        first: bool,
    ) -> Result<Uuid, StepError> {
        let id = self.intend(instance, tenant, what).await?;
        let sent = self.send(instance, tenant, &[Request::DeleteDomain(domain)]).await;
        if let Err(error) = &sent
            && first
            && error.nothing_was_done()
        {
            let now = self.now();
            self.apply.database.write(move |store| store.close_intent(id, "not done", now)).await?;
        }
        sent.map(|()| id)
    }

    async fn intend(
        &self,
        instance: &InstanceKey,
        tenant: TenantId,
        what: &'static str,
    ) -> Result<Uuid, StepError> {
        let intent = self.intent(instance, tenant);
        let (id, plan_id) = (intent.id, self.plan_id.to_owned());
        self.apply.database.write(move |store| store.open_intent(&intent, &plan_id, what)).await?;
        Ok(id)
    }

    /// Open intents of deletions there that started and did not finish.
    pub(super) async fn started_deletions(
        &self,
        instance: &InstanceKey,
        tenant: TenantId,
    ) -> Result<Vec<Uuid>, StepError> {
        let now = self.now();
        let recorded = self.apply.database.read(move |store| store.recorded(now)).await?;
        let started = recorded.open_intents.into_iter().filter(|intent| {
            intent.tenant == tenant
                && intent.instance == *instance
                && intent.action == Action::Delete.as_str()
        });
        Ok(started.map(|intent| intent.id).collect())
    }

    /// The record, if it may be deleted now by everything that the database knows; says from when on.
    async fn deletable(&mut self, reference: RecordRef) -> Result<TenantRecord, StepError> {
        let mut record = self.record(reference).await?;
        let key = self.key();
        let refuse = |why: &str| Err(StepError::Refused(format!("{key} {why}, so it is not deleted")));
        if record.definition.enabled {
            return refuse("is enabled");
        }
        if record.definition.protected {
            return refuse("is protected");
        }
        let Some(from) = record_retention_end(&record, self.apply.retention_days) else {
            return refuse("is not confirmed disabled since its file was removed");
        };
        if self.now() < from {
            return refuse("is still in its retention");
        }
        record.deletable_from = Some(from);
        self.update_record(&record, |_, _| Ok(())).await
    }

    pub(super) async fn delete_previous(
        &mut self,
        reference: RecordRef,
        placement: &PreviousPlacement,
        expect: Option<&PbxDomain>,
    ) -> Result<(), StepError> {
        let record = self.record(reference).await?;
        let pbx = self.pbx(&placement.instance)?;
        let found = self.look(pbx, placement.domain_id, expect).await?;
        let mut intents = self.started_deletions(&placement.instance, record.id).await?;
        if let Some(found) = &found {
            must_be_disabled(found)?;
            self.is_free_elsewhere(&placement.instance, &found.name, Some(found.id)).await?;
            if record.definition.protected || record.domain_id == placement.domain_id {
                return Err(StepError::Refused(format!("{} still needs this domain", self.key())));
            }
            let Some(confirmed_at) = placement.disable_confirmed_at else {
                return Err(StepError::Refused("it is not confirmed disabled, so it is not deleted".into()));
            };
            if self.now() < retention_end(placement.left_at, confirmed_at, self.apply.retention_days) {
                return Err(StepError::Refused("it is still in its retention, so it is not deleted".into()));
            }
            let what = "delete the previous domain of the tenant";
            let id = self.delete_domain(
                &placement.instance,
                record.id,
                placement.domain_id,
                what,
                intents.is_empty(),
            );
            intents.push(id.await?);
        }
        let now = self.now();
        let entry =
            self.audit(if found.is_some() { "tenant.deleted" } else { "tenant.forgotten" }, record.id);
        let (instance, id, key) = (placement.instance.clone(), placement.domain_id, record.key.clone());
        self.apply
            .database
            .write(move |store| {
                store.remove_previous_placement(&instance, id)?;
                store.use_up_approval(&key)?;
                store.append_audit(&entry)?;
                intents.iter().try_for_each(|id| store.close_intent(*id, "done", now))
            })
            .await?;
        Ok(())
    }
}

fn must_be_disabled(found: &PbxDomain) -> Result<(), StepError> {
    if found.enabled == Some(false) {
        return Ok(());
    }
    Err(StepError::Stale(format!("the domain {} was enabled on the PBX", found.name)))
}
