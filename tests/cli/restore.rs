//! What plan, show and status report about a restored tenant.

use crate::actions;
use crate::common::harness::Backend;
use crate::common::scenario::new_user;
use crate::site::{Site, at_both_sites};

impl Site {
    /// As after a disk that died: files and PBXs are there, and nothing that was recorded.
    pub async fn lose_the_database(&self) {
        if self.backend == Backend::Sqlite {
            std::fs::remove_dir_all(self.path("state")).unwrap();
            std::fs::create_dir(self.path("state")).unwrap();
            return;
        }
        let (client, connection) =
            tokio_postgres::connect(&self.database_url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let emptied = "DO $$ DECLARE name text; BEGIN FOR name IN SELECT nspname FROM pg_namespace WHERE nspname = \
                       current_schema() LOOP EXECUTE format('DROP SCHEMA %I CASCADE; CREATE SCHEMA %I', name, name); \
                       END LOOP; END $$";
        client.batch_execute(emptied).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    }

    /// The plan's only step: action and tenant, reason, changed fields.
    async fn only_step(&self) -> (String, String, Vec<String>) {
        let plan = self.plan().await;
        let of = actions(&plan, "steps");
        assert_eq!(of.len(), 1, "{plan:#}");
        let step = &plan["steps"][0];
        let fields = step["changes"].as_array().unwrap().iter().map(|change| change["field"].to_string());
        (of[0].clone(), step["reason"].as_str().unwrap().to_owned(), fields.collect())
    }

    fn archives(&self) -> Vec<String> {
        let found = std::fs::read_dir(self.path("archived")).unwrap();
        found.map(|entry| entry.unwrap().path().display().to_string()).collect()
    }
}

/// What no restored tenant may be told of.
const UNTRUE: [&str; 4] = ["did not finish", "was lost", "somebody opened", "drift"];

#[track_caller]
fn is_true(text: &str) {
    for word in UNTRUE {
        assert!(!text.contains(word), "untrue after a restore: {word}: {text}");
    }
}

at_both_sites! { async fn a_restored_tenant_gets_its_existing_domain_back_after_the_database_is_lost(site) {
    site.tenant("acme");
    site.tenant("calm");
    site.apply().await;
    let domain = site.pbx("hq").domains_named("acme.example.com")[0].uuid;
    site.pbx("hq").add_user(new_user(domain, "anna"));
    site.run(&["sync"]).await.ended_with(0);
    site.run(&["archive", "acme", "--to", site.path("archived").to_str().unwrap()]).await.ended_with(0);
    let digests = site.pbx("hq").digests();
    site.lose_the_database().await;
    let ran = site.run(&["restore", &site.archives()[0]]).await;
    let expected = "as disabled; nothing changed on hq. acme.yaml exists, so the next run takes over its domain again";
    assert!(ran.ended_with(0).stdout.contains(expected), "{ran:#?}");
    let status = site.run(&["status", "acme"]).await;
    assert!(status.stdout.contains("restored") && status.stdout.contains("takes over its domain again"), "{status:#?}");
    assert!(!status.stdout.contains("file changed") && !status.stdout.contains("removed"), "{status:#?}");
    site.run(&["adopt", "calm", "--yes"]).await.ended_with(0);

    let (step, reason, fields) = site.only_step().await;
    assert_eq!(step, "adopt acme");
    assert!(reason.starts_with("it was restored from an archive on 2") && reason.ends_with("; its domain still exists on hq"));
    assert!(fields.contains(&"\"enabled\"".to_owned()) && !fields.contains(&"\"domain\"".to_owned()), "{fields:?}");
    let ran = site.apply().await;
    assert!(ran.stdout.contains("done adopt acme on hq"), "{ran:#?}");
    is_true(&ran.stdout);
    assert!(!ran.stdout.contains("not synchronised"), "{ran:#?}");
    let after = site.pbx("hq").digests();
    assert_eq!(after.keys().collect::<Vec<_>>(), digests.keys().collect::<Vec<_>>(), "no domain was made");
    let stats = site.run(&["stats", "acme", "-o", "json"]).await.json();
    assert_eq!(stats["tenants"][0]["active_users"], 1, "{stats:#}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn a_tenant_restored_after_its_deletion_is_reported_as_restored(site) {
    site.configure("deletion: { mode: automatic, retention_days: 0 }\narchive: { dir: archived }\n");
    for name in ["acme", "calm", "quiet"] {
        site.tenant(name);
    }
    site.apply().await;
    site.remove("acme.yaml");
    site.apply().await;
    site.configure("deletion: { mode: automatic, retention_days: 0 }\narchive: { dir: archived }\nlimits: { \
                    removals: { count: 9, percent: 10 } }\n");
    site.apply().await;
    assert!(site.pbx("hq").domains_named("acme.example.com").is_empty(), "it is deleted");
    site.configure("deletion: { mode: automatic, retention_days: 30 }\narchive: { dir: archived }\n");
    site.run(&["restore", &site.archives()[0]]).await.ended_with(0);

    // Without a file it stays disabled, and nothing is sent.
    let (step, reason, fields) = site.only_step().await;
    assert_eq!((step.as_str(), fields), ("disable acme", vec!["\"file\"".to_owned()]));
    let expected = "has neither a file nor a domain on hq, so it stays disabled. To create its domain, add acme.yaml";
    assert!(reason.ends_with(expected), "{reason}");
    let shown = site.run(&["show", "acme"]).await;
    assert!(shown.stdout.contains("the next run records that it has no file, and changes nothing on the PBX: it was restored"), "{shown:#?}");
    let status = site.run(&["status"]).await;
    assert!(status.stdout.contains("restored") && status.stdout.contains("and has no file, so it stays disabled"), "{status:#?}");
    assert!(!status.stdout.contains("removed-while-enabled"), "{status:#?}");
    let before = site.mutations();
    is_true(&site.apply().await.stdout);
    assert_eq!(site.mutations(), before);
    let plan = site.plan().await;
    assert_eq!((actions(&plan, "steps"), plan["scheduled"].as_array().unwrap().len()), (vec![], 1), "{plan:#}");
    is_true(&site.run(&["show", "acme"]).await.stdout);

    // With its file the domain is created again.
    site.tenant("acme");
    let (step, reason, _) = site.only_step().await;
    assert_eq!(step, "create acme");
    assert!(reason.starts_with("it was restored from an archive on 2") && reason.ends_with("; its domain does not exist on hq"), "{reason}");
    let ran = site.apply().await;
    is_true(&ran.stdout);
    let told = "acme: users not synchronised this time: its domain was just re-created on hq and is still empty";
    assert!(ran.stdout.contains(told), "{ran:#?}");
    site.comes_to_rest().await;
    is_true(&site.run(&["status"]).await.stdout);
} }
