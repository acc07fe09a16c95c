//! What the service manager is reported, and how the daemon stops.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::common::harness::Backend;
use crate::site::{PATIENCE, Site, until};

/// A service manager's ear.
pub struct Manager {
    socket: UnixDatagram,
    heard: Vec<(Instant, String)>,
}

impl Manager {
    pub fn new(site: &Site) -> Self {
        let socket = UnixDatagram::bind(site.path("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// What was said so far.
    fn listen(&mut self) -> &[(Instant, String)] {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            for line in String::from_utf8_lossy(&buffer[..length]).lines() {
                self.heard.push((Instant::now(), line.to_owned()));
            }
        }
        &self.heard
    }

    /// The lines of it, without their times.
    pub fn lines(&mut self) -> Vec<String> {
        self.listen().iter().map(|(_, line)| line.clone()).collect()
    }

    fn has_heard(&mut self, text: &str) -> bool {
        self.listen().iter().any(|(_, line)| line.contains(text))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told() {
    let site = Site::slow(Backend::Sqlite).await.unwrap();
    site.tenants(6);
    let mut manager = Manager::new(&site);
    let socket = site.path("notify").display().to_string();
    let limit = Duration::from_secs(3);
    let limit_us = limit.as_micros().to_string();
    let daemon = site.daemon_below(
        "daemon",
        &[],
        &[("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", limit_us.as_str())],
    );
    until("READY=1", || manager.has_heard("READY=1")).await;
    assert!(!site.has("t05"), "it is ready when it listens, not when its first pass is over");
    until("a STATUS", || manager.has_heard("STATUS=6 tenants; last plan p-")).await;
    assert!(site.has("t05"), "the status tells of a pass that is over");
    until("the watchdog is fed", || {
        manager.listen().iter().filter(|(_, line)| line == "WATCHDOG=1").count() >= 5
    })
    .await;
    // Also while a pass waits for a slow server.
    let fed: Vec<Instant> =
        manager.listen().iter().filter(|(_, line)| line == "WATCHDOG=1").map(|(at, _)| *at).collect();
    for pair in fed.windows(2) {
        assert!(pair[1] - pair[0] < limit, "fed {:?} apart", pair[1] - pair[0]);
    }
    // A directory that cannot be believed is reported, too.
    std::fs::rename(site.path("tenants.d"), site.path("away")).unwrap();
    until("a STATUS of the directory", || manager.has_heard("STATUS=the tenants directory")).await;
    std::fs::rename(site.path("away"), site.path("tenants.d")).unwrap();
    daemon.stop().await;
    until("STOPPING=1", || manager.has_heard("STOPPING=1")).await;
    let heard: Vec<&str> = manager.heard.iter().map(|(_, line)| line.as_str()).collect();
    let at = |text: &str| heard.iter().position(|line| *line == text);
    assert!(at("READY=1") < at("STOPPING=1"), "{heard:?}");
    assert_eq!(heard.iter().filter(|line| **line == "READY=1").count(), 1, "{heard:?}");
    site.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_of_a_stand_by() {
    let Some(site) = Site::new(Backend::Postgres).await else { return };
    site.tenants(1);
    let leader = site.daemon("leader");
    leader.first_pass().await;
    let mut manager = Manager::new(&site);
    let socket = site.path("notify").display().to_string();
    let stand_by = site.daemon_below("stand-by", &[], &[("NOTIFY_SOCKET", socket.as_str())]);
    until("READY=1", || manager.has_heard("READY=1")).await;
    until("a STATUS", || manager.has_heard("STATUS=standing by for tenantd on ")).await;
    // Without WATCHDOG_USEC no one wants to hear of a watchdog.
    assert!(!manager.has_heard("WATCHDOG=1"));
    stand_by.stop().await;
    leader.stop().await;
}

async fn stopped_in_the_middle(site: Site) {
    let names = site.tenants(12);
    let daemon = site.daemon("daemon");
    until("it is in the middle", || site.mutations() >= 3).await;
    let told = daemon.told();
    for name in &names {
        assert!(
            told.contains(&format!("planned: create {name} on hq")),
            "the preview is logged first: {told}"
        );
    }
    daemon.signal("TERM");
    let asked = Instant::now();
    let log = daemon.log.clone();
    daemon.stop().await;
    let took = asked.elapsed();
    let told = std::fs::read_to_string(log).unwrap();
    assert!(told.contains("stopping after the current step"), "{told}");
    assert!(told.contains("tenantd was asked to stop"), "what was not begun is told: {told}");
    assert!(took < PATIENCE / 3, "{took:?}");
    // Every step that has begun is finished, and no other has begun.
    assert_eq!(site.open_intents().await, 0);
    let made = names.iter().filter(|name| site.has(name)).count();
    assert!((1..names.len()).contains(&made), "{made} of {}", names.len());
    let done = told.matches("done: create").count();
    assert_eq!(done, made, "what was made was told as done: {told}");
    // The rest is done by anyone who comes next.
    site.apply().await;
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_the_step_in_hand_on_sqlite() {
    stopped_in_the_middle(Site::slow(Backend::Sqlite).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_the_step_in_hand_on_postgres() {
    if let Some(site) = Site::slow(Backend::Postgres).await {
        stopped_in_the_middle(site).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_and_sigterm_stop_it_also_while_it_waits() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    site.without_interval("100ms", "1s");
    for signal in ["INT", "TERM"] {
        let daemon = site.daemon(signal);
        daemon.first_pass().await;
        let asked = Instant::now();
        daemon.signal(signal);
        daemon.stop().await;
        assert!(asked.elapsed() < Duration::from_secs(20), "{signal}: {:?}", asked.elapsed());
    }
}
