//! What one plan may change: all of an instance, the tier, and surges.

use super::limits::{counts, disabling, removing};
use super::scene::{Scene, held, instance, steps, why};
use crate::config::Limit;
use crate::model::testing;
use crate::plan::Action;

#[test]
fn all_tenants_of_an_instance_are_never_closed_at_once() {
    let mut scene = Scene::of_size(20);
    for of in ["b1", "b2"] {
        let mut tenant = testing::wanted(of);
        tenant.instance = instance("branch");
        scene.agree(tenant);
    }
    scene.edit("b1", |tenant| tenant.enabled = false);
    assert_eq!(steps(&scene.plan()), "disable b1");
    scene.remove_file("b2");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "disable b1, disable b2"));
    assert!(
        why(&plan, "b1", Action::Disable).contains("it would leave branch without an enabled tenant (2 of 2")
    );
    scene.approve(&plan.removals_id.unwrap(), 1);
    assert_eq!(steps(&scene.converge()), "disable b1, disable b2");
}

#[test]
fn the_only_tenant_of_an_instance_may_be_disabled() {
    assert_eq!(steps(&removing(1, 1).plan()), "disable t00");
    let mut scene = disabling(4, 1);
    for of in ["t01", "t02", "t03"] {
        scene.record(of).enabled = false;
        scene.record(of).disable_confirmed_at = Some(scene.now);
        scene.edit(of, |tenant| tenant.enabled = false);
        scene.pbx(of).enabled = Some(false);
    }
    assert_eq!(steps(&scene.plan()), "disable t00", "the others were disabled before");
}

#[test]
fn a_surge_of_creates_is_held_where_the_deployment_says_so() {
    let mut scene = Scene::of_size(10);
    (0..3).for_each(|n| scene.want(testing::wanted(&format!("n{n}"))));
    assert_eq!(counts(&scene.plan()), (3, 0));
    scene.policy.limits.creates = Some(Limit { count: 2, percent: 30 });
    assert_eq!(counts(&scene.plan()), (3, 0), "30 % of 10");
    scene.policy.limits.creates = Some(Limit { count: 2, percent: 20 });
    scene.foreign("hq", 1, "n2.example.com");
    scene.edit("n2", |tenant| tenant.adopt = true);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create n0, create n1, adopt n2"));
    assert!(
        why(&plan, "n0", Action::Create)
            .contains("3 tenants would be created; the limit is 2; limits.creates")
    );
    scene.approve(&plan.removals_id.unwrap(), 1);
    assert_eq!(counts(&scene.converge()), (3, 0));
}

#[test]
fn a_surge_of_updates_counts_tenants_and_not_steps() {
    let mut scene = Scene::of_size(10);
    scene.policy.limits.updates = Some(Limit { count: 2, percent: 0 });
    scene.policy.limits.disables = Limit { count: 10, percent: 0 };
    for of in ["t00", "t01"] {
        scene.edit(of, |tenant| {
            tenant.session_timeout = 30;
            tenant.domain = super::scene::domain(&format!("new-{of}.example.com"));
        });
    }
    assert_eq!(scene.plan().steps.len(), 4);
    scene.edit("t02", |tenant| tenant.instance = instance("branch"));
    scene.edit("t03", |tenant| tenant.enabled = false);
    let plan = scene.plan();
    assert_eq!(steps(&plan), "disable t03");
    assert_eq!(held(&plan), "rename t00, update t00, rename t01, update t01, move t02");
    assert!(
        why(&plan, "t00", Action::Update)
            .contains("3 tenants would be changed; the limit is 2; limits.updates")
    );
}

#[test]
fn all_tenants_of_an_instance_are_never_moved_away_at_once() {
    let mut scene = Scene::of_size(3);
    ["t00", "t01"].into_iter().for_each(|of| scene.edit(of, |tenant| tenant.instance = instance("branch")));
    assert_eq!(steps(&scene.plan()), "move t00, move t01");
    let mut closed = scene.clone();
    closed.edit("t02", |tenant| tenant.enabled = false);
    assert_eq!(held(&closed.plan()), "move t00, move t01, disable t02");
    scene.edit("t02", |tenant| tenant.instance = instance("branch"));
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move t00, move t01, move t02"));
    assert!(why(&plan, "t00", Action::Move).contains("it would leave hq without an enabled tenant (3 of 3"));
    let id = plan.removals_id.unwrap();
    scene.edit("t02", |tenant| tenant.name = "Another".into());
    let other = scene.plan().removals_id.unwrap();
    assert_ne!(other, id, "exactly this plan");
    scene.approve(&other, 1);
    assert_eq!(steps(&scene.converge()), "move t00, move t01, move t02");
}

#[test]
fn new_tenants_beyond_the_tier_are_held_and_the_others_stay() {
    let mut scene = Scene::of_size(3);
    scene.policy.max_tenants = Some(4);
    scene.want(testing::wanted("new-one"));
    assert_eq!(steps(&scene.plan()), "create new-one");
    scene.want(testing::wanted("new-two"));
    scene.foreign("hq", 1, "new-two.example.com");
    scene.edit("new-two", |tenant| tenant.adopt = true);
    scene.edit("t00", |tenant| tenant.session_timeout = 30);
    let plan = scene.plan();
    assert_eq!(
        (steps(&plan).as_str(), held(&plan).as_str()),
        ("update t00", "create new-one, adopt new-two")
    );
    assert_eq!(
        why(&plan, "new-two", Action::Adopt),
        "the tier allows 4 tenants (tier.max_tenants); there are 3, and 2 are new"
    );
    scene.policy.max_tenants = Some(5);
    assert_eq!(steps(&scene.plan()), "create new-one, adopt new-two, update t00");
    scene.policy.max_tenants = Some(4);
    // Whose file is gone makes room.
    scene.removed("t01", 1);
    assert_eq!(steps(&scene.plan()), "create new-one, adopt new-two, update t00");
    // What has a record is not new, however many there are.
    scene.policy.max_tenants = Some(1);
    scene.vanish("t02");
    assert_eq!(steps(&scene.plan()), "update t00, create t02");
}
