//! Finding a PostgreSQL server: several hosts, libpq's TLS modes, and who may be written to.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio_postgres::config::{LoadBalanceHosts, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::access::{Access, Boxed};
use super::protocol::{Named, Wire};
use super::tls;
use crate::config::{Host, PostgresUrl, Server, TlsMode};
use crate::model::Secret;

/// How long a server may take to be connected to, where the address says nothing else.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take. A little more than the server itself allows a statement.
pub(super) const PATIENCE: Duration = Duration::from_secs(70);
/// The driver's default, which means that no one chose a time.
const UNCHOSEN_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// What stands in the configuration about the database.
pub(super) struct Place<'a> {
    pub(super) url: &'a PostgresUrl,
    pub(super) password: Option<&'a Secret>,
    pub(super) ca_file: Option<&'a Path>,
}

/// Connects to the first server that will do. Must be called where blocking is allowed.
pub(super) fn connect(place: &Place<'_>, access: Access) -> Result<Wire, Boxed> {
    let runtime = tokio::runtime::Handle::try_current()?;
    let mut servers: Vec<&Server> = place.url.servers().iter().collect();
    if place.url.driver().get_load_balance_hosts() == LoadBalanceHosts::Random {
        servers.shuffle(&mut rand::rng());
    }
    let writable = access == Access::ReadWrite || !place.url.reads_from_any();
    let mut reasons = Vec::new();
    for server in &servers {
        match runtime.block_on(one(place, server, writable)) {
            Ok((client, ended)) => {
                let named = Named {
                    server: server.to_string(),
                    user: place.url.user().map(str::to_owned),
                    database: place.url.database().to_owned(),
                };
                return Ok(Wire::new(client, ended, named, PATIENCE)?);
            }
            Err(reason) if servers.len() == 1 => return Err(reason.into()),
            Err(reason) => reasons.push(format!("{server}: {reason}")),
        }
    }
    Err(format!("no server can be used: {}", reasons.join("; ")).into())
}

type Connected = (Client, Arc<Mutex<Option<String>>>);

async fn one(place: &Place<'_>, server: &Server, writable: bool) -> Result<Connected, String> {
    let timeout = place.url.driver().get_connect_timeout().copied().unwrap_or(CONNECT);
    let late = |_| format!("no answer within {} s", timeout.as_secs());
    let connected = tokio::time::timeout(timeout, by_mode(place, server, timeout)).await.map_err(late)??;
    if writable {
        let reason = tokio::time::timeout(timeout, read_only(&connected.0)).await.map_err(late)??;
        if let Some(reason) = reason {
            return Err(reason);
        }
    }
    Ok(connected)
}

/// As libpq goes about it: `allow` and `prefer` have a second way.
async fn by_mode(place: &Place<'_>, server: &Server, timeout: Duration) -> Result<Connected, String> {
    let mode = place.url.tls_for(server);
    match mode {
        TlsMode::Disable => attempt(place, server, timeout, None).await.map_err(Refusal::into_text),
        TlsMode::Allow => match attempt(place, server, timeout, None).await {
            // The plain connection was refused, not the network: TLS may be what the server wants.
            Err(Refusal { by_server: true, .. }) => {
                attempt(place, server, timeout, Some(mode)).await.map_err(Refusal::into_text)
            }
            answer => answer.map_err(Refusal::into_text),
        },
        TlsMode::Prefer => match attempt(place, server, timeout, Some(mode)).await {
            Err(first @ Refusal { by_server: true, .. }) => {
                let second = attempt(place, server, timeout, None).await;
                second.map_err(|second| if first.no_tls { second } else { first }.into_text())
            }
            answer => answer.map_err(Refusal::into_text),
        },
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
            attempt(place, server, timeout, Some(mode)).await.map_err(Refusal::into_text)
        }
    }
}

/// Why a connection did not come about.
struct Refusal {
    text: String,
    /// The server answered. Asking it in another way may help.
    by_server: bool,
    /// It only said that it speaks no TLS.
    no_tls: bool,
}

impl Refusal {
    fn by_server(text: impl Into<String>) -> Self {
        Self { text: text.into(), by_server: true, no_tls: false }
    }

    fn into_text(self) -> String {
        self.text
    }
}

async fn attempt(
    place: &Place<'_>,
    server: &Server,
    timeout: Duration,
    tls_mode: Option<TlsMode>,
) -> Result<Connected, Refusal> {
    let ours = |text: String| Refusal { text, by_server: false, no_tls: false };
    let options = options(place, server, timeout, tls_mode.is_some());
    let config = tls::client_config(tls_mode.unwrap_or(TlsMode::Disable), place.ca_file)
        .map_err(|error| ours(error.to_string()))?;
    let (client, connection) =
        options.connect(MakeRustlsConnect::new(config)).await.map_err(|error| why(&error))?;
    let ended = Arc::new(Mutex::new(None));
    let note = Arc::clone(&ended);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(last_of(&error));
        }
    });
    Ok((client, ended))
}

fn options(place: &Place<'_>, server: &Server, timeout: Duration, tls: bool) -> Config {
    let mut options = place.url.driver().clone();
    match &server.host {
        Host::Tcp(name) => options.host(name),
        Host::Socket(directory) => options.host_path(directory),
    };
    options.port(server.port).connect_timeout(timeout);
    options.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
    if let Some(password) = place.password {
        options.password(password.expose());
    }
    if options.get_application_name().is_none() {
        options.application_name("tenantd");
    }
    // A server that is gone without a word is noticed within a minute.
    if options.get_keepalives_idle() == UNCHOSEN_IDLE {
        options.keepalives_idle(Duration::from_secs(20));
    }
    if options.get_keepalives_interval().is_none() {
        options.keepalives_interval(Duration::from_secs(10));
    }
    if options.get_keepalives_retries().is_none() {
        options.keepalives_retries(3);
    }
    options.tcp_user_timeout(Duration::from_secs(30));
    options
}

/// Why a server does not take writes; `None` where it does.
async fn read_only(client: &Client) -> Result<Option<String>, String> {
    const ASK: &str =
        "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
    let rows = client.simple_query(ASK).await.map_err(|error| why(&error).text)?;
    let row = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
        _ => None,
    });
    Ok(match row {
        Some((Some("t"), _)) => Some(
            "it is a read-only stand-by server. Name the primary in `database_url`, or all servers separated by commas"
                .to_owned(),
        ),
        Some((_, Some("on"))) => {
            Some("it is read-only (default_transaction_read_only is on for this role, database or server)".to_owned())
        }
        _ => None,
    })
}

/// What an operator can do something about. What a server says of a password is not repeated.
fn why(error: &tokio_postgres::Error) -> Refusal {
    if let Some(refusal) = error.as_db_error() {
        let message = refusal.message();
        let text = if *refusal.code() == SqlState::INVALID_PASSWORD
            || message.contains("password authentication failed")
        {
            "the server rejected the user name or password. Check `database_url` and `database_password`"
                .to_owned()
        } else if message.contains("unsupported startup parameter") {
            format!(
                "{message} (a pooler does not forward it). Remove `options` from `database_url`, and use ALTER ROLE \
                 … SET"
            )
        } else {
            message.to_owned()
        };
        return Refusal::by_server(text);
    }
    let text = last_of(error);
    if text.contains("password missing") {
        return Refusal::by_server(
            "the server asks for a password. Set `database_password: {credential: database}`",
        );
    }
    if let Some(tls) = find_tls(error) {
        return Refusal::by_server(tls::in_words(tls));
    }
    if text.contains("does not support TLS") {
        let text = "the server does not offer TLS. Enable it there (`ssl = on`), or use plain text with \
                    `sslmode=disable`";
        return Refusal { no_tls: true, ..Refusal::by_server(text) };
    }
    Refusal { text, by_server: error.is_closed(), no_tls: false }
}

/// The innermost cause, which says most in fewest words.
fn last_of(error: &tokio_postgres::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn find_tls(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
