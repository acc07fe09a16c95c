//! SMS numbers: owned by a tenant's file where it names them, and by one tenant.

use super::scene::{Scene, domain, held, key, steps, why};
use crate::diff::Field;
use crate::model::{SmsNumber, testing};
use crate::plan::{Action, Effect};

fn numbers<const N: usize>(texts: [&str; N]) -> std::collections::BTreeSet<SmsNumber> {
    texts.map(|text| SmsNumber::parse(text).unwrap()).into()
}

fn give<const N: usize>(scene: &mut Scene, of: &str, texts: [&str; N]) {
    let id = scene.record(of).id;
    scene.recorded.sms_numbers.insert(id, numbers(texts));
}

#[test]
fn a_file_that_names_its_numbers_owns_them() {
    let mut scene = Scene::of(["acme", "globex"]);
    give(&mut scene, "acme", ["+4930123456", "+4930123457"]);
    assert_eq!(steps(&scene.plan()), "", "without the field they are not managed");
    scene.edit("acme", |tenant| tenant.sms_numbers = Some(numbers(["+49 30 123457", "12345"])));
    let plan = scene.plan();
    assert_eq!(steps(&plan), "update acme");
    let change = &plan.steps[0].changes[0];
    assert_eq!(change.field, Field::SmsNumbers);
    assert_eq!(change.before.as_deref(), Some("+4930123456, +4930123457"));
    assert_eq!(change.after.as_deref(), Some("+4930123457, 12345"));
    assert_eq!(
        plan.effects_of_step(&plan.steps[0]),
        [Effect::NumbersReleased { numbers: vec!["+4930123456".into()] }]
    );
    scene.converge();
    scene.edit("acme", |tenant| tenant.sms_numbers = None);
    assert_eq!(steps(&scene.plan()), "", "what leaves the file is not taken away");
    scene.edit("acme", |tenant| tenant.sms_numbers = Some([].into()));
    assert_eq!(steps(&scene.converge()), "update acme", "an empty list wants none");
}

#[test]
fn a_number_of_another_tenant_is_held_and_the_rest_goes_on() {
    let mut scene = Scene::of(["acme", "globex"]);
    give(&mut scene, "globex", ["+4930123456"]);
    scene.edit("acme", |tenant| {
        tenant.sms_numbers = Some(numbers(["+4930123456"]));
        tenant.session_timeout = 30;
    });
    let mut new = testing::wanted("new");
    new.sms_numbers = Some(numbers(["+4930123456"]));
    scene.want(new);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("update acme", "update acme, create new"));
    assert_eq!(plan.steps[0].changes.len(), 1);
    let reason =
        "the SMS number +4930123456 still belongs to the tenant globex; it must be released there first";
    assert_eq!(why(&plan, "acme", Action::Update), reason);
    assert_eq!(why(&plan, "new", Action::Create), reason);
    // Once the other file gives it up, one pass later it is here.
    scene.desired.tenants.remove(&key("new"));
    scene.edit("acme", |tenant| tenant.session_timeout = 60);
    scene.edit("globex", |tenant| tenant.sms_numbers = Some([].into()));
    scene.recorded.tenants.get_mut(&key("acme")).unwrap().session_timeout = 60;
    assert_eq!(steps(&scene.pass()), "update globex");
    assert_eq!(steps(&scene.converge()), "update acme");
}

#[test]
fn a_change_on_the_platform_is_put_right_and_called_so() {
    let mut scene = Scene::of(["acme"]);
    scene.edit("acme", |tenant| tenant.sms_numbers = Some(numbers(["+4930123456"])));
    scene.converge();
    let hash = crate::plan::definition_hash(&scene.desired.tenants[&key("acme")]);
    scene.record("acme").applied_hash = Some(hash);
    give(&mut scene, "acme", ["+4930999999"]);
    let plan = scene.plan();
    assert_eq!(plan.steps[0].reason, "drift: its SMS numbers were changed on the platform");
    scene.edit("acme", |tenant| tenant.domain = domain("other.example.com"));
    assert_eq!(steps(&scene.plan()), "rename acme, update acme");
}
