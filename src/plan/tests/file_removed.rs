//! A file that is gone: what is disabled, and when nothing may be concluded.

use chrono::TimeDelta;

use super::fixture::{Fixture, block_row, deletable, held, instance, key, steps, why};
use crate::config::DeletionMode;
use crate::model::{BrokenFile, Completeness, Desired};
use crate::plan::{Action, StepReason, Work};

#[test]
fn an_empty_directory_removes_nothing() {
    let mut fixture = Fixture::of_size(9);
    fixture.desired = Desired::unreadable("has no tenant files");
    let plan = fixture.plan();
    assert!(plan.is_empty());
    assert_eq!(plan.removals_id, None);
    assert_eq!(
        plan.warnings,
        ["the tenants directory has no tenant files: nothing is changed until it can be read"]
    );
}

/// The loader never says so; should it ever, the limits are the second guard.
#[test]
fn an_empty_directory_that_is_called_complete_removes_nothing() {
    let mut fixture = Fixture::of_size(9);
    fixture.desired.tenants.clear();
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "");
    assert_eq!(plan.held.len(), 9);
}

#[test]
fn a_removed_file_disables_its_tenant_and_does_nothing_more_in_this_pass() {
    let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
    fixture.policy.deletion = crate::config::Deletion { mode: DeletionMode::Automatic, retention_days: 0 };
    fixture.remove_file("acme");
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.steps[0].reason, StepReason::FileRemoved);
    assert!(matches!(plan.steps[0].work, Work::Disable { file_removed: true, counts: true, .. }));
    let preview = &plan.previews[&key("acme")];
    assert!(preview.before.as_ref().unwrap().enabled && !preview.after.as_ref().unwrap().enabled);
}

#[test]
fn from_a_file_that_went_to_a_deleted_tenant() {
    let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
    fixture.remove_file("acme");
    assert_eq!(steps(&fixture.converge()), "disable acme");
    fixture.later(TimeDelta::days(30) - TimeDelta::seconds(1));
    let plan = fixture.converge();
    assert!(plan.is_empty());
    assert_eq!(plan.scheduled.len(), 1);
    assert_eq!(plan.scheduled[0].until, fixture.now + TimeDelta::seconds(1));
    fixture.later(TimeDelta::seconds(1));
    assert_eq!(held(&fixture.converge()), "delete acme");
    fixture.approve_deletion("acme", 1);
    assert_eq!(steps(&fixture.converge()), "delete acme");
    assert!(fixture.plan().is_empty());
    assert!(!fixture.recorded.tenants.contains_key(&key("acme")));
}

#[test]
fn a_file_that_comes_back_brings_everything_back() {
    let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
    let acme = fixture.desired.tenants[&key("acme")].clone();
    let domain = fixture.pbx("acme").clone();
    fixture.remove_file("acme");
    fixture.converge();
    fixture.later(TimeDelta::days(29));
    fixture.want(acme);
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "enable acme");
    assert_eq!(plan.steps[0].reason, StepReason::FileBack);
    assert_eq!(*fixture.pbx("acme"), domain);
    let record = fixture.record("acme");
    assert!(
        record.definition.enabled
            && record.file_removed_at.is_none()
            && record.disable_confirmed_at.is_none()
    );
}

#[test]
fn a_tenant_that_was_disabled_already_starts_its_retention_when_its_file_goes() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.removed("acme", 200);
    fixture.record("acme").file_removed_at = None;
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert!(plan.steps[0].reason == StepReason::FileRemovedWhileDisabled);
    let now = fixture.now;
    assert_eq!(fixture.record("acme").file_removed_at, Some(now));
    assert_eq!(fixture.plan().scheduled[0].until, fixture.now + TimeDelta::days(30));
}

#[test]
fn broken_file_holds_removals() {
    let mut fixture = deletable();
    fixture.remove_file("one");
    fixture.break_file("two");
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "");
    assert_eq!(held(&plan), "delete acme, disable one, update two");
    assert!(
        why(&plan, "one", Action::Disable)
            .contains("No tenant is disabled or deleted until `tenantd validate` finds every file readable")
    );
    assert!(why(&plan, "two", Action::Update).contains("its file is broken"));
    assert!(plan.warnings[0].contains("two.yaml is broken: no tenant is disabled or deleted"));
    assert_eq!(plan.counts.broken_files, 1);
}

#[test]
fn broken_file_does_not_hold_the_others_changes() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.break_file("globex");
    fixture.edit("acme", |acme| acme.definition.session_timeout = 30);
    fixture.want(crate::model::testing::wanted("new"));
    assert_eq!(steps(&fixture.converge()), "update acme, create new");
}

#[test]
fn a_broken_file_of_no_known_tenant_holds_every_removal() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.remove_file("acme");
    let file = BrokenFile { file: "a..yaml".into(), key: None, problems: Vec::new() };
    fixture.desired.broken.push(file);
    fixture.desired.completeness = Completeness::Partial { reason: "a..yaml is broken".into() };
    let plan = fixture.plan();
    assert_eq!((steps(&plan), held(&plan)), (String::new(), "disable acme".into()));
}

#[test]
fn an_unknown_instance_holds_removals_on_it_and_nowhere_else() {
    let mut fixture = Fixture::of(["acme"]);
    for key in ["b1", "b2", "b3"] {
        let mut tenant = crate::model::testing::wanted(key);
        tenant.definition.instance = instance("branch");
        fixture.agree(tenant);
    }
    fixture.policy.limits.removals.count = 9;
    fixture.remove_file("acme");
    fixture.remove_file("b1");
    fixture.lose("hq");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("disable b1", "disable acme"));
    assert!(why(&plan, "acme", Action::Disable).contains("hq was not checked: it does not answer"));
    assert!(plan.warnings[0].starts_with("nothing is changed on hq"));
    assert_eq!(plan.counts.unknown_instances, 1);
}

#[test]
fn an_instance_that_left_the_configuration_is_unknown() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.remove_file("acme");
    fixture.observed.instances.remove(&instance("hq"));
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "disable acme, update globex"));
    assert!(why(&plan, "globex", Action::Update).contains("hq, which is not in tenantd.yaml"));
}

#[test]
fn disabling_again_what_was_enabled_on_the_pbx_uses_up_no_limit() {
    let mut fixture = Fixture::of_size(9);
    for n in 0..5 {
        fixture.removed(&format!("t{n:02}"), 1);
        fixture.pbx(&format!("t{n:02}")).enabled = Some(true);
    }
    let plan = fixture.converge();
    assert_eq!(plan.count(Action::Disable), 5);
    assert_eq!(plan.removals_id, None);
    assert!(plan.steps.iter().all(|step| step.reason == StepReason::DriftEnabled));
}

#[test]
fn an_unrecorded_domain_is_counted_and_never_changed() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.foreign("hq", 1, "a.example.net");
    fixture.foreign("branch", 2, "acme.example.com");
    fixture.previous("acme", "branch", 1);
    let plan = fixture.plan();
    assert!(plan.is_empty());
    assert_eq!((plan.counts.foreign_domains, plan.counts.unchanged), (2, 2));
    fixture.lose("branch");
    assert_eq!(fixture.plan().counts.foreign_domains, 1);
}

#[test]
fn a_tenant_confirmed_disabled_and_observed_enabled_is_named() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.removed("acme", 10);
    let id = fixture.record("acme").id;
    let domain = fixture.pbx("acme").id;
    let named = |fixture: &Fixture| fixture.plan().reopened.tenants.contains(&id);
    assert!(!named(&fixture));
    for open in [Some(true), None] {
        fixture.pbx("acme").enabled = open;
        assert!(named(&fixture), "{open:?}");
    }
    fixture.pbx("acme").enabled = Some(false);
    fixture.read_settings("acme", vec![block_row(domain)]);
    assert!(!named(&fixture));
    fixture.read_settings("acme", Vec::new());
    assert!(named(&fixture), "its lock was taken away");
    fixture.record("acme").web_sign_in_left_open = true;
    assert!(!named(&fixture), "it was closed by somebody else, without a lock");
    fixture.pbx("acme").enabled = Some(true);
    assert!(named(&fixture));
}
