//! Between two passes: compares the settings of tenants with the PBX, a few pages a minute.
//!
//! It decides nothing and changes nothing. A difference only *names* a domain: the next pass reads that domain again and
//! plans from what it reads. A comparison that is older than a change is therefore never applied.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tracing::debug;

use crate::environment::Environment;
use crate::fusionpbx::PbxRead;
use crate::inputs::PassInputs;
use crate::model::{DomainId, DomainState, InstanceKey, TenantId, TenantKey};
use crate::plan::Plan;
use crate::report::chain;
use crate::store::Database;

/// The longest pause between two comparisons while some are due.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long differences are collected before a pass: what one operator changed in many tenants is one pass.
const COLLECT: Duration = Duration::from_secs(3);

/// Comparisons are saved in groups, so that they cost few transactions.
const SAVE_AFTER: usize = 200;

/// The comparisons between two passes, made from what the pass before read.
#[derive(Debug, Default)]
pub(super) struct Comparisons {
    inputs: Option<Arc<PassInputs>>,
    /// Tenants to compare, the longest not compared first, with the time from which each is due.
    queue: VecDeque<(DateTime<Utc>, TenantKey)>,
    pause: Duration,
    /// Compared and not saved yet.
    compared: BTreeSet<TenantId>,
    /// Domains whose settings differ.
    differ: BTreeSet<DomainId>,
    /// When the first of them was found.
    found_at: Option<Instant>,
    /// Instances that did not answer. The next pass reports them.
    away: BTreeSet<InstanceKey>,
}

impl Comparisons {
    /// Continues from a pass. Tenants that the pass has steps for were read by it.
    pub fn after(&mut self, inputs: Arc<PassInputs>, plan: &Plan, cycle: Duration) {
        let cycle_long = TimeDelta::from_std(cycle).unwrap_or(TimeDelta::MAX);
        let in_hand: BTreeSet<&TenantKey> = plan.steps.iter().map(|step| &step.tenant).collect();
        let mut queue: Vec<(DateTime<Utc>, TenantKey)> = inputs
            .recorded
            .tenants
            .values()
            .filter(|record| !in_hand.contains(&record.key) && !self.compared.contains(&record.id))
            .filter(|record| {
                let view = inputs.observed.instance(&record.definition.instance);
                view.settings(record.domain_id).is_none()
                    && matches!(view.domain(record.domain_id), DomainState::Present(_))
            })
            .map(|record| {
                let due = record.settings_checked_at.map_or(record.created_at, |at| at + cycle_long);
                (due, record.key.clone())
            })
            .collect();
        queue.sort();
        // A quarter faster than needed, so that a cycle is kept although passes interrupt it.
        let tenants = u32::try_from(inputs.recorded.tenants.len().max(1)).unwrap_or(u32::MAX);
        self.pause = (cycle / tenants).mul_f64(0.8).min(LONGEST_PAUSE);
        self.queue = queue.into();
        self.away.clear();
        self.differ.clear();
        self.found_at = None;
        self.inputs = Some(inputs);
    }

    pub fn has_differences(&self) -> bool {
        !self.differ.is_empty()
    }

    /// Leaves out tenants that a pass looked at meanwhile, until the next one over everything.
    pub fn leave_out(&mut self, tenants: &BTreeSet<TenantKey>) {
        self.queue.retain(|(_, key)| !tenants.contains(key));
    }

    /// The domains whose settings differ, for the next pass.
    pub fn differences(&self) -> BTreeSet<DomainId> {
        self.differ.clone()
    }

    /// Compares until a difference is found. May be dropped at any point: nothing that was found is lost.
    pub async fn find_difference(
        &mut self,
        pbxs: &BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
        database: &Database,
        environment: &dyn Environment,
    ) {
        loop {
            if self.found_at.is_some_and(|at| at.elapsed() >= COLLECT) {
                return;
            }
            if self.compared.len() >= SAVE_AFTER {
                self.save(database, environment).await;
            }
            let wait = match self.queue.front() {
                Some((due, _)) => (*due - environment.now()).to_std().unwrap_or_default().max(self.pause),
                None if self.found_at.is_some() => COLLECT,
                None => return std::future::pending().await,
            };
            let wait = match self.found_at {
                Some(at) => wait.min(COLLECT.saturating_sub(at.elapsed())),
                None => wait,
            };
            tokio::time::sleep(wait).await;
            let is_due = self.queue.front().is_some_and(|(due, _)| *due <= environment.now());
            if !is_due {
                continue;
            }
            self.compare_next(pbxs).await;
        }
    }

    /// Compares the first of the queue, which leaves the queue afterwards.
    async fn compare_next(&mut self, pbxs: &BTreeMap<InstanceKey, Arc<dyn PbxRead>>) {
        let Some(inputs) = &self.inputs else { return };
        let Some((_, key)) = self.queue.front() else { return };
        if let Some(record) = inputs.recorded.tenants.get(key) {
            let (id, domain) = (record.id, record.domain_id);
            let instance = record.definition.instance.clone();
            let pbx = pbxs.get(&instance).filter(|_| !self.away.contains(&instance));
            match pbx {
                None => {}
                Some(pbx) => match pbx.settings(domain).await {
                    Ok(settings) => {
                        if inputs.settings_differ(key, settings) {
                            self.differ.insert(domain);
                            self.found_at.get_or_insert_with(Instant::now);
                        } else {
                            self.compared.insert(id);
                        }
                    }
                    Err(error) => {
                        let error = chain(&error);
                        debug!(%instance, error, "settings are not compared until the next run");
                        self.away.insert(instance);
                    }
                },
            }
        }
        self.queue.pop_front();
    }

    /// Saves which tenants were compared. What is not saved is compared again.
    pub async fn save(&mut self, database: &Database, environment: &dyn Environment) {
        if self.compared.is_empty() {
            return;
        }
        let (ids, now) = (self.compared.clone(), environment.now());
        match database.write(move |store| store.settings_checked(&ids, now)).await {
            Ok(()) => self.compared.clear(),
            Err(error) => debug!(error = chain(&error), "the comparisons of settings were not saved"),
        }
    }
}
