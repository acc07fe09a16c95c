//! How many tenants a rolling day may lose, and what one plan may change.

use chrono::TimeDelta;

use super::scene::{Scene, domain, held, instance, key, steps, why};
use crate::config::{DeletionMode, Limit};
use crate::model::{RemovalKind, testing};
use crate::plan::{Action, Plan};

pub fn removing(of: usize, count: usize) -> Scene {
    let mut scene = Scene::of_size(of);
    (0..count).for_each(|n| scene.remove_file(&format!("t{n:02}")));
    scene
}

pub fn disabling(of: usize, count: usize) -> Scene {
    let mut scene = Scene::of_size(of);
    (0..count).for_each(|n| scene.edit(&format!("t{n:02}"), |tenant| tenant.enabled = false));
    scene
}

pub fn counts(plan: &Plan) -> (usize, usize) {
    (plan.steps.len(), plan.held.len())
}

#[test]
fn removals_are_limited_to_one_or_a_tenth() {
    assert_eq!(counts(&removing(3, 1).plan()), (1, 0));
    assert_eq!(counts(&removing(19, 1).plan()), (1, 0));
    assert_eq!(counts(&removing(19, 2).plan()), (0, 2), "a tenth of 19 is rounded down");
    assert_eq!(counts(&removing(20, 2).plan()), (2, 0));
    assert_eq!(counts(&removing(20, 3).plan()), (0, 3));
    assert_eq!(counts(&removing(9, 9).plan()), (0, 9), "9 of 9");
    assert_eq!(counts(&removing(10, 3).plan()), (0, 3), "3 of 10");
}

#[test]
fn explicit_disables_are_limited_to_three_or_a_fifth() {
    assert_eq!(counts(&disabling(9, 3).plan()), (3, 0));
    assert_eq!(counts(&disabling(9, 4).plan()), (0, 4));
    assert_eq!(counts(&disabling(19, 4).plan()), (0, 4), "a fifth of 19 is rounded down");
    assert_eq!(counts(&disabling(20, 4).plan()), (4, 0));
    assert_eq!(counts(&disabling(20, 5).plan()), (0, 5));
}

pub fn renaming(of: usize, count: usize) -> Scene {
    let mut scene = Scene::of_size(of);
    (0..count).for_each(|n| {
        scene.edit(&format!("t{n:02}"), |t| t.domain = domain(&format!("new{n:02}.example.com")))
    });
    scene
}

#[test]
fn renames_and_moves_count_like_disables() {
    assert_eq!(counts(&renaming(9, 3).plan()), (3, 0));
    let plan = renaming(9, 4).plan();
    assert_eq!(counts(&plan), (0, 4));
    assert_eq!(
        why(&plan, "t00", Action::Rename),
        "4 tenants would be renamed; the limit is 3; limits.disables is max(3, 20 % of 9)"
    );
    let id = plan.removals_id.clone().unwrap();
    assert_eq!(plan.held[0].lift, Some(format!("tenantd approve {id}")));

    let mut scene = renaming(9, 2);
    scene.edit("t02", |tenant| tenant.instance = instance("branch"));
    assert_eq!(counts(&scene.clone().plan()), (3, 0));
    scene.edit("t03", |tenant| tenant.enabled = false);
    let plan = scene.plan();
    assert_eq!(held(&plan), "rename t00, rename t01, move t02, disable t03");
    assert!(why(&plan, "t02", Action::Move).starts_with("4 tenants would be disabled, moved or renamed;"));

    // An approval is for these new domains and no others.
    scene.approve(plan.removals_id.as_deref().unwrap(), 1);
    assert_eq!(counts(&scene.clone().plan()), (4, 0));
    scene.edit("t00", |tenant| tenant.domain = domain("another.example.com"));
    assert_eq!(counts(&scene.plan()), (0, 4));
}

#[test]
fn renames_count_for_a_day_and_each_tenant_once() {
    let mut scene = renaming(9, 3);
    scene.converge();
    scene.edit("t03", |tenant| tenant.domain = domain("fourth.example.com"));
    assert_eq!(held(&scene.plan()), "rename t03");
    assert!(why(&scene.plan(), "t03", Action::Rename).starts_with("4 tenants (3 of them in the last 24 h)"));
    // Again the same tenant: it was counted. To disable it is more than what was counted, and is looked at anew.
    scene.edit("t00", |tenant| {
        tenant.domain = domain("again.example.com");
        tenant.enabled = false;
    });
    assert_eq!(steps(&scene.plan()), "rename t00");
    assert_eq!(held(&scene.plan()), "disable t00, rename t03");
    scene.later(TimeDelta::hours(24));
    assert_eq!(held(&scene.plan()), "");
}

#[test]
fn an_approved_rename_is_no_approval_of_a_disable() {
    let mut scene = renaming(9, 4);
    let id = scene.plan().removals_id.unwrap();
    scene.approve(&id, 1);
    assert_eq!(scene.converge().count(Action::Rename), 4);
    scene.later(TimeDelta::hours(2));
    (0..4).for_each(|n| scene.edit(&format!("t{n:02}"), |tenant| tenant.enabled = false));
    let plan = scene.plan();
    assert_eq!(held(&plan), "disable t00, disable t01, disable t02, disable t03");
    assert!(why(&plan, "t00", Action::Disable).starts_with("4 tenants (4 of them in the last 24 h)"));
    // Nor is the name changed once more.
    scene.edit("t00", |tenant| tenant.domain = domain("again.example.com"));
    assert_eq!(steps(&scene.plan()), "rename t00");
}

#[test]
fn what_interrupts_nobody_counts_as_nothing() {
    // A disabled tenant has no phones; another key does not touch the PBX.
    let mut scene = Scene::of_size(9);
    for n in 0..9 {
        scene.git_mv(&format!("t{n:02}"), &format!("k{n:02}"));
    }
    assert_eq!(counts(&scene.plan()), (9, 0));
    let mut scene = Scene::of_size(0);
    for n in 0..5 {
        let mut tenant = testing::wanted(&format!("t{n:02}"));
        tenant.enabled = false;
        scene.agree(tenant);
        scene.edit(&format!("t{n:02}"), |t| t.domain = domain(&format!("new{n:02}.example.com")));
    }
    assert_eq!(scene.plan().count(Action::Rename), 5);
}

#[test]
fn a_new_key_is_not_held_with_the_new_domain() {
    let mut scene = renaming(9, 4);
    scene.git_mv("t00", "renamed");
    scene.edit("renamed", |tenant| tenant.previously = Some(key("t00")));
    let plan = scene.plan();
    assert_eq!(steps(&plan), "rename renamed");
    assert_eq!(plan.steps[0].changes[0].field, crate::diff::Field::Key);
    assert_eq!(held(&plan), "rename renamed, rename t01, rename t02, rename t03");
}

#[test]
fn removals_and_explicit_disables_have_limits_of_their_own() {
    let mut scene = disabling(10, 3);
    scene.remove_file("t09");
    assert_eq!(counts(&scene.converge()), (4, 0));
    let mut scene = disabling(10, 3);
    scene.remove_file("t08");
    scene.remove_file("t09");
    let plan = scene.converge();
    assert_eq!(steps(&plan), "disable t00, disable t01, disable t02");
    assert_eq!(held(&plan), "disable t08, disable t09");
}

#[test]
fn past_a_limit_the_removals_are_held_and_the_rest_goes_on() {
    let mut scene = removing(10, 2);
    scene.edit("t05", |tenant| tenant.session_timeout = 30);
    scene.want(testing::wanted("new"));
    let plan = scene.converge();
    assert_eq!(
        (steps(&plan).as_str(), held(&plan).as_str()),
        ("create new, update t05", "disable t00, disable t01")
    );
}

#[test]
fn the_message_has_the_count_the_limit_its_key_and_the_command() {
    let mut scene = removing(10, 2);
    scene.removed_lately("t09", RemovalKind::FileGone, 3);
    let plan = scene.plan();
    let id = plan.removals_id.clone().unwrap();
    let reason = "3 tenants (1 of them in the last 24 h) would be removed; the limit is 1; limits.removals is \
                  max(1, 10 % of 10)";
    assert_eq!(why(&plan, "t00", Action::Disable), reason);
    assert_eq!(plan.held[0].lift, Some(format!("tenantd approve {id}")));
    assert_eq!(plan.warnings, [format!("held: {reason}; to go ahead: tenantd approve {id}")]);
    let plan = disabling(9, 4).plan();
    assert_eq!(
        why(&plan, "t00", Action::Disable),
        "4 tenants would be disabled; the limit is 3; limits.disables is max(3, 20 % of 9)"
    );
}

#[test]
fn one_a_minute_is_limited_like_all_at_once() {
    let mut scene = Scene::of_size(20);
    let mut gone = 0;
    for n in 0..20 {
        scene.remove_file(&format!("t{n:02}"));
        gone += scene.pass().count(Action::Disable);
        scene.later(TimeDelta::minutes(1));
    }
    assert_eq!(gone, 2, "a tenth of 20");
    assert_eq!(scene.plan().held.len(), 18);
}

/// The window is in the database, so that a restart forgets nothing.
#[test]
fn a_restart_between_slices_opens_no_new_window() {
    let mut scene = removing(10, 1);
    scene.converge();
    let mut after_a_restart = Scene { recorded: scene.recorded.clone(), ..Scene::of_size(10) };
    after_a_restart.observed = scene.observed.clone();
    after_a_restart.now = scene.now + TimeDelta::hours(1);
    after_a_restart.remove_file("t00");
    after_a_restart.remove_file("t01");
    assert_eq!(held(&after_a_restart.plan()), "disable t01");
}

#[test]
fn a_day_later_the_next_may_go() {
    let mut scene = removing(10, 1);
    scene.converge();
    scene.remove_file("t01");
    scene.later(TimeDelta::hours(24) - TimeDelta::seconds(1));
    assert_eq!(steps(&scene.plan()), "");
    scene.later(TimeDelta::seconds(1));
    assert_eq!(steps(&scene.plan()), "disable t01");
}

#[test]
fn a_tenant_counts_once_however_many_steps_and_times() {
    // Disabled because its file is gone, and deleted within the same day.
    let mut scene = removing(10, 1);
    scene.policy.deletion = crate::config::Deletion { mode: DeletionMode::Automatic, retention_days: 0 };
    scene.pass();
    assert_eq!(steps(&scene.pass()), "delete t00");
    // Gone, back, and gone again.
    let mut scene = removing(10, 1);
    let t00 = testing::wanted("t00");
    for _ in 0..3 {
        assert_eq!(steps(&scene.converge()), "disable t00");
        scene.want(t00.clone());
        scene.converge();
        scene.remove_file("t00");
    }
}

#[test]
fn a_limit_that_is_used_up_holds_only_those_who_come_on_top() {
    let mut scene = removing(10, 2);
    scene.removed_lately("t00", RemovalKind::FileGone, 3);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("disable t00", "disable t01"));
}

#[test]
fn each_window_counts_its_own_kinds() {
    for (kind, removal, disable) in [
        (RemovalKind::FileGone, false, true),
        (RemovalKind::Deleted, false, true),
        (RemovalKind::Disabled, true, false),
    ] {
        let mut scene = Scene::of_size(9);
        ["t06", "t07", "t08"].into_iter().for_each(|of| scene.removed_lately(of, kind, 1));
        scene.edit("t00", |tenant| tenant.enabled = false);
        scene.remove_file("t01");
        let plan = scene.plan();
        let planned = |of| plan.steps.iter().any(|step| step.tenant == key(of));
        assert_eq!((planned("t01"), planned("t00")), (removal, disable), "{kind:?}");
    }
}

#[test]
fn deletions_are_limited_like_files_that_go() {
    let mut scene = Scene::of_size(12);
    scene.policy.deletion.mode = DeletionMode::Automatic;
    scene.removed("t00", 31);
    scene.removed("t01", 31);
    assert_eq!(held(&scene.plan()), "delete t00, delete t01");
    scene.removed("t01", 29);
    assert_eq!(steps(&scene.converge()), "delete t00");
    scene.remove_file("t02");
    assert_eq!(held(&scene.converge()), "disable t02", "one was deleted today");
}

#[test]
fn what_was_forgotten_counts_like_what_was_deleted() {
    let mut scene = Scene::of_size(12);
    scene.policy.deletion.mode = DeletionMode::Automatic;
    ["t00", "t01"].into_iter().for_each(|of| {
        scene.removed(of, 31);
        scene.vanish(of);
    });
    assert_eq!(held(&scene.plan()), "forget t00, forget t01");
}

#[test]
fn a_deletion_that_waits_for_approval_uses_up_no_limit() {
    let mut scene = Scene::of_size(12);
    scene.removed("t00", 31);
    scene.remove_file("t01");
    let plan = scene.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("disable t01", "delete t00"));
}

#[test]
fn a_limit_of_nothing_holds_everything() {
    let none = Limit { count: 0, percent: 0 };
    let mut scene = removing(100, 1);
    scene.policy.limits.removals = none;
    assert_eq!(counts(&scene.plan()), (0, 1));
    let mut scene = disabling(100, 1);
    scene.policy.limits.disables = none;
    assert_eq!(counts(&scene.plan()), (0, 1));
    let mut scene = Scene::of_size(3);
    scene.policy.limits.creates = Some(none);
    scene.want(testing::wanted("new"));
    assert_eq!(held(&scene.plan()), "create new");
    scene.policy.limits.removals = none;
    assert_eq!(scene.plan().steps.len(), 0, "and no limit is exceeded where nothing is to be done");
}

#[test]
fn a_count_of_nothing_leaves_the_percentage() {
    let mut scene = removing(10, 1);
    scene.policy.limits.removals = Limit { count: 0, percent: 10 };
    assert_eq!(counts(&scene.plan()), (1, 0));
    let mut scene = removing(9, 1);
    scene.policy.limits.removals = Limit { count: 0, percent: 10 };
    assert_eq!(counts(&scene.plan()), (0, 1));
}

#[test]
fn absurd_limits_do_not_overflow() {
    let mut scene = removing(9, 8);
    scene.policy.limits.removals = Limit { count: u32::MAX, percent: u32::MAX };
    assert_eq!(counts(&scene.plan()), (8, 0));
}

#[test]
fn a_move_that_disables_counts_like_a_disable() {
    let mut scene = Scene::of_size(9);
    (0..3).for_each(|n| {
        scene.edit(&format!("t{n:02}"), |tenant| {
            tenant.enabled = false;
            tenant.instance = instance("branch");
        });
    });
    assert_eq!(
        steps(&scene.clone().converge()),
        "disable t00, move t00, disable t01, move t01, disable t02, move t02"
    );
    scene.edit("t03", |tenant| tenant.enabled = false);
    scene.edit("t04", |tenant| tenant.instance = instance("branch"));
    let plan = scene.plan();
    assert_eq!(steps(&plan), "");
    assert_eq!(
        held(&plan),
        "move t00, disable t00, move t01, disable t01, move t02, disable t02, disable t03, move t04"
    );
    assert_eq!(why(&plan, "t00", Action::Move), "it waits for its disabling, which is held");
    let id = plan.removals_id.unwrap();
    assert!(plan.held.iter().all(|held| held.lift == Some(format!("tenantd approve {id}"))));
    scene.approve(&id, 1);
    assert_eq!(scene.converge().steps.len(), 8);
    let mut scene = Scene::of(["acme", "globex"]);
    scene.edit("acme", |acme| (acme.enabled, acme.instance) = (false, instance("branch")));
    let plan = scene.plan();
    let fields = |step: &crate::plan::Step| -> Vec<String> {
        step.changes.iter().map(|change| change.field.to_string()).collect()
    };
    assert_eq!(
        (fields(&plan.steps[0]), fields(&plan.steps[1])),
        (vec!["enabled".into()], vec!["pbx_instance".into()])
    );
    scene.vanish("acme");
    assert_eq!(steps(&scene.converge()), "disable acme, move acme");
}

#[test]
fn a_move_of_a_tenant_that_is_disabled_waits_for_nothing() {
    let mut scene = Scene::of(["globex"]);
    let mut acme = testing::wanted("acme");
    acme.enabled = false;
    scene.agree(acme);
    scene.edit("acme", |acme| acme.instance = instance("branch"));
    assert_eq!(steps(&scene.converge()), "move acme");
}

#[test]
fn making_again_or_taking_over_what_the_file_disables_counts_like_a_disable() {
    let mut scene = disabling(9, 2);
    scene.vanish("t00");
    let mut adopted = testing::wanted("adopted");
    (adopted.adopt, adopted.enabled) = (true, false);
    scene.want(adopted);
    let id = scene.foreign("hq", 1, "adopted.example.com");
    assert_eq!(steps(&scene.plan()), "adopt adopted, create t00, disable t01");
    scene.edit("t02", |tenant| tenant.enabled = false);
    let plan = scene.plan();
    assert_eq!(held(&plan), "adopt adopted, create t00, disable t01, disable t02");
    scene.domains("hq").get_mut(&id).unwrap().enabled = Some(false);
    assert_eq!(scene.plan().steps.len(), 4, "it was closed when it was found");
    let mut scene = disabling(2, 2);
    scene.vanish("t00");
    assert_eq!(held(&scene.plan()), "create t00, disable t01", "all of an instance");
}
