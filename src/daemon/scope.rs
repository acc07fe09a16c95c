//! What a pass that a changed file brought looks at: the tenants whose files changed, on their instances.
//!
//! *Guarantee*: such a pass plans for its tenants what a pass over everything would plan for them. Where that is not
//! certain, [`narrow`] gives no scope.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::apply::{Outcome, StepResult};
use crate::inputs::PassInputs;
use crate::model::{Completeness, Desired, InstanceKey, Tenant, TenantKey};
use crate::plan::{Action, HeldReason, Plan};

/// The tenants and instances of a narrow pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub tenants: BTreeSet<TenantKey>,
    pub instances: BTreeSet<InstanceKey>,
}

/// What the last passes left: what a narrow pass may build on.
#[derive(Debug)]
pub struct Before {
    /// What the last pass over everything read.
    inputs: Arc<PassInputs>,
    /// The files as a narrow pass after it read them.
    newer: Option<Desired>,
    /// Tenants with something held, scheduled or failed, or with a step that a narrow pass would not make.
    unsettled: BTreeSet<TenantKey>,
    /// Whether a limit holds something: then each change counts against what is held.
    is_limited: bool,
}

impl Before {
    pub fn full_pass(inputs: Arc<PassInputs>, plan: &Plan, outcome: &Outcome) -> Self {
        let mut before = Self { inputs, newer: None, unsettled: BTreeSet::new(), is_limited: false };
        before.note(plan, outcome);
        before
    }

    pub fn narrow_pass(&mut self, desired: Desired, plan: &Plan, outcome: &Outcome) {
        self.newer = Some(desired);
        self.note(plan, outcome);
    }

    fn note(&mut self, plan: &Plan, outcome: &Outcome) {
        let held = plan.held.iter().map(|held| &held.tenant);
        let scheduled = plan.scheduled.iter().map(|scheduled| &scheduled.tenant);
        let is_simple = |action| matches!(action, Action::Create | Action::Update | Action::Enable);
        let others = plan.steps.iter().filter(|step| !is_simple(step.action)).map(|step| &step.tenant);
        let is_done = |result: &StepResult| matches!(result, StepResult::Done);
        let failed = outcome.steps.iter().filter(|step| !is_done(&step.result)).map(|step| &step.tenant);
        self.unsettled.extend(held.chain(scheduled).chain(others).chain(failed).cloned());
        self.is_limited |= plan.held.iter().any(|held| matches!(held.reason, HeldReason::Limit(_)));
    }

    fn desired(&self) -> &Desired {
        self.newer.as_ref().unwrap_or(&self.inputs.desired)
    }
}

/// The scope of a pass after a change from `before` to `desired`. `None` where the pass has to look at everything: after
/// a removal, a rename, a move or a disable, which count together, and where a file is broken or something is held by a
/// limit.
pub fn narrow(before: &Before, desired: &Desired) -> Option<Scope> {
    let is_complete = |side: &Desired| side.completeness == Completeness::Complete;
    let is_as_before = is_complete(before.desired())
        && is_complete(desired)
        && before.desired().unusual == desired.unusual
        && before.desired().tenants.keys().all(|key| desired.tenants.contains_key(key));
    if !is_as_before || before.is_limited {
        return None;
    }
    let changed: Vec<&Tenant> = desired
        .tenants
        .values()
        .filter(|tenant| before.desired().tenants.get(&tenant.key) != Some(tenant))
        .collect();
    if changed.is_empty() || !changed.iter().all(|tenant| is_by_itself(before, tenant)) {
        return None;
    }
    Some(Scope {
        tenants: changed.iter().map(|tenant| tenant.key.clone()).collect(),
        instances: changed.iter().map(|tenant| tenant.definition.instance.clone()).collect(),
    })
}

/// Whether a change of this tenant concerns no other one, no limit and no other instance.
fn is_by_itself(before: &Before, tenant: &Tenant) -> bool {
    let Before { inputs, newer: _, unsettled, is_limited: _ } = before;
    let (desired, recorded) = (before.desired(), &inputs.recorded);
    let stays = |domain, instance, enabled: bool| {
        tenant.definition.domain == domain
            && tenant.definition.instance == instance
            && (tenant.definition.enabled || !enabled)
    };
    let file_stays = desired.tenants.get(&tenant.key).is_none_or(|file| {
        let file = &file.definition;
        stays(file.domain.clone(), file.instance.clone(), file.enabled)
    });
    let record_stays = recorded.tenants.get(&tenant.key).is_none_or(|record| {
        let placed_before = recorded.previous_placements.iter().any(|previous| previous.tenant == record.id);
        let file = &record.definition;
        !placed_before && stays(file.domain.clone(), file.instance.clone(), file.enabled)
    });
    let is_new_name = || {
        let domain = &tenant.definition.domain;
        recorded
            .tenants
            .values()
            .all(|record| record.key == tenant.key || record.definition.domain != *domain)
            && recorded.previous_placements.iter().all(|previous| previous.domain != *domain)
    };
    tenant.previously.is_none()
        && !tenant.adopt
        && !unsettled.contains(&tenant.key)
        && file_stays
        && record_stays
        && is_new_name()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::config::{Deletion, Limits};
    use crate::model::testing::{record_of, wanted};
    use crate::model::{Observed, Recorded};
    use crate::plan::Policy;

    fn policy() -> Policy {
        Policy {
            deletion: Deletion::default(),
            limits: Limits::default(),
            max_tenants: None,
            allow_delete: [].into(),
            no_removals: false,
            only: [].into(),
            own_domains: [].into(),
            web_session_lifetimes: [].into(),
        }
    }

    fn before(keys: &[&str]) -> Before {
        let mut desired = Desired::unreadable("");
        desired.completeness = Completeness::Complete;
        let mut recorded = Recorded::default();
        for key in keys {
            let tenant = wanted(key);
            recorded.tenants.insert(tenant.key.clone(), record_of(&tenant));
            desired.tenants.insert(tenant.key.clone(), tenant);
        }
        let inputs = PassInputs {
            desired,
            recorded,
            observed: Observed::default(),
            policy: policy(),
            now: DateTime::<Utc>::MIN_UTC,
            identities: [].into(),
        };
        Before { inputs: Arc::new(inputs), newer: None, unsettled: BTreeSet::new(), is_limited: false }
    }

    fn edited(before: &Before, key: &str, edit: impl FnOnce(&mut Tenant)) -> Desired {
        let mut desired = before.desired().clone();
        edit(desired.tenants.get_mut(&TenantKey::parse(key).unwrap()).unwrap());
        desired
    }

    fn tenants(scope: Option<Scope>) -> Option<Vec<String>> {
        scope.map(|scope| scope.tenants.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_edited_or_new_file_is_looked_at_alone() {
        let before = before(&["acme", "globex"]);
        let mut desired = edited(&before, "acme", |tenant| tenant.definition.session_timeout = 30);
        assert_eq!(tenants(narrow(&before, &desired)), Some(vec!["acme".to_owned()]));
        let new = wanted("new");
        desired.tenants.insert(new.key.clone(), new);
        assert_eq!(tenants(narrow(&before, &desired)), Some(vec!["acme".to_owned(), "new".to_owned()]));
    }

    #[test]
    fn what_counts_against_a_limit_or_concerns_others_is_a_full_pass() {
        let before = before(&["acme", "globex"]);
        assert_eq!(narrow(&before, before.desired()), None, "nothing changed");
        let disabled = edited(&before, "acme", |tenant| tenant.definition.enabled = false);
        let renamed =
            edited(&before, "acme", |tenant| tenant.definition.domain = wanted("other").definition.domain);
        let taken =
            edited(&before, "acme", |tenant| tenant.definition.domain = wanted("globex").definition.domain);
        let moved = edited(&before, "acme", |tenant| {
            tenant.definition.instance = InstanceKey::parse("branch").unwrap()
        });
        let adopted = edited(&before, "acme", |tenant| tenant.adopt = true);
        let mut removed = before.desired().clone();
        removed.tenants.pop_last();
        let mut partial = edited(&before, "acme", |tenant| tenant.definition.session_timeout = 30);
        partial.completeness = Completeness::Partial { reason: "x.yaml is broken".into() };
        for desired in [disabled, renamed, taken, moved, adopted, removed, partial] {
            assert_eq!(narrow(&before, &desired), None);
        }
    }

    #[test]
    fn a_tenant_with_a_held_step_and_a_limit_that_holds_make_it_a_full_pass() {
        let mut before = before(&["acme", "globex"]);
        let desired = edited(&before, "acme", |tenant| tenant.definition.session_timeout = 30);
        before.unsettled.insert(TenantKey::parse("globex").unwrap());
        assert!(narrow(&before, &desired).is_some());
        before.unsettled.insert(TenantKey::parse("acme").unwrap());
        assert_eq!(narrow(&before, &desired), None);
        before.unsettled.clear();
        before.is_limited = true;
        assert_eq!(narrow(&before, &desired), None);
    }
}
