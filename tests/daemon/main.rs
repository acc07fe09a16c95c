//! The real daemon against stand-ins: what wakes it, what it tells the service manager, and how it stops.

#[path = "../common/mod.rs"]
mod common;
mod comparison;
mod directory;
mod news;
mod restarts;
mod service;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../failures/site.rs"]
mod site;
mod waking;

use site::{Daemon, Site, until};

impl Site {
    /// Lets only events, signals and requests bring a pass: the interval is longer than any test.
    fn without_interval(&self, quiet: &str, quiet_max: &str) {
        let path = self.path("tenantd.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (kept, _) = text.split_once("daemon: {").unwrap();
        let daemon = format!("daemon: {{ interval: 1h, quiet: {quiet}, quiet_max: {quiet_max} }}\n");
        std::fs::write(
            path,
            kept.to_owned() + &daemon + "deletion: { mode: automatic, retention_days: 30 }\n",
        )
        .unwrap();
    }

    fn has(&self, name: &str) -> bool {
        !self.pbx("hq").domains_named(&format!("{name}.example.com")).is_empty()
    }

    /// Someone edits a domain on the PBX, of which no event tells.
    fn edit_by_hand(&self, name: &str) {
        let uuid = self.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        self.pbx("hq").edit_domain(uuid, |row| row.description = Some("by hand".into()));
    }

    fn is_as_its_file_says(&self, name: &str) -> bool {
        let rows = self.pbx("hq").domains_named(&format!("{name}.example.com"));
        rows[0].description.as_deref() == Some(&format!("{name} Ltd"))
    }
}

impl Daemon {
    /// Passes that came to a plan: each says so in one line.
    fn passes(&self) -> usize {
        let told = self.told();
        told.lines().filter(|line| line.contains(" unchanged") || line.contains("no changes; ")).count()
    }

    async fn first_pass(&self) {
        let is_over = |told: String| told.contains("applied p-") || told.contains(": 0 steps, ");
        until("the end of the first pass", || is_over(self.told())).await;
    }
}
