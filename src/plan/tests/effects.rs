//! What a plan says that its steps mean for people.

use chrono::TimeDelta;

use super::fixture::{Fixture, deletable, domain, held, instance, steps};
use super::limits::renaming;
use crate::config::DeletionMode;
use crate::model::{Activity, TenantId};
use crate::plan::{Action, Effect, Plan, affected};

fn active(fixture: &mut Fixture, of: &str, users: i64, minutes_ago: &[i64]) -> TenantId {
    let now = fixture.now;
    let id = fixture.record(of).id;
    let activity = Activity {
        users,
        open_sessions: i64::try_from(minutes_ago.len()).unwrap(),
        last_activity: (users > 0).then(|| now - TimeDelta::minutes(5)),
        session_starts: minutes_ago.iter().map(|minutes| now - TimeDelta::minutes(*minutes)).collect(),
    };
    fixture.recorded.activity.insert(id, activity);
    id
}

fn effects_of(plan: &Plan) -> Vec<String> {
    plan.effects
        .iter()
        .flat_map(|((tenant, _, action), effects)| {
            effects.iter().map(move |effect| format!("{action} {tenant}: {effect}"))
        })
        .collect()
}

#[test]
fn a_rename_says_that_addresses_change() {
    let mut fixture = Fixture::of(["acme"]);
    active(&mut fixture, "acme", 12, &[]);
    fixture.edit("acme", |tenant| tenant.definition.domain = domain("new.example.com"));
    assert_eq!(
        effects_of(&fixture.plan()),
        [
            "rename acme: sign-in addresses change from `user@acme.example.com` to `user@new.example.com` (12 users)",
            "rename acme: phones registered at acme.example.com stop working until they are set up for \
             new.example.com, and provisioning addresses with acme.example.com change"
        ]
    );
    fixture.git_mv("acme", "other");
    fixture.edit("other", |tenant| tenant.definition.domain = domain("acme.example.com"));
    assert_eq!(effects_of(&fixture.plan()), [""; 0], "another key alone changes nobody's address");
}

#[test]
fn a_disable_and_a_deletion_show_active_users() {
    let mut fixture = Fixture::of(["acme", "globex", "one", "two"]);
    active(&mut fixture, "acme", 1, &[1, 2, 3]);
    fixture.edit("acme", |tenant| tenant.definition.enabled = false);
    active(&mut fixture, "globex", 0, &[]);
    fixture.remove_file("globex");
    assert_eq!(
        effects_of(&fixture.plan()),
        [
            "disable acme: still in use: 1 user, 3 open sessions, last activity 2025-10-09 08:48 UTC",
            "disable globex: not in use: no users, no open sessions, no activity yet"
        ]
    );
    let mut fixture = deletable();
    fixture.policy.deletion.mode = DeletionMode::Approve;
    active(&mut fixture, "acme", 2, &[]);
    let plan = fixture.plan();
    assert_eq!(held(&plan), "delete acme");
    assert_eq!(
        effects_of(&plan),
        ["delete acme: still in use: 2 users, no open sessions, last activity 2025-10-09 08:48 UTC"],
        "whoever approves it is told"
    );
}

#[test]
fn a_move_shows_active_users_and_that_phones_need_another_server() {
    let mut fixture = Fixture::of(["acme"]);
    active(&mut fixture, "acme", 45, &[1, 2]);
    fixture.edit("acme", |tenant| tenant.definition.instance = instance("branch"));
    let server =
        "phones must register with branch, because hq refuses them from then on; web sessions on hq end";
    let last = crate::environment::to_the_minute(fixture.now - TimeDelta::minutes(5));
    let moved = [
        format!("move acme: still in use: 45 users, 2 open sessions, last activity {last}"),
        format!("move acme: {server}"),
    ];
    let plan = fixture.plan();
    assert_eq!(effects_of(&plan), moved);
    let json = serde_json::to_value(plan.effects.values().flatten().last().unwrap()).unwrap();
    assert_eq!(json, serde_json::json!({ "kind": "server", "from": "hq", "to": "branch" }));
    // What is held says it as well.
    fixture.pause(Some("acme"), None, 1);
    assert_eq!(effects_of(&fixture.plan()), moved);
    fixture.recorded.pauses.clear();
    // With another domain, addresses change as by a rename.
    fixture.edit("acme", |tenant| tenant.definition.domain = domain("new.example.com"));
    let with_domain = effects_of(&fixture.plan());
    assert_eq!(with_domain[..2], moved);
    assert!(with_domain[2].contains("from `user@acme.example.com` to `user@new.example.com` (45 users)"));
    assert!(with_domain[3].contains("phones registered at acme.example.com stop working"));
    // No one loses anything with a tenant that was disabled anyway.
    let mut fixture = Fixture::of(["closed"]);
    fixture.edit("closed", |tenant| tenant.definition.enabled = false);
    fixture.converge();
    active(&mut fixture, "closed", 3, &[]);
    fixture.edit("closed", |tenant| tenant.definition.instance = instance("branch"));
    assert!(steps(&fixture.plan()).contains("move closed"));
    assert_eq!(effects_of(&fixture.plan()), [""; 0]);
}

#[test]
fn a_shorter_session_timeout_says_how_many_sessions_it_ends() {
    let mut fixture = Fixture::of(["acme", "globex"]);
    active(&mut fixture, "acme", 5, &[31, 30, 29, 1]);
    fixture.edit("acme", |tenant| tenant.definition.session_timeout = 30);
    fixture.edit("globex", |tenant| tenant.definition.session_timeout = 90);
    assert_eq!(
        effects_of(&fixture.plan()),
        ["update acme: 2 of 4 open sessions end at once, because they are older than 30 minutes"]
    );
}

#[test]
fn a_step_held_by_a_limit_shows_its_effects_too() {
    let plan = renaming(9, 4).plan();
    assert_eq!(steps(&plan), "");
    assert_eq!(effects_of(&plan).len(), 8);
    let held = &plan.held[0];
    assert_eq!(held.action, Action::Rename);
    assert_eq!(plan.effects_of(&held.tenant, &held.instance, held.action).len(), 2);
}

#[test]
fn only_tenants_that_the_files_change_are_asked_about() {
    let mut fixture = Fixture::of(["acme", "globex", "hooli", "moved", "stark", "umbrella"]);
    assert_eq!(affected(&fixture.desired, &fixture.recorded), ([].into(), [].into()));
    fixture.edit("acme", |tenant| tenant.definition.domain = domain("new.example.com"));
    fixture.edit("globex", |tenant| tenant.definition.enabled = false);
    fixture.edit("hooli", |tenant| tenant.definition.session_timeout = 10);
    fixture.remove_file("stark");
    fixture.edit("moved", |tenant| tenant.definition.instance = instance("branch"));
    let ids = ["acme", "globex", "hooli", "moved", "stark"].map(|of| fixture.record(of).id);
    assert_eq!(affected(&fixture.desired, &fixture.recorded), (ids.into(), [ids[2]].into()));
    assert!(steps(&fixture.plan()).contains("disable stark"));
}

#[test]
fn counts_of_sessions_have_their_plural() {
    let effects_of = |ended, open| Effect::SessionsEnd { ended, open, minutes: 30 }.to_string();
    assert_eq!(effects_of(0, 1), "the open session is not older than 30 minutes, so it does not end at once");
    assert_eq!(effects_of(0, 3), "none of 3 open sessions is older than 30 minutes, so none ends at once");
    assert_eq!(effects_of(1, 1), "the open session ends at once, because it is older than 30 minutes");
    assert_eq!(effects_of(1, 3), "1 of 3 open sessions ends at once, because it is older than 30 minutes");
    assert_eq!(effects_of(3, 3), "3 of 3 open sessions end at once, because they are older than 30 minutes");
}
