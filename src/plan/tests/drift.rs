//! Foreign changes on the PBX: corrected, shown, or left alone after three times.

use super::fixture::{Fixture, block_row, held, key, row, steps, why};
use crate::diff::Field;
use crate::model::{DriftPolicy, MaxUsers, SettingName, testing};
use crate::plan::{Action, CONTESTED_AFTER, StepReason, Work, correction_key};

fn extensions() -> SettingName {
    SettingName::new("limit", "extensions", "numeric")
}

#[test]
fn drift_is_put_right_and_named_so() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.pbx("acme").description = "theirs".into();
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "update acme");
    assert_eq!(plan.steps[0].reason, StepReason::DriftOnPbx);
    assert_eq!(fixture.pbx("acme").description, "acme Ltd");
    assert_eq!(plan.previews[&key("acme")].before.as_ref().unwrap().name, "theirs");
}

#[test]
fn a_change_of_the_file_is_named_so() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.edit("acme", |acme| acme.definition.name = "Acme".into());
    fixture.pbx("acme").name = "other.example.com".into();
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "rename acme, update acme");
    assert_eq!(plan.steps[0].reason, StepReason::DriftOnPbx);
    assert_eq!(plan.steps[1].reason, StepReason::FileChanged);
    assert!(matches!(plan.steps[1].work, Work::Update { describe: true, .. }));
}

#[test]
fn the_description_is_sent_only_when_the_name_differs() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.edit("acme", |acme| acme.definition.session_timeout = 30);
    let plan = fixture.converge();
    assert!(
        matches!(&plan.steps[0].work, Work::Update { describe: false, settings, .. } if settings.is_empty())
    );
}

#[test]
fn null_enabled_is_put_right() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.pbx("acme").enabled = None;
    assert_eq!(steps(&fixture.converge()), "enable acme");
    assert_eq!(fixture.pbx("acme").enabled, Some(true));
}

#[test]
fn settings_are_compared_when_they_were_read() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.edit("acme", |tenant| {
        tenant.definition.pbx_settings.insert(extensions(), "100".into());
        tenant.definition.max_users = MaxUsers::Limited(50);
    });
    let acme = fixture.desired.tenants[&key("acme")].clone();
    fixture.agree(acme);
    assert!(fixture.plan().is_empty(), "it was not its turn");
    fixture.read_settings(
        "acme",
        vec![row(1, &extensions(), "500", true), row(2, &SettingName::user_limit(), "50", true)],
    );
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "update acme");
    let Work::Update { settings, describe: false, .. } = &plan.steps[0].work else { panic!("{plan:#?}") };
    assert_eq!(*settings, [(extensions(), Some("100".to_owned()))].into());
    let before = plan.previews[&key("acme")].before.as_ref().unwrap();
    assert_eq!(before.pbx_settings[&extensions().to_string()], "500");
    fixture.converge();
    fixture.read_settings("acme", vec![row(2, &SettingName::user_limit(), "50", true)]);
    let plan = fixture.plan();
    let before = plan.previews[&key("acme")].before.as_ref().unwrap();
    assert!(before.pbx_settings.is_empty(), "it is gone from the PBX");
    fixture.converge();
    fixture.read_settings("acme", vec![row(1, &extensions(), "100", true)]);
    let plan = fixture.converge();
    let Work::Update { settings, .. } = &plan.steps[0].work else { panic!("{plan:#?}") };
    assert_eq!(*settings, [(SettingName::user_limit(), Some("50".to_owned()))].into());
}

#[test]
fn unlimited_users_switch_the_limit_off() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.read_settings("acme", vec![row(2, &SettingName::user_limit(), "50", true)]);
    let plan = fixture.converge();
    let Work::Update { settings, .. } = &plan.steps[0].work else { panic!("{plan:#?}") };
    assert_eq!(*settings, [(SettingName::user_limit(), None)].into());
}

#[test]
fn a_setting_that_leaves_the_file_keeps_its_value_on_the_pbx() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.pbx_settings.insert(extensions(), "100".into());
    fixture.agree(acme);
    fixture.edit("acme", |acme| acme.definition.pbx_settings.clear());
    fixture.read_settings("acme", vec![row(1, &extensions(), "100", true)]);
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "update acme");
    assert!(matches!(&plan.steps[0].work, Work::Update { settings, .. } if settings.is_empty()));
}

#[test]
fn a_web_sign_in_block_on_an_enabled_tenant_is_removed() {
    let mut fixture = Fixture::of(["acme"]);
    let id = fixture.pbx("acme").id;
    fixture.read_settings("acme", vec![block_row(id)]);
    assert_eq!(steps(&fixture.converge()), "enable acme");
}

#[test]
fn a_disabled_tenant_that_was_enabled_on_the_pbx_is_disabled_again_outside_the_limit() {
    let mut fixture = Fixture::of_size(9);
    for n in 0..8 {
        let of = format!("t{n:02}");
        fixture.edit(&of, |tenant| tenant.definition.enabled = false);
        let tenant = fixture.desired.tenants[&key(&of)].clone();
        fixture.agree(tenant);
        fixture.pbx(&of).enabled = Some(true);
    }
    let plan = fixture.converge();
    assert_eq!(plan.count(Action::Disable), 8);
    assert_eq!(plan.removals_id, None);
}

#[test]
fn drift_report_shows_and_changes_nothing() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.drift = DriftPolicy::Report;
    fixture.agree(acme);
    fixture.pbx("acme").enabled = Some(false);
    fixture.pbx("acme").name = "other.example.com".into();
    let plan = fixture.converge();
    assert!(plan.is_empty());
    let fields: Vec<_> = plan.drifted.iter().map(|drifted| &drifted.change.field).collect();
    assert_eq!(fields, [&Field::Domain, &Field::Enabled]);
    // What the file changes is still carried out.
    fixture.edit("acme", |acme| acme.definition.name = "Acme".into());
    assert_eq!(steps(&fixture.converge()), "update acme");
}

#[test]
fn drift_report_makes_no_vanished_domain_again() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.drift = DriftPolicy::Report;
    fixture.agree(acme);
    fixture.vanish("acme");
    let plan = fixture.converge();
    assert!(plan.is_empty());
    assert_eq!(plan.drifted[0].change.field, Field::Domain);
    assert_eq!(plan.drifted[0].change.before, None);
    fixture.record("acme").provisioned = false;
    assert_eq!(steps(&fixture.converge()), "create acme", "an unfinished creation is no drift");
}

#[test]
fn a_disable_that_was_cut_short_is_no_drift() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.drift = DriftPolicy::Report;
    acme.definition.enabled = false;
    fixture.agree(acme);
    fixture.pbx("acme").enabled = Some(true);
    assert!(fixture.plan().is_empty(), "somebody enabled it, and that is only reported");
    fixture.record("acme").disable_confirmed_at = None;
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.steps[0].reason, StepReason::Unfinished);
}

#[test]
fn a_field_that_came_back_three_times_is_left_alone() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.pbx("acme").description = "theirs".into();
    let wanted = correction_key(&Field::Name, Some("acme Ltd"));
    for times in 0..CONTESTED_AFTER {
        fixture.record("acme").corrections = [(wanted.clone(), times)].into();
        assert_eq!(steps(&fixture.plan()), "update acme", "after {times} times");
    }
    fixture.record("acme").corrections = [(wanted, CONTESTED_AFTER)].into();
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "update acme"));
    assert!(why(&plan, "acme", Action::Update).starts_with("`name` is contested: tenantd set it 3 times"));
    assert!(plan.settled.is_empty());
    // Other fields continue, and another wanted value starts again.
    fixture.edit("acme", |acme| acme.definition.session_timeout = 30);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", "update acme"));
    assert!(matches!(plan.steps[0].work, Work::Update { describe: false, .. }));
    fixture.edit("acme", |acme| acme.definition.name = "Acme".into());
    let plan = fixture.plan();
    assert!(matches!(plan.steps[0].work, Work::Update { describe: true, .. }));
    assert_eq!(held(&plan), "");
}

#[test]
fn a_correction_that_lasted_is_forgotten_once_it_was_looked_at() {
    let mut fixture = Fixture::of(["acme"]);
    let setting = correction_key(&Field::Setting(extensions()), Some("100"));
    let users = correction_key(&Field::MaxUsers, Some("unlimited"));
    let sign_in = correction_key(&Field::WebSignIn, Some("open"));
    let name = correction_key(&Field::Name, Some("acme Ltd"));
    let all = [&setting, &users, &sign_in, &name];
    fixture.record("acme").corrections = all.into_iter().map(|key| (key.clone(), 2)).collect();
    assert_eq!(fixture.plan().settled, [(key("acme"), [name.clone()].into())].into());
    fixture.read_settings("acme", Vec::new());
    let settled = fixture.plan().settled;
    assert_eq!(settled[&key("acme")], all.into_iter().cloned().collect());
    fixture.pbx("acme").description = "theirs".into();
    assert!(!fixture.plan().settled[&key("acme")].contains(&name));
}

#[test]
fn an_unchecked_instance_holds_changed_files_and_names_the_fields() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.edit("acme", |acme| {
        acme.definition.name = "Acme".into();
        acme.definition.session_timeout = 30;
    });
    fixture.lose("hq");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "update acme"));
    assert_eq!(
        why(&plan, "acme", Action::Update),
        "name, session_timeout changed, but hq was not checked: it does not answer"
    );
    assert_eq!((plan.counts.unchanged, plan.counts.not_checked), (0, 2), "nobody looked at globex either");
}

/// The PBX refuses phones already; whether its web sign-in is locked shows only when its settings are read.
#[test]
fn a_disable_that_was_cut_short_is_finished_in_the_next_pass() {
    let mut fixture = Fixture::of(["globex"]);
    let mut acme = testing::wanted("acme");
    acme.definition.enabled = false;
    fixture.agree(acme);
    fixture.record("acme").disable_confirmed_at = None;
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.steps[0].reason, StepReason::Unfinished);
    assert!(matches!(plan.steps[0].work, Work::Disable { counts: false, file_removed: false, .. }));
}

#[test]
fn the_preview_shows_corrected_drift_and_not_reported_drift() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.pbx("acme").description = "theirs".into();
    fixture.pbx("acme").name = "theirs.example.com".into();
    fixture.pbx("acme").enabled = Some(false);
    fixture.edit("acme", |acme| acme.definition.max_users = MaxUsers::Limited(50));
    fixture.record("acme").definition.max_users = MaxUsers::Limited(50);
    fixture.read_settings("acme", vec![row(2, &SettingName::user_limit(), "70", true)]);
    let plan = fixture.plan();
    let preview = &plan.previews[&key("acme")];
    let (before, after) = (preview.before.as_ref().unwrap(), preview.after.as_ref().unwrap());
    assert_eq!((before.name.as_str(), after.name.as_str()), ("theirs", "acme Ltd"));
    assert_eq!((before.domain.as_str(), after.domain.as_str()), ("theirs.example.com", "acme.example.com"));
    assert_eq!((before.enabled, after.enabled), (false, true));
    let json = |document| serde_json::to_value(document).unwrap()["max_users"].clone();
    assert_eq!((json(before), json(after)), (70.into(), 50.into()));
    fixture.read_settings("acme", Vec::new());
    assert_eq!(json(fixture.plan().previews[&key("acme")].before.as_ref().unwrap()), "unlimited");
    // Only shown, beside a change that is carried out.
    fixture.edit("acme", |acme| {
        acme.definition.drift = DriftPolicy::Report;
        acme.definition.session_timeout = 30;
    });
    let plan = fixture.plan();
    let before = plan.previews[&key("acme")].before.as_ref().unwrap();
    assert_eq!((before.name.as_str(), before.enabled, before.session_timeout), ("acme Ltd", true, 60));
    assert_eq!(plan.drifted.len(), 4);
}

/// A file that went and came back three times in a row must not stay on the way to deletion.
#[test]
fn a_field_of_the_database_alone_is_never_contested() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.enabled = false;
    fixture.agree(acme.clone());
    fixture.removed("acme", 10);
    acme.definition.session_timeout = 30;
    acme.definition.protected = true;
    acme.definition.cross_tenant.chat = [key("globex")].into();
    acme.definition.drift = DriftPolicy::Report;
    fixture.want(acme);
    let wanted = fixture.plan().steps[0].changes.clone();
    assert_eq!(wanted.len(), 5);
    fixture.record("acme").corrections =
        wanted.iter().map(|change| (correction_key(&change.field, change.after.as_deref()), 9)).collect();
    let plan = fixture.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", ""));
    assert_eq!(fixture.record("acme").file_removed_at, None);
}

#[test]
fn a_file_that_comes_back_ends_the_retention_also_where_nothing_is_done() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.removed("acme", 25);
    fixture.vanish("acme");
    let mut acme = testing::wanted("acme");
    acme.definition.enabled = false;
    acme.definition.drift = DriftPolicy::Report;
    fixture.want(acme);
    assert_eq!(steps(&fixture.converge()), "");
    fixture.later(chrono::TimeDelta::days(20));
    fixture.remove_file("acme");
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "disable acme", "and not forgotten at once");
    assert!(plan.steps[0].reason == StepReason::FileRemovedWhileDisabled);
}

#[test]
fn a_disabled_tenant_is_disabled_even_if_its_domain_is_missing_and_drift_is_only_reported() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.vanish("acme");
    fixture
        .edit("acme", |acme| (acme.definition.drift, acme.definition.enabled) = (DriftPolicy::Report, false));
    fixture.record("acme").definition.drift = DriftPolicy::Report;
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.drifted.len(), 1);
    assert!(!fixture.record("acme").definition.enabled);
}

#[test]
fn everything_on_the_pbx_may_be_fought_over() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.pbx_settings.insert(extensions(), "100".into());
    acme.definition.max_users = MaxUsers::Limited(5);
    fixture.agree(acme);
    let id = fixture.pbx("acme").id;
    fixture.read_settings("acme", vec![block_row(id)]);
    let domain = fixture.pbx("acme");
    (domain.name, domain.description, domain.enabled) = ("a.example.com".into(), "b".into(), None);
    let plan = fixture.plan();
    let fought: Vec<String> = plan
        .steps
        .iter()
        .flat_map(|step| &step.changes)
        .map(|change| correction_key(&change.field, change.after.as_deref()))
        .collect();
    assert_eq!(fought.len(), 6);
    fixture.record("acme").corrections = fought.into_iter().map(|key| (key, CONTESTED_AFTER)).collect();
    let plan = fixture.plan();
    assert_eq!((plan.steps.len(), plan.held.len()), (0, 6));
}

#[test]
fn a_fight_that_was_won_leaves_the_record_to_follow() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.record("acme").corrections =
        [(correction_key(&Field::Name, Some("acme Ltd")), CONTESTED_AFTER)].into();
    fixture.record("acme").definition.name = "before".into();
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", ""));
}

#[test]
fn a_fought_setting_that_was_not_read_is_not_taken_for_won() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.edit("acme", |acme| drop(acme.definition.pbx_settings.insert(extensions(), "100".into())));
    fixture.record("acme").corrections =
        [(correction_key(&Field::Setting(extensions()), Some("100")), CONTESTED_AFTER)].into();
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "update acme"));
}

#[test]
fn a_setting_that_an_earlier_pass_did_not_reach_is_no_drift() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.drift = DriftPolicy::Report;
    acme.definition.pbx_settings.insert(extensions(), "100".into());
    fixture.agree(acme);
    fixture.read_settings("acme", Vec::new());
    assert_eq!(steps(&fixture.plan()), "", "somebody took it away, and that is only reported");
    fixture.record("acme").applied_definition_hash = None;
    assert_eq!(steps(&fixture.plan()), "update acme");
}

#[test]
fn an_unfinished_domain_renamed_to_a_name_in_use_is_held() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.record("acme").provisioned = false;
    assert_eq!(steps(&fixture.plan()), "create acme");
    fixture.pbx("acme").name = "theirs.example.com".into();
    assert_eq!(steps(&fixture.plan()), "create acme", "it gets its own name");
    fixture.foreign("hq", 1, "theirs.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(why(&plan, "acme", Action::Create).contains("keeps the recordings"));
}
