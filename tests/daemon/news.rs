//! The log tells every change of mind once, and stays in its format whatever happens.

use fusionpbx_standin::{Fault, FaultKind};

use crate::common::harness::Backend;
use crate::service::Manager;
use crate::site::{Daemon, Site, until};

/// Lets some passes go by.
async fn passes(daemon: &Daemon, more: usize) {
    let before = daemon.passes();
    until("more passes", || daemon.passes() >= before + more).await;
}

fn count(daemon: &Daemon, text: &str) -> usize {
    daemon.told().lines().filter(|line| line.contains(text)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_reported_again_when_its_reason_changes_and_when_it_ends() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.configure("limits: { removals: { count: 1, percent: 1 } }\n");
    site.tenants(4);
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    // Uses up the day's one removal.
    site.remove("t00.yaml");
    until("it is disabled", || count(&daemon, "done: disable t00") == 1).await;
    site.write("foo.yaml", "name: [\n");
    until("the file is told", || count(&daemon, "foo.yaml:") >= 1).await;
    site.remove("t01.yaml");
    until("the hold is told", || count(&daemon, "held: disable t01") == 1).await;
    site.remove("foo.yaml");
    until("its end is told", || count(&daemon, "foo.yaml, which was broken, was removed") == 1).await;
    until("the new reason is told", || count(&daemon, "held: disable t01") == 2).await;
    let told = daemon.told();
    let last = told.lines().rfind(|line| line.contains("held: disable t01")).unwrap();
    assert!(last.contains("to go ahead: tenantd approve r-"), "{last}");
    passes(&daemon, 2).await;
    assert_eq!(count(&daemon, "held: disable t01"), 2, "what was told is not told again");
    site.tenant("t01");
    until("its end is told", || count(&daemon, "no longer held: disable t01 on hq") == 1).await;
    until("all is well", || count(&daemon, "everything is in order again") == 1).await;
    passes(&daemon, 2).await;
    assert_eq!(count(&daemon, "everything is in order again"), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repaired_file_and_a_recovered_instance_are_each_reported_once() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(2);
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    site.write("t01.yaml", "name: [\n");
    until("it is told", || count(&daemon, "t01.yaml:1") >= 1).await;
    passes(&daemon, 2).await;
    assert_eq!(count(&daemon, "t01.yaml:1"), 1, "{}", daemon.told());
    site.tenant("t01");
    until("its repair is told", || count(&daemon, "t01.yaml is in order again") == 1).await;
    site.pbx("hq").inject(Fault::new(FaultKind::HtmlForJson).page("domain_json.php"));
    until("the instance is told", || count(&daemon, "hq was not checked, so nothing is changed there") == 1)
        .await;
    passes(&daemon, 2).await;
    assert_eq!(count(&daemon, "hq was not checked, so"), 1, "{}", daemon.told());
    site.pbx("hq").clear_faults();
    until("it is back", || count(&daemon, "hq is checked again") == 1).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_one_record_with_its_changes_and_a_pass_without_news_is_silent() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    let daemon = site.daemon_below("daemon", &[], &[("TENANTD_LOG", "info")]);
    daemon.first_pass().await;
    site.tenant_with("t00", "session_timeout: 30\n");
    until("it is done", || daemon.told().contains("done: update t00")).await;
    let told = daemon.told();
    let planned: Vec<&str> = told.lines().filter(|line| line.contains("session_timeout: 60 → 30")).collect();
    assert_eq!(planned.len(), 1, "{told}");
    assert!(planned[0].contains("planned: update t00 on hq"), "{told}");
    let at_rest = daemon.told().lines().count();
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    assert!(daemon.told().lines().count() <= at_rest + 1, "{}", daemon.told());
    daemon.stop().await;
}

/// Every line is a JSON object; returns them.
fn records(told: &str) -> Vec<serde_json::Value> {
    let parsed = told.lines().map(|line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line: {line}\n{told}"))
    });
    parsed.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_log_is_json_also_where_the_configuration_is_wrong() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    let json = [("TENANTD_LOG_FORMAT", "json"), ("TENANTD_LOG", "info")];
    let daemon = site.daemon_below("daemon", &[], &json);
    daemon.first_pass().await;
    let path = site.path("tenantd.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.clone() + "foo: bar\nbaz: 1\n").unwrap();
    daemon.signal("HUP");
    until("it is told", || daemon.told().contains("Configuration not reloaded")).await;
    let told = records(&daemon.told());
    let refused: Vec<_> = told.iter().filter(|record| record["level"] == "ERROR").collect();
    assert_eq!(refused.len(), 1, "{refused:#?}");
    let message = refused[0]["message"].as_str().unwrap();
    assert!(message.contains("unknown key `foo`") && message.contains("(and 1 error more)"), "{message}");
    let problems: Vec<String> = serde_json::from_str(refused[0]["problems"].as_str().unwrap()).unwrap();
    assert!(problems.len() == 2 && problems[1].contains("unknown key `baz`"), "{problems:?}");
    daemon.stop().await;

    // At start as well.
    for format in ["json", "journal"] {
        let daemon = site.daemon_below(format, &[], &[("TENANTD_LOG_FORMAT", format)]);
        until("it is told", || daemon.told().contains("has 2 errors")).await;
        let told = daemon.told();
        assert_eq!(told.lines().count(), 1, "{told}");
        match format {
            "json" => assert!(records(&told)[0]["problems"].as_str().unwrap().contains("unknown key `foo`")),
            _ => assert!(told.starts_with("<3>") && told.contains("unknown key `foo`"), "{told}"),
        }
        drop(daemon);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_line_begins_with_its_priority() {
    if std::path::Path::new("/run/systemd/journal/socket").exists() {
        // Then the records go to the journal itself.
        return;
    }
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    site.pbx("hq").add_domain("taken.example.com", Some(true), None);
    site.tenant("taken");
    let daemon =
        site.daemon_below("daemon", &[], &[("TENANTD_LOG_FORMAT", "journal"), ("TENANTD_LOG", "info")]);
    until("it is done", || daemon.told().contains("done: create t00")).await;
    let told = daemon.told();
    let of = |text: &str| {
        told.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {told}"))
    };
    assert!(of("planned: create t00").starts_with("<6>"), "{told}");
    assert!(of("held: ").starts_with("<4>"), "{told}");
    assert!(told.lines().all(|line| line.starts_with('<')), "{told}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_announced_and_ended_also_where_the_configuration_is_broken() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    let mut manager = Manager::new(&site);
    let mut listen = || manager.lines();
    let socket = site.path("notify").display().to_string();
    let daemon = site.daemon_below("daemon", &[], &[("NOTIFY_SOCKET", socket.as_str())]);
    daemon.first_pass().await;
    until("it is up", || listen().iter().any(|line| line == "READY=1")).await;
    let first = listen();
    let at = |lines: &[String], text: &str| lines.iter().position(|line| line.starts_with(text));
    assert!(at(&first, "EXTEND_TIMEOUT_USEC=") < at(&first, "READY=1"), "{first:?}");
    assert!(at(&first, "EXTEND_TIMEOUT_USEC=").is_some(), "{first:?}");
    assert!(at(&first, "STATUS=") < at(&first, "READY=1"), "a status from the start: {first:?}");
    let path = site.path("tenantd.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.clone() + "foo: bar\n").unwrap();
    daemon.signal("HUP");
    until("the end of the reload", || {
        listen().iter().any(|line| line.starts_with("STATUS=Configuration not reloaded: "))
    })
    .await;
    let all = listen();
    let after = &all[at(&all, "RELOADING=1").unwrap()..];
    assert!(after[1].starts_with("MONOTONIC_USEC="), "{after:?}");
    assert!(at(after, "READY=1").is_some() && after.iter().any(|line| line.contains("`foo`")), "{after:?}");
    std::fs::write(&path, good).unwrap();
    daemon.signal("HUP");
    until("a reload that works", || {
        listen().iter().any(|line| line == "STATUS=the configuration was reloaded")
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_configuration_stays_visible_until_a_good_one_is_read() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(1);
    let mut manager = Manager::new(&site);
    let mut last_status =
        || manager.lines().into_iter().rfind(|line| line.starts_with("STATUS=")).unwrap_or_default();
    let socket = site.path("notify").display().to_string();
    let daemon = site.daemon_below("daemon", &[], &[("NOTIFY_SOCKET", socket.as_str())]);
    daemon.first_pass().await;
    let path = site.path("tenantd.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.clone() + "foo: bar\n").unwrap();
    daemon.signal("HUP");
    until("it is told", || daemon.told().contains("Configuration not reloaded")).await;
    // The commands read the file themselves, so they see the daemon's trouble once the file is right again.
    std::fs::write(&path, &good).unwrap();
    passes(&daemon, 2).await;
    until("the status keeps it", || {
        let last = last_status();
        last.contains("1 tenant; last plan") && last.contains("; the previous configuration is in use since ")
    })
    .await;
    let check = site.run(&["status", "--check"]).await;
    assert_eq!(check.code, 1, "{check:#?}");
    assert!(
        check.stdout.starts_with("TENANTD WARNING - the previous configuration is in use since "),
        "{check:#?}"
    );
    assert!(check.stdout.contains("unknown key `foo`"), "{check:#?}");
    let shown = site.run(&["status"]).await;
    assert!(shown.stdout.contains("tenantd: the previous configuration is in use since "), "{shown:#?}");
    daemon.signal("HUP");
    until("it is confirmed", || count(&daemon, "the configuration was reloaded") == 1).await;
    passes(&daemon, 1).await;
    until("the status is as before", || {
        let last = last_status();
        last.contains("1 tenant; last plan") && !last.contains("previous configuration")
    })
    .await;
    let check = site.run(&["status", "--check"]).await;
    assert_eq!(check.code, 0, "{check:#?}");
    assert_eq!(count(&daemon, "the configuration was reloaded"), 1);
    daemon.stop().await;
}
