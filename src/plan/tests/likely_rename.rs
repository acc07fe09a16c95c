//! A rename of key and domain in one commit, without `previously:`.

use super::fixture::{Fixture, domain, key};
use crate::model::{Approval, Completeness, SettingName, testing};
use crate::plan::{Action, Held, Plan};

/// As `mv hooli.yaml hooli-inc.yaml` with another domain in it.
fn renamed() -> Fixture {
    let mut fixture = Fixture::of(["acme", "globex", "hooli", "umbrella"]);
    rename(&mut fixture, "hooli", "hooli-inc", |_| ());
    fixture
}

fn rename(fixture: &mut Fixture, from: &str, to: &str, change: impl FnOnce(&mut crate::model::Tenant)) {
    fixture.git_mv(from, to);
    fixture.edit(to, |tenant| {
        tenant.definition.domain = domain(&format!("{to}.example.com"));
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
    held.lifted_by.as_deref().unwrap().strip_prefix("tenantd approve ").unwrap().to_owned()
}

fn approve(fixture: &mut Fixture, id: &str) {
    fixture.recorded.approvals.push(Approval {
        id: uuid::Uuid::nil(),
        removals_id: Some(id.to_owned()),
        deletion_of: None,
        approved_by: "anna".into(),
        approved_at: fixture.now,
        expires_at: fixture.now + chrono::TimeDelta::hours(1),
    });
}

#[test]
fn both_halves_of_a_likely_rename_are_held_with_the_line_and_the_command() {
    let plan = renamed().plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let (disable, create) = (held_of(&plan, "hooli"), held_of(&plan, "hooli-inc"));
    assert_eq!((disable.action, create.action), (Action::Disable, Action::Create));
    assert_eq!((&disable.reason, &disable.lifted_by), (&create.reason, &create.lifted_by));
    assert!(disable.why().contains("write `previously: hooli` in hooli-inc.yaml"), "{}", disable.reason);
    assert!(id_of(&disable).starts_with("t-"));
}

#[test]
fn one_tenant_alone_is_held_as_well() {
    let mut fixture = renamed();
    fixture.policy.only = [key("hooli-inc")].into();
    let plan = fixture.plan();
    assert!(plan.steps.is_empty());
    held_of(&plan, "hooli-inc");
}

#[test]
fn the_new_half_waits_while_the_old_one_is_held_for_another_reason() {
    let mut fixture = renamed();
    fixture.break_file("umbrella");
    let plan = fixture.plan();
    assert!(plan.steps.iter().all(|step| step.action != Action::Create), "{plan:#?}");
    assert!(held_of(&plan, "hooli-inc").why().contains("looks like hooli"));
    assert!(held_of(&plan, "hooli").why().contains("umbrella.yaml is broken"));
}

#[test]
fn with_previously_it_is_one_rename_and_nothing_is_made() {
    let mut fixture = renamed();
    fixture.edit("hooli-inc", |tenant| tenant.previously = Some(key("hooli")));
    let plan = fixture.plan();
    assert!(plan.held.is_empty() && plan.warnings.is_empty(), "{plan:#?}");
    assert!(
        plan.steps.iter().all(|step| matches!(step.action, Action::Rename | Action::Update)),
        "{plan:#?}"
    );
}

#[test]
fn an_approved_pair_is_two_tenants_and_the_removal_counts_as_usual() {
    let mut fixture = renamed();
    let id = id_of(&held_of(&fixture.plan(), "hooli"));
    approve(&mut fixture, &id);
    let plan = fixture.plan();
    assert_eq!((plan.count(Action::Create), plan.count(Action::Disable)), (1, 1), "{plan:#?}");
    // A second removal is beyond the limit, whatever was said of the pair.
    fixture.remove_file("globex");
    let plan = fixture.plan();
    assert_eq!((plan.count(Action::Create), plan.count(Action::Disable)), (1, 0), "{plan:#?}");
    assert!(held_of(&plan, "hooli").lifted_by.unwrap().contains("approve r-"));
    // What was said is of this pair alone, and ends.
    fixture.now += chrono::TimeDelta::hours(2);
    assert_eq!(fixture.plan().count(Action::Create), 0);
}

#[test]
fn an_approval_of_one_pair_is_none_of_another() {
    let mut fixture = renamed();
    let id = id_of(&held_of(&fixture.plan(), "hooli"));
    approve(&mut fixture, &id);
    fixture.edit("hooli-inc", |tenant| tenant.definition.domain = domain("other.example.com"));
    assert!(fixture.plan().steps.is_empty());
}

#[test]
fn alike_are_names_files_and_keys() {
    let settings = |tenant: &mut crate::model::Tenant, values: &[(&str, &str)]| {
        for (name, value) in values {
            tenant.definition.pbx_settings.insert(SettingName::parse(name).unwrap(), (*value).to_owned());
        }
    };
    let own = [("theme.title.text", "H"), ("theme.logo.text", "h.png"), ("voicemail.greeting.text", "hi")];
    // Another key and another name, but settings that no one else has.
    let mut fixture = Fixture::of(["acme", "globex"]);
    let mut hooli = testing::wanted("hooli");
    settings(&mut hooli, &own);
    fixture.agree(hooli);
    rename(&mut fixture, "hooli", "gavin", |tenant| tenant.definition.name = "Gavin Belson Signature".into());
    assert_eq!(held_of(&fixture.plan(), "gavin").action, Action::Create);
    // What most others have as well tells nothing, where more than one tenant comes.
    let mut fixture = Fixture::of([]);
    for of in ["acme", "globex", "hooli"] {
        let mut tenant = testing::wanted(of);
        settings(&mut tenant, &own);
        fixture.agree(tenant);
    }
    fixture.want(testing::wanted("initech"));
    rename(&mut fixture, "hooli", "gavin", |tenant| tenant.definition.name = "Gavin Belson Signature".into());
    assert_eq!(fixture.plan().count(Action::Create), 2);
    for (to, alike) in
        [("hooli-inc", true), ("new-hooli", true), ("hoolii", true), ("initech", false), ("hoo", false)]
    {
        let mut fixture = Fixture::of(["acme", "hooli"]);
        fixture.want(testing::wanted("piedpiper"));
        rename(&mut fixture, "hooli", to, |tenant| tenant.definition.name = "Another".into());
        assert_eq!(fixture.plan().count(Action::Create), 1 + usize::from(!alike), "{to}");
    }
    // Numbers are there to tell tenants apart.
    let mut fixture = Fixture::of(["acme", "customer-17"]);
    fixture.want(testing::wanted("piedpiper"));
    rename(&mut fixture, "customer-17", "customer-18", |tenant| tenant.definition.name = "Another".into());
    assert_eq!(fixture.plan().count(Action::Create), 2);
}

/// A rebranding: key, domain and name change in one commit, and what is left is what most tenants have.
#[test]
fn where_one_tenant_goes_and_one_comes_whole_files_are_compared_as_git_does() {
    let rebranded = |change: fn(&mut crate::model::Tenant)| {
        let mut fixture = Fixture::of(["acme", "globex", "hooli"]);
        rename(&mut fixture, "globex", "initrode", |tenant| {
            tenant.definition.name = "Initrode plc".into();
            change(tenant);
        });
        fixture
    };
    let plan = rebranded(|_| ()).plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert!(held_of(&plan, "globex").why().contains("most lines of their files are the same"));
    assert_eq!(held_of(&plan, "globex").lifted_by, held_of(&plan, "initrode").lifted_by);
    // Less than half of it is the same.
    let other = |tenant: &mut crate::model::Tenant| {
        tenant.definition.session_timeout = 15;
        tenant.definition.max_users = crate::model::MaxUsers::Limited(3);
    };
    assert_eq!(rebranded(other).plan().count(Action::Create), 1);
    // On another instance it is no rename.
    let branch =
        |tenant: &mut crate::model::Tenant| tenant.definition.instance = super::fixture::instance("branch");
    assert_eq!(rebranded(branch).plan().count(Action::Create), 1);
}

#[test]
fn a_name_that_contains_the_other_is_a_likely_rename_on_the_same_instance() {
    for (name, alike) in
        [("hooli ltd International", true), ("The Hooli  LTD", true), ("Hoolihan Ltd", false)]
    {
        let mut fixture = Fixture::of(["acme", "hooli"]);
        fixture.want(testing::wanted("piedpiper"));
        rename(&mut fixture, "hooli", "megacorp", |tenant| tenant.definition.name = name.into());
        assert_eq!(fixture.plan().count(Action::Create), 1 + usize::from(!alike), "{name}");
    }
}

/// As `cp buecher.yaml books.yaml`, an edit, a run, and then `rm buecher.yaml`.
fn copied_and_removed() -> Fixture {
    let mut fixture = Fixture::of(["acme", "globex", "buecher"]);
    let mut books = testing::wanted("books");
    books.definition.name = "Books".into();
    fixture.want(books);
    assert_eq!(fixture.pass().count(Action::Create), 1);
    fixture.record("books").created_at = fixture.now;
    fixture.now += chrono::TimeDelta::minutes(1);
    fixture.remove_file("buecher");
    fixture
}

#[test]
fn a_rename_in_two_runs_holds_the_removal_for_a_day_and_its_advice_works() {
    let plan = copied_and_removed().plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let held = held_of(&plan, "buecher");
    assert_eq!((held.action, plan.held.len()), (Action::Disable, 1));
    assert!(held.why().contains("restore buecher.yaml; approve only if they are two tenants"), "{held:?}");
    // It says nothing of a line that can no longer be written.
    assert!(!held.why().contains("previously"), "{held:?}");
    // The file is put back.
    let mut fixture = copied_and_removed();
    fixture.want(testing::wanted("buecher"));
    assert!(fixture.plan().is_empty());
    // They are two.
    let mut fixture = copied_and_removed();
    approve(&mut fixture, &id_of(&held));
    assert_eq!(fixture.converge().count(Action::Disable), 1);
    // A day later they are two anyway.
    let mut fixture = copied_and_removed();
    fixture.now += chrono::TimeDelta::hours(24);
    assert_eq!(fixture.plan().count(Action::Disable), 1);
}

#[test]
fn only_a_tenant_that_was_created_later_is_a_removed_one_under_another_name() {
    // Both come from one run.
    let mut fixture = copied_and_removed();
    fixture.record("buecher").created_at = fixture.record("books").created_at;
    assert_eq!(fixture.plan().count(Action::Disable), 1);
    // A copy made later is no longer of that run.
    fixture.record("buecher").created_at -= chrono::TimeDelta::seconds(61);
    assert_eq!(held_of(&fixture.plan(), "buecher").action, Action::Disable);
    // It came back from an archive.
    let mut fixture = copied_and_removed();
    fixture.record("books").restored_at = Some(fixture.now);
    assert_eq!(fixture.plan().count(Action::Disable), 1);
    // The newer one goes.
    let mut fixture = copied_and_removed();
    fixture.want(testing::wanted("buecher"));
    fixture.remove_file("books");
    assert_eq!(fixture.plan().count(Action::Disable), 1);
}

#[test]
fn of_several_candidates_the_best_is_asked_about_and_the_others_are_named_and_held() {
    let mut fixture = renamed();
    let mut other = testing::wanted("hooli-xyz");
    other.definition.name = "Hooli XYZ".into();
    fixture.want(other);
    let plan = fixture.plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    let held = held_of(&plan, "hooli");
    assert!(
        held.why().starts_with("hooli-inc is new") && held.why().contains("`hooli-xyz`"),
        "{}",
        held.reason
    );
    assert_ne!(held.lifted_by, held_of(&plan, "hooli-xyz").lifted_by);
    // The one who is said to be another tenant is made; the question about the rest stays.
    approve(&mut fixture, &id_of(&held_of(&plan, "hooli-xyz")));
    let plan = fixture.plan();
    assert_eq!((plan.count(Action::Create), plan.count(Action::Disable)), (1, 0), "{plan:#?}");
}

#[test]
fn a_tenant_that_was_disabled_earlier_is_not_asked_about() {
    let mut fixture = renamed();
    fixture.removed("hooli", 1);
    assert_eq!(fixture.plan().count(Action::Create), 1);
}

#[test]
fn a_previously_without_effect_says_why() {
    let warnings = |fixture: &Fixture| -> Vec<String> {
        let found = fixture.plan().warnings;
        found.into_iter().filter(|line| line.contains("has no effect")).collect()
    };
    let mut fixture = Fixture::of(["acme", "globex"]);
    let mut new = testing::wanted("zz");
    new.previously = Some(key("nosuch"));
    fixture.want(new);
    assert!(warnings(&fixture)[0].contains("the tenant nosuch is not recorded"), "{:?}", warnings(&fixture));
    // It was carried out.
    let mut fixture = Fixture::of(["acme", "globex"]);
    fixture.edit("acme", |tenant| tenant.previously = Some(key("old")));
    assert_eq!(
        fixture.plan().warnings,
        ["old is already renamed to acme. Delete the line `previously: old`."]
    );
    // The old file is still there, and broken.
    let mut fixture = Fixture::of(["acme", "globex"]);
    rename(&mut fixture, "globex", "globex-inc", |tenant| tenant.previously = Some(key("globex")));
    fixture.desired.broken.push(crate::model::BrokenFile {
        file: "globex.yaml".into(),
        key: Some(key("globex")),
        problems: vec!["it is broken".into()],
    });
    fixture.desired.completeness = Completeness::Partial { reason: "globex.yaml is broken".into() };
    assert!(warnings(&fixture)[0].contains("still exists"), "{:?}", warnings(&fixture));
    // The repair that came too late.
    let mut fixture = Fixture::of(["acme", "globex", "globex-inc"]);
    fixture.removed("globex", 0);
    fixture.edit("globex-inc", |tenant| tenant.previously = Some(key("globex")));
    let shown = warnings(&fixture);
    assert!(shown[0].contains("restore globex.yaml and remove globex-inc.yaml"), "{shown:?}");
}
