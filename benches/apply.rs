//! What tenantd adds to the PBX's own time.
//!
//! - 100 creates on one instance, the whole way (look, plan, journal, requests, read-backs), against a stand-in that
//!   takes the time that was measured on a real server; beside it the same requests sent bare: what the stand-in's
//!   journal has of the run, session by session, sent again to a fresh stand-in over as many sessions. The aim is at
//!   most 1.2 times the time of the bare ones.
//! - A pass over 1,000 tenants with nothing to do. The stand-in takes no time and is a process of its own, so that this
//!   process's processor time is tenantd's own work: files, database, HTTP with TLS, parsing, diff and plan. The aim is
//!   under half a second.
//!
//! `cargo bench --bench apply -- create` or `-- idle` runs one of them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use fusionpbx_standin::{Latency, Request, StandIn, StandInOptions};
use reqwest::header::{COOKIE, SET_COOKIE};
use tenantd::apply::StepResult;
use tenantd::config::TlsTrust;
use tenantd::load;
use tenantd::model::{DomainId, Secret, TenantRecord};
use tenantd::observe::Rotation;
use uuid::Uuid;

#[path = "../tests/common/mod.rs"]
mod common;

use common::harness::{Backend, Harness, PASSWORD, instance, instance_config, tenant};

const CREATES: usize = 100;
const ROUNDS: usize = 3;
const IDLE: usize = 1000;
const IDLE_PASSES: usize = 20;
const USERNAME: &str = "tenantd@hq-pbx.example.com";
/// Says to the program that it is the stand-in of another one.
const AS_STAND_IN: &str = "TENANTD_BENCH_STAND_IN";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if std::env::var_os(AS_STAND_IN).is_some() {
        runtime.block_on(serve());
        return;
    }
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|arg| arg == name);
    for backend in [Backend::Sqlite, Backend::Postgres] {
        if wanted("idle") {
            runtime.block_on(idle(backend));
        }
        if wanted("create") {
            for sessions in [2, 4] {
                runtime.block_on(creates(backend, sessions));
            }
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn stand_in(latency: Latency) -> StandIn {
    let options = StandInOptions {
        username: USERNAME.into(),
        password: PASSWORD.into(),
        latency,
        ..StandInOptions::default()
    };
    StandIn::start(options).await.unwrap()
}

/// tenantd and the bare requests by turns, so that whatever else the machine does falls on both.
async fn creates(backend: Backend, sessions: usize) {
    let (mut ours, mut bare, mut count) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let server = stand_in(Latency::measured()).await;
        let mut config = instance_config("hq", &server);
        config.sessions = sessions;
        let passwords = [(instance("hq"), Secret::new(PASSWORD))].into();
        let Some(mut harness) = Harness::over(backend, [(instance("hq"), config)].into(), passwords).await
        else {
            return;
        };
        harness.want((0..CREATES).map(|n| tenant(&format!("t{n:03}"))));
        let started = Instant::now();
        let (_, outcome) = harness.pass().await;
        ours.push(started.elapsed());
        assert_eq!(outcome.steps.len(), CREATES);
        assert!(outcome.steps.iter().all(|step| matches!(step.result, StepResult::Done)));
        let sent = server.pbx().requests();
        server.stop().await;

        let server = stand_in(Latency::measured()).await;
        let started = Instant::now();
        replay(&server, &sent).await;
        bare.push(started.elapsed());
        assert_eq!(shapes(&server.pbx().requests()), shapes(&sent), "the same requests, answered the same");
        assert_eq!(server.pbx().domain_count(), CREATES + 1);
        server.stop().await;
        count = sent.len();
    }
    let (ours, bare) = (median(ours).as_secs_f64(), median(bare).as_secs_f64());
    println!(
        "{backend:?}, {sessions} sessions: {CREATES} creates take {ours:.2} s, the same {count} requests bare {bare:.2} s: \
         {:.3} times",
        ours / bare
    );
}

/// What of a journal must be the same when it is sent again.
fn shapes(journal: &[Request]) -> BTreeMap<(String, String, String, Option<u16>), usize> {
    let mut shapes = BTreeMap::new();
    for request in journal {
        let shape = (request.method.clone(), request.path.clone(), request.query.clone(), request.status);
        *shapes.entry(shape).or_default() += 1;
    }
    shapes
}

/// Sends the requests of each session again, one after the other, all sessions at once.
async fn replay(server: &StandIn, sent: &[Request]) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .no_proxy()
        .user_agent("bare")
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let mut sessions: Vec<(String, Vec<Request>)> = Vec::new();
    for request in sent.iter().filter(|request| !request.sign_in && request.session.is_some()) {
        let id = request.session.clone().unwrap();
        match sessions.iter_mut().find(|(known, _)| *known == id) {
            Some((_, requests)) => requests.push(request.clone()),
            None => sessions.push((id, vec![request.clone()])),
        }
    }
    let mut running = Vec::new();
    for (_, requests) in sessions {
        let mut session =
            Bare { client: client.clone(), url: server.url().to_owned(), cookie: None, token: None };
        running.push(tokio::spawn(async move {
            session.send("GET", "/login.php", "", Vec::new()).await;
            let credentials =
                vec![("username".into(), USERNAME.into()), ("password".into(), PASSWORD.to_owned())];
            session.send("POST", "/core/dashboard/", "", credentials).await;
            for request in requests {
                let form = request.form.into_iter().filter(|(name, _)| !is_token(name)).collect();
                session.send(&request.method, &request.path, &request.query, form).await;
            }
        }));
    }
    for task in running {
        task.await.unwrap();
    }
}

fn is_token(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

struct Bare {
    client: reqwest::Client,
    url: String,
    cookie: Option<String>,
    /// Of the last form that had one.
    token: Option<(String, String)>,
}

impl Bare {
    async fn send(&mut self, method: &str, path: &str, query: &str, mut form: Vec<(String, String)>) {
        let mut url = format!("{}{path}", self.url);
        if !query.is_empty() {
            url = format!("{url}?{query}");
        }
        let mut request = if method == "POST" {
            form.extend(self.token.clone());
            self.client.post(url).form(&form)
        } else {
            self.client.get(url)
        };
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get(SET_COOKIE).and_then(|value| value.to_str().ok()) {
            self.cookie = Some(cookie.split(';').next().unwrap_or_default().to_owned());
        }
        let text = response.text().await.unwrap();
        // `name="…64 hexadecimal digits…" value="…as many…"`
        let found = text.split("name=\"").skip(1).find_map(|rest| {
            let (name, rest) = rest.split_once('"')?;
            let value = rest.strip_prefix(" value=\"")?.split('"').next()?;
            is_token(name).then(|| (name.to_owned(), value.to_owned()))
        });
        self.token = found.or(self.token.take());
    }
}

/// The stand-in as a process of its own, with so many domains.
struct Apart {
    child: Child,
    url: String,
    fingerprint: String,
    domains: Vec<Uuid>,
}

impl Apart {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(AS_STAND_IN, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (url, fingerprint, domains) = serde_json::from_str(&line).unwrap();
        Self { child, url, fingerprint, domains }
    }

    /// Requests since the last time.
    fn asked(&mut self) -> (usize, usize) {
        use std::io::Write as _;
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn name(n: usize) -> String {
    format!("t{n:04}")
}

/// Serves until no one listens; says at each line what it was asked since: all requests but those of settings, and
/// those of settings.
async fn serve() {
    let server = stand_in(Latency::none()).await;
    let pbx = server.pbx();
    let domains: Vec<Uuid> = (0..IDLE)
        .map(|n| {
            let tenant = tenant(&name(n));
            pbx.add_domain(tenant.definition.domain.as_str(), Some(true), Some(&tenant.definition.name))
        })
        .collect();
    let start = (server.url(), server.certificate_fingerprint().unwrap(), domains);
    println!("{}", serde_json::to_string(&start).unwrap());
    let lines = tokio::task::spawn_blocking({
        let pbx = pbx.clone();
        move || {
            for _ in std::io::stdin().lines().map_while(Result::ok) {
                let journal = pbx.requests();
                pbx.clear_requests();
                let of_settings =
                    journal.iter().filter(|asked| asked.path.contains("/domain_setting")).count();
                println!("[{}, {of_settings}]", journal.len() - of_settings);
            }
        }
    });
    let _ = lines.await;
}

/// Processor time of this process, in all its threads.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    // Linux counts in hundredths of a second towards programs, whatever it does itself.
    Duration::from_millis(ticks * 10)
}

async fn idle(backend: Backend) {
    let mut apart = Apart::start();
    let local = stand_in(Latency::none()).await;
    let mut config = instance_config("hq", &local);
    config.url = apart.url.parse().unwrap();
    config.tls = TlsTrust::Fingerprint(fingerprint(&apart.fingerprint));
    config.sessions = 4;
    local.stop().await;
    let passwords = [(instance("hq"), Secret::new(PASSWORD))].into();
    let Some(mut harness) = Harness::over(backend, [(instance("hq"), config)].into(), passwords).await else {
        return;
    };
    harness.rotation = Rotation::oldest(0);
    std::fs::create_dir(&harness.config.tenants_dir).unwrap();
    let mut records = Vec::new();
    for (n, domain) in apart.domains.iter().enumerate() {
        let wanted = tenant(&name(n));
        let text = format!(
            "name: {}\ndomain: {}\npbx_instance: hq\n",
            wanted.definition.name, wanted.definition.domain
        );
        std::fs::write(harness.config.tenants_dir.join(format!("{}.yaml", wanted.key)), text).unwrap();
        let checked = Utc::now() - TimeDelta::hours(2) + TimeDelta::seconds(n as i64);
        records.push(TenantRecord {
            domain_id: DomainId(*domain),
            applied_definition_hash: Some(tenantd::plan::definition_hash(&wanted)),
            settings_checked_at: Some(checked),
            ..common::rows::record(&name(n))
        });
    }
    harness
        .database
        .write(move |store| records.iter().try_for_each(|record| store.insert_tenant(record)))
        .await
        .unwrap();
    let (mut walls, mut works, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..IDLE_PASSES {
        let (started, before) = (Instant::now(), processor_time());
        // What is waited between two readings is no work.
        let mut waited = Duration::ZERO;
        let mut wait = |time| waited += time;
        let snapshot =
            load::stable_snapshot(&harness.config.tenants_dir, Duration::from_millis(100), &mut wait);
        harness.desired = load::parse(&snapshot, &harness.config).desired;
        let (plan, _) = harness.pass().await;
        works.push(processor_time() - before);
        walls.push(started.elapsed());
        assert!(plan.is_empty(), "{plan:#?}");
        assert_eq!(plan.counts.unchanged, IDLE);
        asked.push(apart.asked());
    }
    let first = asked[0];
    let most = asked[1..].iter().max().unwrap();
    let work = works[1..].iter().sum::<Duration>() / (IDLE_PASSES - 1) as u32;
    println!(
        "{backend:?}: a pass over {IDLE} tenants with nothing to do: {:.0} ms of tenantd's own processor time (mean; the first \
         {:.0} ms), {:.0} ms in all with a server that takes no time of its own (median; the longest {:.0} ms); {} \
         requests and {} of the settings' rotation (the first pass {} and {})",
        work.as_secs_f64() * 1e3,
        works[0].as_secs_f64() * 1e3,
        median(walls.clone()).as_secs_f64() * 1e3,
        walls.iter().max().unwrap().as_secs_f64() * 1e3,
        most.0,
        most.1,
        first.0,
        first.1,
    );
}

fn fingerprint(text: &str) -> [u8; 32] {
    let hex = text.trim_start_matches("sha256:").replace(':', "");
    std::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
}
