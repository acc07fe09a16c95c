//! A person's word: what it lifts, for how long, and what stops a pass by hand.

use chrono::TimeDelta;

use super::scene::{Scene, held, instance, key, steps, why};
use crate::model::testing;
use crate::plan::Action;

fn past_the_limit() -> Scene {
    let mut scene = Scene::of_size(10);
    scene.remove_file("t00");
    scene.remove_file("t01");
    scene
}

#[test]
fn an_approval_lifts_the_hold_for_exactly_this_plan() {
    let mut scene = past_the_limit();
    let id = scene.plan().removals_id.unwrap();
    scene.approve(&id, 24);
    assert_eq!(steps(&scene.plan()), "disable t00, disable t01");
    // Other work may come and go.
    scene.edit("t05", |tenant| tenant.session_timeout = 30);
    assert_eq!(steps(&scene.plan()), "disable t00, disable t01, update t05");
    // One more removal, one less, or another: another plan.
    let mut more = scene.clone();
    more.remove_file("t02");
    assert_eq!(held(&more.plan()), "disable t00, disable t01, disable t02");
    let mut other = scene.clone();
    other.want(testing::wanted("t01"));
    other.remove_file("t02");
    assert_eq!(held(&other.plan()), "disable t00, disable t02");
    assert_ne!(other.plan().removals_id.unwrap(), id);
    assert_eq!(steps(&scene.converge()), "disable t00, disable t01, update t05");
}

#[test]
fn an_approval_ends() {
    let mut scene = past_the_limit();
    let id = scene.plan().removals_id.unwrap();
    scene.approve(&id, 1);
    scene.later(TimeDelta::hours(1) - TimeDelta::seconds(1));
    assert_eq!(scene.plan().steps.len(), 2);
    scene.later(TimeDelta::seconds(1));
    assert_eq!(scene.plan().steps.len(), 0);
}

#[test]
fn an_approval_of_one_tenants_deletion_is_for_this_tenant_and_ends() {
    let mut scene = Scene::of_size(30);
    scene.removed("t00", 31);
    scene.removed("t01", 31);
    scene.approve_deletion("t00", 1);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("delete t00", "delete t01"));
    assert_eq!(
        why(&plan, "t01", Action::Delete),
        "deleting it needs approval (deletion.mode is `approve`); its file is gone, it is disabled, and its \
         retention is over"
    );
    assert_eq!(plan.held[0].lift.as_deref(), Some("tenantd approve --tenant t01"));
    scene.later(TimeDelta::hours(1));
    assert_eq!(steps(&scene.plan()), "");
}

#[test]
fn an_approval_of_the_plan_covers_its_deletions() {
    let mut scene = Scene::of_size(30);
    scene.removed("t00", 31);
    scene.vanish("t00");
    scene.removed("t01", 31);
    let plan = scene.plan();
    assert_eq!(held(&plan), "forget t00, delete t01");
    scene.approve(&plan.removals_id.unwrap(), 1);
    assert_eq!(steps(&scene.converge()), "forget t00, delete t01");
}

#[test]
fn allow_delete_is_for_its_tenant_alone_and_lifts_no_limit() {
    let mut scene = Scene::of_size(12);
    scene.removed("t00", 31);
    scene.removed("t01", 31);
    scene.policy.allow_delete = [key("t00")].into();
    assert_eq!(steps(&scene.plan()), "delete t00");
    scene.policy.allow_delete.insert(key("t01"));
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete t00, delete t01"));
    assert!(why(&plan, "t00", Action::Delete).contains("limits.removals"));
}

#[test]
fn an_approval_does_not_lift_a_protection() {
    let mut scene = Scene::of_size(12);
    scene.removed("t00", 31);
    scene.record("t00").protected = true;
    scene.approve_deletion("t00", 1);
    scene.policy.allow_delete.insert(key("t00"));
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete t00"));
    assert!(plan.held[0].lift.is_none());
}

#[test]
fn a_suspended_tenant_is_left_alone_until_the_time_is_over() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.edit("acme", |acme| acme.session_timeout = 30);
    scene.edit("globex", |globex| globex.session_timeout = 30);
    scene.suspend(Some("acme"), None, 2);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update globex", "update acme"));
    assert_eq!(
        why(&plan, "acme", Action::Update),
        "suspended by anna until 2025-10-09 10:53 UTC: the customer is live"
    );
    assert_eq!(plan.held[0].lift.as_deref(), Some("tenantd resume acme"));
    scene.later(TimeDelta::hours(2) - TimeDelta::seconds(1));
    assert_eq!(steps(&scene.plan()), "update globex");
    scene.later(TimeDelta::seconds(1));
    assert_eq!(steps(&scene.plan()), "update acme, update globex");
}

#[test]
fn a_suspended_instance_is_left_alone() {
    let mut scene = Scene::of(["acme"]);
    let mut branch = testing::wanted("branch1");
    branch.instance = instance("branch");
    scene.agree(branch);
    scene.edit("acme", |acme| acme.session_timeout = 30);
    scene.edit("branch1", |tenant| tenant.session_timeout = 30);
    scene.suspend(None, Some("branch"), 2);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", "update branch1"));
    assert_eq!(plan.held[0].lift.as_deref(), Some("tenantd resume --instance branch"));
}

#[test]
fn a_suspension_of_a_tenant_on_an_instance_needs_both() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.edit("acme", |acme| acme.session_timeout = 30);
    scene.edit("globex", |globex| globex.session_timeout = 30);
    scene.suspend(Some("acme"), Some("branch"), 2);
    assert_eq!(steps(&scene.plan()), "update acme, update globex");
    scene.suspend(Some("acme"), Some("hq"), 2);
    assert_eq!(steps(&scene.plan()), "update globex");
}

#[test]
fn everything_can_be_suspended() {
    let mut scene = past_the_limit();
    scene.want(testing::wanted("new"));
    scene.suspend(None, None, 2);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create new, disable t00, disable t01"));
    assert_eq!(plan.held[0].lift.as_deref(), Some("tenantd resume"));
    assert_eq!(plan.removals_id, None, "what is suspended is nothing to approve");
}

#[test]
fn what_is_suspended_uses_up_no_limit() {
    let mut scene = past_the_limit();
    scene.suspend(Some("t00"), None, 2);
    assert_eq!(steps(&scene.plan()), "disable t01");
}

#[test]
fn the_brake_removes_nothing_and_stops_nothing_else() {
    let mut scene = Scene::of_size(12);
    scene.removed("t00", 31);
    scene.approve_deletion("t00", 1);
    scene.remove_file("t01");
    scene.edit("t02", |tenant| tenant.enabled = false);
    scene.edit("t03", |tenant| tenant.session_timeout = 30);
    scene.policy.limits.removals.count = 5;
    assert_eq!(steps(&scene.plan()), "delete t00, disable t01, disable t02, update t03");
    scene.policy.no_removals = true;
    let plan = scene.plan();
    assert_eq!(steps(&plan), "update t03");
    assert_eq!(held(&plan), "delete t00, disable t01, disable t02");
    assert!(why(&plan, "t01", Action::Disable).contains("--no-removals"));
}

#[test]
fn only_plans_for_the_named_tenants() {
    let mut scene = Scene::of_size(12);
    scene.removed("t00", 31);
    scene.removed("t01", 1);
    scene.remove_file("t02");
    scene.edit("t03", |tenant| tenant.drift = crate::model::DriftPolicy::Report);
    scene.record("t03").drift = crate::model::DriftPolicy::Report;
    scene.pbx("t03").description = "theirs".into();
    for of in ["t04", "t05"] {
        scene.edit(of, |tenant| tenant.session_timeout = 30);
    }
    let whole = scene.plan();
    assert_eq!((whole.held.len(), whole.waiting.len(), whole.drifted.len()), (1, 1, 1));
    assert_eq!(steps(&whole), "disable t02, update t04, update t05");
    scene.policy.only = [key("t05")].into();
    let plan = scene.plan();
    assert_eq!(steps(&plan), "update t05");
    assert_eq!((plan.held.len(), plan.waiting.len(), plan.drifted.len()), (0, 0, 0));
    assert_eq!(plan.previews.keys().collect::<Vec<_>>(), [&key("t05")]);
}

#[test]
fn only_is_no_way_around_a_limit() {
    let mut scene = past_the_limit();
    scene.policy.only = [key("t00")].into();
    assert_eq!(steps(&scene.pass()), "disable t00");
    scene.policy.only = [key("t01")].into();
    assert_eq!(held(&scene.pass()), "disable t01");
}

#[test]
fn a_plans_id_is_the_same_for_the_same_world_and_changes_with_what_it_does_or_holds() {
    let mut scene = Scene::of_size(10);
    let empty = scene.plan().id;
    assert_eq!(scene.plan().id, empty);
    assert!(empty.starts_with("p-") && empty.len() == 18);
    scene.edit("t00", |tenant| tenant.session_timeout = 30);
    let one = scene.plan().id;
    scene.edit("t00", |tenant| tenant.session_timeout = 31);
    let other_value = scene.plan().id;
    scene.record("t00").revision += 1;
    let other_revision = scene.plan().id;
    scene.suspend(Some("t00"), None, 1);
    let held = scene.plan().id;
    scene.suspend(Some("t01"), None, 1);
    assert_eq!(scene.plan().id, held, "a suspension that holds nothing changes nothing");
    let ids = [&empty, &one, &other_value, &other_revision, &held];
    let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn the_id_of_a_plans_removals_tells_where_from_and_how() {
    let mut scene = past_the_limit();
    let id = scene.plan().removals_id.unwrap();
    assert!(id.starts_with("r-") && id.len() == 18);
    scene.record("t05").revision += 1;
    assert_eq!(scene.plan().removals_id.unwrap(), id);
    assert_eq!(Scene::of_size(10).plan().removals_id, None);
}
