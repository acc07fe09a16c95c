//! What tenantd remembers about the users of each instance. A restart then does not read all of them at once, and does not
//! report the same problem again.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::report::{InstanceSync, TenantSync};
use crate::model::InstanceKey;
use crate::store::{Database, Store, StoreError, StoreWriter};

/// What the database remembers about the users of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// When all of them were last read and synchronised.
    pub read_at: Option<DateTime<Utc>>,
    /// When the newest synchronised reading began, of one tenant or of all.
    #[serde(default)]
    reading: Option<DateTime<Utc>>,
    /// Why they could not be synchronised since.
    pub problem: Option<String>,
    /// The users without access as they were last reported, by tenant.
    #[serde(rename = "kept_out")]
    without_access: BTreeMap<String, Vec<String>>,
}

fn fact_name(instance: &InstanceKey) -> String {
    format!("users.read.{instance}")
}

impl SyncState {
    /// The state of an instance.
    pub fn of(store: &mut Store<'_>, instance: &InstanceKey) -> Result<Self, StoreError> {
        Ok(parse(store.fact(&fact_name(instance))?))
    }

    pub(super) fn in_writer(store: &mut StoreWriter<'_>, instance: &InstanceKey) -> Result<Self, StoreError> {
        Ok(parse(store.fact(&fact_name(instance))?))
    }

    /// Whether another process has synchronised a newer reading meanwhile. A reading from the future does not count: the
    /// clock was set back since.
    pub(super) fn is_newer_than(&self, began: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.reading.is_some_and(|reading| reading > began && reading <= now)
    }

    pub(super) fn put_reading(
        self,
        store: &mut StoreWriter<'_>,
        instance: &InstanceKey,
        began: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let state = Self { reading: Some(began), ..self };
        store.put_fact(&fact_name(instance), &serde_json::to_string(&state).unwrap_or_default(), began)
    }

    /// Whether the users are to be read again. After a problem the next pass reads them, whatever the interval.
    pub fn is_due(&self, interval: Option<Duration>, now: DateTime<Utc>) -> bool {
        if self.problem.is_some() {
            return true;
        }
        let Some(interval) = interval else { return false };
        let Some(read_at) = self.read_at else { return true };
        let interval = TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX);
        // If the clock was set back, the users must still be read.
        read_at > now || now - read_at >= interval
    }

    /// Whether the report has news for operators: another problem, or other users without access.
    pub fn is_news(&self, report: &InstanceSync) -> bool {
        self.problem != report.problem
            || (report.problem.is_none() && self.without_access != without_access(report))
    }

    fn after(self, report: &InstanceSync, now: DateTime<Utc>) -> Self {
        match &report.problem {
            Some(problem) => Self { problem: Some(problem.clone()), ..self },
            None => {
                Self { read_at: Some(now), problem: None, without_access: without_access(report), ..self }
            }
        }
    }
}

fn without_access(report: &InstanceSync) -> BTreeMap<String, Vec<String>> {
    let names = |tenant: &TenantSync| {
        let refused = tenant.refused.iter().map(|user| user.username.clone());
        tenant.over_limit.iter().cloned().chain(refused).collect::<Vec<_>>()
    };
    report
        .tenants
        .iter()
        .map(|tenant| (tenant.tenant.clone(), names(tenant)))
        .filter(|(_, names)| !names.is_empty())
        .collect()
}

fn parse(text: Option<String>) -> SyncState {
    // The state of another version is ignored: the users are read and reported once more.
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Remembers the synchronisation of a whole instance. Returns the state before it.
pub async fn remember(
    database: &Database,
    instance: &InstanceKey,
    report: &InstanceSync,
    now: DateTime<Utc>,
) -> Result<SyncState, StoreError> {
    let (name, report) = (fact_name(instance), report.clone());
    database
        .write(move |store| {
            let before = parse(store.fact(&name)?);
            let after = before.clone().after(&report, now);
            store.put_fact(&name, &serde_json::to_string(&after).unwrap_or_default(), now)?;
            Ok(before)
        })
        .await
}
