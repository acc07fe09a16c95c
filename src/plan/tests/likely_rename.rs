//! A rename of key and domain in one commit, without `previously:`.

use super::scene::{Scene, domain, key};
use crate::model::{Approval, Completeness, SettingName, testing};
use crate::plan::{Action, Held, Plan};

/// As `mv hooli.yaml hooli-inc.yaml` with another domain in it.
fn renamed() -> Scene {
    let mut scene = Scene::of(["acme", "globex", "hooli", "umbrella"]);
    rename(&mut scene, "hooli", "hooli-inc", |_| ());
    scene
}

fn rename(scene: &mut Scene, from: &str, to: &str, change: impl FnOnce(&mut crate::model::Tenant)) {
    scene.git_mv(from, to);
    scene.edit(to, |tenant| {
        tenant.domain = domain(&format!("{to}.example.com"));
        change(tenant);
    });
}

fn held_of(plan: &Plan, of: &str) -> Held {
    let found: Vec<&Held> = plan.held.iter().filter(|held| held.tenant.as_str() == of).collect();
    assert_eq!(found.len(), 1, "{plan:#?}");
    found[0].clone()
}

/// The id that says that they are two.
fn id_of(held: &Held) -> String {
    held.lift.as_deref().unwrap().strip_prefix("tenantd approve ").unwrap().to_owned()
}

fn approve(scene: &mut Scene, id: &str) {
    scene.recorded.approvals.push(Approval {
        id: uuid::Uuid::nil(),
        removals_id: Some(id.to_owned()),
        deletion_of: None,
        approved_by: "anna".into(),
        approved_at: scene.now,
        expires_at: scene.now + chrono::TimeDelta::hours(1),
    });
}

#[test]
fn both_halves_of_a_likely_rename_are_held_with_the_line_and_the_command() {
    let plan = renamed().plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let (disable, create) = (held_of(&plan, "hooli"), held_of(&plan, "hooli-inc"));
    assert_eq!((disable.action, create.action), (Action::Disable, Action::Create));
    assert_eq!((&disable.reason, &disable.lift), (&create.reason, &create.lift));
    assert!(disable.reason.contains("write `previously: hooli` in hooli-inc.yaml"), "{}", disable.reason);
    assert!(id_of(&disable).starts_with("t-"));
}

#[test]
fn one_tenant_alone_is_held_as_well() {
    let mut scene = renamed();
    scene.policy.only = [key("hooli-inc")].into();
    let plan = scene.plan();
    assert!(plan.steps.is_empty());
    held_of(&plan, "hooli-inc");
}

#[test]
fn the_new_half_waits_while_the_old_one_is_held_for_another_reason() {
    let mut scene = renamed();
    scene.break_file("umbrella");
    let plan = scene.plan();
    assert!(plan.steps.iter().all(|step| step.action != Action::Create), "{plan:#?}");
    assert!(held_of(&plan, "hooli-inc").reason.contains("looks like hooli"));
    assert!(held_of(&plan, "hooli").reason.contains("umbrella.yaml is broken"));
}

#[test]
fn with_previously_it_is_one_rename_and_nothing_is_made() {
    let mut scene = renamed();
    scene.edit("hooli-inc", |tenant| tenant.previously = Some(key("hooli")));
    let plan = scene.plan();
    assert!(plan.held.is_empty() && plan.warnings.is_empty(), "{plan:#?}");
    assert!(
        plan.steps.iter().all(|step| matches!(step.action, Action::Rename | Action::Update)),
        "{plan:#?}"
    );
}

#[test]
fn two_tenants_go_on_when_a_person_says_so_and_the_removal_counts_as_any_other() {
    let mut scene = renamed();
    let id = id_of(&held_of(&scene.plan(), "hooli"));
    approve(&mut scene, &id);
    let plan = scene.plan();
    assert_eq!((plan.count(Action::Create), plan.count(Action::Disable)), (1, 1), "{plan:#?}");
    // A second removal is beyond the limit, whatever was said of the pair.
    scene.remove_file("globex");
    let plan = scene.plan();
    assert_eq!((plan.count(Action::Create), plan.count(Action::Disable)), (1, 0), "{plan:#?}");
    assert!(held_of(&plan, "hooli").lift.unwrap().contains("approve r-"));
    // What was said is of this pair alone, and ends.
    scene.now += chrono::TimeDelta::hours(2);
    assert_eq!(scene.plan().count(Action::Create), 0);
}

#[test]
fn what_was_approved_of_one_pair_says_nothing_of_another() {
    let mut scene = renamed();
    let id = id_of(&held_of(&scene.plan(), "hooli"));
    approve(&mut scene, &id);
    scene.edit("hooli-inc", |tenant| tenant.domain = domain("other.example.com"));
    assert!(scene.plan().steps.is_empty());
}

#[test]
fn alike_are_names_files_and_keys() {
    let settings = |tenant: &mut crate::model::Tenant, values: &[(&str, &str)]| {
        for (name, value) in values {
            tenant.pbx_settings.insert(SettingName::parse(name).unwrap(), (*value).to_owned());
        }
    };
    let own = [("theme.title.text", "H"), ("theme.logo.text", "h.png"), ("voicemail.greeting.text", "hi")];
    // Another key and another name, but settings that nobody else has.
    let mut scene = Scene::of(["acme", "globex"]);
    let mut hooli = testing::wanted("hooli");
    settings(&mut hooli, &own);
    scene.agree(hooli);
    rename(&mut scene, "hooli", "gavin", |tenant| tenant.name = "Gavin Belson Signature".into());
    assert_eq!(held_of(&scene.plan(), "gavin").action, Action::Create);
    // What most others have as well tells nothing, where more than one tenant comes.
    let mut scene = Scene::of([]);
    for of in ["acme", "globex", "hooli"] {
        let mut tenant = testing::wanted(of);
        settings(&mut tenant, &own);
        scene.agree(tenant);
    }
    scene.want(testing::wanted("initech"));
    rename(&mut scene, "hooli", "gavin", |tenant| tenant.name = "Gavin Belson Signature".into());
    assert_eq!(scene.plan().count(Action::Create), 2);
    for (to, alike) in
        [("hooli-inc", true), ("new-hooli", true), ("hoolii", true), ("initech", false), ("hoo", false)]
    {
        let mut scene = Scene::of(["acme", "hooli"]);
        scene.want(testing::wanted("piedpiper"));
        rename(&mut scene, "hooli", to, |tenant| tenant.name = "Another".into());
        assert_eq!(scene.plan().count(Action::Create), 1 + usize::from(!alike), "{to}");
    }
    // Numbers are there to tell tenants apart.
    let mut scene = Scene::of(["acme", "customer-17"]);
    scene.want(testing::wanted("piedpiper"));
    rename(&mut scene, "customer-17", "customer-18", |tenant| tenant.name = "Another".into());
    assert_eq!(scene.plan().count(Action::Create), 2);
}

/// A rebranding: key, domain and name change in one commit, and what is left is what most tenants have.
#[test]
fn where_one_tenant_goes_and_one_comes_whole_files_are_compared_as_git_does() {
    let rebranded = |change: fn(&mut crate::model::Tenant)| {
        let mut scene = Scene::of(["acme", "globex", "hooli"]);
        rename(&mut scene, "globex", "initrode", |tenant| {
            tenant.name = "Initrode plc".into();
            change(tenant);
        });
        scene
    };
    let plan = rebranded(|_| ()).plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert!(held_of(&plan, "globex").reason.contains("most lines of their files are the same"));
    assert_eq!(held_of(&plan, "globex").lift, held_of(&plan, "initrode").lift);
    // Less than half of it is the same.
    let other = |tenant: &mut crate::model::Tenant| {
        tenant.session_timeout = 15;
        tenant.max_users = crate::model::MaxUsers::Limited(3);
    };
    assert_eq!(rebranded(other).plan().count(Action::Create), 1);
    // On another instance it is no rename.
    let branch = |tenant: &mut crate::model::Tenant| tenant.instance = super::scene::instance("branch");
    assert_eq!(rebranded(branch).plan().count(Action::Create), 1);
}

#[test]
fn a_name_that_contains_the_other_is_a_likely_rename_on_the_same_instance() {
    for (name, alike) in
        [("hooli ltd International", true), ("The Hooli  LTD", true), ("Hoolihan Ltd", false)]
    {
        let mut scene = Scene::of(["acme", "hooli"]);
        scene.want(testing::wanted("piedpiper"));
        rename(&mut scene, "hooli", "megacorp", |tenant| tenant.name = name.into());
        assert_eq!(scene.plan().count(Action::Create), 1 + usize::from(!alike), "{name}");
    }
}

/// As `cp buecher.yaml books.yaml`, an edit, a run, and then `rm buecher.yaml`.
fn copied_and_removed() -> Scene {
    let mut scene = Scene::of(["acme", "globex", "buecher"]);
    let mut books = testing::wanted("books");
    books.name = "Books".into();
    scene.want(books);
    assert_eq!(scene.pass().count(Action::Create), 1);
    scene.record("books").created_at = scene.now;
    scene.now += chrono::TimeDelta::minutes(1);
    scene.remove_file("buecher");
    scene
}

#[test]
fn a_rename_in_two_runs_holds_the_removal_for_a_day_and_its_advice_works() {
    let plan = copied_and_removed().plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let held = held_of(&plan, "buecher");
    assert_eq!((held.action, plan.held.len()), (Action::Disable, 1));
    assert!(held.reason.contains("put buecher.yaml back; if they are two tenants, approve it"), "{held:?}");
    // It says nothing of a line that can no longer be written.
    assert!(!held.reason.contains("previously"), "{held:?}");
    // The file is put back.
    let mut scene = copied_and_removed();
    scene.want(testing::wanted("buecher"));
    assert!(scene.plan().is_empty());
    // They are two.
    let mut scene = copied_and_removed();
    approve(&mut scene, &id_of(&held));
    assert_eq!(scene.converge().count(Action::Disable), 1);
    // A day later they are two anyway.
    let mut scene = copied_and_removed();
    scene.now += chrono::TimeDelta::hours(24);
    assert_eq!(scene.plan().count(Action::Disable), 1);
}

#[test]
fn only_a_tenant_that_was_created_later_is_a_removed_one_under_another_name() {
    // Both come from one run.
    let mut scene = copied_and_removed();
    scene.record("buecher").created_at = scene.record("books").created_at;
    assert_eq!(scene.plan().count(Action::Disable), 1);
    // A copy made later is no longer of that run.
    scene.record("buecher").created_at -= chrono::TimeDelta::seconds(61);
    assert_eq!(held_of(&scene.plan(), "buecher").action, Action::Disable);
    // It came back from an archive.
    let mut scene = copied_and_removed();
    scene.record("books").restored_at = Some(scene.now);
    assert_eq!(scene.plan().count(Action::Disable), 1);
    // The newer one goes.
    let mut scene = copied_and_removed();
    scene.want(testing::wanted("buecher"));
    scene.remove_file("books");
    assert_eq!(scene.plan().count(Action::Disable), 1);
}

#[test]
fn of_several_candidates_the_best_is_asked_about_and_the_others_are_named_and_held() {
    let mut scene = renamed();
    let mut other = testing::wanted("hooli-xyz");
    other.name = "Hooli XYZ".into();
    scene.want(other);
    let plan = scene.plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let held = held_of(&plan, "hooli");
    assert!(
        held.reason.starts_with("hooli-inc is new") && held.reason.contains("`hooli-xyz`"),
        "{}",
        held.reason
    );
    assert_ne!(held.lift, held_of(&plan, "hooli-xyz").lift);
    // The one who is said to be another tenant is made; the question about the rest stays.
    approve(&mut scene, &id_of(&held_of(&plan, "hooli-xyz")));
    let plan = scene.plan();
    assert_eq!((plan.count(Action::Create), plan.count(Action::Disable)), (1, 0), "{plan:#?}");
}

#[test]
fn a_tenant_that_was_disabled_earlier_is_not_asked_about() {
    let mut scene = renamed();
    scene.removed("hooli", 1);
    assert_eq!(scene.plan().count(Action::Create), 1);
}

#[test]
fn a_previously_without_effect_says_why() {
    let warnings = |scene: &Scene| -> Vec<String> {
        let found = scene.plan().warnings;
        found.into_iter().filter(|line| line.contains("has no effect")).collect()
    };
    let mut scene = Scene::of(["acme", "globex"]);
    let mut new = testing::wanted("zz");
    new.previously = Some(key("nosuch"));
    scene.want(new);
    assert!(warnings(&scene)[0].contains("there is no record of nosuch"), "{:?}", warnings(&scene));
    // It was carried out.
    let mut scene = Scene::of(["acme", "globex"]);
    scene.edit("acme", |tenant| tenant.previously = Some(key("old")));
    assert_eq!(
        scene.plan().warnings,
        ["old was renamed to acme already. Delete the line `previously: old`."]
    );
    // The old file is still there, and broken.
    let mut scene = Scene::of(["acme", "globex"]);
    rename(&mut scene, "globex", "globex-inc", |tenant| tenant.previously = Some(key("globex")));
    scene.desired.broken.push(crate::model::BrokenFile {
        file: "globex.yaml".into(),
        key: Some(key("globex")),
        problems: vec!["it is broken".into()],
    });
    scene.desired.completeness = Completeness::Partial { reason: "globex.yaml is broken".into() };
    assert!(warnings(&scene)[0].contains("is still there"), "{:?}", warnings(&scene));
    // The repair that came too late.
    let mut scene = Scene::of(["acme", "globex", "globex-inc"]);
    scene.removed("globex", 0);
    scene.edit("globex-inc", |tenant| tenant.previously = Some(key("globex")));
    let told = warnings(&scene);
    assert!(told[0].contains("put globex.yaml back as it was and remove globex-inc.yaml"), "{told:?}");
}
