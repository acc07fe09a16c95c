//! After the faults: a bounded number of passes, and all sides agree.

use chrono::TimeDelta;
use tenantd::config::DeletionMode;
use tenantd::model::{
    DriftPolicy, MaxUsers, PbxSetting, Recorded, SettingName, Tenant, TenantKey, TenantRecord,
};
use tenantd::plan::{CONTESTED_AFTER, Held, HeldReason, Plan};

use crate::model_pbx::Domain;
use crate::operator;
use crate::pass_checks::has_file;
use crate::simulation::{Daemons, Simulation};

/// Passes after which everything must have converged.
const ENOUGH: usize = 12;

impl Simulation {
    /// Stops the faults and checks that file, record and PBX agree: now, and when every retention has ended.
    pub fn converge(&mut self) {
        self.stop_faults();
        self.settle("right after the faults");
        for _ in 0..ENOUGH {
            let Some(plan) = self.preview() else { break };
            let until = plan.scheduled.iter().map(|scheduled| scheduled.until).max();
            // A scheduled step may have become due since the last pass.
            let rests = plan.steps.is_empty() && plan.held.iter().all(|held| self.is_legitimate(held, &plan));
            if until.is_none() && rests {
                break;
            }
            if let Some(until) = until {
                let mut state = self.shared.lock();
                // Not so late that the clock seems to have jumped again.
                state.now = state.now.max(until) + TimeDelta::hours(1);
            }
            self.settle("when every retention was over");
        }
        if self.config.deletion.mode != DeletionMode::Never {
            self.nothing_is_left();
        }
    }

    fn settle(&mut self, when: &str) {
        for _ in 0..ENOUGH {
            if self.is_over() {
                return;
            }
            let pass = self.pass(self.task(), Daemons::One, None);
            let Some(plan) = pass.plans.into_iter().next() else { continue };
            // A deletion that became due during the pass is in the next plan.
            let now = self.shared.lock().now;
            let still = plan.scheduled.iter().all(|scheduled| scheduled.until > now);
            let rests = plan.steps.is_empty() && plan.held.iter().all(|held| self.is_legitimate(held, &plan));
            if rests && still {
                return self.agree(when, &plan);
            }
            self.approve(&plan);
            self.shared.lock().now += TimeDelta::minutes(5);
        }
        let plan = self.preview();
        self.shared.lock().violate(|| {
            format!("{when}: no rest after {ENOUGH} passes; still planned: {}", describe(plan.as_ref()))
        });
    }

    /// Whether only an operator can end a hold, and its reason is really there.
    fn is_legitimate(&self, held: &Held, plan: &Plan) -> bool {
        // An operator adopts the domain or does not; that it exists is checked below.
        if held.lifted_by.as_ref().is_some_and(|lifted_by| !lifted_by.starts_with("tenantd adopt ")) {
            return false;
        }
        if matches!(held.reason, HeldReason::CreateElsewhereHeld | HeldReason::CreateElsewhereUnfinished) {
            return plan.held.iter().any(|other| {
                other != held && other.tenant == held.tenant && self.is_legitimate(other, plan)
            });
        }
        let recorded = self.recorded();
        let state = self.shared.lock();
        let wanted = self.directory.files.get(&held.tenant);
        let record = recorded.tenants.get(&held.tenant);
        let reason = match &held.reason {
            HeldReason::DomainMissingAndTaken { taken, .. } => &**taken,
            reason => reason,
        };
        let others_there = wanted.is_some_and(|wanted| {
            state.servers[&wanted.definition.instance].domains.iter().any(|(id, domain)| {
                domain.name == wanted.definition.domain.as_str()
                    && record.is_none_or(|record| {
                        record.domain_id != *id || record.definition.instance != wanted.definition.instance
                    })
            })
        });
        if matches!(reason, HeldReason::DomainExists { .. } | HeldReason::SeveralDomains { .. }) {
            return others_there;
        }
        if matches!(
            reason,
            HeldReason::DomainOfAnotherTenant { .. }
                | HeldReason::DomainRecordedFor { .. }
                | HeldReason::SmsNumberTaken { .. }
                | HeldReason::SmsNumberNotReleased { .. }
        ) {
            return others_there
                || wanted.is_some_and(|wanted| {
                    recorded.tenants.values().any(|other| {
                        other.definition.domain == wanted.definition.domain && other.key != held.tenant
                    }) || recorded
                        .previous_placements
                        .iter()
                        .any(|other| other.domain == wanted.definition.domain)
                });
        }
        if matches!(reason, HeldReason::RenamedOnPbx { .. }) {
            return record.is_some_and(|record| {
                let ours =
                    recorded.previous_placements.iter().filter(|previous| previous.tenant == record.id);
                ours.map(|previous| (&previous.instance, previous.domain_id, &previous.domain))
                    .chain([(&record.definition.instance, record.domain_id, &record.definition.domain)])
                    .any(|(on, id, name)| {
                        state.servers[on].domains.get(&id).is_some_and(|domain| domain.name != name.as_str())
                    })
            });
        }
        if matches!(reason, HeldReason::NameShared { .. }) {
            let named = |name: &str| {
                state.servers[&held.instance].domains.values().filter(|domain| domain.name == name).count()
            };
            return state.servers[&held.instance].domains.values().any(|domain| named(&domain.name) > 1);
        }
        if matches!(reason, HeldReason::Protected | HeldReason::PreviousProtected) {
            // The record of a lost domain that is not created again stays under its old key.
            let left =
                recorded.previous_placements.iter().filter(|previous| previous.instance == held.instance);
            let left = left.filter_map(|previous| recorded.tenants.get(&previous.key));
            return record.into_iter().chain(left).any(|record| record.definition.protected);
        }
        if matches!(reason, HeldReason::ContestedField { .. }) {
            return record
                .is_some_and(|record| record.corrections.values().any(|times| *times >= CONTESTED_AFTER));
        }
        if matches!(reason, HeldReason::DomainsMissing { .. }) {
            return true;
        }
        if matches!(reason, HeldReason::PreviousPlacementFirst { .. }) {
            return plan.scheduled.iter().any(|scheduled| scheduled.tenant == held.tenant)
                || plan.held.iter().any(|other| other != held && other.tenant == held.tenant);
        }
        false
    }

    /// File, record and PBX are the same for every tenant without a held step.
    fn agree(&mut self, when: &str, plan: &Plan) {
        let recorded = self.recorded();
        // A started deletion stays open until its record is deleted, which may need an operator.
        let open = recorded.open_intents.iter().filter(|intent| intent.action != "delete").count();
        if open > 0 {
            self.shared.lock().violate(|| format!("{when}: {open} intents are still open"));
        }
        let again = self.preview();
        if again.as_ref().is_none_or(|again| again.id != plan.id) {
            self.shared
                .lock()
                .violate(|| format!("{when}: a second plan is another one: {}", describe(again.as_ref())));
        }
        let held = |key: &TenantKey| plan.held.iter().any(|held| held.tenant == *key);
        for (key, wanted) in self.directory.files.iter().filter(|(key, _)| !held(key)) {
            let disagreement = match recorded.tenants.get(key) {
                // Its domain may have been lost under another key, and is not created again.
                None if wanted.definition.drift == DriftPolicy::Report => None,
                None => Some("it is not recorded".to_owned()),
                Some(record) => self.disagreement(wanted, record),
            };
            if let Some(what) = disagreement {
                self.shared.lock().violate(|| format!("{when}: {key}: {what}"));
            }
        }
        let desired = self.directory.desired();
        for record in recorded.tenants.values().filter(|record| !has_file(&desired, &recorded, record)) {
            if (record.definition.enabled || record.disable_confirmed_at.is_none()) && !held(&record.key) {
                let key = record.key.clone();
                self.shared.lock().violate(|| format!("{when}: {key} has no file and is not disabled"));
            }
        }
    }

    fn disagreement(&self, wanted: &Tenant, record: &TenantRecord) -> Option<String> {
        let desired = &wanted.definition;
        let state = self.shared.lock();
        if desired.drift == DriftPolicy::Report
            && !state.servers[&record.definition.instance].domains.contains_key(&record.domain_id)
        {
            return None;
        }
        let recorded_so = record.definition == *desired
            && record.provisioned
            && record.file_removed_at.is_none()
            && record.disable_confirmed_at.is_some() != desired.enabled;
        if !recorded_so {
            return Some(format!("recorded otherwise: {record:?}"));
        }
        if desired.drift == DriftPolicy::Report {
            return None;
        }
        let Some(found) = state.servers[&desired.instance].domains.get(&record.domain_id) else {
            return Some("its domain is not there".into());
        };
        if found.name != desired.domain.as_str()
            || found.enabled != Some(desired.enabled)
            || found.description != desired.name
        {
            return Some(format!("its domain is {found:?}"));
        }
        if found.takes_phones() != desired.enabled || (!desired.enabled && found.takes_sign_ins()) {
            return Some("its users are not as free as the file says".into());
        }
        let limit = match desired.max_users {
            MaxUsers::Limited(n) => Some(n.to_string()),
            MaxUsers::Unlimited => None,
        };
        let limit = [(SettingName::user_limit(), limit)].into_iter();
        for (name, value) in
            desired.pbx_settings.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).chain(limit)
        {
            if !says(found, &name, value.as_deref()) {
                return Some(format!("{name} is not {value:?}"));
            }
        }
        check_operator_rows(found, desired.enabled)
    }

    /// After enough time and with the approvals that are asked for, no record without a file is left, except
    /// protected tenants.
    fn nothing_is_left(&mut self) {
        let plan = self.preview();
        let recorded: Recorded = self.recorded();
        let desired = self.directory.desired();
        for record in recorded.tenants.values().filter(|record| !has_file(&desired, &recorded, record)) {
            // A step that is held for an operator may stay held.
            let held = plan.as_ref().is_some_and(|plan| {
                plan.held.iter().any(|held| held.tenant == record.key && self.is_legitimate(held, plan))
            });
            if !record.definition.protected && !held {
                let key = record.key.clone();
                self.shared.lock().violate(|| format!("{key} has no file, and is never deleted"));
            }
        }
    }
}

/// Whether the enabled rows of a setting have the desired value; an array may have other entries too.
fn says(domain: &Domain, name: &SettingName, wanted: Option<&str>) -> bool {
    let values: Vec<&str> = domain.enabled_rows(name).map(|row| row.value.as_str()).collect();
    match wanted {
        None => values.is_empty(),
        Some(wanted) if name.kind == "array" => values.contains(&wanted),
        Some(wanted) => !values.is_empty() && values.iter().all(|value| *value == wanted),
    }
}

/// Rows that no file owns are as an operator left them; while the tenant is disabled, its `cidr` rows are switched off
/// and otherwise the same.
fn check_operator_rows(domain: &Domain, enabled: bool) -> Option<String> {
    for row in domain.memory.operator_rows.values() {
        let cidr = row.name == SettingName::cidr();
        if !cidr && row.name != operator::note() {
            continue;
        }
        let Some(found) = domain.rows.get(&row.id) else {
            return Some(format!("the row {} of the operator is missing", row.name));
        };
        let expected = PbxSetting { enabled: row.enabled && (enabled || !cidr), ..row.clone() };
        if *found != expected {
            return Some(format!("the row of the operator is {found:?}, and was {row:?}"));
        }
    }
    None
}

fn describe(plan: Option<&Plan>) -> String {
    let Some(plan) = plan else { return "no plan".into() };
    let steps = plan.steps.iter().map(|step| format!("{} {} ({})", step.action, step.tenant, step.reason));
    let held =
        plan.held.iter().map(|held| format!("held: {} {} ({})", held.action, held.tenant, held.reason));
    steps.chain(held).collect::<Vec<_>>().join("; ")
}
