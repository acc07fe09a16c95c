//! A pass on request: `tenantd apply` beside a running daemon asks it, because there is one writer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::apply::Outcome;
use crate::environment::Environment;
use crate::plan::Plan;
use crate::report::{self, OutcomeJson, Paint, PlanJson};
use crate::store::{Database, StoreError};

const REQUESTED: &str = "pass.requested";
const DONE: &str = "pass.done";
/// Changes with each decision that a running daemon is to see at once. No one waits for an answer.
const WOKEN: &str = "pass.woken";
/// How often the daemon looks whether someone asks, and the one who asks for the answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The daemon's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PassAnswer {
    request: Uuid,
    pub failed: usize,
    pub skipped: usize,
    pub held: usize,
    /// Instances that could not be checked.
    #[serde(default)]
    pub not_checked: usize,
    /// Why the pass failed, if it did.
    pub error: Option<String>,
    /// Plan and outcome, as `apply` shows them when it does the pass itself: as text and as JSON.
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub document: serde_json::Value,
}

/// Asks the daemon for a pass; returns the request to wait for. There is one request at a time: a request that another
/// one replaced before it was answered, or whose answer was replaced before it was read, is created again.
pub async fn request_pass(
    database: &Database,
    environment: &dyn Environment,
    request: Option<Uuid>,
) -> Result<Uuid, StoreError> {
    let (id, now) = (request.unwrap_or_else(|| environment.new_id()), environment.now());
    let stands = database.read(|store| store.fact(REQUESTED)).await?;
    if stands.as_deref() != Some(&id.to_string()) {
        database.write(move |store| store.put_fact(REQUESTED, &id.to_string(), now)).await?;
    }
    Ok(id)
}

/// Takes a request back that no one waits for any more. Another one's is not touched.
pub async fn withdraw(database: &Database, request: Uuid) -> Result<(), StoreError> {
    database.write(move |store| store.remove_fact(REQUESTED, &request.to_string())).await
}

/// Has a running daemon make a pass. A request that waits for its answer is not touched.
pub async fn wake(database: &Database, environment: &dyn Environment) -> Result<(), StoreError> {
    let (id, now) = (environment.new_id(), environment.now());
    database.write(move |store| store.put_fact(WOKEN, &id.to_string(), now)).await
}

/// Waits for the answer, at most so long.
pub async fn answer(
    database: &Database,
    request: Uuid,
    patience: Duration,
) -> Result<Option<PassAnswer>, StoreError> {
    let until = tokio::time::Instant::now() + patience;
    while tokio::time::Instant::now() < until {
        let found = database.read(|store| store.fact(DONE)).await?;
        let answer = found.and_then(|text| serde_json::from_str::<PassAnswer>(&text).ok());
        if let Some(answer) = answer.filter(|answer| answer.request == request) {
            return Ok(Some(answer));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

/// What the daemon remembers of requests: each is answered once.
#[derive(Debug, Default)]
pub(super) struct PassRequests {
    answered: Option<Uuid>,
    /// The last waking that the pass which is under way has seen.
    woken: Option<String>,
}

impl PassRequests {
    /// The request that waits, if one does. Called before each pass, which then sees all that was decided until now.
    pub(super) async fn waiting(&mut self, database: &Database) -> Option<Uuid> {
        let (request, woken) = self.facts(database).await?;
        self.woken = woken;
        request
    }

    /// The request that waits, and the last waking. `None` where the database cannot be read.
    async fn facts(&self, database: &Database) -> Option<(Option<Uuid>, Option<String>)> {
        let read = database.read(|store| Ok((store.fact(REQUESTED)?, store.fact(WOKEN)?))).await;
        let (request, woken) = read.ok()?;
        let request: Option<Uuid> = request.and_then(|text| text.parse().ok());
        Some((request.filter(|request| self.answered != Some(*request)), woken))
    }

    /// Returns when someone asks, or decided something.
    pub(super) async fn requested(&self, database: &Database) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.facts(database).await {
                Some((None, woken)) if woken == self.woken => {}
                Some(_) => return,
                None => {}
            }
        }
    }

    pub(super) async fn answer(
        &mut self,
        database: &Database,
        environment: &dyn Environment,
        request: Uuid,
        passed: Result<(&Plan, &Outcome), String>,
    ) {
        self.answered = Some(request);
        let answer = match passed {
            Ok((plan, outcome)) => PassAnswer {
                request,
                failed: outcome.failed(),
                skipped: outcome.skipped(),
                held: plan.held.len(),
                not_checked: plan.not_checked.len(),
                error: None,
                text: format!(
                    "{}{}",
                    report::preview(plan, Paint(false)),
                    if plan.steps.is_empty() {
                        String::new()
                    } else {
                        report::outcome_text(outcome, Paint(false))
                    }
                ),
                document: serde_json::to_value(OutcomeJson::new(PlanJson::from(plan), outcome))
                    .unwrap_or_default(),
            },
            Err(error) => PassAnswer {
                request,
                failed: 0,
                skipped: 0,
                held: 0,
                not_checked: 0,
                error: Some(error),
                text: String::new(),
                document: serde_json::Value::Null,
            },
        };
        let now = environment.now();
        let Ok(text) = serde_json::to_string(&answer) else { return };
        if let Err(error) = database.write(move |store| store.put_fact(DONE, &text, now)).await {
            tracing::warn!(error = %crate::report::chain(&error), "the answer to a pass request was not saved");
        }
    }
}
