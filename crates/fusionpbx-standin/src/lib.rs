//! A stand-in FusionPBX for tests of programs that sign in to FusionPBX and post its forms.
//!
//! It is an HTTP(S) server in the test's own process. It answers as the web pages of a real FusionPBX do, quirks
//! included: sign-in with a session cookie and a second factor, form tokens that serve once, paged lists, JSON lists,
//! redirects with a message, NULL states, names in use that are accepted, and the differences between five versions
//! ([`PbxProfile`]). What it does was measured on real servers; each fact is a test in `tests/standin`.
//!
//! # Guarantees
//!
//! - Its whole state is in memory; it listens on loopback only and ends with the process.
//! - Every request is logged ([`Handle::requests`]), with passwords and tokens masked.
//! - A [`Fault`] happens exactly where it is asked for: on a page, the n-th time, before or after the change is made.
//!
//! # What it is not
//!
//! There is no FreeSWITCH, no provisioning and no page that such a client does not read. It imitates what a page
//! contains and does, not how it looks.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use fusionpbx_standin::{Fault, FaultKind, StandIn, StandInOptions};
//! let server = StandIn::start(StandInOptions::default()).await?;
//! let pbx = server.pbx();
//! let acme = pbx.add_domain("acme.example.com", Some(true), Some("Acme"));
//! pbx.inject(Fault::new(FaultKind::Status { code: 503, retry_after: Some(5) }).page("domain_json.php").first(2));
//! // … run the client against `server.url()` …
//! assert_eq!(pbx.mutating_requests(), 0);
//! assert!(pbx.switch_accepts(acme));
//! server.stop().await;
//! # Ok(()) }
//! ```

mod exchange;
mod fault;
mod handle;
mod language;
mod latency;
mod net;
mod pages;
mod profile;
mod proxy;
mod request_log;
mod rules;
mod seed;
mod server;
mod session;
mod state;
mod tables;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum_server::Handle as ServerHandle;
use axum_server::tls_rustls::RustlsAcceptor;
use tokio::task::JoinHandle;

pub use fault::{Fault, FaultId, FaultKind};
pub use handle::{Handle, Snapshot};
pub use language::Language;
pub use latency::Latency;
pub use profile::PbxProfile;
pub use request_log::Request;
pub use seed::{NewSetting, NewUser};
pub use state::SignIn;
pub use tables::{
    DIALPLANS_OF_A_DOMAIN, Dialplan, Directory, DomainRow, RouteKind, RouteRow, SettingRow, TABLES, UserRow,
};

use net::Identity;
use server::Shared;
use state::PbxState;

/// How a stand-in is set up.
#[derive(Debug, Clone)]
pub struct StandInOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// HTTPS with a self-signed certificate for `127.0.0.1`, `::1` and `localhost`, as a stock server has one.
    pub tls: bool,
    /// Whether the session cookie is `Secure`, as a stock server's is. A client drops such a cookie on plain HTTP.
    pub cookie_secure: bool,
    /// The superadmin as `user@domain`; the domain is made with it.
    pub username: String,
    /// The superadmin's password.
    pub password: String,
    /// Rows on a page of a list (the setting `domain`/`paging`).
    pub page_rows: usize,
    /// How long the pages take.
    pub latency: Latency,
    /// Whether the superadmin may delete domains. A stock install grants that to no group.
    pub grant_delete: bool,
    /// The language of the pages.
    pub language: Language,
    /// The version that the pages are of.
    pub profile: PbxProfile,
    /// The secret of a second factor by time, in base 32, that every account needs besides its password.
    pub totp_secret: Option<String>,
    /// Whether a second factor by time is asked for while no account has a secret: FusionPBX then makes one at the
    /// sign-in.
    pub totp_enrols: bool,
    /// Whether flags are shown as switches, as in a stock theme. Without them every version shows selects.
    pub has_switches: bool,
    /// Whether pages carry the list of domains, and do not load it by a script.
    pub has_domain_menus: bool,
    /// The path that FusionPBX stands below, as `/fusionpbx`; empty for none.
    pub base_path: String,
}

impl Default for StandInOptions {
    fn default() -> StandInOptions {
        StandInOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: true,
            cookie_secure: true,
            username: "tenantd@pbx.example.com".to_owned(),
            password: "stand-in-Secret-1".to_owned(),
            page_rows: 100,
            latency: Latency::none(),
            grant_delete: false,
            language: Language::English,
            profile: PbxProfile::DEFAULT,
            totp_secret: None,
            totp_enrols: false,
            has_switches: true,
            has_domain_menus: true,
            base_path: String::new(),
        }
    }
}

impl StandInOptions {
    /// Plain HTTP with a cookie that a client keeps: what the sandbox uses.
    pub fn plain() -> StandInOptions {
        StandInOptions { tls: false, cookie_secure: false, ..StandInOptions::default() }
    }
}

/// A running stand-in. Dropping it ends it.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    pbx: Handle,
    identity: Option<Arc<Identity>>,
    shared: Arc<Shared>,
    server: ServerHandle<SocketAddr>,
    task: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts a server with nothing but the superadmin and its domain.
    pub async fn start(options: StandInOptions) -> io::Result<StandIn> {
        let state = PbxState {
            db: tables::Db::new(options.profile.dialplans_of_a_domain()),
            sessions: session::Sessions::default(),
            journal: request_log::RequestLog::default(),
            faults: fault::Faults::default(),
            sign_ins: Vec::new(),
            language: options.language,
            page_rows: options.page_rows.max(1),
            cookie_secure: options.cookie_secure,
            denied: if options.grant_delete { BTreeSet::new() } else { BTreeSet::from(["domain_delete"]) },
            clock_ahead: Duration::ZERO,
            client: None,
            profile: options.profile,
            totp_secret: options.totp_secret.clone(),
            totp_enrols: options.totp_enrols,
            has_switches: options.has_switches,
            has_domain_menus: options.has_domain_menus,
            base_path: options.base_path.trim_end_matches('/').to_owned(),
            user_log: Vec::new(),
            last_password: String::new(),
        };
        let pbx = Handle::new(Arc::new(Mutex::new(state)), Instant::now());
        let (user, domain) =
            options.username.rsplit_once('@').unwrap_or((options.username.as_str(), "127.0.0.1"));
        let domain = pbx.add_domain(domain, Some(true), None);
        pbx.add_user(NewUser {
            domain,
            username: user.to_owned(),
            password: options.password.clone(),
            enabled: Some(true),
            groups: vec!["superadmin".to_owned()],
        });
        StandIn::resume(options, pbx).await
    }

    /// Starts a server over the state of another, at the options' address: a restart, or a server that took over
    /// another's port. Only the options `listen`, `tls` and `latency` count. The certificate stays the same.
    pub async fn resume(options: StandInOptions, pbx: Handle) -> io::Result<StandIn> {
        let identity = if options.tls { Some(pbx.identity()?) } else { None };
        let listener = tokio::net::TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let scheme = if options.tls { "https" } else { "http" };
        let shared = Arc::new(Shared::new(pbx.state().clone(), pbx.started(), options.latency));
        let service = Router::new()
            .fallback(server::entry)
            .with_state(shared.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        let server = ServerHandle::new();
        let builder = axum_server::Server::<SocketAddr>::from_listener(listener)
            .handle(server.clone())
            .acceptor(shared.connections.clone());
        let task = match &identity {
            Some(identity) => {
                let tls = RustlsAcceptor::new(identity.rustls()).acceptor(shared.connections.clone());
                tokio::spawn(async move { drop(builder.acceptor(tls).serve(service).await) })
            }
            None => tokio::spawn(async move { drop(builder.serve(service).await) }),
        };
        server.listening().await.ok_or_else(|| io::Error::other("the stand-in does not listen"))?;
        let base = pbx.base_path();
        Ok(StandIn {
            url: format!("{scheme}://{address}{base}"),
            pbx,
            identity,
            shared,
            server,
            task: Some(task),
        })
    }

    /// The base address with the path that FusionPBX stands below, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's certificate, over HTTPS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.identity.as_deref().map(|identity| identity.pem.as_str())
    }

    /// The certificate's fingerprint as `sha256:` and 64 hexadecimal digits, over HTTPS.
    pub fn certificate_fingerprint(&self) -> Option<&str> {
        self.identity.as_deref().map(|identity| identity.fingerprint.as_str())
    }

    /// The state behind the pages: to seed, look, change as an operator would, and misbehave.
    pub fn pbx(&self) -> &Handle {
        &self.pbx
    }

    /// Ends the server and waits until its port is free. Requests under way get no answer. The state lives on in
    /// the [`Handle`].
    pub async fn stop(mut self) {
        self.shared.stopped.cancel();
        self.server.shutdown();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.stopped.cancel();
        self.server.shutdown();
    }
}

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
