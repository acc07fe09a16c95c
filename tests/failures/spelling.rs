//! A tenant's file that is there under another spelling, and a rename without `previously`.

use std::path::Path;
use std::process::Command;

use crate::common::harness::Backend;
use crate::site::{Ran, Site, at_both_sites, text_of, until};

fn sh(dir: &Path, script: &str) {
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The command in backquotes that a message gives, by its first word.
fn command_in<'t>(text: &'t str, command: &str) -> &'t str {
    let begin = text.find(&format!("`{command}")).unwrap_or_else(|| panic!("no `{command}` in {text}")) + 1;
    &text[begin..begin + text[begin..].find('`').unwrap()]
}

impl Site {
    #[track_caller]
    fn is_enabled(&self, name: &str) {
        let rows = self.pbx("hq").domains_named(&format!("{name}.example.com"));
        assert_eq!(rows.len(), 1, "{name}");
        assert_eq!(rows[0].enabled, Some(true), "{name}");
    }
}

#[track_caller]
fn assert_mentions(ran: &Ran, what: &str) {
    assert!(ran.stdout.contains(what) || ran.stderr.contains(what), "no {what}: {ran:#?}");
}

at_both_sites! { async fn a_file_under_another_spelling_is_named_everywhere_and_its_tenant_stays(site) {
    let names = site.tenants(3);
    site.configure("limits: { removals: { count: 1000, percent: 100 } }\n");
    site.apply().await;
    let before = site.mutations();
    let dir = site.path("tenants.d");
    for spelled in ["T00.yaml", "t00.YAML", "t00.yaml.disabled", "_t00.yaml", "t00 (copy).yaml", "hq/T00.yml"] {
        std::fs::create_dir_all(dir.join("hq")).unwrap();
        std::fs::rename(dir.join("t00.yaml"), dir.join(spelled)).unwrap();
        let validate = site.run(&["validate"]).await;
        assert_eq!(validate.code, 1, "{validate:#?}");
        assert_mentions(&validate, "it could be the file of t00");
        let plan = site.run(&["plan", "--detailed-exitcode"]).await;
        assert_eq!(plan.code, 3, "{plan:#?}");
        assert_mentions(&plan, spelled);
        let apply = site.run(&["apply"]).await;
        assert_eq!(apply.code, 3, "{apply:#?}");
        assert_mentions(&site.run(&["status"]).await, spelled);
        assert_mentions(&site.run(&["show", "t00"]).await, spelled);
        site.is_enabled("t00");
        // The suggested command repairs it, wherever it moves the file.
        sh(site.dir.path(), command_in(&validate.stderr, "mv"));
        let _ = std::fs::remove_dir(dir.join("hq"));
        let mended = site.run(&["validate"]).await;
        assert_eq!(mended.code, 0, "{mended:#?}");
        site.comes_to_rest().await;
        if dir.join("hq/t00.yaml").exists() {
            std::fs::rename(dir.join("hq/t00.yaml"), dir.join("t00.yaml")).unwrap();
        }
    }
    assert_eq!(site.mutations(), before);
    site.has_one_domain_each("hq", &names);
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_only_the_record_identifies_holds_removals_until_it_is_gone() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(3);
    site.apply().await;
    let dir = site.path("tenants.d");
    // By its name, by the domain in it, or because no one can look into it.
    let hide: [(&str, &str); 7] = [
        (".t00.yaml", "mv t00.yaml .t00.yaml"),
        ("t00.json", "mv t00.yaml t00.json"),
        ("t00", "mv t00.yaml t00"),
        (".trash/x", "mkdir -p .trash && mv t00.yaml .trash/x"),
        ("notes.txt", "sed 's/^/# /' t00.yaml >notes.txt && rm t00.yaml"),
        ("all.tar", "tar cf all.tar t00.yaml && rm t00.yaml"),
        ("all.tgz", "tar czf all.tgz t00.yaml && rm t00.yaml"),
    ];
    for (file, script) in hide {
        sh(&dir, script);
        let plan = site.run(&["plan", "--detailed-exitcode"]).await;
        assert_eq!(plan.code, 3, "{file}: {plan:#?}");
        assert_mentions(&plan, &format!("tenants.d/{file}: error: "));
        assert_mentions(&site.run(&["status"]).await, file);
        site.run(&["apply"]).await;
        site.is_enabled("t00");
        let _ = std::fs::remove_dir_all(dir.join(".trash"));
        let _ = std::fs::remove_file(dir.join(file));
        site.tenant("t00");
        site.comes_to_rest().await;
    }
    // An empty folder may be a mount that is missing; it may be deleted.
    sh(&dir, "mkdir hq && mv t00.yaml hq/");
    site.comes_to_rest().await;
    sh(&dir, "rm hq/t00.yaml");
    assert_mentions(&site.run(&["plan"]).await, "tenants.d/hq: error: ");
    site.run(&["apply"]).await;
    site.is_enabled("t00");
    sh(&dir, "rmdir hq");
    site.apply().await;
    assert_eq!(site.pbx("hq").domains_named("t00.example.com")[0].enabled, Some(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_reports_an_unusual_file_once_and_watches_folders() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(2);
    let daemon = site.daemon("daemon");
    until("the first pass", || site.pbx("hq").domains_named("t01.example.com").len() == 1).await;
    let dir = site.path("tenants.d");
    sh(&dir, "mv t00.yaml T00.yaml; echo >notes.txt");
    until("it is reported", || {
        daemon.told().contains("T00.yaml: error: ") && daemon.told().contains("notes.txt is ignored")
    })
    .await;
    // Several passes later.
    let passes = daemon.told().matches("the tenants directory changed").count();
    for round in 0..3 {
        site.tenant_with("t01", &format!("session_timeout: {}\n", 30 + round));
        until("a pass", || daemon.told().matches("the tenants directory changed").count() > passes + round)
            .await;
    }
    let log = daemon.told();
    assert_eq!(log.matches("T00.yaml: error: ").count(), 1, "{log}");
    assert_eq!(log.matches("notes.txt is ignored").count(), 1, "{log}");
    sh(&dir, "mv T00.yaml t00.yaml; mkdir -p hq/new");
    std::fs::write(dir.join("hq/new/t02.yaml"), text_of("t02", "")).unwrap();
    until("a file in a folder", || site.pbx("hq").domains_named("t02.example.com").len() == 1).await;
    daemon.stop().await;
    site.comes_to_rest().await;
}

at_both_sites! { async fn a_likely_rename_without_previously_is_held(site) {
    site.tenants(3);
    site.apply().await;
    let before = site.mutations();
    let dir = site.path("tenants.d");
    sh(&dir, "mv t00.yaml t00-inc.yaml && sed -i 's/t00.example/t00-inc.example/' t00-inc.yaml");
    let apply = site.run(&["apply"]).await;
    assert_eq!(apply.code, 3, "{apply:#?}");
    assert_mentions(&apply, "write `previously: t00` in t00-inc.yaml");
    assert_eq!(site.mutations(), before, "neither half is done");
    let one = site.run(&["apply", "--tenant", "t00-inc"]).await;
    assert_eq!((one.code, site.mutations()), (3, before), "{one:#?}");
    // The line does what it says.
    let text = std::fs::read_to_string(dir.join("t00-inc.yaml")).unwrap();
    std::fs::write(dir.join("t00-inc.yaml"), format!("{text}previously: t00\n")).unwrap();
    site.apply().await;
    let pbx = site.pbx("hq");
    assert!(pbx.domains_named("t00.example.com").is_empty());
    site.is_enabled("t00-inc");
    // And so does the command, of the next pair.
    sh(&dir, "mv t01.yaml t01-inc.yaml && sed -i 's/t01.example/t01-inc.example/' t01-inc.yaml");
    let plan = site.run(&["plan"]).await;
    let id = plan.stdout.split("tenantd approve ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(id.starts_with("t-"), "{plan:#?}");
    let approved = site.run(&["approve", id]).await;
    assert_eq!(approved.code, 0, "{approved:#?}");
    assert_mentions(&approved, "two different tenants");
    let again = site.run(&["approve", "t-0000000000000000"]).await;
    assert_eq!(again.code, 1, "{again:#?}");
    site.apply().await;
    site.is_enabled("t01-inc");
    assert_eq!(pbx.domains_named("t01.example.com")[0].enabled, Some(false));
    // The repair that comes too late says what to do instead, and that works.
    let text = std::fs::read_to_string(dir.join("t01-inc.yaml")).unwrap();
    std::fs::write(dir.join("t01-inc.yaml"), format!("{text}previously: t01\n")).unwrap();
    assert_mentions(&site.run(&["plan"]).await, "restore t01.yaml and remove t01-inc.yaml");
    site.tenant("t01");
    site.remove("t01-inc.yaml");
    site.run(&["apply"]).await;
    site.is_enabled("t01");
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_back_is_one_step_with_that_reason() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(3);
    site.apply().await;
    site.remove("t00.yaml");
    site.apply().await;
    site.tenant("t00");
    let plan = site.run(&["plan"]).await;
    assert!(plan.stdout.contains("enable t00 on hq — its file is back"), "{plan:#?}");
    assert!(!plan.stdout.contains("update t00"), "{plan:#?}");
    site.apply().await;
    site.is_enabled("t00");
    site.comes_to_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fact_about_the_directory_is_reported_once() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(2);
    site.apply().await;
    std::fs::rename(site.path("tenants.d"), site.path("away")).unwrap();
    for command in [&["plan"][..], &["apply"], &["validate"]] {
        let ran = site.run(command).await;
        assert_eq!(ran.code, 1, "{ran:#?}");
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(all.matches("does not exist").count(), 1, "{command:?}: {ran:#?}");
    }
}
