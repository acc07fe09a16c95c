//! What `pbx capture` writes of a real server: it can be read again, and nothing private is in it.

use std::collections::BTreeSet;

use tenantd::fusionpbx::{Capture, PbxReader};

use crate::common::harness::instance;
use crate::live;
use crate::relay::Relay;

/// Strings of hexadecimal digits as form tokens are.
fn tokens(text: &str) -> BTreeSet<&str> {
    let parts = text.split(|c: char| !c.is_ascii_hexdigit());
    parts.filter(|part| part.len() == 64).collect()
}

live! { async fn a_capture_reads_back_as_the_pages_and_contains_no_personal_data(mut live) {
    let relay = Relay::before_hq(live).await;
    let browser = live.browser("hq");
    let name = live.name("canary-planted");
    let domain = browser.create_domain(&name, true, "Canary & Söhne, Canaryplatz 9").await;
    browser.add_setting(domain, "provision.canary_password.text", "canary-Secret-0190", true, "canary's").await;
    browser.add_setting(domain, "domain.time_zone.name", "America/Chicago", true, "+49 30 5550199").await;
    browser.add_user(domain, "canary.user", "Canary-Secret-1").await;

    let hq = instance("hq");
    let site = live.sites[&hq].clone();
    let reader = PbxReader::new(&live.harness.config.instances[&hq], site.credentials()).unwrap();
    let capture = reader.capture().await.unwrap();
    assert_eq!(capture.stopped, None);
    assert_eq!(capture.version, live.version.as_ref().map(ToString::to_string));
    let text = serde_json::to_string_pretty(&capture).unwrap();
    let back: Capture = serde_json::from_str(&text).unwrap();
    assert!(back.pages.len() >= 10, "{} pages", back.pages.len());
    for page in &back.pages {
        assert!(page.understood.is_ok(), "{}: {:?}", page.page, page.understood);
        assert_eq!(page.read(), page.understood, "{}", page.page);
    }

    let low = text.to_lowercase();
    let mut private: BTreeSet<String> =
        ["canary", "5550199", &site.user, &site.password].into_iter().map(str::to_lowercase).collect();
    private.extend(site.user.rsplit_once('@').map(|(_, domain)| domain.to_lowercase()));
    for (id, name) in live.browser("hq").domains().await {
        private.extend([id.to_string(), name.to_lowercase()]);
        for user in live.browser("hq").users(id).await {
            private.extend(user["user_uuid"].as_str().map(str::to_owned));
        }
    }
    let bodies = relay.bodies();
    let seen: BTreeSet<&str> = bodies.iter().flat_map(|body| tokens(body)).collect();
    assert!(seen.len() >= 3, "the pages have tokens: {seen:?}");
    private.extend(seen.into_iter().map(str::to_lowercase));
    for secret in private {
        assert!(!low.contains(&secret), "the capture shows {secret}");
    }
    live.harness.want([]);
} }
