//! What an operator stops by hand: pauses, the brake, and naming only some tenants.

use chrono::TimeDelta;

use super::fixture::{Fixture, held, instance, key, past_the_limit, steps, why};
use crate::model::testing;
use crate::plan::Action;

#[test]
fn a_paused_tenant_is_unchanged_until_the_pause_ends() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.edit("acme", |acme| acme.definition.session_timeout = 30);
    fixture.edit("globex", |globex| globex.definition.session_timeout = 30);
    fixture.pause(Some("acme"), None, 2);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update globex", "update acme"));
    assert_eq!(
        why(&plan, "acme", Action::Update),
        "paused by anna until 2025-10-09 10:53 UTC: the customer is live"
    );
    assert_eq!(plan.held[0].lifted_by.as_deref(), Some("tenantd resume acme"));
    fixture.later(TimeDelta::hours(2) - TimeDelta::seconds(1));
    assert_eq!(steps(&fixture.plan()), "update globex");
    fixture.later(TimeDelta::seconds(1));
    assert_eq!(steps(&fixture.plan()), "update acme, update globex");
}

#[test]
fn a_paused_instance_is_unchanged() {
    let mut fixture = Fixture::of(["acme"]);
    let mut branch = testing::wanted("branch1");
    branch.definition.instance = instance("branch");
    fixture.agree(branch);
    fixture.edit("acme", |acme| acme.definition.session_timeout = 30);
    fixture.edit("branch1", |tenant| tenant.definition.session_timeout = 30);
    fixture.pause(None, Some("branch"), 2);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", "update branch1"));
    assert_eq!(plan.held[0].lifted_by.as_deref(), Some("tenantd resume --instance branch"));
}

#[test]
fn a_suspension_of_a_tenant_on_an_instance_needs_both() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.edit("acme", |acme| acme.definition.session_timeout = 30);
    fixture.edit("globex", |globex| globex.definition.session_timeout = 30);
    fixture.pause(Some("acme"), Some("branch"), 2);
    assert_eq!(steps(&fixture.plan()), "update acme, update globex");
    fixture.pause(Some("acme"), Some("hq"), 2);
    assert_eq!(steps(&fixture.plan()), "update globex");
}

#[test]
fn a_pause_follows_a_tenant_when_its_file_is_renamed() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.pause(Some("acme"), None, 2);
    fixture.git_mv("acme", "umbrella");
    fixture.edit("umbrella", |tenant| tenant.definition.enabled = false);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename umbrella, disable umbrella"));
}

#[test]
fn no_tenant_moves_from_or_to_a_paused_instance() {
    for on in ["hq", "branch"] {
        let mut fixture = Fixture::of(["acme", "globex"]);
        fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
        fixture.pause(None, Some(on), 2);
        let plan = fixture.plan();
        assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move acme"), "{on}");
    }
}

#[test]
fn everything_can_be_paused() {
    let mut fixture = past_the_limit();
    fixture.want(testing::wanted("new"));
    fixture.pause(None, None, 2);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create new, disable t00, disable t01"));
    assert_eq!(plan.held[0].lifted_by.as_deref(), Some("tenantd resume --all"));
    assert_eq!(plan.removals_id, None, "what is paused needs no approval");
}

#[test]
fn a_paused_tenant_uses_up_no_limit() {
    let mut fixture = past_the_limit();
    fixture.pause(Some("t00"), None, 2);
    assert_eq!(steps(&fixture.plan()), "disable t01");
}

#[test]
fn the_brake_removes_nothing_and_stops_nothing_else() {
    let mut fixture = Fixture::of_size(12);
    fixture.removed("t00", 31);
    fixture.approve_deletion("t00", 1);
    fixture.remove_file("t01");
    fixture.edit("t02", |tenant| tenant.definition.enabled = false);
    fixture.edit("t03", |tenant| tenant.definition.session_timeout = 30);
    fixture.policy.limits.removals.count = 5;
    assert_eq!(steps(&fixture.plan()), "delete t00, disable t01, disable t02, update t03");
    fixture.policy.no_removals = true;
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "update t03");
    assert_eq!(held(&plan), "delete t00, disable t01, disable t02");
    assert!(why(&plan, "t01", Action::Disable).contains("--no-removals"));
}

#[test]
fn only_plans_for_the_named_tenants() {
    let mut fixture = Fixture::of_size(12);
    fixture.removed("t00", 31);
    fixture.removed("t01", 1);
    fixture.remove_file("t02");
    fixture.edit("t03", |tenant| tenant.definition.drift = crate::model::DriftPolicy::Report);
    fixture.record("t03").definition.drift = crate::model::DriftPolicy::Report;
    fixture.pbx("t03").description = "theirs".into();
    for of in ["t04", "t05"] {
        fixture.edit(of, |tenant| tenant.definition.session_timeout = 30);
    }
    let whole = fixture.plan();
    assert_eq!((whole.held.len(), whole.scheduled.len(), whole.drifted.len()), (1, 1, 1));
    assert_eq!(steps(&whole), "disable t02, update t04, update t05");
    fixture.policy.only = [key("t05")].into();
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "update t05");
    assert_eq!((plan.held.len(), plan.scheduled.len(), plan.drifted.len()), (0, 0, 0));
    assert_eq!(plan.previews.keys().collect::<Vec<_>>(), [&key("t05")]);
}

#[test]
fn only_is_no_way_around_a_limit() {
    let mut fixture = past_the_limit();
    fixture.policy.only = [key("t00")].into();
    assert_eq!(steps(&fixture.pass()), "disable t00");
    fixture.policy.only = [key("t01")].into();
    assert_eq!(held(&fixture.pass()), "disable t01");
}

/// Also what counts against no limit: the brake is for someone who does not trust what tenantd sees.
#[test]
fn no_removals_holds_every_disable_and_deletion() {
    let braked = |mut fixture: Fixture| {
        assert_eq!(fixture.plan().steps.len(), 1);
        fixture.policy.no_removals = true;
        let plan = fixture.plan();
        assert_eq!((plan.steps.len(), plan.held.len()), (0, 1), "{plan:#?}");
    };
    let mut opened = Fixture::of(["acme", "globex"]);
    opened.removed("acme", 1);
    opened.pbx("acme").enabled = Some(true);
    braked(opened);
    let mut left_open = Fixture::of(["acme", "globex"]);
    let id = left_open.previous("acme", "branch", 1);
    left_open.domains("branch").get_mut(&id).unwrap().enabled = Some(true);
    braked(left_open);
    let mut left_and_gone = Fixture::of(["acme", "globex"]);
    left_and_gone.previous("acme", "branch", 1);
    left_and_gone.domains("branch").clear();
    braked(left_and_gone);
    let mut made_again = Fixture::of(["acme", "globex"]);
    made_again.vanish("acme");
    made_again.edit("acme", |acme| acme.definition.enabled = false);
    braked(made_again);
    for enabled in [Some(true), None] {
        let mut adopted = Fixture::of(["globex"]);
        let mut acme = testing::wanted("acme");
        (acme.adopt, acme.definition.enabled) = (true, false);
        adopted.want(acme);
        let id = adopted.foreign("hq", 1, "acme.example.com");
        adopted.domains("hq").get_mut(&id).unwrap().enabled = enabled;
        braked(adopted);
    }
}

#[test]
fn no_removals_does_not_hold_other_steps() {
    let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
    fixture.policy.no_removals = true;
    fixture.vanish("acme");
    let mut adopted = testing::wanted("adopted");
    (adopted.adopt, adopted.definition.enabled) = (true, false);
    fixture.want(adopted);
    let id = fixture.foreign("hq", 1, "adopted.example.com");
    fixture.domains("hq").get_mut(&id).unwrap().enabled = Some(false);
    fixture.edit("globex", |globex| globex.definition.instance = instance("branch"));
    assert_eq!(steps(&fixture.converge()), "create acme, adopt adopted, move globex");
    fixture.vanish("acme");
    fixture.edit("acme", |acme| acme.definition.enabled = false);
    fixture.record("acme").definition.enabled = false;
    assert_eq!(steps(&fixture.converge()), "create acme");
}

#[test]
fn a_paused_instance_holds_nothing_on_others() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    let id = fixture.previous("acme", "branch", 1);
    fixture.domains("branch").get_mut(&id).unwrap().enabled = Some(true);
    fixture.pause(None, Some("hq"), 2);
    assert_eq!(steps(&fixture.plan()), "disable acme");
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
    fixture.pause(None, Some("third"), 2);
    assert_eq!(steps(&fixture.plan()), "move acme");
}
