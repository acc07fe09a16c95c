//! The command line, as clap reads it and as `--help` and the man page show it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::model::{InstanceKey, TenantKey, scope_text};
use fusionpbx_standin::PbxProfile;

/// Manage the tenants of the CrystalQore platform as YAML files: tenantd makes the platform's database and its
/// FusionPBX servers match `tenants.d/`.
#[derive(Debug, Parser)]
#[command(name = "tenantd", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

// They stand in the long help of every command; the short one names them in one line.
#[derive(Debug, Args)]
#[command(next_help_heading = GLOBAL)]
pub struct Global {
    /// The configuration file.
    #[arg(
        long,
        short = 'c',
        global = true,
        hide_short_help = true,
        env = "TENANTD_CONFIG",
        default_value = "/etc/tenantd/tenantd.yaml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// The format of the result on standard output. JSON is one document, also on failure. `run`, `sandbox`,
    /// `completions` and `man` have no JSON result.
    #[arg(
        long,
        short = 'o',
        global = true,
        hide_short_help = true,
        value_enum,
        default_value_t = Output::Text,
        value_name = "FORMAT"
    )]
    pub output: Output,
    /// When to colour text on standard output and standard error.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_enum,
        default_value_t = Colour::Auto,
        value_name = "WHEN"
    )]
    pub color: Colour,
    /// Do not fit tables to the width of the terminal.
    #[arg(long, global = true, hide_short_help = true)]
    pub wide: bool,
    /// What to log to standard error: a level, or directives such as `info,tenantd::fusionpbx=debug`.
    #[arg(long, global = true, hide_short_help = true, env = "TENANTD_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// The format of the log.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_enum,
        default_value_t = LogFormat::Text,
        env = "TENANTD_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
}

/// The heading of the options that every command has.
pub const GLOBAL: &str = "Global options";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal with colours, unless NO_COLOR or `CLICOLOR=0` is set.
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// With time and level.
    Text,
    /// For systemd's journal, with priorities and fields such as TENANT=; without a journal, lines with syslog
    /// priorities.
    Journal,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration and every tenant file. Needs no network, no database and no secret.
    Validate,
    /// Show what would be done, and change nothing.
    Plan(PlanArgs),
    /// Show what will be done, ask, and do it.
    ///
    /// On a terminal it asks before it changes anything. Elsewhere it needs `--yes` or `--plan`, unless there is
    /// nothing to do. If a daemon is running, the daemon does the run.
    Apply(ApplyArgs),
    /// Run the daemon: plan and apply at start, when a file changes, on SIGHUP, and at an interval.
    Run,
    /// Show the state of every tenant and of the daemon, as of the last run. Sends no request to a PBX.
    Status(StatusArgs),
    /// Show one tenant: its file, its record, its domain on the PBX, its history, and why its next step happens or not.
    Show {
        /// The tenant's key.
        #[arg(value_parser = tenant_key)]
        key: TenantKey,
        /// Also show the history of earlier tenants with this key.
        #[arg(long)]
        earlier: bool,
    },
    /// Write a tenant file for each domain of an instance that is not managed yet, and take the domain over unchanged.
    Import(ImportArgs),
    /// Take over existing domains that tenant files name and that are not managed: show what would change, and ask.
    /// After the database was lost: `tenantd adopt --all`.
    Adopt(AdoptArgs),
    /// Block the web sign-in of a tenant that was already disabled when it was imported.
    Block(BlockArgs),
    /// Write a first configuration and create the tenants directory. Overwrites nothing.
    Init(InitArgs),
    /// Check and enroll the connections to PBX instances.
    #[command(subcommand)]
    Pbx(PbxCommand),
    /// Approve the held steps of a plan, or the deletion of one tenant.
    Approve(ApproveArgs),
    /// Pause tenantd's work on a tenant, an instance, or everything, until a given time.
    ///
    /// The tenants stay in service, and tenantd changes nothing until then. To take a tenant out of service, write
    /// `enabled: false` in its file.
    #[command(alias = "suspend")]
    Pause(PauseArgs),
    /// End a pause.
    Resume(ScopeArgs),
    /// Check that tenants cannot see each other.
    #[command(subcommand)]
    Isolation(IsolationCommand),
    /// Show users, files, sessions and last activity of each tenant, and warn near limits.
    Stats {
        /// Only this tenant.
        #[arg(value_parser = tenant_key)]
        key: Option<TenantKey>,
    },
    /// Write all data of a tenant to one file, and verify it.
    Archive(ArchiveArgs),
    /// Restore a tenant from its archive, as disabled, with the same identity. Works on either kind of database.
    Restore {
        /// An archive made by `tenantd archive` or by a deletion.
        file: PathBuf,
    },
    /// Synchronise the platform's users from the PBXs: users are added, changed or disabled, and never deleted.
    Sync(SyncArgs),
    /// Try tenantd without any set-up, with stand-in PBXs, a database, and the `tenants.d` of the current directory.
    Sandbox(SandboxArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the man page.
    Man,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only these tenants.
    #[arg(value_name = "KEY", value_parser = tenant_key)]
    pub keys: Vec<TenantKey>,
    /// Only tenants with a problem: failed, not checked, contested, held or drifted.
    #[arg(long)]
    pub problems: bool,
    /// Only tenants of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = instance_key)]
    pub instance: Option<InstanceKey>,
    /// Only tenants in this condition or state; repeatable.
    #[arg(long = "state", value_name = "STATE", value_parser = STATES)]
    pub states: Vec<String>,
    /// Print one line for a monitoring system, and exit with 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN.
    #[arg(long)]
    pub check: bool,
}

/// What `status --state` takes: the conditions, and the states.
const STATES: [&str; 17] = [
    "in-sync",
    "pending",
    "scheduled",
    "held",
    "drifted",
    "contested",
    "not-checked",
    "failed",
    "paused",
    "enabled",
    "disabled",
    "disabling",
    "removed",
    "restored",
    "new",
    "unfinished",
    "broken-file",
];

#[derive(Debug, Args)]
pub struct Selection {
    /// Only this tenant; repeatable.
    #[arg(long = "tenant", value_name = "KEY", value_parser = tenant_key)]
    pub tenants: Vec<TenantKey>,
    /// Do not disable or delete any tenant in this run.
    #[arg(long)]
    pub no_removals: bool,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Return the result as exit code: 0 everything was checked and nothing is to be done, 2 changes, 3 a step is
    /// held, 4 an instance was not checked, 6 drift. Implies `--full`.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Compare the settings of every tenant with the PBX: at least one request for each tenant. Without it, those of
    /// tenants whose file changed are compared, and of up to 20 others, the longest not compared first.
    #[arg(long)]
    pub full: bool,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Approve the deletion of this tenant in this run; repeatable. All other conditions of a deletion still apply.
    #[arg(long, value_name = "KEY", value_parser = tenant_key)]
    pub allow_delete: Vec<TenantKey>,
    /// Apply only the plan with this id (`p-…`), without asking. Fails if the plan is out of date.
    #[arg(long = "plan", value_name = "PLAN_ID", value_parser = plan_id)]
    pub plan_id: Option<String>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
    /// Compare the settings of every tenant with the PBX: at least one request for each tenant. Without it, those of
    /// tenants whose file changed are compared, and of up to 20 others, the longest not compared first.
    #[arg(long)]
    pub full: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The instance to import from.
    #[arg(long, value_name = "INSTANCE", value_parser = instance_key)]
    pub instance: InstanceKey,
    /// Only domains whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    pub matching: Option<String>,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(false)))]
pub struct AdoptArgs {
    /// The tenants whose domains are taken over.
    #[arg(value_name = "KEY", value_parser = tenant_key, group = "which")]
    pub keys: Vec<TenantKey>,
    /// Every tenant whose domain exists and is not managed.
    #[arg(long, group = "which")]
    pub all: bool,
    /// Every such tenant of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = instance_key, group = "which")]
    pub instance: Option<InstanceKey>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct BlockArgs {
    /// The tenants.
    #[arg(value_name = "KEY", value_parser = tenant_key, required = true)]
    pub keys: Vec<TenantKey>,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The directory of the configuration [default: the directory of `--config`].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum PbxCommand {
    /// Sign in to each instance, and show its version, permissions, clock and counts.
    Check {
        /// Only this instance.
        #[arg(long, value_name = "INSTANCE", value_parser = instance_key)]
        instance: Option<InstanceKey>,
    },
    /// Write the pages that tenantd reads to one file for a bug report, without names, addresses, numbers and secrets.
    Capture {
        /// The PBX instance.
        #[arg(value_name = "INSTANCE", value_parser = instance_key)]
        instance: InstanceKey,
        /// The file to write [default: `fusionpbx-INSTANCE.json` in the current directory].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Accept a new server for an instance, after it was replaced on purpose.
    Enroll {
        /// The instance whose server was replaced.
        #[arg(value_name = "INSTANCE", value_parser = instance_key)]
        instance: InstanceKey,
    },
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[command(flatten)]
    pub what: Approved,
    /// How long the approval is valid, at most 7 days.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub valid_for: Duration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Approved {
    /// An id from the plan: the plan itself (`p-…`), its held steps (`r-…`), or that a likely rename is two different
    /// tenants (`t-…`).
    #[arg(value_name = "ID", value_parser = approvable_id)]
    pub id: Option<String>,
    /// The tenant whose deletion is approved.
    #[arg(long, value_name = "KEY", value_parser = tenant_key)]
    pub tenant: Option<TenantKey>,
}

#[derive(Debug, Subcommand)]
pub enum IsolationCommand {
    /// Inspect the database's rules, try to read and write across two test tenants (rolled back), and look on the PBXs
    /// for extensions, gateways and dialplans that lead into another tenant's domain.
    Check {
        /// Check only the database.
        #[arg(long)]
        no_pbx: bool,
    },
}

#[derive(Debug, Args)]
pub struct ArchiveArgs {
    /// The tenant's key.
    #[arg(value_parser = tenant_key)]
    pub key: TenantKey,
    /// The directory to write to [default: `archive.dir` of the configuration].
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Only this tenant.
    #[arg(value_parser = tenant_key)]
    pub key: Option<TenantKey>,
    /// Disable all users that are missing on the PBX, however many there are, because they were deleted on purpose.
    #[arg(long)]
    pub accept_missing: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ScopeArgs {
    /// This tenant.
    #[arg(value_name = "KEY", value_parser = tenant_key)]
    pub key: Option<TenantKey>,
    /// All tenants of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = instance_key)]
    pub instance: Option<InstanceKey>,
    /// All tenants of all instances.
    #[arg(long)]
    pub all: bool,
}

impl ScopeArgs {
    /// What it names, for people.
    pub fn text(&self) -> String {
        scope_text(self.key.as_ref(), self.instance.as_ref())
    }
}

#[derive(Debug, Args)]
pub struct PauseArgs {
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// The end of the pause, at most 90 days from now: a duration (`2h`, `3d`) or a time (`2026-12-01T08:00:00Z`).
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// Why. Shown in status, plan and history.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SandboxArgs {
    #[command(subcommand)]
    pub action: Option<SandboxAction>,
    /// Exit after the first run.
    #[arg(long)]
    pub once: bool,
    /// A tenants directory to copy and try [default: `tenants.d` of the current directory, or else examples].
    #[arg(long, value_name = "DIR")]
    pub tenants: Option<PathBuf>,
    /// The FusionPBX version that the stand-in servers imitate: 5.2.0, 5.3.0, 5.4.4, 5.5.7 or master. For one
    /// instance: `INSTANCE=VERSION`; repeatable.
    #[arg(long = "pbx-version", value_name = "[KEY=]VERSION", value_parser = pbx_version)]
    pub pbx_versions: Vec<(Option<String>, PbxProfile)>,
}

/// What to do in a running sandbox: the one of `--config` or TENANTD_CONFIG.
#[derive(Debug, Subcommand)]
pub enum SandboxAction {
    /// Change a tenant's domain on the stand-in PBX, to try drift.
    Poke {
        /// The tenant.
        #[arg(value_parser = tenant_key)]
        key: TenantKey,
        /// What to change.
        #[arg(long, value_enum, default_value_t = Change::Name)]
        change: Change,
    },
    /// Move the recorded times back, as if time had passed, to try retention and limits.
    FastForward {
        /// By how much, such as `31d`.
        #[arg(value_name = "DURATION", value_parser = humantime::parse_duration)]
        by: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Change {
    /// The domain's description.
    Name,
    /// Whether the domain is enabled.
    Enabled,
    /// The domain is deleted.
    Gone,
}

fn pbx_version(text: &str) -> Result<(Option<String>, PbxProfile), String> {
    let (key, version) = match text.split_once('=') {
        Some((key, version)) => (Some(instance_key(key)?.to_string()), version),
        None => (None, text),
    };
    let profile = PbxProfile::parse(version).ok_or_else(|| {
        let known: Vec<_> = PbxProfile::ALL.into_iter().map(PbxProfile::name).collect();
        format!("the stand-in imitates {}", known.join(", "))
    })?;
    Ok((key, profile))
}

fn tenant_key(text: &str) -> Result<TenantKey, String> {
    TenantKey::parse(text).map_err(|error| error.to_string())
}

fn instance_key(text: &str) -> Result<InstanceKey, String> {
    InstanceKey::parse(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if parsed < Duration::from_secs(1) || parsed > Duration::from_secs(7 * 24 * 3600) {
        return Err("from 1s to 7d".to_owned());
    }
    Ok(parsed)
}

/// An id as tenantd makes it: the kind, and 16 hexadecimal digits.
fn id_of(kinds: &[&str], text: &str) -> Result<String, String> {
    let hex = |digits: &str| {
        digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if kinds.iter().any(|kind| text.strip_prefix(kind).is_some_and(hex)) {
        return Ok(text.to_owned());
    }
    let forms: Vec<String> = kinds.iter().map(|kind| format!("`{kind}` and 16 hexadecimal digits")).collect();
    Err(format!("an id is {}, as `tenantd plan` shows it", forms.join(" or ")))
}

fn plan_id(text: &str) -> Result<String, String> {
    id_of(&["p-"], text)
}

fn approvable_id(text: &str) -> Result<String, String> {
    id_of(&["p-", "r-", "t-"], text)
}
