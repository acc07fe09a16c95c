//! Domains that are gone from their PBX, one or many at once.

use super::fixture::{Fixture, held, key, steps, why};
use crate::config::Limit;
use crate::model::testing;
use crate::plan::Action;
use crate::plan::StepReason;

#[test]
fn a_missing_domain_is_created_again_with_its_identity() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    let id = fixture.pbx("acme").id;
    fixture.vanish("acme");
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "create acme");
    assert_eq!(plan.steps[0].reason, StepReason::DriftDomainMissing);
    assert_eq!(plan.previews[&key("acme")].before, None);
    assert_eq!(fixture.pbx("acme").id, id);
}

#[test]
fn a_missing_domain_is_not_created_again_while_another_one_has_its_name() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.vanish("acme");
    fixture.foreign("hq", 1, "acme.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(
        why(&plan, "acme", Action::Create)
            .contains("acme.example.com already exists on hq and is not managed by tenantd")
    );
}

#[test]
fn many_missing_domains_mean_another_server_and_nothing_is_created() {
    let gone = |count: usize, of: usize| {
        let mut fixture = Fixture::of_size(of);
        (0..count).for_each(|n| fixture.vanish(&format!("t{n:02}")));
        fixture
    };
    assert_eq!(gone(1, 5).plan().count(Action::Create), 1);
    let plan = gone(2, 19).plan();
    assert_eq!((plan.steps.len(), plan.held.len()), (0, 2));
    let reason = why(&plan, "t00", Action::Create);
    assert!(reason.starts_with("2 recorded domains are missing on hq at once"));
    assert!(reason.contains("so nothing is changed there"));
    assert_eq!(gone(2, 20).plan().count(Action::Create), 2);
    assert_eq!(gone(3, 20).plan().count(Action::Create), 0);
    let mut fixture = gone(2, 5);
    fixture.policy.limits.removals = Limit { count: 2, percent: 0 };
    assert_eq!(fixture.plan().count(Action::Create), 2);
    // Unfinished creations were never there.
    let mut fixture = gone(3, 5);
    ["t00", "t01"].into_iter().for_each(|of| fixture.record(of).provisioned = false);
    assert_eq!(fixture.plan().count(Action::Create), 3);
    assert_eq!(fixture.plan().steps[0].reason, StepReason::UnfinishedCreate);
}

#[test]
fn another_instance_that_lost_domains_holds_nothing_here() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    for of in ["b1", "b2", "b3"] {
        let mut tenant = testing::wanted(of);
        tenant.definition.instance = super::fixture::instance("branch");
        fixture.agree(tenant);
        fixture.vanish(of);
    }
    fixture.vanish("acme");
    assert_eq!(steps(&fixture.plan()), "create acme");
}

/// Ten tenants on `hq`, of which it lost two, and a lot to do.
fn another_server() -> Fixture {
    let mut fixture = Fixture::of_size(10);
    ["t00", "t01"].into_iter().for_each(|of| fixture.vanish(of));
    fixture
}

#[test]
fn nothing_is_changed_on_a_server_that_lost_many_of_our_domains() {
    let mut fixture = another_server();
    fixture.want(testing::wanted("new"));
    fixture.edit("t02", |tenant| tenant.definition.name = "Another".into());
    fixture.edit("t03", |tenant| tenant.definition.enabled = false);
    fixture.edit("t04", |tenant| tenant.definition.domain = super::fixture::domain("new4.example.com"));
    fixture.edit("t05", |tenant| tenant.definition.instance = super::fixture::instance("branch"));
    fixture.removed("t06", 31);
    fixture.policy.allow_delete.insert(key("t06"));
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "");
    assert_eq!(
        held(&plan),
        "create new, create t00, create t01, update t02, disable t03, rename t04, move t05, delete t06"
    );
    assert_eq!(
        why(&plan, "t02", Action::Update),
        "2 recorded domains are missing on hq at once. It may be another server or a restored backup, so nothing is \
         changed there. Restore the domains, or raise `limits.removals` to have them created again"
    );
    // To it is as wrong as from it.
    let mut mover = testing::wanted("mover");
    mover.definition.instance = super::fixture::instance("branch");
    fixture.agree(mover);
    fixture.edit("mover", |tenant| tenant.definition.instance = super::fixture::instance("hq"));
    assert!(why(&fixture.plan(), "mover", Action::Move).contains("missing on hq at once"));
}

#[test]
fn a_server_that_lost_domains_holds_nothing_that_only_the_database_sees() {
    let mut fixture = another_server();
    fixture.git_mv("t02", "t02b");
    fixture.remove_file("t00");
    fixture.previous("t05", "branch", 1);
    fixture.domains("branch").clear();
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "disable t00, rename t02b, delete record t05");
    fixture.removed("t03", 31);
    fixture.vanish("t03");
    fixture.policy.allow_delete.insert(key("t03"));
    assert_eq!(
        held(&fixture.plan()),
        "disable t00, create t01, delete record t03",
        "two are more than the limit"
    );
    fixture.recorded.tenants.remove(&key("t00"));
    fixture.vanish("t04");
    assert_eq!(steps(&fixture.plan()), "rename t02b, delete record t03, delete record t05");
}

#[test]
fn a_tenant_due_for_deletion_does_not_count_as_missing() {
    let mut fixture = Fixture::of_size(10);
    for of in ["t00", "t01", "t02"] {
        fixture.removed(of, 1);
        fixture.vanish(of);
    }
    fixture.vanish("t03");
    assert_eq!(steps(&fixture.plan()), "create t03");
}
