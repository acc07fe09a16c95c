//! The requests of a pass without changes: a few for any number of tenants, and as many for settings as it is given.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use fusionpbx_standin::NewSetting;
use tenantd::environment::Environment as _;
use tenantd::model::{DomainId, SettingId, Tenant, TenantId, TenantRecord, WebSignInBlock};
use tenantd::observe::Rotation;
use uuid::Uuid;

use crate::common::harness::{Harness, instance, tenant};
use crate::on_both_databases;

/// How many tenants' settings a pass reads besides those whose file changed.
const OTHERS: usize = 25;

/// Whether a request reads the settings of a domain: its list, or the form of one of them.
fn reads_settings(path: &str) -> bool {
    path.ends_with("/domain_settings.php") || path.ends_with("/domain_setting_edit.php")
}

/// The record of a tenant that was created earlier.
fn record(tenant: &Tenant, domain: Uuid, at: DateTime<Utc>) -> TenantRecord {
    let domain_id = DomainId(domain);
    TenantRecord {
        provisioned: true,
        disable_confirmed_at: (!tenant.definition.enabled).then_some(at),
        web_sign_in_block: (!tenant.definition.enabled).then(|| WebSignInBlock {
            entry: SettingId::for_web_sign_in_block(domain_id),
            switched_off: [].into(),
        }),
        settings_checked_at: Some(at),
        restored_at: None,
        applied_definition_hash: Some(tenantd::plan::definition_hash(tenant)),
        ..TenantRecord::new(TenantId(Uuid::now_v7()), tenant, domain_id, at)
    }
}

/// Puts tenants into files, database and `hq` without a request. The first `disabled` ones are disabled.
async fn seed(harness: &mut Harness, count: usize, disabled: usize) {
    let at = harness.clock.now() - TimeDelta::hours(2);
    let pbx = harness.pbx("hq").clone();
    let mut records = Vec::new();
    for n in 0..count {
        let mut wanted = tenant(&format!("t{n:04}"));
        wanted.definition.enabled = n >= disabled;
        let domain = pbx.add_domain(
            wanted.definition.domain.as_str(),
            Some(wanted.definition.enabled),
            Some(&wanted.definition.name),
        );
        let record = record(&wanted, domain, at);
        if let Some(block) = &record.web_sign_in_block {
            let entry = NewSetting::new("domain", "cidr", "array", "255.255.255.255/32");
            pbx.put_setting(domain, block.entry.0, entry);
        }
        harness.desired.tenants.insert(wanted.key.clone(), wanted);
        records.push(record);
    }
    harness
        .database
        .write(move |store| records.iter().try_for_each(|record| store.insert_tenant(record)))
        .await
        .unwrap();
}

/// The requests of the last pass to `hq`: the number of those that do not read settings, and the domains whose settings
/// were read.
fn requests_of_last_pass(harness: &Harness) -> (usize, BTreeSet<String>) {
    let journal = harness.pbx("hq").requests();
    harness.pbx("hq").clear_requests();
    assert!(
        journal.iter().all(|request| !request.mutating),
        "a pass without changes sends no changing request"
    );
    let domains = journal
        .iter()
        .filter(|request| request.path.ends_with("/domain_settings.php"))
        .map(|request| request.query.clone())
        .collect();
    let bulk = journal.iter().filter(|request| !reads_settings(&request.path)).count();
    (bulk, domains)
}

/// The requests of the first three passes of a new tenantd, which have nothing to change.
async fn idle_passes(harness: &Harness, count: usize, disabled: usize) -> Vec<usize> {
    let mut fresh = Harness::new(harness.backend()).await.unwrap();
    fresh.rotation = Rotation::oldest(0);
    seed(&mut fresh, count, disabled).await;
    let unmanaged = fresh.unmanaged();
    let mut costs = Vec::new();
    for pass in 0..3 {
        let plan = fresh.plan().await;
        assert!(plan.is_empty(), "{plan:#?}");
        assert_eq!(plan.counts.unchanged, count);
        let (bulk, domains) = requests_of_last_pass(&fresh);
        assert!(bulk <= 15, "pass {pass} over {count} tenants: {bulk} requests");
        assert_eq!(domains.len(), 0, "{count} tenants: settings are read of those whose file changed");
        costs.push(bulk);
    }
    fresh.assert_untouched(&unmanaged);
    costs
}

on_both_databases! { async fn a_pass_without_changes_costs_the_same_requests_for_few_and_for_many_tenants(mut harness) {
    harness.want([]);
    let mut costs = Vec::new();
    // The list of ten fits on one page, so its cost is compared only with the limit.
    for count in [300, 1000, 10] {
        costs.push(idle_passes(&harness, count, 5).await);
    }
    assert_eq!(costs[0], costs[1], "the same for 300 and 1000 tenants");
    assert!(costs.iter().all(|cost| cost[2] <= 3), "{costs:?}");
} }

on_both_databases! { async fn each_hundred_disabled_tenants_cost_one_page(mut harness) {
    harness.want([]);
    let costs = idle_passes(&harness, 1000, 500).await;
    assert!(costs[2] <= 9, "{costs:?}");
} }

on_both_databases! { async fn all_settings_are_read_in_turn_and_few_in_each_pass(mut harness) {
    harness.rotation = Rotation::oldest(OTHERS);
    let unmanaged = harness.unmanaged();
    let count = 250;
    seed(&mut harness, count, 25).await;
    let mut read = BTreeSet::new();
    let passes = count / OTHERS;
    for pass in 1..=passes {
        let (plan, _) = harness.pass().await;
        assert_eq!(plan.counts.settings_compared, OTHERS);
        assert_eq!(plan.counts.settings_not_compared, count - OTHERS, "{pass}");
        let (bulk, domains) = requests_of_last_pass(&harness);
        assert!(bulk <= 15, "{bulk}");
        assert_eq!(domains.len(), OTHERS);
        read.extend(domains);
        harness.clock.advance(TimeDelta::seconds(330));
    }
    assert_eq!(read.len(), count, "all of them in {passes} passes");
    let checked = |record: &TenantRecord| record.settings_checked_at;
    let oldest = harness.recorded().await.tenants.values().filter_map(checked).min();
    let (plan, _) = harness.pass().await;
    assert!(plan.counts.oldest_comparison > oldest, "{:?}", plan.counts);

    // This finds the drift of a setting.
    let uuid = harness.only("hq", "t0123.example.com").uuid;
    harness.pbx("hq").add_setting(uuid, NewSetting::new("limit", "users", "numeric", "1"));
    let mut found = false;
    for _ in 0..=passes {
        let (plan, _) = harness.pass().await;
        found |= !plan.steps.is_empty();
        harness.clock.advance(TimeDelta::seconds(330));
    }
    assert!(found);
    assert_eq!(harness.pbx("hq").settings(uuid)[0].enabled, Some(false));
    harness.pbx("hq").clear_requests();
    harness.assert_converged(&unmanaged).await;
} }

on_both_databases! { async fn a_change_to_one_of_a_thousand_tenants_costs_no_more_than_to_one_of_ten(mut harness) {
    harness.rotation = Rotation::oldest(0);
    let mut costs = Vec::new();
    for count in [10, 1000] {
        let mut fresh = Harness::new(harness.backend()).await.unwrap();
        fresh.rotation = harness.rotation.clone();
        seed(&mut fresh, count, 2).await;
        fresh.pass().await;
        fresh.pbx("hq").clear_requests();
        fresh.edit("t0003", |t| t.definition.enabled = false);
        let mut new = tenant("new");
        new.definition.instance = instance("hq");
        fresh.desired.tenants.insert(new.key.clone(), new);
        let (plan, outcome) = fresh.pass().await;
        assert_eq!((plan.steps.len(), outcome.done()), (2, 2), "{outcome:#?}");
        let journal = fresh.pbx("hq").requests();
        let rotation = journal.iter().filter(|request| reads_settings(&request.path) && request.method == "GET");
        costs.push(journal.len() - rotation.count());
    }
    // One more session may sign in meanwhile.
    assert!(costs.iter().all(|cost| *cost <= 20), "{costs:?}");
    harness.want([]);
} }
