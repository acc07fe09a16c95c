//! When the users of tenants are synchronised from their PBX, and that a failed reading changes nothing.

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::harness::{Harness, instance, key, tenant};
use common::rows;
use common::scenario::new_user;
use common::sql_client::SqlClient;
use fusionpbx_standin::{Fault, FaultKind, NewUser};
use tenantd::apply::Outcome;
use tenantd::environment::Environment as _;
use tenantd::fusionpbx::{DomainList, PbxCheck, PbxError, PbxRead};
use tenantd::model::{DomainId, MaxUsers, Pause, PbxDomain, PbxSetting, PbxUser};
use tenantd::plan::Plan;
use tenantd::reconcile;
use tenantd::sync::{self, InstanceSync, Rules};

const INTERVAL: Duration = Duration::from_secs(900);

impl Harness {
    /// A pass of the daemon.
    async fn daemon_pass(&self) -> (Plan, Outcome, Vec<InstanceSync>) {
        let look = self.look().await;
        let plan = look.plan();
        let outcome = self.carry_out(&look, &plan).await;
        let (reader, writer) = (self.reader(), self.writer());
        let users = reconcile::sync_users(&reader, &writer, &look, &outcome, Some(INTERVAL)).await;
        (plan, outcome, users)
    }

    fn add_user(&self, pbx: &str, domain: &str, name: &str) -> uuid::Uuid {
        let domain = self.pbx(pbx).domains_named(domain)[0].uuid;
        self.pbx(pbx).add_user(new_user(domain, name))
    }

    /// How often the list of users was read.
    fn readings(&self, pbx: &str) -> usize {
        self.pbx(pbx).requests().iter().filter(|request| request.path.ends_with("/users.php")).count()
    }

    async fn users(&self, which: &str) -> Vec<String> {
        let mut db = SqlClient::connect(&self.config.database).await;
        db.texts(&format!("SELECT username FROM users WHERE {which} ORDER BY username")).await
    }
}

on_both_databases! { async fn the_pass_that_creates_or_adopts_tenants_synchronises_their_users_with_one_reading(mut harness) {
    let adopted = harness.pbx("hq").add_domain("old.example.com", Some(true), None);
    harness.pbx("hq").add_user(NewUser { groups: vec!["admin".into()], ..new_user(adopted, "anna") });
    let mut old = tenant("old");
    old.adopt = true;
    harness.want([old, tenant("acme"), tenant("beta"), tenant("calm")]);
    let (_, outcome, users) = harness.daemon_pass().await;
    assert_eq!((outcome.done(), outcome.failed()), (4, 0), "{outcome:?}");
    assert_eq!(harness.users("enabled AND role = 'admin'").await, ["anna"]);
    assert_eq!((users.len(), harness.readings("hq")), (1, 1), "one reading for all tenants of the instance");
    assert_eq!(harness.readings("branch"), 0);
} }

on_both_databases! { async fn users_are_read_once_per_interval_also_after_a_restart(mut harness) {
    harness.want([tenant("acme")]);
    harness.daemon_pass().await;
    harness.add_user("hq", "acme.example.com", "bert");
    harness.connect();
    for _ in 0..3 {
        assert!(harness.daemon_pass().await.2.is_empty());
        harness.clock.advance(TimeDelta::seconds(299));
    }
    assert_eq!((harness.readings("hq"), harness.users("enabled").await.len()), (1, 0));
    harness.clock.advance(TimeDelta::seconds(10));
    harness.daemon_pass().await;
    assert_eq!((harness.readings("hq"), harness.users("enabled").await), (2, vec!["bert".to_owned()]));
    assert_eq!(harness.readings("branch"), 0, "the users of an instance without tenants are not read");
} }

on_both_databases! { async fn an_incomplete_reading_changes_nothing_and_the_next_pass_reads_again(mut harness) {
    harness.want([tenant("acme")]);
    harness.daemon_pass().await;
    for n in 0..5 {
        harness.add_user("hq", "acme.example.com", &format!("user{n}"));
    }
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled").await.len(), 5);
    for kind in [
        FaultKind::Status { code: 503, retry_after: None },
        FaultKind::LoginPageWith200,
        FaultKind::EmptyJsonArray,
        FaultKind::TruncatedJson,
    ] {
        let fault = harness.pbx("hq").inject(Fault::new(kind.clone()).page("user_json.php"));
        harness.clock.advance(TimeDelta::seconds(901));
        let (plan, outcome, users) = harness.daemon_pass().await;
        assert!(plan.is_empty() && outcome.steps.is_empty());
        assert!(users[0].problem.is_some(), "{kind:?}: {users:?}");
        assert_eq!(harness.users("enabled").await.len(), 5, "{kind:?}");
        harness.pbx("hq").remove_fault(fault);
        harness.connect();
        let (.., users) = harness.daemon_pass().await;
        assert_eq!(users[0].problem, None, "the next pass tries again without waiting for the interval");
    }
} }

on_both_databases! { async fn after_a_move_the_users_are_those_of_the_new_instance(mut harness) {
    harness.want([tenant("acme")]);
    harness.daemon_pass().await;
    for name in ["anna", "bert"] {
        harness.add_user("hq", "acme.example.com", name);
    }
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled").await, ["anna", "bert"]);
    harness.edit("acme", |tenant| tenant.definition.instance = instance("branch"));
    let before = harness.readings("hq");
    harness.daemon_pass().await;
    assert_eq!((harness.readings("branch"), harness.readings("hq")), (1, before));
    assert!(harness.users("enabled").await.is_empty(), "the new instance has no users yet");
    assert_eq!(harness.users("NOT enabled").await, ["anna", "bert"], "and no account is lost");
    harness.add_user("branch", "acme.example.com", "bert");
    harness.add_user("branch", "acme.example.com", "cleo");
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled").await, ["bert", "cleo"]);
} }

on_both_databases! { async fn a_user_over_max_users_is_disabled_until_there_is_room(mut harness) {
    let mut acme = tenant("acme");
    acme.definition.max_users = MaxUsers::Limited(2);
    harness.want([acme]);
    harness.daemon_pass().await;
    let bert = harness.add_user("hq", "acme.example.com", "bert");
    harness.add_user("hq", "acme.example.com", "cleo");
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    // A user whose name sorts earlier takes nobody's place.
    harness.add_user("hq", "acme.example.com", "anna");
    harness.clock.advance(TimeDelta::seconds(901));
    let (.., users) = harness.daemon_pass().await;
    assert_eq!(users[0].tenants[0].over_limit, ["anna"]);
    assert_eq!(harness.users("enabled").await, ["bert", "cleo"]);
    assert_eq!(harness.users("over_limit AND NOT enabled").await, ["anna"]);
    let now = harness.clock.now();
    let stats = harness.database.read(move |store| store.stats(now)).await.unwrap();
    assert_eq!((stats[0].active_users, stats[0].users_over_limit), (2, 1));
    let warnings = tenantd::stats::near_limits(&stats, &harness.config.tier);
    let expected = "acme has reached max_users: 2 of 2 users, and 1 more user over the limit";
    assert_eq!(warnings, [(Some(key("acme")), expected.to_owned())]);
    // A service cannot enable them.
    let mut db = SqlClient::connect(&harness.config.database).await;
    for sql in ["UPDATE users SET enabled = true WHERE over_limit", "UPDATE users SET enabled = true, over_limit = false \
                 WHERE over_limit"] {
        assert!(db.run(sql).await.is_err(), "{sql}");
    }
    harness.pbx("hq").remove_user(bert);
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled").await, ["anna", "cleo"]);
    assert!(harness.users("over_limit").await.is_empty());
} }

on_both_databases! { async fn the_tiers_limit_holds_where_the_tenant_has_none(mut harness) {
    harness.config.tier.max_users_per_tenant = Some(1);
    harness.want([tenant("acme")]);
    harness.daemon_pass().await;
    harness.add_user("hq", "acme.example.com", "anna");
    harness.add_user("hq", "acme.example.com", "bert");
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!((harness.users("enabled").await, harness.users("over_limit").await), (vec!["anna".into()], vec!["bert".into()]));
} }

on_both_databases! { async fn users_of_a_paused_tenant_and_of_a_missing_domain_are_not_synchronised(mut harness) {
    harness.want([tenant("acme"), tenant("beta")]);
    harness.daemon_pass().await;
    harness.add_user("hq", "acme.example.com", "anna");
    harness.add_user("hq", "beta.example.com", "bert");
    let now = harness.clock.now();
    let hq = instance("hq");
    sync::sync_instance(&harness.database, &hq, &*harness.readers[&hq], &Rules::of(&harness.config.tier), now).await.unwrap();
    assert_eq!(harness.users("enabled").await, ["anna", "bert"]);
    let pause = Pause {
        id: harness.clock.new_id(),
        key: Some(key("acme")),
        instance: None,
        until: now + TimeDelta::hours(1),
        reason: "maintenance".into(),
        paused_by: "test".into(),
        paused_at: now,
    };
    harness.database.write(move |store| store.put_pause(&pause).map(drop)).await.unwrap();
    for name in ["acme", "beta"] {
        let domain = harness.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        harness.pbx("hq").remove_domain(domain);
    }
    let report = sync::sync_instance(&harness.database, &hq, &*harness.readers[&hq], &Rules::of(&harness.config.tier), now).await.unwrap();
    assert_eq!(report.skipped[&"acme".to_owned()], "it is paused: maintenance");
    assert_eq!(report.skipped[&"beta".to_owned()], "its domain is not on hq");
    assert_eq!(harness.users("enabled").await, ["anna", "bert"], "a PBX that shows no users of a missing domain proves nothing");
} }

on_both_databases! { async fn many_missing_users_are_not_disabled_until_that_is_confirmed(mut harness) {
    harness.want([tenant("acme"), tenant("beta")]);
    harness.daemon_pass().await;
    let ids: Vec<_> = (0..20).map(|n| harness.add_user("hq", "acme.example.com", &format!("user{n:02}"))).collect();
    harness.add_user("hq", "beta.example.com", "cleo");
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled").await.len(), 21);
    // Users shown as disabled do not count, and three missing ones are within the limit.
    for id in &ids[..8] {
        harness.pbx("hq").edit_user(*id, |user| user.enabled = Some(false));
    }
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled").await.len(), 13);
    for id in &ids[8..11] {
        harness.pbx("hq").remove_user(*id);
    }
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled").await.len(), 10);
    for id in &ids[11..15] {
        harness.pbx("hq").remove_user(*id);
    }
    harness.add_user("hq", "beta.example.com", "dora");
    harness.clock.advance(TimeDelta::seconds(901));
    let (.., users) = harness.daemon_pass().await;
    assert_eq!(
        users[0].problem.as_deref(),
        Some("4 of 10 users are missing at once on hq, so none is disabled. If they were deleted on purpose: \
              tenantd sync acme --accept-missing")
    );
    assert_eq!(harness.users("enabled").await.len(), 10, "no user is added either, because the list may be wrong");
    let (hq, now) = (instance("hq"), harness.clock.now());
    let accepted = Rules { only: Some(key("acme")), accept_missing: true, ..Rules::of(&harness.config.tier) };
    sync::sync_instance(&harness.database, &hq, &*harness.readers[&hq], &accepted, now).await.unwrap();
    assert_eq!(harness.users("enabled").await.len(), 6);
    let (.., users) = harness.daemon_pass().await;
    assert_eq!((&users[0].problem, harness.users("enabled").await.len()), (&None, 7));
} }

on_both_databases! { async fn a_move_changes_all_users_and_a_recreated_domain_changes_none(mut harness) {
    harness.want([tenant("acme"), tenant("beta")]);
    harness.daemon_pass().await;
    for n in 0..6 {
        harness.add_user("hq", "acme.example.com", &format!("user{n}"));
    }
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    let domain = harness.pbx("hq").domains_named("acme.example.com")[0].uuid;
    harness.pbx("hq").remove_domain(domain);
    harness.clock.advance(TimeDelta::seconds(901));
    let (_, outcome, users) = harness.daemon_pass().await;
    assert_eq!(outcome.done(), 1, "{outcome:?}");
    assert_eq!(users[0].skipped["acme"], "its domain was just re-created on hq and is still empty");
    assert_eq!(harness.users("enabled").await.len(), 6);
    harness.clock.advance(TimeDelta::seconds(901));
    assert!(harness.daemon_pass().await.2[0].problem.is_some());
    assert_eq!(harness.users("enabled").await.len(), 6, "the passes after it do not disable them either");
    harness.edit("acme", |tenant| tenant.definition.instance = instance("branch"));
    let (.., users) = harness.daemon_pass().await;
    assert!(users.iter().any(|report| report.instance == "branch" && report.problem.is_none()), "{users:?}");
    assert!(harness.users("enabled").await.is_empty());
} }

on_both_databases! { async fn users_are_not_synchronised_from_a_server_that_lost_many_domains(mut harness) {
    harness.want(["acme", "beta", "calm", "dune"].map(tenant));
    harness.daemon_pass().await;
    let anna = harness.add_user("hq", "acme.example.com", "anna");
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    for name in ["beta", "calm"] {
        let domain = harness.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        harness.pbx("hq").remove_domain(domain);
    }
    harness.pbx("hq").remove_user(anna);
    harness.clock.advance(TimeDelta::seconds(901));
    let before = harness.readings("hq");
    let (plan, _, users) = harness.daemon_pass().await;
    assert!(plan.steps.is_empty() && !plan.held.is_empty(), "{plan:?}");
    assert!(users.is_empty(), "{users:?}");
    assert_eq!((harness.readings("hq"), harness.users("enabled").await), (before, vec!["anna".to_owned()]));
    let doubts = harness.look().await.doubts(&instance("hq")).unwrap();
    assert!(doubts.starts_with("2 recorded domains are missing on hq at once"), "{doubts}");
} }

on_both_databases! { async fn a_user_is_disabled_even_if_its_new_name_is_taken(mut harness) {
    harness.want([tenant("acme")]);
    harness.daemon_pass().await;
    let ids = ["anna", "bert"].map(|name| harness.add_user("hq", "acme.example.com", name));
    for id in ids {
        harness.pbx("hq").edit_user(id, |user| user.groups = ["admin".to_owned()].into_iter().collect());
    }
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    assert_eq!(harness.users("enabled AND role = 'admin'").await, ["anna", "bert"]);
    let acme = harness.look().await.recorded.tenants[&key("acme")].id;
    let mut db = SqlClient::connect(&harness.config.database).await;
    for name in ["zoe", "yves"] {
        db.run(&rows::user(acme, name)).await.unwrap();
    }
    harness.pbx("hq").edit_user(ids[0], |user| {
        user.username = "zoe".into();
        user.enabled = Some(false);
    });
    harness.pbx("hq").edit_user(ids[1], |user| {
        user.username = "yves".into();
        user.groups = ["user".to_owned()].into_iter().collect();
    });
    harness.clock.advance(TimeDelta::seconds(901));
    let (.., users) = harness.daemon_pass().await;
    let of_acme = &users[0].tenants[0];
    assert_eq!((of_acme.disabled.as_slice(), of_acme.changed.as_slice()), (&["anna".to_owned()][..], &["bert".to_owned()][..]));
    assert_eq!(of_acme.refused.len(), 2, "{of_acme:?}");
    assert_eq!(harness.users("source = 'fusionpbx' AND enabled AND role = 'user'").await, ["bert"]);
    assert_eq!(harness.users("source = 'fusionpbx' AND NOT enabled").await, ["anna"]);
    harness.clock.advance(TimeDelta::seconds(901));
    let (.., users) = harness.daemon_pass().await;
    assert!(!users[0].tenants[0].has_changes(), "the next pass changes nothing: {users:?}");
} }

/// A PBX whose users another process reads and synchronises before this reading ends.
struct Overtaken<'a> {
    harness: &'a Harness,
    now: chrono::DateTime<chrono::Utc>,
}

#[async_trait::async_trait]
impl PbxRead for Overtaken<'_> {
    async fn domains(&self) -> Result<DomainList, PbxError> {
        self.harness.readers[&instance("hq")].domains().await
    }

    async fn domain(&self, id: DomainId) -> Result<Option<PbxDomain>, PbxError> {
        self.harness.readers[&instance("hq")].domain(id).await
    }

    async fn domains_named(&self, name: &str) -> Result<Vec<PbxDomain>, PbxError> {
        self.harness.readers[&instance("hq")].domains_named(name).await
    }

    async fn settings(&self, domain: DomainId) -> Result<Vec<PbxSetting>, PbxError> {
        self.harness.readers[&instance("hq")].settings(domain).await
    }

    async fn version(&self) -> Result<Option<tenantd::model::PbxVersion>, PbxError> {
        self.harness.readers[&instance("hq")].version().await
    }

    async fn users(&self) -> Result<Vec<PbxUser>, PbxError> {
        let hq = instance("hq");
        let old = self.harness.readers[&hq].users().await;
        self.harness.add_user("hq", "acme.example.com", "bert");
        let anna =
            self.harness.pbx("hq").users().into_iter().find(|user| user.username == "anna").unwrap().uuid;
        self.harness.pbx("hq").edit_user(anna, |user| user.enabled = Some(false));
        tokio::time::sleep(Duration::from_millis(5)).await;
        let rules = Rules { only: Some(key("acme")), ..Rules::of(&self.harness.config.tier) };
        let later = self.now + TimeDelta::milliseconds(2);
        sync::sync_instance(&self.harness.database, &hq, &*self.harness.readers[&hq], &rules, later)
            .await
            .unwrap();
        old
    }

    async fn check(&self) -> Result<PbxCheck, PbxError> {
        self.harness.readers[&instance("hq")].check().await
    }
}

on_both_databases! { async fn an_old_reading_does_not_undo_a_newer_one(mut harness) {
    harness.want([tenant("acme")]);
    harness.daemon_pass().await;
    harness.add_user("hq", "acme.example.com", "anna");
    harness.clock.advance(TimeDelta::seconds(901));
    harness.daemon_pass().await;
    harness.clock.advance(TimeDelta::seconds(901));
    let now = harness.clock.now();
    let (hq, rules) = (instance("hq"), Rules::of(&harness.config.tier));
    let overtaken = Overtaken { harness: &harness, now };
    let report = sync::sync_instance(&harness.database, &hq, &overtaken, &rules, now).await.unwrap();
    assert!(report.problem.unwrap().contains("another process has read them since"));
    assert_eq!((harness.users("enabled").await, harness.users("NOT enabled").await), (vec!["bert".into()], vec!["anna".into()]));
} }
