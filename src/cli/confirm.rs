//! The question before a plan is carried out.

use std::io::{BufRead as _, IsTerminal as _};

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::output;
use crate::plan::Plan;
use crate::report;

/// Whether an operator is there to answer, and sees what the question is about.
fn can_ask(context: &Context) -> bool {
    !context.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks an operator; fails where the answer is no, or no one can be ask. A plan without a step needs no question.
pub async fn confirm(context: &Context, plan: &Plan) -> Result<()> {
    if plan.steps.is_empty() {
        return Ok(());
    }
    let summary = report::summary(plan);
    if !can_ask(context) {
        return Err(Failure {
            exit: Exit::Usage,
            ..Failure::new(format!(
                "Nothing was changed, because there is no terminal to ask on ({summary}). Run `tenantd apply \
                 --yes`, or `tenantd apply --plan {}` for exactly this plan.",
                plan.id
            ))
        });
    }
    if ask(&format!("Apply plan {}: {summary}?", plan.id)).await? {
        return Ok(());
    }
    Err(Failure::new("not confirmed, so nothing was changed"))
}

/// Asks a question of another kind, unless `--yes` answered it already. `false` is a no.
pub async fn agreed(context: &Context, question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !can_ask(context) {
        return Err(Failure {
            exit: Exit::Usage,
            ..Failure::new(
                "Nothing was changed, because there is no terminal to ask on. Run it again with `--yes`.",
            )
        });
    }
    ask(question).await
}

async fn ask(question: &str) -> Result<bool> {
    output::tell(&format!("\n{question} [y/N] "));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(|error| Failure::of(&error))?.map_err(|error| Failure::of(&error))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
