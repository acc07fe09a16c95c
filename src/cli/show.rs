//! `tenantd show KEY`: one tenant's file, record, domain on the PBX, next step and history.

mod document;
mod next_step;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::gather::gather;
use super::status::{self, Subject};
use crate::environment::to_the_minute;
use crate::inputs::PassInputs;
use crate::load;
use crate::model::{
    ConditionSince, DomainState, InstanceView, SettingName, Tenant, TenantDocument, TenantId, TenantKey,
    TenantRecord, Tombstone,
};
use crate::observe::Rotation;
use crate::plan::Policy;
use crate::report::{self, FORMAT_VERSION, PlanJson};
use crate::store::{Access, AuditEntry};

use document::{ConditionJson, HistoryChangeJson, HistoryJson, PbxJson, RecordedJson, ShowJson};

pub async fn run(context: &Context, key: &TenantKey, with_earlier: bool) -> Result<Exit> {
    match collect(context, key, with_earlier).await {
        Ok(shown) => {
            if context.is_json() {
                context.json(&shown);
            } else {
                context.say(&text::text(context, &shown));
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
    let mut inputs = gather(&config, &database, &readers, loaded.desired, policy, Rotation::None).await?;
    // `Rotation::None` reads no settings, so this tenant's are read here.
    if let Some(record) = inputs.recorded.tenants.get(key)
        && let Some(InstanceView::Seen { domains, settings }) =
            inputs.observed.instances.get_mut(&record.definition.instance)
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
    let known = inputs.desired.tenants.contains_key(key)
        || inputs.recorded.tenants.contains_key(key)
        || inputs.desired.is_broken(key);
    if !known && history.is_empty() {
        return Err(Failure::new(format!(
            "unknown tenant {key}: it has no file and no record, and the audit log does not name it"
        )));
    }
    let shown = build(&inputs, key, &history, &tombstones);
    let earlier = earlier.into_iter().map(|id| earlier_tenant(&inputs, key, &tombstones, id)).collect();
    Ok(ShowJson { condition: condition(&inputs, key, conditions.get(key)), earlier, ..shown })
}

/// Says what became of an earlier tenant with the key, and how to see its history.
fn earlier_tenant(inputs: &PassInputs, key: &TenantKey, tombstones: &[Tombstone], id: TenantId) -> String {
    if let Some(record) = inputs.recorded.tenants.values().find(|record| record.id == id) {
        let now = &record.key;
        return format!("an earlier tenant with the key {key} now has the key {now}: tenantd show {now}");
    }
    let deleted = tombstones.iter().rev().find(|tombstone| tombstone.tenant == id).map_or_else(
        || "is gone".to_owned(),
        |tombstone| format!("({}) was deleted {}", tombstone.domain, to_the_minute(tombstone.deleted_at)),
    );
    format!("an earlier tenant with the key {key} {deleted}. Its history: tenantd show {key} --earlier")
}

/// The condition of the tenant, as in `status`. A deleted tenant has none.
fn condition(inputs: &PassInputs, key: &TenantKey, known: Option<&ConditionSince>) -> Option<ConditionJson> {
    let of = Subject::new(key, &inputs.desired, &inputs.recorded, None);
    if of.desired.is_none() && of.record.is_none() && !inputs.desired.is_broken(key) {
        return None;
    }
    let (standing, since) = status::standing(of, &inputs.desired, &inputs.recorded, known);
    Some(ConditionJson {
        text: report::reason_text(&standing),
        condition: standing.condition,
        reason: standing.reason,
        lifted_by: standing.lifted_by,
        until: standing.until.map(|at| at.to_rfc3339()),
        since: since.map(|at| at.to_rfc3339()),
    })
}

fn build(inputs: &PassInputs, key: &TenantKey, history: &[AuditEntry], tombstones: &[Tombstone]) -> ShowJson {
    let record = inputs.recorded.tenants.get(key);
    let mut of_tenant = inputs.clone();
    of_tenant.policy.only = [key.clone()].into();
    let plan = of_tenant.plan();
    ShowJson {
        format_version: FORMAT_VERSION,
        key: key.to_string(),
        condition: None,
        file: inputs.desired.tenants.get(key).map(redacted),
        broken: problems_of_file(inputs, key),
        recorded: record.map(|record| recorded(inputs, record)),
        pbx: record.map(|record| on_pbx(inputs, record)),
        why: next_step::reasons(inputs, &plan, key, history, tombstones),
        plan: Some(PlanJson::from(&plan)),
        history: history.iter().map(history_entry).collect(),
        earlier: Vec::new(),
        error: None,
    }
}

/// Why the tenant's file cannot be used, a line for each problem.
fn problems_of_file(inputs: &PassInputs, key: &TenantKey) -> Vec<String> {
    let of_broken = inputs
        .desired
        .broken
        .iter()
        .filter(|broken| broken.key.as_ref() == Some(key))
        .flat_map(|broken| broken.problems.clone());
    let of_unusual = inputs
        .desired
        .unusual_file_of(key)
        .map(|file| load::unusual_problems(std::slice::from_ref(file)))
        .into_iter()
        .flatten()
        .map(|problem| problem.to_string());
    of_broken.chain(of_unusual).collect()
}

fn recorded(inputs: &PassInputs, record: &TenantRecord) -> RecordedJson {
    let sms_numbers = inputs.recorded.sms_numbers.get(&record.id);
    RecordedJson {
        document: TenantDocument {
            sms_numbers: sms_numbers.map(|numbers| numbers.iter().map(ToString::to_string).collect()),
            ..hide_secrets(TenantDocument::from(&record.definition))
        },
        id: record.id.to_string(),
        domain_id: record.domain_id.to_string(),
        created_at: record.created_at.to_rfc3339(),
        updated_at: record.updated_at.to_rfc3339(),
        disabled_at: record.disabled_at.map(|at| at.to_rfc3339()),
        disable_confirmed_at: record.disable_confirmed_at.map(|at| at.to_rfc3339()),
        file_removed_at: record.file_removed_at.map(|at| at.to_rfc3339()),
        previous_placements: inputs
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
    }
}

fn on_pbx(inputs: &PassInputs, record: &TenantRecord) -> PbxJson {
    let view = inputs.observed.instance(&record.definition.instance);
    let in_state = |state: String| PbxJson {
        instance: record.definition.instance.to_string(),
        state,
        name: None,
        enabled: None,
        description: None,
        settings: Vec::new(),
    };
    match (view, view.domain(record.domain_id)) {
        (InstanceView::Unknown { reason }, _) => in_state(format!("unknown: {reason}")),
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
            ..in_state("present".to_owned())
        },
        _ => in_state("absent".to_owned()),
    }
}

fn history_entry(entry: &AuditEntry) -> HistoryJson {
    HistoryJson {
        at: entry.at.to_rfc3339(),
        actor: entry.actor.clone(),
        event: entry.event.clone(),
        done: entry.done,
        changes: changes(entry),
        detail: entry.detail.clone(),
    }
}

/// The changes of an audit entry, field by field. The entry was redacted when it was written.
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

fn redacted(tenant: &Tenant) -> TenantDocument {
    hide_secrets(TenantDocument::from(tenant))
}

fn hide_secrets(mut document: TenantDocument) -> TenantDocument {
    for (name, value) in &mut document.pbx_settings {
        if SettingName::parse(name).is_ok_and(|name| name.is_secret()) {
            "(secret)".clone_into(value);
        }
    }
    document
}
