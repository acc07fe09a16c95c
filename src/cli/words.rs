//! `tenantd approve`, `suspend` and `resume`: what people say to tenantd.

use chrono::{DateTime, TimeDelta, Utc};

use super::args::{ApproveArgs, ScopeArgs, SuspendArgs};
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::plan::{actor, rotation, user};
use crate::environment::{Environment as _, System};
use crate::model::{Approval, Suspension, TenantKey};
use crate::plan::Policy;
use crate::reconcile::{self, Reader};
use crate::store::{Access, AuditEntry};

/// Records an approval. What cannot be verified now is refused.
pub async fn approve(context: &Context, args: &ApproveArgs) -> Result<Exit> {
    let config = context.config_with_secrets()?;
    let loaded = context.load(&config).await;
    let database = context.database(&config, Access::ReadWrite).await?;
    let readers = context.readers(&config)?;
    let reader = Reader {
        config: &config,
        database: &database,
        pbxs: &readers,
        environment: &System,
        rotation: rotation(&config),
    };
    let look = reconcile::look(&reader, loaded.desired, Policy::new(&config))
        .await
        .map_err(|error| Failure::of(&error))?;
    let plan = look.plan();
    let now = System.now();
    let (removals_id, deletion_of, what) = match (&args.plan_id, &args.tenant) {
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
            let keys: Vec<String> = plan
                .held
                .iter()
                .filter(|held| held.lift.as_deref().is_some_and(|lift| lift.starts_with("tenantd approve")))
                .map(|held| format!("{} {}", held.action, held.tenant))
                .collect();
            (Some(removals_id.clone()), None, format!("{removals_id}: {}", keys.join(", ")))
        }
        (None, Some(key)) => {
            if !look.recorded.tenants.contains_key(key) {
                return Err(Failure::new(format!("there is no record of the tenant {key}")));
            }
            if look.desired.tenants.contains_key(key) || look.desired.is_broken(key) {
                return Err(Failure::new(format!(
                    "the tenant {key} has a file; only a tenant whose file is gone can be deleted"
                )));
            }
            (None, Some(key.clone()), format!("the deletion of {key}"))
        }
        _ => return Err(Failure::new("name a plan, or a tenant with --tenant")),
    };
    let valid_for = TimeDelta::from_std(args.valid_for).map_err(|error| Failure::of(&error))?;
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
    context.say(&format!("approved until {}: {what}\n", expires.format("%Y-%m-%d %H:%M UTC")));
    Ok(Exit::Done)
}

/// A line of the audit log for what a person said.
fn said(event: &str, key: Option<TenantKey>, detail: String, now: DateTime<Utc>) -> Result<AuditEntry> {
    // What concerns no single tenant stands under a key that no file can have... a file could be named `all`; the
    // event tells the two apart.
    let key = match key {
        Some(key) => key,
        None => TenantKey::parse("all").map_err(|error| Failure::of(&error))?,
    };
    Ok(AuditEntry {
        at: now,
        actor: actor("command", None),
        event: event.to_owned(),
        tenant: None,
        key,
        instance: None,
        plan_id: None,
        before: None,
        after: None,
        done: true,
        detail: Some(detail),
    })
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
    let suspension = Suspension {
        id: System.new_id(),
        key: args.scope.key.clone(),
        instance: args.scope.instance.clone(),
        until,
        reason: args.reason.clone(),
        suspended_by: user(),
        suspended_at: now,
    };
    let what = scope_text(&args.scope);
    let entry = said("suspension.begun", args.scope.key.clone(), format!("{what}: {}", args.reason), now)?;
    database
        .write(move |store| {
            store.suspend(&suspension)?;
            store.append_audit(&entry)
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    context.say(&format!("{what} suspended until {}\n", until.format("%Y-%m-%d %H:%M UTC")));
    Ok(Exit::Done)
}

pub async fn resume(context: &Context, args: &ScopeArgs) -> Result<Exit> {
    let config = context.config()?;
    known_instance(&config, args)?;
    let database = context.database(&config, Access::ReadWrite).await?;
    let what = scope_text(args);
    let entry = said("suspension.ended", args.key.clone(), what.clone(), System.now())?;
    let (key, instance) = (args.key.clone(), args.instance.clone());
    let ended = database
        .write(move |store| {
            let ended = store.resume(key.as_ref(), instance.as_ref())?;
            if ended > 0 {
                store.append_audit(&entry)?;
            }
            Ok(ended)
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    if ended == 0 {
        return Err(Failure::new(format!("{what} was not suspended")));
    }
    context.say(&format!("{what} resumed\n"));
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

fn scope_text(scope: &ScopeArgs) -> String {
    match (&scope.key, &scope.instance) {
        (Some(key), _) => format!("the tenant {key}"),
        (None, Some(instance)) => format!("the instance {instance}"),
        (None, None) => "everything".to_owned(),
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
