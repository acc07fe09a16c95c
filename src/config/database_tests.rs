use std::path::Path;

use super::*;

/// Whether a configuration with this address and these lines below it is accepted, and its problems.
fn problems_of(url: &str, more: &str) -> (bool, String) {
    let text = format!(
        "database_url: {url}\ntenants_dir: tenants.d\npbx_instances:\n  hq: {{url: https://a.example, username: \
         t@a.example, password: {{env: HQ}}}}\n{more}"
    );
    match Config::parse(Path::new("/etc/tenantd/tenantd.yaml"), "tenantd.yaml", text.as_bytes()) {
        Ok((_, warnings)) => (true, warnings.iter().map(|w| w.render(false)).collect::<Vec<_>>().join("\n")),
        Err(errors) => (false, errors.to_string()),
    }
}

#[test]
fn validate_refuses_unworkable_addresses_with_their_place() {
    for (url, more, part) in [
        ("postgres://u@db.example.com/x?sslmode=verify-fulll", "", "the unknown sslmode `verify-fulll`"),
        ("postgres://u@db.example.com/x?sslmode=prefer", "", "in plain text to another machine"),
        ("postgres://u@db.example.com/x?sslmode=allow", "", "in plain text to another machine"),
        ("postgres://u@127.0.0.1,db2/x?sslmode=prefer", "", "in plain text to another machine"),
        ("postgres://u@db.example.com/x?sslmode=verify-ca", "", "every public certificate would pass"),
        ("postgres://u@db/x?sslmode=require&sslrootcert=system", "", "a weaker sslmode than verify-full"),
        ("postgres://u@db/x?sslmode=disable", "database_ca_file: ca.pem\n", "an sslmode that checks none"),
        ("postgres://u@db/x?sslrootcert=a.pem", "database_ca_file: ca.pem\n", "`sslrootcert` are set"),
        ("postgres://u@db/x?target_session_attrs=standby", "", "asks for a server that may be read-only"),
        ("postgres://u@db/x?target_session_attrs=read-only", "", "asks for a server that may be read-only"),
        ("postgres://u@db/x?sslkey=k.pem", "", "the parameter `sslkey`, which tenantd cannot follow"),
        ("postgres://u@db/x?pool_size=3", "", "a parameter that tenantd does not know"),
        ("postgres://u@db/x?connect_timeout=soon", "", "an invalid value of `connect_timeout`"),
        ("postgres://u@db/x?connect_timeout", "", "a parameter without a value"),
        ("postgres://u@db:0/x", "", "a port that is not a number from 1 to 65535"),
        ("postgres://u@db:99999/x", "", "a port that is not a number from 1 to 65535"),
        ("postgres://u@h1,h2,h3/x?port=1,2", "", "a different number of hosts and ports"),
        ("postgres://u@h1,,h2/x", "", "names no host"),
        ("postgres:///x", "", "names no host"),
        ("postgres://u@db/", "", "names no database"),
        ("postgres://u@db/x?password=hunter2", "", "contains a password"),
        ("postgres://u:hunter2@h1:5432,h2:5433/x", "", "contains a password"),
        ("postgres://u:hunter2@h1,h2:port/x?sslmode=never", "", "contains a password"),
    ] {
        let (works, text) = problems_of(url, more);
        assert!(!works && text.contains(part), "{url}: {text}");
        assert!(
            text.contains("tenantd.yaml:1:15: error") || text.contains("tenantd.yaml:5:1: error"),
            "{url}: {text}"
        );
        assert!(!text.contains("hunter2"), "{url}: {text}");
    }
}

#[test]
fn require_to_another_machine_is_a_warning_unless_there_are_certificates() {
    for (url, more, warns) in [
        ("postgres://u@db.example.com/x?sslmode=require", "", true),
        ("postgres://u@db.example.com/x?sslmode=require", "database_ca_file: ca.pem\n", false),
        ("postgres://u@db.example.com/x?sslmode=require&sslrootcert=ca.pem", "", false),
        ("postgres://u@127.0.0.1/x?sslmode=require", "", false),
        ("postgres://u@db.example.com/x", "", false),
        ("postgres://u@db.example.com/x?sslmode=disable", "", false),
        ("postgres://u@db.example.com/x?sslmode=verify-ca&sslrootcert=ca.pem", "", false),
    ] {
        let (works, text) = problems_of(url, more);
        assert!(works, "{url}: {text}");
        assert_eq!(text.contains("which checks no certificate"), warns, "{url}: {text}");
    }
}

#[test]
fn every_host_has_its_port_and_its_mode() {
    let shown = |text: &str| {
        let url: PostgresUrl = text.parse().unwrap();
        let modes: Vec<_> = url.servers().iter().map(|server| url.tls_for(server)).collect();
        (url.to_string(), modes)
    };
    use TlsMode::{Disable, Prefer, VerifyFull};
    for (text, place, modes) in [
        ("postgres://u@db.example.com/x", "postgres://u@db.example.com:5432/x", vec![VerifyFull]),
        ("postgresql://u@LOCALHOST:6432/x", "postgres://u@LOCALHOST:6432/x", vec![Prefer]),
        ("postgres://u@127.0.0.9/x", "postgres://u@127.0.0.9:5432/x", vec![Prefer]),
        ("postgres://u@[::1]:5433/x", "postgres://u@[::1]:5433/x", vec![Prefer]),
        ("postgres://u@[2001:db8::1]/x", "postgres://u@[2001:db8::1]:5432/x", vec![VerifyFull]),
        ("postgres://u@0.0.0.0/x", "postgres://u@0.0.0.0:5432/x", vec![VerifyFull]),
        ("postgres://localhost.example.com/x", "postgres://localhost.example.com:5432/x", vec![VerifyFull]),
        ("postgres://h1,h2:5433/x", "postgres://h1:5432,h2:5433/x", vec![VerifyFull, VerifyFull]),
        (
            "postgres://u@%2Frun%2Fpostgresql,db2/x?sslmode=disable",
            "postgres://u@/run/postgresql:5432,db2:5432/x",
            vec![Disable, Disable],
        ),
        (
            "postgres://u%40a@/x?host=/run/postgresql,db&port=5433",
            "postgres://u@a@/run/postgresql:5433,db:5433/x",
            vec![Disable, VerifyFull],
        ),
    ] {
        assert_eq!(shown(text), (place.to_owned(), modes), "{text}");
    }
    let several: PostgresUrl = "postgres://h1,h2/x".parse().unwrap();
    assert!(!several.reads_from_any(), "a plan is made from the server that writes");
    let any: PostgresUrl = "postgres://h1,h2/x?target_session_attrs=any".parse().unwrap();
    assert!(any.reads_from_any());
    let one: PostgresUrl = "postgres://h1/x".parse().unwrap();
    assert!(one.reads_from_any());
}

#[test]
fn the_drivers_parameters_are_passed_on_as_written() {
    let url: PostgresUrl =
        "postgres://u@db/x?options=-c%20search_path%3D%22it's%22&application_name=a%5Cb+c&\
                            connect_timeout=3&keepalives_idle=7&keepalives_count=2&channel_binding=require"
            .parse()
            .unwrap();
    let driver = url.driver();
    assert_eq!(driver.get_options(), Some("-c search_path=\"it's\""));
    assert_eq!(driver.get_application_name(), Some("a\\b+c"));
    assert_eq!(driver.get_connect_timeout(), Some(&Duration::from_secs(3)));
    assert_eq!(driver.get_keepalives_idle(), Duration::from_secs(7));
    assert_eq!(driver.get_keepalives_retries(), Some(2));
    assert_eq!((driver.get_user(), driver.get_dbname()), (Some("u"), Some("x")));
}
