//! A row of one tenant in every table.

use chrono::Utc;
use tenantd::model::{DomainId, TenantId, TenantRecord};
use tenantd::store::Database;
use uuid::Uuid;

use super::harness::tenant;
use super::sql_client::SqlClient;

pub fn record(name: &str) -> TenantRecord {
    use tenantd::environment::{Environment as _, System};
    let id = TenantId(Uuid::now_v7());
    TenantRecord {
        provisioned: true,
        ..TenantRecord::new(id, &tenant(name), DomainId(Uuid::now_v7()), System.now())
    }
}

pub async fn insert(database: &Database, record: &TenantRecord) {
    let record = record.clone();
    database.write(move |store| store.insert_tenant(&record)).await.unwrap();
}

/// A change of the record, as tenantd makes it.
pub async fn change(database: &Database, record: &mut TenantRecord, edit: impl FnOnce(&mut TenantRecord)) {
    edit(record);
    let mut changed = record.clone();
    *record = database
        .write(move |store| {
            store.update_tenant(&mut changed, Utc::now())?;
            Ok(changed)
        })
        .await
        .unwrap();
}

pub fn user(tenant: TenantId, name: &str) -> String {
    format!(
        "INSERT INTO users (tenant_id, id, email, username, enabled, source) \
         VALUES ('{tenant}', '{name}', '{name}@{tenant}', '{name}', true, 'manual')"
    )
}

/// Rows in every table, with awkward texts in them.
pub async fn fill(db: &mut SqlClient, tenant: TenantId) {
    let later = db.in_minutes(30);
    let statements = [
        user(tenant, "anna"),
        user(tenant, "bert"),
        format!(
            "UPDATE users SET display_name = 'Ännä \"A\" \\ 株', last_login_at = {later} WHERE tenant_id = '{tenant}' AND id = 'anna'"
        ),
        format!(
            "INSERT INTO user_sessions (tenant_id, id, user_id, expires_at) VALUES ('{tenant}', 's1', 'anna', {later})"
        ),
        format!(
            "INSERT INTO user_sessions (tenant_id, id, user_id, expires_at) VALUES ('{tenant}', 's2', 'bert', {later})"
        ),
        format!("INSERT INTO presence (tenant_id, user_id, state) VALUES ('{tenant}', 'anna', 'away')"),
        format!(
            "INSERT INTO chat_conversations (tenant_id, id, kind, created_by) VALUES ('{tenant}', 'c1', 'group', 'anna')"
        ),
        format!(
            "INSERT INTO chat_conversations (tenant_id, id, kind, shared) VALUES ('{tenant}', 'c2', 'channel', true)"
        ),
        format!(
            "INSERT INTO chat_participants (tenant_id, conversation_id, user_id) VALUES ('{tenant}', 'c1', 'bert')"
        ),
        format!(
            "INSERT INTO chat_participants (tenant_id, conversation_id, user_id) VALUES ('{tenant}', 'c1', 'anna')"
        ),
        format!(
            "INSERT INTO chat_messages (tenant_id, id, conversation_id, sender_id, body) VALUES ('{tenant}', 'm1', 'c1', 'anna', 'it''s\na \"line\" \t {{}} \\n')"
        ),
        format!(
            "INSERT INTO chat_messages (tenant_id, id, conversation_id, body) VALUES ('{tenant}', 'M2', 'c2', '')"
        ),
        format!(
            "INSERT INTO contacts (tenant_id, id, display_name) VALUES ('{tenant}', 'k1', 'Everybody''s')"
        ),
        format!(
            "INSERT INTO contacts (tenant_id, id, owner_id, display_name) VALUES ('{tenant}', 'k2', 'anna', 'Anna''s')"
        ),
        format!(
            "INSERT INTO files (tenant_id, id, owner_id, name, size_bytes, storage_path) VALUES ('{tenant}', 'f1', 'anna', 'a.txt', 5000000000, '{tenant}/a')"
        ),
        format!(
            "INSERT INTO call_records (tenant_id, id, user_id, direction, recording_id, duration_seconds) VALUES ('{tenant}', 'r1', 'anna', 'inbound', 'f1', 61)"
        ),
        format!(
            "INSERT INTO sms_numbers (tenant_id, id, number) VALUES ('{tenant}', 'n1', '{}')",
            number_of(tenant)
        ),
        format!(
            "INSERT INTO sms_messages (tenant_id, id, number_id, direction, body) VALUES ('{tenant}', 't1', 'n1', 'outbound', '👍')"
        ),
    ];
    for statement in statements {
        db.run(&statement).await.unwrap_or_else(|refusal| panic!("{refusal}: {statement}"));
    }
}

/// A number that no other tenant has.
pub fn number_of(tenant: TenantId) -> String {
    format!("+49{:012}", tenant.0.as_u128() % 1_000_000_000_000)
}
