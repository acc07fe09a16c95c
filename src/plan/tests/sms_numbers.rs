//! SMS numbers: owned by a tenant's file where it names them, and by one tenant.

use super::fixture::{Fixture, domain, held, key, steps, why};
use crate::diff::Field;
use crate::model::{SmsNumber, testing};
use crate::plan::{Action, Effect, StepReason};

fn numbers<const N: usize>(texts: [&str; N]) -> std::collections::BTreeSet<SmsNumber> {
    texts.map(|text| SmsNumber::parse(text).unwrap()).into()
}

fn give<const N: usize>(fixture: &mut Fixture, of: &str, texts: [&str; N]) {
    let id = fixture.record(of).id;
    fixture.recorded.sms_numbers.insert(id, numbers(texts));
}

#[test]
fn a_file_that_names_its_numbers_owns_them() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    give(&mut fixture, "acme", ["+4930123456", "+4930123457"]);
    assert_eq!(steps(&fixture.plan()), "", "without the field they are not managed");
    fixture.edit("acme", |tenant| tenant.sms_numbers = Some(numbers(["+49 30 123457", "12345"])));
    let plan = fixture.plan();
    assert_eq!(steps(&plan), "update acme");
    let change = &plan.steps[0].changes[0];
    assert_eq!(change.field, Field::SmsNumbers);
    assert_eq!(change.before.as_deref(), Some("+4930123456, +4930123457"));
    assert_eq!(change.after.as_deref(), Some("+4930123457, 12345"));
    assert_eq!(
        plan.effects_of_step(&plan.steps[0]),
        [Effect::NumbersReleased { numbers: vec!["+4930123456".into()] }]
    );
    fixture.converge();
    fixture.edit("acme", |tenant| tenant.sms_numbers = None);
    assert_eq!(steps(&fixture.plan()), "", "what leaves the file is not taken away");
    fixture.edit("acme", |tenant| tenant.sms_numbers = Some([].into()));
    assert_eq!(steps(&fixture.converge()), "update acme", "an empty list wants none");
}

#[test]
fn a_number_of_another_tenant_is_held_and_the_rest_goes_on() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    give(&mut fixture, "globex", ["+4930123456"]);
    fixture.edit("acme", |tenant| {
        tenant.sms_numbers = Some(numbers(["+4930123456"]));
        tenant.definition.session_timeout = 30;
    });
    let mut new = testing::wanted("new");
    new.sms_numbers = Some(numbers(["+4930123456"]));
    fixture.want(new);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", "update acme, create new"));
    assert_eq!(plan.steps[0].changes.len(), 1);
    let reason = "the SMS number +4930123456 still belongs to the tenant globex. Release it there first";
    assert_eq!(why(&plan, "acme", Action::Update), reason);
    assert_eq!(why(&plan, "new", Action::Create), reason);
    // Once the other file gives it up, it changes hands.
    fixture.desired.tenants.remove(&key("new"));
    fixture.edit("acme", |tenant| tenant.definition.session_timeout = 60);
    fixture.edit("globex", |tenant| tenant.sms_numbers = Some([].into()));
    fixture.recorded.tenants.get_mut(&key("acme")).unwrap().definition.session_timeout = 60;
    assert_eq!(steps(&fixture.converge()), "update acme, update globex");
    assert_eq!(steps(&fixture.plan()), "");
}

#[test]
fn a_change_on_the_platform_is_put_right_and_called_so() {
    let mut fixture = Fixture::of(["acme"]);
    fixture.edit("acme", |tenant| tenant.sms_numbers = Some(numbers(["+4930123456"])));
    fixture.converge();
    let hash = crate::plan::definition_hash(&fixture.desired.tenants[&key("acme")]);
    fixture.record("acme").applied_definition_hash = Some(hash);
    give(&mut fixture, "acme", ["+4930999999"]);
    let plan = fixture.plan();
    assert_eq!(plan.steps[0].reason, StepReason::DriftOfSmsNumbers);
    fixture.edit("acme", |tenant| tenant.definition.domain = domain("other.example.com"));
    assert_eq!(steps(&fixture.plan()), "rename acme, update acme");
}

/// Two tenants that have a number each, and files that want the other's.
fn swapping() -> Fixture {
    let mut fixture = Fixture::of(["acme", "globex"]);
    for (of, has, wants) in [("acme", "+4930111111", "+4930222222"), ("globex", "+4930222222", "+4930111111")]
    {
        give(&mut fixture, of, [has]);
        fixture.edit(of, |tenant| tenant.sms_numbers = Some(numbers([wants])));
    }
    fixture
}

#[test]
fn two_files_that_exchange_numbers_are_done_in_one_run() {
    let mut fixture = swapping();
    let plan = fixture.converge();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme, update globex", ""));
    for (of, has) in [("acme", "+4930222222"), ("globex", "+4930111111")] {
        let id = fixture.record(of).id;
        assert_eq!(fixture.recorded.sms_numbers[&id], numbers([has]), "{of}");
    }
    assert_eq!(steps(&fixture.plan()), "");
}

#[test]
fn a_number_of_a_held_owner_is_held_and_the_rest_is_applied() {
    let mut fixture = swapping();
    fixture.pause(Some("globex"), None, 1);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "update acme, update globex"));
    let reason = "the SMS number +4930222222 still belongs to the tenant globex, which does not release it in this run";
    assert_eq!(why(&plan, "acme", Action::Update), reason);
    fixture.edit("acme", |tenant| tenant.definition.session_timeout = 30);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", "update acme, update globex"));
    let fields: Vec<_> = plan.steps[0].changes.iter().map(|change| change.field.clone()).collect();
    assert_eq!(fields, [Field::SessionTimeout]);
    // A run for one of the two does nothing to the other.
    fixture.recorded.pauses.clear();
    fixture.policy.only = [key("acme")].into();
    assert_eq!(why(&fixture.plan(), "acme", Action::Update), reason);
    fixture.policy.only.clear();
    assert_eq!(steps(&fixture.converge()), "update acme, update globex");
    // Around three corners, one that is held holds all.
    let mut fixture = swapping();
    fixture.agree(testing::wanted("hooli"));
    give(&mut fixture, "hooli", ["+4930333333"]);
    fixture.edit("hooli", |tenant| tenant.sms_numbers = Some(numbers(["+4930222222"])));
    fixture.edit("acme", |tenant| tenant.sms_numbers = Some(numbers(["+4930333333"])));
    assert_eq!(steps(&fixture.plan()), "update acme, update globex, update hooli");
    fixture.pause(Some("hooli"), None, 1);
    assert_eq!((steps(&fixture.plan()).as_str(), fixture.plan().held.len()), ("", 3));
}
