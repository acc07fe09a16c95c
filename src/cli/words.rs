//! `tenantd approve`, `suspend` and `resume`: what people say to tenantd.

use chrono::{DateTime, TimeDelta, Utc};

use super::args::{ApproveArgs, ScopeArgs, SuspendArgs};
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::known::known;
use super::plan::{actor, look, rotation, user};
use crate::config::DeletionMode;
use crate::environment::{Environment as _, System, to_the_minute};
use crate::model::{Approval, Completeness, Suspension, TenantKey};
use crate::plan::{Plan, Policy, record_retention_end};
use crate::reconcile::Look;
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
    let (removals_id, deletion_of, what) = match (&args.plan_id, &args.tenant) {
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
    context.say(&format!("approved until {}: {what}\n{NEXT}", to_the_minute(expires)));
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

/// When words become deeds.
const NEXT: &str = "it takes effect at the next pass, or now with `tenantd apply`\n";

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
    let no = |why: String| Err(Failure::new(format!("the deletion of {key} is not approved: {why}")));
    match &look.desired.completeness {
        Completeness::Complete => {}
        Completeness::Partial { reason } => return no(format!("{reason}, so not every file could be read")),
        Completeness::Unreadable { reason } => return no(format!("the tenants directory {reason}")),
    }
    let Some(record) = look.recorded.tenants.get(key) else {
        known(&look.desired, look.recorded.tenants.keys(), [key])?;
        return Err(Failure::new(format!("there is no record of the tenant {key}")));
    };
    let deletion = &look.policy.deletion;
    let expires = look.now + valid_for;
    if look.desired.tenants.contains_key(key) {
        let lift = format!("tenantd approve --tenant {key}");
        let left_behind = plan.held.iter().find(|held| held.lift.as_ref() == Some(&lift));
        let Some(held) = left_behind else {
            return no("it has a file; only a tenant whose file is gone can be deleted".to_owned());
        };
        // The word would also do for the tenant itself, were its file to go meanwhile.
        if TimeDelta::days(i64::from(deletion.retention_days)) < valid_for {
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
    if until >= expires {
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
    Ok(AuditEntry { detail: Some(detail), ..AuditEntry::new(now, actor("command", None), event, key) })
}

pub async fn suspend(context: &Context, args: &SuspendArgs) -> Result<Exit> {
    let config = context.config()?;
    let now = System.now();
    let until = moment(&args.until, now)?;
    if until <= now {
        return Err(Failure::new("`--until` is in the past"));
    }
    if args.reason.trim().is_empty() {
        return Err(Failure::new("`--reason` is empty: say why, for whoever wonders"));
    }
    known_instance(&config, &args.scope)?;
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
    let entry = said("suspension.begun", args.scope.key.clone(), format!("{what}: {}", args.reason), now)?;
    database
        .write(move |store| {
            store.suspend(&suspension)?;
            store.append_audit(&entry)
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    context.say(&format!("{what} suspended until {}\n", to_the_minute(until)));
    Ok(Exit::Done)
}

pub async fn resume(context: &Context, args: &ScopeArgs) -> Result<Exit> {
    let config = context.config()?;
    known_instance(&config, args)?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let what = args.text();
    let now = System.now();
    let entry = said("suspension.ended", args.key.clone(), what.clone(), now)?;
    let (key, instance) = (args.key.clone(), args.instance.clone());
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
    let left = left.iter().map(|suspension| {
        format!(
            "still suspended: {} until {}: {}\n",
            suspension.scope(),
            to_the_minute(suspension.until),
            suspension.reason
        )
    });
    let left: String = left.collect();
    if ended == 0 {
        let none = format!("there is no suspension of {what}");
        return Err(Failure::new(if left.is_empty() {
            none
        } else {
            format!("{none}\n{}", left.trim_end())
        }));
    }
    let done = match (&args.key, &args.instance) {
        (None, None) => "the suspension of everything has ended".to_owned(),
        _ => format!("{what} resumed"),
    };
    context.say(&format!("{done}\n{left}{NEXT}"));
    Ok(Exit::Done)
}

fn known_instance(config: &crate::config::Config, scope: &ScopeArgs) -> Result<()> {
    match &scope.instance {
        Some(instance) if !config.instances.contains_key(instance) => {
            Err(Failure::new(format!("there is no instance {instance} in the configuration")))
        }
        _ => Ok(()),
    }
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
