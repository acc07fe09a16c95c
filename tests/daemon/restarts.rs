//! A daemon that is started again and again asks a PBX no more than one that runs.

use std::time::{Duration, Instant};

use crate::site::{at_both_sites, until};

const RATE: usize = 12;

at_both_sites! { async fn f18_restarts_do_not_exceed_the_rate(site) {
    let names = site.tenants(40);
    let path = site.path("tenantd.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("_per_second: 1000", &format!("_per_second: {RATE}"))).unwrap();
    let pbx = site.pbx("hq");
    let mut first = Vec::new();
    let begun = Instant::now();
    for start in 0..6 {
        let before = pbx.requests().len();
        let started = Instant::now();
        let daemon = site.daemon("daemon");
        until("its first request", || pbx.requests().len() > before).await;
        first.push(started.elapsed());
        // It dies soon after, with what a second saved up spent.
        until("some more", || pbx.requests().len() > before + RATE).await;
        daemon.kill().await;
        site.expire_lease().await;
        assert!(begun.elapsed() < crate::site::PATIENCE, "{start} starts");
    }
    assert!(first[1..].iter().all(|waited| *waited >= Duration::from_secs(1)), "{first:?}");
    let arrivals: Vec<Duration> = pbx.requests().iter().map(|asked| asked.at).collect();
    // In any stretch of time: the rate, what one second saved up, and what a stalled machine pushes together.
    for (index, from) in arrivals.iter().enumerate() {
        for (count, until) in arrivals[index..].iter().enumerate() {
            let most = RATE as f64 * ((*until - *from).as_secs_f64() + 1.0) + 6.0;
            assert!((count + 1) as f64 <= most, "{} requests in {:?}", count + 1, *until - *from);
        }
    }
    std::fs::write(&path, text).unwrap();
    let daemon = site.daemon("daemon");
    until("all are made", || names.iter().all(|name| site.has(name))).await;
    assert!(daemon.told().contains("restarted within a minute"), "{}", daemon.told());
    daemon.stop().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
} }

at_both_sites! { async fn the_first_start_is_at_once(site) {
    site.tenants(1);
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    assert!(!daemon.told().contains("started again"), "{}", daemon.told());
    // A command is no start.
    daemon.stop().await;
    site.apply().await;
    site.comes_to_rest().await;
} }
