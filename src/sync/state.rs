//! What is remembered of each instance's readings, so that a restart does not read all of them at once, and what was
//! told is not told again.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::InstanceSync;
use crate::model::InstanceKey;
use crate::store::{Database, Store, StoreError, StoreWriter};

/// What the database remembers of the users of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// When they were last read whole and brought in.
    pub read_at: Option<DateTime<Utc>>,
    /// When the newest reading began that was brought in, of one tenant or of all.
    #[serde(default)]
    reading: Option<DateTime<Utc>>,
    /// Why they could not be since.
    pub problem: Option<String>,
    /// What was reported of users who are refused, as a whole.
    kept_out: BTreeMap<String, Vec<String>>,
}

fn fact(instance: &InstanceKey) -> String {
    format!("users.read.{instance}")
}

impl SyncState {
    /// What is remembered of an instance.
    pub fn of(store: &mut Store<'_>, instance: &InstanceKey) -> Result<Self, StoreError> {
        Ok(parse(store.fact(&fact(instance))?))
    }

    pub(super) fn in_writer(store: &mut StoreWriter<'_>, instance: &InstanceKey) -> Result<Self, StoreError> {
        Ok(parse(store.fact(&fact(instance))?))
    }

    /// Whether another process has brought in a younger reading meanwhile. One of the future is of a clock that was
    /// set back since.
    pub(super) fn is_newer_than(&self, began: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.reading.is_some_and(|reading| reading > began && reading <= now)
    }

    pub(super) fn put_reading(
        self,
        store: &mut StoreWriter<'_>,
        instance: &InstanceKey,
        began: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let note = Self { reading: Some(began), ..self };
        store.put_fact(&fact(instance), &serde_json::to_string(&note).unwrap_or_default(), began)
    }

    /// Whether it is time to read again. What failed is tried again at the next pass, interval or not.
    pub fn is_due(&self, interval: Option<Duration>, now: DateTime<Utc>) -> bool {
        if self.problem.is_some() {
            return true;
        }
        let Some(interval) = interval else { return false };
        let Some(read_at) = self.read_at else { return true };
        let interval = TimeDelta::from_std(interval).unwrap_or(TimeDelta::MAX);
        // A clock that was set back must not put it off for ever.
        read_at > now || now - read_at >= interval
    }

    /// Whether someone has to be told: a new problem, or others who are refused.
    pub fn is_news(&self, report: &InstanceSync) -> bool {
        self.problem != report.unknown || (report.unknown.is_none() && self.kept_out != kept_out(report))
    }

    fn after(self, report: &InstanceSync, now: DateTime<Utc>) -> Self {
        match &report.unknown {
            Some(problem) => Self { problem: Some(problem.clone()), ..self },
            None => Self { read_at: Some(now), problem: None, kept_out: kept_out(report), ..self },
        }
    }
}

fn kept_out(report: &InstanceSync) -> BTreeMap<String, Vec<String>> {
    let names = |tenant: &super::TenantSync| {
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
    // What another version wrote is no reason to stop: it is read again, and once more told.
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Remembers a reading of a whole instance; gives what was remembered before.
pub async fn note(
    database: &Database,
    instance: &InstanceKey,
    report: &InstanceSync,
    now: DateTime<Utc>,
) -> Result<SyncState, StoreError> {
    let (name, report) = (fact(instance), report.clone());
    database
        .write(move |store| {
            let before = parse(store.fact(&name)?);
            let after = before.clone().after(&report, now);
            store.put_fact(&name, &serde_json::to_string(&after).unwrap_or_default(), now)?;
            Ok(before)
        })
        .await
}
