//! New tenants, other keys, other domains, and names that are in use.

use super::fixture::{Fixture, domain, held, instance, key, steps, why};
use crate::diff::Field;
use crate::model::{MaxUsers, SettingName, testing};
use crate::plan::{Action, StepReason, Work};

fn rename(fixture: &mut Fixture, of: &str, to: &str) {
    fixture.edit(of, |tenant| tenant.definition.domain = domain(to));
}

#[test]
fn a_new_file_makes_a_tenant() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.definition.protected = true;
    acme.definition
        .pbx_settings
        .insert(SettingName::new("domain", "time_zone", "name"), "Europe/Berlin".into());
    fixture.want(acme);
    let plan = fixture.converge();
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
fn an_existing_unmanaged_domain_is_held_until_the_file_adopts_it() {
    let mut fixture = Fixture::of(["globex"]);
    fixture.want(testing::wanted("acme"));
    let id = fixture.foreign("hq", 1, "acme.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "adopt acme"));
    assert_eq!(
        why(&plan, "acme", Action::Adopt),
        "acme.example.com already exists on hq and is not managed by tenantd"
    );
    assert_eq!(plan.held[0].lifted_by.as_deref(), Some("tenantd adopt acme"));
    fixture.edit("acme", |acme| {
        acme.adopt = true;
        acme.definition.enabled = false;
        acme.definition.max_users = MaxUsers::Limited(5);
        acme.definition.pbx_settings.insert(SettingName::new("domain", "language", "code"), "de-de".into());
    });
    let plan = fixture.plan();
    let changed: Vec<String> = plan.steps[0].changes.iter().map(|change| change.field.to_string()).collect();
    assert_eq!(changed, ["name", "enabled", "pbx_settings.domain.language.code", "max_users"]);
    fixture.edit("acme", |acme| acme.definition.pbx_settings.clear());
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "adopt acme");
    assert!(matches!(&plan.steps[0].work, Work::Adopt { found, .. } if found.id == id));
    let changed: Vec<_> = plan.steps[0].changes.iter().map(|change| &change.field).collect();
    assert_eq!(changed, [&Field::Name, &Field::Enabled, &Field::MaxUsers]);
}

#[test]
fn an_adoption_shows_what_it_changes_on_the_pbx() {
    let mut fixture = Fixture::of(["globex"]);
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    fixture.want(acme);
    let id = fixture.foreign("hq", 1, "acme.example.com");
    fixture.domains("hq").get_mut(&id).unwrap().enabled = Some(false);
    let before = fixture.plan().previews[&key("acme")].before.clone().unwrap();
    assert_eq!((before.name.as_str(), before.enabled), ("not ours", false), "that it is opened is seen");
    let domain = fixture.domains("hq").get_mut(&id).unwrap();
    (domain.enabled, domain.description) = (Some(true), "acme Ltd".into());
    assert_eq!(
        fixture.plan().previews[&key("acme")].before,
        None,
        "where nothing changes, all of it is shown"
    );
}

#[test]
fn two_domains_of_one_name_are_not_adopted() {
    let mut fixture = Fixture::of([]);
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    fixture.want(acme);
    fixture.foreign("hq", 1, "acme.example.com");
    fixture.foreign("hq", 2, "acme.example.com");
    let plan = fixture.plan();
    assert_eq!(held(&plan), "adopt acme");
    assert!(why(&plan, "acme", Action::Adopt).starts_with("2 domains on hq are named"));
}

#[test]
fn a_domain_of_another_tenant_is_not_adopted() {
    let mut fixture = Fixture::of(["globex"]);
    fixture.pbx("globex").name = "acme.example.com".into();
    let mut acme = testing::wanted("acme");
    acme.adopt = true;
    fixture.want(acme);
    let plan = fixture.plan();
    assert_eq!(held(&plan), "create acme");
    assert!(why(&plan, "acme", Action::Create).contains("is recorded as a domain of the tenant globex"));
    assert_eq!(steps(&plan), "rename globex", "its own name comes back");
}

#[test]
fn a_previous_domain_is_not_adopted() {
    let mut fixture = Fixture::of(["globex"]);
    fixture.previous("globex", "branch", 1);
    fixture.edit("globex", |globex| globex.definition.domain = domain("new.example.com"));
    fixture.converge();
    let mut acme = testing::wanted("acme");
    acme.definition.domain = domain("globex.example.com");
    acme.definition.instance = instance("branch");
    acme.adopt = true;
    fixture.want(acme);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(why(&plan, "acme", Action::Create).contains("is recorded as a domain of the tenant globex"));
}

#[test]
fn a_rename_is_one_rename_and_no_deletion() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    let id = fixture.pbx("acme").id;
    rename(&mut fixture, "acme", "new.example.com");
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "rename acme");
    assert_eq!(fixture.pbx("acme").name, "new.example.com");
    assert_eq!(fixture.pbx("acme").id, id);
}

#[test]
fn git_mv_does_not_touch_the_pbx() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    let before = fixture.observed.clone();
    fixture.git_mv("acme", "umbrella");
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "rename umbrella");
    assert!(matches!(plan.steps[0].work, Work::Rekey { .. }));
    assert_eq!(plan.steps[0].reason, StepReason::FileRenamed { from: key("acme"), declared: false });
    assert_eq!(fixture.observed, before);
    assert!(fixture.recorded.tenants.contains_key(&key("umbrella")));
}

#[test]
fn git_mv_and_an_edit_keep_their_order() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.git_mv("acme", "umbrella");
    fixture.edit("umbrella", |tenant| {
        tenant.definition.name = "Umbrella".into();
        tenant.definition.enabled = false;
    });
    assert_eq!(steps(&fixture.converge()), "rename umbrella, disable umbrella, update umbrella");
}

#[test]
fn another_key_and_another_domain_at_once_need_previously() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.git_mv("acme", "umbrella");
    rename(&mut fixture, "umbrella", "umbrella.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "disable acme, create umbrella"));
    fixture.edit("umbrella", |tenant| tenant.previously = Some(key("acme")));
    let plan = fixture.converge();
    assert_eq!(steps(&plan), "rename umbrella, rename umbrella");
    assert_eq!(plan.steps[0].reason, StepReason::FileRenamed { from: key("acme"), declared: true });
    fixture.edit("umbrella", |tenant| tenant.previously = None);
    assert!(fixture.plan().is_empty(), "the line may go, or stay");
}

#[test]
fn previously_takes_nothing_from_a_tenant_that_has_a_file() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    let mut umbrella = testing::wanted("umbrella");
    umbrella.previously = Some(key("acme"));
    fixture.want(umbrella);
    assert_eq!(steps(&fixture.plan()), "create umbrella");
}

#[test]
fn previously_takes_nothing_from_a_tenant_with_a_broken_file() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.break_file("acme");
    let mut umbrella = testing::wanted("umbrella");
    umbrella.definition.domain = domain("acme.example.com");
    fixture.want(umbrella);
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "update acme, create umbrella"));
}

#[test]
fn a_removed_tenant_comes_back_under_another_key() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    let acme = fixture.desired.tenants[&key("acme")].clone();
    fixture.remove_file("acme");
    fixture.converge();
    fixture.want(crate::model::Tenant { key: key("umbrella"), ..acme });
    assert_eq!(steps(&fixture.converge()), "rename umbrella, enable umbrella");
}

#[test]
fn a_new_tenant_waits_for_a_domain_that_another_one_still_has() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    rename(&mut fixture, "acme", "old.example.com");
    let mut next = testing::wanted("next");
    next.definition.domain = domain("acme.example.com");
    fixture.want(next);
    let plan = fixture.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename acme", "create next"));
    assert!(why(&plan, "next", Action::Create).contains("still belongs to the tenant acme"));
    assert_eq!(steps(&fixture.converge()), "create next");
}

#[test]
fn a_name_in_use_holds_a_rename() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.foreign("hq", 1, "theirs.example.com");
    rename(&mut fixture, "acme", "theirs.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename acme"));
    assert!(
        why(&plan, "acme", Action::Rename).contains("already exists on hq and is not managed by tenantd")
    );
    // The rest of the tenant continues.
    fixture.edit("acme", |acme| acme.definition.session_timeout = 30);
    assert_eq!(steps(&fixture.converge()), "update acme");
}

#[test]
fn a_name_that_is_in_use_elsewhere_holds_nothing() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.foreign("branch", 1, "theirs.example.com");
    rename(&mut fixture, "acme", "theirs.example.com");
    assert_eq!(steps(&fixture.converge()), "rename acme");
}

#[test]
fn a_name_that_is_kept_for_another_tenant_holds_a_rename() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.pbx("globex").name = "other.example.com".into();
    rename(&mut fixture, "acme", "other.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename globex", "rename acme"));
    assert!(why(&plan, "acme", Action::Rename).contains("is recorded as a domain of the tenant globex"));
    fixture.pass();
    assert_eq!(steps(&fixture.converge()), "rename acme");
}

#[test]
fn a_chain_of_renames_goes_one_link_a_pass() {
    let mut fixture = Fixture::of(["a", "b", "c"]);
    rename(&mut fixture, "a", "b.example.com");
    rename(&mut fixture, "b", "c.example.com");
    rename(&mut fixture, "c", "d.example.com");
    let plan = fixture.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename c", "rename a, rename b"));
    assert!(why(&plan, "a", Action::Rename).contains("still belongs to the tenant b"));
    assert_eq!(steps(&fixture.pass()), "rename b");
    assert_eq!(steps(&fixture.pass()), "rename a");
    assert!(fixture.plan().is_empty());
}

#[test]
fn a_swap_of_domains_is_held_and_says_why() {
    let mut fixture = Fixture::of(["a", "b"]);
    rename(&mut fixture, "a", "b.example.com");
    rename(&mut fixture, "b", "a.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename a, rename b"));
    // A third name in between is the way out.
    rename(&mut fixture, "b", "free.example.com");
    fixture.pass();
    fixture.pass();
    rename(&mut fixture, "b", "a.example.com");
    assert_eq!(steps(&fixture.converge()), "rename b");
}

#[test]
fn a_swap_of_two_files_is_a_swap_of_domains_and_never_a_removal() {
    let mut fixture = Fixture::of(["a", "b"]);
    let (a, b) = (testing::wanted("a"), testing::wanted("b"));
    fixture.want(crate::model::Tenant { key: key("a"), ..b });
    fixture.want(crate::model::Tenant { key: key("b"), ..a });
    let plan = fixture.plan();
    assert!(plan.count(Action::Disable) + plan.count(Action::Create) + plan.count(Action::Delete) == 0);
    assert_eq!(held(&plan), "rename a, rename b");
}

#[test]
fn nothing_is_created_on_an_unchecked_instance() {
    let mut fixture = Fixture::of(["globex"]);
    fixture.want(testing::wanted("acme"));
    fixture.lose("hq");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(why(&plan, "acme", Action::Create).contains("it does not answer"));
}

/// `acme` becomes `umbrella` with a new domain, and a new tenant takes its old domain: the data stays with the file
/// that says so.
#[test]
fn previously_comes_before_a_domain_that_stayed_the_same() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    let id = fixture.pbx("acme").id;
    fixture.git_mv("acme", "umbrella");
    rename(&mut fixture, "umbrella", "umbrella.example.com");
    fixture.edit("umbrella", |tenant| tenant.previously = Some(key("acme")));
    let mut next = testing::wanted("another");
    next.definition.domain = domain("acme.example.com");
    fixture.want(next);
    let plan = fixture.pass();
    assert_eq!(steps(&plan), "rename umbrella, rename umbrella");
    assert_eq!(held(&plan), "create another");
    assert_eq!(fixture.record("umbrella").domain_id, id);
    assert_eq!(steps(&fixture.converge()), "create another");
}

#[test]
fn one_record_is_taken_over_once() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.git_mv("acme", "umbrella");
    for of in ["umbrella", "another"] {
        let mut tenant = testing::wanted(of);
        tenant.previously = Some(key("acme"));
        fixture.want(tenant);
    }
    assert_eq!(steps(&fixture.converge()), "rename another, rename another, update another, create umbrella");
}

/// A domain that is created again, or finished, may get another name from its file on the way.
#[test]
fn a_domain_that_another_tenant_still_has_holds_a_creation_too() {
    for provisioned in [true, false] {
        let mut fixture = Fixture::of(["acme", "globex", "umbrella"]);
        fixture.vanish("acme");
        fixture.vanish("globex");
        fixture.record("globex").provisioned = false;
        fixture.record("acme").provisioned = provisioned;
        rename(&mut fixture, "acme", "globex.example.com");
        rename(&mut fixture, "globex", "new.example.com");
        let plan = fixture.pass();
        assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("create globex", "create acme"));
        assert!(why(&plan, "acme", Action::Create).contains("still belongs to the tenant globex"));
        assert_eq!(steps(&fixture.converge()), "create acme");
    }
}

#[test]
fn finishing_an_interrupted_creation_takes_no_name_in_use() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.record("acme").provisioned = false;
    fixture.foreign("hq", 1, "theirs.example.com");
    rename(&mut fixture, "acme", "theirs.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "create acme"));
    assert!(
        why(&plan, "acme", Action::Create).contains("already exists on hq and is not managed by tenantd")
    );
    rename(&mut fixture, "acme", "free.example.com");
    assert_eq!(steps(&fixture.converge()), "create acme");
}

/// The PBX has the name already, and the database would refuse it.
#[test]
fn finishing_an_interrupted_creation_takes_no_recorded_domain() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.record("acme").provisioned = false;
    fixture.pbx("acme").name = "globex.example.com".into();
    fixture.pbx("globex").name = "new.example.com".into();
    rename(&mut fixture, "acme", "globex.example.com");
    rename(&mut fixture, "globex", "new.example.com");
    let plan = fixture.pass();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("rename globex", "create acme"));
    assert_eq!(steps(&fixture.converge()), "create acme");
}

/// FusionPBX keeps recordings and voicemail by name, and would take theirs along.
#[test]
fn a_domain_that_shares_its_name_is_neither_renamed_nor_deleted() {
    let shares = "another domain on hq is also named acme.example.com";
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.foreign("hq", 1, "acme.example.com");
    assert!(fixture.plan().is_empty());
    rename(&mut fixture, "acme", "new.example.com");
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "rename acme"));
    assert!(why(&plan, "acme", Action::Rename).starts_with(shares));
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.foreign("hq", 1, "acme.example.com");
    fixture.removed("acme", 31);
    fixture.policy.allow_delete.insert(key("acme"));
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).starts_with(shares));
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.previous("acme", "branch", 31);
    fixture.foreign("branch", 1, "acme.example.com");
    fixture.policy.allow_delete.insert(key("acme"));
    let plan = fixture.plan();
    assert_eq!((steps(&plan).as_str(), held(&plan).as_str()), ("", "delete acme"));
    assert!(why(&plan, "acme", Action::Delete).starts_with("another domain on branch"));
    // A name on another instance is another name.
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.foreign("branch", 1, "acme.example.com");
    rename(&mut fixture, "acme", "new.example.com");
    assert_eq!(steps(&fixture.converge()), "rename acme");
}

/// The PBX has the new name already: only the record is to follow.
#[test]
fn a_rename_that_was_cut_short_is_finished_beside_another_domain_of_the_old_name() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    rename(&mut fixture, "acme", "new.example.com");
    fixture.pbx("acme").name = "new.example.com".into();
    fixture.foreign("hq", 1, "acme.example.com");
    assert_eq!(steps(&fixture.converge()), "rename acme");
    assert_eq!(fixture.record("acme").definition.domain, domain("new.example.com"));
}
