//! The command line, as clap reads it and as `--help` and the man page show it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::model::{InstanceKey, TenantKey, scope_text};

/// Manages the tenants of the CrystalQore platform from YAML files: the platform's database and its FusionPBX
/// servers follow what stands in `tenants.d/`.
#[derive(Debug, Parser)]
#[command(
    name = "tenantd",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 error; 2 changes (plan --detailed-exitcode); 3 something is held; 4 some steps \
                  failed; 5 stale plan (apply --plan); 64 usage.\n\nA first look without any set-up: tenantd sandbox"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// The configuration file.
    #[arg(
        long,
        short = 'c',
        global = true,
        env = "TENANTD_CONFIG",
        default_value = "/etc/tenantd/tenantd.yaml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// How results are written to standard output. JSON stands there alone, also on failure; plan, apply, status, show,
    /// validate, stats, sync, archive, restore, `isolation check` and `pbx check` write it.
    #[arg(long, short = 'o', global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Whether text is coloured.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// What is logged to standard error: a level, or directives such as `info,tenantd::fusionpbx=debug`.
    #[arg(long, global = true, env = "TENANTD_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How the log is written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "TENANTD_LOG_FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// With time and level.
    Text,
    /// Without a time, which the journal adds.
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
    /// Show what is to be done, and do it.
    Apply(ApplyArgs),
    /// The daemon: plan and apply at start, when a file changes, on SIGHUP, and at an interval.
    Run,
    /// All tenants in a table, with their problems, and the files that were ignored.
    Status,
    /// One tenant: its file, its record, the PBX, and why the next step does or does not happen.
    Show {
        /// The tenant's key.
        #[arg(value_parser = tenant_key)]
        key: TenantKey,
    },
    /// Write a file for each domain of an instance that is not managed yet, and take it over as it is. Takes the
    /// writer's lock, so stop the daemon meanwhile.
    Import(ImportArgs),
    /// Look after the connections to the PBX instances.
    #[command(subcommand)]
    Pbx(PbxCommand),
    /// Let a held plan's removals go ahead, or the deletion of one tenant.
    Approve(ApproveArgs),
    /// Hold all work on a tenant, on an instance, or altogether, for a time.
    Suspend(SuspendArgs),
    /// End a suspension.
    Resume(ScopeArgs),
    /// Whether database and PBXs keep tenants apart.
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
    /// Bring the platform's users to those of the PBX: added, changed, disabled, never deleted.
    Sync(SyncArgs),
    /// Try tenantd without any set-up: stand-in PBXs, a database, and the tenants.d of the current directory.
    Sandbox(SandboxArgs),
    /// Print a completion script for a shell.
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the man page.
    Man,
}

#[derive(Debug, Args)]
pub struct Selection {
    /// Only this tenant; may be given several times.
    #[arg(long = "tenant", value_name = "KEY", value_parser = tenant_key)]
    pub tenants: Vec<TenantKey>,
    /// The brake: disable, delete and forget nothing in this run.
    #[arg(long)]
    pub no_removals: bool,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Exit with 0 for nothing to do, 2 for changes, 3 for something held.
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
    /// Only if the plan still is the one with this id.
    #[arg(long = "plan", value_name = "PLAN_ID")]
    pub plan_id: Option<String>,
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
        #[arg(value_name = "INSTANCE", value_parser = instance_key)]
        instance: InstanceKey,
    },
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The plan (`p-…`) or its removals (`r-…`), as the preview names them.
    #[arg(value_name = "PLAN_ID", required_unless_present = "tenant", conflicts_with = "tenant")]
    pub plan_id: Option<String>,
    /// The tenant whose deletion is approved.
    #[arg(long, value_name = "KEY", value_parser = tenant_key)]
    pub tenant: Option<TenantKey>,
    /// How long the approval holds, at most 7 days.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub valid_for: Duration,
}

#[derive(Debug, Subcommand)]
pub enum IsolationCommand {
    /// Sweep the catalog, try every verb across two throw-away tenants in a transaction that is rolled back, and look on
    /// the PBXs for extensions, gateways and dialplans that reach into another tenant's domain.
    Check {
        /// Look at the database alone.
        #[arg(long)]
        no_pbx: bool,
    },
}

#[derive(Debug, Args)]
pub struct ArchiveArgs {
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
    /// Disable who is missing on the PBX, however many they are: they are gone on purpose.
    #[arg(long)]
    pub accept_missing: bool,
}

#[derive(Debug, Args)]
pub struct ScopeArgs {
    /// Only this tenant.
    #[arg(value_name = "KEY", value_parser = tenant_key, conflicts_with = "instance")]
    pub key: Option<TenantKey>,
    /// Only the tenants of this instance.
    #[arg(long, value_name = "INSTANCE", value_parser = instance_key)]
    pub instance: Option<InstanceKey>,
}

impl ScopeArgs {
    /// What it names, for people.
    pub fn text(&self) -> String {
        scope_text(self.key.as_ref(), self.instance.as_ref())
    }
}

#[derive(Debug, Args)]
pub struct SuspendArgs {
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Until when: a duration from now (`2h`, `3d`) or a time (`2026-12-01T08:00:00Z`).
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// Why, for whoever wonders.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// End after the first pass.
    #[arg(long)]
    pub once: bool,
    /// The tenants directory; without it, `tenants.d` of the current directory, or else examples of its own.
    #[arg(long, value_name = "DIR")]
    pub tenants: Option<PathBuf>,
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
