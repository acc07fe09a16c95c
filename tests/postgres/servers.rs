//! Private servers of every kind: PostgreSQL with TLS, as a stand-by of another one, and PgBouncer in front.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::common::postgres::{
    as_server_user, find_binaries, give_to_server, own_directory, run, stop_command, stop_with_this_process,
};

/// A PostgreSQL server of a test's own. Its superuser is `tenantd`, and tenantd's role there is `keeper`.
pub struct Cluster {
    pub port: u16,
    root: PathBuf,
    bin: PathBuf,
}

/// Who may connect how.
pub const TRUST: &str = "local all all trust\nhost all all all trust\nhost replication all all trust\n";

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// A new server with these settings and rules (`pg_hba.conf`), and a database `crystalqore` owned by `keeper`.
    pub fn start(settings: &str, rules: &str) -> Self {
        Self::start_with(settings, rules, |_| {})
    }

    /// As [`Self::start`]; `prepare` may put files into the data directory before the start.
    pub fn start_with(settings: &str, rules: &str, prepare: impl FnOnce(&Path)) -> Self {
        let cluster = Self::directory();
        let data = cluster.data();
        run(as_server_user(&cluster.bin.join("initdb"))
            .args(["-U", "tenantd", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"])
            .arg(&data));
        prepare(&data);
        cluster.configure(settings, rules);
        cluster.go();
        cluster.sql("CREATE ROLE keeper LOGIN CREATEROLE");
        cluster.sql("CREATE DATABASE crystalqore OWNER keeper");
        cluster
    }

    /// A stand-by that follows this server.
    pub fn follower(&self) -> Self {
        let follower = Self::directory();
        run(as_server_user(&self.bin.join("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-U", "tenantd", "-R", "-c", "fast", "-X", "stream", "-p"])
            .arg(self.port.to_string())
            .arg("-D")
            .arg(follower.data()));
        follower.configure("", TRUST);
        follower.go();
        follower
    }

    fn directory() -> Self {
        // Where the programs are that no link leads to.
        let initdb = find_binaries().unwrap().join("initdb").canonicalize().unwrap();
        let bin = initdb.parent().unwrap().to_owned();
        Self { port: free_port(), root: own_directory("cluster"), bin }
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn configure(&self, settings: &str, rules: &str) {
        let data = self.data();
        let text = format!(
            "listen_addresses = '*'\nport = {}\nunix_socket_directories = '{}'\nfsync = off\nmax_connections = 50\n\
             {settings}\n",
            self.port,
            self.root.display()
        );
        std::fs::write(data.join("postgresql.auto.conf.mine"), text).unwrap();
        let main = data.join("postgresql.conf");
        let before = std::fs::read_to_string(&main).unwrap();
        if !before.contains("include 'postgresql.auto.conf.mine'") {
            std::fs::write(&main, before + "\ninclude 'postgresql.auto.conf.mine'\n").unwrap();
        }
        // The socket is the tests' own way in.
        std::fs::write(data.join("pg_hba.conf"), format!("local all tenantd trust\n{rules}")).unwrap();
        give_to_server(&data);
    }

    fn go(&self) {
        self.control(&["-l", self.root.join("log").to_str().unwrap(), "start"]);
        stop_with_this_process(&stop_command(&self.bin, &self.data()), &self.root);
    }

    fn control(&self, what: &[&str]) {
        run(as_server_user(&self.bin.join("pg_ctl")).args(["-w", "-s", "-D"]).arg(self.data()).args(what));
    }

    /// As a power cut.
    pub fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    pub fn promote(&self) {
        self.control(&["promote"]);
    }

    pub fn url(&self, parameters: &str) -> String {
        format!("postgres://keeper@127.0.0.1:{}/crystalqore{parameters}", self.port)
    }

    /// The superuser's address, over the socket.
    pub fn socket(&self, database: &str) -> String {
        let host: String =
            self.root.display().to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("postgres://tenantd@{host}:{}/{database}", self.port)
    }

    pub fn sql(&self, statement: &str) {
        crate::common::postgres::on(&self.socket("postgres"), statement.to_owned());
    }

    /// In tenantd's database, as the superuser.
    pub fn sql_inside(&self, statement: &str) {
        crate::common::postgres::on(&self.socket("crystalqore"), statement.to_owned());
    }
}

/// A connection as any other client has one.
pub async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The first column of the first row.
pub async fn text(client: &Client, query: &str) -> String {
    let rows = client.simple_query(query).await.unwrap();
    let row = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    row.unwrap_or_else(|| panic!("no row: {query}"))
}

/// Where PgBouncer is. Debian puts it beside the daemons, which not every PATH holds.
pub fn pgbouncer() -> Option<PathBuf> {
    let mut places = vec![PathBuf::from("/usr/sbin")];
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.into_iter().map(|place| place.join("pgbouncer")).find(|program| program.exists())
}

/// A PgBouncer of a test's own, in front of one database of a server.
pub struct Pooler {
    pub port: u16,
}

impl Pooler {
    /// `behind` is the server's socket directory and port, and the database.
    pub async fn start(behind: &Behind, mode: &str, connections: u32) -> Self {
        let root = own_directory("pooler");
        let port = free_port();
        let Behind { socket, port: server, user, database } = behind;
        let text = format!(
            "[databases]\ncrystalqore = host={socket} port={server} user={user} dbname={database}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             default_pool_size = {connections}\nmax_client_conn = 100\nlogfile = {0}/log\npidfile = {0}/pid\n",
            root.display()
        );
        let config = root.join("pgbouncer.ini");
        std::fs::write(&config, text).unwrap();
        give_to_server(&root);
        run(as_server_user(&pgbouncer().unwrap()).args(["-q", "-d"]).arg(&config));
        stop_with_this_process(&format!("kill $(cat {}/pid)", root.display()), &root);
        let until = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < until, "{:?}", std::fs::read_to_string(root.join("log")));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { port }
    }

    pub fn url(&self) -> String {
        format!("postgres://keeper@127.0.0.1:{}/crystalqore", self.port)
    }
}

/// The database that a pooler stands in front of.
pub struct Behind {
    socket: String,
    port: u16,
    user: String,
    database: String,
}

impl Behind {
    /// From an address with a socket.
    pub fn of(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let socket = match &config.get_hosts()[0] {
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
        };
        Self {
            socket,
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: config.get_user().unwrap().to_owned(),
            database: config.get_dbname().unwrap().to_owned(),
        }
    }
}

/// A private authority, and a certificate for some names that it signed, as files for a server.
pub struct Certificates {
    pub dir: tempfile::TempDir,
}

impl Certificates {
    pub fn new(names: &[&str]) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
        let authority = |name: &str| {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let ours = authority("ours");
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let server = CertificateParams::new(names.clone()).unwrap().signed_by(&key, &ours).unwrap();
        // As `openssl req -x509` makes it: an authority's certificate that stands for the server itself.
        let mut own = CertificateParams::new(names).unwrap();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own_key = KeyPair::generate().unwrap();
        let own = own.self_signed(&own_key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("ca.pem", ours.pem()),
            ("other.pem", authority("others").pem()),
            ("server.crt", server.pem()),
            ("server.key", key.serialize_pem()),
            ("own.crt", own.pem()),
            ("own.key", own_key.serialize_pem()),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a certificate and its key where a server looks for them.
    pub fn install(&self, name: &str, data: &Path) {
        for kind in ["crt", "key"] {
            let to = data.join(format!("server.{kind}"));
            std::fs::copy(self.path(&format!("{name}.{kind}")), &to).unwrap();
            let _ = Command::new("chmod").arg("600").arg(&to).status();
        }
    }
}
