//! What one plan may change: all of an instance, the tier, and surges.

use super::fixture::{Fixture, held, instance, steps, why};
use super::limits::{counts, disabling, removing};
use crate::config::Limit;
use crate::model::testing;
use crate::plan::Action;

#[test]
fn all_tenants_of_an_instance_are_never_disabled_at_once() {
    let mut fixture = Fixture::of_size(20);
    for of in ["b1", "b2"] {
        let mut tenant = testing::wanted(of);
        tenant.definition.instance = instance("branch");
        fixture.agree(tenant);
    }
    fixture.edit("b1", |tenant| tenant.definition.enabled = false);
    assert_eq!(steps(&fixture.plan()), "disable b1");
    fixture.remove_file("b2");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "disable b1, disable b2"));
    assert!(why(&plan, "b1", Action::Disable).contains("all 2 enabled tenants of branch would be disabled"));
    fixture.approve(&plan.removals_id.unwrap(), 1);
    assert_eq!(steps(&fixture.converge()), "disable b1, disable b2");
}

#[test]
fn the_only_tenant_of_an_instance_may_be_disabled() {
    assert_eq!(steps(&removing(1, 1).plan()), "disable t00");
    let mut fixture = disabling(4, 1);
    for of in ["t01", "t02", "t03"] {
        fixture.record(of).definition.enabled = false;
        fixture.record(of).disable_confirmed_at = Some(fixture.now);
        fixture.edit(of, |tenant| tenant.definition.enabled = false);
        fixture.pbx(of).enabled = Some(false);
    }
    assert_eq!(steps(&fixture.plan()), "disable t00", "the others were disabled before");
}

#[test]
fn a_surge_of_creates_is_held_where_the_deployment_says_so() {
    let mut fixture = Fixture::of_size(10);
    (0..3).for_each(|n| fixture.want(testing::wanted(&format!("n{n}"))));
    assert_eq!(counts(&fixture.plan()), (3, 0));
    fixture.policy.limits.creates = Some(Limit { count: 2, percent: 30 });
    assert_eq!(counts(&fixture.plan()), (3, 0), "30 % of 10");
    fixture.policy.limits.creates = Some(Limit { count: 2, percent: 20 });
    fixture.foreign("hq", 1, "n2.example.com");
    fixture.edit("n2", |tenant| tenant.adopt = true);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create n0, create n1, adopt n2"));
    assert!(
        why(&plan, "n0", Action::Create)
            .contains("3 tenants would be created; the limit is 2 (`limits.creates`")
    );
    fixture.approve(&plan.removals_id.unwrap(), 1);
    assert_eq!(counts(&fixture.converge()), (3, 0));
}

#[test]
fn a_surge_of_updates_counts_tenants_and_not_steps() {
    let mut fixture = Fixture::of_size(10);
    fixture.policy.limits.updates = Some(Limit { count: 2, percent: 0 });
    fixture.policy.limits.disables = Limit { count: 10, percent: 0 };
    for of in ["t00", "t01"] {
        fixture.edit(of, |tenant| {
            tenant.definition.session_timeout = 30;
            tenant.definition.domain = super::fixture::domain(&format!("new-{of}.example.com"));
        });
    }
    assert_eq!(fixture.plan().steps.len(), 4);
    fixture.edit("t02", |tenant| tenant.definition.instance = instance("branch"));
    fixture.edit("t03", |tenant| tenant.definition.enabled = false);
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "disable t03");
    assert_eq!(held(&plan), "rename t00, update t00, rename t01, update t01, move t02");
    assert!(
        why(&plan, "t00", Action::Update)
            .contains("3 tenants would be changed; the limit is 2 (`limits.updates`")
    );
}

#[test]
fn all_tenants_of_an_instance_are_never_moved_away_at_once() {
    let mut fixture = Fixture::of_size(3);
    ["t00", "t01"]
        .into_iter()
        .for_each(|of| fixture.edit(of, |tenant| tenant.definition.instance = instance("branch")));
    assert_eq!(steps(&fixture.plan()), "move t00, move t01");
    let mut closed = fixture.clone();
    closed.edit("t02", |tenant| tenant.definition.enabled = false);
    assert_eq!(held(&closed.plan()), "move t00, move t01, disable t02");
    fixture.edit("t02", |tenant| tenant.definition.instance = instance("branch"));
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move t00, move t01, move t02"));
    assert!(why(&plan, "t00", Action::Move).contains("all 3 enabled tenants of hq would be disabled"));
    let id = plan.removals_id.unwrap();
    fixture.edit("t02", |tenant| tenant.definition.name = "Another".into());
    let other = fixture.plan().removals_id.unwrap();
    assert_ne!(other, id, "exactly this plan");
    fixture.approve(&other, 1);
    assert_eq!(steps(&fixture.converge()), "move t00, move t01, move t02");
}

#[test]
fn new_tenants_beyond_the_tier_are_held_and_the_others_stay() {
    let mut fixture = Fixture::of_size(3);
    fixture.policy.max_tenants = Some(4);
    fixture.want(testing::wanted("new-one"));
    assert_eq!(steps(&fixture.plan()), "create new-one");
    fixture.want(testing::wanted("new-two"));
    fixture.foreign("hq", 1, "new-two.example.com");
    fixture.edit("new-two", |tenant| tenant.adopt = true);
    fixture.edit("t00", |tenant| tenant.definition.session_timeout = 30);
    let plan = fixture.plan();
    assert_eq!(
        (steps(&plan).as_str(), held(&plan).as_str()),
        ("update t00", "create new-one, adopt new-two")
    );
    assert_eq!(
        why(&plan, "new-two", Action::Adopt),
        "the tier allows 4 tenants (`tier.max_tenants`); 3 exist and 2 would be added, so none is. Remove new files, or raise the limit"
    );
    fixture.policy.max_tenants = Some(5);
    assert_eq!(steps(&fixture.plan()), "create new-one, adopt new-two, update t00");
    fixture.policy.max_tenants = Some(4);
    // Whose file was removed makes room.
    fixture.removed("t01", 1);
    assert_eq!(steps(&fixture.plan()), "create new-one, adopt new-two, update t00");
    // What has a record is not new, however many there are.
    fixture.policy.max_tenants = Some(1);
    fixture.vanish("t02");
    assert_eq!(steps(&fixture.plan()), "update t00, create t02");
}
