//! `tenantd plan` and `tenantd apply`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::{ApplyArgs, PlanArgs, Selection};
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::known::known;
use crate::config::Config;
use crate::daemon::{asked, holder};
use crate::environment::System;
use crate::fusionpbx::PbxRead;
use crate::load::{self, Loaded};
use crate::model::{BrokenFile, Completeness, Desired, InstanceKey};
use crate::observe::Rotation;
use crate::plan::{Plan, Policy};
use crate::reconcile::{self, Look, Reader, Writer};
use crate::report::{self, OutcomeJson, PlanJson};
use crate::store::{Access, Database};
use crate::sync;

/// Shows the plan. It is given readers only.
pub async fn plan(context: &Context, args: &PlanArgs) -> Result<Exit> {
    let planned = make_plan(context, &args.selection).await;
    let (plan, desired) = match planned {
        Ok(planned) => planned,
        Err(failure) => {
            if context.is_json() {
                context.json(&PlanJson::failed(failure.message.clone()));
            }
            return Err(failure);
        }
    };
    if context.is_json() {
        context.json(&PlanJson::from(&plan));
    } else if !matches!(desired.completeness, Completeness::Unreadable { .. }) {
        context.say(&report::preview(&plan, context.paint()));
    }
    if let Completeness::Unreadable { reason } = &desired.completeness {
        return Err(Failure::new(format!("the tenants directory {reason}")));
    }
    Ok(if !args.detailed_exitcode {
        Exit::Done
    } else if is_held(&plan, &desired, &args.selection) {
        Exit::Held
    } else if !plan.steps.is_empty() {
        Exit::Changes
    } else {
        Exit::Done
    })
}

async fn make_plan(context: &Context, selection: &Selection) -> Result<(Plan, Desired)> {
    let config = context.config_with_secrets()?;
    let loaded = context.load(&config).await;
    show_problems(context, &loaded);
    let database = context.database(&config, Access::ReadOnly).await?;
    let readers = context.readers(&config)?;
    let policy = policy(&config, selection, &[]);
    let look = look(&config, &database, &readers, loaded.desired, policy, rotation(&config)).await?;
    show_unusual(context, &look);
    known(&look.desired, look.recorded.tenants.keys(), &selection.tenants)?;
    Ok((look.plan(), look.desired))
}

/// The problems of files. That nothing could be read is the end of the command, and told there.
fn show_problems(context: &Context, loaded: &Loaded) {
    if !matches!(loaded.desired.completeness, Completeness::Unreadable { .. }) {
        context.show_problems(&loaded.problems);
    }
}

/// What could be the file of a tenant that is recorded and has none.
fn show_unusual(context: &Context, look: &Look) {
    let mut found = look.desired.unusual.clone();
    found.retain(|file| file.by_record);
    context.show_problems(&load::unusual_problems(&found));
}

/// Whether something waits for a person. The tenant of a broken file is held also where it has no record yet, and so
/// no line of its own in the plan.
fn is_held(plan: &Plan, desired: &Desired, selection: &Selection) -> bool {
    let of_this_run = |file: &BrokenFile| {
        selection.tenants.is_empty() || file.key.as_ref().is_some_and(|key| selection.tenants.contains(key))
    };
    !plan.held.is_empty() || desired.broken.iter().any(of_this_run)
}

/// The share of settings that a single run compares is that of a daemon's pass.
pub fn rotation(config: &Config) -> Rotation {
    Rotation::Share { interval: config.daemon.interval, cycle: config.daemon.settings_cycle }
}

/// Looks at everything with the machine's clock.
pub async fn look(
    config: &Config,
    database: &Database,
    pbxs: &BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    desired: Desired,
    policy: Policy,
    rotation: Rotation,
) -> Result<Look> {
    let reader = Reader { config, database, pbxs, environment: &System, rotation };
    reconcile::look(&reader, desired, policy).await.map_err(|error| Failure::of(&error))
}

fn policy(config: &Config, selection: &Selection, allow_delete: &[crate::model::TenantKey]) -> Policy {
    Policy {
        allow_delete: allow_delete.iter().cloned().collect::<BTreeSet<_>>(),
        no_removals: selection.no_removals,
        only: selection.tenants.iter().cloned().collect(),
        ..Policy::new(config)
    }
}

/// Shows the plan and carries it out.
pub async fn apply(context: &Context, args: &ApplyArgs) -> Result<Exit> {
    let applied = carry_out(context, args).await;
    if let Err(failure) = &applied
        && context.is_json()
        && failure.exit != Exit::StalePlan
    {
        context.json(&PlanJson::failed(failure.message.clone()));
    }
    applied
}

async fn carry_out(context: &Context, args: &ApplyArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    let loaded = context.load(&config).await;
    show_problems(context, &loaded);
    if let Completeness::Unreadable { reason } = &loaded.desired.completeness {
        return Err(Failure::new(format!("the tenants directory {reason}: nothing is changed")));
    }
    let database = context.database(&config, Access::ReadWrite).await?;
    let lease = match database.lease(&holder()).await.map_err(|error| Failure::of(&error))? {
        Ok(lease) => lease,
        Err(by) => return ask_the_daemon(context, args, &database, &loaded.desired, &by).await,
    };
    let applied = carry_out_alone(context, args, &config, loaded, &lease.database()).await;
    lease.release().await;
    applied
}

/// How long the daemon may take to answer: a pass over many new tenants takes minutes.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// There is one writer. Beside a running daemon, it is the daemon that does the pass.
async fn ask_the_daemon(
    context: &Context,
    args: &ApplyArgs,
    database: &Database,
    desired: &Desired,
    by: &str,
) -> Result<Exit> {
    let ApplyArgs { selection, allow_delete, plan_id } = args;
    let Selection { tenants, no_removals } = selection;
    if !tenants.is_empty() || *no_removals || !allow_delete.is_empty() || plan_id.is_some() {
        return Err(Failure::new(format!(
            "{by} holds the writer's lock and makes its own plans, so --tenant, --no-removals, --allow-delete and \
             --plan cannot be had beside it; use `tenantd approve` or `tenantd suspend`, or stop it first"
        )));
    }
    eprintln!("{by} holds the writer's lock; it is asked to do the pass");
    let asked = asked::ask(database, &System).await.map_err(|error| Failure::of(&error))?;
    let answer = asked::answer(database, asked, PATIENCE).await.map_err(|error| Failure::of(&error))?;
    let Some(answer) = answer else {
        return Err(Failure::new(format!("{by} did not answer; look at its log")));
    };
    if let Some(error) = answer.error {
        return Err(Failure::new(format!("its pass came to nothing: {error}")));
    }
    if context.is_json() {
        context.json(&answer.document);
    } else {
        context.say(&answer.text);
    }
    if !desired.broken.is_empty() {
        let names: Vec<&str> = desired.broken.iter().map(|file| file.file.as_str()).collect();
        eprintln!("broken: {}: nothing is removed until every file can be read", names.join(", "));
    }
    Ok(if answer.failed > 0 || answer.skipped > 0 {
        Exit::SomeFailed
    } else if answer.held > 0 || !desired.broken.is_empty() {
        Exit::Held
    } else {
        Exit::Done
    })
}

async fn carry_out_alone(
    context: &Context,
    args: &ApplyArgs,
    config: &Config,
    loaded: Loaded,
    database: &Database,
) -> Result<Exit> {
    let clients = context.clients(config)?;
    let reader =
        Reader { config, database, pbxs: &clients.readers, environment: &System, rotation: rotation(config) };
    let actor = actor("apply", loaded.desired.revision.as_deref());
    let policy = policy(config, &args.selection, &args.allow_delete);
    let look = reconcile::look(&reader, loaded.desired, policy).await.map_err(|error| Failure::of(&error))?;
    show_unusual(context, &look);
    let named = args.selection.tenants.iter().chain(&args.allow_delete);
    known(&look.desired, look.recorded.tenants.keys(), named)?;
    let plan = look.plan();
    if !context.is_json() {
        context.say(&report::preview(&plan, context.paint()));
    }
    if let Some(wanted) = &args.plan_id
        && *wanted != plan.id
    {
        let message = format!(
            "the plan is {} now and not {wanted}: the world has changed, so nothing was done",
            plan.id
        );
        if context.is_json() {
            context.json(&PlanJson { error: Some(message.clone()), ..PlanJson::from(&plan) });
        }
        return Err(Failure { message, exit: Exit::StalePlan });
    }
    let writer =
        Writer { database, pbxs: &clients.writers, environment: &System, actor, stop: stop_on_signal() };
    let outcome = reconcile::act(&writer, config, &look, &plan).await.map_err(|error| Failure::of(&error))?;
    // Only where tenants came to be: what is due by time is the daemon's.
    let users = reconcile::sync_users(&reader, &writer, &look, &outcome, None).await;
    if context.is_json() {
        context.json(&OutcomeJson { users, ..OutcomeJson::new(PlanJson::from(&plan), &outcome) });
    } else if !plan.steps.is_empty() {
        context.say(&report::outcome_text(&outcome, context.paint()));
        if !users.is_empty() {
            context.say(&sync::text(&users));
        }
    }
    Ok(if outcome.failed() > 0 || outcome.skipped() > 0 {
        Exit::SomeFailed
    } else if is_held(&plan, &look.desired, &args.selection) {
        Exit::Held
    } else {
        Exit::Done
    })
}

/// Who is acting, for the audit log: `apply by alice (commit 1a2b3c4d)`.
pub fn actor(how: &str, revision: Option<&str>) -> String {
    let who = user();
    match revision {
        Some(revision) => format!("{how} by {who} (commit {})", &revision[..revision.len().min(12)]),
        None => format!("{how} by {who}"),
    }
}

/// The person at the keyboard, also behind sudo.
pub fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// A token that SIGINT and SIGTERM cancel: the steps in hand are finished, no other is begun.
pub fn stop_on_signal() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: the step in hand is finished first");
        cancelled.cancel();
    });
    stop
}
