//! Deletion: what has to be true before, and what has begun.

use chrono::TimeDelta;

use super::fixture::{Fixture, block_row, deletable, held, key, row, steps, why};
use crate::config::DeletionMode;
use crate::model::{SettingName, WebSignInBlock};
use crate::plan::{Action, ScheduledReason, StepReason, Work, retention_end};

#[test]
fn deletion_needs_all_of_its_conditions() {
    assert_eq!(steps(&deletable().plan()), "delete acme");
    let refused = |change: &dyn Fn(&mut Fixture)| {
        let mut fixture = deletable();
        change(&mut fixture);
        let plan = fixture.plan();
        assert_eq!(plan.count(Action::Delete), 0, "{plan:#?}");
        plan
    };
    refused(&|fixture| fixture.want(crate::model::testing::wanted("acme")));
    refused(&|fixture| fixture.policy.deletion.mode = DeletionMode::Approve);
    refused(&|fixture| fixture.policy.deletion.mode = DeletionMode::Never);
    refused(&|fixture| fixture.policy.no_removals = true);
    let plan = refused(&|fixture| fixture.now -= TimeDelta::seconds(1));
    assert_eq!((plan.held.len(), plan.scheduled.len()), (0, 1));
    let plan = refused(&|fixture| fixture.record("acme").definition.protected = true);
    assert!(why(&plan, "acme", Action::Delete).contains("it is protected"));
    let plan = refused(&|fixture| {
        let id = fixture.record("acme").id;
        fixture.recorded.open_sessions.insert(id, 2);
    });
    assert_eq!(
        why(&plan, "acme", Action::Delete),
        "2 user sessions are open; it is deleted after the last one ends"
    );
    let plan = refused(&|fixture| {
        fixture.previous("acme", "branch", 1);
    });
    assert!(why(&plan, "acme", Action::Delete).contains("branch must be deleted first"));
    for enabled in [Some(true), None] {
        let plan = refused(&|fixture| fixture.pbx("acme").enabled = enabled);
        assert_eq!(steps(&plan), "disable acme");
    }
    let plan = refused(&|fixture| fixture.record("acme").disable_confirmed_at = None);
    assert_eq!(steps(&plan), "disable acme");
    let plan = refused(&|fixture| fixture.record("acme").file_removed_at = None);
    assert_eq!(steps(&plan), "disable acme");
    let plan = refused(&|fixture| fixture.record("acme").definition.enabled = true);
    assert_eq!(steps(&plan), "disable acme");
}

#[test]
fn sessions_that_ended_hold_nothing() {
    let mut fixture = deletable();
    let id = fixture.record("acme").id;
    fixture.recorded.open_sessions.insert(id, 0);
    assert_eq!(steps(&fixture.converge()), "delete acme");
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
    let mut fixture = deletable();
    fixture.now -= TimeDelta::days(400);
    let plan = fixture.plan();
    assert_eq!((plan.steps.len(), plan.scheduled.len()), (0, 1));
}

#[test]
fn never_neither_deletes_nor_waits() {
    let mut fixture = deletable();
    fixture.policy.deletion.mode = DeletionMode::Never;
    let plan = fixture.plan();
    assert!(plan.is_empty() && plan.scheduled.is_empty());
    fixture.approve_deletion("acme", 1);
    fixture.policy.allow_delete.insert(key("acme"));
    assert!(fixture.plan().is_empty());
}

#[test]
fn protection_outlives_the_file() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.edit("acme", |acme| acme.definition.protected = true);
    assert_eq!(steps(&fixture.converge()), "update acme");
    fixture.remove_file("acme");
    assert_eq!(steps(&fixture.converge()), "disable acme");
    fixture.later(TimeDelta::days(400));
    fixture.approve_deletion("acme", 1);
    let plan = fixture.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
}

#[test]
fn where_the_domain_is_missing_only_the_record_is_deleted() {
    let mut fixture = deletable();
    fixture.vanish("acme");
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "delete record acme");
    assert!(plan.steps[0].reason == StepReason::RetentionEndedWithoutDomain);
    let mut fixture = deletable();
    fixture.vanish("acme");
    fixture.policy.deletion.mode = DeletionMode::Approve;
    let plan = fixture.plan();
    assert!(why(&plan, "acme", Action::DeleteRecord).starts_with("deleting its record needs approval"));
}

#[test]
fn a_removed_web_sign_in_block_is_set_again_before_a_deletion() {
    let mut fixture = deletable();
    let id = fixture.pbx("acme").id;
    let theirs = row(7, &SettingName::cidr(), "0.0.0.0/0", true);
    fixture.read_settings("acme", vec![block_row(id), theirs]);
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert!(plan.steps[0].reason == StepReason::DriftWebSignIn);
    assert!(matches!(plan.steps[0].work, Work::Disable { counts: false, .. }));
    fixture.later(TimeDelta::days(31));
    assert_eq!(steps(&fixture.plan()), "delete acme");
}

#[test]
fn a_web_sign_in_that_was_left_as_it_was_found_does_not_stop_a_deletion() {
    let mut fixture = deletable();
    fixture.record("acme").web_sign_in_left_open = true;
    fixture.record("acme").web_sign_in_block = None::<WebSignInBlock>;
    fixture.read_settings("acme", Vec::new());
    assert_eq!(steps(&fixture.plan()), "delete acme");
}

#[test]
fn a_disable_that_was_cut_short_is_finished_and_its_retention_starts_then() {
    let mut fixture = deletable();
    fixture.record("acme").disable_confirmed_at = None;
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.steps[0].reason, StepReason::DisableNotConfirmed);
    assert_eq!(fixture.plan().scheduled[0].until, fixture.now + TimeDelta::days(30));
}

/// An identity is not enough to delete by: someone may have found another use for what was closed.
#[test]
fn a_domain_renamed_on_the_pbx_is_not_deleted() {
    let mut fixture = deletable();
    fixture.pbx("acme").name = "theirs.example.com".into();
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).contains("its domain was renamed to theirs.example.com"));
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    let id = fixture.previous("acme", "branch", 31);
    assert_eq!(steps(&fixture.plan()), "delete acme");
    fixture.domains("branch").get_mut(&id).unwrap().name = "theirs.example.com".into();
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).contains("its domain was renamed to theirs.example.com"));
}

#[test]
fn a_clock_that_jumped_deletes_nothing_for_a_day() {
    for (retention_days, day) in
        [(30, TimeDelta::hours(24)), (1, TimeDelta::hours(24)), (0, TimeDelta::zero())]
    {
        let mut fixture = deletable();
        fixture.policy.deletion.retention_days = retention_days;
        fixture.recorded.clock_steady_since = Some(fixture.now);
        fixture.previous("globex", "branch", 31);
        let (since, due) = (fixture.now, "delete acme, delete globex");
        if day > TimeDelta::zero() {
            let plan = fixture.plan();
            assert_eq!(steps(&plan), "");
            assert_eq!(plan.scheduled.len(), 2);
            for scheduled in &plan.scheduled {
                assert_eq!(scheduled.until, since + day);
                assert!(matches!(scheduled.reason, ScheduledReason::ClockNotSteady { .. }));
            }
            fixture.now += day - TimeDelta::seconds(1);
            assert_eq!(fixture.plan().scheduled.len(), 2);
            fixture.now += TimeDelta::seconds(1);
        }
        assert_eq!(steps(&fixture.plan()), due, "{retention_days}");
    }
}

#[test]
fn a_clock_that_jumped_stops_nothing_but_deletions() {
    let mut fixture = deletable();
    fixture.recorded.clock_steady_since = Some(fixture.now);
    fixture.remove_file("one");
    fixture.edit("two", |tenant| tenant.definition.session_timeout = 30);
    assert_eq!(steps(&fixture.plan()), "disable one, update two");
}

#[test]
fn a_scheduled_deletion_shows_its_retention_and_start() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.removed("acme", 1);
    fixture.previous("globex", "branch", 1);
    let reasons: Vec<String> =
        fixture.plan().scheduled.into_iter().map(|scheduled| scheduled.reason.to_string()).collect();
    assert_eq!(
        reasons,
        ["retention of 30 days since it was disabled", "retention of 30 days since it moved away"]
    );
}

#[test]
fn an_unfinished_deletion_needs_no_second_approval() {
    let mut fixture = deletable();
    fixture.policy.deletion.mode = DeletionMode::Approve;
    fixture.interrupted("acme", "hq", Action::Delete);
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "delete acme");
    assert_eq!(plan.steps[0].reason, StepReason::UnfinishedDelete);
    assert_eq!(plan.removals_id, None, "there is nothing to approve");
    // The lock may have gone with the first tables.
    fixture.read_settings("acme", Vec::new());
    assert_eq!(steps(&fixture.plan()), "delete acme");
    // While it is not to be finished, the web sign-in block comes back, and the retention does not begin again.
    let mut waits = fixture.clone();
    waits.recorded.clock_steady_since = Some(waits.now);
    let plan = waits.plan();
    assert_eq!((steps(&plan).as_str(), plan.scheduled.len()), ("disable acme", 1));
    super::effect::carry_out(&mut waits, &plan);
    waits.later(TimeDelta::days(1));
    assert_eq!(steps(&waits.plan()), "delete acme");
    // The domain went, and the answer was lost.
    fixture.vanish("acme");
    assert_eq!(steps(&fixture.converge()), "delete record acme");
}

#[test]
fn an_intent_elsewhere_or_of_another_kind_is_no_approval() {
    for (of, on, action) in
        [("acme", "branch", Action::Delete), ("acme", "hq", Action::Disable), ("one", "hq", Action::Delete)]
    {
        let mut fixture = deletable();
        fixture.policy.deletion.mode = DeletionMode::Approve;
        fixture.interrupted(of, on, action);
        assert_eq!(held(&fixture.plan()), "delete acme", "{of} {on} {action}");
    }
}

#[test]
fn an_unfinished_deletion_stops_when_the_domain_is_enabled_or_the_file_is_back() {
    let mut fixture = deletable();
    fixture.interrupted("acme", "hq", Action::Delete);
    fixture.pbx("acme").enabled = Some(true);
    assert_eq!(steps(&fixture.plan()), "disable acme");
    let mut fixture = deletable();
    fixture.interrupted("acme", "hq", Action::Delete);
    fixture.want(crate::model::testing::wanted("acme"));
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "enable acme");
    assert!(plan.warnings[0].contains("Check there whether dialplans, extensions or users are missing"));
    let mut fixture = deletable();
    fixture.interrupted("acme", "hq", Action::Delete);
    fixture.policy.no_removals = true;
    assert_eq!(held(&fixture.plan()), "delete acme");
}

#[test]
fn an_unfinished_deletion_counts_against_the_limit() {
    let mut fixture = deletable();
    fixture.removed("one", 31);
    fixture.interrupted("acme", "hq", Action::Delete);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("delete acme", "delete one"));
    assert!(
        why(&plan, "one", Action::Delete)
            .starts_with("2 tenants would be deleted within 24 hours, 1 of them already")
    );
}
