//! No secret is in anything that tenantd writes: every command in text and JSON, every error, all at the level TRACE,
//! the database, and archives; looked for in every form in which it may stand there.

#[path = "../common/mod.rs"]
mod common;
mod finder;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../failures/site.rs"]
mod site;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use fusionpbx_standin::{Fault, FaultKind, Latency, NewSetting};
use tokio::process::Command;

use common::harness::Backend;
use finder::Finder;
use site::{PROGRAM, Ran, Site, at_both_sites, text_of, until};

const PASSWORD: &str = "Canary\"1/é&<+%>-of-the-PBX";
const WRONG: &str = "Canary\"2/é&<+%>-that-is-wrong";
const OF_DATABASE: &str = "Canary\"3/é&<+%>-of-the-database";
const IN_A_FILE: &str = "Canary-4-é-in-a-tenants-file";
const ON_THE_PBX: &str = "Canary-5-é-in-a-setting-of-the-PBX";

/// What the commands are run with, and what none of them may show.
struct Watched {
    site: Site,
    finder: Finder,
    /// Bytes that were searched.
    searched: usize,
}

impl Watched {
    async fn new(site: Site) -> Self {
        drop(site.servers);
        let site = Site::with(site.backend, Latency::none(), PASSWORD).await.unwrap();
        let finder = Finder::new(&[
            ("the PBX's password", PASSWORD),
            ("a wrong password", WRONG),
            ("the database's password", OF_DATABASE),
            ("a secret in a tenant's file", IN_A_FILE),
            ("a secret setting of the PBX", ON_THE_PBX),
        ]);
        Self { site, finder, searched: 0 }
    }

    /// Both instances with a password from this source; `at` changes their lines.
    fn configure(&self, source: &str, at: impl Fn(String) -> String) {
        let lines = ["hq", "branch"].map(|name| self.site.instance(name, name)).concat();
        let more = "deletion: { mode: automatic, retention_days: 0 }\narchive: { dir: archive }\n\
             limits: { removals: { count: 20, percent: 100 } }\n";
        let password = match self.site.backend {
            Backend::Sqlite => "",
            Backend::Postgres => "database_password: { env: SECRET_OF_DATABASE }\n",
        };
        self.site
            .write_config(&at(lines.replace("{ file: password }", source)), &format!("{more}{password}"));
        for (name, secret) in [("credential", PASSWORD), ("wrong", WRONG)] {
            let path = self.site.path(name);
            std::fs::write(&path, secret).unwrap();
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("SECRET_OF_PBX", PASSWORD.to_owned()),
            ("SECRET_OF_DATABASE", OF_DATABASE.to_owned()),
            ("CREDENTIALS_DIRECTORY", self.site.dir.path().display().to_string()),
            ("RUST_LOG", "trace".to_owned()),
        ]
    }

    #[track_caller]
    fn assert_clean(&mut self, what: &str, bytes: &[u8]) {
        self.searched += bytes.len();
        if let Some(found) = self.finder.found(bytes) {
            panic!("{what} shows {found}:\n{}", String::from_utf8_lossy(bytes));
        }
    }

    /// What the servers gave to their clients is a secret as well: session ids, and the forms' tokens.
    fn learn(&mut self) {
        let mut seen = std::collections::BTreeSet::new();
        for server in self.site.servers.values() {
            for asked in server.pbx().requests() {
                seen.extend(asked.session);
                let is_token =
                    |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
                for (name, value) in asked.form.into_iter().filter(|(name, _)| is_token(name)) {
                    seen.extend([name, value]);
                }
            }
            server.pbx().clear_requests();
        }
        assert!(!seen.is_empty(), "no session was seen");
        // Each form of each would be slow; these have no character that any form writes otherwise.
        self.finder_of_sessions(seen);
    }

    fn finder_of_sessions(&mut self, seen: std::collections::BTreeSet<String>) {
        for secret in seen {
            self.finder.add_plain("a session's id or token", &secret);
        }
    }

    /// Runs a command at TRACE and looks through what it said.
    async fn run(&mut self, args: &[&str]) -> Ran {
        let mut command = Command::new(PROGRAM);
        command.args(["--log", "trace"]).args(crate::site::unasked(args)).envs(self.environment());
        let ran = self.site.finish(command).await;
        if self
            .site
            .servers
            .values()
            .any(|server| server.pbx().requests().iter().any(|asked| asked.session.is_some()))
        {
            self.learn();
        }
        assert!(!ran.stderr.contains("panicked"), "{args:?}: {ran:#?}");
        self.assert_clean(&format!("the output of {args:?}"), ran.stdout.as_bytes());
        self.assert_clean(&format!("the log of {args:?}"), ran.stderr.as_bytes());
        ran
    }

    /// As text and as JSON by turns, where there are many.
    async fn run_some(&mut self, commands: &[&[&str]], round: usize) {
        for (number, args) in commands.iter().enumerate() {
            let output = ["text", "json"][(number + round) % 2];
            self.run(&[*args, &["--output", output]].concat()).await;
        }
    }

    async fn run_each(&mut self, commands: &[&[&str]]) {
        for args in commands {
            for output in ["text", "json"] {
                self.run(&[*args, &["--output", output]].concat()).await;
            }
        }
    }

    /// Every table of the database, whatever is in it.
    async fn search_database(&mut self) {
        match self.site.backend {
            Backend::Sqlite => {
                for entry in std::fs::read_dir(self.site.path("state")).unwrap() {
                    let path = entry.unwrap().path();
                    self.assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
                }
            }
            Backend::Postgres => {
                let (client, connection) =
                    tokio_postgres::connect(&self.site.database_url, tokio_postgres::NoTls).await.unwrap();
                let connection = tokio::spawn(connection);
                let tables = client
                    .query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'", &[])
                    .await
                    .unwrap();
                assert!(tables.len() > 10);
                let mut rows = 0;
                for table in tables {
                    let table: String = table.get(0);
                    let found =
                        client.query(&format!("SELECT t::text FROM \"{table}\" t"), &[]).await.unwrap();
                    rows += found.len();
                    let text: Vec<String> = found.iter().map(|row| row.get(0)).collect();
                    self.assert_clean(&format!("the table {table}"), text.join("\n").as_bytes());
                }
                assert!(rows > 10);
                drop(client);
                connection.await.unwrap().unwrap();
            }
        }
    }

    fn search_archives(&mut self) {
        let mut count = 0;
        for entry in std::fs::read_dir(self.site.path("archive")).unwrap() {
            let path = entry.unwrap().path();
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_end(&mut text).unwrap();
            self.assert_clean(&path.display().to_string(), &text);
            count += 1;
        }
        assert!(count > 0, "there is no archive");
    }
}

const LOOKING: &[&[&str]] = &[
    &["validate"],
    &["plan"],
    &["plan", "--detailed-exitcode"],
    &["status"],
    &["show", "acme"],
    &["pbx", "check"],
    &["import", "--instance", "hq", "--dry-run"],
    &["isolation", "check"],
    &["stats"],
];

at_both_sites! { async fn every_command_keeps_every_secret(site) {
    let mut watched = Watched::new(site).await;
    let accepted = |watched: &Watched| {
        watched.site.pbx("hq").sign_ins().iter().filter(|sign_in| sign_in.accepted).count()
    };
    for (round, source) in ["{ env: SECRET_OF_PBX }", "{ file: password }", "{ credential: credential }"].into_iter().enumerate() {
        watched.configure(source, |lines| lines);
        let before = accepted(&watched);
        watched.site.tenant_with("acme", &format!("max_users: {}\n", round + 5));
        // Unlike the one of the round before, whose file goes: else it may be that one under another name.
        watched.site.tenant_with(
            &format!("n{round}"),
            &format!("session_timeout: {}\nmax_users: {}\n", round + 10, round + 3),
        );
        watched.run(&["plan"]).await;
        let ran = watched.run(&["apply", "-o", if round == 0 { "json" } else { "text" }]).await;
        assert_eq!(ran.code, 0, "{source}: {ran:#?}");
        assert!(ran.stderr.contains("TRACE") && ran.stderr.contains("DEBUG"), "{source}: everything is logged");
        assert!(accepted(&watched) > before, "{source}: the password was used");
        let hq = watched.site.pbx("hq").clone();
        let uuid = hq.domains_named("acme.example.com")[0].uuid;
        hq.add_setting(uuid, NewSetting::new("provision", "http_auth_password", "text", ON_THE_PBX));
        let foreign = hq.add_domain(&format!("theirs{round}.example.com"), Some(true), None);
        hq.add_setting(foreign, NewSetting::new("provision", "admin_password", "text", ON_THE_PBX));
        // A file that has one, and must not.
        watched.site.tenant_with("evil", &format!("pbx_settings: {{ provision.admin_password.text: {IN_A_FILE} }}\n"));
        watched.run_each(LOOKING).await;
        watched.run(&["show", "evil"]).await;
        watched.run(&["apply"]).await;
        watched.site.remove("evil.yaml");
        watched.run_each(&[
            &["import", "--instance", "hq"],
            &["suspend", "acme", "--until", "1h", "--reason", "because"],
            &["resume", "acme"],
            &["sync"],
            &["archive", "acme"],
            &["pbx", "enroll", "hq"],
        ]).await;
        // Closed, approved, deleted, and brought back from the archive.
        let name = format!("n{round}");
        watched.site.remove(&format!("{name}.yaml"));
        for args in [&["apply"][..], &["approve", "--tenant", &name], &["approve", "p-0123456789abcdef"], &["apply"], &["apply", "--allow-delete", &name]] {
            watched.run(args).await;
        }
        watched.search_archives();
        for entry in std::fs::read_dir(watched.site.path("archive")).unwrap() {
            let path = entry.unwrap().path().display().to_string();
            watched.run(&["restore", &path]).await;
        }
        watched.search_database().await;
    }
    watched.run_each(&[&["completions", "bash"], &["man"], &["--help"], &["sandbox", "--once"]]).await;

    // The daemon, with a pass that does something, and one after SIGHUP.
    watched.site.tenant("late");
    let mut environment: Vec<(&str, String)> = watched.environment().into();
    environment.push(("TENANTD_LOG", "trace".into()));
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let daemon = watched.site.daemon_below("daemon", &[], &environment);
    until("a pass", || daemon.told().contains("applied p-")).await;
    daemon.signal("HUP");
    until("the configuration is read again", || daemon.told().contains("SIGHUP")).await;
    let log = daemon.log.clone();
    daemon.stop().await;
    watched.learn();
    watched.assert_clean("the daemon's log", &std::fs::read(log).unwrap());
    watched.search_database().await;
    assert!(watched.searched > 1_000_000, "{} bytes were searched", watched.searched);
} }

/// The errors of PBXs and files are the same on either database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_error_keeps_every_secret() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    const FAILING: &[&[&str]] = &[&["plan"], &["apply"], &["pbx", "check"]];
    const REST: &[&[&str]] =
        &[&["status"], &["show", "acme"], &["import", "--instance", "hq", "--dry-run"], &["sync"]];
    let mut watched = Watched::new(site).await;
    let hq = watched.site.pbx("hq").clone();
    let source = "{ env: SECRET_OF_PBX }";
    watched.configure(source, |lines| lines);
    watched.site.tenant("acme");
    assert_eq!(watched.run(&["apply"]).await.code, 0);
    let mut number = 0;
    for kind in [
        FaultKind::EchoPassword,
        FaultKind::LoginPageWith200,
        FaultKind::HtmlForJson,
        FaultKind::RejectCredentials,
        FaultKind::AccessDenied,
        FaultKind::TruncatedJson,
        FaultKind::CommitThenReset,
        FaultKind::ConnectionReset,
        FaultKind::Status { code: 500, retry_after: None },
    ] {
        let fault = hq.inject(Fault::new(kind));
        // Something to do, so that the error may come at any place.
        number += 1;
        watched.site.tenant(&format!("f{number}"));
        watched.run_some(FAILING, number).await;
        if number <= 3 {
            watched.run_some(REST, number).await;
        }
        hq.remove_fault(fault);
    }
    for permission in ["domain_edit", "domain_add", "domain_setting_edit", "user_view"] {
        hq.revoke(permission);
        hq.end_sessions();
        number += 1;
        watched.site.tenant(&format!("f{number}"));
        watched.run_some(FAILING, number).await;
        hq.grant(permission);
    }

    // A password that is not the server's: it does reach it.
    let refused = |watched: &Watched| {
        watched.site.pbx("hq").sign_ins().iter().filter(|sign_in| !sign_in.accepted).count()
    };
    let before = refused(&watched);
    watched.configure("{ file: wrong }", |lines| lines);
    watched.run_some(FAILING, number).await;
    number += 1;
    assert!(refused(&watched) > before, "the wrong password was used");
    // No one there, and someone else's certificate.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = watched.site.servers["hq"].url().to_owned();
    watched.configure(source, |lines| lines.replace(&url, &format!("https://{nobody}")));
    watched.run_some(FAILING, number).await;
    number += 1;
    let fingerprint = watched.site.servers["hq"].certificate_fingerprint().unwrap().to_owned();
    watched.configure(source, |lines| lines.replace(&fingerprint, &format!("sha256:{}", "ab".repeat(32))));
    watched.run_some(FAILING, number).await;

    // Secrets where they may not stand: in the configuration, in a URL, in a tenant's file that breaks off.
    let good = std::fs::read_to_string(watched.site.path("tenantd.yaml")).unwrap();
    let quoted = |secret: &str| format!("'{}'", secret.replace('\'', "''"));
    let in_url: String = url::form_urlencoded::byte_serialize(OF_DATABASE.as_bytes()).collect();
    for text in [
        good.replace(source, &quoted(PASSWORD)),
        good.replace(source, &format!("{{ env: {} }}", quoted(PASSWORD))),
        good.replace(source, &format!("{{ password: {} }}", quoted(PASSWORD))),
        good.replace("https://", &format!("https://user:{in_url}@")),
        good.replacen("database_url: ", &format!("database_url: postgres://u:{in_url}@127.0.0.1/x #"), 1),
        format!("{good}database_password: {}\n", quoted(OF_DATABASE)),
    ] {
        assert!(text != good);
        std::fs::write(watched.site.path("tenantd.yaml"), text).unwrap();
        for args in [&["validate"][..], &["validate", "-o", "json"], &["plan"], &["status"]] {
            let ran = watched.run(args).await;
            assert_eq!(ran.code, 1, "{args:?}: {ran:#?}");
        }
    }
    watched.configure(source, |lines| lines);
    for broken in [
        format!("{}pbx_settings: {{ provision.admin_password.text: \"{IN_A_FILE}\n", text_of("evil", "")),
        format!("{}pbx_settings:\n  provision.admin_password.text: [{IN_A_FILE}]\n", text_of("evil", "")),
        format!("{}pbx_settings:\n  a.api_key.text: |\n    {IN_A_FILE}\n", text_of("evil", "")),
        format!("{}password: {IN_A_FILE}\n", text_of("evil", "")),
    ] {
        watched.site.write("evil.yaml", broken);
        watched.run_each(&[&["validate"], &["plan"], &["status"], &["show", "evil"], &["apply"]]).await;
    }
    watched.site.remove("evil.yaml");
    watched.search_database().await;
    assert!(watched.searched > 1_000_000, "{} bytes were searched", watched.searched);
}

/// A PostgreSQL that asks for the password in clear text and repeats it in its refusal.
fn indiscreet_database() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut talk = || -> std::io::Result<()> {
                let packet = |stream: &mut std::net::TcpStream| -> std::io::Result<Vec<u8>> {
                    let mut length = [0; 4];
                    stream.read_exact(&mut length)?;
                    let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
                    stream.read_exact(&mut rest)?;
                    Ok(rest)
                };
                let mut first = packet(&mut stream)?;
                if first == 80_877_103_u32.to_be_bytes() {
                    // No TLS here.
                    stream.write_all(b"N")?;
                    first = packet(&mut stream)?;
                }
                assert!(first.starts_with(&[0, 3, 0, 0]));
                stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3])?;
                stream.read_exact(&mut [0])?;
                let mut password = packet(&mut stream)?;
                password.pop();
                hearing.lock().unwrap().extend_from_slice(&password);
                let mut fields = b"SFATAL\0C28P01\0M".to_vec();
                fields.extend_from_slice(b"password authentication failed for ");
                fields.extend_from_slice(&password);
                fields.extend_from_slice(b"\0\0");
                stream.write_all(b"E")?;
                stream.write_all(&(fields.len() as u32 + 4).to_be_bytes())?;
                stream.write_all(&fields)
            };
            let _ = talk();
        }
    });
    (port, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_had_shows_no_password() {
    let mut watched = Watched::new(Site::new(Backend::Sqlite).await.unwrap()).await;
    watched.site.tenant("acme");
    watched.configure("{ env: SECRET_OF_PBX }", |lines| lines);
    let good = std::fs::read_to_string(watched.site.path("tenantd.yaml")).unwrap();
    let (port, heard) = indiscreet_database();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, mode) in [(port, "disable"), (port, "prefer"), (port, "require"), (nobody, "prefer")] {
        let url = format!("postgres://tenantd@127.0.0.1:{port}/x?sslmode={mode}");
        let text = good.replacen("sqlite:state/tenantd.db", &url, 1)
            + "database_password: { env: SECRET_OF_DATABASE }\n";
        std::fs::write(watched.site.path("tenantd.yaml"), text).unwrap();
        for args in
            [&["plan"][..], &["plan", "-o", "json"], &["apply"], &["status"], &["stats"], &["sync"], &["run"]]
        {
            let ran = watched.run(args).await;
            assert_eq!(ran.code, 1, "{args:?}: {ran:#?}");
        }
    }
    let heard = heard.lock().unwrap();
    let reached = heard.windows(OF_DATABASE.len()).any(|window| window == OF_DATABASE.as_bytes());
    assert!(reached, "the password was used: {}", String::from_utf8_lossy(&heard));
}
