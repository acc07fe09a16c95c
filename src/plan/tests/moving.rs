//! Another PBX instance, and what is previous on the old one.

use chrono::TimeDelta;

use super::fixture::{Fixture, block_row, domain, held, instance, key, steps, why};
use crate::config::DeletionMode;
use crate::model::testing;
use crate::plan::{Action, StepReason, Work};

fn moving() -> Fixture {
    let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
    fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
    fixture
}

/// A tenant that moved to `hq` so many days ago; what it left on `branch` is closed.
fn moved(days_ago: i64) -> Fixture {
    let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
    fixture.previous("acme", "branch", days_ago);
    fixture
}

#[test]
fn a_move_creates_the_domain_there_and_disables_it_here() {
    let mut fixture = moving();
    let old = fixture.pbx("acme").id;
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "move acme");
    assert_eq!(plan.steps[0].instance, instance("branch"));
    assert!(plan.warnings[0].contains("does not move extensions and call routing"));
    assert_eq!(fixture.domains("hq")[&old].enabled, Some(false));
    assert_ne!(fixture.pbx("acme").id, old);
    let plan = fixture.plan();
    assert_eq!(plan.scheduled[0].until, fixture.now + TimeDelta::days(30));
    assert_eq!(plan.scheduled[0].instance, instance("hq"));
}

#[test]
fn a_move_needs_both_sides_to_be_known() {
    for on in ["hq", "branch"] {
        let mut fixture = moving();
        fixture.lose(on);
        let plan = fixture.plan();
        assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move acme"), "{on}");
        assert!(why(&plan, "acme", Action::Move).contains(&format!("{on} was not checked")));
    }
}

#[test]
fn a_move_with_other_changes_shows_them_all() {
    let mut fixture = moving();
    fixture.git_mv("acme", "acme2");
    fixture.edit("acme2", |acme| acme.definition.name = "Acme".into());
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "rename acme2, move acme2");
    let fields: Vec<String> = plan.steps[1].changes.iter().map(|change| change.field.to_string()).collect();
    assert_eq!(fields, ["name", "pbx_instance"]);
}

#[test]
fn a_name_that_is_taken_there_holds_a_move() {
    let mut fixture = moving();
    fixture.foreign("branch", 1, "acme.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "move acme"));
    assert!(
        why(&plan, "acme", Action::Move).contains("already exists on branch and is not managed by tenantd")
    );
    let mut fixture = moving();
    let mut other = testing::wanted("other");
    other.definition.instance = instance("branch");
    fixture.agree(other);
    fixture.pbx("other").name = "acme.example.com".into();
    let plan = fixture.plan();
    assert!(why(&plan, "acme", Action::Move).contains("is recorded as a domain of the tenant other"));
}

#[test]
fn a_domain_that_another_tenant_still_has_holds_a_move() {
    let mut fixture = moving();
    fixture.edit("acme", |acme| acme.definition.domain = domain("globex.example.com"));
    fixture.edit("globex", |globex| globex.definition.domain = domain("new.example.com"));
    let plan = fixture.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename globex", "move acme"));
    assert!(why(&plan, "acme", Action::Move).contains("still belongs to the tenant globex"));
    assert_eq!(steps(&fixture.converge()), "move acme");
}

#[test]
fn a_tenant_that_moves_back_uses_its_previous_domain() {
    let mut fixture = moved(3);
    let left = fixture.recorded.previous_placements[0].domain_id;
    fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "move acme");
    assert!(matches!(plan.steps[0].work, Work::Move { returns_to: Some(id), .. } if id == left));
    fixture.converge();
    assert_eq!(fixture.pbx("acme").id, left);
    assert_eq!(fixture.pbx("acme").enabled, Some(true));
    assert_eq!(fixture.recorded.previous_placements.len(), 1);
}

#[test]
fn a_tenant_that_comes_back_after_the_retention_is_not_deleted_on_its_way() {
    let mut fixture = moved(31);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
    assert_eq!(steps(&fixture.converge()), "move acme");
}

#[test]
fn a_second_domain_of_the_name_holds_a_return() {
    let mut fixture = moved(3);
    fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
    fixture.foreign("branch", 1, "acme.example.com");
    assert_eq!(held(&fixture.plan()), "move acme");
}

#[test]
fn a_previous_domain_is_deleted_under_the_same_rule() {
    let mut fixture = moved(30);
    let plan = fixture.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).starts_with("deleting it needs approval"));
    let word = format!("tenantd approve {}", plan.removals_id.as_deref().unwrap());
    assert_eq!(
        plan.held[0].lifted_by,
        Some(word),
        "the tenant has a file, so its own deletion cannot be approved"
    );
    let mut young = fixture.clone();
    young.approve_deletion("acme", 1);
    young.now -= TimeDelta::seconds(1);
    let plan = young.plan();
    assert!(plan.is_empty());
    assert_eq!(plan.scheduled.len(), 1);
    let mut never = fixture.clone();
    never.policy.deletion.mode = DeletionMode::Never;
    let plan = never.plan();
    assert!(plan.is_empty() && plan.scheduled.is_empty());
    let mut protected = fixture.clone();
    protected.policy.deletion.mode = DeletionMode::Automatic;
    protected.edit("acme", |acme| acme.definition.protected = true);
    protected.record("acme").definition.protected = true;
    let plan = protected.plan();
    assert!(why(&plan, "acme", Action::Delete).contains("the tenant is protected"));
    let mut partial = fixture.clone();
    partial.policy.deletion.mode = DeletionMode::Automatic;
    partial.break_file("globex");
    let plan = partial.plan();
    assert!(
        why(&plan, "acme", Action::Delete).contains("until `tenantd validate` finds every file readable")
    );
    fixture.approve_deletion("acme", 1);
    assert_eq!(steps(&fixture.converge()), "delete acme");
    assert!(fixture.plan().is_empty());
    assert_eq!(fixture.pbx("acme").enabled, Some(true), "the tenant itself is where it was");
}

#[test]
fn a_previous_domain_stays_disabled() {
    for enabled in [Some(true), None] {
        let mut fixture = moved(31);
        fixture.policy.deletion.mode = DeletionMode::Automatic;
        let id = fixture.recorded.previous_placements[0].domain_id;
        fixture.domains("branch").get_mut(&id).unwrap().enabled = enabled;
        let plan = fixture.pass();
        assert_eq!(steps(&plan), "disable acme", "{enabled:?}");
        assert!(matches!(plan.steps[0].work, Work::DisablePrevious { .. }));
        assert_eq!(plan.steps[0].instance, instance("branch"));
        assert!(fixture.plan().scheduled.len() == 1, "its retention starts anew");
    }
    let mut fixture = moved(31);
    fixture.recorded.previous_placements[0].disable_confirmed_at = None;
    assert_eq!(steps(&fixture.pass()), "disable acme");
    let mut fixture = moved(31);
    let id = fixture.recorded.previous_placements[0].domain_id;
    fixture.read_settings_of("branch", id, Vec::new());
    assert_eq!(steps(&fixture.converge()), "disable acme", "its web sign-in is open");
    fixture.read_settings_of("branch", id, vec![block_row(id)]);
    assert_eq!(steps(&fixture.plan()), "");
}

#[test]
fn the_record_of_a_missing_previous_domain_is_deleted() {
    let mut fixture = moved(1);
    fixture.domains("branch").clear();
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "delete record acme");
    assert_eq!(plan.removals_id, None);
    assert!(fixture.recorded.previous_placements.is_empty());
    let mut fixture = moved(1);
    fixture.lose("branch");
    assert!(fixture.plan().is_empty(), "unknown is not gone");
}

#[test]
fn a_previous_domain_is_deleted_before_the_tenant() {
    let mut fixture = moved(31);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    fixture.removed("acme", 31);
    let plan = fixture.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("delete acme", "delete acme"));
    assert!(matches!(plan.steps[0].work, Work::DeletePrevious { .. }));
    assert_eq!(steps(&fixture.converge()), "delete acme");
    assert!(!fixture.recorded.tenants.contains_key(&key("acme")));
}

#[test]
fn a_move_on_to_a_third_instance_leaves_two_behind() {
    let mut fixture = moved(3);
    let view = fixture.observed.instances[&instance("hq")].clone();
    fixture.observed.instances.insert(instance("third"), view);
    fixture.domains("third").clear();
    fixture.edit("acme", |acme| acme.definition.instance = instance("third"));
    assert_eq!(steps(&fixture.converge()), "move acme");
    assert_eq!(fixture.recorded.previous_placements.len(), 2);
    assert_eq!(fixture.plan().scheduled.len(), 2);
}

#[test]
fn a_moved_tenant_with_another_domain_gets_it_there() {
    let mut fixture = moving();
    fixture.edit("acme", |acme| acme.definition.domain = domain("new.example.com"));
    assert_eq!(steps(&fixture.converge()), "move acme");
    assert_eq!(fixture.pbx("acme").name, "new.example.com");
}

#[test]
fn a_tenant_that_comes_back_under_another_key_is_not_deleted_on_its_way() {
    let mut fixture = moved(31);
    let left = fixture.recorded.previous_placements[0].domain_id;
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    fixture.git_mv("acme", "acme2");
    fixture.edit("acme2", |acme| acme.definition.instance = instance("branch"));
    assert_eq!(steps(&fixture.converge()), "rename acme2, move acme2");
    assert_eq!(fixture.pbx("acme2").id, left);
}

#[test]
fn a_previous_domain_follows_the_tenants_key() {
    let mut fixture = moved(31);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    fixture.git_mv("acme", "zebra");
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "rename zebra, delete zebra", "one tenant's steps, in their order");
    let mut fixture = moved(1);
    fixture.git_mv("acme", "zebra");
    assert_eq!(fixture.plan().scheduled[0].tenant, key("zebra"));
}

#[test]
fn an_unfinished_deletion_of_a_previous_domain_needs_no_second_approval() {
    let mut fixture = moved(31);
    let id = fixture.recorded.previous_placements[0].domain_id;
    fixture.read_settings_of("branch", id, Vec::new());
    fixture.interrupted("acme", "branch", Action::Delete);
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "delete acme");
    assert_eq!(plan.steps[0].reason, StepReason::UnfinishedDeleteOfPrevious);
    let mut waits = fixture.clone();
    waits.recorded.clock_steady_since = Some(waits.now);
    assert_eq!(steps(&waits.plan()), "disable acme", "it is closed while it waits");
    fixture.recorded.open_intents.clear();
    assert_eq!(steps(&fixture.plan()), "disable acme", "else an open web sign-in is closed first");
    fixture.read_settings_of("branch", id, vec![block_row(id)]);
    assert_eq!(held(&fixture.plan()), "delete acme");
    assert_eq!(fixture.plan().held[0].why().matches("retention").count(), 1);
}

/// A move that died after its first transaction: the new domain is not there yet, and the old one is still in use.
fn cut_short() -> Fixture {
    let mut fixture = moved(0);
    let id = fixture.recorded.previous_placements[0].domain_id;
    fixture.recorded.previous_placements[0].disable_confirmed_at = None;
    fixture.domains("branch").get_mut(&id).unwrap().enabled = Some(true);
    fixture.record("acme").provisioned = false;
    fixture.vanish("acme");
    fixture
}

#[test]
fn a_move_that_was_cut_short_is_finished_in_the_next_pass() {
    let mut fixture = cut_short();
    assert_eq!(steps(&fixture.converge()), "create acme, disable acme");
    let mut fixture = cut_short();
    fixture.edit("acme", |acme| acme.definition.enabled = false);
    assert_eq!(steps(&fixture.converge()), "create acme, disable acme");
}

#[test]
fn the_previous_domain_stays_enabled_until_the_new_one_is_created() {
    let held_open = |change: &dyn Fn(&mut Fixture)| {
        let mut fixture = cut_short();
        change(&mut fixture);
        let plan = fixture.plan();
        assert_eq!(steps(&plan), "");
        assert!(
            why(&plan, "acme", Action::Disable)
                .starts_with("it stays enabled until it is created on its new instance")
        );
        fixture
    };
    held_open(&|fixture| fixture.lose("hq"));
    held_open(&|fixture| fixture.pause(None, Some("hq"), 1));
    held_open(&|fixture| fixture.break_file("acme"));
    let mut fixture = held_open(&|fixture| {
        fixture.foreign("hq", 1, "acme.example.com");
    });
    // The way out is the file's word, or that its file goes.
    fixture.edit("acme", |acme| acme.definition.enabled = false);
    assert_eq!(steps(&fixture.plan()), "disable acme");
    fixture.remove_file("acme");
    assert_eq!(steps(&fixture.pass()), "disable acme");
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "disable acme");
    assert_eq!(plan.steps[0].instance, instance("branch"));
}
