//! What a pass with nothing to do costs: a few requests, whatever the number of tenants, and a rotation through their
//! settings that is bounded and complete within its cycle.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fusionpbx_standin::NewSetting;
use tenantd::environment::Environment as _;
use tenantd::model::{DomainId, SettingId, Tenant, TenantId, TenantRecord, WebSignInBlock};
use tenantd::observe::Rotation;
use uuid::Uuid;

use crate::common::rig::{Rig, instance, tenant};
use crate::on_both_databases;

const INTERVAL: Duration = Duration::from_secs(300);
const CYCLE: Duration = Duration::from_secs(3600);

/// The requests that the settings of one domain cost: its list, and one for each row.
fn of_settings(path: &str) -> bool {
    path.ends_with("/domain_settings.php") || path.ends_with("/domain_setting_edit.php")
}

/// The record of a tenant that was made long ago.
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

/// So many tenants in files, database and on `hq`, without a request; some of them are disabled.
async fn seed(rig: &mut Rig, count: usize, disabled: usize) {
    let at = rig.clock.now() - TimeDelta::hours(2);
    let pbx = rig.pbx("hq").clone();
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
        if let Some(lock) = &record.web_sign_in_block {
            let entry = NewSetting::new("domain", "cidr", "array", "255.255.255.255/32");
            pbx.put_setting(domain, lock.entry.0, entry);
        }
        rig.desired.tenants.insert(wanted.key.clone(), wanted);
        records.push(record);
    }
    rig.database
        .write(move |store| records.iter().try_for_each(|record| store.insert_tenant(record)))
        .await
        .unwrap();
}

/// Requests of the last pass to `hq`: all but those of settings, and the domains whose settings were read.
fn spent(rig: &Rig) -> (usize, BTreeSet<String>) {
    let journal = rig.pbx("hq").requests();
    rig.pbx("hq").clear_requests();
    assert!(journal.iter().all(|request| !request.mutating), "a pass with nothing to do changes nothing");
    let domains = journal
        .iter()
        .filter(|request| request.path.ends_with("/domain_settings.php"))
        .map(|request| request.query.clone())
        .collect();
    let bulk = journal.iter().filter(|request| !of_settings(&request.path)).count();
    (bulk, domains)
}

/// What idle passes of a fresh tenantd cost, its first included.
async fn idle_passes(rig: &Rig, count: usize, disabled: usize) -> Vec<usize> {
    let mut fresh = Rig::new(rig.backend()).await.unwrap();
    fresh.rotation = Rotation::Share { interval: INTERVAL, cycle: CYCLE };
    seed(&mut fresh, count, disabled).await;
    let unmanaged = fresh.unmanaged();
    let mut costs = Vec::new();
    for pass in 0..3 {
        let plan = fresh.plan().await;
        assert!(plan.is_empty(), "{plan:#?}");
        assert_eq!(plan.counts.unchanged, count);
        let (bulk, domains) = spent(&fresh);
        assert!(bulk <= 15, "pass {pass} over {count} tenants: {bulk} requests");
        assert!(domains.len() <= count.div_ceil(10), "{count}: {}", domains.len());
        costs.push(bulk);
    }
    fresh.assert_untouched(&unmanaged);
    costs
}

on_both_databases! { async fn a_pass_with_nothing_to_do_costs_the_same_for_ten_and_for_a_thousand_tenants(mut rig) {
    rig.want([]);
    let mut costs = Vec::new();
    // A list of ten fits on one page, so it begins with two.
    for count in [300, 1000, 10] {
        costs.push(idle_passes(&rig, count, 5).await);
    }
    assert_eq!(costs[0], costs[1], "whatever the number of tenants");
    assert!(costs.iter().all(|cost| cost[2] <= 3), "{costs:?}");
} }

on_both_databases! { async fn many_disabled_tenants_cost_a_page_for_each_hundred(mut rig) {
    rig.want([]);
    let costs = idle_passes(&rig, 1000, 500).await;
    assert!(costs[2] <= 9, "{costs:?}");
} }

on_both_databases! { async fn every_tenants_settings_are_read_within_the_cycle_and_so_many_in_a_pass(mut rig) {
    rig.rotation = Rotation::Share { interval: INTERVAL, cycle: CYCLE };
    let unmanaged = rig.unmanaged();
    let count = 250;
    seed(&mut rig, count, 25).await;
    let mut seen = BTreeSet::new();
    let started = rig.clock.now();
    let mut passes = 0;
    while rig.clock.now() - started < TimeDelta::from_std(CYCLE).unwrap() - TimeDelta::seconds(330) {
        rig.pass().await;
        passes += 1;
        let (bulk, domains) = spent(&rig);
        assert!(bulk <= 15, "{bulk}");
        assert!(domains.len() <= count.div_ceil(10), "bounded: {}", domains.len());
        seen.extend(domains);
        // The longest that the jitter makes of the interval.
        rig.clock.advance(TimeDelta::seconds(330));
    }
    assert_eq!(seen.len(), count, "all of them in {passes} passes");

    // Drift in a setting is found by it.
    let uuid = rig.only("hq", "t0123.example.com").uuid;
    rig.pbx("hq").add_setting(uuid, NewSetting::new("limit", "users", "numeric", "1"));
    let mut found = false;
    for _ in 0..=passes {
        let (plan, _) = rig.pass().await;
        found |= !plan.steps.is_empty();
        rig.clock.advance(TimeDelta::seconds(330));
    }
    assert!(found);
    assert_eq!(rig.pbx("hq").settings(uuid)[0].enabled, Some(false));
    rig.pbx("hq").clear_requests();
    rig.assert_at_rest(&unmanaged).await;
} }

on_both_databases! { async fn work_for_one_of_a_thousand_tenants_costs_no_more_than_for_one_of_ten(mut rig) {
    rig.rotation = Rotation::Share { interval: INTERVAL, cycle: CYCLE };
    let mut costs = Vec::new();
    for count in [10, 1000] {
        let mut fresh = Rig::new(rig.backend()).await.unwrap();
        fresh.rotation = rig.rotation;
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
        let rotation = journal.iter().filter(|request| of_settings(&request.path) && request.method == "GET");
        costs.push(journal.len() - rotation.count());
    }
    // A session more or less may sign in meanwhile.
    assert!(costs.iter().all(|cost| *cost <= 20), "{costs:?}");
    rig.want([]);
} }
