//! New tenants, other keys, other domains, and names that are in use.

use super::scene::{Scene, domain, held, instance, key, steps, why};
use crate::diff::Field;
use crate::model::{MaxUsers, SettingName, testing};
use crate::plan::{Action, Work};

fn rename(scene: &mut Scene, of: &str, to: &str) {
    scene.edit(of, |tenant| tenant.domain = domain(to));
}

#[test]
fn a_new_file_makes_a_tenant() {
    let mut scene = Scene::of([]);
    let mut acme = testing::wanted("acme");
    acme.protected = true;
    acme.pbx_settings.insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
    scene.want(acme);
    let plan = scene.converge();
    assert_eq!(steps(&plan), "create acme");
    let fields: Vec<String> = plan.steps[0].changes.iter().map(|change| change.field.to_string()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "domain",
            "pbx_instance",
            "enabled",
            "session_timeout",
            "max_users",
            "protected",
            "pbx_settings.domain.time_zone.name"
        ]
    );
    assert!(plan.steps[0].changes.iter().all(|change| change.before.is_none() && change.after.is_some()));
    assert_eq!(plan.previews[&key("acme")].before, None);
}

#[test]
fn what_exists_and_is_not_ours_is_held_until_the_file_adopts_it() {
    let mut scene = Scene::of(["globex"]);
    scene.want(testing::wanted("acme"));
    let id = scene.foreign("hq", 1, "acme.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "adopt acme"));
    assert_eq!(
        why(&plan, "acme", Action::Adopt),
        "acme.example.com already exists on hq and tenantd does not manage it"
    );
    assert_eq!(plan.held[0].lift.as_deref(), Some("tenantd adopt acme"));
    scene.edit("acme", |acme| {
        acme.adopt = true;
        acme.enabled = false;
        acme.max_users = MaxUsers::Limited(5);
        acme.pbx_settings.insert(SettingName::new("domain", "language", "code"), "de-de".into());
    });
    let plan = scene.plan();
    let changed: Vec<String> = plan.steps[0].changes.iter().map(|change| change.field.to_string()).collect();
    assert_eq!(changed, ["name", "enabled", "pbx_settings.domain.language.code", "max_users"]);
    scene.edit("acme", |acme| acme.pbx_settings.clear());
    let plan = scene.converge();
    assert_eq!(steps(&plan), "adopt acme");
    assert!(matches!(&plan.steps[0].work, Work::Adopt { found, .. } if found.id == id));
    let changed: Vec<_> = plan.steps[0].changes.iter().map(|change| &change.field).collect();
    assert_eq!(changed, [&Field::Name, &Field::Enabled, &Field::MaxUsers]);
}

#[test]
fn an_adoption_shows_what_it_changes_on_the_pbx() {
    let mut scene = Scene::of(["globex"]);
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    scene.want(acme);
    let id = scene.foreign("hq", 1, "acme.example.com");
    scene.domains("hq").get_mut(&id).unwrap().enabled = Some(false);
    let before = scene.plan().previews[&key("acme")].before.clone().unwrap();
    assert_eq!((before.name.as_str(), before.enabled), ("not ours", false), "that it is opened is seen");
    let domain = scene.domains("hq").get_mut(&id).unwrap();
    (domain.enabled, domain.description) = (Some(true), "acme Ltd".into());
    assert_eq!(scene.plan().previews[&key("acme")].before, None, "where nothing changes, all of it is shown");
}

#[test]
fn two_domains_of_one_name_are_not_adopted() {
    let mut scene = Scene::of([]);
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    scene.want(acme);
    scene.foreign("hq", 1, "acme.example.com");
    scene.foreign("hq", 2, "acme.example.com");
    let plan = scene.plan();
    assert_eq!(held(&plan), "adopt acme");
    assert!(why(&plan, "acme", Action::Adopt).starts_with("2 domains on hq have the name"));
}

#[test]
fn what_another_tenant_has_is_not_adopted() {
    let mut scene = Scene::of(["globex"]);
    scene.pbx("globex").name = "acme.example.com".into();
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    scene.want(acme);
    let plan = scene.plan();
    assert_eq!(held(&plan), "create acme");
    assert!(why(&plan, "acme", Action::Create).contains("is kept for the tenant globex"));
    assert_eq!(steps(&plan), "rename globex", "its own name comes back");
}

#[test]
fn what_a_tenant_left_behind_is_not_adopted() {
    let mut scene = Scene::of(["globex"]);
    scene.former("globex", "branch", 1);
    scene.edit("globex", |globex| globex.domain = domain("new.example.com"));
    scene.converge();
    let mut acme = testing::wanted("acme");
    acme.domain = domain("globex.example.com");
    acme.instance = instance("branch");
    acme.adopt = true;
    scene.want(acme);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(why(&plan, "acme", Action::Create).contains("is kept for the tenant globex"));
}

#[test]
fn a_rename_is_one_rename_and_no_deletion() {
    let mut scene = Scene::of(["acme", "globex"]);
    let id = scene.pbx("acme").id;
    rename(&mut scene, "acme", "new.example.com");
    let plan = scene.converge();
    assert_eq!(steps(&plan), "rename acme");
    assert_eq!(scene.pbx("acme").name, "new.example.com");
    assert_eq!(scene.pbx("acme").id, id);
}

#[test]
fn git_mv_does_not_touch_the_pbx() {
    let mut scene = Scene::of(["acme", "globex"]);
    let before = scene.observed.clone();
    scene.git_mv("acme", "umbrella");
    let plan = scene.converge();
    assert_eq!(steps(&plan), "rename umbrella");
    assert!(matches!(plan.steps[0].work, Work::Rekey { .. }));
    assert_eq!(plan.steps[0].reason, "the file of acme was renamed; the PBX is not touched");
    assert_eq!(scene.observed, before);
    assert!(scene.recorded.tenants.contains_key(&key("umbrella")));
}

#[test]
fn git_mv_and_an_edit_keep_their_order() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.git_mv("acme", "umbrella");
    scene.edit("umbrella", |tenant| {
        tenant.name = "Umbrella".into();
        tenant.enabled = false;
    });
    assert_eq!(steps(&scene.converge()), "rename umbrella, disable umbrella, update umbrella");
}

#[test]
fn another_key_and_another_domain_at_once_need_previously() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.git_mv("acme", "umbrella");
    rename(&mut scene, "umbrella", "umbrella.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "disable acme, create umbrella"));
    scene.edit("umbrella", |tenant| tenant.previously = Some(key("acme")));
    let plan = scene.converge();
    assert_eq!(steps(&plan), "rename umbrella, rename umbrella");
    assert_eq!(plan.steps[0].reason, "the file says that it was acme before");
    scene.edit("umbrella", |tenant| tenant.previously = None);
    assert!(scene.plan().is_empty(), "the line may go, or stay");
}

#[test]
fn previously_takes_nothing_from_a_tenant_that_has_a_file() {
    let mut scene = Scene::of(["acme", "globex"]);
    let mut umbrella = testing::wanted("umbrella");
    umbrella.previously = Some(key("acme"));
    scene.want(umbrella);
    assert_eq!(steps(&scene.plan()), "create umbrella");
}

#[test]
fn previously_takes_nothing_from_a_tenant_whose_file_is_broken() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.break_file("acme");
    let mut umbrella = testing::wanted("umbrella");
    umbrella.domain = domain("acme.example.com");
    scene.want(umbrella);
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "update acme, create umbrella"));
}

#[test]
fn a_removed_tenant_comes_back_under_another_key() {
    let mut scene = Scene::of(["acme", "globex"]);
    let acme = scene.desired.tenants[&key("acme")].clone();
    scene.remove_file("acme");
    scene.converge();
    scene.want(crate::model::Tenant { key: key("umbrella"), ..acme });
    assert_eq!(steps(&scene.converge()), "rename umbrella, enable umbrella");
}

#[test]
fn a_new_tenant_waits_for_a_domain_that_another_one_still_has() {
    let mut scene = Scene::of(["acme", "globex"]);
    rename(&mut scene, "acme", "old.example.com");
    let mut next = testing::wanted("next");
    next.domain = domain("acme.example.com");
    scene.want(next);
    let plan = scene.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename acme", "create next"));
    assert!(why(&plan, "next", Action::Create).contains("still belongs to the tenant acme"));
    assert_eq!(steps(&scene.converge()), "create next");
}

#[test]
fn a_name_in_use_holds_a_rename() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.foreign("hq", 1, "theirs.example.com");
    rename(&mut scene, "acme", "theirs.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename acme"));
    assert!(
        why(&plan, "acme", Action::Rename).contains("already exists on hq and tenantd does not manage it")
    );
    // The rest of the tenant goes on.
    scene.edit("acme", |acme| acme.session_timeout = 30);
    assert_eq!(steps(&scene.converge()), "update acme");
}

#[test]
fn a_name_that_is_in_use_elsewhere_holds_nothing() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.foreign("branch", 1, "theirs.example.com");
    rename(&mut scene, "acme", "theirs.example.com");
    assert_eq!(steps(&scene.converge()), "rename acme");
}

#[test]
fn a_name_that_is_kept_for_another_tenant_holds_a_rename() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.pbx("globex").name = "other.example.com".into();
    rename(&mut scene, "acme", "other.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename globex", "rename acme"));
    assert!(why(&plan, "acme", Action::Rename).contains("is kept for the tenant globex"));
    scene.pass();
    assert_eq!(steps(&scene.converge()), "rename acme");
}

#[test]
fn a_chain_of_renames_goes_one_link_a_pass() {
    let mut scene = Scene::of(["a", "b", "c"]);
    rename(&mut scene, "a", "b.example.com");
    rename(&mut scene, "b", "c.example.com");
    rename(&mut scene, "c", "d.example.com");
    let plan = scene.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename c", "rename a, rename b"));
    assert!(why(&plan, "a", Action::Rename).contains("still belongs to the tenant b"));
    assert_eq!(steps(&scene.pass()), "rename b");
    assert_eq!(steps(&scene.pass()), "rename a");
    assert!(scene.plan().is_empty());
}

#[test]
fn a_swap_of_domains_is_held_and_says_why() {
    let mut scene = Scene::of(["a", "b"]);
    rename(&mut scene, "a", "b.example.com");
    rename(&mut scene, "b", "a.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename a, rename b"));
    // A third name in between is the way out.
    rename(&mut scene, "b", "free.example.com");
    scene.pass();
    scene.pass();
    rename(&mut scene, "b", "a.example.com");
    assert_eq!(steps(&scene.converge()), "rename b");
}

#[test]
fn a_swap_of_two_files_is_a_swap_of_domains_and_never_a_removal() {
    let mut scene = Scene::of(["a", "b"]);
    let (a, b) = (testing::wanted("a"), testing::wanted("b"));
    scene.want(crate::model::Tenant { key: key("a"), ..b });
    scene.want(crate::model::Tenant { key: key("b"), ..a });
    let plan = scene.plan();
    assert!(plan.count(Action::Disable) + plan.count(Action::Create) + plan.count(Action::Delete) == 0);
    assert_eq!(held(&plan), "rename a, rename b");
}

#[test]
fn an_unknown_instance_makes_nobody() {
    let mut scene = Scene::of(["globex"]);
    scene.want(testing::wanted("acme"));
    scene.lose("hq");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(why(&plan, "acme", Action::Create).contains("it does not answer"));
}

/// `acme` becomes `umbrella` with a new domain, and a new tenant takes its old domain: the data stays with the file
/// that says so.
#[test]
fn previously_comes_before_a_domain_that_stayed_the_same() {
    let mut scene = Scene::of(["acme", "globex"]);
    let id = scene.pbx("acme").id;
    scene.git_mv("acme", "umbrella");
    rename(&mut scene, "umbrella", "umbrella.example.com");
    scene.edit("umbrella", |tenant| tenant.previously = Some(key("acme")));
    let mut next = testing::wanted("another");
    next.domain = domain("acme.example.com");
    scene.want(next);
    let plan = scene.pass();
    assert_eq!(steps(&plan), "rename umbrella, rename umbrella");
    assert_eq!(held(&plan), "create another");
    assert_eq!(scene.record("umbrella").domain_id, id);
    assert_eq!(steps(&scene.converge()), "create another");
}

#[test]
fn one_record_is_taken_over_once() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.git_mv("acme", "umbrella");
    for of in ["umbrella", "another"] {
        let mut tenant = testing::wanted(of);
        tenant.previously = Some(key("acme"));
        scene.want(tenant);
    }
    assert_eq!(steps(&scene.converge()), "rename another, rename another, update another, create umbrella");
}

/// A domain that is made again, or finished, may get another name from its file on the way.
#[test]
fn a_domain_that_another_tenant_still_has_holds_a_creation_too() {
    for provisioned in [true, false] {
        let mut scene = Scene::of(["acme", "globex", "umbrella"]);
        scene.vanish("acme");
        scene.vanish("globex");
        scene.record("globex").provisioned = false;
        scene.record("acme").provisioned = provisioned;
        rename(&mut scene, "acme", "globex.example.com");
        rename(&mut scene, "globex", "new.example.com");
        let plan = scene.pass();
        assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("create globex", "create acme"));
        assert!(why(&plan, "acme", Action::Create).contains("still belongs to the tenant globex"));
        assert_eq!(steps(&scene.converge()), "create acme");
    }
}

#[test]
fn finishing_what_was_cut_short_takes_no_name_in_use() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.record("acme").provisioned = false;
    scene.foreign("hq", 1, "theirs.example.com");
    rename(&mut scene, "acme", "theirs.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(
        why(&plan, "acme", Action::Create).contains("already exists on hq and tenantd does not manage it")
    );
    rename(&mut scene, "acme", "free.example.com");
    assert_eq!(steps(&scene.converge()), "create acme");
}

/// The PBX has the name already, and the database would refuse it.
#[test]
fn finishing_what_was_cut_short_takes_no_recorded_domain() {
    let mut scene = Scene::of(["acme", "globex"]);
    scene.record("acme").provisioned = false;
    scene.pbx("acme").name = "globex.example.com".into();
    scene.pbx("globex").name = "new.example.com".into();
    rename(&mut scene, "acme", "globex.example.com");
    rename(&mut scene, "globex", "new.example.com");
    let plan = scene.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename globex", "create acme"));
    assert_eq!(steps(&scene.converge()), "create acme");
}

/// FusionPBX keeps recordings and voicemail by name, and would take theirs along.
#[test]
fn a_domain_that_shares_its_name_is_neither_renamed_nor_deleted() {
    let shares = "another domain on hq has the name acme.example.com too";
    let mut scene = Scene::of(["acme", "globex"]);
    scene.foreign("hq", 1, "acme.example.com");
    assert!(scene.plan().is_empty());
    rename(&mut scene, "acme", "new.example.com");
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename acme"));
    assert!(why(&plan, "acme", Action::Rename).starts_with(shares));
    let mut scene = Scene::of(["acme", "globex"]);
    scene.foreign("hq", 1, "acme.example.com");
    scene.removed("acme", 31);
    scene.policy.allow_delete.insert(key("acme"));
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).starts_with(shares));
    let mut scene = Scene::of(["acme", "globex"]);
    scene.former("acme", "branch", 31);
    scene.foreign("branch", 1, "acme.example.com");
    scene.policy.allow_delete.insert(key("acme"));
    let plan = scene.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).starts_with("another domain on branch"));
    // A name on another instance is another name.
    let mut scene = Scene::of(["acme", "globex"]);
    scene.foreign("branch", 1, "acme.example.com");
    rename(&mut scene, "acme", "new.example.com");
    assert_eq!(steps(&scene.converge()), "rename acme");
}

/// The PBX has the new name already: only the record is to follow.
#[test]
fn a_rename_that_was_cut_short_is_finished_beside_another_domain_of_the_old_name() {
    let mut scene = Scene::of(["acme", "globex"]);
    rename(&mut scene, "acme", "new.example.com");
    scene.pbx("acme").name = "new.example.com".into();
    scene.foreign("hq", 1, "acme.example.com");
    assert_eq!(steps(&scene.converge()), "rename acme");
    assert_eq!(scene.record("acme").domain, domain("new.example.com"));
}
