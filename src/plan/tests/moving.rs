//! Another PBX instance, and what is left behind on the old one.

use chrono::TimeDelta;

use super::scene::{Scene, domain, held, instance, key, lock_row, steps, why};
use crate::config::DeletionMode;
use crate::model::testing;
use crate::plan::{Action, Work};

fn moving() -> Scene {
    let mut scene = Scene::of(["acme", "globex", "umbrella"]);
    scene.edit("acme", |acme| acme.instance = instance("branch"));
    scene
}

/// A tenant that moved to `hq` so many days ago; what it left on `branch` is closed.
fn moved(days_ago: i64) -> Scene {
    let mut scene = Scene::of(["acme", "globex", "umbrella"]);
    scene.former("acme", "branch", days_ago);
    scene
}

#[test]
fn a_move_makes_it_there_and_closes_it_here() {
    let mut scene = moving();
    let old = scene.pbx("acme").id;
    let plan = scene.converge();
    assert_eq!(steps(&plan), "move acme");
    assert_eq!(plan.steps[0].instance, instance("branch"));
    assert!(plan.warnings[0].contains("does not take extensions and call routing along"));
    assert_eq!(scene.domains("hq")[&old].enabled, Some(false));
    assert_ne!(scene.pbx("acme").id, old);
    let plan = scene.plan();
    assert_eq!(plan.waiting[0].until, scene.now + TimeDelta::days(30));
    assert_eq!(plan.waiting[0].instance, instance("hq"));
}

#[test]
fn a_move_needs_both_sides_to_be_known() {
    for on in ["hq", "branch"] {
        let mut scene = moving();
        scene.lose(on);
        let plan = scene.plan();
        assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move acme"), "{on}");
        assert!(why(&plan, "acme", Action::Move).contains(&format!("the instance {on} is unknown")));
    }
}

#[test]
fn a_move_with_other_changes_shows_them_all() {
    let mut scene = moving();
    scene.git_mv("acme", "acme2");
    scene.edit("acme2", |acme| acme.name = "Acme".into());
    let plan = scene.converge();
    assert_eq!(steps(&plan), "rename acme2, move acme2");
    let fields: Vec<String> = plan.steps[1].changes.iter().map(|change| change.field.to_string()).collect();
    assert_eq!(fields, ["name", "pbx_instance"]);
}

#[test]
fn a_name_that_is_taken_there_holds_a_move() {
    let mut scene = moving();
    scene.foreign("branch", 1, "acme.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move acme"));
    assert!(
        why(&plan, "acme", Action::Move).contains("already exists on branch and tenantd does not manage it")
    );
    let mut scene = moving();
    let mut other = testing::wanted("other");
    other.instance = instance("branch");
    scene.agree(other);
    scene.pbx("other").name = "acme.example.com".into();
    let plan = scene.plan();
    assert!(why(&plan, "acme", Action::Move).contains("is kept for the tenant other"));
}

#[test]
fn a_domain_that_another_tenant_still_has_holds_a_move() {
    let mut scene = moving();
    scene.edit("acme", |acme| acme.domain = domain("globex.example.com"));
    scene.edit("globex", |globex| globex.domain = domain("new.example.com"));
    let plan = scene.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename globex", "move acme"));
    assert!(why(&plan, "acme", Action::Move).contains("still belongs to the tenant globex"));
    assert_eq!(steps(&scene.converge()), "move acme");
}

#[test]
fn a_tenant_that_comes_back_finds_what_it_left() {
    let mut scene = moved(3);
    let left = scene.recorded.former[0].domain_id;
    scene.edit("acme", |acme| acme.instance = instance("branch"));
    let plan = scene.plan();
    assert_eq!(steps(&plan), "move acme");
    assert!(matches!(plan.steps[0].work, Work::Move { returns_to: Some(id), .. } if id == left));
    scene.converge();
    assert_eq!(scene.pbx("acme").id, left);
    assert_eq!(scene.pbx("acme").enabled, Some(true));
    assert_eq!(scene.recorded.former.len(), 1);
}

#[test]
fn a_tenant_that_comes_back_after_the_retention_is_not_deleted_on_its_way() {
    let mut scene = moved(31);
    scene.policy.deletion.mode = DeletionMode::Automatic;
    scene.edit("acme", |acme| acme.instance = instance("branch"));
    assert_eq!(steps(&scene.converge()), "move acme");
}

#[test]
fn a_second_domain_of_the_name_holds_a_return() {
    let mut scene = moved(3);
    scene.edit("acme", |acme| acme.instance = instance("branch"));
    scene.foreign("branch", 1, "acme.example.com");
    assert_eq!(held(&scene.plan()), "move acme");
}

#[test]
fn what_was_left_behind_is_deleted_under_the_same_rule() {
    let mut scene = moved(30);
    let plan = scene.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).starts_with("deleting it needs approval"));
    let word = format!("tenantd approve {}", plan.removals_id.as_deref().unwrap());
    assert_eq!(
        plan.held[0].lift,
        Some(word),
        "the tenant has a file, so its own deletion cannot be approved"
    );
    let mut young = scene.clone();
    young.approve_deletion("acme", 1);
    young.now -= TimeDelta::seconds(1);
    let plan = young.plan();
    assert!(plan.is_empty());
    assert_eq!(plan.waiting.len(), 1);
    let mut never = scene.clone();
    never.policy.deletion.mode = DeletionMode::Never;
    let plan = never.plan();
    assert!(plan.is_empty() && plan.waiting.is_empty());
    let mut protected = scene.clone();
    protected.policy.deletion.mode = DeletionMode::Automatic;
    protected.edit("acme", |acme| acme.protected = true);
    protected.record("acme").protected = true;
    let plan = protected.plan();
    assert!(why(&plan, "acme", Action::Delete).contains("the tenant is protected"));
    let mut partial = scene.clone();
    partial.policy.deletion.mode = DeletionMode::Automatic;
    partial.break_file("globex");
    let plan = partial.plan();
    assert!(why(&plan, "acme", Action::Delete).contains("until every file can be read"));
    scene.approve_deletion("acme", 1);
    assert_eq!(steps(&scene.converge()), "delete acme");
    assert!(scene.plan().is_empty());
    assert_eq!(scene.pbx("acme").enabled, Some(true), "the tenant itself is where it was");
}

#[test]
fn what_was_left_behind_stays_closed() {
    for enabled in [Some(true), None] {
        let mut scene = moved(31);
        scene.policy.deletion.mode = DeletionMode::Automatic;
        let id = scene.recorded.former[0].domain_id;
        scene.domains("branch").get_mut(&id).unwrap().enabled = enabled;
        let plan = scene.pass();
        assert_eq!(steps(&plan), "disable acme", "{enabled:?}");
        assert!(matches!(plan.steps[0].work, Work::DisableFormer { .. }));
        assert_eq!(plan.steps[0].instance, instance("branch"));
        assert!(scene.plan().waiting.len() == 1, "its retention starts anew");
    }
    let mut scene = moved(31);
    scene.recorded.former[0].disable_confirmed_at = None;
    assert_eq!(steps(&scene.pass()), "disable acme");
    let mut scene = moved(31);
    let id = scene.recorded.former[0].domain_id;
    scene.read_settings_of("branch", id, Vec::new());
    assert_eq!(steps(&scene.converge()), "disable acme", "its web sign-in is open");
    scene.read_settings_of("branch", id, vec![lock_row(id)]);
    assert_eq!(steps(&scene.plan()), "");
}

#[test]
fn what_was_left_behind_and_is_gone_is_forgotten() {
    let mut scene = moved(1);
    scene.domains("branch").clear();
    let plan = scene.converge();
    assert_eq!(steps(&plan), "forget acme");
    assert_eq!(plan.removals_id, None);
    assert!(scene.recorded.former.is_empty());
    let mut scene = moved(1);
    scene.lose("branch");
    assert!(scene.plan().is_empty(), "unknown is not gone");
}

#[test]
fn what_was_left_behind_goes_before_the_tenant_itself() {
    let mut scene = moved(31);
    scene.policy.deletion.mode = DeletionMode::Automatic;
    scene.removed("acme", 31);
    let plan = scene.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("delete acme", "delete acme"));
    assert!(matches!(plan.steps[0].work, Work::DeleteFormer { .. }));
    assert_eq!(steps(&scene.converge()), "delete acme");
    assert!(!scene.recorded.tenants.contains_key(&key("acme")));
}

#[test]
fn a_move_on_to_a_third_instance_leaves_two_behind() {
    let mut scene = moved(3);
    let view = scene.observed.instances[&instance("hq")].clone();
    scene.observed.instances.insert(instance("third"), view);
    scene.domains("third").clear();
    scene.edit("acme", |acme| acme.instance = instance("third"));
    assert_eq!(steps(&scene.converge()), "move acme");
    assert_eq!(scene.recorded.former.len(), 2);
    assert_eq!(scene.plan().waiting.len(), 2);
}

#[test]
fn a_moved_tenant_with_another_domain_gets_it_there() {
    let mut scene = moving();
    scene.edit("acme", |acme| acme.domain = domain("new.example.com"));
    assert_eq!(steps(&scene.converge()), "move acme");
    assert_eq!(scene.pbx("acme").name, "new.example.com");
}

#[test]
fn a_tenant_that_comes_back_under_another_key_is_not_deleted_on_its_way() {
    let mut scene = moved(31);
    let left = scene.recorded.former[0].domain_id;
    scene.policy.deletion.mode = DeletionMode::Automatic;
    scene.git_mv("acme", "acme2");
    scene.edit("acme2", |acme| acme.instance = instance("branch"));
    assert_eq!(steps(&scene.converge()), "rename acme2, move acme2");
    assert_eq!(scene.pbx("acme2").id, left);
}

#[test]
fn what_was_left_behind_follows_the_tenants_key() {
    let mut scene = moved(31);
    scene.policy.deletion.mode = DeletionMode::Automatic;
    scene.git_mv("acme", "zebra");
    let plan = scene.converge();
    assert_eq!(steps(&plan), "rename zebra, delete zebra", "one tenant's steps, in their order");
    let mut scene = moved(1);
    scene.git_mv("acme", "zebra");
    assert_eq!(scene.plan().waiting[0].tenant, key("zebra"));
}

#[test]
fn a_deletion_of_what_was_left_behind_is_finished_without_another_approval() {
    let mut scene = moved(31);
    let id = scene.recorded.former[0].domain_id;
    scene.read_settings_of("branch", id, Vec::new());
    scene.begun("acme", "branch", Action::Delete);
    let plan = scene.plan();
    assert_eq!(steps(&plan), "delete acme");
    assert_eq!(plan.steps[0].reason, "an earlier pass did not finish deleting what its move left behind");
    let mut waits = scene.clone();
    waits.recorded.clock_steady_since = Some(waits.now);
    assert_eq!(steps(&waits.plan()), "disable acme", "it is closed while it waits");
    scene.recorded.open_intents.clear();
    assert_eq!(steps(&scene.plan()), "disable acme", "else an open web sign-in is closed first");
    scene.read_settings_of("branch", id, vec![lock_row(id)]);
    assert_eq!(held(&scene.plan()), "delete acme");
    assert_eq!(scene.plan().held[0].reason.matches("its retention is over").count(), 1);
}

/// A move that died after its first transaction: the new domain is not there yet, and the old one is still in use.
fn cut_short() -> Scene {
    let mut scene = moved(0);
    let id = scene.recorded.former[0].domain_id;
    scene.recorded.former[0].disable_confirmed_at = None;
    scene.domains("branch").get_mut(&id).unwrap().enabled = Some(true);
    scene.record("acme").provisioned = false;
    scene.vanish("acme");
    scene
}

#[test]
fn a_move_that_was_cut_short_is_finished_in_the_next_pass() {
    let mut scene = cut_short();
    assert_eq!(steps(&scene.converge()), "create acme, disable acme");
    let mut scene = cut_short();
    scene.edit("acme", |acme| acme.enabled = false);
    assert_eq!(steps(&scene.converge()), "create acme, disable acme");
}

#[test]
fn what_a_tenant_leaves_stays_open_until_it_is_made_elsewhere() {
    let held_open = |change: &dyn Fn(&mut Scene)| {
        let mut scene = cut_short();
        change(&mut scene);
        let plan = scene.plan();
        assert_eq!(steps(&plan), "");
        assert!(
            why(&plan, "acme", Action::Disable)
                .starts_with("it stays open until the tenant is made elsewhere")
        );
        scene
    };
    held_open(&|scene| scene.lose("hq"));
    held_open(&|scene| scene.suspend(None, Some("hq"), 1));
    held_open(&|scene| scene.break_file("acme"));
    let mut scene = held_open(&|scene| {
        scene.foreign("hq", 1, "acme.example.com");
    });
    // The way out is the file's word, or that its file goes.
    scene.edit("acme", |acme| acme.enabled = false);
    assert_eq!(steps(&scene.plan()), "disable acme");
    scene.remove_file("acme");
    assert_eq!(steps(&scene.pass()), "disable acme");
    let plan = scene.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.steps[0].instance, instance("branch"));
}
