//! F8 to F11: many at once, renames, deletions, and time.

use chrono::TimeDelta;

use crate::common::harness::{key, tenant};
use crate::on_both_databases;
use crate::site::{at_both_sites, text_of};

at_both_sites! { async fn f08_removals_past_the_limit_change_nothing(site) {
    let names = site.tenants(10);
    site.apply().await;
    let before = site.mutations();
    let held = async |what: &str| {
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 3, "{what}: {ran:#?}");
        assert_eq!(site.mutations(), before, "{what}");
        ran
    };
    names[1..].iter().for_each(|name| site.remove(&format!("{name}.yaml")));
    let ran = held("9 of 10").await;
    assert!(ran.stdout.contains("limits.removals"), "{ran:#?}");
    assert!(ran.stdout.contains("tenantd approve"), "{ran:#?}");
    site.tenants(10);
    for name in &names[7..] {
        site.remove(&format!("{name}.yaml"));
    }
    held("3 of 10").await;
    site.tenants(10);
    names.iter().for_each(|name| site.tenant_with(name, "enabled: false\n"));
    held("all disabled").await;
    site.tenants(10);
    site.comes_to_rest().await;

    // In slices, each by a process of its own: the first passes, no other one does.
    site.remove("t00.yaml");
    site.apply().await;
    let after = site.mutations();
    assert!(after > before);
    for name in &names[1..5] {
        site.remove(&format!("{name}.yaml"));
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 3, "{ran:#?}");
        assert_eq!(site.mutations(), after);
    }
    site.tenants(10);
    site.comes_to_rest().await;
    site.has_one_domain_each("hq", &names);
    assert!(site.pbx("hq").domains().iter().all(|row| row.enabled == Some(true)));
} }

at_both_sites! { async fn f09_a_rename_is_no_delete_and_no_create(site) {
    site.tenants(2);
    site.apply().await;
    let before = site.mutations();
    let uuid = site.pbx("hq").domains_named("t00.example.com")[0].uuid;
    // `git mv`
    std::fs::rename(site.path("tenants.d/t00.yaml"), site.path("tenants.d/acme.yaml")).unwrap();
    site.apply().await;
    assert_eq!(site.mutations(), before, "the PBX is not touched");
    // Another domain in the same file.
    site.write("acme.yaml", text_of("t00", "").replace("t00.example.com", "acme.example.com"));
    site.apply().await;
    assert_eq!(site.pbx("hq").domains_named("acme.example.com")[0].uuid, uuid);
    assert_eq!((site.pbx("hq").domain_count(), site.deletions()), (3, 0));
    // Two files of one domain, which may be in Unicode and in its ASCII form.
    let before = site.mutations();
    for (one, other) in [("same.example.com", "same.example.com"), ("bücher.example", "xn--bcher-kva.example")] {
        for (file, domain) in [("one", one), ("other", other)] {
            site.write(&format!("{file}.yaml"), format!("name: The {file}\ndomain: {domain}\npbx_instance: hq\n"));
        }
        let ran = site.run(&["apply"]).await;
        assert!(ran.stderr.contains("one.yaml") && ran.stderr.contains("other.yaml"), "names both: {ran:#?}");
        assert_eq!(site.mutations(), before);
    }
    site.remove("one.yaml");
    site.remove("other.yaml");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn f10_a_removed_file_disables_and_deletes_nothing(site) {
    site.configure("deletion: { mode: automatic, retention_days: 1 }\n");
    site.tenants(3);
    site.apply().await;
    site.remove("t00.yaml");
    for _ in 0..6 {
        site.apply().await;
    }
    // Not even with an operator's word: retention is not over.
    let ran = site.run(&["approve", "--tenant", "t00"]).await;
    assert_eq!(ran.code, 1, "it would expire before: {ran:#?}");
    let ran = site.run(&["approve", "--tenant", "t00", "--for", "2d"]).await;
    assert_eq!(ran.code, 0, "{ran:#?}");
    site.run(&["apply", "--allow-delete", "t00"]).await;
    assert_eq!(site.deletions(), 0);
    assert_eq!(site.pbx("hq").domains_named("t00.example.com")[0].enabled, Some(false));
    // Nor for a tenant that has a file.
    let ran = site.run(&["approve", "--tenant", "t01"]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    site.tenant("t00");
    site.comes_to_rest().await;
    assert!(site.pbx("hq").domains().iter().all(|row| row.enabled == Some(true)));
} }

on_both_databases! { async fn f11_what_is_left_out_never_becomes_a_date(mut harness) {
    // Every optional field is left out; and so that there is one to delete, one file was removed.
    harness.want([tenant("acme"), tenant("closed"), tenant("gone")]);
    harness.edit("closed", |t| t.definition.enabled = false);
    harness.config.deletion.mode = tenantd::config::DeletionMode::Approve;
    harness.converge().await;
    harness.remove_file("gone");
    harness.pass().await;
    let before = harness.mutations();
    for _ in 0..30 {
        harness.clock.advance(TimeDelta::days(25));
        harness.pass().await;
    }
    assert_eq!(harness.mutations(), before, "two years later nothing was done without a person's word");
    let recorded = harness.recorded().await;
    for name in ["acme", "closed", "gone"] {
        assert!(recorded.tenants.contains_key(&key(name)), "{name}");
        assert_eq!(harness.only("hq", &format!("{name}.example.com")).enabled, Some(name == "acme"));
    }
    harness.desired.tenants.insert(key("gone"), tenant("gone"));
    harness.converge().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_blank_retention_is_an_error() {
    let site = crate::site::Site::new(crate::common::harness::Backend::Sqlite).await.unwrap();
    site.tenants(1);
    for blank in [
        "deletion: { mode: automatic }\n",
        "deletion: { mode: automatic, retention_days: }\n",
        "deletion: { mode: approve, retention_days: \"\" }\n",
        "deletion: { mode: automatic, retention_days: ~ }\n",
    ] {
        site.configure(blank);
        let ran = site.run(&["apply"]).await;
        assert_eq!(ran.code, 1, "{blank}: {ran:#?}");
        assert!(ran.stderr.contains("retention_days"), "{blank}: {ran:#?}");
    }
    assert_eq!(site.mutations(), 0);
}
