use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::types::{Held, RecordRef, Step, Work};
use crate::model::{AdoptHow, Tenant, TenantDocument, TenantId};

fn short(prefix: &str, hasher: Sha256) -> String {
    let hex: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-{hex}")
}

/// The record that a step works on; there is none yet where it makes one.
pub fn record(work: &Work) -> Option<RecordRef> {
    match work {
        Work::Create { .. } | Work::Adopt { .. } => None,
        Work::Recreate { record, .. }
        | Work::Rekey { record, .. }
        | Work::Rename { record, .. }
        | Work::Move { record, .. }
        | Work::Update { record, .. }
        | Work::Enable { record, .. }
        | Work::Disable { record, .. }
        | Work::DisablePrevious { record, .. }
        | Work::Delete { record, .. }
        | Work::DeletePrevious { record, .. }
        | Work::DeleteRecord { record, .. } => Some(*record),
    }
}

/// What decides the outcome of a step beside its changes: the definition that it applies, the domain that it takes.
fn contents(work: &Work) -> Value {
    match work {
        Work::Create { tenant } | Work::Recreate { tenant, .. } | Work::Update { tenant, .. } => {
            json!([definition_hash(tenant)])
        }
        Work::Adopt { tenant, found, how } => {
            json!([definition_hash(tenant), found.id.to_string(), *how == AdoptHow::AsItIs])
        }
        Work::Move { tenant, returns_to, .. } => {
            json!([definition_hash(tenant), returns_to.map(|id| id.to_string())])
        }
        Work::Disable { file_removed, .. } => json!([file_removed]),
        Work::DisablePrevious { placement, .. } | Work::DeletePrevious { placement, .. } => {
            json!([placement.domain_id.to_string()])
        }
        Work::Rename { to, .. } => json!([to.as_str()]),
        Work::Rekey { .. } | Work::Enable { .. } | Work::Delete { .. } | Work::DeleteRecord { .. } => {
            Value::Null
        }
    }
}

fn changes(step: &Step) -> Vec<Value> {
    let changes = step.changes.iter();
    changes.map(|change| json!([change.field.to_string(), change.before, change.after])).collect()
}

/// Records end with a newline, which JSON never holds, so that two lists cannot hash alike.
fn feed(hasher: &mut Sha256, record: &Value) {
    hasher.update(record.to_string());
    hasher.update("\n");
}

/// The id of a plan: a hash over what it does and what it holds, without its reasons' wording.
pub(super) fn of_plan(steps: &[Step], held: &[Held]) -> String {
    let mut hasher = Sha256::new();
    for step in steps {
        let Step { tenant, instance, action, reason: _, changes: _, work } = step;
        let record = record(work).map(|record| (record.id.to_string(), record.revision));
        let (changes, contents) = (changes(step), contents(work));
        feed(
            &mut hasher,
            &json!([tenant.as_str(), instance.as_str(), action.as_str(), record, changes, contents]),
        );
    }
    let mut held: Vec<&Held> = held.iter().collect();
    held.sort_by_key(|held| (&held.tenant, &held.instance, held.action));
    for Held { tenant, instance, action, reason: _, lifted_by: _, out_of_service: _ } in held {
        feed(&mut hasher, &json!(["held", tenant.as_str(), instance.as_str(), action.as_str()]));
    }
    short("p", hasher)
}

/// The id of a set of removals: which tenants, from where, how. It stays the same while other work comes and goes.
pub(super) fn of_removals<'a>(removals: impl IntoIterator<Item = &'a Step>) -> String {
    let mut hasher = Sha256::new();
    for step in removals {
        let id = record(&step.work).map(|record| record.id.to_string());
        let contents = contents(&step.work);
        feed(&mut hasher, &json!([id, step.instance.as_str(), step.action.as_str(), contents]));
    }
    short("r", hasher)
}

/// The id of what an operator says: that this new tenant is not the removed one under another name.
pub(super) fn of_two(removed: TenantId, new: &Tenant) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, &json!([removed.to_string(), new.key.as_str(), new.definition.domain.as_str()]));
    short("t", hasher)
}

/// Hash of a tenant's definition, as recorded when it was applied whole.
pub fn definition_hash(tenant: &Tenant) -> String {
    let document = serde_json::to_string(&TenantDocument::from(tenant)).unwrap_or_default();
    let mut hasher = Sha256::new();
    hasher.update(document);
    short("d", hasher)
}
