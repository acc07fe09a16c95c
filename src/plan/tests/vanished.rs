//! Domains that are gone from their PBX, one or many at once.

use super::scene::{Scene, held, key, steps, why};
use crate::config::Limit;
use crate::model::testing;
use crate::plan::Action;

#[test]
fn a_domain_that_is_gone_is_made_again_under_its_identity() {
    let mut scene = Scene::of(["acme", "globex"]);
    let id = scene.pbx("acme").id;
    scene.vanish("acme");
    let plan = scene.converge();
    assert_eq!(steps(&plan), "create acme");
    assert_eq!(plan.steps[0].reason, "drift: its domain is gone from the PBX, so it is made again");
    assert_eq!(plan.previews[&key("acme")].before, None);
    assert_eq!(scene.pbx("acme").id, id);
}

#[test]
fn a_domain_whose_name_another_one_has_now_is_not_made_again() {
    let mut scene = Scene::of(["acme"]);
    scene.vanish("acme");
    scene.foreign("hq", 1, "acme.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(
        why(&plan, "acme", Action::Create)
            .contains("the domain acme.example.com already exists on hq and tenantd does not manage it")
    );
}

#[test]
fn many_domains_gone_at_once_is_another_server_and_nothing_is_made_again() {
    let gone = |count: usize, of: usize| {
        let mut scene = Scene::of_size(of);
        (0..count).for_each(|n| scene.vanish(&format!("t{n:02}")));
        scene
    };
    assert_eq!(gone(1, 5).plan().count(Action::Create), 1);
    let plan = gone(2, 19).plan();
    assert_eq!((plan.steps.len(), plan.held.len()), (0, 2));
    let reason = why(&plan, "t00", Action::Create);
    assert!(reason.starts_with("2 recorded domains are missing on hq at once"));
    assert!(reason.ends_with("so nothing is made again"));
    assert_eq!(gone(2, 20).plan().count(Action::Create), 2);
    assert_eq!(gone(3, 20).plan().count(Action::Create), 0);
    let mut scene = gone(2, 5);
    scene.policy.limits.removals = Limit { count: 2, percent: 0 };
    assert_eq!(scene.plan().count(Action::Create), 2);
    // Unfinished creations were never there.
    let mut scene = gone(3, 5);
    ["t00", "t01"].into_iter().for_each(|of| scene.record(of).provisioned = false);
    assert_eq!(scene.plan().count(Action::Create), 3);
    assert_eq!(scene.plan().steps[0].reason, "an earlier pass did not finish making it");
}

#[test]
fn another_instance_that_lost_domains_holds_nothing_here() {
    let mut scene = Scene::of(["acme", "globex"]);
    for of in ["b1", "b2", "b3"] {
        let mut tenant = testing::wanted(of);
        tenant.instance = super::scene::instance("branch");
        scene.agree(tenant);
        scene.vanish(of);
    }
    scene.vanish("acme");
    assert_eq!(steps(&scene.plan()), "create acme");
}

/// Ten tenants on `hq`, of which it lost two, and a lot to do.
fn another_server() -> Scene {
    let mut scene = Scene::of_size(10);
    ["t00", "t01"].into_iter().for_each(|of| scene.vanish(of));
    scene
}

#[test]
fn nothing_is_changed_on_a_server_that_lost_many_of_our_domains() {
    let mut scene = another_server();
    scene.want(testing::wanted("new"));
    scene.edit("t02", |tenant| tenant.name = "Another".into());
    scene.edit("t03", |tenant| tenant.enabled = false);
    scene.edit("t04", |tenant| tenant.domain = super::scene::domain("new4.example.com"));
    scene.edit("t05", |tenant| tenant.instance = super::scene::instance("branch"));
    scene.removed("t06", 31);
    scene.policy.allow_delete.insert(key("t06"));
    let plan = scene.plan();
    assert_eq!(steps(&plan), "");
    assert_eq!(
        held(&plan),
        "create new, create t00, create t01, update t02, disable t03, rename t04, move t05, delete t06"
    );
    assert_eq!(
        why(&plan, "t02", Action::Update),
        "2 recorded domains are missing on hq at once: it may be another server or a restored backup, so nothing is \
         changed there"
    );
    // To it is as wrong as from it.
    let mut mover = testing::wanted("mover");
    mover.instance = super::scene::instance("branch");
    scene.agree(mover);
    scene.edit("mover", |tenant| tenant.instance = super::scene::instance("hq"));
    assert!(why(&scene.plan(), "mover", Action::Move).contains("missing on hq at once"));
}

#[test]
fn a_server_that_lost_domains_holds_nothing_that_only_the_database_sees() {
    let mut scene = another_server();
    scene.git_mv("t02", "t02b");
    scene.remove_file("t00");
    scene.former("t05", "branch", 1);
    scene.domains("branch").clear();
    let plan = scene.plan();
    assert_eq!(steps(&plan), "disable t00, rename t02b, forget t05");
    scene.removed("t03", 31);
    scene.vanish("t03");
    scene.policy.allow_delete.insert(key("t03"));
    assert_eq!(held(&scene.plan()), "disable t00, create t01, forget t03", "two are more than the limit");
    scene.recorded.tenants.remove(&key("t00"));
    scene.vanish("t04");
    assert_eq!(steps(&scene.plan()), "rename t02b, forget t03, forget t05");
}

#[test]
fn what_is_to_be_deleted_anyway_is_not_missed() {
    let mut scene = Scene::of_size(10);
    for of in ["t00", "t01", "t02"] {
        scene.removed(of, 1);
        scene.vanish(of);
    }
    scene.vanish("t03");
    assert_eq!(steps(&scene.plan()), "create t03");
}
