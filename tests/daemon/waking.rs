//! What brings a pass: an event, a burst of them, a signal, the interval.

use std::time::{Duration, Instant};

use crate::site::{Site, at_both_sites, text_of, until};

at_both_sites! { async fn an_edit_and_a_signal_bring_a_pass_at_once_and_nothing_else_does(site) {
    site.tenants(2);
    site.without_interval("100ms", "1s");
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    assert!(site.has("t01"));
    // An event.
    site.tenant("t02");
    until("the new file", || site.has("t02")).await;
    site.tenant_with("t02", "enabled: false\n");
    until("the edit", || site.pbx("hq").domains_named("t02.example.com")[0].enabled == Some(false)).await;
    site.tenant("t02");
    until("the edit back", || site.pbx("hq").domains_named("t02.example.com")[0].enabled == Some(true)).await;
    until("the pass is over", || daemon.told().matches("applied p-").count() >= 4).await;
    // Of what others do on the PBX no event tells.
    let passes = daemon.passes();
    site.edit_by_hand("t00");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(daemon.passes(), passes, "{}", daemon.told());
    daemon.signal("HUP");
    until("a pass after SIGHUP", || site.is_as_its_file_says("t00")).await;
    assert!(daemon.told().contains("SIGHUP: reloading the configuration"));
    // The configuration is read again as well: from now on the interval brings passes.
    site.configure("");
    daemon.signal("HUP");
    until("the pass of that", || daemon.told().matches("SIGHUP").count() >= 2).await;
    site.edit_by_hand("t01");
    until("a pass after the interval", || site.is_as_its_file_says("t01")).await;
    daemon.stop().await;
    site.comes_to_rest().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_during_a_pass_bring_one_more_and_disturb_nothing() {
    let site = Site::slow(crate::common::harness::Backend::Sqlite).await.unwrap();
    let names = site.tenants(8);
    site.without_interval("100ms", "1s");
    let daemon = site.daemon("daemon");
    until("it is in the middle", || site.mutations() >= 2).await;
    for _ in 0..5 {
        daemon.signal("HUP");
    }
    assert!(!site.has("t07"), "the pass was over before the signals");
    until("one more pass", || daemon.passes() >= 2).await;
    assert_eq!(daemon.told().matches("done: create").count(), names.len(), "{}", daemon.told());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(daemon.passes(), 2, "signals that wait are one: {}", daemon.told());
    assert_eq!(daemon.told().matches("SIGHUP").count(), 1);
    daemon.stop().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_became_wrong_leaves_the_old_one_in_use() {
    let site = Site::new(crate::common::harness::Backend::Sqlite).await.unwrap();
    site.tenants(1);
    site.without_interval("100ms", "1s");
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    std::fs::write(site.path("tenantd.yaml"), "database_url: sqlite:other.db\nnonsense: 1\n").unwrap();
    daemon.signal("HUP");
    until("it is told", || daemon.told().contains("tenantd keeps running with the previous configuration"))
        .await;
    site.tenant("t01");
    until("it goes on", || site.has("t01")).await;
    daemon.stop().await;
    site.configure("");
    site.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_edits_is_one_pass_and_an_endless_one_is_bounded() {
    let site = Site::new(crate::common::harness::Backend::Sqlite).await.unwrap();
    site.tenants(2);
    site.without_interval("2s", "60s");
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    let passes = daemon.passes();
    for number in 0..100 {
        site.tenant_with("t00", &format!("max_users: {}\n", number + 1));
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    until("the pass", || daemon.told().contains("applied p-") && daemon.passes() > passes).await;
    let uuid = site.pbx("hq").domains_named("t00.example.com")[0].uuid;
    until("the last edit", || {
        site.pbx("hq").settings(uuid).first().is_some_and(|row| row.value.as_deref() == Some("100"))
    })
    .await;
    assert_eq!(daemon.passes(), passes + 1, "a hundred edits are one pass: {}", daemon.told());
    daemon.stop().await;

    // Someone who never stops writing does not keep it from looking.
    site.without_interval("2s", "3s");
    let daemon = site.daemon("restless");
    daemon.first_pass().await;
    site.tenant("t02");
    let begun = Instant::now();
    let mut writes = 0;
    while !site.has("t02") {
        assert!(begun.elapsed() < crate::site::PATIENCE, "{}", daemon.told());
        // Each a whole file, put in place at once.
        writes += 1;
        let text = text_of("t01", &format!("max_users: {writes}\n"));
        std::fs::write(site.path("next"), text).unwrap();
        std::fs::rename(site.path("next"), site.path("tenants.d/t01.yaml")).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "it was not waited for quiet: {:?}", begun.elapsed());
    daemon.stop().await;
    site.run(&["apply"]).await;
    site.comes_to_rest().await;
}
