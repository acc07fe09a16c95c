//! Deletion: what has to be true before, and what was begun.

use chrono::TimeDelta;

use super::scene::{Scene, deletable, held, key, lock_row, row, steps, why};
use crate::config::DeletionMode;
use crate::model::{LoginLock, SettingName};
use crate::plan::{Action, Work, retention_end};

#[test]
fn deletion_needs_all_of_its_conditions() {
    assert_eq!(steps(&deletable().plan()), "delete acme");
    let refused = |change: &dyn Fn(&mut Scene)| {
        let mut scene = deletable();
        change(&mut scene);
        let plan = scene.plan();
        assert_eq!(plan.count(Action::Delete), 0, "{plan:#?}");
        plan
    };
    refused(&|scene| scene.want(crate::model::testing::wanted("acme")));
    refused(&|scene| scene.policy.deletion.mode = DeletionMode::Approve);
    refused(&|scene| scene.policy.deletion.mode = DeletionMode::Never);
    refused(&|scene| scene.policy.no_removals = true);
    let plan = refused(&|scene| scene.now -= TimeDelta::seconds(1));
    assert_eq!((plan.held.len(), plan.waiting.len()), (0, 1));
    let plan = refused(&|scene| scene.record("acme").protected = true);
    assert!(why(&plan, "acme", Action::Delete).contains("it is protected"));
    let plan = refused(&|scene| {
        let id = scene.record("acme").id;
        scene.recorded.open_sessions.insert(id, 2);
    });
    assert_eq!(why(&plan, "acme", Action::Delete), "2 user sessions are open");
    let plan = refused(&|scene| {
        scene.former("acme", "branch", 1);
    });
    assert!(why(&plan, "acme", Action::Delete).contains("branch is still kept and has to go first"));
    for enabled in [Some(true), None] {
        let plan = refused(&|scene| scene.pbx("acme").enabled = enabled);
        assert_eq!(steps(&plan), "disable acme");
    }
    let plan = refused(&|scene| scene.record("acme").disable_confirmed_at = None);
    assert_eq!(steps(&plan), "disable acme");
    let plan = refused(&|scene| scene.record("acme").removed_at = None);
    assert_eq!(steps(&plan), "disable acme");
    let plan = refused(&|scene| scene.record("acme").enabled = true);
    assert_eq!(steps(&plan), "disable acme");
}

#[test]
fn sessions_that_ended_hold_nothing() {
    let mut scene = deletable();
    let id = scene.record("acme").id;
    scene.recorded.open_sessions.insert(id, 0);
    assert_eq!(steps(&scene.converge()), "delete acme");
}

#[test]
fn retention_counts_from_the_later_of_the_files_going_and_the_pbxs_no() {
    let day = |n: i64| chrono::DateTime::from_timestamp(86_400 * n, 0).unwrap();
    assert_eq!(retention_end(day(5), day(3), 30), day(35));
    assert_eq!(retention_end(day(3), day(5), 30), day(35));
    assert_eq!(retention_end(day(3), day(3), 0), day(3));
    assert!(retention_end(day(3), day(3), u32::MAX) > day(36_500), "and never wraps");
}

#[test]
fn a_clock_that_went_back_deletes_nothing() {
    let mut scene = deletable();
    scene.now -= TimeDelta::days(400);
    let plan = scene.plan();
    assert_eq!((plan.steps.len(), plan.waiting.len()), (0, 1));
}

#[test]
fn never_neither_deletes_nor_waits() {
    let mut scene = deletable();
    scene.policy.deletion.mode = DeletionMode::Never;
    let plan = scene.plan();
    assert!(plan.is_empty() && plan.waiting.is_empty());
    scene.approve_deletion("acme", 1);
    scene.policy.allow_delete.insert(key("acme"));
    assert!(scene.plan().is_empty());
}

#[test]
fn protection_outlives_the_file() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.edit("acme", |acme| acme.protected = true);
    assert_eq!(steps(&scene.converge()), "update acme");
    scene.remove_file("acme");
    assert_eq!(steps(&scene.converge()), "disable acme");
    scene.later(TimeDelta::days(400));
    scene.approve_deletion("acme", 1);
    let plan = scene.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
}

#[test]
fn a_domain_that_is_gone_already_is_only_forgotten() {
    let mut scene = deletable();
    scene.vanish("acme");
    let plan = scene.converge();
    assert_eq!(steps(&plan), "forget acme");
    assert!(plan.steps[0].reason.contains("its domain are gone"));
    let mut scene = deletable();
    scene.vanish("acme");
    scene.policy.deletion.mode = DeletionMode::Approve;
    let plan = scene.plan();
    assert!(why(&plan, "acme", Action::Forget).starts_with("forgetting it needs approval"));
}

#[test]
fn a_web_sign_in_that_somebody_opened_is_closed_before_anything_is_deleted() {
    let mut scene = deletable();
    let id = scene.pbx("acme").id;
    let theirs = row(7, &SettingName::cidr(), "0.0.0.0/0", true);
    scene.read_settings("acme", vec![lock_row(id), theirs]);
    let plan = scene.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert!(plan.steps[0].reason.contains("opened its web sign-in"));
    assert!(matches!(plan.steps[0].work, Work::Disable { counts: false, .. }));
    scene.later(TimeDelta::days(31));
    assert_eq!(steps(&scene.plan()), "delete acme");
}

#[test]
fn a_web_sign_in_that_was_left_as_it_was_found_does_not_stop_a_deletion() {
    let mut scene = deletable();
    scene.record("acme").lock_left_open = true;
    scene.record("acme").login_lock = None::<LoginLock>;
    scene.read_settings("acme", Vec::new());
    assert_eq!(steps(&scene.plan()), "delete acme");
}

#[test]
fn a_disable_that_was_cut_short_is_finished_and_its_retention_starts_then() {
    let mut scene = deletable();
    scene.record("acme").disable_confirmed_at = None;
    let plan = scene.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.steps[0].reason, "the PBX did not confirm that it is disabled; disabling it again");
    assert_eq!(scene.plan().waiting[0].until, scene.now + TimeDelta::days(30));
}

/// An identity is not enough to delete by: somebody may have found another use for what was closed.
#[test]
fn a_domain_that_somebody_renamed_is_not_deleted() {
    let mut scene = deletable();
    scene.pbx("acme").name = "theirs.example.com".into();
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).contains("renamed its domain to theirs.example.com"));
    let mut scene = Scene::of(["acme", "globex"]);
    scene.policy.deletion.mode = DeletionMode::Automatic;
    let id = scene.former("acme", "branch", 31);
    assert_eq!(steps(&scene.plan()), "delete acme");
    scene.domains("branch").get_mut(&id).unwrap().name = "theirs.example.com".into();
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).contains("renamed its domain to theirs.example.com"));
}

#[test]
fn a_clock_that_jumped_deletes_nothing_for_a_day() {
    for (retention_days, day) in
        [(30, TimeDelta::hours(24)), (1, TimeDelta::hours(24)), (0, TimeDelta::zero())]
    {
        let mut scene = deletable();
        scene.policy.deletion.retention_days = retention_days;
        scene.recorded.clock_steady_since = Some(scene.now);
        scene.former("globex", "branch", 31);
        let (since, due) = (scene.now, "delete acme, delete globex");
        if day > TimeDelta::zero() {
            let plan = scene.plan();
            assert_eq!(steps(&plan), "");
            assert_eq!(plan.waiting.len(), 2);
            for waiting in &plan.waiting {
                assert_eq!(waiting.until, since + day);
                assert!(waiting.reason.contains("a clock that jumped, or tenantd was away"));
            }
            scene.now += day - TimeDelta::seconds(1);
            assert_eq!(scene.plan().waiting.len(), 2);
            scene.now += TimeDelta::seconds(1);
        }
        assert_eq!(steps(&scene.plan()), due, "{retention_days}");
    }
}

#[test]
fn a_clock_that_jumped_stops_nothing_but_deletions() {
    let mut scene = deletable();
    scene.recorded.clock_steady_since = Some(scene.now);
    scene.remove_file("one");
    scene.edit("two", |tenant| tenant.session_timeout = 30);
    assert_eq!(steps(&scene.plan()), "disable one, update two");
}

#[test]
fn what_waits_says_for_how_long_and_since_when() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.removed("acme", 1);
    scene.former("globex", "branch", 1);
    let reasons: Vec<String> = scene.plan().waiting.into_iter().map(|waiting| waiting.reason).collect();
    assert_eq!(
        reasons,
        ["kept for 30 days after it was disabled", "kept for 30 days after its tenant moved away"]
    );
}

#[test]
fn a_deletion_that_was_begun_is_finished_without_another_approval() {
    let mut scene = deletable();
    scene.policy.deletion.mode = DeletionMode::Approve;
    scene.begun("acme", "hq", Action::Delete);
    let plan = scene.plan();
    assert_eq!(steps(&plan), "delete acme");
    assert_eq!(plan.steps[0].reason, "an earlier pass did not finish deleting it");
    assert_eq!(plan.removals_id, None, "there is nothing to approve");
    // The lock may have gone with the first tables.
    scene.read_settings("acme", Vec::new());
    assert_eq!(steps(&scene.plan()), "delete acme");
    // While it is not to be finished, the lock comes back, and the retention does not begin anew.
    let mut waits = scene.clone();
    waits.recorded.clock_steady_since = Some(waits.now);
    let plan = waits.plan();
    assert_eq!((steps(&plan).as_str(), plan.waiting.len()), ("disable acme", 1));
    super::effect::carry_out(&mut waits, &plan);
    waits.later(TimeDelta::days(1));
    assert_eq!(steps(&waits.plan()), "delete acme");
    // The domain went, and the answer was lost.
    scene.vanish("acme");
    assert_eq!(steps(&scene.converge()), "forget acme");
}

#[test]
fn what_was_begun_elsewhere_or_otherwise_is_no_approval() {
    for (of, on, action) in
        [("acme", "branch", Action::Delete), ("acme", "hq", Action::Disable), ("one", "hq", Action::Delete)]
    {
        let mut scene = deletable();
        scene.policy.deletion.mode = DeletionMode::Approve;
        scene.begun(of, on, action);
        assert_eq!(held(&scene.plan()), "delete acme", "{of} {on} {action}");
    }
}

#[test]
fn a_deletion_that_was_begun_is_not_finished_where_somebody_opened_it_or_brought_the_file_back() {
    let mut scene = deletable();
    scene.begun("acme", "hq", Action::Delete);
    scene.pbx("acme").enabled = Some(true);
    assert_eq!(steps(&scene.plan()), "disable acme");
    let mut scene = deletable();
    scene.begun("acme", "hq", Action::Delete);
    scene.want(crate::model::testing::wanted("acme"));
    let plan = scene.plan();
    assert_eq!(steps(&plan), "enable acme");
    assert!(plan.warnings[0].contains("its dialplans, extensions and users may be gone"));
    let mut scene = deletable();
    scene.begun("acme", "hq", Action::Delete);
    scene.policy.no_removals = true;
    assert_eq!(held(&scene.plan()), "delete acme");
}

#[test]
fn a_deletion_that_was_begun_counts_from_then_on() {
    let mut scene = deletable();
    scene.removed("one", 31);
    scene.begun("acme", "hq", Action::Delete);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("delete acme", "delete one"));
    assert!(why(&plan, "one", Action::Delete).starts_with("2 tenants (1 of them in the last 24 h)"));
}
