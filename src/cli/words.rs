//! `tenantd approve`, `pause` and `resume`: what people decide.

use chrono::{DateTime, TimeDelta, Utc};

use super::args::{ApproveArgs, PauseArgs, ScopeArgs};
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::known::{known, known_instance};
use super::plan::{by_hand, look, rotation, user};
use super::wake::{wake, when};
use crate::config::DeletionMode;
use crate::environment::{Environment as _, System, to_the_minute};
use crate::model::{Approval, Completeness, Suspension, TenantKey, paused_text};
use crate::plan::{Action, Plan, Policy, record_retention_end};
use crate::reconcile::Look;
use crate::report::FORMAT_VERSION;
use crate::store::{Access, AuditEntry};

/// Records an approval. What cannot be verified now is refused.
pub async fn approve(context: &Context, args: &ApproveArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    let loaded = context.load(&config).await;
    let database = context.database(&config, Access::ReadWrite).await?;
    let readers = context.readers(&config)?;
    let policy = Policy::new(&config);
    let look = look(&config, &database, &readers, loaded.desired, policy, rotation(&config)).await?;
    let plan = look.plan();
    let now = System.now();
    let valid_for = TimeDelta::from_std(args.valid_for).map_err(|error| Failure::of(&error))?;
    let (removals_id, deletion_of, what) = match (&args.what.id, &args.what.tenant) {
        (Some(id), None) if id.starts_with("t-") => (Some(id.clone()), None, two_tenants(&plan, id)?),
        (Some(id), None) => {
            let Some(removals_id) = plan.removals_id.clone() else {
                return Err(Failure::new(format!("the current plan {} has nothing to approve", plan.id)));
            };
            if *id != removals_id && *id != plan.id {
                return Err(Failure::new(format!(
                    "{id} is not the current plan: that is {} with the removals {removals_id}; look at `tenantd plan` \
                     and approve what it shows",
                    plan.id
                )));
            }
            (
                Some(removals_id.clone()),
                None,
                format!("{removals_id}: {}", what_it_lifts(&look, &removals_id)),
            )
        }
        (None, Some(key)) => {
            let what = deletion(&look, &plan, key, valid_for)?;
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
    let entry = said("approval.given", approval.deletion_of.clone(), what.clone(), now)?;
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
    let lift = format!("tenantd approve {id}");
    let held: Vec<String> = plan
        .held
        .iter()
        .filter(|held| held.lift.as_ref() == Some(&lift))
        .map(|held| format!("{} {}", held.action, held.tenant))
        .collect();
    if held.is_empty() {
        return Err(Failure::new(format!(
            "no likely rename of the current plan has the id {id}; look at `tenantd plan` and approve what it shows"
        )));
    }
    Ok(format!("{id}: they are two tenants: {}", held.join(", ")))
}

/// Whether approving a plan's removals lifts this as well. That two tenants are two is said of each pair by itself.
fn is_covered(lift: &str) -> bool {
    lift.starts_with("tenantd approve") && !lift.starts_with("tenantd approve t-")
}

/// What these removals are. Those that were approved before are held no more, so they are looked for without that.
fn what_it_lifts(look: &Look, removals_id: &str) -> String {
    let mut before = look.clone();
    before.recorded.approvals.retain(|approval| approval.removals_id.as_deref() != Some(removals_id));
    let held: Vec<String> = before
        .plan()
        .held
        .iter()
        .filter(|held| held.lift.as_deref().is_some_and(is_covered))
        .map(|held| format!("{} {}", held.action, held.tenant))
        .collect();
    if held.is_empty() { "nothing of it is held".to_owned() } else { held.join(", ") }
}

/// What approving this tenant's deletion lets go ahead; refused where that cannot be seen now.
fn deletion(look: &Look, plan: &Plan, key: &TenantKey, valid_for: TimeDelta) -> Result<String> {
    known(&look.desired, look.recorded.tenants.keys(), [key])?;
    deletable(look, plan, key, Some(valid_for))
        .map_err(|why| Failure::new(format!("the deletion of {key} is not approved: {why}")))
}

/// Why the tenant is not deleted in this run, although that was allowed by name.
pub fn why_not_deleted(look: &Look, plan: &Plan, key: &TenantKey) -> Option<String> {
    let of_it = |tenant: &TenantKey, action: Action| {
        tenant == key && matches!(action, Action::Delete | Action::Forget)
    };
    if plan.steps.iter().any(|step| of_it(&step.tenant, step.action)) {
        return None;
    }
    let held = plan.held.iter().find(|held| of_it(&held.tenant, held.action));
    let why = held.map(|held| held.reason.clone()).or_else(|| deletable(look, plan, key, None).err());
    Some(why.unwrap_or_else(|| "nothing of it is to be deleted".to_owned()))
}

/// What may be deleted of a tenant: with an approval that holds so long, or in this run; or why nothing may.
fn deletable(
    look: &Look,
    plan: &Plan,
    key: &TenantKey,
    valid_for: Option<TimeDelta>,
) -> std::result::Result<String, String> {
    let no = Err;
    match &look.desired.completeness {
        Completeness::Complete => {}
        Completeness::Partial { reason } => return no(format!("{reason}, so not every file could be read")),
        Completeness::Unreadable { reason } => return no(format!("the tenants directory {reason}")),
    }
    let Some(record) = look.recorded.tenants.get(key) else {
        return no("it has no record yet, so there is nothing to delete".to_owned());
    };
    let deletion = &look.policy.deletion;
    if look.desired.tenants.contains_key(key) {
        let lift = format!("tenantd approve --tenant {key}");
        let left_behind = plan.held.iter().find(|held| held.lift.as_ref() == Some(&lift));
        let Some(held) = left_behind else {
            return no("it has a file; only a tenant whose file is gone can be deleted".to_owned());
        };
        // The word would also do for the tenant itself, were its file to go meanwhile.
        if valid_for.is_some_and(|time| TimeDelta::days(i64::from(deletion.retention_days)) < time) {
            return no(format!(
                "it has a file, and only what it left behind on {} can be deleted; its retention is shorter than the \
                 approval, so say it for one run: `tenantd apply --allow-delete {key}`",
                held.instance
            ));
        }
        return Ok(format!("the deletion of what {key} left behind on {}", held.instance));
    }
    if record.enabled || record.removed_at.is_none() {
        return no(
            "it is not disabled as a removed tenant yet; the next pass does that, if nothing holds it"
                .to_owned(),
        );
    }
    if record.protected {
        return no(
            "it is protected: bring its file back with `protected: false` before removing it".to_owned()
        );
    }
    if deletion.mode == DeletionMode::Never {
        return no("`deletion.mode` is `never`".to_owned());
    }
    let Some(retention) = record_retention_end(record, deletion.retention_days) else {
        return no("it is not confirmed closed on the PBX yet; the next pass looks".to_owned());
    };
    let waits = plan.waiting.iter().filter(|waiting| waiting.tenant == *key).map(|waiting| waiting.until);
    let until = waits.fold(retention, DateTime::max);
    let expires = look.now + valid_for.unwrap_or_default();
    if until >= expires {
        if valid_for.is_none() {
            return no(format!("it is kept until {}", to_the_minute(until)));
        }
        let days = (until - look.now).num_days() + 1;
        return no(format!(
            "it is kept until {}, and the approval would expire before, at {}; {}",
            to_the_minute(until),
            to_the_minute(expires),
            if days <= 7 { format!("say it with `--for {days}d`") } else { "say it again then".to_owned() }
        ));
    }
    Ok(format!("the deletion of {key}"))
}

/// A line of the audit log for what a person said.
fn said(event: &str, key: Option<TenantKey>, detail: String, now: DateTime<Utc>) -> Result<AuditEntry> {
    // What concerns no single tenant stands under a key that no file can have... a file could be named `all`; the
    // event tells the two apart.
    let key = match key {
        Some(key) => key,
        None => TenantKey::parse("all").map_err(|error| Failure::of(&error))?,
    };
    Ok(AuditEntry { detail: Some(detail), ..AuditEntry::new(now, by_hand("command"), event, key) })
}

/// How long a pause may last. What is paused for longer is forgotten, and then nobody knows why nothing happens.
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(90);

pub async fn pause(context: &Context, args: &PauseArgs) -> Result<Exit> {
    let config = context.config()?;
    let now = System.now();
    let until = moment(&args.until, now)?;
    if until <= now {
        return Err(Failure::new("`--until` is in the past"));
    }
    if until > now + LONGEST_PAUSE {
        return Err(Failure::new(format!(
            "`--until` is too far away: a pause ends after {} days at most, which is {}; it can be paused again then",
            LONGEST_PAUSE.num_days(),
            to_the_minute(now + LONGEST_PAUSE)
        )));
    }
    if args.reason.trim().is_empty() {
        return Err(Failure::new(
            "`--reason` is empty; write why, so that others see it in `tenantd status`",
        ));
    }
    if let Some(instance) = &args.scope.instance {
        known_instance(&config, instance)?;
    }
    let database = context.database(&config, Access::ReadWrite).await?;
    if let Some(key) = &args.scope.key {
        let desired = context.load(&config).await.desired;
        let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
        known(&desired, records.keys(), [key])?;
    }
    let suspension = Suspension {
        id: System.new_id(),
        key: args.scope.key.clone(),
        instance: args.scope.instance.clone(),
        until,
        reason: args.reason.clone(),
        suspended_by: user(),
        suspended_at: now,
    };
    let what = args.scope.text();
    let resume = suspension.resume();
    let detail = format!("{what} until {}: {}", to_the_minute(until), args.reason);
    let entry = said("pause.begun", args.scope.key.clone(), detail, now)?;
    let replaced = database
        .write(move |store| {
            let replaced = store.suspend(&suspension)?;
            store.append_audit(&entry)?;
            Ok(replaced)
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let replaced: Vec<String> = replaced
        .iter()
        .map(|pause| {
            format!(
                "the pause until {} by {}: {}",
                to_the_minute(pause.until),
                pause.suspended_by,
                pause.reason
            )
        })
        .collect();
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "paused": what,
            "until": until.to_rfc3339(),
            "reason": args.reason,
            "replaced": replaced,
        }));
        return Ok(Exit::Done);
    }
    let (who, them) = match (&args.scope.key, &args.scope.instance) {
        (Some(key), _) => (format!("{key} stays"), "it"),
        (None, Some(instance)) => (format!("the tenants of {instance} stay"), "them"),
        (None, None) => ("all tenants stay".to_owned(), "any of them"),
    };
    let until = to_the_minute(until);
    context.say(&format!("{who} in service; tenantd changes nothing on {them} until {until}\n"));
    for replaced in replaced {
        context.say(&format!("this replaces {replaced}\n"));
    }
    context.say(&format!("to end it before: {resume}\n"));
    Ok(Exit::Done)
}

pub async fn resume(context: &Context, args: &ScopeArgs) -> Result<Exit> {
    let config = context.config()?;
    if let Some(instance) = &args.instance {
        known_instance(&config, instance)?;
    }
    let database = context.database(&config, Access::ReadWrite).await?;
    let what = args.text();
    let now = System.now();
    let entry = said("pause.ended", args.key.clone(), what.clone(), now)?;
    let (key, instance) = (args.key.clone(), args.instance.clone());
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let (ended, left) = database
        .write(move |store| {
            let ended = store.resume(key.as_ref(), instance.as_ref())?;
            if ended > 0 {
                store.append_audit(&entry)?;
            }
            Ok((ended, store.suspensions(now)?))
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let paused = paused_text(args.key.as_ref(), args.instance.as_ref());
    let record = args.key.as_ref().and_then(|key| records.get(key));
    let instance = args.instance.as_ref().or(record.map(|record| &record.instance));
    // What pauses a part of it only is named, and keeps nothing else from being done.
    let covers = |pause: &Suspension| match (&pause.key, &pause.instance) {
        (None, None) => true,
        (None, Some(of)) => Some(of) == instance,
        (Some(_), _) => false,
    };
    let still: Vec<String> = left
        .iter()
        .map(|pause| {
            let (until, reason, resume) = (to_the_minute(pause.until), &pause.reason, pause.resume());
            if covers(pause) {
                let of = pause.scope();
                let are = if args.key.is_some() { "is" } else { "are" };
                format!("{paused} {are} still paused by the pause of {of}, until {until}: {reason}; `{resume}` ends it")
            } else {
                format!("still paused: {} until {until}: {reason}", pause.scope())
            }
        })
        .collect();
    let still_text: String = still.iter().map(|pause| format!("{pause}\n")).collect();
    if ended == 0 {
        return Err(Failure::new(format!("there is no pause of {paused}\n{still_text}").trim_end()));
    }
    let woken = if left.iter().any(covers) { None } else { Some(wake(&database).await) };
    if context.is_json() {
        context.json(&serde_json::json!({
            "format_version": FORMAT_VERSION,
            "resumed": what,
            "still_paused": still,
            "woken": woken.flatten(),
        }));
    } else {
        // Nothing takes effect while a wider pause holds.
        let when = woken.map(|woken| when(woken.as_deref())).unwrap_or_default();
        context.say(&format!("the pause of {paused} has ended\n{still_text}{when}"));
    }
    Ok(Exit::Done)
}

/// A duration from now, or a time.
fn moment(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if let Ok(duration) = humantime::parse_duration(text) {
        return TimeDelta::from_std(duration)
            .ok()
            .and_then(|duration| now.checked_add_signed(duration))
            .ok_or_else(|| Failure::new(format!("`{text}` is too far away")));
    }
    DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)).map_err(|_| {
        Failure::new(format!(
            "`{text}` is neither a duration (`2h`, `3d`) nor a time (`2026-12-01T08:00:00Z`)"
        ))
    })
}
