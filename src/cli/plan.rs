//! `tenantd plan`.

use super::args::PlanArgs;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::gather::{gather_read_only, policy, rotation, show_problems, show_unusual, unreadable};
use super::lookup::known;
use crate::model::Desired;
use crate::plan::Plan;
use crate::report::{self, ErrorJson, PlanJson};

/// Shows the plan. It has readers only, so it cannot change anything.
pub async fn run(context: &Context, args: &PlanArgs) -> Result<Exit> {
    let planned = make_plan(context, args).await;
    let Planned { plan, desired, unreadable } = match planned {
        Ok(planned) => planned,
        Err(failure) => {
            if context.is_json() {
                context.json(&PlanJson::failed(failure.message.clone()));
            }
            return Err(failure);
        }
    };
    let exit = Exit::of_plan(&plan, &desired, &args.selection);
    if context.is_json() {
        let mut document = PlanJson::from(&plan);
        if unreadable.is_some() {
            // It is reported as the error, and not as a warning as well.
            document.warnings.retain(|warning| !warning.starts_with("the tenants directory "));
        }
        document.detailed_exitcode = Some(unreadable.as_ref().map_or(exit, |_| Exit::Error).number());
        document.errors.extend(unreadable.iter().map(|text| ErrorJson::of_the_run(text)));
        document.error.clone_from(&unreadable);
        context.json(&document);
    } else if unreadable.is_none() {
        context.say(&report::preview(&plan, context.paint()));
        context.say(&report::settings_compared(&plan));
    }
    match unreadable {
        Some(text) => Err(Failure::new(text)),
        None => Ok(if args.detailed_exitcode { exit } else { Exit::Done }),
    }
}

struct Planned {
    plan: Plan,
    desired: Desired,
    /// Why the tenants directory cannot be read.
    unreadable: Option<String>,
}

async fn make_plan(context: &Context, args: &PlanArgs) -> Result<Planned> {
    let config = context.config_with_secrets()?;
    let loaded = context.load(&config).await;
    show_problems(context, &loaded);
    // An exit code that says "nothing to do" must not leave out the settings whose turn it is not.
    let rotation = rotation(args.full || args.detailed_exitcode);
    let policy = policy(&config, &args.selection, &[]);
    let inputs = gather_read_only(context, &config, loaded, policy, rotation).await?;
    show_unusual(context, &inputs);
    known(&inputs.desired, inputs.recorded.tenants.keys(), &args.selection.tenants)?;
    let unreadable = unreadable(&config, &inputs.desired);
    Ok(Planned { plan: inputs.plan(), desired: inputs.desired, unreadable })
}
