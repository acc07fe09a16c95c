//! Synchronises the users of tenants from their PBX. Users are added, changed and disabled, never deleted; users that
//! were entered on the platform are not touched.

mod matching;
mod missing;
mod report;
mod state;
mod tenant;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::config::Tier;
use crate::fusionpbx::{PbxError, PbxRead};
use crate::model::{DomainId, InstanceKey, PbxUser, TenantKey, TenantRecord};
use crate::report::chain;
use crate::stats::user_limit;
use crate::store::{Database, StoreError, StoreWriter};

pub use report::{InstanceSync, RefusedUser, TenantSync, text};
pub use state::{SyncState, remember};

/// What to synchronise, and which limits hold.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Only this tenant.
    pub only: Option<TenantKey>,
    /// The tier's limit holds in addition to each tenant's own.
    pub tier: Tier,
    /// Recorded tenants whose domain was just re-created. It has no users yet, which does not mean that they are gone.
    pub recreated: BTreeSet<TenantKey>,
    /// An operator confirmed that the missing users were deleted on purpose, however many they are.
    pub accept_missing: bool,
}

impl Rules {
    pub fn of(tier: &Tier) -> Self {
        Self { only: None, tier: tier.clone(), recreated: BTreeSet::new(), accept_missing: false }
    }

    fn includes(&self, tenant: &TenantKey) -> bool {
        self.only.as_ref().is_none_or(|only| only == tenant)
    }
}

/// Reads an instance's users and synchronises those of its tenants.
///
/// Nothing is changed if the users were not fully read, or if too many are missing at once. A tenant is skipped if its
/// domain is missing: that the PBX shows no users of it proves nothing. *Call it* after a tenant was created, adopted or
/// moved, and at an interval.
///
/// *Errors*: the database. A failure of the PBX is in the report.
pub async fn sync_instance(
    database: &Database,
    instance: &InstanceKey,
    pbx: &dyn PbxRead,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<InstanceSync, StoreError> {
    let started = std::time::Instant::now();
    let observed = match ObservedUsers::read(pbx).await {
        Ok(observed) => observed,
        Err(error) => return Ok(InstanceSync::unchanged(instance, chain(&error))),
    };
    let (instance, rules) = (instance.clone(), rules.clone());
    database
        .write(move |store| {
            let state = SyncState::in_writer(store, &instance)?;
            if state.is_newer_than(now, now + started.elapsed()) {
                let reason = "another process has read them since, so these are out of date";
                return Ok(InstanceSync::unchanged(&instance, reason.to_owned()));
            }
            let report = sync_tenants(store, &instance, &observed, &rules, &state, now)?;
            if report.problem.is_none() {
                state.put_reading(store, &instance, now)?;
            }
            Ok(report)
        })
        .await
}

/// The domains and users of an instance.
struct ObservedUsers {
    domains: BTreeSet<DomainId>,
    users: BTreeMap<DomainId, Vec<PbxUser>>,
}

impl ObservedUsers {
    async fn read(pbx: &dyn PbxRead) -> Result<Self, PbxError> {
        let mut users: BTreeMap<DomainId, Vec<PbxUser>> = BTreeMap::new();
        for user in pbx.users().await? {
            users.entry(user.domain).or_default().push(user);
        }
        // After the users, so that a domain deleted in between is not taken for one without users.
        let domains = pbx.domains().await?.into_iter().map(|domain| domain.id).collect();
        Ok(Self { domains, users })
    }

    fn of(&self, record: &TenantRecord) -> &[PbxUser] {
        self.users.get(&record.domain_id).map(Vec::as_slice).unwrap_or_default()
    }
}

fn sync_tenants(
    store: &mut StoreWriter<'_>,
    instance: &InstanceKey,
    observed: &ObservedUsers,
    rules: &Rules,
    state: &SyncState,
    now: DateTime<Utc>,
) -> Result<InstanceSync, StoreError> {
    let mut report = InstanceSync { instance: instance.to_string(), ..InstanceSync::default() };
    let pauses = store.pauses(now)?;
    let mut tenants = store.all_tenants()?;
    // A domain that is not created yet has no users, which proves nothing.
    tenants.retain(|_, record| record.definition.instance == *instance && record.provisioned);
    tenants.retain(|key, record| {
        let pause = pauses.iter().find(|pause| pause.covers(key, Some(instance)));
        let reason = if let Some(pause) = pause {
            format!("it is paused: {}", pause.reason)
        } else if !observed.domains.contains(&record.domain_id) {
            format!("its domain is not on {instance}")
        } else if rules.recreated.contains(key) {
            format!("its domain was just re-created on {instance} and is still empty")
        } else {
            return true;
        };
        if rules.includes(key) {
            report.skipped.insert(key.to_string(), reason);
        }
        false
    });
    if !rules.accept_missing {
        report.problem = missing::too_many(store, instance, |record| observed.of(record), &tenants, state)?;
        if report.problem.is_some() {
            return Ok(report);
        }
    }
    for (_, record) in tenants.iter().filter(|(key, _)| rules.includes(key)) {
        let limit = user_limit(record.definition.max_users, &rules.tier);
        let synced = tenant::sync(&mut store.scope(record.id), record, observed.of(record), limit, now)?;
        if !synced.is_empty() {
            report.tenants.push(synced);
        }
    }
    Ok(report)
}
