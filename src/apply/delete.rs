//! Deleting: every condition once more, right before the request.

use super::StepError;
use super::request::Request;
use super::run::Run;
use crate::diff::lock_is_in_force;
use crate::model::{
    FormerPlacement, PbxDomain, RemovalKind, RemovalRecord, SettingId, TenantRecord, Tombstone,
};
use crate::plan::{RecordRef, retention_end};
use crate::sabotage::{Bug, active};

impl Run<'_> {
    pub(super) async fn delete(
        &mut self,
        reference: RecordRef,
        expect: Option<&PbxDomain>,
    ) -> Result<(), StepError> {
        let record = self.deletable(reference).await?;
        let instance = record.instance.clone();
        let pbx = self.pbx(&instance)?;
        let blind = active(Bug::DeleteWithoutLook);
        let found = if blind { expect.cloned() } else { self.look(pbx, record.domain_id, expect).await? };
        if let Some(found) = found.as_ref().filter(|_| !blind) {
            must_be_closed(found)?;
            if !record.lock_left_open {
                let rows = pbx.settings(record.domain_id).await?;
                if !lock_is_in_force(&rows, SettingId::for_login_lock(record.domain_id)) {
                    return Err(StepError::Stale(format!("the web sign-in of {} was opened", self.key())));
                }
            }
        }
        // The intent that the database asks for before it lets the record go; open until then.
        let intent = self.intent(&instance, record.id);
        let (id, plan_id) = (intent.id, self.plan_id.to_owned());
        self.apply
            .database
            .write(move |store| {
                store.open_intent(&intent, &plan_id, "delete the tenant: its domain, then its record")
            })
            .await?;
        if found.is_some() {
            self.send(&instance, record.id, &[Request::DeleteDomain(record.domain_id)]).await?;
        }
        let now = self.now();
        let tombstone = Tombstone {
            tenant: record.id,
            key: record.key.clone(),
            name: record.name.clone(),
            domain: record.domain.clone(),
            instance: instance.clone(),
            domain_id: record.domain_id,
            disabled_at: record.disabled_at,
            deleted_at: now,
            archive: None,
            archive_sha256: None,
        };
        let removal = RemovalRecord { tenant: record.id, kind: RemovalKind::Deleted, instance, at: now };
        let entry =
            self.audit(if found.is_some() { "tenant.deleted" } else { "tenant.forgotten" }, record.id);
        let key = record.key.clone();
        self.apply
            .database
            .write(move |store| {
                store.delete_tenant(removal.tenant)?;
                store.add_tombstone(&tombstone)?;
                store.add_removal(&removal)?;
                store.use_up_approval(&key)?;
                store.append_audit(&entry)?;
                store.close_intent(id, "done", now)
            })
            .await?;
        self.seen = None;
        Ok(())
    }

    /// The record, if it may be deleted now by everything that the database knows; says from when on.
    async fn deletable(&mut self, reference: RecordRef) -> Result<TenantRecord, StepError> {
        let mut record = self.record(reference).await?;
        let key = self.key();
        let refuse = |why: &str| Err(StepError::Refused(format!("{key} {why}, so it is not deleted")));
        if record.enabled {
            return refuse("is enabled");
        }
        if record.protected {
            return refuse("is protected");
        }
        let (Some(removed_at), Some(confirmed_at)) = (record.removed_at, record.disable_confirmed_at) else {
            return refuse("is not confirmed disabled since its file went");
        };
        let from = retention_end(removed_at, confirmed_at, self.apply.retention_days);
        if self.now() < from {
            return refuse("is within its retention");
        }
        record.deletable_from = Some(from);
        self.update_record(&record, |_, _| Ok(())).await
    }

    pub(super) async fn delete_former(
        &mut self,
        reference: RecordRef,
        placement: &FormerPlacement,
        expect: Option<&PbxDomain>,
    ) -> Result<(), StepError> {
        let record = self.record(reference).await?;
        let pbx = self.pbx(&placement.instance)?;
        let found = self.look(pbx, placement.domain_id, expect).await?;
        if let Some(found) = &found {
            must_be_closed(found)?;
            if record.protected || record.domain_id == placement.domain_id {
                return Err(StepError::Refused(format!("{} still needs this domain", self.key())));
            }
            let Some(confirmed_at) = placement.disable_confirmed_at else {
                return Err(StepError::Refused("it is not confirmed disabled, so it is not deleted".into()));
            };
            if self.now() < retention_end(placement.left_at, confirmed_at, self.apply.retention_days) {
                return Err(StepError::Refused("it is within its retention, so it is not deleted".into()));
            }
            self.send(&placement.instance, record.id, &[Request::DeleteDomain(placement.domain_id)]).await?;
        }
        let entry =
            self.audit(if found.is_some() { "tenant.deleted" } else { "tenant.forgotten" }, record.id);
        let (instance, id, key) = (placement.instance.clone(), placement.domain_id, record.key.clone());
        self.apply
            .database
            .write(move |store| {
                store.remove_former_placement(&instance, id)?;
                store.use_up_approval(&key)?;
                store.append_audit(&entry)
            })
            .await?;
        Ok(())
    }
}

fn must_be_closed(found: &PbxDomain) -> Result<(), StepError> {
    if found.enabled == Some(false) {
        return Ok(());
    }
    Err(StepError::Stale(format!("the domain {} was enabled on the PBX", found.name)))
}
