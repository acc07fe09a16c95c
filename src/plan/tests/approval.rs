//! An operator's word: what it lifts, for how long, and what stops a pass by hand.

use chrono::TimeDelta;

use super::fixture::{Fixture, held, instance, key, past_the_limit, steps, why};
use crate::model::testing;
use crate::plan::Action;

#[test]
fn an_approval_lifts_the_hold_for_exactly_this_plan() {
    let mut fixture = past_the_limit();
    let id = fixture.plan().removals_id.unwrap();
    fixture.approve(&id, 24);
    assert_eq!(steps(&fixture.plan()), "disable t00, disable t01");
    // Other work may come and go.
    fixture.edit("t05", |tenant| tenant.definition.session_timeout = 30);
    assert_eq!(steps(&fixture.plan()), "disable t00, disable t01, update t05");
    // One more removal, one less, or another: another plan.
    let mut more = fixture.clone();
    more.remove_file("t02");
    assert_eq!(held(&more.plan()), "disable t00, disable t01, disable t02");
    let mut other = fixture.clone();
    other.want(testing::wanted("t01"));
    other.remove_file("t02");
    assert_eq!(held(&other.plan()), "disable t00, disable t02");
    assert_ne!(other.plan().removals_id.unwrap(), id);
    assert_eq!(steps(&fixture.converge()), "disable t00, disable t01, update t05");
}

#[test]
fn an_approval_ends() {
    let mut fixture = past_the_limit();
    let id = fixture.plan().removals_id.unwrap();
    fixture.approve(&id, 1);
    fixture.later(TimeDelta::hours(1) - TimeDelta::seconds(1));
    assert_eq!(fixture.plan().steps.len(), 2);
    fixture.later(TimeDelta::seconds(1));
    assert_eq!(fixture.plan().steps.len(), 0);
}

#[test]
fn an_approval_of_one_tenants_deletion_is_for_this_tenant_and_ends() {
    let mut fixture = Fixture::of_size(30);
    fixture.removed("t00", 31);
    fixture.removed("t01", 31);
    fixture.approve_deletion("t00", 1);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("delete t00", "delete t01"));
    assert_eq!(
        why(&plan, "t01", Action::Delete),
        "deleting it needs approval (`deletion.mode: approve`); its file was removed, it is disabled, and its \
         retention has ended"
    );
    assert_eq!(plan.held[0].lifted_by.as_deref(), Some("tenantd approve --tenant t01"));
    fixture.later(TimeDelta::hours(1));
    assert_eq!(steps(&fixture.plan()), "");
}

#[test]
fn an_approval_of_the_plan_covers_its_deletions() {
    let mut fixture = Fixture::of_size(30);
    fixture.removed("t00", 31);
    fixture.vanish("t00");
    fixture.removed("t01", 31);
    let plan = fixture.plan();
    assert_eq!(held(&plan), "delete record t00, delete t01");
    fixture.approve(&plan.removals_id.unwrap(), 1);
    assert_eq!(steps(&fixture.converge()), "delete record t00, delete t01");
}

#[test]
fn allow_delete_is_for_its_tenant_alone_and_lifts_no_limit() {
    let mut fixture = Fixture::of_size(12);
    fixture.removed("t00", 31);
    fixture.removed("t01", 31);
    fixture.policy.allow_delete = [key("t00")].into();
    assert_eq!(steps(&fixture.plan()), "delete t00");
    fixture.policy.allow_delete.insert(key("t01"));
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete t00, delete t01"));
    assert!(why(&plan, "t00", Action::Delete).contains("limits.removals"));
}

#[test]
fn an_approval_does_not_lift_a_protection() {
    let mut fixture = Fixture::of_size(12);
    fixture.removed("t00", 31);
    fixture.record("t00").definition.protected = true;
    fixture.approve_deletion("t00", 1);
    fixture.policy.allow_delete.insert(key("t00"));
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete t00"));
    assert!(plan.held[0].lifted_by.is_none());
}

#[test]
fn a_plans_id_is_the_same_for_the_same_world_and_changes_with_what_it_does_or_holds() {
    let mut fixture = Fixture::of_size(10);
    let empty = fixture.plan().id;
    assert_eq!(fixture.plan().id, empty);
    assert!(empty.starts_with("p-") && empty.len() == 18);
    fixture.edit("t00", |tenant| tenant.definition.session_timeout = 30);
    let one = fixture.plan().id;
    fixture.edit("t00", |tenant| tenant.definition.session_timeout = 31);
    let other_value = fixture.plan().id;
    fixture.record("t00").revision += 1;
    let other_revision = fixture.plan().id;
    fixture.pause(Some("t00"), None, 1);
    let held = fixture.plan().id;
    fixture.pause(Some("t01"), None, 1);
    assert_eq!(fixture.plan().id, held, "a pause that holds nothing changes nothing");
    let ids = [&empty, &one, &other_value, &other_revision, &held];
    let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn the_id_of_a_plans_removals_tells_where_from_and_how() {
    let mut fixture = past_the_limit();
    let id = fixture.plan().removals_id.unwrap();
    assert!(id.starts_with("r-") && id.len() == 18);
    fixture.record("t05").revision += 1;
    assert_eq!(fixture.plan().removals_id.unwrap(), id);
    assert_eq!(Fixture::of_size(10).plan().removals_id, None);
}

#[test]
fn an_approved_disable_is_no_approved_removal() {
    let mut fixture = Fixture::of_size(9);
    let four = ["t00", "t01", "t02", "t03"];
    four.into_iter().for_each(|of| fixture.edit(of, |tenant| tenant.definition.enabled = false));
    let id = fixture.plan().removals_id.unwrap();
    fixture.approve(&id, 24);
    assert_eq!(fixture.plan().steps.len(), 4);
    four.into_iter().for_each(|of| fixture.remove_file(of));
    assert_eq!(fixture.plan().held.len(), 4);
}

#[test]
fn an_approved_surge_is_no_approval_of_another_one() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.policy.limits.creates = Some(crate::config::Limit { count: 1, percent: 0 });
    fixture.policy.limits.updates = fixture.policy.limits.creates;
    ["n1", "n2"].into_iter().for_each(|of| fixture.want(testing::wanted(of)));
    let id = fixture.plan().removals_id.unwrap();
    fixture.approve(&id, 24);
    assert_eq!(steps(&fixture.plan()), "create n1, create n2");
    let mut other = fixture.clone();
    other.remove_file("n2");
    other.want(testing::wanted("n3"));
    assert_eq!(held(&other.plan()), "create n1, create n3");
    fixture.converge();
    ["n1", "n2"].into_iter().for_each(|of| fixture.edit(of, |tenant| tenant.definition.session_timeout = 30));
    let id = fixture.plan().removals_id.unwrap();
    fixture.approve(&id, 24);
    assert_eq!(steps(&fixture.plan()), "update n1, update n2");
    ["n1", "n2"].into_iter().for_each(|of| fixture.edit(of, |tenant| tenant.definition.session_timeout = 40));
    assert_eq!(held(&fixture.plan()), "update n1, update n2");
}

/// `apply --plan ID` refuses when something changed that the steps' fields do not show.
#[test]
fn a_plans_id_covers_all_that_a_step_applies() {
    let differs = |fixture: &Fixture, change: &dyn Fn(&mut Fixture)| {
        let mut other = fixture.clone();
        change(&mut other);
        let (plan, other) = (fixture.plan(), other.plan());
        assert_eq!((steps(&plan), held(&plan)), (steps(&other), held(&other)));
        assert_ne!(plan.id, other.id);
    };
    let mut made = Fixture::of(["globex"]);
    made.want(testing::wanted("acme"));
    differs(&made, &|fixture| {
        fixture.edit("acme", |acme| acme.definition.cross_tenant.chat = [key("globex")].into())
    });
    let mut again = Fixture::of(["acme"]);
    again.vanish("acme");
    differs(&again, &|fixture| fixture.edit("acme", |acme| acme.definition.session_timeout = 30));
    let mut adopted = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    adopted.want(acme);
    let mut other = adopted.clone();
    adopted.foreign("hq", 1, "acme.example.com");
    other.foreign("hq", 2, "acme.example.com");
    assert_ne!(adopted.plan().id, other.plan().id);
    let mut moved = Fixture::of(["acme", "globex"]);
    moved.edit("acme", |acme| acme.definition.instance = instance("branch"));
    differs(&moved, &|fixture| {
        fixture.previous("acme", "branch", 1);
    });
    let mut left = Fixture::of(["acme", "globex"]);
    left.previous("acme", "branch", 31);
    left.policy.deletion.mode = crate::config::DeletionMode::Automatic;
    differs(&left, &|fixture| {
        let mut domain = fixture.domains("branch").pop_first().unwrap().1;
        domain.id = crate::model::DomainId(uuid::Uuid::from_u128(9));
        fixture.recorded.previous_placements[0].domain_id = domain.id;
        fixture.put(&instance("branch"), domain);
    });
    left.domains("branch").values_mut().for_each(|domain| domain.enabled = Some(true));
    differs(&left, &|fixture| {
        let mut domain = fixture.domains("branch").pop_first().unwrap().1;
        domain.id = crate::model::DomainId(uuid::Uuid::from_u128(9));
        fixture.recorded.previous_placements[0].domain_id = domain.id;
        fixture.put(&instance("branch"), domain);
    });
}

#[test]
fn a_plans_id_does_not_depend_on_how_its_reasons_are_worded() {
    let mut fixture = Fixture::of_size(30);
    for (of, days) in [("t00", 31), ("t01", 31)] {
        fixture.removed(of, days);
        let id = fixture.record(of).id;
        fixture.recorded.open_sessions.insert(id, 3);
    }
    let id = fixture.plan().id;
    let t01 = fixture.record("t01").id;
    fixture.recorded.open_sessions.insert(t01, 2);
    let plan = fixture.plan();
    assert_eq!(plan.held[0].tenant, key("t01"), "sorted by reason");
    assert_eq!(plan.id, id);
}
