//! `--output json`: one document, alone on standard output, also on failure.

use fusionpbx_standin::{Fault, FaultKind};

use crate::common::harness::Backend;
use crate::site::{Site, at_both_sites};

at_both_sites! { async fn every_json_document_has_a_version_and_stands_alone_on_standard_output(site) {
    site.tenant_with("acme", "max_users: 5\n");
    site.write("broken.yaml", "name: Broken\ndomain: [\n");
    site.write("acme.yaml~", "an editor's backup");

    let plan = site.run(&["plan", "-o", "json"]).await;
    let plan = plan.ended_with(0).json();
    assert!(plan["plan_id"].as_str().unwrap().starts_with("p-"));
    let step = &plan["steps"][0];
    assert_eq!((&step["tenant"], &step["instance"], &step["action"]), (&"acme".into(), &"hq".into(), &"create".into()));
    assert_eq!(step["reason"], "its file is new");
    let change = step["changes"].as_array().unwrap().iter().find(|change| change["field"] == "max_users").unwrap();
    assert_eq!((&change["before"], &change["after"]), (&serde_json::Value::Null, &"5".into()));
    assert_eq!(plan["summary"]["create"], 1);
    assert_eq!(plan["summary"]["broken_files"], 1);

    let applied = site.run(&["apply", "-o", "json"]).await;
    // The broken file is held.
    let applied = applied.ended_with(3).json();
    assert_eq!(applied["plan_id"], plan["plan_id"], "what the plan showed is what apply did");
    assert_eq!((&applied["done"], &applied["failed"], &applied["skipped"]), (&1.into(), &0.into(), &0.into()));
    assert_eq!(applied["results"][0]["result"], "done");

    let status = site.run(&["status", "-o", "json"]).await;
    let status = status.ended_with(0).json();
    let tenants = status["tenants"].as_array().unwrap();
    let keys: Vec<_> = tenants.iter().map(|tenant| tenant["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["acme", "broken"]);
    assert_eq!((&tenants[0]["state"], &tenants[0]["problem"]), (&"enabled".into(), &serde_json::Value::Null));
    assert_eq!(tenants[1]["state"], "broken file");
    assert!(tenants[1]["problem"].as_str().unwrap().contains("broken.yaml"));
    assert_eq!(status["ignored_files"][0]["file"], "acme.yaml~");

    let shown = site.run(&["show", "acme", "-o", "json"]).await;
    let shown = shown.ended_with(0).json();
    assert_eq!(shown["recorded"]["max_users"], 5);
    assert_eq!(shown["pbx"]["enabled"], true);
    assert_eq!(shown["why"][0], "nothing to do: file, record and PBX agree");
    assert_eq!(shown["history"][0]["event"], "tenant.created");
    let shown = site.run(&["show", "broken", "-o", "json"]).await;
    assert!(!shown.ended_with(0).json()["broken"].as_array().unwrap().is_empty());

    let valid = site.run(&["validate", "-o", "json"]).await;
    let valid = valid.ended_with(1).json();
    assert_eq!((&valid["valid"], &valid["tenants"]), (&false.into(), &1.into()));
    let problem = &valid["problems"][0];
    assert!(problem["file"].as_str().unwrap().ends_with("broken.yaml"), "{problem:#}");
    assert_eq!(problem["severity"], "error");
    assert!(problem["line"].as_u64().unwrap() >= 2);

    let checked = site.run(&["pbx", "check", "-o", "json"]).await;
    let checked = checked.ended_with(0).json();
    assert_eq!(checked["instances"].as_array().unwrap().len(), 2);
    assert_eq!(checked["instances"][0]["ok"], true);
    site.remove("broken.yaml");
    site.comes_to_rest().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_writes_a_json_document() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    let commands = [&["plan"][..], &["apply"], &["status"], &["show", "acme"]];
    let json = async |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        site.run(&all).await
    };
    // What keeps each of them from working at all.
    std::fs::write(site.path("state/tenantd.db"), vec![7; 8192]).unwrap();
    for args in commands {
        let ran = json(args).await;
        assert!(ran.ended_with(1).json()["error"].is_string(), "{args:?}: {ran:#?}");
        assert!(ran.stderr.contains("error: "), "a person is told as well: {ran:#?}");
    }
    std::fs::remove_file(site.path("state/tenantd.db")).unwrap();
    std::fs::write(site.path("tenantd.yaml"), "pbx_instances: no\n").unwrap();
    for args in commands {
        assert!(json(args).await.ended_with(1).json()["error"].is_string(), "{args:?}");
    }
    let valid = json(&["validate"]).await;
    let valid = valid.ended_with(1).json();
    assert_eq!(valid["valid"], false);
    assert!(valid["problems"].as_array().unwrap().len() >= 2, "all at once: {valid:#}");
    std::fs::remove_file(site.path("tenantd.yaml")).unwrap();
    for args in commands {
        assert!(json(args).await.ended_with(1).json()["error"].is_string(), "{args:?}");
    }
    assert!(site.pbx("hq").requests().is_empty());
}

at_both_sites! { async fn a_failed_step_is_in_the_json_result_with_its_error(site) {
    site.tenant("acme");
    site.tenant("bolt");
    let ignored = Fault::new(FaultKind::IgnoreWrites).page("domain_edit.php").method("POST");
    site.pbx("hq").inject(ignored.field("domain_name", "acme.example.com"));
    let ran = site.run(&["apply", "-o", "json"]).await;
    let applied = ran.ended_with(4).json();
    assert_eq!((&applied["done"], &applied["failed"]), (&1.into(), &1.into()));
    let result = &applied["results"][0];
    assert_eq!((&result["tenant"], &result["result"]), (&"acme".into(), &"failed".into()));
    assert!(result["detail"].as_str().unwrap().contains("is still absent; expected present"));
    site.pbx("hq").clear_faults();
    site.comes_to_rest().await;
} }

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_instance_is_in_the_json_plan_and_the_others_are_planned() {
    let mut site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    site.write("there.yaml", "name: There\ndomain: there.example.com\npbx_instance: branch\n");
    site.servers.remove("hq").unwrap().stop().await; // its lines stay in the configuration
    let ran = site.run(&["plan", "-o", "json", "--detailed-exitcode"]).await;
    let plan = ran.ended_with(3).json();
    assert_eq!(crate::actions(&plan, "steps"), ["create there"]);
    assert_eq!(crate::actions(&plan, "held"), ["create acme"]);
    assert_eq!(plan["summary"]["unknown_instances"], 1);
    let warning = plan["warnings"][0].as_str().unwrap();
    assert!(warning.contains("connection refused"), "{warning}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_apply_names_its_failure_once() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    std::fs::remove_dir(site.path("tenants.d")).unwrap();
    let document = site.run(&["apply", "-o", "json"]).await.ended_with(1).json();
    let error = document["error"].as_str().unwrap();
    assert!(error.contains(&site.path("tenants.d").display().to_string()), "{document:#}");
    assert_eq!(document["errors"], serde_json::json!([]), "{document:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_usage_error_writes_a_json_document_if_json_is_asked_for() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    for args in [
        &["plan", "--tenants", "acme", "-o", "json"][..],
        &["-ojson", "plan", "--tenants", "acme"],
        &["show", "--output=json"],
        &["pbx", "--output", "json"],
    ] {
        let ran = site.run(args).await;
        let document = ran.ended_with(64).json();
        let error = document["error"].as_str().unwrap();
        assert!(!error.is_empty() && !error.contains('\n') && !error.starts_with("error"), "{document:#}");
        assert!(!ran.stderr.is_empty(), "people read it on standard error: {ran:#?}");
    }
    assert!(site.run(&["plan", "--tenants", "-o", "text"]).await.ended_with(64).stdout.is_empty());
}
