//! `tenantd pbx check` and `tenantd pbx enroll`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::PbxCommand;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::lookup::known_instance;
use super::output::patiently;
use crate::config::process_environment;
use crate::environment::{Environment as _, System};
use crate::fusionpbx::{PbxCheck, PbxRead as _, PbxReader};
use crate::model::{InstanceKey, PbxVersion};
use crate::report::FORMAT_VERSION;
use crate::store::Access;

pub async fn run(context: &Context, command: &PbxCommand) -> Result<Exit> {
    match command {
        PbxCommand::Check { instance } => check(context, instance.as_ref()).await,
        PbxCommand::Capture { instance, out } => capture(context, instance, out.as_deref()).await,
        PbxCommand::Enroll { instance } => enroll(context, instance).await,
    }
}

#[derive(Debug, Serialize)]
struct CheckJson {
    instance: String,
    url: String,
    ok: bool,
    error: Option<String>,
    version: Option<String>,
    tested_with_version: Option<bool>,
    /// Whether disabling a tenant ends the web sessions of its users.
    disable_ends_sessions: Option<bool>,
    domains_enabled: Option<usize>,
    domains_total: Option<usize>,
    users: Option<usize>,
    clock_skew_seconds: Option<i64>,
    missing_permissions: Vec<MissingJson>,
}

#[derive(Debug, Serialize)]
struct MissingJson {
    permission: &'static str,
    needed_for: &'static str,
}

#[derive(Debug, Serialize)]
struct ChecksJson {
    format_version: u32,
    instances: Vec<CheckJson>,
}

/// A clock this far off is worth a warning: it shifts what the logs of both machines say.
const SKEW_SECONDS: i64 = 5;

async fn check(context: &Context, only: Option<&InstanceKey>) -> Result<Exit> {
    let config = context.config()?;
    if let Some(only) = only {
        known_instance(&config, only)?;
    }
    let mut checks = Vec::new();
    for (key, instance) in config.instances.iter().filter(|(key, _)| only.is_none_or(|only| only == *key)) {
        let result = match instance.credentials(&process_environment) {
            Err(error) => Err(error.to_string()),
            Ok(credentials) => match PbxReader::new(instance, credentials) {
                Err(error) => Err(error.to_string()),
                Ok(reader) => patiently(|| format!("signing in to {key}"), reader.check())
                    .await
                    .map_err(|error| error.to_string()),
            },
        };
        checks.push(to_json(key, instance.url.as_str(), result));
    }
    let ok = checks.iter().all(|check| check.ok);
    if context.is_json() {
        context.json(&ChecksJson { format_version: FORMAT_VERSION, instances: checks });
    } else {
        context.say(&text(context, &checks));
    }
    Ok(if ok { Exit::Done } else { Exit::Error })
}

fn to_json(key: &InstanceKey, url: &str, result: std::result::Result<PbxCheck, String>) -> CheckJson {
    let base = CheckJson {
        instance: key.to_string(),
        url: url.to_owned(),
        ok: false,
        error: None,
        version: None,
        tested_with_version: None,
        disable_ends_sessions: None,
        domains_enabled: None,
        domains_total: None,
        users: None,
        clock_skew_seconds: None,
        missing_permissions: Vec::new(),
    };
    match result {
        Err(error) => CheckJson { error: Some(error), ..base },
        Ok(PbxCheck {
            version,
            domains_enabled,
            domains_total,
            users,
            clock_skew_seconds,
            missing_permissions,
        }) => {
            CheckJson {
                // Deleting is the one thing that a deployment may well leave to people.
                ok: missing_permissions.iter().all(|missing| missing.permission == "domain_delete"),
                tested_with_version: version.as_ref().map(PbxVersion::is_tested),
                disable_ends_sessions: Some(version.as_ref().is_some_and(PbxVersion::block_ends_sessions)),
                version: version.map(|version| version.to_string()),
                domains_enabled: Some(domains_enabled),
                domains_total: Some(domains_total),
                users,
                clock_skew_seconds,
                missing_permissions: missing_permissions
                    .iter()
                    .map(|missing| MissingJson {
                        permission: missing.permission,
                        needed_for: missing.needed_for,
                    })
                    .collect(),
                ..base
            }
        }
    }
}

fn text(context: &Context, checks: &[CheckJson]) -> String {
    let paint = context.paint();
    let mut text = String::new();
    for check in checks {
        let _ = writeln!(text, "{} {}", paint.strong(&check.instance), check.url);
        if let Some(error) = &check.error {
            let _ = writeln!(text, "  {} {error}", paint.removed("failed:"));
            continue;
        }
        let _ = writeln!(text, "  {} signed in", paint.added("ok:"));
        let _ = match (&check.version, check.tested_with_version) {
            (Some(version), Some(true)) => writeln!(text, "  FusionPBX {version}: tested with this version"),
            (Some(version), _) => writeln!(
                text,
                "{} FusionPBX {version}: tenantd was not tested with this version. Run `tenantd plan` before you \
                 start the daemon",
                paint.warning("note:")
            ),
            (None, _) => writeln!(
                text,
                "{} FusionPBX does not show its version to this account, which lacks the permission \
                 `system_view_info`",
                paint.warning("note:")
            ),
        };
        if check.disable_ends_sessions == Some(false) {
            let _ = writeln!(
                text,
                "{} this version does not end open web sessions when a tenant is disabled, so tenantd counts a \
                 disable as confirmed only after `web_session_lifetime`. FusionPBX 5.5.3 and later end them at once",
                paint.warning("warning:")
            );
        }
        if let (Some(enabled), Some(total)) = (check.domains_enabled, check.domains_total) {
            let _ = writeln!(text, "  domains: {total}, enabled: {enabled}");
        }
        if let Some(users) = check.users {
            let _ = writeln!(text, "  users: {users}");
        }
        match check.clock_skew_seconds {
            Some(skew) if skew.abs() > SKEW_SECONDS => {
                let _ = writeln!(
                    text,
                    "  {} its clock is {} s {} ours",
                    paint.warning("warning:"),
                    skew.abs(),
                    if skew > 0 { "ahead of" } else { "behind" }
                );
            }
            Some(_) => text.push_str("  its clock agrees with this machine's\n"),
            None => {}
        }
        for missing in &check.missing_permissions {
            let _ = writeln!(
                text,
                "{} the account's group lacks the permission `{}` ({}). Grant it under Advanced, Group Manager, \
                 Permissions, and sign in again",
                paint.warning("grant:"),
                missing.permission,
                missing.needed_for
            );
        }
    }
    text
}

/// Writes what a server shows into one file that can be given away.
async fn capture(context: &Context, instance: &InstanceKey, out: Option<&Path>) -> Result<Exit> {
    let config = context.config()?;
    let reader = context.reader(&config, instance)?;
    let capture = reader.capture().await.map_err(|error| Failure::of(&error))?;
    let path = out.map_or_else(|| PathBuf::from(format!("fusionpbx-{instance}.json")), Path::to_owned);
    let text = serde_json::to_string_pretty(&capture).map_err(|error| Failure::of(&error))?;
    std::fs::write(&path, text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    let understood = capture.pages.iter().filter(|page| page.understood.is_ok()).count();
    let mut summary = format!(
        "Wrote {understood} pages that tenantd understands and {} that it does not to {}.\n",
        capture.pages.len() - understood,
        path.display()
    );
    for page in &capture.pages {
        if let Err(why) = &page.understood {
            let _ = writeln!(summary, "  {}: {why}", page.page);
        }
    }
    if let Some(stopped) = &capture.stopped {
        let _ = writeln!(summary, "  The sign-in stopped: {stopped}.");
    }
    summary.push_str(
        "Names, addresses, numbers and secrets in it are replaced. Check it before you pass it on.\n",
    );
    context.say(&summary);
    Ok(Exit::Done)
}

/// Forgets who the server was, so that the next pass records who it is.
async fn enroll(context: &Context, instance: &InstanceKey) -> Result<Exit> {
    let config = context.config()?;
    let configured = known_instance(&config, instance)?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let (key, url) = (instance.clone(), configured.url.to_string());
    database
        .write(move |store| store.forget_identity(&key, &url, System.now()))
        .await
        .map_err(|error| Failure::of(&error))?;
    if context.is_json() {
        context.json(&serde_json::json!({ "format_version": FORMAT_VERSION, "enrolled": instance.as_str() }));
    } else {
        context.say(&format!(
            "The next server that answers as {instance} will be accepted. Check it now: tenantd pbx check \
             --instance {instance}\n"
        ));
    }
    Ok(Exit::Done)
}
