//! `tenantd sandbox`: everything that is needed to try tenantd, in one process and one temporary directory.

mod control;
mod guide;
mod names;
mod seed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::actor::actor;
use super::args::{SandboxAction, SandboxArgs, Selection};
use super::context::{Context, Failure, Result};
use super::exit::{Exit, Verdict, is_held};
use super::gather::unreadable;
use super::stop::stop_on_signal;
use super::{output, status};
use crate::apply::Outcome;
use crate::config::Config;
use crate::daemon::{self, PassListener, Resources, SetUp, SetUpError};
use crate::environment::System;
use crate::fusionpbx::{PbxClient, PbxRead, PbxWrite};
use crate::model::{InstanceKey, Secret};
use crate::observe::Rotation;
use crate::plan::{Plan, Policy};
use crate::reconcile::{self, Reader, Writer};
use crate::report::{self, PlanChanges};
use crate::store::{Access, Database, DatabaseOptions};
use fusionpbx_standin::{PbxProfile, StandIn, StandInOptions};

/// The instances that the examples name.
const INSTANCES: [&str; 2] = ["hq", "branch"];
/// Not a secret: the stand-ins listen on this machine only and end with the command.
const PASSWORD: &str = "sandbox-only";

const EXAMPLES: [(&str, &str); 6] = [
    ("acme.yaml", include_str!("../../tenants.d/acme.yaml")),
    ("buecher.yaml", include_str!("../../tenants.d/buecher.yaml")),
    ("globex.yaml", include_str!("../../tenants.d/globex.yaml")),
    ("hooli.yaml", include_str!("../../tenants.d/hooli.yaml")),
    ("initech.yaml", include_str!("../../tenants.d/initech.yaml")),
    ("umbrella.yaml", include_str!("../../tenants.d/umbrella.yaml")),
];

struct Sandbox {
    config: Config,
    database: Database,
    clients: BTreeMap<InstanceKey, PbxClient>,
    servers: BTreeMap<String, StandIn>,
    /// The examples, which go with the sandbox.
    own_examples: bool,
    /// Removed with everything in it at the end.
    _dir: tempfile::TempDir,
}

pub async fn run(context: &Context, args: &SandboxArgs) -> Result<Exit> {
    match &args.action {
        Some(SandboxAction::Poke { key, change }) => return control::poke(context, key, *change).await,
        Some(SandboxAction::FastForward { by }) => return control::fast_forward(context, *by).await,
        None => {}
    }
    let stop = stop_on_signal();
    let sandbox = Sandbox::start(args).await?;
    let instances: Vec<&str> = sandbox.servers.keys().map(String::as_str).collect();
    context.say(&format!(
        "Stand-in FusionPBX servers ({}) and an SQLite database run in this process. Nothing outside it is touched.\n\
         tenants directory: {}\nconfiguration:     {}\n\n",
        instances.join(", "),
        sandbox.config.tenants_dir.display(),
        sandbox.config.path.display()
    ));
    let exit = sandbox.first_pass(context).await?;
    if args.once || output::is_cut_off() {
        return Ok(exit);
    }
    let answering = control::Answering {
        database: sandbox.database.clone(),
        pbxs: sandbox.servers.iter().map(|(name, server)| (name.clone(), server.pbx().clone())).collect(),
    };
    control::listen(&sandbox.config.path, answering)?;
    let desired = context.load(&sandbox.config).await.desired;
    context.say(&guide::try_this(&sandbox.config, &desired, instances[0]));
    let terminal = Terminal { context, stop: stop.clone() };
    daemon::run(&sandbox, &System, &terminal, stop).await.map_err(|error| Failure::new(error.message))?;
    context.say(&guide::farewell(&sandbox.config, sandbox.own_examples));
    Ok(Exit::Done)
}

/// The version that an instance was given by name, or else the one for all.
fn profile_of(name: &str, args: &SandboxArgs) -> PbxProfile {
    let of = |wanted: Option<&str>| args.pbx_versions.iter().rev().find(|(key, _)| key.as_deref() == wanted);
    of(Some(name)).or_else(|| of(None)).map_or(PbxProfile::NEWEST, |(_, profile)| *profile)
}

impl Sandbox {
    async fn start(args: &SandboxArgs) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("tenantd-sandbox-")
            .tempdir()
            .map_err(|error| Failure::new(format!("cannot make a temporary directory: {error}")))?;
        let tenants = tenants_dir(args, dir.path())?;
        let own_examples = tenants.starts_with(dir.path());
        let mut names: BTreeSet<String> = names::in_files(&tenants).iter().map(ToString::to_string).collect();
        if names.is_empty() {
            names.extend(INSTANCES.map(str::to_owned));
        }
        if let Some((Some(unknown), _)) =
            args.pbx_versions.iter().find(|(key, _)| key.as_ref().is_some_and(|key| !names.contains(key)))
        {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(Failure::new(format!(
                "--pbx-version names the instance `{unknown}`; the sandbox has {}",
                known.join(", ")
            )));
        }
        let mut servers = BTreeMap::new();
        let mut text = format!(
            "database_url: sqlite://{}\ntenants_dir: {}\npbx_instances:\n",
            dir.path().join("tenantd.db").display(),
            tenants.display()
        );
        for name in names {
            let server = StandIn::start(StandInOptions {
                username: format!("tenantd@{name}.pbx.example.com"),
                password: PASSWORD.into(),
                grant_delete: true,
                profile: profile_of(&name, args),
                ..StandInOptions::default()
            })
            .await
            .map_err(|error| Failure::new(format!("cannot start the stand-in PBX {name}: {error}")))?;
            let fingerprint = server.certificate_fingerprint().unwrap_or_default().to_owned();
            let secret = dir.path().join(format!("{name}.password"));
            write_private(&secret, PASSWORD)?;
            text.push_str(&format!(
                "  {name}:\n    url: {}\n    username: tenantd@{name}.pbx.example.com\n    password: {{ file: {} }}\n    \
                 tls: {{ fingerprint: \"{fingerprint}\" }}\n    sessions: 2\n",
                server.url(),
                secret.display()
            ));
            if servers.is_empty() {
                seed::unmanaged_domains(&server);
            }
            servers.insert(name, server);
        }
        text.push_str(
            "defaults: { session_timeout: 60, max_users: unlimited }\n\
             tier: { name: sandbox }\n\
             cross_tenant: { allow: [presence, contacts, chat] }\n\
             deletion: { mode: approve, retention_days: 30 }\n",
        );
        let path = dir.path().join("tenantd.yaml");
        write_private(&path, &text)?;
        let (config, _warnings) = Config::load(&path).map_err(|errors| {
            Failure::new(errors.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let database = Database::open(DatabaseOptions {
            database: config.database.clone(),
            password: None,
            access: Access::ReadWrite,
        })
        .await
        .map_err(|error| Failure::of(&error))?;
        let clients = config
            .instances
            .iter()
            .map(|(key, instance)| {
                let client =
                    PbxClient::new(instance, Secret::new(PASSWORD)).map_err(|error| Failure::of(&error))?;
                Ok((key.clone(), client))
            })
            .collect::<Result<_>>()?;
        Ok(Self { config, database, clients, servers, own_examples, _dir: dir })
    }

    fn readers(&self) -> BTreeMap<InstanceKey, std::sync::Arc<dyn PbxRead>> {
        let reader = |client: &PbxClient| std::sync::Arc::new(client.reader()) as std::sync::Arc<dyn PbxRead>;
        self.clients.iter().map(|(key, client)| (key.clone(), reader(client))).collect()
    }

    fn writers(&self) -> BTreeMap<InstanceKey, std::sync::Arc<dyn PbxWrite>> {
        let writer = |client: &PbxClient| std::sync::Arc::new(client.clone()) as std::sync::Arc<dyn PbxWrite>;
        self.clients.iter().map(|(key, client)| (key.clone(), writer(client))).collect()
    }

    /// Plans, shows, applies, and shows the tenants.
    async fn first_pass(&self, context: &Context) -> Result<Exit> {
        let loaded = context.load(&self.config).await;
        context.show_problems(&loaded.problems);
        if let Some(text) = unreadable(&self.config, &loaded.desired) {
            return Err(Failure::new(text));
        }
        let failed = |error: crate::store::StoreError| Failure::of(&error);
        let (readers, writers) = (self.readers(), self.writers());
        let reader = Reader {
            config: &self.config,
            database: &self.database,
            pbxs: &readers,
            environment: &System,
            rotation: Rotation::All,
        };
        let inputs = reconcile::gather(&reader, loaded.desired.clone(), Policy::new(&self.config))
            .await
            .map_err(failed)?;
        let plan = inputs.plan();
        context.say(&guide::first_plan(&plan));
        if !plan.held.is_empty() {
            let held = Plan { steps: Vec::new(), ..plan.clone() };
            context.say(&report::preview(&held, context.paint()));
        }
        let writer = Writer {
            database: &self.database,
            pbxs: &writers,
            environment: &System,
            actor: actor("sandbox", loaded.desired.revision.as_deref()),
            stop: stop_on_signal(),
        };
        let outcome = reconcile::carry_out(&writer, &self.config, &inputs, &plan).await.map_err(failed)?;
        let records = self.database.read(|store| store.tenants()).await.map_err(failed)?;
        let records: Vec<_> = records.into_values().collect();
        seed::users(&self.servers, &records);
        reconcile::sync_users(&reader, &writer, &inputs, &outcome, None).await;
        seed::sessions(&self.database, records).await.map_err(failed)?;
        let text = report::outcome_text(&outcome, context.paint());
        // Where all went well, the count is enough.
        let well = outcome.failed() + outcome.skipped() == 0;
        let text = if well { text.lines().last().unwrap_or_default() } else { text.trim_end() };
        context.say(&format!("{text}\n\n"));
        let now = chrono::Utc::now();
        let keys = self.config.instances.keys().cloned().collect();
        let noted =
            self.database.read(move |store| status::Noted::read(store, keys, now)).await.map_err(failed)?;
        let status = status::build(&self.config, &loaded, &noted, now);
        context.say(&status::text(context, &status, now));
        let everything = Selection { tenants: Vec::new(), no_removals: false };
        let verdict = Verdict {
            failed: outcome.failed() > 0 || outcome.skipped() > 0,
            held: is_held(&plan, &inputs.desired, &everything),
            not_checked: !plan.not_checked.is_empty(),
            ..Verdict::default()
        };
        Ok(verdict.exit())
    }
}

#[async_trait]
impl SetUp for Sandbox {
    async fn set_up(&self) -> std::result::Result<Resources, SetUpError> {
        Ok(Resources {
            config: self.config.clone(),
            database: self.database.clone(),
            readers: self.readers(),
            writers: self.writers(),
        })
    }

    async fn reconnect(&self, _: &Config) -> std::result::Result<Database, String> {
        Ok(self.database.clone())
    }
}

/// Shows each pass that has something to show on the terminal.
struct Terminal<'a> {
    context: &'a Context,
    /// Ends the sandbox where no one reads on.
    stop: CancellationToken,
}

impl Terminal<'_> {
    fn show(&self, text: &str) {
        self.context.say(text);
        if output::is_cut_off() {
            self.stop.cancel();
        }
    }
}

impl PassListener for Terminal<'_> {
    fn planned(&self, plan: &Plan, changes: &PlanChanges<'_>) {
        let shows = !plan.is_empty() || !plan.warnings.is_empty() || !plan.drifted.is_empty();
        if shows || changes.has_ended() {
            self.show(&format!("\n{}\n", report::preview(plan, self.context.paint())));
        }
    }

    fn unchanged(&self, _plan: &Plan) {}

    fn applied(&self, _plan: &Plan, outcome: &Outcome) {
        self.show(&format!("{}\n", report::outcome_text(outcome, self.context.paint())));
    }
}

/// The directory to watch: a copy of the one that is named, the current directory's, or the examples.
///
/// A daemon may serve from what is named, and the tour removes files. So it does from `tenants.d` of a directory with a
/// configuration.
fn tenants_dir(args: &SandboxArgs, own: &Path) -> Result<PathBuf> {
    let here = Path::new("tenants.d");
    let named = match &args.tenants {
        Some(dir) => Some(dir.as_path()),
        None if here.is_dir() && Path::new("tenantd.yaml").exists() => Some(here),
        None => None,
    };
    if let Some(dir) = named {
        let copy = own.join("tenants.d");
        copy_files(dir, &copy).map_err(|error| {
            Failure::new(format!("cannot copy the tenants directory {}: {error}", dir.display()))
        })?;
        return Ok(copy);
    }
    if here.is_dir() {
        return std::path::absolute(here)
            .map_err(|error| Failure::new(format!("{}: {error}", here.display())));
    }
    let dir = own.join("tenants.d");
    std::fs::create_dir(&dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
    for (name, text) in EXAMPLES {
        std::fs::write(dir.join(name), text).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    }
    Ok(dir)
}

/// Files and folders, without hidden ones such as `.git`.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            copy_files(&path, &to.join(name))?;
        } else {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}
