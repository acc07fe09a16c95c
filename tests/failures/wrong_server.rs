//! F16 to F19: servers that answer wrongly, are others than they were, or come back from a failure; and one poisonous
//! input among good ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fusionpbx_standin::{Fault, FaultKind};
use tenantd::fusionpbx::{PbxClient, PbxRead as _};
use tenantd::model::{NewDomain, Secret};
use tenantd::reconcile::{self, Writer};
use tokio_util::sync::CancellationToken;

use crate::common::harness::{Backend, Harness, PASSWORD, instance, key, tenant};
use crate::common::pbx_wrapper::PbxWrapper;
use crate::common::scenario::{all_done, failure_of};
use crate::on_both_databases;
use crate::site::{at_both_sites, until};

at_both_sites! { async fn f16_half_a_list_changes_nothing(site) {
    let names = site.tenants(4);
    // The list of all domains is read where the one of the enabled ones is not all.
    site.pbx("hq").add_domain("closed.example.net", Some(false), None);
    site.apply().await;
    let before = site.mutations();
    // Something to remove, to edit and to create.
    site.remove("t00.yaml");
    site.tenant_with("t01", "max_users: 5\n");
    site.tenant("t04");
    for (kind, page) in [
        (FaultKind::EmptyJsonArray, "domain_json.php"),
        (FaultKind::HtmlForJson, "domain_json.php"),
        (FaultKind::LoginPageWith200, "domain_json.php"),
        (FaultKind::TruncatedJson, "domain_json.php"),
        (FaultKind::MissingPage(0), "domains.php"),
        (FaultKind::WrongTotal(3), "domains.php"),
        (FaultKind::Status { code: 500, retry_after: None }, "domains.php"),
        (FaultKind::Redirect302("/".into()), "domains.php"),
    ] {
        let what = format!("{kind:?} on {page}");
        site.pbx("hq").inject(Fault::new(kind).page(page));
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 3, "{what}: {ran:#?}");
        assert!(ran.stdout.contains("was not checked"), "{what}: {ran:#?}");
        assert_eq!(site.mutations(), before, "{what}");
        site.pbx("hq").clear_faults();
    }
    site.tenant("t00");
    site.apply().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
} }

at_both_sites! { async fn f17_another_server_at_the_address_is_not_touched(site) {
    site.tenants(3);
    let there = "name: x\ndomain: there.example.com\npbx_instance: branch\n";
    site.write("there.yaml", there);
    site.apply().await;
    let before = site.mutations();
    // The wrong browser tab: each address leads to the other server.
    let swapped = site.instance("hq", "branch") + &site.instance("branch", "hq");
    site.write_config(&swapped, "");
    site.tenant_with("t00", "max_users: 5\n");
    site.tenant("t03");
    let ran = site.run(&["apply"]).await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stdout.contains("another server answers at its address"), "{ran:#?}");
    assert_eq!(site.mutations(), before);
    site.configure("");
    site.comes_to_rest_after_apply().await;

    // Yesterday's backup knows none of today's tenants.
    let backup = site.pbx("hq").snapshot();
    for name in ["n0", "n1", "n2"] {
        site.tenant(name);
    }
    site.apply().await;
    let today = site.pbx("hq").snapshot();
    let before = site.mutations();
    site.pbx("hq").restore(&backup);
    let ran = site.run(&["apply"]).await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stdout.contains("recorded domains are missing on hq at once"), "{ran:#?}");
    assert_eq!(site.mutations(), before);
    site.pbx("hq").restore(&today);
    site.comes_to_rest().await;
} }

impl crate::site::Site {
    async fn comes_to_rest_after_apply(&self) {
        self.apply().await;
        self.comes_to_rest().await;
    }
}

const RATE: u32 = 40;

/// The rate holds in every second, but for what was saved up and what a stalled machine pushes together.
fn assert_rate(arrivals: &[Duration], what: &str) {
    for (index, at) in arrivals.iter().enumerate() {
        let within =
            arrivals[index..].iter().take_while(|later| **later < *at + Duration::from_secs(1)).count();
        assert!(within <= 2 * RATE as usize + 8, "{what}: {within} requests in the second from {at:?}");
    }
    if let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) {
        let most = f64::from(RATE) * ((*last - *first).as_secs_f64() + 1.0) + 8.0;
        assert!(arrivals.len() as f64 <= most, "{what}: {} requests in {:?}", arrivals.len(), *last - *first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_a_thousand_tenants_do_not_keep_a_failing_server_down() {
    let mut harness = Harness::new(Backend::Sqlite).await.unwrap();
    harness.config.instances.get_mut(&instance("hq")).unwrap().max_requests_per_second = RATE;
    harness.connect();
    harness.want((0..1000).map(|number| tenant(&format!("t{number:04}"))));
    let look = harness.look().await;
    let plan = look.plan();
    assert_eq!(plan.steps.len(), 1000);
    let pbx = harness.pbx("hq").clone();
    let act = async |stop: CancellationToken| {
        let writer = Writer { stop, ..harness.writer() };
        reconcile::carry_out(&writer, &harness.config, &look, &plan).await.unwrap()
    };
    // It fails while a thousand tenants are under way; they are not a thousand requests.
    pbx.clear_requests();
    pbx.inject(Fault::new(FaultKind::Status { code: 503, retry_after: None }));
    let outcome = act(CancellationToken::new()).await;
    assert_eq!(outcome.done(), 0);
    let asked = pbx.requests().len();
    assert!(asked <= 12, "{asked} requests to a server that fails");
    // The breaker is open: passes ask nothing but a probe now and then.
    pbx.clear_requests();
    let begun = Instant::now();
    for _ in 0..50 {
        harness.look().await;
    }
    let probes = 1 + begun.elapsed().as_secs() as usize / 10;
    assert!(pbx.requests().len() <= probes, "{} requests in {:?}", pbx.requests().len(), begun.elapsed());
    // Restarts know of no breaker; each of them gives up soon.
    for _ in 0..20 {
        let client =
            PbxClient::new(&harness.config.instances[&instance("hq")], Secret::new(PASSWORD)).unwrap();
        let asked = pbx.requests().len();
        assert!(client.domains().await.is_err());
        assert!(pbx.requests().len() - asked <= 6, "{}", pbx.requests().len() - asked);
    }
    // It comes back: the work continues at the rate, and not faster.
    pbx.clear_faults();
    pbx.clear_requests();
    let retries = Instant::now() + Duration::from_secs(60);
    while pbx.requests().iter().filter(|asked| asked.status == Some(200)).count() < 2 {
        assert!(Instant::now() < retries, "it is back, and nobody noticed");
        let _ = harness.readers[&instance("hq")].domains().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    pbx.clear_requests();
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let stopper = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(6)).await;
        stopping.cancel();
    });
    let outcome = act(stop).await;
    stopper.await.unwrap();
    assert!(outcome.done() > 5, "{} done", outcome.done());
    assert!(outcome.steps.iter().all(|step| !matches!(step.result, tenantd::apply::StepResult::Failed(_))));
    let arrivals: Vec<Duration> = pbx.requests().iter().map(|asked| asked.at).collect();
    assert!(arrivals.len() > RATE as usize, "{} requests", arrivals.len());
    assert_rate(&arrivals, "after the failure");
}

/// Panics over one domain.
fn poison(domain: &NewDomain) {
    assert!(!domain.name.as_str().contains("poison"), "a test's panic");
}

on_both_databases! { async fn f19_a_panic_over_one_tenant_is_that_tenants_failure(mut harness) {
    let client = PbxClient::new(&harness.config.instances[&instance("hq")], Secret::new(PASSWORD)).unwrap();
    let poisoned = PbxWrapper { before: poison, ..PbxWrapper::new(Arc::new(client)) };
    harness.writers.insert(instance("hq"), Arc::new(poisoned));
    harness.want(["a", "poison", "z"].map(tenant));
    for pass in 0..3 {
        let (_, outcome) = harness.pass().await;
        if pass == 0 {
            assert!(all_done(&outcome, "a") && all_done(&outcome, "z"), "{outcome:#?}");
        }
        assert!(failure_of(&outcome, "poison").contains("(a test's panic)"), "{outcome:#?}");
    }
    harness.edit("z", |t| t.definition.enabled = false);
    let (_, outcome) = harness.pass().await;
    assert!(all_done(&outcome, "z"), "the others go on: {outcome:#?}");
    harness.connect();
    harness.settle(3).await;
    assert!(harness.recorded().await.tenants[&key("poison")].provisioned);
    assert_eq!(harness.only("hq", "poison.example.com").enabled, Some(true));
} }

at_both_sites! { async fn f19_a_file_that_is_put_back_to_the_byte_is_taken_up_again(site) {
    site.tenants(2);
    site.apply().await;
    let daemon = site.daemon("daemon");
    until("the first pass", || daemon.told().contains("lan ")).await;
    let good = std::fs::read(site.path("tenants.d/t00.yaml")).unwrap();
    site.write("t00.yaml", "name: [");
    until("the broken file is told", || daemon.told().contains("t00.yaml")).await;
    site.write("t00.yaml", &good);
    site.tenant("t02");
    until("all go on", || !site.pbx("hq").domains_named("t02.example.com").is_empty()).await;
    let uuid = site.pbx("hq").domains_named("t00.example.com")[0].uuid;
    site.pbx("hq").edit_domain(uuid, |row| row.description = Some("by hand".into()));
    until("it is looked after again", || {
        site.pbx("hq").domain(uuid).unwrap().description.as_deref() == Some("t00 Ltd")
    }).await;
    daemon.stop().await;
    site.comes_to_rest().await;
} }
