//! `postgres://user@host:port,host:port/database?parameters`, with libpq's meaning of each part.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a PostgreSQL database on one or several servers. It holds no password.
#[derive(Clone)]
pub struct PostgresUrl {
    text: String,
    user: Option<String>,
    database: String,
    servers: Vec<Server>,
    tls: Option<TlsMode>,
    /// `sslrootcert`, as it was written.
    root_cert: Option<String>,
    target: Option<Target>,
    /// User, database and the parameters that the driver reads by itself.
    driver: Box<tokio_postgres::Config>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub host: Host,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    /// Plain text, and TLS where the server refuses that.
    Allow,
    /// TLS, and plain text where the server has none.
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `target_session_attrs`: which of several servers will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Any,
    ReadWrite,
}

const MODES: [(&str, TlsMode); 6] = [
    ("disable", TlsMode::Disable),
    ("allow", TlsMode::Allow),
    ("prefer", TlsMode::Prefer),
    ("require", TlsMode::Require),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-full", TlsMode::VerifyFull),
];

/// Parameters that the driver reads as libpq does.
const DRIVER: [&str; 10] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "sslnegotiation",
];

/// Why an address cannot be used. It repeats nothing of the address but what is known to hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of the database {what}")]
pub struct PostgresUrlError {
    pub what: String,
    pub help: &'static str,
}

const EXAMPLE: &str =
    "write for example `postgres://tenantd@db.example.com/tenantd`, which checks the server's certificate";
const SAFE: &str = "write `sslmode=verify-full`; `sslmode=disable` where plain text is meant";

fn wrong(what: impl Into<String>) -> PostgresUrlError {
    PostgresUrlError { what: what.into(), help: EXAMPLE }
}

impl PostgresUrl {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// `sslrootcert`, unless it is `system`.
    pub fn root_cert(&self) -> Option<&str> {
        self.root_cert.as_deref().filter(|text| *text != "system")
    }

    /// What was written as `sslmode`.
    pub fn tls(&self) -> Option<TlsMode> {
        self.tls
    }

    /// The mode for one server: to another machine, the certificate is checked unless something else was asked for.
    pub fn tls_for(&self, server: &Server) -> TlsMode {
        match (&server.host, self.tls) {
            (Host::Socket(_), _) => TlsMode::Disable,
            (_, Some(mode)) => mode,
            (_, None) if server.is_local() && self.root_cert.is_none() => TlsMode::Prefer,
            (_, None) => TlsMode::VerifyFull,
        }
    }

    /// Whether a server that only reads will do for reading. Of several servers, one that writes is looked for
    /// unless any was asked for: a plan made from a copy that lags behind is out of date.
    pub fn reads_from_any(&self) -> bool {
        match self.target {
            Some(target) => target == Target::Any,
            None => self.servers.len() == 1,
        }
    }

    /// The driver's settings, without a server.
    pub fn driver(&self) -> &tokio_postgres::Config {
        &self.driver
    }

    /// What cannot work, or is not safe without having been asked for by name. `ca_file` is `database_ca_file`.
    pub fn check(&self, ca_file: bool) -> Result<(), PostgresUrlError> {
        let remote = self.servers.iter().any(|server| !server.is_local());
        let refuse = |what: &str, help| Err(PostgresUrlError { what: what.to_owned(), help });
        match self.tls {
            Some(TlsMode::Allow | TlsMode::Prefer) if remote => {
                refuse("has an sslmode that may send everything in plain text to another machine", SAFE)
            }
            Some(TlsMode::VerifyCa) if !ca_file => refuse(
                "has `sslmode=verify-ca` without certificates of its own: every public certificate would pass",
                "name the authority's file in `database_ca_file`, or write `sslmode=verify-full`",
            ),
            Some(mode) if self.root_cert.as_deref() == Some("system") && mode != TlsMode::VerifyFull => {
                refuse(
                    "has `sslrootcert=system` with a weaker sslmode than verify-full",
                    "write `sslmode=verify-full`, or leave `sslmode` out",
                )
            }
            Some(TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer) if ca_file => refuse(
                "has certificates to check with, and an sslmode that checks none",
                "write `sslmode=verify-full`, or take `database_ca_file` out",
            ),
            _ => Ok(()),
        }
    }
}

impl Server {
    /// Whether it is on this machine: a Unix socket or a loopback address.
    pub fn is_local(&self) -> bool {
        match &self.host {
            Host::Socket(_) => true,
            Host::Tcp(name) => {
                name.eq_ignore_ascii_case("localhost")
                    || name.to_ascii_lowercase().ends_with(".localhost")
                    || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
            Host::Socket(directory) => write!(f, "{}:{}", directory.display(), self.port),
        }
    }
}

impl fmt::Display for PostgresUrl {
    /// Without parameters: what an operator needs to find the database.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        let servers: Vec<String> = self.servers.iter().map(Server::to_string).collect();
        write!(f, "{}/{}", servers.join(","), self.database)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| wrong("does not begin with `postgres://`"))?;
        if rest.contains('#') {
            return Err(wrong("has a `#`"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(holds_password());
        }
        let mut url = Self {
            text: text.to_owned(),
            user: user.filter(|user| !user.is_empty()).map(decode).transpose()?,
            database: decode(path)?,
            servers: Vec::new(),
            tls: None,
            root_cert: None,
            target: None,
            driver: Box::default(),
        };
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for chunk in hosts.split(',').filter(|_| !hosts.is_empty()) {
            let (host, port) = host_and_port(chunk)?;
            names.push(decode(host)?);
            ports.push(port.to_owned());
        }
        let mut driver = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| wrong("has a parameter without a value"))?;
            let (name, value) = (decode(name)?, decode(value)?);
            match name.as_str() {
                "host" => names.extend(value.split(',').map(str::to_owned)),
                "port" => ports = value.split(',').map(str::to_owned).collect(),
                _ => url.parameter(&name, value, &mut driver)?,
            }
        }
        if url.database.is_empty() {
            return Err(wrong("names no database"));
        }
        url.servers = servers(&names, &ports)?;
        url.driver = Box::new(url.driver_config(&driver)?);
        Ok(url)
    }
}

impl PostgresUrl {
    fn parameter(
        &mut self,
        name: &str,
        value: String,
        driver: &mut Vec<(String, String)>,
    ) -> Result<(), PostgresUrlError> {
        match name {
            "sslmode" => {
                let mode = MODES.iter().find(|(word, _)| *word == value).map(|(_, mode)| *mode);
                self.tls = Some(mode.ok_or_else(|| {
                    wrong(format!("has the unknown sslmode {}", crate::yaml::quoted(&value)))
                })?);
            }
            "sslrootcert" => self.root_cert = Some(value),
            "target_session_attrs" => {
                self.target = Some(match value.as_str() {
                    "any" => Target::Any,
                    "read-write" | "primary" => Target::ReadWrite,
                    _ => {
                        return Err(PostgresUrlError {
                            what: "asks for a server that may be read-only".to_owned(),
                            help: "tenantd writes: write `target_session_attrs=read-write`",
                        });
                    }
                });
            }
            "keepalives_count" => driver.push(("keepalives_retries".to_owned(), value)),
            _ if DRIVER.contains(&name) => driver.push((name.to_owned(), value)),
            _ if name.to_ascii_lowercase().contains("password") => return Err(holds_password()),
            "sslcert" | "sslkey" | "passfile" | "service" | "hostaddr" | "gssencmode" => {
                return Err(PostgresUrlError {
                    what: format!("has the parameter `{name}`, which tenantd cannot follow"),
                    help: "remove it; the password belongs in `database_password`",
                });
            }
            _ => {
                return Err(PostgresUrlError {
                    what: "has a parameter that tenantd does not know".to_owned(),
                    help: "use only `sslmode`, `sslrootcert`, `target_session_attrs`, `options`, \
                           `application_name`, `connect_timeout`, `keepalives…`, `channel_binding` and \
                           `load_balance_hosts`",
                });
            }
        }
        Ok(())
    }

    fn driver_config(&self, given: &[(String, String)]) -> Result<tokio_postgres::Config, PostgresUrlError> {
        let mut all = String::new();
        for (name, value) in given {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            let one = format!("{name}='{value}' ");
            // One at a time, so that the one with a wrong value can be named.
            if one.parse::<tokio_postgres::Config>().is_err() {
                return Err(wrong(format!("has an invalid value of `{name}`")));
            }
            all.push_str(&one);
        }
        let mut driver: tokio_postgres::Config =
            all.parse().map_err(|_| wrong("has parameters that contradict each other"))?;
        driver.dbname(&self.database);
        if let Some(user) = &self.user {
            driver.user(user);
        }
        Ok(driver)
    }
}

fn holds_password() -> PostgresUrlError {
    PostgresUrlError {
        what: "contains a password".to_owned(),
        help: "remove it, set `database_password: {credential: database}`, and change the password, because it may \
               be in version control",
    }
}

fn host_and_port(chunk: &str) -> Result<(&str, &str), PostgresUrlError> {
    let bad = || wrong("has a host that cannot be read");
    match chunk.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(bad)?;
            match port {
                "" => Ok((host, "")),
                _ => port.strip_prefix(':').map(|port| (host, port)).ok_or_else(bad),
            }
        }
        None if chunk.matches(':').count() > 1 => Err(bad()),
        None => Ok(chunk.split_once(':').unwrap_or((chunk, ""))),
    }
}

fn servers(names: &[String], ports: &[String]) -> Result<Vec<Server>, PostgresUrlError> {
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err(PostgresUrlError {
            what: "names no host".to_owned(),
            help: "for a socket on this machine write `postgres:///DATABASE?host=/run/postgresql`",
        });
    }
    if ports.len() > 1 && ports.len() != names.len() {
        return Err(wrong("has a different number of hosts and ports"));
    }
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let port = ports.get(index).or_else(|| ports.first()).map_or("", String::as_str);
            let port = match port {
                "" => 5432,
                text => match text.parse() {
                    Ok(port) if port > 0 => port,
                    _ => return Err(wrong("has a port that is not a number from 1 to 65535")),
                },
            };
            let host = match name.strip_prefix('/') {
                Some(_) => Host::Socket(PathBuf::from(name)),
                None if name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                    return Err(wrong("has a host that cannot be read"));
                }
                None => Host::Tcp(name.clone()),
            };
            Ok(Server { host, port })
        })
        .collect()
}

/// Undoes `%20` and the like. A `+` stays one, as libpq has it.
fn decode(text: &str) -> Result<String, PostgresUrlError> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| wrong("has a `%` that does not begin a UTF-8 character"))
}
