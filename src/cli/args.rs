//! The command line, as clap reads it and as `--help` and the man page show it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::model::{InstanceKey, TenantKey, scope_text};
use crate::sandbox::standin::PbxProfile;

/// Manages the tenants of the CrystalQore platform from YAML files: the platform's database and its FusionPBX
/// servers follow what stands in `tenants.d/`.
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
    /// How the result is written to standard output. JSON is one document, alone there, also on failure. `run`,
    /// `sandbox`, `completions` and `man` have none.
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
    /// Whether text is coloured, on standard output and on standard error.
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
    /// What is logged to standard error: a level, or directives such as `info,tenantd::fusionpbx=debug`.
    #[arg(long, global = true, hide_short_help = true, env = "TENANTD_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How the log is written.
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
    /// On a terminal that has colours, unless NO_COLOR or `CLICOLOR=0` is set.
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// With time and level.
    Text,
    /// To the journal itself, with priorities and fields such as TENANT=; where it is not there, lines with syslog's
    /// priorities.
    Journal,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration and every tenant file. Needs no network, no database and no secret.
    Validate,
    /// Show what would be done. Changes nothing, anywhere.
    Plan(PlanArgs),
    /// Show what is to be done, ask, and do it.
    ///
    /// On a terminal it asks before it changes anything. Elsewhere it needs `--yes` or `--plan`, unless there is nothing
    /// to do. Beside a running daemon, it asks the daemon to do the run.
    Apply(ApplyArgs),
    /// The daemon: plan and apply at start, when a file changes, on SIGHUP, and at an interval.
    Run,
    /// How every tenant stands, what tenantd does, and the files that were ignored. Asks no PBX.
    Status(StatusArgs),
    /// One tenant: its file, its record, the PBX, and why the next step does or does not happen.
    Show {
        /// The tenant's key.
        #[arg(value_parser = tenant_key)]
        key: TenantKey,
        /// Also the history of earlier tenants that had this key.
        #[arg(long)]
        earlier: bool,
    },
    /// Write a file for each domain of an instance that is not managed yet, and take it over as it is.
    Import(ImportArgs),
    /// Take over domains that tenant files name and that exist on the PBX, not managed: shows what would change, and
    /// asks. After a lost database: `tenantd adopt --all`.
    Adopt(AdoptArgs),
    /// Block the web sign-in of a tenant that was disabled, with an open web sign-in, before it was imported.
    Block(BlockArgs),
    /// Write a first configuration and make the tenants directory. Overwrites nothing.
    Init(InitArgs),
    /// Check and enroll the connections to PBX instances.
    #[command(subcommand)]
    Pbx(PbxCommand),
    /// Let a held plan's removals go ahead, or the deletion of one tenant.
    Approve(ApproveArgs),
    /// Pause tenantd's work on a tenant, on an instance, or on everything, for a time.
    ///
    /// The tenants stay in service, and their users go on working: tenantd changes nothing on them until then. To lock a
    /// customer out, write `enabled: false` in the tenant's file.
    #[command(alias = "suspend")]
    Pause(PauseArgs),
    /// End a pause.
    Resume(ScopeArgs),
    /// Check that tenants cannot see each other.
    #[command(subcommand)]
    Isolation(IsolationCommand),
    /// Users, files, sessions and last activity of each tenant, with warnings near limits.
    Stats {
        /// Only this tenant.
        #[arg(value_parser = tenant_key)]
        key: Option<TenantKey>,
    },
    /// Write all data of a tenant to one file, read it back and check it.
    Archive(ArchiveArgs),
    /// Bring a tenant back from its archive: the same identity, disabled, on either kind of database.
    Restore {
        /// An archive that `tenantd archive` or a deletion made.
        file: PathBuf,
    },
    /// Synchronise the platform's users from the PBXs: added, changed, disabled, never deleted.
    Sync(SyncArgs),
    /// Try tenantd without any set-up: stand-in PBXs, a database, and the tenants.d of the current directory.
    Sandbox(SandboxArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell that is to complete the commands.
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
    /// Only tenants in this condition or state; may be given several times.
    #[arg(long = "state", value_name = "STATE", value_parser = STATES)]
    pub states: Vec<String>,
    /// Print one line for a monitoring system, and end with 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN.
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
    /// Only this tenant; may be given several times.
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
    /// Tell the result by the exit code: 0 everything was checked and there is nothing to do, 2 changes, 3 something is
    /// held, 4 an instance was not checked, 6 drift. Compares the settings of every tenant.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Approve the deletion of this tenant by hand; may be given several times. Every other condition still holds.
    #[arg(long, value_name = "KEY", value_parser = tenant_key)]
    pub allow_delete: Vec<TenantKey>,
    /// Only if the plan still is the one with this id (`p-…`). Needs no question: that plan was seen.
    #[arg(long = "plan", value_name = "PLAN_ID", value_parser = plan_id)]
    pub plan_id: Option<String>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The instance to import from.
    #[arg(long, value_name = "INSTANCE", value_parser = instance_key)]
    pub instance: InstanceKey,
    /// Only domains whose name has this in it.
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
    /// Where the configuration comes to stand; without it, the directory of `--config`.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum PbxCommand {
    /// Sign in to each instance and show permissions, clock and counts, and what to grant.
    Check {
        /// Only this instance.
        #[arg(long, value_name = "INSTANCE", value_parser = instance_key)]
        instance: Option<InstanceKey>,
    },
    /// Write the pages that tenantd reads into one file for a report, without names, addresses, numbers and secrets.
    Capture {
        /// The PBX instance.
        #[arg(value_name = "INSTANCE", value_parser = instance_key)]
        instance: InstanceKey,
        /// The file; without it, `fusionpbx-INSTANCE.json` in this directory.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Accept that another server answers for an instance now, after it was replaced on purpose.
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
    /// How long the approval holds, at most 7 days.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub valid_for: Duration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Approved {
    /// The plan (`p-…`), its removals (`r-…`), or that the two of a likely rename are two tenants (`t-…`), as the
    /// preview names them.
    #[arg(value_name = "ID", value_parser = approvable_id)]
    pub id: Option<String>,
    /// The tenant whose deletion is approved.
    #[arg(long, value_name = "KEY", value_parser = tenant_key)]
    pub tenant: Option<TenantKey>,
}

#[derive(Debug, Subcommand)]
pub enum IsolationCommand {
    /// Inspect the database's rules, try to read and write across two test tenants, which is rolled back, and look for
    /// extensions, gateways and dialplans on the PBXs that reach into another tenant's domain.
    Check {
        /// Check the database alone.
        #[arg(long)]
        no_pbx: bool,
    },
}

#[derive(Debug, Args)]
pub struct ArchiveArgs {
    /// The tenant's key.
    #[arg(value_parser = tenant_key)]
    pub key: TenantKey,
    /// The directory; without it, `archive.dir` of the configuration.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Only this tenant.
    #[arg(value_parser = tenant_key)]
    pub key: Option<TenantKey>,
    /// Disable the users that are missing on the PBX, however many they are: they are gone on purpose.
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
    /// Until when, 90 days from now at most: a duration (`2h`, `3d`) or a time (`2026-12-01T08:00:00Z`).
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
    /// End after the first run.
    #[arg(long)]
    pub once: bool,
    /// A tenants directory to copy and try; without it, `tenants.d` of the current directory, or else examples.
    #[arg(long, value_name = "DIR")]
    pub tenants: Option<PathBuf>,
    /// The FusionPBX version that the stand-in servers speak: 5.2.0, 5.3.0, 5.4.4, 5.5.7 or master. For one instance
    /// only: `KEY=VERSION`, repeatable.
    #[arg(long = "pbx-version", value_name = "[KEY=]VERSION", value_parser = pbx_version)]
    pub pbx_versions: Vec<(Option<String>, PbxProfile)>,
}

/// What is done to a sandbox that runs: the one of `--config`, or of TENANTD_CONFIG.
#[derive(Debug, Subcommand)]
pub enum SandboxAction {
    /// Change a tenant's domain on the stand-in PBX, as somebody else would: drift.
    Poke {
        /// The tenant.
        #[arg(value_parser = tenant_key)]
        key: TenantKey,
        /// What is changed.
        #[arg(long, value_enum, default_value_t = Change::Name)]
        change: Change,
    },
    /// Let time pass, for retention and limits: what was recorded lies that much further back.
    FastForward {
        /// How much, such as `31d`.
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
        format!("the stand-in speaks {}", known.join(", "))
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
