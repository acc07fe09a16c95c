//! F12 to F14: killed in the middle, replies lost, plans gone stale.

use std::time::Duration;

use fusionpbx_standin::{Fault, FaultKind};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::common::harness::Backend;
use crate::site::{Site, at_both_sites, until};

const KILLS: u64 = 10;

async fn killed_again_and_again(site: Site, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let names = site.tenants(8);
    for kill in 0..KILLS {
        match kill {
            // Creates first; then disables, enables and edits as well.
            4 => names[..3].iter().for_each(|name| site.tenant_with(name, "enabled: false\n")),
            6 => names[3..6].iter().for_each(|name| site.tenant_with(name, "max_users: 5\n")),
            8 => names[..2].iter().for_each(|name| site.tenant(name)),
            _ => {}
        }
        let asked = |site: &Site| site.pbx("hq").requests().len();
        let before = asked(&site);
        let daemon = site.daemon("daemon");
        until("the daemon's first request", || asked(&site) > before).await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..900))).await;
        daemon.kill().await;
        site.expire_lease().await;
    }
    let daemon = site.daemon("daemon");
    site.comes_to_rest().await;
    daemon.stop().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
    for (index, name) in names.iter().enumerate() {
        let row = site.pbx("hq").domains_named(&format!("{name}.example.com"))[0].clone();
        assert_eq!(row.enabled, Some(index != 2), "{name}");
        let rows = site.pbx("hq").settings(row.uuid).len();
        assert_eq!(rows, usize::from(index == 2 || (3..6).contains(&index)), "{name}: no row twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_killed_at_random_moments_on_sqlite() {
    killed_again_and_again(Site::slow(Backend::Sqlite).await.unwrap(), 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_killed_at_random_moments_on_postgres() {
    if let Some(site) = Site::slow(Backend::Postgres).await {
        killed_again_and_again(site, 13).await;
    }
}

at_both_sites! { async fn f13_a_lost_reply_is_looked_up_and_not_sent_again(site) {
    for (number, kind) in [
        FaultKind::CommitThenReset,
        FaultKind::CommitThenStatus(500),
        FaultKind::CommitThenStatus(502),
        FaultKind::TruncatedBody,
        FaultKind::ConnectionReset,
    ].into_iter().enumerate() {
        let what = format!("{kind:?}");
        let done = !matches!(kind, FaultKind::ConnectionReset);
        let pbx = site.pbx("hq");
        pbx.clear_requests();
        pbx.inject(Fault::new(kind).page("domain_edit.php").method("POST").first(1));
        let name = format!("t{number}");
        site.tenant(&name);
        site.run(&["apply"]).await;
        let journal = pbx.requests();
        let post = journal.iter().position(|asked| asked.mutating).unwrap();
        assert_eq!(journal[post + 1].method, "GET", "{what}: the next request looks");
        if done {
            let posts = journal.iter().filter(|asked| asked.mutating && asked.path.ends_with("domain_edit.php"));
            assert_eq!(posts.count(), 1, "{what}: no second POST");
        }
        pbx.clear_faults();
        site.run(&["apply"]).await;
        site.has_one_domain_each("hq", &[name]);
    }
    site.comes_to_rest().await;
} }

at_both_sites! { async fn f14_a_stale_plan_is_not_carried_out(site) {
    site.tenants(3);
    site.apply().await;
    let plan_id = async || {
        let plan = site.plan().await;
        assert!(!plan["steps"].as_array().unwrap().is_empty(), "{plan:#}");
        plan["plan_id"].as_str().unwrap().to_owned()
    };
    let refused = async |id: &str, what: &str| {
        let before = site.mutations();
        let ran = site.run(&["apply", "--plan", id]).await;
        assert_eq!(ran.code, 5, "{what}: {ran:#?}");
        assert_eq!(site.mutations(), before, "{what}");
    };
    // The files change.
    site.tenant_with("t00", "max_users: 5\n");
    let id = plan_id().await;
    site.tenant_with("t00", "max_users: 6\n");
    refused(&id, "the file").await;
    // Someone changes the PBX.
    let id = plan_id().await;
    let uuid = site.pbx("hq").domains_named("t01.example.com")[0].uuid;
    site.pbx("hq").edit_domain(uuid, |row| row.description = Some("by hand".into()));
    refused(&id, "the PBX").await;
    // The server goes away.
    let id = plan_id().await;
    let fault = site.pbx("hq").inject(Fault::new(FaultKind::EmptyJsonArray).page("domain_json.php"));
    refused(&id, "the server").await;
    site.pbx("hq").remove_fault(fault);
    // The database: it was done meanwhile.
    site.apply().await;
    refused(&id, "the database").await;
    refused("p-0000000000000000", "no such plan").await;
    // The configuration.
    site.remove("t02.yaml");
    let id = plan_id().await;
    site.configure("deletion: { mode: automatic, retention_days: 30 }\nlimits: { removals: { count: 0, percent: 0 } }\n");
    refused(&id, "the configuration").await;
    site.tenant("t02");
    site.comes_to_rest().await;
} }
