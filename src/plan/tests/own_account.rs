//! The domain that tenantd's own account lives in is never closed, renamed or deleted.

use super::fixture::{Fixture, domain, held, instance, steps, why};
use crate::config::DeletionMode;
use crate::model::{AdoptHow, Adoption, testing};
use crate::plan::Action;

fn own() -> Fixture {
    let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
    fixture.policy.own_domains = [(instance("hq"), "acme.example.com".to_owned())].into();
    fixture
}

#[test]
fn it_may_be_managed_otherwise() {
    let mut fixture = own();
    fixture.edit("acme", |acme| acme.definition.name = "Acme".into());
    assert_eq!(steps(&fixture.converge()), "update acme");
}

#[test]
fn it_is_not_disabled_when_its_file_says_so() {
    let mut fixture = own();
    fixture.edit("acme", |acme| acme.definition.enabled = false);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "disable acme"));
    assert!(why(&plan, "acme", Action::Disable).contains("would lock tenantd out"));
}

#[test]
fn it_is_not_disabled_or_deleted_when_its_file_goes() {
    let mut fixture = own();
    fixture.remove_file("acme");
    assert_eq!(held(&fixture.plan()), "disable acme");
    fixture.removed("acme", 31);
    fixture.policy.deletion.mode = DeletionMode::Automatic;
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
}

#[test]
fn it_is_not_renamed() {
    let mut fixture = own();
    fixture.edit("acme", |acme| acme.definition.domain = domain("new.example.com"));
    assert_eq!(held(&fixture.plan()), "rename acme");
}

#[test]
fn it_is_not_moved_away() {
    let mut fixture = own();
    fixture.edit("acme", |acme| acme.definition.instance = instance("branch"));
    let plan = fixture.plan();
    assert!(why(&plan, "acme", Action::Move).contains("would lock tenantd out"));
}

#[test]
fn the_same_name_on_another_instance_is_another_domain() {
    let mut fixture = own();
    fixture.policy.own_domains = [(instance("branch"), "acme.example.com".to_owned())].into();
    fixture.edit("acme", |acme| acme.definition.enabled = false);
    assert_eq!(steps(&fixture.plan()), "disable acme");
}

/// Someone renamed it on the PBX, and the account signs in with the name that is there.
#[test]
fn it_is_known_by_the_name_that_the_pbx_shows() {
    let mut fixture = own();
    fixture.policy.own_domains = [(instance("hq"), "admin.example.com".to_owned())].into();
    fixture.pbx("acme").name = "Admin.example.com".into();
    assert_eq!(held(&fixture.plan()), "rename acme");
    fixture.remove_file("acme");
    assert_eq!(held(&fixture.plan()), "disable acme");
}

#[test]
fn it_is_never_adopted_and_nothing_advises_it() {
    let mut fixture = Fixture::of(["globex"]);
    fixture.policy.own_domains = [(instance("hq"), "acme.example.com".to_owned())].into();
    let id = fixture.foreign("hq", 1, "acme.example.com");
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    fixture.want(acme);
    let adoption = Adoption {
        instance: instance("hq"),
        domain_id: id,
        how: AdoptHow::AsItIs,
        by: "anna".into(),
        until: fixture.now + chrono::TimeDelta::hours(1),
    };
    fixture.recorded.adoptions.insert(super::fixture::key("acme"), adoption);
    for (adopt, enabled) in [(true, true), (true, false), (false, true), (false, false)] {
        fixture.edit("acme", |acme| (acme.adopt, acme.definition.enabled) = (adopt, enabled));
        let plan = fixture.plan();
        assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "adopt acme"));
        assert!(why(&plan, "acme", Action::Adopt).contains("holds tenantd's own account on hq"));
        assert_eq!(plan.held[0].lifted_by, None);
    }
}

#[test]
fn an_own_account_domain_is_not_disabled_or_renamed_by_finishing_a_creation() {
    let mut fixture = own();
    fixture.record("acme").provisioned = false;
    assert_eq!(steps(&fixture.plan()), "create acme");
    fixture.edit("acme", |acme| acme.definition.enabled = false);
    assert_eq!(held(&fixture.plan()), "create acme");
    fixture.edit("acme", |acme| {
        acme.definition.enabled = true;
        acme.definition.domain = domain("new.example.com");
    });
    assert_eq!(held(&fixture.plan()), "create acme");
}

#[test]
fn it_is_left_alone_where_a_tenant_left_it_behind() {
    for (enabled, days_ago) in [(Some(true), 1), (Some(false), 31)] {
        let mut fixture = Fixture::of(["acme", "globex"]);
        fixture.policy.deletion.mode = DeletionMode::Automatic;
        let id = fixture.previous("acme", "branch", days_ago);
        fixture.domains("branch").get_mut(&id).unwrap().enabled = enabled;
        assert_eq!(fixture.plan().steps.len(), 1);
        fixture.policy.own_domains = [(instance("branch"), "acme.example.com".to_owned())].into();
        assert!(fixture.plan().is_empty());
    }
}
