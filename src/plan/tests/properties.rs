//! Random generated: no rule is ever broken, and what can be done is soon done.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::effect;
use super::fixture::Fixture;
use super::generated_inputs::generated;
use crate::model::{InstanceView, PbxDomain};
use crate::plan::{Action, Plan, Work};

/// What a plan does and holds, whatever the reasons.
fn outline(plan: &Plan) -> (String, Vec<String>, Vec<(String, String, Action)>) {
    let steps = plan.steps.iter().map(|step| format!("{:?}", (&step.tenant, &step.changes, &step.work)));
    let held = plan.held.iter().map(|held| (held.tenant.to_string(), held.instance.to_string(), held.action));
    let mut held: Vec<_> = held.collect();
    held.sort();
    (plan.id.clone(), steps.collect(), held)
}

fn foreign(fixture: &Fixture) -> Vec<PbxDomain> {
    let seen = fixture.observed.instances.values();
    let domains = seen.flat_map(|view| match view {
        InstanceView::Seen { domains, .. } => domains.values().cloned().collect(),
        InstanceView::Unknown { .. } => Vec::new(),
    });
    domains.filter(|domain| domain.description == "not ours").collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_world_leads_to_a_plan_that_breaks_a_rule(inputs in generated()) {
        inputs.fixture().plan();
    }

    /// A few passes carry out all that can be, and never touch what is not managed.
    #[test]
    fn every_world_settles(inputs in generated()) {
        let mut fixture = inputs.fixture();
        let mut passes = 0;
        loop {
            let (theirs, plan) = (foreign(&fixture), fixture.plan());
            effect::carry_out(&mut fixture, &plan);
            let adopted = plan.steps.iter().filter(|step| match &step.work {
                Work::Adopt { found, .. } => theirs.contains(found),
                _ => false,
            });
            prop_assert_eq!(theirs.len() - adopted.count(), foreign(&fixture).len());
            if plan.steps.is_empty() {
                break;
            }
            passes += 1;
            prop_assert!(passes < 12, "it never ends: {:#?}", plan.steps);
        }
    }

    #[test]
    fn the_order_of_the_inputs_does_not_matter(inputs in generated(), by in any::<Index>()) {
        let fixture = inputs.fixture();
        let mut turned = fixture.clone();
        fn turn<T>(values: &mut [T], by: Index) {
            if !values.is_empty() {
                values.rotate_left(by.index(values.len()));
            }
        }
        turn(&mut turned.recorded.previous_placements, by);
        turn(&mut turned.recorded.removals, by);
        turn(&mut turned.recorded.approvals, by);
        turn(&mut turned.recorded.pauses, by);
        turn(&mut turned.desired.broken, by);
        prop_assert_eq!(outline(&fixture.plan()), outline(&turned.plan()));
    }
}

/// Else the properties would hold for want of anything to do.
#[test]
fn random_worlds_lead_to_every_kind_of_step_and_hold_every_action() {
    let mut runner = TestRunner::deterministic();
    let (mut done, mut held) = (BTreeMap::<String, usize>::new(), BTreeMap::<Action, usize>::new());
    for _ in 0..1500 {
        let plan = generated().new_tree(&mut runner).unwrap().current().fixture().plan();
        for step in plan.steps {
            let work = format!("{:?}", step.work);
            let kind = work.split([' ', '{']).next().unwrap_or_default().to_owned();
            *done.entry(kind).or_default() += 1;
        }
        for of in plan.held {
            *held.entry(of.action).or_default() += 1;
        }
    }
    assert!(done.len() == 13 && done.values().all(|times| *times > 4), "{done:#?}");
    assert!(held.len() == Action::ALL.len() && held.values().all(|times| *times > 4), "{held:#?}");
}
