//! What a plan shows that the one before did not, and what it shows no more.
//!
//! What is compared is what an operator reads, reasons and commands included: a plan's id stays the same where only the
//! reason of a hold changed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::preview;
use crate::model::{Completeness, Desired, InstanceKey, TenantKey};
use crate::plan::{Action, Drifted, Held, NotChecked, Plan, ScheduledStep};

/// What was reported, so that it is reported once.
#[derive(Clone, Debug, Default)]
pub struct Reported {
    held: BTreeMap<Place, BTreeSet<(String, Option<String>)>>,
    drifted: BTreeMap<(TenantKey, InstanceKey, String), String>,
    scheduled: BTreeMap<Place, (DateTime<Utc>, String)>,
    not_checked: BTreeMap<InstanceKey, String>,
    warnings: BTreeSet<String>,
    /// Whether any plan was reported.
    any: bool,
    /// All is in order again, and a run that still did something was no time to say so.
    owes_order: bool,
}

/// What is held or scheduled, and where.
type Place = (TenantKey, InstanceKey, Action);

/// What is new, and what is over.
#[derive(Debug, Default)]
pub struct PlanChanges<'a> {
    pub held: Vec<&'a Held>,
    pub released: Vec<Place>,
    pub drifted: Vec<&'a Drifted>,
    /// Tenant, instance and field that are as desired again.
    pub settled: Vec<(TenantKey, InstanceKey, String)>,
    pub scheduled: Vec<&'a ScheduledStep>,
    pub not_checked: Vec<&'a NotChecked>,
    pub checked_again: Vec<InstanceKey>,
    pub warnings: Vec<&'a str>,
    /// Nothing is held, drifted or unknown any more.
    pub all_in_order: bool,
    first: bool,
}

impl PlanChanges<'_> {
    pub fn is_empty(&self) -> bool {
        let Self {
            held,
            released,
            drifted,
            settled,
            scheduled,
            not_checked,
            checked_again,
            warnings,
            all_in_order,
            first,
        } = self;
        !first
            && !all_in_order
            && held.is_empty()
            && drifted.is_empty()
            && scheduled.is_empty()
            && not_checked.is_empty()
            && warnings.is_empty()
            && !self.is_over(released, settled, checked_again)
    }

    /// Whether something that was reported is over.
    pub fn has_ended(&self) -> bool {
        self.all_in_order || self.is_over(&self.released, &self.settled, &self.checked_again)
    }

    fn is_over(
        &self,
        released: &[Place],
        settled: &[(TenantKey, InstanceKey, String)],
        checked_again: &[InstanceKey],
    ) -> bool {
        !released.is_empty() || !settled.is_empty() || !checked_again.is_empty()
    }
}

/// How long until a server is asked again is no changes.
fn without_numbers(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// The warnings that no other part of the plan tells.
fn warnings(plan: &Plan) -> impl Iterator<Item = &str> {
    let of_an_instance = |warning: &str| {
        plan.not_checked.iter().any(|one| {
            warning.starts_with(&format!("nothing is changed on {}", one.instance))
                && warning.ends_with(&one.reason)
        })
    };
    plan.warnings
        .iter()
        .map(String::as_str)
        .filter(move |warning| !warning.starts_with("held: ") && !of_an_instance(warning))
}

impl Reported {
    /// What a plan shows, after what was reported before it.
    pub fn after(self, plan: &Plan) -> Self {
        let now = Self::of(plan);
        let owes_order = self.is_in_order_again(&now) && !plan.steps.is_empty();
        Self { owes_order, ..now }
    }

    /// What was reported of some tenants.
    pub fn of_tenants(&self, tenants: &BTreeSet<TenantKey>) -> Self {
        let (mut held, mut drifted, mut scheduled) =
            (self.held.clone(), self.drifted.clone(), self.scheduled.clone());
        held.retain(|(tenant, ..), _| tenants.contains(tenant));
        drifted.retain(|(tenant, ..), _| tenants.contains(tenant));
        scheduled.retain(|(tenant, ..), _| tenants.contains(tenant));
        let warnings = self.warnings.clone();
        // That all is in order again is reported after a pass over everything.
        Self {
            held,
            drifted,
            scheduled,
            not_checked: BTreeMap::new(),
            warnings,
            any: true,
            owes_order: false,
        }
    }

    /// As [`Self::after`], of a plan for some tenants: what was reported of the others stays.
    pub fn after_part(mut self, plan: &Plan, tenants: &BTreeSet<TenantKey>) -> Self {
        let was_in_order = self.is_in_order();
        self.held.retain(|(tenant, ..), _| !tenants.contains(tenant));
        self.drifted.retain(|(tenant, ..), _| !tenants.contains(tenant));
        self.scheduled.retain(|(tenant, ..), _| !tenants.contains(tenant));
        let now = Self::of(plan);
        self.held.extend(now.held);
        self.drifted.extend(now.drifted);
        self.scheduled.extend(now.scheduled);
        self.not_checked.extend(now.not_checked);
        self.warnings.extend(now.warnings);
        self.owes_order |= !was_in_order && self.is_in_order();
        self
    }

    /// Whether something was out of order, and nothing is any more.
    fn is_in_order_again(&self, now: &Self) -> bool {
        self.any && (self.owes_order || !self.is_in_order()) && now.is_in_order()
    }

    /// What a plan shows.
    pub fn of(plan: &Plan) -> Self {
        let unknown: BTreeSet<&InstanceKey> = plan.not_checked.iter().map(|one| &one.instance).collect();
        let mut reported = Self { any: true, ..Self::default() };
        for held in &plan.held {
            let reason = match unknown.contains(&held.instance) {
                true => without_numbers(&held.why()),
                false => held.why(),
            };
            let place = (held.tenant.clone(), held.instance.clone(), held.action);
            reported.held.entry(place).or_default().insert((reason, held.lifted_by.clone()));
        }
        for Drifted { tenant, instance, change } in &plan.drifted {
            let field = (tenant.clone(), instance.clone(), change.field.to_string());
            reported.drifted.insert(field, preview::change_text(change));
        }
        for ScheduledStep { tenant, instance, action, until, reason } in &plan.scheduled {
            reported
                .scheduled
                .insert((tenant.clone(), instance.clone(), *action), (*until, reason.to_string()));
        }
        for one in &plan.not_checked {
            reported.not_checked.insert(one.instance.clone(), without_numbers(&one.reason));
        }
        reported.warnings = warnings(plan).map(str::to_owned).collect();
        reported
    }

    fn is_in_order(&self) -> bool {
        self.held.is_empty()
            && self.drifted.is_empty()
            && self.not_checked.is_empty()
            && self.warnings.is_empty()
    }

    /// What `plan` shows that was not reported, and what was reported and is over.
    pub fn changes<'a>(&self, plan: &'a Plan) -> PlanChanges<'a> {
        let now = Self::of(plan);
        let unknown: BTreeSet<&InstanceKey> = plan.not_checked.iter().map(|one| &one.instance).collect();
        let is_told = |held: &&Held| {
            let place = (held.tenant.clone(), held.instance.clone(), held.action);
            let reason = match unknown.contains(&held.instance) {
                true => without_numbers(&held.why()),
                false => held.why(),
            };
            self.held.get(&place).is_some_and(|reported| reported.contains(&(reason, held.lifted_by.clone())))
        };
        let drift_is_told = |drifted: &&Drifted| {
            let Drifted { tenant, instance, change } = drifted;
            let field = (tenant.clone(), instance.clone(), change.field.to_string());
            self.drifted.get(&field).is_some_and(|reported| *reported == preview::change_text(change))
        };
        let wait_is_told = |scheduled: &&ScheduledStep| {
            let place = (scheduled.tenant.clone(), scheduled.instance.clone(), scheduled.action);
            self.scheduled
                .get(&place)
                .is_some_and(|reported| *reported == (scheduled.until, scheduled.reason.to_string()))
        };
        let gone = |old: &InstanceKey| !now.not_checked.contains_key(old);
        PlanChanges {
            held: plan.held.iter().filter(|held| !is_told(held)).collect(),
            released: self.held.keys().filter(|place| !now.held.contains_key(*place)).cloned().collect(),
            drifted: plan.drifted.iter().filter(|drifted| !drift_is_told(drifted)).collect(),
            settled: self.drifted.keys().filter(|field| !now.drifted.contains_key(*field)).cloned().collect(),
            scheduled: plan.scheduled.iter().filter(|scheduled| !wait_is_told(scheduled)).collect(),
            not_checked: plan
                .not_checked
                .iter()
                .filter(|one| self.not_checked.get(&one.instance) != Some(&without_numbers(&one.reason)))
                .collect(),
            checked_again: self.not_checked.keys().filter(|old| gone(old)).cloned().collect(),
            warnings: warnings(plan).filter(|warning| !self.warnings.contains(*warning)).collect(),
            all_in_order: self.is_in_order_again(&now) && plan.steps.is_empty(),
            first: !self.any,
        }
    }
}

/// The files whose problems were reported.
#[derive(Clone, Debug, Default)]
pub struct ReportedFiles {
    problems: BTreeSet<String>,
    broken: BTreeMap<String, Option<TenantKey>>,
    unreadable: bool,
}

/// What became of files since.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// Problems that were not reported yet, in the order in which they came.
    pub problems: Vec<usize>,
    /// Broken files that are in order again.
    pub repaired: Vec<(String, Option<TenantKey>)>,
    /// Broken files that are there no more.
    pub gone: Vec<(String, Option<TenantKey>)>,
    pub readable_again: bool,
}

impl ReportedFiles {
    /// Compares with what was reported, and takes it as reported.
    pub fn changes(&mut self, desired: &Desired, problems: &[String]) -> FileChanges {
        let mut changes = FileChanges::default();
        let now: BTreeSet<String> = problems.iter().cloned().collect();
        changes.problems = (0..problems.len()).filter(|at| !self.problems.contains(&problems[*at])).collect();
        if matches!(desired.completeness, Completeness::Unreadable { .. }) {
            // What was broken is still so, for all that is known.
            self.unreadable = true;
            self.problems.extend(now);
            return changes;
        }
        changes.readable_again = std::mem::take(&mut self.unreadable);
        let broken: BTreeMap<String, Option<TenantKey>> =
            desired.broken.iter().map(|file| (file.file.clone(), file.key.clone())).collect();
        for (file, key) in self.broken.iter().filter(|(file, _)| !broken.contains_key(*file)) {
            let is_there = key.as_ref().is_some_and(|key| desired.tenants.contains_key(key));
            let list = if is_there { &mut changes.repaired } else { &mut changes.gone };
            list.push((file.clone(), key.clone()));
        }
        (self.problems, self.broken) = (now, broken);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BrokenFile, TenantId};
    use crate::plan::{Counts, HeldReason, RecordRef, Step, StepReason, Work};

    fn key(name: &str) -> TenantKey {
        TenantKey::parse(name).unwrap()
    }

    fn hq() -> InstanceKey {
        InstanceKey::parse("hq").unwrap()
    }

    fn plan(held: &[(&str, &str)]) -> Plan {
        let held = held.iter().map(|(reason, lifted_by)| Held {
            tenant: key("acme"),
            instance: hq(),
            action: Action::Disable,
            reason: HeldReason::FilesNotFullyRead { problem: (*reason).to_owned() },
            lifted_by: Some((*lifted_by).to_owned()),
            out_of_service: None,
        });
        Plan {
            id: "p-0000000000000000".to_owned(),
            removals_id: None,
            steps: Vec::new(),
            held: held.collect(),
            scheduled: Vec::new(),
            drifted: Vec::new(),
            not_checked: Vec::new(),
            warnings: Vec::new(),
            previews: BTreeMap::new(),
            effects: BTreeMap::new(),
            counts: Counts::default(),
            settled: BTreeMap::new(),
            reopened: crate::model::RetentionResets::default(),
        }
    }

    #[test]
    fn under_the_same_plan_id_another_reason_or_command_is_news() {
        let first = plan(&[("a file is broken", "none")]);
        let reported = Reported::of(&first);
        assert!(reported.changes(&first).is_empty(), "what was reported is not reported again");
        for other in [plan(&[("a limit", "none")]), plan(&[("a file is broken", "tenantd approve r-1")])] {
            assert_eq!(other.id, first.id);
            let changes = reported.changes(&other);
            assert_eq!((changes.held.len(), changes.released.len()), (1, 0), "{changes:#?}");
        }
        let done = plan(&[]);
        let changes = reported.changes(&done);
        assert!(
            changes.held.is_empty() && changes.released.len() == 1 && changes.all_in_order,
            "{changes:#?}"
        );
        assert!(Reported::of(&done).changes(&done).is_empty());
    }

    #[test]
    fn all_is_in_order_again_only_in_a_run_that_does_nothing_more() {
        let held = Reported::default().after(&plan(&[("a limit", "none")]));
        let forget =
            Work::DeleteRecord { record: RecordRef { id: TenantId(uuid::Uuid::nil()), revision: 1 } };
        let step = Step {
            tenant: key("acme"),
            instance: hq(),
            action: Action::DeleteRecord,
            reason: StepReason::FileRemoved,
            changes: Vec::new(),
            work: forget,
        };
        let busy = Plan { steps: vec![step], ..plan(&[]) };
        assert!(!held.changes(&busy).all_in_order);
        let still_busy = held.after(&busy).after(&busy);
        let done = plan(&[]);
        assert!(still_busy.changes(&done).all_in_order);
        assert!(still_busy.after(&done).changes(&done).is_empty(), "reported once");
        // A run that did something where nothing was wrong leaves nothing to tell.
        assert!(!Reported::of(&done).after(&busy).changes(&done).all_in_order);
    }

    #[test]
    fn how_long_until_a_server_is_asked_again_is_no_news_and_that_it_answers_is() {
        let unknown = |reason: &str| {
            let one = NotChecked { instance: hq(), reason: reason.to_owned(), tenants: 1 };
            let text = format!("nothing is changed on hq, and its tenant was not checked: {reason}");
            Plan { not_checked: vec![one], warnings: vec![text], ..plan(&[]) }
        };
        let first = unknown("not asked for 29 s");
        let reported = Reported::of(&first);
        assert!(reported.changes(&unknown("not asked for 24 s")).is_empty());
        assert_eq!(reported.changes(&unknown("connection refused")).not_checked.len(), 1);
        let back = plan(&[]);
        let changes = reported.changes(&back);
        assert!(changes.checked_again == [hq()] && changes.all_in_order, "{changes:#?}");
        let at_first = Reported::default();
        let changes = at_first.changes(&first);
        assert!(changes.warnings.is_empty() && changes.not_checked.len() == 1, "reported once: {changes:#?}");
    }

    #[test]
    fn a_broken_file_and_its_repair_are_each_reported_once() {
        let mut desired = Desired::unreadable("");
        desired.completeness = Completeness::Complete;
        let broken = BrokenFile { file: "acme.yaml".into(), key: Some(key("acme")), problems: Vec::new() };
        let mut reported = ReportedFiles::default();
        desired.broken.push(broken);
        let problems = ["acme.yaml:1: wrong".to_owned()];
        assert_eq!(reported.changes(&desired, &problems).problems, [0]);
        assert_eq!(reported.changes(&desired, &problems), FileChanges::default());
        // A directory that is away for a while repairs nothing.
        let away = Desired::unreadable("is away");
        assert!(reported.changes(&away, &[]).gone.is_empty());
        assert!(reported.changes(&desired, &problems).readable_again);
        desired.broken.clear();
        assert_eq!(reported.changes(&desired, &[]).gone, [("acme.yaml".to_owned(), Some(key("acme")))]);
        assert_eq!(reported.changes(&desired, &[]), FileChanges::default());
    }
}
