//! `tenantd show KEY`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::DateTime;
use serde::Serialize;

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::gather::look;
use super::status::{self, Subject, minute};
use crate::config::DeletionMode;
use crate::diff::Field;
use crate::environment::{Environment as _, System, to_the_minute};
use crate::load;
use crate::model::{
    Completeness, Condition, ConditionSince, DomainState, InstanceKey, InstanceView, TenantDocument,
    TenantId, TenantKey, Tombstone,
};
use crate::observe::Rotation;
use crate::plan::{Policy, Work};
use crate::reconcile::PassInputs;
use crate::report::{self, FORMAT_VERSION, PlanJson};
use crate::store::{Access, AuditEntry};
use crate::yaml::to_yaml;

/// `show --output json`.
#[derive(Debug, Serialize)]
struct ShowJson {
    format_version: u32,
    key: String,
    /// As in `status`.
    condition: Option<ConditionJson>,
    file: Option<TenantDocument>,
    broken: Vec<String>,
    recorded: Option<RecordedJson>,
    pbx: Option<PbxJson>,
    /// Why the next step does or does not happen.
    why: Vec<String>,
    plan: Option<PlanJson>,
    history: Vec<HistoryJson>,
    /// Earlier tenants that had this key.
    earlier: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct ConditionJson {
    condition: Condition,
    reason: Option<String>,
    lifted_by: Option<String>,
    until: Option<String>,
    since: Option<String>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct RecordedJson {
    #[serde(flatten)]
    document: TenantDocument,
    id: String,
    domain_id: String,
    created_at: String,
    updated_at: String,
    disabled_at: Option<String>,
    disable_confirmed_at: Option<String>,
    file_removed_at: Option<String>,
    previous_placements: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PbxJson {
    instance: String,
    state: String,
    name: Option<String>,
    enabled: Option<bool>,
    description: Option<String>,
    settings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct HistoryJson {
    at: String,
    actor: String,
    event: String,
    done: bool,
    /// What changed, by field; secrets are hidden.
    changes: Vec<HistoryChangeJson>,
    detail: Option<String>,
}

#[derive(Debug, Serialize)]
struct HistoryChangeJson {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

pub async fn run(context: &Context, key: &TenantKey, with_earlier: bool) -> Result<Exit> {
    match collect(context, key, with_earlier).await {
        Ok(shown) => {
            if context.is_json() {
                context.json(&shown);
            } else {
                context.say(&text(context, &shown));
            }
            Ok(Exit::Done)
        }
        Err(failure) => {
            if context.is_json() {
                context.json(&ShowJson {
                    format_version: FORMAT_VERSION,
                    key: key.to_string(),
                    condition: None,
                    file: None,
                    broken: Vec::new(),
                    recorded: None,
                    pbx: None,
                    why: Vec::new(),
                    plan: None,
                    history: Vec::new(),
                    earlier: Vec::new(),
                    error: Some(failure.message.clone()),
                });
            }
            Err(failure)
        }
    }
}

async fn collect(context: &Context, key: &TenantKey, with_earlier: bool) -> Result<ShowJson> {
    let config = context.config_with_secrets()?;
    let loaded = context.load(&config).await;
    let database = context.database(&config, Access::ReadOnly).await?;
    let readers = context.readers(&config)?;
    let policy = Policy::new(&config);
    let mut look = look(&config, &database, &readers, loaded.desired, policy, Rotation::None).await?;
    // This tenant's settings are read now, whoever's turn it is.
    if let Some(record) = look.recorded.tenants.get(key)
        && let Some(InstanceView::Seen { domains, settings }) =
            look.observed.instances.get_mut(&record.definition.instance)
        && domains.contains_key(&record.domain_id)
        && let Some(pbx) = readers.get(&record.definition.instance)
    {
        let rows = pbx.settings(record.domain_id).await.map_err(|error| Failure::of(&error))?;
        settings.insert(record.domain_id, rows);
    }
    let of_key = key.clone();
    let (history, earlier, tombstones, conditions) = database
        .read(move |store| {
            let history = store.history(&of_key, with_earlier, 20)?;
            Ok((history, store.earlier_tenants(&of_key)?, store.tombstones()?, store.conditions()?))
        })
        .await
        .map_err(|error| Failure::of(&error))?;
    let known = look.desired.tenants.contains_key(key)
        || look.recorded.tenants.contains_key(key)
        || look.desired.is_broken(key);
    if !known && history.is_empty() {
        return Err(Failure::new(format!(
            "unknown tenant {key}: it has no file and no record, and the audit log does not name it"
        )));
    }
    let shown = build(&look, key, &history, &tombstones);
    let earlier = earlier.into_iter().map(|id| earlier_tenant(&look, key, &tombstones, id)).collect();
    Ok(ShowJson { condition: condition(&look, key, conditions.get(key)), earlier, ..shown })
}

/// What became of an earlier tenant that had the key, and how to see its history.
fn earlier_tenant(look: &PassInputs, key: &TenantKey, tombstones: &[Tombstone], id: TenantId) -> String {
    if let Some(record) = look.recorded.tenants.values().find(|record| record.id == id) {
        let now = &record.key;
        return format!("an earlier tenant with the key {key} now has the key {now}: tenantd show {now}");
    }
    let deleted = tombstones.iter().rev().find(|tombstone| tombstone.tenant == id).map_or_else(
        || "is gone".to_owned(),
        |tombstone| format!("({}) was deleted {}", tombstone.domain, to_the_minute(tombstone.deleted_at)),
    );
    format!("an earlier tenant with the key {key} {deleted}. Its history: tenantd show {key} --earlier")
}

/// How it stands, as `status` has it. What was deleted stands no more.
fn condition(look: &PassInputs, key: &TenantKey, known: Option<&ConditionSince>) -> Option<ConditionJson> {
    let of = Subject::new(key, &look.desired, &look.recorded, None);
    if of.desired.is_none() && of.record.is_none() && !look.desired.is_broken(key) {
        return None;
    }
    let (standing, since) = status::standing(of, &look.desired, &look.recorded, known);
    Some(ConditionJson {
        text: report::reason_text(&standing),
        condition: standing.condition,
        reason: standing.reason,
        lifted_by: standing.lifted_by,
        until: standing.until.map(|at| at.to_rfc3339()),
        since: since.map(|at| at.to_rfc3339()),
    })
}

fn build(look: &PassInputs, key: &TenantKey, history: &[AuditEntry], tombstones: &[Tombstone]) -> ShowJson {
    let file = look.desired.tenants.get(key);
    let record = look.recorded.tenants.get(key);
    let mut one = look.clone();
    one.policy.only = [key.clone()].into();
    let plan = one.plan();
    let pbx = record.map(|record| {
        let view = look.observed.instance(&record.definition.instance);
        let base = |state: String| PbxJson {
            instance: record.definition.instance.to_string(),
            state,
            name: None,
            enabled: None,
            description: None,
            settings: Vec::new(),
        };
        match (view, view.domain(record.domain_id)) {
            (InstanceView::Unknown { reason }, _) => base(format!("unknown: {reason}")),
            (_, DomainState::Present(domain)) => PbxJson {
                name: Some(domain.name.clone()),
                enabled: domain.enabled,
                description: Some(domain.description.clone()),
                settings: view
                    .settings(record.domain_id)
                    .unwrap_or_default()
                    .iter()
                    .map(|row| {
                        let value = if row.name.is_secret() { "(secret)" } else { row.value.as_str() };
                        let off = if row.enabled { "" } else { " (off)" };
                        format!("{}: {value}{off}", row.name)
                    })
                    .collect(),
                ..base("present".to_owned())
            },
            _ => base("absent".to_owned()),
        }
    });
    // What a tenant left behind where it was before is not the tenant itself.
    let left_behind = |instance: &InstanceKey| match record {
        Some(record)
            if record.definition.instance != *instance
                && look
                    .recorded
                    .previous_placements
                    .iter()
                    .any(|previous| previous.tenant == record.id && previous.instance == *instance) =>
        {
            format!(" of its previous domain on {instance}")
        }
        _ => String::new(),
    };
    let mut why = Vec::new();
    for step in &plan.steps {
        // Nothing is sent, where only the record changes.
        let only_noted = matches!(&step.work, Work::Disable { expect: None, .. })
            && step.changes.iter().all(|change| change.field == Field::File);
        why.push(match only_noted {
            true => format!(
                "the next run records that it has no file, and changes nothing on the PBX: {}",
                step.reason
            ),
            false => format!("the next run will {} it: {}", step.action, step.reason),
        });
        let effects = plan.effects_of_step(step);
        why.extend(effects.iter().map(|effect| format!("warning: {effect}")));
    }
    for held in &plan.held {
        let lifted_by = held
            .lifted_by
            .as_ref()
            .map_or_else(String::new, |lifted_by| format!("; to go ahead: {lifted_by}"));
        let of = left_behind(&held.instance);
        why.push(format!("{}{of} is held: {}{lifted_by}", held.action, held.why()));
        let effects = plan.effects_of(&held.tenant, &held.instance, held.action);
        why.extend(effects.iter().map(|effect| format!("warning: {effect}")));
    }
    for scheduled in &plan.scheduled {
        why.push(format!(
            "{} {}: {}",
            scheduled.what(&left_behind(&scheduled.instance)),
            to_the_minute(scheduled.until),
            scheduled.reason
        ));
    }
    for drifted in &plan.drifted {
        why.push(format!("`{}` drifted and is only reported (`drift: report`)", drifted.change.field));
    }
    let mut unknown = Vec::new();
    if let Completeness::Unreadable { reason } = &look.desired.completeness {
        unknown.push((reason, format!("its desired state is not known: the tenants directory {reason}")));
    }
    if let Some(record) = record
        && let InstanceView::Unknown { reason } = look.observed.instance(&record.definition.instance)
    {
        unknown.push((reason, format!("{} was not checked: {reason}", record.definition.instance)));
    }
    for (reason, line) in unknown {
        if !why.iter().any(|why: &String| why.contains(reason.as_str())) {
            why.push(line);
        }
    }
    if why.is_empty() {
        why.push(nothing_to_do(look, key, history, tombstones));
    }
    ShowJson {
        format_version: FORMAT_VERSION,
        key: key.to_string(),
        condition: None,
        file: file.map(redacted),
        broken: look
            .desired
            .broken
            .iter()
            .filter(|broken| broken.key.as_ref() == Some(key))
            .flat_map(|broken| broken.problems.clone())
            .chain(
                look.desired
                    .unusual_file_of(key)
                    .map(|file| load::unusual_problems(std::slice::from_ref(file)))
                    .into_iter()
                    .flatten()
                    .map(|problem| problem.to_string()),
            )
            .collect(),
        recorded: record.map(|record| RecordedJson {
            document: TenantDocument {
                sms_numbers: look
                    .recorded
                    .sms_numbers
                    .get(&record.id)
                    .map(|numbers| numbers.iter().map(ToString::to_string).collect()),
                ..hide_secrets(TenantDocument::from(&record.definition))
            },
            id: record.id.to_string(),
            domain_id: record.domain_id.to_string(),
            created_at: record.created_at.to_rfc3339(),
            updated_at: record.updated_at.to_rfc3339(),
            disabled_at: record.disabled_at.map(|at| at.to_rfc3339()),
            disable_confirmed_at: record.disable_confirmed_at.map(|at| at.to_rfc3339()),
            file_removed_at: record.file_removed_at.map(|at| at.to_rfc3339()),
            previous_placements: look
                .recorded
                .previous_placements
                .iter()
                .filter(|previous| previous.tenant == record.id)
                .map(|previous| {
                    format!(
                        "{} on {} since {}",
                        previous.domain,
                        previous.instance,
                        previous.left_at.to_rfc3339()
                    )
                })
                .collect(),
        }),
        pbx,
        why,
        plan: Some(PlanJson::from(&plan)),
        history: history
            .iter()
            .map(|entry| HistoryJson {
                at: entry.at.to_rfc3339(),
                actor: entry.actor.clone(),
                event: entry.event.clone(),
                done: entry.done,
                changes: changes(entry),
                detail: entry.detail.clone(),
            })
            .collect(),
        earlier: Vec::new(),
        error: None,
    }
}

/// Why there is nothing to do, where all that matters was seen.
fn nothing_to_do(
    look: &PassInputs,
    key: &TenantKey,
    history: &[AuditEntry],
    tombstones: &[Tombstone],
) -> String {
    if let Some(record) = look.recorded.tenants.get(key) {
        if look.desired.tenants.contains_key(key) {
            return "nothing to do: file, record and PBX agree".to_owned();
        }
        let is_its = |work: &Work| matches!(work, Work::Rekey { record: of, .. } if of.id == record.id);
        return match look.plan().steps.iter().find(|step| is_its(&step.work)) {
            Some(step) => format!("its file was renamed: the next run renames it to {}", step.tenant),
            None if record.file_removed_at.is_some() && look.policy.deletion.mode == DeletionMode::Never => {
                "its file was removed and it is disabled; it is never deleted (`deletion.mode: never`)"
                    .to_owned()
            }
            None => "it has no file, and the next run does nothing for it".to_owned(),
        };
    }
    if look.desired.is_broken(key) {
        return "its file is broken and it is not recorded, so nothing is done until its file can be read"
            .to_owned();
    }
    if look.desired.tenants.contains_key(key) {
        return "it has a file and is not recorded, and the next run does nothing for it".to_owned();
    }
    let was = |id: TenantId| history.iter().any(|entry| entry.tenant == Some(id));
    if let Some(record) = look.recorded.tenants.values().find(|record| was(record.id)) {
        return format!("its file was renamed: it is now the tenant {}", record.key);
    }
    match tombstones.iter().rev().find(|tombstone| tombstone.key == *key || was(tombstone.tenant)) {
        Some(tombstone) if tombstone.key == *key => "it was deleted, and only its history remains".to_owned(),
        Some(tombstone) => {
            format!("it was renamed to {}, which was deleted, and only its history remains", tombstone.key)
        }
        None => "it has neither a file nor a record, and its history names no deletion".to_owned(),
    }
}

/// What an audit entry changed, field by field. It was redacted when it was written.
fn changes(entry: &AuditEntry) -> Vec<HistoryChangeJson> {
    let values = |json: &Option<String>| -> BTreeMap<String, Option<String>> {
        json.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    };
    let (mut before, mut after) = (values(&entry.before), values(&entry.after));
    let fields: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
    fields
        .into_iter()
        .map(|field| HistoryChangeJson {
            before: before.remove(&field).flatten(),
            after: after.remove(&field).flatten(),
            field,
        })
        .collect()
}

fn redacted(tenant: &crate::model::Tenant) -> TenantDocument {
    hide_secrets(TenantDocument::from(tenant))
}

fn hide_secrets(mut document: TenantDocument) -> TenantDocument {
    for (name, value) in &mut document.pbx_settings {
        if crate::model::SettingName::parse(name).is_ok_and(|name| name.is_secret()) {
            "(secret)".clone_into(value);
        }
    }
    document
}

fn text(context: &Context, shown: &ShowJson) -> String {
    let paint = context.paint();
    let mut text = String::new();
    let indent = |yaml: &str| {
        yaml.lines().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "  {line}");
            text
        })
    };
    let _ = writeln!(text, "{}", paint.strong(&shown.key));
    if let Some(condition) = &shown.condition {
        let since =
            condition.since.as_deref().map_or_else(String::new, |at| format!(" since {}", minute(at)));
        let why = if condition.text.is_empty() { String::new() } else { format!(": {}", condition.text) };
        let _ = writeln!(text, "{}{since}{why}", condition.condition);
    }
    let _ = writeln!(text, "\n{}", paint.strong("file"));
    match (&shown.file, shown.broken.is_empty()) {
        (Some(file), _) => text.push_str(&indent(&to_yaml(file))),
        (None, true) => text.push_str("  none\n"),
        (None, false) => shown.broken.iter().for_each(|problem| {
            let _ = writeln!(text, "  {}", paint.removed(problem));
        }),
    }
    let _ = writeln!(text, "\n{}", paint.strong("recorded"));
    match &shown.recorded {
        None => text.push_str("  nothing\n"),
        Some(recorded) => {
            text.push_str(&indent(&to_yaml(&recorded.document)));
            let _ = writeln!(text, "  # identity {}, domain {}", recorded.id, recorded.domain_id);
            for (what, at) in [
                ("disabled", &recorded.disabled_at),
                ("confirmed disabled on the PBX", &recorded.disable_confirmed_at),
                ("its file was removed", &recorded.file_removed_at),
            ] {
                let is_to_come =
                    |at: &String| DateTime::parse_from_rfc3339(at).is_ok_and(|at| at > System.now());
                let _ = match at {
                    Some(at) if is_to_come(at) => writeln!(text, "  # not {what} before {}", minute(at)),
                    Some(at) => writeln!(text, "  # {what} since {}", minute(at)),
                    None => Ok(()),
                };
            }
            for previous in &recorded.previous_placements {
                let _ = writeln!(text, "  # left behind: {previous}");
            }
        }
    }
    let _ = writeln!(text, "\n{}", paint.strong("on the PBX"));
    match &shown.pbx {
        None => text.push_str("  no managed domain\n"),
        Some(pbx) => {
            let _ = writeln!(text, "  {} on {}", pbx.state, pbx.instance);
            if let Some(name) = &pbx.name {
                let enabled = pbx.enabled.map_or("neither (NULL)".to_owned(), |enabled| enabled.to_string());
                let _ = writeln!(text, "  domain: {name}\n  enabled: {enabled}");
                let _ = writeln!(text, "  description: {}", pbx.description.as_deref().unwrap_or(""));
            }
            for setting in &pbx.settings {
                let _ = writeln!(text, "  {setting}");
            }
        }
    }
    let _ = writeln!(text, "\n{}", paint.strong("next"));
    for why in &shown.why {
        let _ = writeln!(text, "  {why}");
    }
    if !shown.history.is_empty() || !shown.earlier.is_empty() {
        let _ = writeln!(text, "\n{}", paint.strong("history"));
        for entry in &shown.history {
            let result = if entry.done { "" } else { " FAILED" };
            let detail = entry.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
            let (at, event, actor) = (minute(&entry.at), &entry.event, &entry.actor);
            let _ = writeln!(text, "  {at} {event}{result} — {actor}{detail}");
            for HistoryChangeJson { field, before, after } in &entry.changes {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
                let _ = match (before, after) {
                    // At its creation a tenant had nothing of it.
                    (None, Some(after)) => writeln!(text, "    {field}: {after}"),
                    _ => writeln!(text, "    {field}: {} → {}", shown(before), shown(after)),
                };
            }
        }
        for earlier in &shown.earlier {
            let _ = writeln!(text, "  {}", paint.dim(earlier));
        }
    }
    text
}
