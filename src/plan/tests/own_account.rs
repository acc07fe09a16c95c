//! The domain that tenantd's own account lives in is never closed, renamed or deleted.

use super::scene::{Scene, domain, held, instance, steps, why};
use crate::config::DeletionMode;
use crate::plan::Action;

fn own() -> Scene {
    let mut scene = Scene::of(["acme", "globex", "umbrella"]);
    scene.policy.own_domains = [(instance("hq"), "acme.example.com".to_owned())].into();
    scene
}

#[test]
fn it_may_be_managed_otherwise() {
    let mut scene = own();
    scene.edit("acme", |acme| acme.name = "Acme".into());
    assert_eq!(steps(&scene.converge()), "update acme");
}

#[test]
fn it_is_not_disabled_when_its_file_says_so() {
    let mut scene = own();
    scene.edit("acme", |acme| acme.enabled = false);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "disable acme"));
    assert!(why(&plan, "acme", Action::Disable).contains("would lock tenantd out"));
}

#[test]
fn it_is_not_disabled_or_deleted_when_its_file_goes() {
    let mut scene = own();
    scene.remove_file("acme");
    assert_eq!(held(&scene.plan()), "disable acme");
    scene.removed("acme", 31);
    scene.policy.deletion.mode = DeletionMode::Automatic;
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
}

#[test]
fn it_is_not_renamed() {
    let mut scene = own();
    scene.edit("acme", |acme| acme.domain = domain("new.example.com"));
    assert_eq!(held(&scene.plan()), "rename acme");
}

#[test]
fn it_is_not_moved_away() {
    let mut scene = own();
    scene.edit("acme", |acme| acme.instance = instance("branch"));
    let plan = scene.plan();
    assert!(why(&plan, "acme", Action::Move).contains("would lock tenantd out"));
}

#[test]
fn the_same_name_on_another_instance_is_another_domain() {
    let mut scene = own();
    scene.policy.own_domains = [(instance("branch"), "acme.example.com".to_owned())].into();
    scene.edit("acme", |acme| acme.enabled = false);
    assert_eq!(steps(&scene.plan()), "disable acme");
}
