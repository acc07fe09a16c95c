//! The PBX side of `tenantd isolation check`: what routes calls from one domain into the domain of another tenant.

mod common;

use common::harness::{Harness, instance, tenant};
use fusionpbx_standin::{DIALPLANS_OF_A_DOMAIN, Fault, FaultKind, RouteKind};
use tenantd::fusionpbx::{PbxClient, PbxErrorKind, PbxRouting};
use tenantd::isolation::{self, PbxCheckResult};
use tenantd::model::TenantRecord;

async fn check(harness: &Harness) -> PbxCheckResult {
    let hq = instance("hq");
    let client =
        PbxClient::new(&harness.config.instances[&hq], harness.passwords[&hq].clone()).unwrap().reader();
    let records: Vec<TenantRecord> =
        harness.database.read(|store| store.tenants()).await.unwrap().into_values().collect();
    isolation::check_instance("hq", &client, &records, |_| Ok(())).await
}

fn findings(result: &PbxCheckResult) -> Vec<String> {
    result.findings.iter().map(|finding| format!("{}: {}", finding.object, finding.detail)).collect()
}

on_both_databases! { async fn only_a_route_into_another_tenants_domain_is_a_finding(mut harness) {
    harness.want([tenant("acme"), tenant("beta")]);
    harness.converge().await;
    let hq = harness.pbx("hq");
    let id = |name: &str| hq.domains_named(&format!("{name}.example.com"))[0].uuid;
    let (acme, beta) = (id("acme"), id("beta"));
    let unmanaged = hq.add_domain("unmanaged.example.com", Some(true), None);
    for n in 0..150 {
        hq.add_route(Some(acme), RouteKind::Extension, &format!("{}", 1000 + n), "acme.example.com", &[]);
    }
    hq.add_route(Some(beta), RouteKind::Extension, "100", "public", &[]);
    hq.add_route(Some(acme), RouteKind::Gateway, "carrier", "public", &[("proxy", "sip.carrier.example.org")]);
    hq.add_route(None, RouteKind::Gateway, "everybody", "acme.example.com", &[("proxy", "acme.example.com")]);
    hq.add_route(None, RouteKind::Dialplan, "global", "beta.example.com", &[]);
    hq.add_route(Some(acme), RouteKind::Extension, "200", "unmanaged.example.com", &[]);
    let before = harness.mutations();
    let clean = check(&harness).await;
    assert!(clean.passed(), "{clean:#?}");
    assert_eq!((clean.extensions, clean.gateways), (152, 2));
    // Including those of the domain of tenantd's own account.
    assert_eq!(clean.dialplans, usize::try_from(4 * DIALPLANS_OF_A_DOMAIN).unwrap() + 1);

    let hq = harness.pbx("hq");
    hq.add_route(Some(acme), RouteKind::Extension, "666", "Beta.example.com", &[]);
    hq.add_route(Some(beta), RouteKind::Dialplan, "queue", "agents@acme.example.com", &[]);
    for (n, (field, value)) in [
        ("proxy", "beta.example.com:5061"),
        ("realm", "beta.example.com"),
        ("from_domain", "beta.example.com"),
        ("register_proxy", "sip:beta.example.com;transport=tls"),
        ("outbound_proxy", "sip:beta.example.com"),
    ]
    .into_iter()
    .enumerate()
    {
        hq.add_route(Some(acme), RouteKind::Gateway, &format!("gw{n}"), "public", &[(field, value)]);
    }
    hq.add_route(Some(unmanaged), RouteKind::Extension, "1", "acme.example.com", &[]);
    hq.add_route(Some(uuid::Uuid::new_v4()), RouteKind::Extension, "2", "acme.example.com", &[]);
    let found = check(&harness).await;
    assert_eq!(findings(&found), [
        "hq: dialplan queue of beta.example.com: its context is agents@acme.example.com, the domain of the tenant acme",
        "hq: extension 1 of unmanaged.example.com: its user_context is acme.example.com, the domain of the tenant acme",
        "hq: extension 2 of a domain that does not exist: its user_context is acme.example.com, the domain of the \
         tenant acme",
        "hq: extension 666 of acme.example.com: its user_context is Beta.example.com, the domain of the tenant beta",
        "hq: gateway gw0 of acme.example.com: its proxy is beta.example.com:5061, the domain of the tenant beta",
        "hq: gateway gw1 of acme.example.com: its realm is beta.example.com, the domain of the tenant beta",
        "hq: gateway gw2 of acme.example.com: its from_domain is beta.example.com, the domain of the tenant beta",
        "hq: gateway gw3 of acme.example.com: its register_proxy is sip:beta.example.com;transport=tls, the domain of the \
         tenant beta",
        "hq: gateway gw4 of acme.example.com: its outbound_proxy is sip:beta.example.com, the domain of the tenant \
         beta",
    ]);
    assert!(!found.passed());
    assert_eq!(harness.mutations(), before, "the check only reads");
} }

on_both_databases! { async fn a_list_that_is_not_fully_read_is_not_a_passed_check(mut harness) {
    harness.want([tenant("acme")]);
    harness.converge().await;
    let acme = harness.pbx("hq").domains_named("acme.example.com")[0].uuid;
    for n in 0..250 {
        harness.pbx("hq").add_route(Some(acme), RouteKind::Extension, &format!("{n}"), "acme.example.com", &[]);
    }
    harness.pbx("hq").add_route(Some(acme), RouteKind::Gateway, "carrier", "public", &[("proxy", "carrier.example.org")]);
    assert!(check(&harness).await.passed());
    for (page, kind) in [
        ("extensions.php", FaultKind::WrongTotal(1)),
        ("extensions.php", FaultKind::MissingPage(1)),
        ("dialplans.php", FaultKind::WrongTotal(-1)),
        ("dialplans.php", FaultKind::AccessDenied),
        ("gateways.php", FaultKind::HtmlForJson),
        ("gateway_edit.php", FaultKind::TruncatedJson),
    ] {
        let fault = harness.pbx("hq").inject(Fault::new(kind.clone()).page(page));
        let result = check(&harness).await;
        assert!(result.not_checked.is_some() && !result.passed(), "{page} {kind:?}: {result:#?}");
        assert!(result.findings.is_empty());
        harness.pbx("hq").remove_fault(fault);
    }
} }

#[tokio::test]
async fn a_missing_permission_is_an_error_that_names_it() {
    let harness = Harness::new(common::harness::Backend::Sqlite).await.unwrap();
    let hq = instance("hq");
    let domain = harness.pbx("hq").add_domain("acme.example.com", Some(true), None);
    harness.pbx("hq").add_route(Some(domain), RouteKind::Extension, "1", "acme.example.com", &[]);
    for permission in [
        "extension_view",
        "extension_all",
        "extension_edit",
        "extension_user_context",
        "gateway_view",
        "gateway_all",
        "dialplan_view",
        "dialplan_all",
        "dialplan_edit",
        "dialplan_context",
    ] {
        harness.pbx("hq").revoke(permission);
        let client = PbxClient::new(&harness.config.instances[&hq], harness.passwords[&hq].clone()).unwrap();
        let error = client.routes().await.unwrap_err();
        assert!(
            matches!(error.kind, PbxErrorKind::AccessDenied { permission: Some(named) } if named == permission),
            "{permission}: {error:?}"
        );
        harness.pbx("hq").grant(permission);
    }
}
