//! What a pass notes down besides its steps: how the instances were seen, whose settings were compared, which
//! intents the looking settled.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{DomainState, InstanceKey, InstanceView, Observed, OpenIntent, Recorded, TenantId};
use crate::plan::{Action, Plan};
use crate::store::{Database, StoreError};

/// Closed intents are kept this long for anyone who looks into an incident; the audit log keeps what happened.
const KEEP_CLOSED_INTENTS: TimeDelta = TimeDelta::days(30);

/// Notes one pass. `urls` and `identities` are of the instances in the configuration.
pub async fn note_pass(
    database: &Database,
    recorded: &Recorded,
    observed: &Observed,
    plan: &Plan,
    urls: &BTreeMap<InstanceKey, String>,
    identities: &BTreeMap<InstanceKey, String>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let checked: BTreeSet<TenantId> = recorded
        .tenants
        .values()
        .filter(|record| observed.instance(&record.definition.instance).settings(record.domain_id).is_some())
        .map(|record| record.id)
        .collect();
    // An intent whose instance was just read whole is settled: what it left undone is in the plan again. But a domain
    // that is there does not show that half of it is deleted, so only the intent tells that.
    let settled: Vec<uuid::Uuid> = recorded
        .open_intents
        .iter()
        .filter(|intent| matches!(observed.instance(&intent.instance), InstanceView::Seen { .. }))
        .filter(|intent| !half_deleted(recorded, observed, intent))
        .map(|intent| intent.id)
        .collect();
    type Seen = Result<Option<String>, String>;
    let seen: Vec<(InstanceKey, String, Option<String>, Seen)> = observed
        .instances
        .iter()
        .filter_map(|(key, view)| {
            let seen = match view {
                InstanceView::Seen { .. } => {
                    let version = observed.versions.get(key).and_then(Option::as_ref);
                    Ok(version.map(|version| version.as_str().to_owned()))
                }
                InstanceView::Unknown { reason } => Err(reason.clone()),
            };
            Some((key.clone(), urls.get(key)?.clone(), identities.get(key).cloned(), seen))
        })
        .collect();
    let lasting: Vec<(TenantId, BTreeSet<String>)> = plan
        .settled
        .iter()
        .filter_map(|(key, fields)| Some((recorded.tenants.get(key)?.id, fields.clone())))
        .collect();
    let reopened = plan.reopened.clone();
    database
        .write(move |store| {
            store.note_clock(now)?;
            store.save_retention_resets(&reopened)?;
            store.settings_checked(&checked, now)?;
            for id in settled {
                store.close_intent(id, "settled by looking", now)?;
            }
            for (key, url, identity, seen) in &seen {
                let seen = seen.as_ref().map(Option::as_deref).map_err(String::as_str);
                store.note_instance(key, url, identity.as_deref(), seen, now)?;
            }
            for (id, fields) in lasting {
                if let Some(mut record) = store.tenant(id)? {
                    record.corrections.retain(|field, _| !fields.contains(field));
                    store.remove_lasting_corrections(&record)?;
                }
            }
            store.delete_old_closed_intents(now - KEEP_CLOSED_INTENTS)
        })
        .await
}

/// Whether a deletion has begun, its domain is still there, and it is still to be deleted.
fn half_deleted(recorded: &Recorded, observed: &Observed, intent: &OpenIntent) -> bool {
    let there =
        |domain| matches!(observed.instance(&intent.instance).domain(domain), DomainState::Present(_));
    let placed = recorded.tenants.values().any(|record| {
        record.id == intent.tenant
            && record.definition.instance == intent.instance
            && record.file_removed_at.is_some()
            && there(record.domain_id)
    });
    let left_behind = recorded.previous_placements.iter().any(|previous| {
        previous.tenant == intent.tenant && previous.instance == intent.instance && there(previous.domain_id)
    });
    intent.action == Action::Delete.as_str() && (placed || left_behind)
}
