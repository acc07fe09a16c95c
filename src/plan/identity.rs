use serde_json::json;
use sha2::{Digest, Sha256};

use super::types::{Held, RecordRef, Step, Work};
use crate::model::{Tenant, TenantDocument};

fn short(prefix: &str, hasher: Sha256) -> String {
    let hex: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-{hex}")
}

/// The record that a step works on; there is none yet where it makes one.
pub(super) fn record(work: &Work) -> Option<RecordRef> {
    match work {
        Work::Create { .. } | Work::Adopt { .. } => None,
        Work::Recreate { record, .. }
        | Work::Rekey { record, .. }
        | Work::Rename { record, .. }
        | Work::Move { record, .. }
        | Work::Update { record, .. }
        | Work::Enable { record, .. }
        | Work::Disable { record, .. }
        | Work::DisableFormer { record, .. }
        | Work::Delete { record, .. }
        | Work::DeleteFormer { record, .. }
        | Work::Forget { record, .. } => Some(*record),
    }
}

fn feed_step(hasher: &mut Sha256, step: &Step) {
    let Step { tenant, instance, action, reason: _, changes, work } = step;
    let changes: Vec<_> =
        changes.iter().map(|change| json!([change.field.to_string(), change.before, change.after])).collect();
    let record = record(work).map(|record| (record.id.to_string(), record.revision));
    // Records end with a newline, which JSON never holds, so that two lists cannot hash alike.
    hasher.update(json!([tenant.as_str(), instance.as_str(), action.as_str(), record, changes]).to_string());
    hasher.update("\n");
}

/// The id of a plan: a hash over what it does and what it holds, without its reasons' wording.
pub(super) fn of_plan(steps: &[Step], held: &[Held]) -> String {
    let mut hasher = Sha256::new();
    for step in steps {
        feed_step(&mut hasher, step);
    }
    for Held { tenant, instance, action, reason: _, lift: _ } in held {
        hasher.update(json!(["held", tenant.as_str(), instance.as_str(), action.as_str()]).to_string());
        hasher.update("\n");
    }
    short("p", hasher)
}

/// The id of a set of removals: which tenants, from where, how. It stays the same while other work comes and goes.
pub(super) fn of_removals<'a>(removals: impl IntoIterator<Item = &'a Step>) -> String {
    let mut hasher = Sha256::new();
    for step in removals {
        let id = record(&step.work).map(|record| record.id.to_string());
        hasher.update(json!([id, step.instance.as_str(), step.action.as_str()]).to_string());
        hasher.update("\n");
    }
    short("r", hasher)
}

/// Hash of a tenant's definition, as recorded when it was applied whole.
pub fn definition_hash(tenant: &Tenant) -> String {
    let document = serde_json::to_string(&TenantDocument::from(tenant)).unwrap_or_default();
    let mut hasher = Sha256::new();
    hasher.update(document);
    short("d", hasher)
}
