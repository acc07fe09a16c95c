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

/// A request for a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: Uuid,
    /// Whether the pass compares the settings of every tenant.
    pub compares_all: bool,
}

impl Request {
    /// Stands behind the id of a request whose pass compares everything.
    const FULL: &str = " full";

    fn parse(text: &str) -> Option<Self> {
        let (id, compares_all) = match text.strip_suffix(Self::FULL) {
            Some(id) => (id, true),
            None => (text, false),
        };
        Some(Self { id: id.parse().ok()?, compares_all })
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.id, if self.compares_all { Self::FULL } else { "" })
    }
}

/// Asks the daemon for a pass; returns the request to wait for. There is one request at a time: a request that another
/// one replaced before it was answered, or whose answer was replaced before it was read, is created again.
pub async fn request_pass(
    database: &Database,
    environment: &dyn Environment,
    request: Option<Request>,
    compares_all: bool,
) -> Result<Request, StoreError> {
    let request = request.unwrap_or_else(|| Request { id: environment.new_id(), compares_all });
    let (text, now) = (request.to_string(), environment.now());
    let stands = database.read(|store| store.fact(REQUESTED)).await?;
    if stands.as_ref() != Some(&text) {
        database.write(move |store| store.put_fact(REQUESTED, &text, now)).await?;
    }
    Ok(request)
}

/// Takes a request back that no one waits for any more. Another one's is not touched.
pub async fn withdraw(database: &Database, request: Request) -> Result<(), StoreError> {
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
    request: Request,
    patience: Duration,
) -> Result<Option<PassAnswer>, StoreError> {
    let until = tokio::time::Instant::now() + patience;
    while tokio::time::Instant::now() < until {
        let found = database.read(|store| store.fact(DONE)).await?;
        let answer = found.and_then(|text| serde_json::from_str::<PassAnswer>(&text).ok());
        if let Some(answer) = answer.filter(|answer| answer.request == request.id) {
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
    /// The request that waits, if one does, and whether a decision brings the pass. Called before each pass, which then
    /// sees all that was decided until now.
    pub(super) async fn waiting(&mut self, database: &Database) -> (Option<Request>, bool) {
        let Some((request, woken)) = self.facts(database).await else { return (None, false) };
        let is_woken = self.woken != woken;
        self.woken = woken;
        (request, is_woken)
    }

    /// The request that waits, and the last waking. `None` where the database cannot be read.
    async fn facts(&self, database: &Database) -> Option<(Option<Request>, Option<String>)> {
        let read = database.read(|store| Ok((store.fact(REQUESTED)?, store.fact(WOKEN)?))).await;
        let (request, woken) = read.ok()?;
        let request = request.and_then(|text| Request::parse(&text));
        Some((request.filter(|request| self.answered != Some(request.id)), woken))
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
        request: Request,
        passed: Result<(&Plan, &Outcome), String>,
    ) {
        let request = request.id;
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
                    "{}{}{}",
                    report::preview(plan, Paint(false)),
                    report::settings_compared(plan),
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
