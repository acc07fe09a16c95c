//! `tenantd pause` and `resume`.

use chrono::{DateTime, TimeDelta, Utc};

use super::actor::audit_entry;
use super::actor::user;
use super::args::{PauseArgs, ScopeArgs};
use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::lookup::{known, known_instance};
use super::wake::{wake, when};
use crate::environment::{Environment as _, System, to_the_minute};
use crate::model::{Pause, paused_text};
use crate::report::FORMAT_VERSION;
use crate::store::Access;

/// How long a pause may last. What is paused for longer is dropped, and then no one knows why nothing happens.
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
            "`--until` is too far away: a pause lasts {} days at most, until {}. Pause again then",
            LONGEST_PAUSE.num_days(),
            to_the_minute(now + LONGEST_PAUSE)
        )));
    }
    if args.reason.trim().is_empty() {
        return Err(Failure::new(
            "`--reason` is empty. Write why, because `tenantd status` shows it to others",
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
    let pause = Pause {
        id: System.new_id(),
        key: args.scope.key.clone(),
        instance: args.scope.instance.clone(),
        until,
        reason: args.reason.clone(),
        paused_by: user(),
        paused_at: now,
    };
    let what = args.scope.text();
    let resume = pause.resume();
    let detail = format!("{what} until {}: {}", to_the_minute(until), args.reason);
    let entry = audit_entry("pause.begun", args.scope.key.clone(), detail, now)?;
    let replaced = database
        .write(move |store| {
            let replaced = store.put_pause(&pause)?;
            store.append_audit(&entry)?;
            Ok(replaced)
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let replaced: Vec<String> = replaced
        .iter()
        .map(|pause| {
            format!("the pause until {} by {}: {}", to_the_minute(pause.until), pause.paused_by, pause.reason)
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
    context.say(&format!("{who} in service, and tenantd does not change {them} until {until}\n"));
    for replaced in replaced {
        context.say(&format!("This replaces {replaced}\n"));
    }
    context.say(&format!("To end the pause earlier: {resume}\n"));
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
    let entry = audit_entry("pause.ended", args.key.clone(), what.clone(), now)?;
    let (key, instance) = (args.key.clone(), args.instance.clone());
    let records = database.read(|store| store.tenants()).await.map_err(|error| Failure::of(&error))?;
    let (ended, left) = database
        .write(move |store| {
            let ended = store.resume(key.as_ref(), instance.as_ref())?;
            if ended > 0 {
                store.append_audit(&entry)?;
            }
            Ok((ended, store.pauses(now)?))
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let paused = paused_text(args.key.as_ref(), args.instance.as_ref());
    let record = args.key.as_ref().and_then(|key| records.get(key));
    let instance = args.instance.as_ref().or(record.map(|record| &record.definition.instance));
    // What pauses a part of it only is named, and keeps nothing else from being done.
    let covers = |pause: &Pause| match (&pause.key, &pause.instance) {
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
                format!("{paused} {are} still paused by the pause of {of} until {until}: {reason}. To end it: {resume}")
            } else {
                format!("still paused: {} until {until}: {reason}", pause.scope())
            }
        })
        .collect();
    let still_text: String = still.iter().map(|pause| format!("{pause}\n")).collect();
    if ended == 0 {
        return Err(Failure::new(format!("{paused}: no pause\n{still_text}").trim_end()));
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
        context.say(&format!("{paused}: the pause has ended\n{still_text}{when}"));
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
