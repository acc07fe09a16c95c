//! What one tenantd carries: the real program over fleets of several sizes, on SQLite and PostgreSQL.
//!
//! ```text
//! cargo bench --bench fleet                    100, 1,000 and 10,000 tenants, as a Markdown table
//! cargo bench --bench fleet -- 100000          100,000 tenants; several sizes may be given
//! ```
//!
//! The stand-ins take no time of their own and are another process, so that processor time is tenantd's own. How to read
//! the table is in `docs/sizing.md`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::Utc;
use fusionpbx_standin::{StandIn, StandInOptions};
use tenantd::config::DatabaseConfig;
use tenantd::model::{DomainId, TenantRecord};
use tenantd::store::{Access, Database, DatabaseOptions};
use uuid::Uuid;

#[path = "../tests/common/mod.rs"]
mod common;

use common::harness::{PASSWORD, tenant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tenantd");
/// Says to the program that it is the stand-ins of another one; the value is the number of tenants.
const AS_STAND_INS: &str = "TENANTD_BENCH_STAND_INS";
const SIZES: [usize; 3] = [100, 1000, 10_000];
/// A file that gets the log of each daemon, with the time of each part of a run.
const LOG: &str = "TENANTD_BENCH_LOG";
const ROUNDS: usize = 5;
const QUIET: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(20);

/// One server for each 5,000 tenants, and two at least.
fn servers(tenants: usize) -> usize {
    (tenants / 5000).max(2)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Ok(tenants) = std::env::var(AS_STAND_INS) {
        runtime.block_on(serve(tenants.parse().unwrap()));
        return;
    }
    let given: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if given.is_empty() { SIZES.to_vec() } else { given };
    println!(
        "| database | tenants | `plan`: own CPU | `plan`: peak memory | requests | `status` | `show KEY` | edit → planned, beyond \
         the quiet time | daemon: idle CPU | daemon: peak memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for postgres in [false, true] {
        for tenants in &sizes {
            match runtime.block_on(Fleet::new(postgres, *tenants)) {
                Some(mut fleet) => println!("{}", fleet.row()),
                None => eprintln!("skipped on PostgreSQL: it is not installed"),
            }
        }
    }
}

/// Processor time of the children that ended.
fn time_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        fields.split_whitespace().skip(13).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Processor time of a running process.
fn time_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that a process had, in MiB.
fn peak_memory(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// What one run of a command took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    own: f64,
    wall: f64,
    memory: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Fleet {
    database: &'static str,
    tenants: usize,
    dir: tempfile::TempDir,
    stand_ins: StandIns,
}

impl Fleet {
    async fn new(postgres: bool, tenants: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let config = common::sql_client::fresh(postgres, dir.path())?;
        let stand_ins = StandIns::start(tenants);
        let fleet =
            Self { database: if postgres { "PostgreSQL" } else { "SQLite" }, tenants, dir, stand_ins };
        fleet.write_files(&config);
        fleet.record(config).await;
        // The instances are seen for the first time.
        fleet.run(&["plan"]);
        Some(fleet)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_files(&self, database: &DatabaseConfig) {
        let database_url = match database {
            DatabaseConfig::Sqlite { path } => format!("sqlite:{}", path.display()),
            DatabaseConfig::Postgres { url, .. } => url.as_str().to_owned(),
        };
        let instances: String = self
            .stand_ins
            .servers
            .iter()
            .enumerate()
            .map(|(n, server)| {
                format!(
                    "  pbx{n}: {{ url: {}, username: {}, password: {{ file: password }}, tls: {{ fingerprint: '{}' }} }}\n",
                    server.url,
                    StandInOptions::default().username,
                    server.fingerprint
                )
            })
            .collect();
        let config = format!(
            "database_url: {database_url}\ntenants_dir: tenants.d\npbx_instances:\n{instances}daemon: {{ interval: 1h, quiet: \
             {}ms }}\n",
            QUIET.as_millis()
        );
        std::fs::write(self.path("tenantd.yaml"), config).unwrap();
        std::fs::write(self.path("password"), PASSWORD).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(self.path("password"), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::create_dir(self.path("tenants.d")).unwrap();
        for n in 0..self.tenants {
            self.write_tenant(n, "");
        }
    }

    fn write_tenant(&self, n: usize, more: &str) {
        let name = name(n);
        let text = format!(
            "name: {name} Ltd\ndomain: {name}.example.com\npbx_instance: pbx{}\n{more}",
            n % servers(self.tenants)
        );
        std::fs::write(self.path("tenants.d").join(format!("{name}.yaml")), text).unwrap();
    }

    /// Records every tenant as it is on file and on its PBX.
    async fn record(&self, config: DatabaseConfig) {
        let options = DatabaseOptions { database: config, password: None, access: Access::ReadWrite };
        let database = Database::open(options).await.unwrap();
        let count = servers(self.tenants);
        let records: Vec<TenantRecord> = (0..self.tenants)
            .map(|n| {
                let mut wanted = tenant(&name(n));
                wanted.definition.instance =
                    tenantd::model::InstanceKey::parse(&format!("pbx{}", n % count)).unwrap();
                TenantRecord {
                    domain_id: DomainId(self.stand_ins.servers[n % count].domains[n / count]),
                    applied_definition_hash: Some(tenantd::plan::definition_hash(&wanted)),
                    settings_checked_at: Some(Utc::now()),
                    provisioned: true,
                    ..TenantRecord::new(
                        tenantd::model::TenantId(Uuid::now_v7()),
                        &wanted,
                        DomainId(Uuid::nil()),
                        Utc::now(),
                    )
                }
            })
            .collect();
        for some in records.chunks(1000) {
            let some = some.to_vec();
            database
                .write(move |store| some.iter().try_for_each(|record| store.insert_tenant(record)))
                .await
                .unwrap();
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("tenantd.yaml")).args(arguments).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Cost {
        let (started, before) = (Instant::now(), time_of_children());
        let mut child = self.command(arguments).spawn().unwrap();
        let mut memory: f64 = 0.0;
        let status = loop {
            memory = memory.max(peak_memory(child.id()).unwrap_or(0.0));
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        assert!(status.success(), "{arguments:?} ended with {status}");
        Cost {
            own: (time_of_children() - before).as_secs_f64(),
            wall: started.elapsed().as_secs_f64(),
            memory,
        }
    }

    fn runs(&self, arguments: &[&str]) -> Cost {
        let costs: Vec<Cost> = (0..ROUNDS).map(|_| self.run(arguments)).collect();
        Cost {
            own: median(costs.iter().map(|cost| cost.own).collect()),
            wall: median(costs.iter().map(|cost| cost.wall).collect()),
            memory: costs.iter().map(|cost| cost.memory).fold(0.0, f64::max),
        }
    }

    fn row(&mut self) -> String {
        self.stand_ins.requests();
        let plan = self.runs(&["plan"]);
        let requests = self.stand_ins.requests() / ROUNDS;
        let status = self.runs(&["status"]);
        let show = self.runs(&["show", &name(self.tenants / 2)]);
        let daemon = Daemon::start(self);
        let edits: Vec<f64> = (0..ROUNDS).map(|round| daemon.edit(self, round)).collect();
        let before = time_of(daemon.child.id());
        std::thread::sleep(IDLE);
        let idle = (time_of(daemon.child.id()) - before).as_secs_f64() / IDLE.as_secs_f64();
        let memory = peak_memory(daemon.child.id()).unwrap_or(0.0);
        format!(
            "| {} | {} | {:.2} s | {:.0} MiB | {requests} | {:.2} s | {:.2} s | {:.0} ms | {:.2} % | {memory:.0} MiB |",
            self.database,
            self.tenants,
            plan.own,
            plan.memory,
            status.wall,
            show.wall,
            median(edits) * 1e3,
            idle * 100.0,
        )
    }
}

struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(fleet: &Fleet) -> Self {
        let log = fleet.path("log");
        let file = std::fs::File::create(&log).unwrap();
        let level = if std::env::var_os(LOG).is_some() { "debug" } else { "info" };
        let child = fleet.command(&["--log", level, "run"]).stderr(file).spawn().unwrap();
        let daemon = Self { child, log };
        daemon.wait_for(": 0 steps, ", 1);
        // Stamps of files that were just written prove nothing yet.
        std::thread::sleep(Duration::from_secs(4));
        daemon
    }

    fn wait_for(&self, what: &str, times: usize) {
        let until = Instant::now() + Duration::from_secs(300);
        let (mut log, mut text) = (std::fs::File::open(&self.log).unwrap(), String::new());
        while text.matches(what).count() < times {
            assert!(Instant::now() < until, "{text}");
            std::thread::sleep(Duration::from_millis(2));
            log.read_to_string(&mut text).unwrap();
        }
    }

    /// Seconds from the edit of one file to its logged plan, beyond the time that the files must be unchanged.
    fn edit(&self, fleet: &Fleet, round: usize) -> f64 {
        let n = fleet.tenants / 2 + round;
        let started = Instant::now();
        fleet.write_tenant(n, "max_users: 7\n");
        self.wait_for(&format!("planned: update {} ", name(n)), 1);
        let took = started.elapsed();
        self.wait_for("applied p-", round + 1);
        took.saturating_sub(QUIET).as_secs_f64()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(to) = std::env::var_os(LOG) {
            let _ = std::fs::copy(&self.log, to);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(n: usize) -> String {
    format!("t{n:06}")
}

#[derive(serde::Serialize, serde::Deserialize)]
struct ServerInfo {
    url: String,
    fingerprint: String,
    domains: Vec<Uuid>,
}

/// The stand-ins, as a process of their own.
struct StandIns {
    child: Child,
    servers: Vec<ServerInfo>,
}

impl StandIns {
    fn start(tenants: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(AS_STAND_INS, tenants.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let servers = serde_json::from_str(&line_of(&mut child)).unwrap();
        Self { child, servers }
    }

    /// Requests since the last time.
    fn requests(&mut self) -> usize {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        line_of(&mut self.child).trim().parse().unwrap()
    }
}

fn line_of(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

impl Drop for StandIns {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until no one listens; answers each line with the number of requests since the one before.
async fn serve(tenants: usize) {
    let count = servers(tenants);
    let (mut running, mut infos) = (Vec::new(), Vec::new());
    for first in 0..count {
        let options = StandInOptions { password: PASSWORD.into(), ..StandInOptions::default() };
        let server: StandIn = StandIn::start(options).await.unwrap();
        let domains = (first..tenants)
            .step_by(count)
            .map(|n| {
                let (name, title) = (format!("{}.example.com", name(n)), format!("{} Ltd", name(n)));
                server.pbx().add_domain(&name, Some(true), Some(&title))
            })
            .collect();
        let fingerprint = server.certificate_fingerprint().unwrap();
        infos.push(ServerInfo { url: server.url().to_owned(), fingerprint: fingerprint.to_owned(), domains });
        running.push(server);
    }
    println!("{}", serde_json::to_string(&infos).unwrap());
    let handles: Vec<_> = running.iter().map(|server| server.pbx().clone()).collect();
    let lines = tokio::task::spawn_blocking(move || {
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            let asked: usize = handles.iter().map(|pbx| pbx.requests().len()).sum();
            handles.iter().for_each(|pbx| pbx.clear_requests());
            println!("{asked}");
        }
    });
    let _ = lines.await;
}
