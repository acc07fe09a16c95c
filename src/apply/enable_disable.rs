//! Disabling and enabling.

use chrono::{DateTime, TimeDelta, Utc};

use super::rename_update::keep;
use super::request::Request;
use super::run::Run;
use super::{StepError, settings};
use crate::model::{InstanceKey, NewDomain, PbxDomain, PreviousPlacement, RemovalKind, RemovalRecord};
use crate::plan::{RecordRef, retention_end};
use crate::sabotage::{Bug, active};

impl Run<'_> {
    /// No one of the tenant gets in any more: database first, then the PBX for phones, then its web sign-in.
    pub(super) async fn disable(
        &mut self,
        reference: RecordRef,
        expect: Option<&PbxDomain>,
        removed: bool,
        counts: bool,
    ) -> Result<(), StepError> {
        let mut record = self.record(reference).await?;
        let instance = record.definition.instance.clone();
        let pbx = self.pbx(&instance)?;
        let found = self.look(pbx, record.domain_id, expect).await?;
        let now = self.now();
        let mut requests = Vec::new();
        if record.definition.enabled {
            record.web_sign_in_left_open = false;
        }
        if let Some(found) = &found {
            if found.enabled != Some(false) {
                requests.push(Request::UpdateDomain(NewDomain { enabled: false, ..keep(found) }));
            }
            if !record.web_sign_in_left_open && !active(Bug::NoWebSignInBlock) {
                let rows = pbx.settings(record.domain_id).await?;
                let (block, blocking) =
                    settings::block_web_sign_in(record.domain_id, &rows, record.web_sign_in_block.as_ref());
                record.web_sign_in_block = Some(block);
                requests.extend(blocking);
            }
        }
        // What a deletion that has begun took away does not begin the retention again.
        let still_closed = found.as_ref().is_none_or(|found| found.enabled == Some(false));
        let half_deleted = still_closed && !self.started_deletions(&instance, record.id).await?.is_empty();
        let unbroken = record.disable_confirmed_at.is_some() && (requests.is_empty() || half_deleted);
        record.definition.enabled = false;
        record.disabled_at = Some(record.disabled_at.unwrap_or(now));
        if removed {
            record.file_removed_at = Some(record.file_removed_at.unwrap_or(now));
        }
        if !unbroken {
            record.disable_confirmed_at = None;
        }
        record.deletable_from = None;
        let removal = counts.then(|| RemovalRecord {
            tenant: record.id,
            kind: if removed { RemovalKind::FileGone } else { RemovalKind::Disabled },
            instance: instance.clone(),
            at: now,
        });
        // What was switched off must be known before it is switched off.
        let mut record = self
            .update_record(&record, move |store, _| {
                removal.map_or(Ok(()), |removal| store.add_removal(&removal))
            })
            .await?;
        self.send(&instance, record.id, &requests).await?;
        if let Some(found) = found {
            self.seen = Some(PbxDomain { enabled: Some(false), ..found });
        }
        let confirmed = self.confirmed_from(&instance);
        record.disable_confirmed_at = Some(record.disable_confirmed_at.unwrap_or(confirmed));
        let entry = self.audit("tenant.disabled", record.id);
        self.update_record(&record, move |store, _| store.append_audit(&entry)).await?;
        Ok(())
    }

    /// From when on no one of a tenant is in that was disabled now: at once, or when the web sessions are over that the
    /// server does not end.
    pub(super) fn confirmed_from(&self, instance: &InstanceKey) -> DateTime<Utc> {
        let goes_on = self.apply.sessions_go_on.get(instance).copied().unwrap_or_default();
        let goes_on = if active(Bug::SessionsEndAtOnce) { TimeDelta::zero() } else { goes_on };
        self.now() + goes_on
    }

    /// Restores exactly what was there before: `cidr` entries enabled, the web sign-in block removed, then phones, then the
    /// database.
    pub(super) async fn enable(&mut self, reference: RecordRef, expect: &PbxDomain) -> Result<(), StepError> {
        let mut record = self.record(reference).await?;
        let instance = record.definition.instance.clone();
        let pbx = self.pbx(&instance)?;
        let found = self.look_present(pbx, record.domain_id, expect).await?;
        let rows = pbx.settings(record.domain_id).await?;
        if record.disable_confirmed_at.is_some() {
            // Cut short from here on, it is not known to be disabled.
            record.disable_confirmed_at = None;
            record = self.update_record(&record, |_, _| Ok(())).await?;
        }
        let mut requests =
            settings::lift_web_sign_in_block(record.domain_id, &rows, record.web_sign_in_block.as_ref());
        if found.enabled != Some(true) || expect.enabled != Some(true) {
            requests.push(Request::UpdateDomain(NewDomain { enabled: true, ..keep(&found) }));
        }
        // To take access away is tried in every pass; to give it is a field like any other.
        let corrected = record.definition.enabled;
        let sent = self.send(&instance, record.id, &requests).await;
        self.count_corrections(&mut record, corrected, &sent, |_| true).await?;
        sent?;
        self.seen = Some(PbxDomain { enabled: Some(true), ..found });
        record.definition.enabled = true;
        record.disabled_at = None;
        record.disable_confirmed_at = None;
        record.deletable_from = None;
        record.file_removed_at = None;
        record.web_sign_in_block = None;
        record.web_sign_in_left_open = false;
        let entry = self.audit("tenant.enabled", record.id);
        self.update_record(&record, move |store, _| store.append_audit(&entry)).await?;
        Ok(())
    }

    /// Closes a tenant's previous domain on another instance.
    pub(super) async fn disable_previous(
        &mut self,
        reference: RecordRef,
        placement: &PreviousPlacement,
        expect: &PbxDomain,
    ) -> Result<(), StepError> {
        let record = self.record(reference).await?;
        let pbx = self.pbx(&placement.instance)?;
        let found = self.look_present(pbx, placement.domain_id, expect).await?;
        let seen_open = expect.enabled != Some(false);
        let confirmed = placement.disable_confirmed_at.filter(|_| !seen_open);
        let placement = PreviousPlacement { disable_confirmed_at: confirmed, ..placement.clone() };
        self.close_previous(record.id, &placement, &found).await?;
        let entry = self.audit("tenant.disabled", record.id);
        self.apply.database.write(move |store| store.append_audit(&entry)).await?;
        Ok(())
    }

    pub(super) async fn close_previous(
        &mut self,
        tenant: crate::model::TenantId,
        placement: &PreviousPlacement,
        found: &PbxDomain,
    ) -> Result<(), StepError> {
        let rows = self.pbx(&placement.instance)?.settings(placement.domain_id).await?;
        let mut requests = Vec::new();
        if found.enabled != Some(false) {
            requests.push(Request::UpdateDomain(NewDomain { enabled: false, ..keep(found) }));
        }
        let (block, blocking) =
            settings::block_web_sign_in(placement.domain_id, &rows, placement.web_sign_in_block.as_ref());
        requests.extend(blocking);
        let mut placement = placement.clone();
        let half_deleted = found.enabled == Some(false)
            && !self.started_deletions(&placement.instance, tenant).await?.is_empty();
        if !requests.is_empty() && !half_deleted {
            placement.disable_confirmed_at = None;
        }
        placement.web_sign_in_block = Some(block);
        let written = placement.clone();
        self.apply.database.write(move |store| store.put_previous_placement(&written)).await?;
        self.send(&placement.instance, tenant, &requests).await?;
        let confirmed = self.confirmed_from(&placement.instance);
        let confirmed = placement.disable_confirmed_at.unwrap_or(confirmed);
        placement.disable_confirmed_at = Some(confirmed);
        placement.deletable_from =
            Some(retention_end(placement.left_at, confirmed, self.apply.retention_days));
        self.apply.database.write(move |store| store.put_previous_placement(&placement)).await?;
        Ok(())
    }
}
