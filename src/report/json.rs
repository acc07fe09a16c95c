//! What programs read. Every document has `format_version`; a field is only ever added within a version.

use serde::Serialize;

use super::chain;
use super::status::IgnoredJson;
use crate::apply::{Outcome, StepResult, redact};
use crate::plan::{Action, Counts, Effect, FieldChange, Plan};
use crate::yaml::Problem;

/// The version of the documents below. 2: `scheduled` (was `waiting`), `lifted_by` (was `lift`), `delete_record` (was
/// `forget`), `advice` (was `lint`), and a `code` for each reason.
pub const FORMAT_VERSION: u32 = 2;

/// `plan --output json`.
#[derive(Debug, Serialize)]
pub struct PlanJson {
    pub format_version: u32,
    pub plan_id: Option<String>,
    /// What `tenantd approve` takes to lifted_by the holds on this plan's removals.
    pub removals_id: Option<String>,
    pub steps: Vec<StepJson>,
    pub held: Vec<HeldJson>,
    pub scheduled: Vec<ScheduledJson>,
    pub drifted: Vec<DriftedJson>,
    pub warnings: Vec<String>,
    /// What could not be checked: an instance, or the tenants directory.
    pub errors: Vec<ErrorJson>,
    pub summary: SummaryJson,
    /// How `plan --detailed-exitcode` ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detailed_exitcode: Option<u8>,
    /// Why there is no plan, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct StepJson {
    pub tenant: String,
    pub instance: String,
    pub action: Action,
    /// The stable code of the reason.
    pub code: &'static str,
    /// For people; its wording may change.
    pub reason: String,
    pub changes: Vec<ChangeJson>,
    /// What it means for people.
    pub effects: Vec<EffectJson>,
}

#[derive(Debug, Serialize)]
pub struct EffectJson {
    #[serde(flatten)]
    pub effect: Effect,
    /// For people.
    pub text: String,
}

#[derive(Debug, Serialize)]
pub struct ChangeJson {
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct HeldJson {
    pub tenant: String,
    pub instance: String,
    pub action: Action,
    /// The stable code of the reason.
    pub code: &'static str,
    /// For people; its wording may change.
    pub reason: String,
    /// The command that lifts the hold, where one does.
    pub lifted_by: Option<String>,
    pub effects: Vec<EffectJson>,
}

#[derive(Debug, Serialize)]
pub struct ScheduledJson {
    pub tenant: String,
    pub instance: String,
    pub action: Action,
    /// RFC 3339.
    pub until: String,
    /// The stable code of the reason.
    pub code: &'static str,
    /// For people; its wording may change.
    pub reason: String,
}

#[derive(Debug, Serialize)]
pub struct DriftedJson {
    pub tenant: String,
    pub instance: String,
    #[serde(flatten)]
    pub change: ChangeJson,
}

/// What kept a run from looking at everything.
#[derive(Debug, Serialize)]
pub struct ErrorJson {
    /// The instance; absent where the run as a whole is meant.
    pub instance: Option<String>,
    /// How many tenants were not checked because of it.
    pub tenants: usize,
    pub text: String,
}

impl ErrorJson {
    pub fn of_the_run(text: &str) -> Self {
        Self { instance: None, tenants: 0, text: text.to_owned() }
    }
}

#[derive(Debug, Default, Serialize)]
pub struct SummaryJson {
    pub steps: usize,
    pub held: usize,
    pub scheduled: usize,
    pub create: usize,
    pub adopt: usize,
    pub rename: usize,
    #[serde(rename = "move")]
    pub moved: usize,
    pub update: usize,
    pub enable: usize,
    pub disable: usize,
    pub delete: usize,
    pub delete_record: usize,
    #[serde(flatten)]
    pub counts: Counts,
}

impl From<&FieldChange> for ChangeJson {
    fn from(change: &FieldChange) -> Self {
        let FieldChange { field, before, after } = change;
        let shown = |value: &Option<String>| value.clone().map(|value| redact(field, value));
        Self { field: field.to_string(), before: shown(before), after: shown(after) }
    }
}

impl From<&Plan> for PlanJson {
    fn from(plan: &Plan) -> Self {
        let Plan {
            id,
            removals_id,
            steps,
            held,
            scheduled,
            drifted,
            not_checked,
            warnings,
            previews: _,
            effects: _,
            counts: _,
            settled: _,
            reopened: _,
        } = plan;
        let effects = |found: &[Effect]| {
            let found = found.iter();
            found
                .map(|effect| EffectJson { effect: effect.clone(), text: effect.to_string() })
                .collect::<Vec<_>>()
        };
        Self {
            format_version: FORMAT_VERSION,
            plan_id: Some(id.clone()),
            removals_id: removals_id.clone(),
            steps: steps
                .iter()
                .map(|step| StepJson {
                    tenant: step.tenant.to_string(),
                    instance: step.instance.to_string(),
                    action: step.action,
                    code: step.reason.code(),
                    reason: step.reason.to_string(),
                    changes: step.changes.iter().map(Into::into).collect(),
                    effects: effects(plan.effects_of_step(step)),
                })
                .collect(),
            held: held
                .iter()
                .map(|held| HeldJson {
                    tenant: held.tenant.to_string(),
                    instance: held.instance.to_string(),
                    action: held.action,
                    code: held.reason.code(),
                    reason: held.why(),
                    lifted_by: held.lifted_by.clone(),
                    effects: effects(plan.effects_of(&held.tenant, &held.instance, held.action)),
                })
                .collect(),
            scheduled: scheduled
                .iter()
                .map(|scheduled| ScheduledJson {
                    tenant: scheduled.tenant.to_string(),
                    instance: scheduled.instance.to_string(),
                    action: scheduled.action,
                    until: scheduled.until.to_rfc3339(),
                    code: scheduled.reason.code(),
                    reason: scheduled.reason.to_string(),
                })
                .collect(),
            drifted: drifted
                .iter()
                .map(|drifted| DriftedJson {
                    tenant: drifted.tenant.to_string(),
                    instance: drifted.instance.to_string(),
                    change: (&drifted.change).into(),
                })
                .collect(),
            warnings: warnings.clone(),
            errors: not_checked
                .iter()
                .map(|one| ErrorJson {
                    instance: Some(one.instance.to_string()),
                    tenants: one.tenants,
                    text: one.reason.clone(),
                })
                .collect(),
            detailed_exitcode: None,
            summary: SummaryJson::from(plan),
            error: None,
        }
    }
}

impl From<&Plan> for SummaryJson {
    fn from(plan: &Plan) -> Self {
        Self {
            steps: plan.steps.len(),
            held: plan.held.len(),
            scheduled: plan.scheduled.len(),
            create: plan.count(Action::Create),
            adopt: plan.count(Action::Adopt),
            rename: plan.count(Action::Rename),
            moved: plan.count(Action::Move),
            update: plan.count(Action::Update),
            enable: plan.count(Action::Enable),
            disable: plan.count(Action::Disable),
            delete: plan.count(Action::Delete),
            delete_record: plan.count(Action::DeleteRecord),
            counts: plan.counts,
        }
    }
}

impl PlanJson {
    /// The document of a plan that could not be made.
    pub fn failed(error: String) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            plan_id: None,
            removals_id: None,
            steps: Vec::new(),
            held: Vec::new(),
            scheduled: Vec::new(),
            drifted: Vec::new(),
            warnings: Vec::new(),
            errors: vec![ErrorJson::of_the_run(&error)],
            summary: SummaryJson::default(),
            detailed_exitcode: Some(1),
            error: Some(error),
        }
    }
}

/// `apply --output json`: the plan, and what became of each of its steps.
#[derive(Debug, Serialize)]
pub struct OutcomeJson {
    #[serde(flatten)]
    pub plan: PlanJson,
    pub results: Vec<ResultJson>,
    /// The users of instances where a tenant came to be.
    pub users: Vec<crate::sync::InstanceSync>,
    pub done: usize,
    pub failed: usize,
    pub skipped: usize,
}

#[derive(Debug, Serialize)]
pub struct ResultJson {
    pub tenant: String,
    pub instance: String,
    pub action: Action,
    /// `done`, `failed` or `skipped`.
    pub result: &'static str,
    pub detail: Option<String>,
}

impl OutcomeJson {
    pub fn new(plan: PlanJson, outcome: &Outcome) -> Self {
        Self {
            plan,
            results: outcome
                .steps
                .iter()
                .map(|step| {
                    let (result, detail) = match &step.result {
                        StepResult::Done => ("done", step.note()),
                        StepResult::Failed(error) => ("failed", Some(chain(error))),
                        StepResult::Skipped(why) => ("skipped", Some(why.clone())),
                    };
                    ResultJson {
                        tenant: step.tenant.to_string(),
                        instance: step.instance.to_string(),
                        action: step.action,
                        result,
                        detail,
                    }
                })
                .collect(),
            users: Vec::new(),
            done: outcome.done(),
            failed: outcome.failed(),
            skipped: outcome.skipped(),
        }
    }
}

/// `validate --output json`.
#[derive(Debug, Serialize)]
pub struct ProblemsJson<'a> {
    pub format_version: u32,
    pub valid: bool,
    pub tenants: usize,
    pub problems: &'a [Problem],
    /// What lies in the tenants directory and is no tenant file.
    pub ignored_files: Vec<IgnoredJson>,
}
