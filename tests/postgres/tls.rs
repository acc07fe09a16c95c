//! libpq's `sslmode`, each against servers that want, offer, or refuse TLS.

use tenantd::config::DatabaseConfig;
use tenantd::report::chain;
use tenantd::store::{Access, Database, DatabaseOptions};

use crate::common::harness::Backend;
use crate::servers::{Certificates, Cluster, TRUST, client, text};
use crate::site::Site;

#[derive(Debug)]
enum Expected {
    Plain,
    Encrypted,
    /// Refused, with this in the message.
    Refused(&'static str),
}
use Expected::{Encrypted, Plain, Refused};

struct Row {
    host: &'static str,
    mode: &'static str,
    ca: &'static str,
    expected: Expected,
}

const fn row(host: &'static str, mode: &'static str, ca: &'static str, expected: Expected) -> Row {
    Row { host, mode, ca, expected }
}

/// Opens the database as the row says, and looks from outside whether the connection is encrypted.
async fn holds(what: &str, cluster: &Cluster, certificates: &Certificates, row: &Row) {
    let Row { host, mode, ca, expected } = row;
    let context = format!("{what}: host {host}, sslmode {mode:?}, certificates {ca:?}");
    let mode = if mode.is_empty() { String::new() } else { format!("&sslmode={mode}") };
    let url = format!("postgres://keeper@{host}:{}/crystalqore?application_name=probe{mode}", cluster.port);
    let database = DatabaseConfig::Postgres {
        url: url.parse().unwrap(),
        password: None,
        ca_file: (!ca.is_empty()).then(|| certificates.path(ca)),
    };
    let options = DatabaseOptions { database, password: None, access: Access::ReadWrite };
    let opened = Database::open(options).await;
    match (opened, expected) {
        (Ok(database), Plain | Encrypted) => {
            let outside = client(&cluster.socket("postgres")).await;
            let query = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                         WHERE a.application_name = 'probe' ORDER BY a.backend_start DESC LIMIT 1";
            let encrypted = text(&outside, query).await == "t";
            assert_eq!(encrypted, matches!(expected, Encrypted), "{context}");
            drop(database);
        }
        (Err(error), Refused(part)) => {
            let said = chain(&error);
            assert!(said.contains(part), "{context}: {said}");
            assert!(!said.contains("Other(") && !said.contains("Error("), "no Debug form: {said}");
        }
        (Ok(_), Refused(part)) => panic!("{context}: it was opened, expected {part:?}"),
        (Err(error), _) => panic!("{context}: {}", chain(&error)),
    }
}

const NO_TLS: &str = "the server does not offer TLS. Enable it there (`ssl = on`)";
const UNTRUSTED: &str =
    "the server's certificate is not trusted: it is self-signed, or its issuer is not trusted";
const OTHER_NAME: &str = "it is for another host name";
const HBA: &str = "pg_hba.conf";

pub async fn each_sslmode_means_what_libpq_means_by_it() {
    // 127.0.0.1 is not among the certificate's names.
    let certificates = Certificates::new(&["localhost", "0.0.0.0"]);
    let with_tls = |rules: &str, name: &str| {
        Cluster::start_with("ssl = on", rules, |data| certificates.install(name, data))
    };
    let offers = with_tls(TRUST, "server");
    for row in [
        row("127.0.0.1", "", "", Encrypted),
        row("127.0.0.1", "disable", "", Plain),
        row("127.0.0.1", "allow", "", Plain),
        row("127.0.0.1", "prefer", "", Encrypted),
        row("127.0.0.1", "require", "", Encrypted),
        row("127.0.0.1", "require", "ca.pem", Encrypted),
        row("127.0.0.1", "require", "other.pem", Refused(UNTRUSTED)),
        row("127.0.0.1", "verify-ca", "ca.pem", Encrypted),
        row("127.0.0.1", "verify-ca", "other.pem", Refused(UNTRUSTED)),
        row("localhost", "verify-full", "ca.pem", Encrypted),
        row("localhost", "verify-full", "other.pem", Refused(UNTRUSTED)),
        row("127.0.0.1", "verify-full", "ca.pem", Refused(OTHER_NAME)),
        row("localhost", "verify-full", "", Refused(UNTRUSTED)),
        row("localhost", "verify-full", "server.key", Refused("holds no certificate")),
        row("localhost", "verify-full", "missing.pem", Refused("cannot be read")),
    ] {
        holds("TLS is offered", &offers, &certificates, &row).await;
    }
    let none = Cluster::start("", TRUST);
    for row in [
        row("127.0.0.1", "", "", Plain),
        row("127.0.0.1", "disable", "", Plain),
        row("127.0.0.1", "allow", "", Plain),
        row("127.0.0.1", "prefer", "", Plain),
        row("127.0.0.1", "require", "", Refused(NO_TLS)),
        row("127.0.0.1", "verify-ca", "ca.pem", Refused(NO_TLS)),
        row("localhost", "verify-full", "ca.pem", Refused(NO_TLS)),
    ] {
        holds("no TLS", &none, &certificates, &row).await;
    }
    let only = with_tls("hostssl all all all trust\nhostnossl all all all reject\n", "server");
    for row in [
        row("127.0.0.1", "", "", Encrypted),
        row("127.0.0.1", "disable", "", Refused(HBA)),
        row("127.0.0.1", "allow", "", Encrypted),
        row("127.0.0.1", "prefer", "", Encrypted),
        row("127.0.0.1", "require", "", Encrypted),
    ] {
        holds("only TLS", &only, &certificates, &row).await;
    }
    let refuses = with_tls("hostnossl all all all trust\nhostssl all all all reject\n", "server");
    for row in [
        row("127.0.0.1", "", "", Plain),
        row("127.0.0.1", "disable", "", Plain),
        row("127.0.0.1", "allow", "", Plain),
        row("127.0.0.1", "prefer", "", Plain),
        row("127.0.0.1", "require", "", Refused(HBA)),
    ] {
        holds("TLS is refused by a rule", &refuses, &certificates, &row).await;
    }
    // As PostgreSQL's manual makes one: self-signed, and so an authority's by the letter.
    let own = with_tls(TRUST, "own");
    for row in [
        row("localhost", "verify-full", "own.crt", Encrypted),
        row("127.0.0.1", "verify-full", "own.crt", Refused(OTHER_NAME)),
        row("127.0.0.1", "verify-ca", "own.crt", Encrypted),
        row("localhost", "verify-full", "ca.pem", Refused("the server's certificate is not trusted")),
        row("127.0.0.1", "require", "", Encrypted),
    ] {
        holds("a certificate that signed itself", &own, &certificates, &row).await;
    }
}

/// 0.0.0.0 is this machine, and tenantd has no way to know: to it, it is another one.
pub async fn another_machine_is_checked_unless_plain_text_is_asked_for_by_name() {
    let certificates = Certificates::new(&["localhost", "0.0.0.0"]);
    let offers = Cluster::start_with("ssl = on", TRUST, |data| certificates.install("server", data));
    for row in [
        row("0.0.0.0", "", "ca.pem", Encrypted),
        row("0.0.0.0", "", "", Refused(UNTRUSTED)),
        row("0.0.0.0", "", "other.pem", Refused(UNTRUSTED)),
        row("0.0.0.0", "require", "", Encrypted),
        row("0.0.0.0", "disable", "", Plain),
    ] {
        holds("another machine with TLS", &offers, &certificates, &row).await;
    }
    let none = Cluster::start("", TRUST);
    for row in [row("0.0.0.0", "", "ca.pem", Refused(NO_TLS)), row("0.0.0.0", "disable", "", Plain)] {
        holds("another machine without TLS", &none, &certificates, &row).await;
    }
    let mut site = Site::new(Backend::Postgres).await.unwrap();
    for (mode, code, part) in [
        ("prefer", 1, "may send everything in plain text to another machine"),
        ("allow", 1, "may send everything in plain text to another machine"),
        ("verify-ca", 1, "every public certificate would pass"),
        ("require", 0, "checks no certificate"),
        ("disable", 0, ""),
        ("verify-full", 0, ""),
    ] {
        site.database_url = format!("postgres://keeper@0.0.0.0:{}/crystalqore?sslmode={mode}", none.port);
        site.configure("");
        site.tenant("acme");
        let ran = site.run(&["validate"]).await;
        assert_eq!(ran.code, code, "{mode}: {ran:#?}");
        assert_eq!(ran.stderr.contains("tenantd.yaml:1:"), !part.is_empty(), "{mode}: {ran:#?}");
        assert!(ran.stderr.contains(part), "{mode}: {ran:#?}");
    }
}
