//! How many tenants a rolling day may lose, and what one plan may change.

use chrono::TimeDelta;

use super::fixture::{Fixture, domain, held, instance, key, steps, why};
use crate::config::{DeletionMode, Limit};
use crate::model::{RemovalKind, testing};
use crate::plan::{Action, Plan};

pub fn removing(of: usize, count: usize) -> Fixture {
    let mut fixture = Fixture::of_size(of);
    (0..count).for_each(|n| fixture.remove_file(&format!("t{n:02}")));
    fixture
}

pub fn disabling(of: usize, count: usize) -> Fixture {
    let mut fixture = Fixture::of_size(of);
    (0..count).for_each(|n| fixture.edit(&format!("t{n:02}"), |tenant| tenant.definition.enabled = false));
    fixture
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

pub fn renaming(of: usize, count: usize) -> Fixture {
    let mut fixture = Fixture::of_size(of);
    (0..count).for_each(|n| {
        fixture.edit(&format!("t{n:02}"), |t| t.definition.domain = domain(&format!("new{n:02}.example.com")))
    });
    fixture
}

#[test]
fn renames_and_moves_count_like_disables() {
    assert_eq!(counts(&renaming(9, 3).plan()), (3, 0));
    let plan = renaming(9, 4).plan();
    assert_eq!(counts(&plan), (0, 4));
    assert_eq!(
        why(&plan, "t00", Action::Rename),
        "4 tenants would be renamed; the limit is 3 (`limits.disables`: 3 or 20 % of 9, whichever is more)"
    );
    let id = plan.removals_id.clone().unwrap();
    assert_eq!(plan.held[0].lifted_by, Some(format!("tenantd approve {id}")));

    let mut fixture = renaming(9, 2);
    fixture.edit("t02", |tenant| tenant.definition.instance = instance("branch"));
    assert_eq!(counts(&fixture.clone().plan()), (3, 0));
    fixture.edit("t03", |tenant| tenant.definition.enabled = false);
    let plan = fixture.plan();
    assert_eq!(held(&plan), "rename t00, rename t01, move t02, disable t03");
    assert!(why(&plan, "t02", Action::Move).starts_with("4 tenants would be disabled, moved or renamed;"));

    // An approval is for these new domains and no others.
    fixture.approve(plan.removals_id.as_deref().unwrap(), 1);
    assert_eq!(counts(&fixture.clone().plan()), (4, 0));
    fixture.edit("t00", |tenant| tenant.definition.domain = domain("another.example.com"));
    assert_eq!(counts(&fixture.plan()), (0, 4));
}

#[test]
fn renames_count_for_a_day_and_each_tenant_once() {
    let mut fixture = renaming(9, 3);
    fixture.converge();
    fixture.edit("t03", |tenant| tenant.definition.domain = domain("fourth.example.com"));
    assert_eq!(held(&fixture.plan()), "rename t03");
    assert!(
        why(&fixture.plan(), "t03", Action::Rename)
            .starts_with("4 tenants would be renamed within 24 hours, 3 of them already")
    );
    // Again the same tenant: it was counted. To disable it is more than what was counted, and is checked again.
    fixture.edit("t00", |tenant| {
        tenant.definition.domain = domain("again.example.com");
        tenant.definition.enabled = false;
    });
    assert_eq!(steps(&fixture.plan()), "rename t00");
    assert_eq!(held(&fixture.plan()), "disable t00, rename t03");
    fixture.later(TimeDelta::hours(24));
    assert_eq!(held(&fixture.plan()), "");
}

#[test]
fn an_approved_rename_is_no_approval_of_a_disable() {
    let mut fixture = renaming(9, 4);
    let id = fixture.plan().removals_id.unwrap();
    fixture.approve(&id, 1);
    assert_eq!(fixture.converge().count(Action::Rename), 4);
    fixture.later(TimeDelta::hours(2));
    (0..4).for_each(|n| fixture.edit(&format!("t{n:02}"), |tenant| tenant.definition.enabled = false));
    let plan = fixture.plan();
    assert_eq!(held(&plan), "disable t00, disable t01, disable t02, disable t03");
    assert!(
        why(&plan, "t00", Action::Disable)
            .starts_with("4 tenants would be disabled within 24 hours, 4 of them already")
    );
    // Nor is the name changed once more.
    fixture.edit("t00", |tenant| tenant.definition.domain = domain("again.example.com"));
    assert_eq!(steps(&fixture.plan()), "rename t00");
}

#[test]
fn a_rename_that_interrupts_no_phone_does_not_count() {
    // A disabled tenant has no phones; another key does not touch the PBX.
    let mut fixture = Fixture::of_size(9);
    for n in 0..9 {
        fixture.git_mv(&format!("t{n:02}"), &format!("k{n:02}"));
    }
    assert_eq!(counts(&fixture.plan()), (9, 0));
    let mut fixture = Fixture::of_size(0);
    for n in 0..5 {
        let mut tenant = testing::wanted(&format!("t{n:02}"));
        tenant.definition.enabled = false;
        fixture.agree(tenant);
        fixture
            .edit(&format!("t{n:02}"), |t| t.definition.domain = domain(&format!("new{n:02}.example.com")));
    }
    assert_eq!(fixture.plan().count(Action::Rename), 5);
}

#[test]
fn a_new_key_is_not_held_with_the_new_domain() {
    let mut fixture = renaming(9, 4);
    fixture.git_mv("t00", "renamed");
    fixture.edit("renamed", |tenant| tenant.previously = Some(key("t00")));
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "rename renamed");
    assert_eq!(plan.steps[0].changes[0].field, crate::diff::Field::Key);
    assert_eq!(held(&plan), "rename renamed, rename t01, rename t02, rename t03");
}

#[test]
fn removals_and_explicit_disables_have_limits_of_their_own() {
    let mut fixture = disabling(10, 3);
    fixture.remove_file("t09");
    assert_eq!(counts(&fixture.converge()), (4, 0));
    let mut fixture = disabling(10, 3);
    fixture.remove_file("t08");
    fixture.remove_file("t09");
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable t00, disable t01, disable t02");
    assert_eq!(held(&plan), "disable t08, disable t09");
}

#[test]
fn past_a_limit_the_removals_are_held_and_the_rest_goes_on() {
    let mut fixture = removing(10, 2);
    fixture.edit("t05", |tenant| tenant.definition.session_timeout = 30);
    fixture.want(testing::wanted("new"));
    let plan = fixture.converge();
    assert_eq!(
        (steps(&plan).as_str(), held(&plan).as_str()),
        ("create new, update t05", "disable t00, disable t01")
    );
}

#[test]
fn the_message_has_the_count_the_limit_its_key_and_the_command() {
    let mut fixture = removing(10, 2);
    fixture.removed_lately("t09", RemovalKind::FileGone, 3);
    let plan = fixture.plan();
    let id = plan.removals_id.clone().unwrap();
    let reason = "3 tenants would be disabled (file removed) within 24 hours, 1 of them already; the limit is 1 \
                  (`limits.removals`: 1 or 10 % of 10, whichever is more)";
    assert_eq!(why(&plan, "t00", Action::Disable), reason);
    assert_eq!(plan.held[0].lifted_by, Some(format!("tenantd approve {id}")));
    assert_eq!(plan.warnings, [format!("held: {reason}; to go ahead: tenantd approve {id}")]);
    let plan = disabling(9, 4).plan();
    assert_eq!(
        why(&plan, "t00", Action::Disable),
        "4 tenants would be disabled; the limit is 3 (`limits.disables`: 3 or 20 % of 9, whichever is more)"
    );
}

#[test]
fn one_a_minute_is_limited_like_all_at_once() {
    let mut fixture = Fixture::of_size(20);
    let mut gone = 0;
    for n in 0..20 {
        fixture.remove_file(&format!("t{n:02}"));
        gone += fixture.pass().count(Action::Disable);
        fixture.later(TimeDelta::minutes(1));
    }
    assert_eq!(gone, 2, "a tenth of 20");
    assert_eq!(fixture.plan().held.len(), 18);
}

/// The window is in the database, so that a restart drops nothing.
#[test]
fn a_restart_between_slices_opens_no_new_window() {
    let mut fixture = removing(10, 1);
    fixture.converge();
    let mut after_a_restart = Fixture { recorded: fixture.recorded.clone(), ..Fixture::of_size(10) };
    after_a_restart.observed = fixture.observed.clone();
    after_a_restart.now = fixture.now + TimeDelta::hours(1);
    after_a_restart.remove_file("t00");
    after_a_restart.remove_file("t01");
    assert_eq!(held(&after_a_restart.plan()), "disable t01");
}

#[test]
fn a_day_later_the_next_may_go() {
    let mut fixture = removing(10, 1);
    fixture.converge();
    fixture.remove_file("t01");
    fixture.later(TimeDelta::hours(24) - TimeDelta::seconds(1));
    assert_eq!(steps(&fixture.plan()), "");
    fixture.later(TimeDelta::seconds(1));
    assert_eq!(steps(&fixture.plan()), "disable t01");
}

#[test]
fn a_tenant_counts_once_however_many_steps_and_times() {
    // Disabled because its file was removed, and deleted within the same day.
    let mut fixture = removing(10, 1);
    fixture.policy.deletion = crate::config::Deletion { mode: DeletionMode::Automatic, retention_days: 0 };
    fixture.pass();
    assert_eq!(steps(&fixture.pass()), "delete t00");
    // Gone, back, and gone again.
    let mut fixture = removing(10, 1);
    let t00 = testing::wanted("t00");
    for _ in 0..3 {
        assert_eq!(steps(&fixture.converge()), "disable t00");
        fixture.want(t00.clone());
        fixture.converge();
        fixture.remove_file("t00");
    }
}

#[test]
fn a_used_up_limit_holds_only_further_tenants() {
    let mut fixture = removing(10, 2);
    fixture.removed_lately("t00", RemovalKind::FileGone, 3);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("disable t00", "disable t01"));
}

#[test]
fn each_window_counts_its_own_kinds() {
    for (kind, removal, disable) in [
        (RemovalKind::FileGone, false, true),
        (RemovalKind::Deleted, false, true),
        (RemovalKind::Disabled, true, false),
    ] {
        let mut fixture = Fixture::of_size(9);
        ["t06", "t07", "t08"].into_iter().for_each(|of| fixture.removed_lately(of, kind, 1));
        fixture.edit("t00", |tenant| tenant.definition.enabled = false);
        fixture.remove_file("t01");
        let plan = fixture.plan();
        let planned = |of| plan.steps.iter().any(|step| step.tenant == key(of));
        assert_eq!((planned("t01"), planned("t00")), (removal, disable), "{kind:?}");
    }
}

#[test]
fn deletions_are_limited_like_files_that_go() {
    let mut fixture = Fixture::of_size(12);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    fixture.removed("t00", 31);
    fixture.removed("t01", 31);
    assert_eq!(held(&fixture.plan()), "delete t00, delete t01");
    fixture.removed("t01", 29);
    assert_eq!(steps(&fixture.converge()), "delete t00");
    fixture.remove_file("t02");
    assert_eq!(held(&fixture.converge()), "disable t02", "one was deleted today");
}

#[test]
fn a_deleted_record_counts_like_a_deletion() {
    let mut fixture = Fixture::of_size(12);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    ["t00", "t01"].into_iter().for_each(|of| {
        fixture.removed(of, 31);
        fixture.vanish(of);
    });
    assert_eq!(held(&fixture.plan()), "delete record t00, delete record t01");
}

#[test]
fn a_deletion_that_waits_for_approval_uses_up_no_limit() {
    let mut fixture = Fixture::of_size(12);
    fixture.removed("t00", 31);
    fixture.remove_file("t01");
    let plan = fixture.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("disable t01", "delete t00"));
}

#[test]
fn a_limit_of_nothing_holds_everything() {
    let none = Limit { count: 0, percent: 0 };
    let mut fixture = removing(100, 1);
    fixture.policy.limits.removals = none;
    assert_eq!(counts(&fixture.plan()), (0, 1));
    let mut fixture = disabling(100, 1);
    fixture.policy.limits.disables = none;
    assert_eq!(counts(&fixture.plan()), (0, 1));
    let mut fixture = Fixture::of_size(3);
    fixture.policy.limits.creates = Some(none);
    fixture.want(testing::wanted("new"));
    assert_eq!(held(&fixture.plan()), "create new");
    fixture.policy.limits.removals = none;
    assert_eq!(fixture.plan().steps.len(), 0, "and no limit is exceeded where nothing is to be done");
}

#[test]
fn a_count_of_nothing_leaves_the_percentage() {
    let mut fixture = removing(10, 1);
    fixture.policy.limits.removals = Limit { count: 0, percent: 10 };
    assert_eq!(counts(&fixture.plan()), (1, 0));
    let mut fixture = removing(9, 1);
    fixture.policy.limits.removals = Limit { count: 0, percent: 10 };
    assert_eq!(counts(&fixture.plan()), (0, 1));
}

#[test]
fn absurd_limits_do_not_overflow() {
    let mut fixture = removing(9, 8);
    fixture.policy.limits.removals = Limit { count: u32::MAX, percent: u32::MAX };
    assert_eq!(counts(&fixture.plan()), (8, 0));
}

#[test]
fn a_move_that_disables_counts_like_a_disable() {
    let mut fixture = Fixture::of_size(9);
    (0..3).for_each(|n| {
        fixture.edit(&format!("t{n:02}"), |tenant| {
            tenant.definition.enabled = false;
            tenant.definition.instance = instance("branch");
        });
    });
    assert_eq!(
        steps(&fixture.clone().converge()),
        "disable t00, move t00, disable t01, move t01, disable t02, move t02"
    );
    fixture.edit("t03", |tenant| tenant.definition.enabled = false);
    fixture.edit("t04", |tenant| tenant.definition.instance = instance("branch"));
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "");
    assert_eq!(
        held(&plan),
        "move t00, disable t00, move t01, disable t01, move t02, disable t02, disable t03, move t04"
    );
    assert_eq!(why(&plan, "t00", Action::Move), "the step that disables it is held");
    let id = plan.removals_id.unwrap();
    assert!(plan.held.iter().all(|held| held.lifted_by == Some(format!("tenantd approve {id}"))));
    fixture.approve(&id, 1);
    assert_eq!(fixture.converge().steps.len(), 8);
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.edit("acme", |acme| {
        (acme.definition.enabled, acme.definition.instance) = (false, instance("branch"))
    });
    let plan = fixture.plan();
    let fields = |step: &crate::plan::Step| -> Vec<String> {
        step.changes.iter().map(|change| change.field.to_string()).collect()
    };
    assert_eq!(
        (fields(&plan.steps[0]), fields(&plan.steps[1])),
        (vec!["enabled".into()], vec!["pbx_instance".into()])
    );
    fixture.vanish("acme");
    assert_eq!(steps(&fixture.converge()), "disable acme, move acme");
}

#[test]
fn a_move_of_a_tenant_that_is_disabled_waits_for_nothing() {
    let mut fixture = Fixture::of(["globex"]);
    let mut acme = testing::wanted("acme");
    acme.definition.enabled = false;
    fixture.agree(acme);
    fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
    assert_eq!(steps(&fixture.converge()), "move acme");
}

#[test]
fn recreating_or_adopting_a_disabled_tenant_counts_like_a_disable() {
    let mut fixture = disabling(9, 2);
    fixture.vanish("t00");
    let mut adopted = testing::wanted("adopted");
    (adopted.adopt, adopted.definition.enabled) = (true, false);
    fixture.want(adopted);
    let id = fixture.foreign("hq", 1, "adopted.example.com");
    assert_eq!(steps(&fixture.plan()), "adopt adopted, create t00, disable t01");
    fixture.edit("t02", |tenant| tenant.definition.enabled = false);
    let plan = fixture.plan();
    assert_eq!(held(&plan), "adopt adopted, create t00, disable t01, disable t02");
    fixture.domains("hq").get_mut(&id).unwrap().enabled = Some(false);
    assert_eq!(fixture.plan().steps.len(), 4, "it was closed when it was found");
    let mut fixture = disabling(2, 2);
    fixture.vanish("t00");
    assert_eq!(held(&fixture.plan()), "create t00, disable t01", "all of an instance");
}
