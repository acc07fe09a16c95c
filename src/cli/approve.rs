//! `tenantd approve`: one deletion, the removals of one plan, or that two tenants are two.

use chrono::{DateTime, TimeDelta};

use super::actor::audit_entry;
use super::actor::user;
use super::args::ApproveArgs;
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::gather::{gather, rotation};
use super::lookup::known;
use super::wake::{wake, when};
use crate::config::DeletionMode;
use crate::environment::{Environment as _, System, to_the_minute};
use crate::inputs::PassInputs;
use crate::model::{Approval, Completeness, TenantKey};
use crate::plan::{Action, Held, Plan, Policy, record_retention_end};
use crate::report::FORMAT_VERSION;
use crate::store::Access;

/// Records an approval. What cannot be verified now is refused.
pub async fn run(context: &Context, args: &ApproveArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    let loaded = context.load(&config).await;
    let database = context.database(&config, Access::ReadWrite).await?;
    let readers = context.readers(&config)?;
    let policy = Policy::new(&config);
    let inputs = gather(&config, &database, &readers, loaded.desired, policy, rotation(false)).await?;
    let plan = inputs.plan();
    let now = System.now();
    let valid_for = TimeDelta::from_std(args.valid_for).map_err(|error| Failure::of(&error))?;
    let (removals_id, deletion_of, what) = match (&args.what.id, &args.what.tenant) {
        (Some(id), None) if id.starts_with("t-") => (Some(id.clone()), None, two_tenants(&plan, id)?),
        (Some(id), None) => {
            let Some(removals_id) = plan.removals_id.clone() else {
                return Err(Failure::new(format!("the current plan {} needs no approval", plan.id)));
            };
            if *id != removals_id && *id != plan.id {
                return Err(Failure::new(format!(
                    "{id} is out of date: the current plan is {} and its approval is {removals_id}. Review it with \
                     `tenantd plan`",
                    plan.id
                )));
            }
            (
                Some(removals_id.clone()),
                None,
                format!("{removals_id}: {}", lifted_steps(&inputs, &removals_id)),
            )
        }
        (None, Some(key)) => {
            let what = deletion(&inputs, &plan, key, valid_for)?;
            (None, Some(key.clone()), what)
        }
        _ => return Err(Failure::new("name a plan, or a tenant with --tenant")),
    };
    let approval = Approval {
        id: System.new_id(),
        removals_id,
        deletion_of,
        approved_by: user(),
        approved_at: now,
        expires_at: now + valid_for,
    };
    let expires = approval.expires_at;
    let entry = audit_entry("approval.given", approval.deletion_of.clone(), what.clone(), now)?;
    database
        .write(move |store| {
            store.approve(&approval)?;
            store.append_audit(&entry)
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let woken = wake(&database).await;
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "approved": what,
            "expires_at": expires.to_rfc3339(),
            "woken": woken,
        }));
    } else {
        let when = when(woken.as_deref());
        context.say(&format!("approved until {}: {what}\n{when}", to_the_minute(expires)));
    }
    Ok(Exit::Done)
}

/// What it says of a likely rename that the removed tenant and the new one are two.
fn two_tenants(plan: &Plan, id: &str) -> Result<String> {
    let lifted_by = format!("tenantd approve {id}");
    let held: Vec<String> = plan
        .held
        .iter()
        .filter(|held| held.lifted_by.as_ref() == Some(&lifted_by))
        .map(|held| format!("{} {}", held.action, held.tenant))
        .collect();
    if held.is_empty() {
        return Err(Failure::new(format!(
            "{id} is out of date: the current plan has no likely rename of this id. Review it with `tenantd plan`"
        )));
    }
    Ok(format!("{id}: two different tenants: {}", held.join(", ")))
}

/// Whether approving a plan's removals lifts this as well. Each likely rename is approved by itself.
fn is_covered(lifted_by: &str) -> bool {
    lifted_by.starts_with("tenantd approve") && !lifted_by.starts_with("tenantd approve t-")
}

/// What these removals are. Those that were approved before are held no more, so they are looked for without that.
fn lifted_steps(inputs: &PassInputs, removals_id: &str) -> String {
    let mut before = inputs.clone();
    before.recorded.approvals.retain(|approval| approval.removals_id.as_deref() != Some(removals_id));
    let held: Vec<String> = before
        .plan()
        .held
        .iter()
        .filter(|held| held.lifted_by.as_deref().is_some_and(is_covered))
        .map(|held| format!("{} {}", held.action, held.tenant))
        .collect();
    if held.is_empty() { "it holds nothing".to_owned() } else { held.join(", ") }
}

/// What approving this tenant's deletion lets go ahead; refused where that cannot be seen now.
fn deletion(inputs: &PassInputs, plan: &Plan, key: &TenantKey, valid_for: TimeDelta) -> Result<String> {
    known(&inputs.desired, inputs.recorded.tenants.keys(), [key])?;
    deletable(inputs, plan, key, Some(valid_for))
        .map_err(|why| Failure::new(format!("the deletion of {key} is not approved: {why}")))
}

/// Why the tenant is not deleted in this run, although that was allowed by name.
pub fn why_not_deleted(inputs: &PassInputs, plan: &Plan, key: &TenantKey) -> Option<String> {
    let of_it = |tenant: &TenantKey, action: Action| {
        tenant == key && matches!(action, Action::Delete | Action::DeleteRecord)
    };
    if plan.steps.iter().any(|step| of_it(&step.tenant, step.action)) {
        return None;
    }
    let held = plan.held.iter().find(|held| of_it(&held.tenant, held.action));
    let why = held.map(Held::why).or_else(|| deletable(inputs, plan, key, None).err());
    Some(why.unwrap_or_else(|| "it is not due for deletion".to_owned()))
}

/// What may be deleted of a tenant: with an approval that holds so long, or in this run; or why nothing may.
fn deletable(
    inputs: &PassInputs,
    plan: &Plan,
    key: &TenantKey,
    valid_for: Option<TimeDelta>,
) -> std::result::Result<String, String> {
    let no = Err;
    match &inputs.desired.completeness {
        Completeness::Complete => {}
        Completeness::Partial { reason } => return no(format!("{reason}, so not every file could be read")),
        Completeness::Unreadable { reason } => return no(format!("the tenants directory {reason}")),
    }
    let Some(record) = inputs.recorded.tenants.get(key) else {
        return no("it is not recorded yet, so there is nothing to delete".to_owned());
    };
    let deletion = &inputs.policy.deletion;
    if inputs.desired.tenants.contains_key(key) {
        let lifted_by = format!("tenantd approve --tenant {key}");
        let left_behind = plan.held.iter().find(|held| held.lifted_by.as_ref() == Some(&lifted_by));
        let Some(held) = left_behind else {
            return no("it has a file, and only a tenant without a file is deleted".to_owned());
        };
        // The word would also do for the tenant itself, were its file to go meanwhile.
        if valid_for.is_some_and(|time| TimeDelta::days(i64::from(deletion.retention_days)) < time) {
            return no(format!(
                "it has a file, so only its previous domain on {} can be deleted. The retention of that domain is \
                 shorter than this approval; delete it in one run instead: tenantd apply --allow-delete {key}",
                held.instance
            ));
        }
        return Ok(format!("the deletion of the previous domain of {key} on {}", held.instance));
    }
    if record.definition.enabled || record.file_removed_at.is_none() {
        return no("it is not disabled yet; the next run disables it, unless that is held".to_owned());
    }
    if record.definition.protected {
        return no(
            "it is protected. Restore its file with `protected: false`, apply that, and remove the file again".to_owned()
        );
    }
    if deletion.mode == DeletionMode::Never {
        return no("`deletion.mode` is `never`".to_owned());
    }
    let Some(retention) = record_retention_end(record, deletion.retention_days) else {
        return no("the PBX has not confirmed yet that it is disabled; the next run checks".to_owned());
    };
    let waits =
        plan.scheduled.iter().filter(|scheduled| scheduled.tenant == *key).map(|scheduled| scheduled.until);
    let until = waits.fold(retention, DateTime::max);
    let expires = inputs.now + valid_for.unwrap_or_default();
    if until >= expires {
        if valid_for.is_none() {
            return no(format!("its retention ends on {}", to_the_minute(until)));
        }
        let days = (until - inputs.now).num_days() + 1;
        return no(format!(
            "its retention ends on {}, and the approval would expire before, at {}. {}",
            to_the_minute(until),
            to_the_minute(expires),
            if days <= 7 {
                format!("Approve it with `--for {days}d`")
            } else {
                "Approve it after that date".to_owned()
            }
        ));
    }
    Ok(format!("the deletion of {key}"))
}
