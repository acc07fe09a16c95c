//! A place where the real program runs: its configuration, tenant files, database, and two stand-in PBXs in this
//! process that note every request.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fusionpbx_standin::{Handle, Latency, StandIn, StandInOptions};
use tenantd::config::DatabaseConfig;
use tenantd::store::{Access, Database, DatabaseOptions};
use tokio::process::{Child, Command};

use crate::common::harness::Backend;
use crate::common::postgres;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tenantd");
/// Long enough for a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct Site {
    pub dir: tempfile::TempDir,
    pub servers: BTreeMap<&'static str, StandIn>,
    pub backend: Backend,
    pub database_url: String,
    pub password: String,
}

/// What a command previous.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A daemon. It is killed when it is dropped.
pub struct Daemon {
    pub child: Child,
    pub log: PathBuf,
}

/// The test's body runs on SQLite and, where it is installed, on PostgreSQL.
macro_rules! at_both_sites {
    ($(#[$meta:meta])* async fn $name:ident($site:ident) $body:block) => {
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "some bodies use nothing of their module")]
            use super::*;
            use $crate::common::harness::Backend;
            use $crate::site::Site;

            async fn scenario($site: Site) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                scenario(Site::new(Backend::Sqlite).await.unwrap()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(site) = Site::new(Backend::Postgres).await {
                    scenario(site).await;
                }
            }
        }
    };
}
pub(crate) use at_both_sites;

impl Site {
    /// `None` where the database is not to be had.
    pub async fn new(backend: Backend) -> Option<Self> {
        Self::with(backend, Latency::none(), "stand-in-Secret-1").await
    }

    pub async fn slow(backend: Backend) -> Option<Self> {
        let ms = Duration::from_millis;
        let latency =
            Latency { form: ms(25), create: ms(80), write: ms(40), settings: ms(20), ..Latency::none() };
        Self::with(backend, latency, "stand-in-Secret-1").await
    }

    pub async fn with(backend: Backend, latency: Latency, password: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tenants.d", "state"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let database_url = match backend {
            Backend::Sqlite => "sqlite:state/tenantd.db".to_owned(),
            Backend::Postgres => postgres::database()?,
        };
        let mut servers = BTreeMap::new();
        for name in ["hq", "branch"] {
            let options = StandInOptions {
                password: password.to_owned(),
                latency: latency.clone(),
                grant_delete: true,
                ..StandInOptions::default()
            };
            servers.insert(name, StandIn::start(options).await.unwrap());
        }
        let site = Self { dir, servers, backend, database_url, password: password.to_owned() };
        site.configure("");
        Some(site)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes tenantd.yaml, with these lines at its end.
    pub fn configure(&self, more: &str) {
        let instances = ["hq", "branch"].map(|name| self.instance(name, name)).concat();
        self.write_config(&instances, more);
    }

    pub fn write_config(&self, instances: &str, more: &str) {
        let mut text = format!(
            "database_url: {}\ntenants_dir: tenants.d\npbx_instances:\n{instances}daemon: {{ interval: 5s, quiet: \
             100ms, quiet_max: 1s }}\n",
            self.database_url
        );
        if !more.contains("deletion:") {
            text += "deletion: { mode: automatic, retention_days: 30 }\n";
        }
        text += more;
        std::fs::write(self.path("tenantd.yaml"), text).unwrap();
        std::fs::write(self.path("password"), &self.password).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(self.path("password"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The lines of the instance `name` that is served by `server`.
    pub fn instance(&self, name: &str, server: &str) -> String {
        let server = &self.servers[server];
        format!(
            "  {name}:\n    url: {}\n    username: {}\n    password: {{ file: password }}\n    sessions: 2\n    \
             max_requests_per_second: 1000\n    tls: {{ fingerprint: \"{}\" }}\n",
            server.url(),
            StandInOptions::default().username,
            server.certificate_fingerprint().unwrap()
        )
    }

    pub fn pbx(&self, name: &str) -> &Handle {
        self.servers[name].pbx()
    }

    pub fn mutations(&self) -> usize {
        self.servers.values().map(|server| server.pbx().mutating_requests()).sum()
    }

    /// Number of deletions of domains that were asked for.
    pub fn deletions(&self) -> usize {
        self.servers
            .values()
            .flat_map(|server| server.pbx().requests())
            .filter(|asked| {
                asked.method == "POST"
                    && asked.path.ends_with("domains.php")
                    && asked.field("action") == Some("delete")
            })
            .count()
    }

    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path("tenants.d").join(file), text).unwrap();
    }

    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.path("tenants.d").join(file)).unwrap();
    }

    pub fn tenant(&self, name: &str) {
        self.tenant_with(name, "");
    }

    pub fn tenant_with(&self, name: &str, more: &str) {
        self.write(&format!("{name}.yaml"), text_of(name, more));
    }

    pub fn tenants(&self, count: usize) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|number| format!("t{number:02}")).collect();
        names.iter().for_each(|name| self.tenant(name));
        names
    }

    /// Runs the program. There is no one to ask here, so `apply` is reported not to.
    pub async fn run(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(PROGRAM);
        command.args(unasked(args));
        self.finish(command).await
    }

    /// Runs the program with these arguments and no others.
    #[allow(dead_code, reason = "each test binary uses its own part")]
    pub async fn run_as_it_is(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(PROGRAM);
        command.args(args);
        self.finish(command).await
    }

    /// Runs the program below another one, such as a shell that takes something away from it.
    pub async fn run_below(&self, outer: &[&str], args: &[&str]) -> Ran {
        let mut command = Command::new(outer[0]);
        command.args(&outer[1..]).arg(PROGRAM).args(unasked(args));
        self.finish(command).await
    }

    pub async fn finish(&self, mut command: Command) -> Ran {
        self.surround(&mut command);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    pub fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.dir.path())
            .env("TENANTD_CONFIG", self.path("tenantd.yaml"))
            .env("NO_COLOR", "1")
            .env_remove("TENANTD_LOG")
            .stdin(Stdio::null())
            .kill_on_drop(true);
    }

    /// Applies, and fails the test unless everything was done.
    #[track_caller]
    pub fn apply(&self) -> impl Future<Output = Ran> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            let ran = self.run(&["apply"]).await;
            assert_eq!(ran.code, 0, "{caller}: {ran:#?}");
            ran
        }
    }

    pub fn daemon(&self, name: &str) -> Daemon {
        self.daemon_below(name, &[], &[])
    }

    /// A daemon below another program, such as a shell that takes something away from it, in this environment.
    pub fn daemon_below(&self, name: &str, outer: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let log = self.path(&format!("{name}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let words: Vec<&str> = outer.iter().copied().chain([PROGRAM, "run"]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        self.surround(&mut command);
        // A pass that finds nothing new says so at this level.
        command.env("TENANTD_LOG", "info,tenantd::daemon=debug");
        command.envs(environment.iter().copied());
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Daemon { child, log }
    }

    pub async fn plan(&self) -> serde_json::Value {
        let ran = self.run(&["plan", "--output", "json"]).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
    }

    pub async fn database(&self, access: Access) -> Database {
        let database = match self.backend {
            Backend::Sqlite => DatabaseConfig::Sqlite { path: self.path("state/tenantd.db") },
            Backend::Postgres => DatabaseConfig::Postgres {
                url: self.database_url.parse().unwrap(),
                password: None,
                ca_file: None,
            },
        };
        Database::open(DatabaseOptions { database, password: None, access }).await.unwrap()
    }

    pub async fn open_intents(&self) -> usize {
        let database = self.database(Access::ReadOnly).await;
        let now = chrono::Utc::now();
        database.read(move |store| store.recorded(now)).await.unwrap().open_intents.len()
    }

    /// The end of every test: what is left to do is nothing, sooner or later, and then it stays so.
    pub async fn comes_to_rest(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let plan = self.plan().await;
            let empty = |list: &str| plan[list].as_array().is_some_and(Vec::is_empty);
            if empty("steps") && empty("held") && self.open_intents().await == 0 {
                break;
            }
            assert!(Instant::now() < until, "not at rest: {plan:#}");
            // Where a daemon runs, it is asked to.
            self.run(&["apply"]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let before = self.mutations();
        let ran = self.run(&["apply"]).await;
        assert_eq!((ran.code, self.mutations()), (0, before), "a second plan is not empty: {ran:#?}");
    }

    /// Each of these tenants has exactly one domain on the instance.
    #[track_caller]
    pub fn has_one_domain_each(&self, instance: &str, names: &[String]) {
        for name in names {
            let found = self.pbx(instance).domains_named(&format!("{name}.example.com"));
            assert_eq!(found.len(), 1, "{name}: {found:#?}");
        }
        let all = self.pbx(instance).domains();
        let distinct: BTreeSet<_> = all.iter().map(|row| &row.name).collect();
        assert_eq!(distinct.len(), all.len(), "a name twice: {all:#?}");
    }

    /// What a lease that no one renews comes to in ten seconds, at once.
    pub async fn expire_lease(&self) {
        if self.backend == Backend::Postgres {
            let (client, connection) =
                tokio_postgres::connect(&self.database_url, tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            // Before the first start there is no such table.
            let _ = client.batch_execute("UPDATE writer_lease SET expires_at = now()").await;
            drop(client);
            connection.await.unwrap().unwrap();
        }
    }
}

/// The arguments with `--yes`, where the command would ask.
pub fn unasked<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut args = args.to_vec();
    if args.first() == Some(&"apply") && !args.contains(&"--yes") {
        args.insert(1, "--yes");
    }
    args
}

pub fn text_of(name: &str, more: &str) -> String {
    format!("name: {name} Ltd\ndomain: {name}.example.com\npbx_instance: hq\n{more}")
}

impl Daemon {
    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, signal: &str) {
        if let Some(id) = self.child.id() {
            signal_process(id, signal);
        }
    }

    /// `kill -9`, between any two instructions.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub async fn stop(mut self) {
        self.signal("TERM");
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("the daemon ends").unwrap().success(), "{}", self.told());
    }
}

pub fn signal_process(id: u32, signal: &str) {
    let status = std::process::Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status();
    assert!(status.unwrap().success(), "kill -{signal} {id}");
}

/// Waits until something is so.
#[track_caller]
pub fn until<'a>(what: &'a str, mut so: impl FnMut() -> bool + 'a) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let until = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < until, "{caller}: waited in vain for: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether a program is installed; where the real components must not be missing, it must.
pub fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| Path::new(&dir).join(program).exists()));
    if !found {
        assert!(
            std::env::var_os("TENANTD_TEST_REQUIRE_POSTGRES").is_none(),
            "TENANTD_TEST_REQUIRE_POSTGRES is set and `{program}` was not found"
        );
        eprintln!("skipped: `{program}` was not found");
    }
    found
}
