//! To another PBX instance: made there, closed here, and what stays behind is remembered.

use super::StepError;
use super::create::take_definition;
use super::run::Run;
use crate::model::{DomainId, PbxDomain, PreviousPlacement, Tenant, WebSignInBlock};
use crate::plan::RecordRef;

impl Run<'_> {
    pub(super) async fn move_to(
        &mut self,
        reference: RecordRef,
        tenant: &Tenant,
        returns_to: Option<DomainId>,
    ) -> Result<(), StepError> {
        let mut record = self.record(reference).await?;
        self.is_free_elsewhere(&tenant.definition.instance, tenant.definition.domain.as_str(), returns_to)
            .await?;
        let now = self.now();
        let removal = self.interruption(&record, now);
        let left = PreviousPlacement {
            tenant: record.id,
            key: record.key.clone(),
            instance: record.definition.instance.clone(),
            domain_id: record.domain_id,
            domain: record.definition.domain.clone(),
            web_sign_in_block: record.web_sign_in_block.clone(),
            left_at: now,
            disable_confirmed_at: None,
            deletable_from: None,
        };
        take_definition(&mut record, tenant);
        record.definition.instance = tenant.definition.instance.clone();
        record.domain_id = returns_to.unwrap_or_else(|| DomainId(self.apply.environment.new_id()));
        record.provisioned = false;
        record.definition.enabled = tenant.definition.enabled;
        record.disabled_at = (!tenant.definition.enabled).then(|| record.disabled_at.unwrap_or(now));
        record.disable_confirmed_at = None;
        record.deletable_from = None;
        record.file_removed_at = None;
        record.web_sign_in_left_open = false;
        record.web_sign_in_block =
            self.block_on_pbx(&record.definition.instance, returns_to).await?.or_else(|| {
                (!tenant.definition.enabled).then(|| WebSignInBlock {
                    entry: crate::model::SettingId::for_web_sign_in_block(record.domain_id),
                    switched_off: [].into(),
                })
            });
        let (behind, back) = (left.clone(), record.definition.instance.clone());
        let record = self
            .update_record(&record, move |store, _| {
                store.put_previous_placement(&behind)?;
                removal.map_or(Ok(()), |removal| store.add_removal(&removal))?;
                returns_to.map_or(Ok(()), |id| store.remove_previous_placement(&back, id))
            })
            .await?;
        match returns_to {
            None => self.make_domain(&record, tenant, "tenant.moved").await?,
            Some(_) => {
                let instance = record.definition.instance.clone();
                let record = self.converge_domain(&record, tenant, &instance).await?;
                self.finish(record, tenant, "tenant.moved").await?;
            }
        }
        let old = self.pbx(&left.instance)?;
        if let Some(found) = old.domain(left.domain_id).await?.map(PbxDomain::in_lower_case) {
            self.close_previous(reference.id, &left, &found).await?;
        }
        Ok(())
    }

    /// What is switched off on the domain that the tenant comes back to.
    async fn block_on_pbx(
        &self,
        instance: &crate::model::InstanceKey,
        returns_to: Option<DomainId>,
    ) -> Result<Option<WebSignInBlock>, StepError> {
        let Some(id) = returns_to else { return Ok(None) };
        let now = self.now();
        let recorded = self.apply.database.read(move |store| store.recorded(now)).await?;
        Ok(recorded
            .previous_placements
            .into_iter()
            .find(|previous| previous.instance == *instance && previous.domain_id == id)
            .and_then(|previous| previous.web_sign_in_block))
    }
}
