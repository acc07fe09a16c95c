//! The commands that messages suggest: each is typed as shown, and solves the problem.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::process::Command;

use crate::site::{PROGRAM, Ran, Site, at_both_sites};

impl Site {
    /// Types a command that a message shows.
    async fn types(&self, line: &str) -> Ran {
        let bin = self.path("bin");
        if !bin.exists() {
            std::fs::create_dir(&bin).unwrap();
            std::os::unix::fs::symlink(PROGRAM, bin.join("tenantd")).unwrap();
        }
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        self.finish(command).await
    }

    /// The one command that would lifted_by what is held, by its words up to the first argument.
    async fn lifted_by(&self, kinds: &mut BTreeSet<String>) -> String {
        let plan = self.plan().await;
        let lifts: BTreeSet<&str> =
            plan["held"].as_array().unwrap().iter().filter_map(|held| held["lifted_by"].as_str()).collect();
        assert_eq!(lifts.len(), 1, "{plan:#}");
        let lifted_by = lifts.into_iter().next().unwrap().to_owned();
        kinds.insert(
            lifted_by
                .split(' ')
                .map(|word| if word.starts_with("r-") { "r-…" } else { word })
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
        );
        lifted_by
    }

    async fn holds_nothing(&self, after: &str) {
        let plan = self.plan().await;
        assert_eq!(plan["held"], Value::Array(vec![]), "after {after}: {plan:#}");
    }
}

at_both_sites! { async fn the_command_shown_with_a_held_step_lifts_the_hold(site) {
    let deletion = "deletion: { mode: approve, retention_days: 0 }\narchive: { dir: archived }\n";
    site.configure(deletion);
    for name in ["acme", "beta", "gamma", "delta"] {
        site.tenant(name);
    }
    site.apply().await;
    let mut kinds = BTreeSet::new();

    for scope in [&["acme"][..], &["--instance", "hq"]] {
        let args = [&["suspend"], scope, &["--until", "1h", "--reason", "a move of racks"]].concat();
        site.run(&args).await.ended_with(0);
        site.tenant_with("acme", &format!("session_timeout: {}\n", 30 + scope.len()));
        let lifted_by = site.lifted_by(&mut kinds).await;
        site.types(&lifted_by).await.ended_with(0);
        site.holds_nothing(&lifted_by).await;
        site.apply().await;
    }

    // One may go without a word; with two, all of it waits for one.
    site.remove("acme.yaml");
    site.remove("beta.yaml");
    let lifted_by = site.lifted_by(&mut kinds).await;
    site.types(&lifted_by).await.ended_with(0);
    site.holds_nothing(&lifted_by).await;
    site.apply().await;

    // Deleted only after a word on each, and not both on one day.
    site.tenant("beta");
    site.run(&["apply", "--yes"]).await;
    let lifted_by = site.lifted_by(&mut kinds).await;
    assert_eq!(lifted_by, "tenantd approve --tenant acme");
    site.configure(&format!("{deletion}limits: {{ removals: {{ count: 9, percent: 10 }} }}\n"));
    site.types(&lifted_by).await.ended_with(0);
    site.apply().await;
    assert!(site.pbx("hq").domains_named("acme.example.com").is_empty());

    site.pbx("hq").add_domain("found.example.com", Some(true), Some("found Ltd"));
    site.tenant("found");
    let lifted_by = site.lifted_by(&mut kinds).await;
    site.types(&format!("{lifted_by} --yes")).await.ended_with(0);
    site.holds_nothing(&lifted_by).await;
    site.comes_to_rest().await;

    let known = [
        "tenantd adopt found",
        "tenantd approve --tenant",
        "tenantd approve r-…",
        "tenantd resume --instance",
        "tenantd resume acme",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), known, "each kind was typed");
} }

at_both_sites! { async fn the_command_suggested_by_isolation_check_creates_the_database(site) {
    site.tenant("acme");
    let ran = site.run(&["isolation", "check"]).await;
    let advised = ran.ended_with(1).stderr.split('`').nth(1).unwrap().to_owned();
    assert_eq!(advised, "tenantd apply");
    site.types(&format!("{advised} --yes")).await.ended_with(0);
    site.run(&["isolation", "check"]).await.ended_with(0);
} }
