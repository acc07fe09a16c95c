//! A private PostgreSQL, started once for a test binary on a socket of its own and stopped with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Set where the real components must not be missing (the gate does): a test fails instead of being skipped.
pub const REQUIRED: &str = "TENANTD_TEST_REQUIRE_POSTGRES";

struct Server {
    socket_dir: PathBuf,
}

impl Server {
    fn url(&self, user: &str, database: &str) -> String {
        let host: String =
            self.socket_dir.display().to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("postgres://{user}@{host}/{database}")
    }
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Owns the databases: no superuser, as tenantd's role is none in production.
const OWNER: &str = "keeper";

/// A fresh database on the private server, as a URL; `None` where PostgreSQL is not installed.
pub fn database() -> Option<String> {
    let server = SERVER.get_or_init(start).as_ref();
    let Some(server) = server else {
        assert!(
            std::env::var_os(REQUIRED).is_none(),
            "{REQUIRED} is set and no PostgreSQL server (initdb, pg_ctl) was found"
        );
        eprintln!("skipped on PostgreSQL: initdb and pg_ctl were not found");
        return None;
    };
    let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    on(&server.url("tenantd", "postgres"), format!("CREATE DATABASE {name} OWNER {OWNER}"));
    Some(server.url(OWNER, &name))
}

/// Runs a statement on a connection of its own.
pub fn on(url: &str, statement: String) {
    let url = url.to_owned();
    // A thread of its own: the caller may be inside a runtime.
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(&statement).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        });
    })
    .join()
    .unwrap();
}

/// A directory of the server's own, below the temporary one.
pub fn own_directory(what: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("tenantd-{what}-{}-{:x}", std::process::id(), nanos()));
    std::fs::create_dir_all(&root).unwrap();
    give_to_server(&root);
    root
}

/// PostgreSQL and PgBouncer refuse to run as root.
pub fn give_to_server(path: &Path) {
    if is_root() {
        run(Command::new("chown").arg("-R").arg(server_user()).arg(path));
    }
}

fn start() -> Option<Server> {
    let bin = find_binaries()?;
    let root = own_directory("pg");
    let data = root.join("data");
    run(as_server_user(&bin.join("initdb"))
        .args(["-U", "tenantd", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"])
        .arg(&data));
    run(as_server_user(&bin.join("pg_ctl"))
        .args(["-w", "-s", "-D"])
        .arg(&data)
        .arg("-l")
        .arg(root.join("log"))
        .arg("-o")
        .arg(format!(
            "-c listen_addresses='' -c unix_socket_directories={} -c fsync=off -c max_connections=200",
            root.display()
        ))
        .arg("start"));
    stop_with_this_process(&stop_command(&bin, &data), &root);
    let server = Server { socket_dir: root };
    on(&server.url("tenantd", "postgres"), format!("CREATE ROLE {OWNER} LOGIN CREATEROLE"));
    Some(server)
}

/// What stops a server at once, for a shell.
pub fn stop_command(bin: &Path, data: &Path) -> String {
    let pg_ctl = bin.join("pg_ctl");
    let as_user = if is_root() {
        format!("setpriv --reuid={0} --regid={1} --clear-groups ", server_user(), group_of(server_user()))
    } else {
        String::new()
    };
    format!("{as_user}{} -s -m immediate -D {} stop", pg_ctl.display(), data.display())
}

/// A watcher outlives this process, however it ends, and then stops what was started and removes its directory.
#[expect(clippy::zombie_processes, reason = "it outlives this process, which cannot wait for it")]
pub fn stop_with_this_process(stop: &str, root: &Path) {
    let script = format!(
        "while kill -0 {pid} 2>/dev/null; do sleep 1; done; {stop}; rm -rf {root}",
        pid = std::process::id(),
        root = root.display(),
    );
    Command::new("setsid")
        .args(["sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

pub fn find_binaries() -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|found| found.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    places.sort();
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.into_iter().rev().find(|place| place.join("initdb").exists() && place.join("pg_ctl").exists())
}

fn is_root() -> bool {
    String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0"
}

fn server_user() -> &'static str {
    static USER: OnceLock<&str> = OnceLock::new();
    USER.get_or_init(|| {
        let has =
            |name: &str| Command::new("id").arg(name).output().is_ok_and(|output| output.status.success());
        if has("postgres") { "postgres" } else { "nobody" }
    })
}

pub fn as_server_user(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", server_user()))
            .arg(format!("--regid={}", group_of(server_user())))
            .arg("--clear-groups")
            .arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn group_of(user: &str) -> String {
    String::from_utf8(Command::new("id").args(["-gn", user]).output().unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

fn nanos() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
