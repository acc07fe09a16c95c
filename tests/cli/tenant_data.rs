//! Tenant data: statistics, synchronisation, archives and isolation, as text and as JSON.

use std::path::PathBuf;

use fusionpbx_standin::{Fault, FaultKind, NewUser, RouteKind};
use serde_json::Value;
use tenantd::config::DatabaseConfig;
use uuid::Uuid;

use crate::common::harness::Backend;
use crate::common::scenario::new_user;
use crate::common::sql_client::SqlClient;
use crate::site::{Site, at_both_sites, until};

impl Site {
    fn add_user(&self, pbx: &str, tenant: &str, name: &str) -> Uuid {
        let domain = self.pbx(pbx).domains_named(&format!("{tenant}.example.com"))[0].uuid;
        self.pbx(pbx).add_user(new_user(domain, name))
    }

    async fn db(&self) -> SqlClient {
        SqlClient::connect(&match self.backend {
            Backend::Sqlite => DatabaseConfig::Sqlite { path: self.path("state/tenantd.db") },
            Backend::Postgres => DatabaseConfig::Postgres {
                url: self.database_url.parse().unwrap(),
                password: None,
                ca_file: None,
            },
        })
        .await
    }

    async fn users(&self, which: &str) -> Vec<String> {
        self.db().await.texts(&format!("SELECT username FROM users WHERE {which} ORDER BY username")).await
    }

    async fn with_a_file(&self, tenant: &str, bytes: u32) {
        let mut db = self.db().await;
        let id = &db.texts(&format!("SELECT id FROM tenants WHERE key = '{tenant}'")).await[0];
        db.run(&format!(
            "INSERT INTO files (tenant_id, id, name, size_bytes, storage_path) \
                 VALUES ('{id}', 'f1', 'price list.pdf', {bytes}, '{id}/f1')"
        ))
        .await
        .unwrap();
    }
}

fn warnings(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = document["warnings"].as_array().unwrap();
    list.iter().map(|warning| (text(&warning["advice"]), text(&warning["subject"]))).collect()
}

at_both_sites! { async fn stats_and_status_show_users_files_and_tenants_near_a_limit(site) {
    site.tenant_with("acme", "max_users: 2\n");
    site.tenant("beta");
    site.apply().await;
    for name in ["anna", "bert", "cleo"] {
        site.add_user("hq", "acme", name);
    }
    site.run(&["sync"]).await.ended_with(3);
    site.with_a_file("acme", 2048).await;

    let ran = site.run(&["stats"]).await;
    let line = ran.ended_with(0).stdout.lines().find(|line| line.trim_start().starts_with("acme")).unwrap().to_owned();
    assert!(line.contains("2 (+1 over the limit)") && line.contains("2.0 KiB"), "{line}");
    assert!(ran.stdout.contains("warning: acme has reached max_users: 2 of 2 users, and 1 more user over the limit"), "{ran:#?}");
    let stats = site.run(&["stats", "acme", "-o", "json"]).await.ended_with(0).json();
    assert_eq!(stats["tenants"].as_array().unwrap().len(), 1);
    assert_eq!(stats["warnings"].as_array().unwrap().len(), 1);
    let beta = site.run(&["stats", "beta", "-o", "json"]).await.ended_with(0).json();
    assert_eq!(beta["warnings"], serde_json::json!([]), "no other tenant's");
    let acme = &stats["tenants"][0];
    assert_eq!((&acme["active_users"], &acme["max_users"], &acme["users_over_limit"]), (&2.into(), &2.into(), &1.into()));
    assert_eq!((&acme["files"], &acme["file_bytes"]), (&1.into(), &2048.into()));
    let ran = site.run(&["stats", "nobody", "-o", "json"]).await;
    assert!(ran.ended_with(1).json()["error"].as_str().unwrap().contains("unknown tenant nobody"));

    let status = site.run(&["status", "-o", "json"]).await.ended_with(0).json();
    assert_eq!(status["tenants"][0]["stats"], *acme, "the same numbers");
    assert_eq!(warnings(&status), [("users-near-limit".into(), "acme".into())]);
    assert!(status["instances"][1]["users_read"].is_string(), "{status:#}");
    let ran = site.run(&["status"]).await;
    assert!(ran.stdout.contains("[users-near-limit]") && ran.stdout.contains("over the limit"), "{ran:#?}");
    site.tenant_with("acme", "max_users: 2\naccept: [users-near-limit]\n");
    let ran = site.run(&["status"]).await;
    assert!(!ran.stdout.contains("users-near-limit"), "{ran:#?}");
} }

at_both_sites! { async fn status_advises_to_disable_before_a_file_is_removed_and_the_file_can_accept_it(site) {
    // Enough of them, so that no limit holds the removals.
    site.configure("limits: { removals: { count: 5, percent: 50 }, disables: { count: 5, percent: 50 } }\n");
    for name in ["calm", "early", "sudden", "known"] {
        site.tenant(name);
    }
    site.tenant_with("known", "accept: [removed-while-enabled]\n");
    site.tenant_with("early", "enabled: false\n");
    site.apply().await;
    for name in ["early", "sudden", "known"] {
        site.remove(&format!("{name}.yaml"));
    }
    for round in ["before the pass", "after it"] {
        let status = site.run(&["status", "-o", "json"]).await.ended_with(0).json();
        assert_eq!(warnings(&status), [("removed-while-enabled".into(), "sudden".into())], "{round}");
        site.run(&["apply"]).await;
    }
    site.tenant("sudden");
    site.run(&["apply"]).await;
    let status = site.run(&["status", "-o", "json"]).await.json();
    assert_eq!(warnings(&status), []);
} }

at_both_sites! { async fn apply_synchronises_new_tenants_and_sync_reports_what_it_skipped(site) {
    let theirs = site.pbx("hq").add_domain("acme.example.com", Some(true), None);
    site.pbx("hq").add_user(NewUser { groups: vec![], ..new_user(theirs, "anna") });
    site.tenant_with("acme", "adopt: true\n");
    site.tenant("beta");
    let applied = site.run(&["apply", "-o", "json"]).await.ended_with(0).json();
    assert_eq!(applied["users"][0]["tenants"][0]["added"][0], "anna", "{applied:#}");
    assert_eq!(site.users("enabled").await, ["anna"]);

    let ran = site.run(&["sync"]).await;
    assert_eq!(ran.ended_with(0).stdout, "Users are up to date on all instances.\n");
    site.add_user("hq", "acme", "bert");
    site.add_user("hq", "beta", "cleo");
    let synced = site.run(&["sync", "acme", "-o", "json"]).await.ended_with(0).json();
    assert_eq!(synced["instances"][0]["tenants"][0]["added"][0], "bert");
    assert_eq!(site.users("enabled").await, ["anna", "bert"], "only the tenant that was named");
    let ran = site.run(&["sync"]).await;
    assert!(ran.ended_with(0).stdout.contains("beta: 1 added, 0 changed, 0 disabled, 0 without access"), "{ran:#?}");

    let fault = site.pbx("hq").inject(Fault::new(FaultKind::WrongTotal(3)).page("users.php"));
    site.add_user("hq", "acme", "dora");
    let ran = site.run(&["sync"]).await;
    assert!(ran.ended_with(4).stdout.contains("hq: no user is changed, because its users were not fully read"), "{ran:#?}");
    let failed = site.run(&["sync", "-o", "json"]).await.ended_with(4).json();
    assert!(failed["instances"].to_string().contains("unknown"), "{failed:#}");
    assert_eq!(site.users("enabled").await, ["anna", "bert", "cleo"]);
    site.pbx("hq").remove_fault(fault);
    let ran = site.run(&["sync", "nobody", "-o", "json"]).await;
    assert!(ran.ended_with(1).json()["error"].is_string());
} }

at_both_sites! { async fn sync_sends_no_request_to_an_unrecognised_server(site) {
    for name in ["acme", "beta", "calm"] {
        site.tenant(name);
    }
    site.run(&["apply"]).await.ended_with(0);
    site.add_user("hq", "acme", "anna");
    site.run(&["sync"]).await.ended_with(0);
    let anna = site.pbx("hq").users().into_iter().find(|user| user.username == "anna").unwrap().uuid;
    site.pbx("hq").remove_user(anna);
    for name in ["beta", "calm"] {
        let domain = site.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        site.pbx("hq").remove_domain(domain);
    }
    for args in [&["sync"][..], &["sync", "acme", "--accept-missing"]] {
        let ran = site.run(args).await;
        let expected = "2 recorded domains are missing on hq at once. It may be another server";
        assert!(ran.ended_with(4).stdout.contains(expected), "{ran:#?}");
    }
    assert_eq!(site.users("enabled").await, ["anna"]);
} }

at_both_sites! { async fn the_daemon_reads_users_after_a_create_and_at_the_interval(site) {
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    std::fs::write(site.path("tenantd.yaml"), config.replace("interval: 5s", "interval: 5s, user_sync: 5s")).unwrap();
    site.tenant("acme");
    let daemon = site.daemon("daemon");
    until("the domain is made", || !site.pbx("hq").domains_named("acme.example.com").is_empty()).await;
    site.add_user("hq", "acme", "anna");
    until("users are read", || daemon.told().contains("users of acme synchronised from hq: 1 added")).await;
    let fault = site.pbx("hq").inject(Fault::new(FaultKind::WrongTotal(3)).page("users.php"));
    until("it is told", || daemon.told().contains("the users of hq were not fully read, so")).await;
    until("another pass", || site.pbx("hq").fired(fault) >= 6).await;
    site.pbx("hq").remove_fault(fault);
    until("it is over", || daemon.told().contains("the users of hq were fully read again")).await;
    let told = daemon.told().matches("were not fully read, so").count();
    assert_eq!(told, 1, "one warning, however many passes: {}", daemon.told());
    daemon.stop().await;
    assert_eq!(site.users("enabled").await, ["anna"]);
} }

at_both_sites! { async fn a_tenant_is_archived_deleted_and_restored(site) {
    site.tenant("acme");
    site.tenant("calm");
    site.apply().await;
    site.add_user("hq", "acme", "anna");
    site.run(&["sync"]).await.ended_with(0);
    site.with_a_file("acme", 7).await;
    let dir = site.path("archive here");
    let to = dir.to_str().unwrap();
    let ran = site.run(&["archive", "acme", "--to", to]).await;
    assert!(ran.ended_with(0).stdout.contains("read back and checked"), "{ran:#?}");
    let made = site.run(&["archive", "acme", "--to", to, "-o", "json"]).await.ended_with(0).json();
    let path = PathBuf::from(made["path"].as_str().unwrap());
    assert!(path.starts_with(&dir) && path.exists());
    assert_eq!(made["manifest"]["key"], "acme");
    let rows = |table: &str| {
        let tables = made["manifest"]["tables"].as_array().unwrap();
        tables.iter().find(|digest| digest["table"] == table).map(|digest| digest["rows"].as_u64().unwrap())
    };
    assert_eq!((rows("users"), rows("files"), rows("tenants")), (Some(1), Some(1), Some(1)));
    let ran = site.run(&["archive", "nobody", "-o", "json"]).await;
    assert!(ran.ended_with(1).json()["error"].is_string());

    // It is there still: nothing is restored over it.
    let file = path.to_str().unwrap();
    let ran = site.run(&["restore", file, "-o", "json"]).await;
    assert!(ran.ended_with(1).json()["error"].as_str().unwrap().contains("already exists"), "{ran:#?}");
    let mut db = site.db().await;
    let before = db.texts("SELECT id FROM tenants WHERE key = 'acme'").await;
    // Another database has nothing of it.
    let site = Site::new(site.backend).await.unwrap();
    site.tenant("calm");
    site.apply().await;
    let restored = site.run(&["restore", file, "-o", "json"]).await.ended_with(0).json();
    assert_eq!((&restored["tenant"], &restored["tenant_id"]), (&"acme".into(), &before[0].clone().into()));
    let ran = site.run(&["restore", file]).await;
    assert!(ran.ended_with(1).stderr.contains("already exists"), "a second time is refused: {ran:#?}");
    assert_eq!(site.users("enabled").await, ["anna"]);
    let mut db = site.db().await;
    assert_eq!(db.number("SELECT count(*) FROM tenants WHERE key = 'acme' AND NOT enabled AND NOT provisioned").await, 1, "disabled");
    // What is damaged is not restored.
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    let damaged = site.path("damaged.tar.gz");
    std::fs::write(&damaged, bytes).unwrap();
    let ran = site.run(&["restore", damaged.to_str().unwrap(), "-o", "json"]).await;
    assert!(ran.ended_with(1).json()["error"].as_str().unwrap().contains("damaged"), "{ran:#?}");
    site.run(&["restore", "/nonexistent.tar.gz"]).await.ended_with(1);
} }

at_both_sites! { async fn isolation_check_fails_on_a_leak_and_on_anything_it_could_not_check(site) {
    let ran = site.run(&["isolation", "check", "-o", "json"]).await;
    assert!(ran.ended_with(1).json()["error"].as_str().unwrap().contains("no database yet"), "{ran:#?}");
    for name in ["acme", "beta"] {
        site.tenant(name);
    }
    site.apply().await;
    let before = site.mutations();
    let ran = site.run(&["isolation", "check"]).await;
    assert!(ran.ended_with(0).stdout.contains("attempts across tenants: nothing leaks"), "{ran:#?}");
    assert!(ran.stdout.contains("hq: 0 extensions") && !ran.stdout.contains("branch"), "{ran:#?}");
    let report = site.run(&["isolation", "check", "-o", "json"]).await.ended_with(0).json();
    assert_eq!((&report["tight"], &report["report"]["pbxs"][0]["instance"]), (&true.into(), &"hq".into()));

    let acme = site.pbx("hq").domains_named("acme.example.com")[0].uuid;
    site.pbx("hq").add_route(Some(acme), RouteKind::Extension, "101", "beta.example.com", &[]);
    let ran = site.run(&["isolation", "check"]).await;
    assert!(
        ran.ended_with(1).stdout.contains(
            "leak  hq: extension 101 of acme.example.com (pbx): its user_context is beta.example.com, the domain of \
             the tenant beta"
        ),
        "{ran:#?}"
    );
    site.run(&["isolation", "check", "--no-pbx"]).await.ended_with(0);

    site.pbx("hq").revoke("extension_all");
    let ran = site.run(&["isolation", "check"]).await;
    assert!(ran.ended_with(1).stdout.contains("FAIL  hq could not be checked"), "{ran:#?}");
    assert!(ran.stdout.contains("extension_all"), "{ran:#?}");
    let report = site.run(&["isolation", "check", "-o", "json"]).await.ended_with(1).json();
    assert_eq!(report["tight"], false);
    assert!(report["report"]["pbxs"][0]["not_checked"].is_string());
    site.pbx("hq").grant("extension_all");

    // A table that keeps no tenants apart.
    site.db().await.run("CREATE TABLE notes (id TEXT PRIMARY KEY, body TEXT)").await.unwrap();
    let report = site.run(&["isolation", "check", "--no-pbx", "-o", "json"]).await.ended_with(1).json();
    assert_eq!(report["report"]["findings"][0]["object"], "notes", "{report:#}");
    assert_eq!(site.mutations(), before, "it only reads");
} }

at_both_sites! { async fn plan_show_json_and_log_name_the_effects_of_a_step(site) {
    for name in ["acme", "beta", "gamma"] {
        site.tenant(name);
    }
    site.apply().await;
    for name in ["acme", "beta", "gamma"] {
        site.add_user("hq", name, "anna");
    }
    site.run(&["sync"]).await.ended_with(0);
    let mut db = site.db().await;
    let (early, late) = (db.in_minutes(-40), db.in_minutes(10));
    for (name, sessions) in [("beta", 1), ("gamma", 2)] {
        for n in 0..sessions {
            // The second of gamma's began only now.
            let start = if n == 0 { early.clone() } else { db.in_minutes(-1) };
            db
                .run(&format!(
                    "INSERT INTO user_sessions (tenant_id, id, user_id, started_at, expires_at) \
                     SELECT u.tenant_id, 's{n}', u.id, {start}, {late} FROM users u JOIN tenants t ON t.id = u.tenant_id \
                     WHERE t.key = '{name}'"
                ))
                .await
                .unwrap();
        }
    }
    let file = |name: &str, domain: &str, rest: &str| {
        format!("name: {name} Corp\ndomain: {domain}.example.com\npbx_instance: hq\n{rest}")
    };
    site.write("acme.yaml", file("acme", "renamed", ""));
    site.write("beta.yaml", file("beta", "beta", "enabled: false\n"));
    site.write("gamma.yaml", file("gamma", "gamma", "session_timeout: 30\n"));
    let plan = site.run(&["plan"]).await;
    let json = site.run(&["plan", "-o", "json"]).await.ended_with(0).json();
    let logged = site.run(&["apply"]).await;
    for (tenant, kind, text) in [
        ("acme", "sign_in_addresses", "sign-in addresses change from `user@acme.example.com` to `user@renamed.example.com` (1 user)"),
        ("acme", "phones", "phones registered at acme.example.com stop working until they are set up for renamed.example.com"),
        ("beta", "active", "still in use: 1 user, 1 open session, last activity "),
        ("gamma", "sessions_end", "1 of 2 open sessions ends at once, because it is older than 30 minutes"),
    ] {
        assert!(plan.ended_with(0).stdout.contains(&format!("warning: {text}")), "{text}: {plan:#?}");
        let steps = json["steps"].as_array().unwrap();
        let effects = steps.iter().filter(|step| step["tenant"] == tenant).flat_map(|step| step["effects"].as_array().unwrap());
        assert!(
            effects.clone().any(|effect| effect["kind"] == kind && effect["text"].as_str().unwrap().contains(text)),
            "{text}: {json:#}"
        );
        assert!(logged.stdout.contains(text) || logged.stderr.contains(text), "{text}: {logged:#?}");
    }
    site.write("acme.yaml", file("acme", "again", ""));
    let shown = site.run(&["show", "acme"]).await;
    let text = "warning: sign-in addresses change from `user@renamed.example.com` to `user@again.example.com`";
    assert!(shown.ended_with(0).stdout.contains(text), "{shown:#?}");
    let shown = site.run(&["show", "acme", "-o", "json"]).await.ended_with(0).json();
    assert!(shown["why"].as_array().unwrap().iter().any(|why| why.as_str().unwrap().starts_with(text)), "{shown:#}");
} }
