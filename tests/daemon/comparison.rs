//! Settings are compared between two passes, and a change of a file is not kept waiting by a slow PBX.

use std::time::{Duration, Instant};

use fusionpbx_standin::{Fault, FaultKind};
use tenantd::config::DatabaseConfig;

use crate::common::harness::Backend;
use crate::common::sql_client::SqlClient;
use crate::site::{Site, at_both_sites, until};

impl Site {
    /// As if the settings of all tenants had never been compared.
    async fn forget_comparisons(&self) {
        let mut db = SqlClient::connect(&match self.backend {
            Backend::Sqlite => DatabaseConfig::Sqlite { path: self.path("state/tenantd.db") },
            Backend::Postgres => DatabaseConfig::Postgres {
                url: self.database_url.parse().unwrap(),
                password: None,
                ca_file: None,
            },
        })
        .await;
        db.run("UPDATE tenants SET settings_checked_at = NULL").await.unwrap();
    }

    fn user_limit(&self, name: &str) -> Option<String> {
        let uuid = self.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        let rows = self.pbx("hq").settings(uuid);
        rows.into_iter().find(|row| row.subcategory == "users").and_then(|row| row.value)
    }

    fn set_user_limit_by_hand(&self, name: &str, value: &str) {
        let uuid = self.pbx("hq").domains_named(&format!("{name}.example.com"))[0].uuid;
        let rows = self.pbx("hq").settings(uuid);
        let limit = rows.iter().find(|row| row.subcategory == "users").expect("max_users is a setting");
        self.pbx("hq").edit_setting(limit.uuid, |row| row.value = Some(value.to_owned()));
    }

    fn settings_pages(&self) -> usize {
        let requests = self.pbx("hq").requests();
        requests.iter().filter(|request| request.path.ends_with("/domain_settings.php")).count()
    }
}

at_both_sites! { async fn a_changed_setting_is_found_between_two_passes_and_corrected_by_the_next(site) {
    for name in site.tenants(4) {
        site.tenant_with(&name, "max_users: 5\n");
    }
    site.apply().await;
    site.forget_comparisons().await;
    site.set_user_limit_by_hand("t02", "7");
    site.without_interval("100ms", "1s");
    site.pbx("hq").clear_requests();
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    until("the setting is corrected", || site.user_limit("t02").as_deref() == Some("5")).await;
    until("the pass is over", || daemon.told().contains("applied p-")).await;
    assert_eq!(daemon.passes(), 2, "{}", daemon.told());
    // Each tenant once by the comparison, and the one that differs again by the pass and by its step.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let pages = site.settings_pages();
    assert!((5..=9).contains(&pages), "{pages} settings pages");
    daemon.stop().await;
    site.comes_to_rest().await;
} }

/// The interval's pass waits for a PBX that does not answer; the edited file's tenant is on another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_not_kept_waiting_by_a_slow_pbx_of_other_tenants() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenants(3);
    site.write("away.yaml", "name: Away\ndomain: away.example.com\npbx_instance: branch\n");
    let daemon = site.daemon("daemon");
    daemon.first_pass().await;
    // The users of the new tenants are read after the first pass.
    until("an idle pass", || daemon.passes() >= 2).await;
    let list = Fault::new(FaultKind::Latency(Duration::from_secs(8))).page("domain_json.php").first(1);
    site.pbx("branch").clear_requests();
    site.pbx("branch").inject(list);
    until("the pass after the interval", || !site.pbx("branch").requests().is_empty()).await;
    let edited = Instant::now();
    site.tenant_with("t01", "max_users: 3\n");
    until("the edit is applied", || site.user_limit("t01").as_deref() == Some("3")).await;
    assert!(
        edited.elapsed() < Duration::from_secs(5),
        "{:?}: it waited for the slow page: {}",
        edited.elapsed(),
        daemon.told()
    );
    daemon.stop().await;
    site.comes_to_rest().await;
}
