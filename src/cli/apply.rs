//! `tenantd apply`.

use std::time::{Duration, Instant};

use super::actor::actor;
use super::approve::why_not_deleted;
use super::args::{ApplyArgs, Selection};
use super::confirm::confirm;
use super::context::{Context, Failure, Result};
use super::exit::{Exit, Verdict, is_held};
use super::gather::{gather, gather_read_only, policy, readable, rotation, show_problems, show_unusual};
use super::lookup::known;
use super::output::tell;
use super::status;
use super::stop::stop_on_signal;
use super::writer::{Runner, runner_if};
use crate::config::Config;
use crate::daemon::pass_requests;
use crate::environment::System;
use crate::inputs::PassInputs;
use crate::load::Loaded;
use crate::model::{Desired, TenantKey};
use crate::observe::Rotation;
use crate::plan::Plan;
use crate::reconcile::{self, Reader, Writer};
use crate::report::{self, OutcomeJson, Paint, PlanJson};
use crate::store::{Access, Database};
use crate::sync;

/// Shows the plan, asks, and carries it out.
pub async fn run(context: &Context, args: &ApplyArgs) -> Result<Exit> {
    let applied = carry_out(context, args).await;
    if let Err(failure) = &applied
        && context.is_json()
        && failure.exit != Exit::StalePlan
    {
        context.json(&PlanJson { errors: Vec::new(), ..PlanJson::failed(failure.message.clone()) });
    }
    applied
}

/// The plan that was reviewed. No other plan is carried out.
enum Reviewed {
    /// Any plan: `--yes`.
    Any,
    /// The plan with this id: `--plan`.
    Named(String),
    /// The plan that was shown with the question.
    Shown(Box<Plan>),
}

impl Reviewed {
    fn allows(&self, id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(named) => named == id,
            Self::Shown(shown) => shown.id == id,
        }
    }

    fn refusal(&self, id: &str) -> String {
        match self {
            Self::Any | Self::Shown(_) => format!(
                "The plan is out of date: files, database or PBX changed since the question was asked. Nothing was \
                 done. The current plan is {id}; review it with `tenantd plan`."
            ),
            Self::Named(named) => format!(
                "Plan {named} is out of date: files, database or PBX changed since it was made. Nothing was done. The \
                 current plan is {id}; review it with `tenantd plan`."
            ),
        }
    }
}

async fn carry_out(context: &Context, args: &ApplyArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    let mut loaded = context.load(&config).await;
    show_problems(context, &loaded);
    readable(&config, &loaded.desired)?;
    let reviewed = match &args.plan_id {
        Some(id) => Reviewed::Named(id.clone()),
        None if args.yes => Reviewed::Any,
        None => {
            let shown = ask(context, args, &config, loaded).await?;
            // The files may have changed before the question was answered.
            loaded = context.load(&config).await;
            readable(&config, &loaded.desired)?;
            Reviewed::Shown(Box::new(shown))
        }
    };
    let database = context.database(&config, Access::ReadWrite).await?;
    let asked_at = Instant::now();
    let lease = match runner_if(&database, args.full, |daemon| decides_by_itself(args, daemon)).await? {
        Runner::Own(lease) => lease,
        Runner::Daemon(answer) => return Ok(show_answer(context, &reviewed, &loaded.desired, &answer)),
    };
    if asked_at.elapsed() > NO_WAIT {
        // The lease was waited for, and the files may have changed meanwhile.
        loaded = context.load(&config).await;
        if let Err(failure) = readable(&config, &loaded.desired) {
            lease.release().await;
            return Err(failure);
        }
    }
    let applied = carry_out_alone(context, args, &reviewed, &config, loaded, &lease.database()).await;
    lease.release().await;
    applied
}

/// Shows the plan and asks. The writer's lease is not taken yet, so no other process waits for the answer.
async fn ask(context: &Context, args: &ApplyArgs, config: &Config, loaded: Loaded) -> Result<Plan> {
    let policy = policy(config, &args.selection, &args.allow_delete);
    let inputs = gather_read_only(context, config, loaded, policy, rotation(args.full)).await?;
    show_unusual(context, &inputs);
    let plan = inputs.plan();
    let named = args.selection.tenants.iter().chain(&args.allow_delete);
    known(&inputs.desired, inputs.recorded.tenants.keys(), named)?;
    if !context.is_json() {
        context.say(&report::preview(&plan, context.paint()));
        context.say(&report::settings_compared(&plan));
    }
    context.written()?;
    confirm(context, &plan).await?;
    Ok(plan)
}

/// If taking the lease took less than this, no other process held it.
const NO_WAIT: Duration = Duration::from_millis(400);

/// There is one writer. Beside a running daemon, it is the daemon that does the run, and it makes its own plan.
fn decides_by_itself(args: &ApplyArgs, daemon: &str) -> Result<()> {
    let ApplyArgs { selection, allow_delete, plan_id, yes: _, full: _ } = args;
    let Selection { tenants, no_removals } = selection;
    let given = [
        ("--tenant", !tenants.is_empty()),
        ("--no-removals", *no_removals),
        ("--allow-delete", !allow_delete.is_empty()),
        ("--plan", plan_id.is_some()),
    ];
    let given: Vec<&str> =
        given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect();
    if given.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} cannot be used while {daemon} is running, because it makes its own plan. Use `tenantd approve` or \
         `tenantd pause`, or stop the daemon",
        given.join(" and ")
    )))
}

fn show_answer(
    context: &Context,
    reviewed: &Reviewed,
    desired: &Desired,
    answer: &pass_requests::PassAnswer,
) -> Exit {
    if context.is_json() {
        context.json(&answer.document);
    } else {
        context.say(not_shown_yet(reviewed, &answer.text));
    }
    if !desired.broken.is_empty() {
        let names: Vec<&str> = desired.broken.iter().map(|file| file.file.as_str()).collect();
        tell(&format!(
            "broken: {}: nothing is removed until `tenantd validate` finds every file readable\n",
            names.join(", ")
        ));
    }
    let verdict = Verdict {
        failed: answer.failed > 0 || answer.skipped > 0,
        held: answer.held > 0 || !desired.broken.is_empty(),
        not_checked: answer.not_checked > 0,
        ..Verdict::default()
    };
    verdict.exit()
}

/// The daemon's answer without the plan that was shown for the question, where it is the same.
fn not_shown_yet<'t>(reviewed: &Reviewed, text: &'t str) -> &'t str {
    match reviewed {
        Reviewed::Shown(shown) => text.strip_prefix(&report::preview(shown, Paint(false))).unwrap_or(text),
        Reviewed::Any | Reviewed::Named(_) => text,
    }
}

async fn carry_out_alone(
    context: &Context,
    args: &ApplyArgs,
    reviewed: &Reviewed,
    config: &Config,
    loaded: Loaded,
    database: &Database,
) -> Result<Exit> {
    let clients = context.clients(config)?;
    let actor = actor("apply", loaded.desired.revision.as_deref());
    let gather_again = async |desired: Desired, rotation: Rotation| {
        let policy = policy(config, &args.selection, &args.allow_delete);
        gather(config, database, &clients.readers, desired, policy, rotation).await
    };
    let started_at = chrono::Utc::now();
    let mut inputs = gather_again(loaded.desired, rotation(args.full)).await?;
    if !matches!(reviewed, Reviewed::Shown(_)) {
        show_unusual(context, &inputs);
    }
    let named = args.selection.tenants.iter().chain(&args.allow_delete);
    known(&inputs.desired, inputs.recorded.tenants.keys(), named)?;
    let mut plan = inputs.plan();
    if !reviewed.allows(&plan.id) {
        // It may have been made with the settings of all tenants, by `plan --detailed-exitcode`.
        let all = gather_again(inputs.desired.clone(), Rotation::All).await?;
        let with_all = all.plan();
        if reviewed.allows(&with_all.id) {
            (inputs, plan) = (all, with_all);
        }
    }
    plan.warnings.extend(without_effect(&inputs, &plan, &args.allow_delete));
    let shown =
        matches!(reviewed, Reviewed::Shown(shown) if shown.id == plan.id && shown.warnings == plan.warnings);
    if !context.is_json() && !shown {
        context.say(&report::preview(&plan, context.paint()));
        context.say(&report::settings_compared(&plan));
    }
    if !reviewed.allows(&plan.id) {
        let message = reviewed.refusal(&plan.id);
        if context.is_json() {
            context.json(&PlanJson { error: Some(message.clone()), ..PlanJson::from(&plan) });
        }
        return Err(Failure { exit: Exit::StalePlan, ..Failure::new(message) });
    }
    context.written()?;
    let writer = Writer {
        database,
        pbxs: &clients.writers,
        environment: &System,
        actor: actor.clone(),
        stop: stop_on_signal(),
    };
    let reader = Reader {
        config,
        database,
        pbxs: &clients.readers,
        environment: &System,
        rotation: rotation(args.full),
    };
    let outcome =
        reconcile::carry_out(&writer, config, &inputs, &plan).await.map_err(|error| Failure::of(&error))?;
    status::note_run(database, &actor, started_at, report::in_a_word(&plan, &outcome)).await;
    // Only for new tenants: users that are due by time are synchronised by the daemon.
    let users = reconcile::sync_users(&reader, &writer, &inputs, &outcome, None).await;
    if context.is_json() {
        context.json(&OutcomeJson { users, ..OutcomeJson::new(PlanJson::from(&plan), &outcome) });
    } else if !plan.steps.is_empty() {
        context.say(&report::outcome_text(&outcome, context.paint()));
        if !users.is_empty() {
            context.say(&sync::text(&users));
        }
    }
    let verdict = Verdict {
        failed: outcome.failed() > 0 || outcome.skipped() > 0,
        held: is_held(&plan, &inputs.desired, &args.selection),
        not_checked: !plan.not_checked.is_empty(),
        ..Verdict::default()
    };
    Ok(verdict.exit())
}

/// Why `--allow-delete` does nothing for a tenant.
fn without_effect(inputs: &PassInputs, plan: &Plan, keys: &[TenantKey]) -> Vec<String> {
    let why = |key: &TenantKey| {
        why_not_deleted(inputs, plan, key).map(|why| format!("--allow-delete {key} has no effect: {why}"))
    };
    keys.iter().filter_map(why).collect()
}
