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
fn a_suspension_follows_a_tenant_whose_file_is_renamed() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.suspend(Some("acme"), None, 2);
    scene.git_mv("acme", "umbrella");
    scene.edit("umbrella", |tenant| tenant.enabled = false);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename umbrella, disable umbrella"));
}

#[test]
fn nobody_moves_from_or_to_a_suspended_instance() {
    for on in ["hq", "branch"] {
        let mut scene = Scene::of(["acme", "globex"]);
        scene.edit("acme", |acme| acme.instance = instance("branch"));
        scene.suspend(None, Some(on), 2);
        let plan = scene.plan();
        assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move acme"), "{on}");
    }
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

/// Also what counts against no limit: the brake is for somebody who does not trust what tenantd sees.
#[test]
fn the_brake_stops_everything_that_closes() {
    let braked = |mut scene: Scene| {
        assert_eq!(scene.plan().steps.len(), 1);
        scene.policy.no_removals = true;
        let plan = scene.plan();
        assert_eq!((plan.steps.len(), plan.held.len()), (0, 1), "{plan:#?}");
    };
    let mut opened = Scene::of(["acme", "globex"]);
    opened.removed("acme", 1);
    opened.pbx("acme").enabled = Some(true);
    braked(opened);
    let mut left_open = Scene::of(["acme", "globex"]);
    let id = left_open.former("acme", "branch", 1);
    left_open.domains("branch").get_mut(&id).unwrap().enabled = Some(true);
    braked(left_open);
    let mut left_and_gone = Scene::of(["acme", "globex"]);
    left_and_gone.former("acme", "branch", 1);
    left_and_gone.domains("branch").clear();
    braked(left_and_gone);
    let mut made_again = Scene::of(["acme", "globex"]);
    made_again.vanish("acme");
    made_again.edit("acme", |acme| acme.enabled = false);
    braked(made_again);
    for enabled in [Some(true), None] {
        let mut adopted = Scene::of(["globex"]);
        let mut acme = testing::wanted("acme");
        (acme.adopt, acme.enabled) = (true, false);
        adopted.want(acme);
        let id = adopted.foreign("hq", 1, "acme.example.com");
        adopted.domains("hq").get_mut(&id).unwrap().enabled = enabled;
        braked(adopted);
    }
}

#[test]
fn the_brake_does_not_stop_what_takes_nothing_away() {
    let mut scene = Scene::of(["acme", "globex", "umbrella"]);
    scene.policy.no_removals = true;
    scene.vanish("acme");
    let mut adopted = testing::wanted("adopted");
    (adopted.adopt, adopted.enabled) = (true, false);
    scene.want(adopted);
    let id = scene.foreign("hq", 1, "adopted.example.com");
    scene.domains("hq").get_mut(&id).unwrap().enabled = Some(false);
    scene.edit("globex", |globex| globex.instance = instance("branch"));
    assert_eq!(steps(&scene.converge()), "create acme, adopt adopted, move globex");
    scene.vanish("acme");
    scene.edit("acme", |acme| acme.enabled = false);
    scene.record("acme").enabled = false;
    assert_eq!(steps(&scene.converge()), "create acme");
}

#[test]
fn an_approved_disable_is_no_approved_removal() {
    let mut scene = Scene::of_size(9);
    let four = ["t00", "t01", "t02", "t03"];
    four.into_iter().for_each(|of| scene.edit(of, |tenant| tenant.enabled = false));
    let id = scene.plan().removals_id.unwrap();
    scene.approve(&id, 24);
    assert_eq!(scene.plan().steps.len(), 4);
    four.into_iter().for_each(|of| scene.remove_file(of));
    assert_eq!(scene.plan().held.len(), 4);
}

#[test]
fn an_approved_surge_is_no_approval_of_another_one() {
    let mut scene = Scene::of(["acme"]);
    scene.policy.limits.creates = Some(crate::config::Limit { count: 1, percent: 0 });
    scene.policy.limits.updates = scene.policy.limits.creates;
    ["n1", "n2"].into_iter().for_each(|of| scene.want(testing::wanted(of)));
    let id = scene.plan().removals_id.unwrap();
    scene.approve(&id, 24);
    assert_eq!(steps(&scene.plan()), "create n1, create n2");
    let mut other = scene.clone();
    other.remove_file("n2");
    other.want(testing::wanted("n3"));
    assert_eq!(held(&other.plan()), "create n1, create n3");
    scene.converge();
    ["n1", "n2"].into_iter().for_each(|of| scene.edit(of, |tenant| tenant.session_timeout = 30));
    let id = scene.plan().removals_id.unwrap();
    scene.approve(&id, 24);
    assert_eq!(steps(&scene.plan()), "update n1, update n2");
    ["n1", "n2"].into_iter().for_each(|of| scene.edit(of, |tenant| tenant.session_timeout = 40));
    assert_eq!(held(&scene.plan()), "update n1, update n2");
}

/// `apply --plan ID` refuses when something changed that the steps' fields do not show.
#[test]
fn a_plans_id_covers_all_that_a_step_applies() {
    let differs = |scene: &Scene, change: &dyn Fn(&mut Scene)| {
        let mut other = scene.clone();
        change(&mut other);
        let (plan, other) = (scene.plan(), other.plan());
        assert_eq!((steps(&plan), held(&plan)), (steps(&other), held(&other)));
        assert_ne!(plan.id, other.id);
    };
    let mut made = Scene::of(["globex"]);
    made.want(testing::wanted("acme"));
    differs(&made, &|scene| scene.edit("acme", |acme| acme.cross_tenant.chat = [key("globex")].into()));
    let mut again = Scene::of(["acme"]);
    again.vanish("acme");
    differs(&again, &|scene| scene.edit("acme", |acme| acme.session_timeout = 30));
    let mut adopted = Scene::of([]);
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    adopted.want(acme);
    let mut other = adopted.clone();
    adopted.foreign("hq", 1, "acme.example.com");
    other.foreign("hq", 2, "acme.example.com");
    assert_ne!(adopted.plan().id, other.plan().id);
    let mut moved = Scene::of(["acme", "globex"]);
    moved.edit("acme", |acme| acme.instance = instance("branch"));
    differs(&moved, &|scene| {
        scene.former("acme", "branch", 1);
    });
    let mut left = Scene::of(["acme", "globex"]);
    left.former("acme", "branch", 31);
    left.policy.deletion.mode = crate::config::DeletionMode::Automatic;
    differs(&left, &|scene| {
        let mut domain = scene.domains("branch").pop_first().unwrap().1;
        domain.id = crate::model::DomainId(uuid::Uuid::from_u128(9));
        scene.recorded.former[0].domain_id = domain.id;
        scene.put(&instance("branch"), domain);
    });
    left.domains("branch").values_mut().for_each(|domain| domain.enabled = Some(true));
    differs(&left, &|scene| {
        let mut domain = scene.domains("branch").pop_first().unwrap().1;
        domain.id = crate::model::DomainId(uuid::Uuid::from_u128(9));
        scene.recorded.former[0].domain_id = domain.id;
        scene.put(&instance("branch"), domain);
    });
}

#[test]
fn a_plans_id_does_not_depend_on_how_its_reasons_are_worded() {
    let mut scene = Scene::of_size(30);
    for (of, days) in [("t00", 31), ("t01", 31)] {
        scene.removed(of, days);
        let id = scene.record(of).id;
        scene.recorded.open_sessions.insert(id, 3);
    }
    let id = scene.plan().id;
    let t01 = scene.record("t01").id;
    scene.recorded.open_sessions.insert(t01, 2);
    let plan = scene.plan();
    assert_eq!(plan.held[0].tenant, key("t01"), "sorted by reason");
    assert_eq!(plan.id, id);
}

#[test]
fn a_suspended_instance_holds_nothing_elsewhere() {
    let mut scene = Scene::of(["acme", "globex"]);
    let id = scene.former("acme", "branch", 1);
    scene.domains("branch").get_mut(&id).unwrap().enabled = Some(true);
    scene.suspend(None, Some("hq"), 2);
    assert_eq!(steps(&scene.plan()), "disable acme");
    let mut scene = Scene::of(["acme", "globex"]);
    scene.edit("acme", |acme| acme.instance = instance("branch"));
    scene.suspend(None, Some("third"), 2);
    assert_eq!(steps(&scene.plan()), "move acme");
}
