//! The keys, checks and triggers that the database must have.

/// The keys and checks of a table.
pub(super) struct Keys {
    pub(super) table: &'static str,
    /// Columns that, together with the tenant, refer to a table.
    pub(super) links: &'static [(&'static str, &'static str)],
    /// Unique keys besides the primary key.
    pub(super) uniques: &'static [&'static str],
    /// A part of each check that reads alike in both databases.
    pub(super) checks: &'static [&'static str],
}

const fn keys(
    table: &'static str,
    links: &'static [(&'static str, &'static str)],
    uniques: &'static [&'static str],
    checks: &'static [&'static str],
) -> Keys {
    Keys { table, links, uniques, checks }
}

pub(super) const KEYS: [Keys; 11] = [
    keys(
        "users",
        &[],
        &["lower(email)", "tenant_id,lower(username)", "tenant_id,pbx_user_id"],
        &["'manual'"],
    ),
    keys("user_sessions", &[("user_id", "users")], &[], &["expires_at > started_at"]),
    keys("presence", &[("user_id", "users")], &[], &["'away'"]),
    keys("chat_conversations", &[("created_by", "users")], &[], &["'direct'"]),
    keys("chat_participants", &[("conversation_id", "chat_conversations"), ("user_id", "users")], &[], &[]),
    keys("chat_messages", &[("conversation_id", "chat_conversations"), ("sender_id", "users")], &[], &[]),
    keys("contacts", &[("owner_id", "users")], &[], &[]),
    keys(
        "files",
        &[("owner_id", "users"), ("conversation_id", "chat_conversations")],
        &["storage_path"],
        &["size_bytes >= 0", "storage_path, 1"],
    ),
    keys(
        "call_records",
        &[("user_id", "users"), ("recording_id", "files")],
        &[],
        &["'inbound'", "duration_seconds >= 0"],
    ),
    keys("sms_numbers", &[], &["number"], &["number, 1, 1", "released_at IS NOT NULL"]),
    keys("sms_messages", &[("number_id", "sms_numbers"), ("user_id", "users")], &[], &["'inbound'"]),
];

/// The triggers besides those of every table, by table.
pub(super) const SQLITE_TRIGGERS: [(&str, &str); 10] = [
    ("user_sessions", "user_sessions_start"),
    ("user_sessions", "user_sessions_change"),
    ("users", "users_limit_insert"),
    ("users", "users_limit_update"),
    ("users", "users_disabled"),
    ("tenants", "tenants_disabled"),
    ("tenants", "tenants_timeout_lowered"),
    ("tenants", "tenants_archive_guard"),
    ("tenants", "tenants_delete_guard"),
    ("audit_log", "audit_log_keep"),
];

/// The same for PostgreSQL.
pub(super) const POSTGRES_TRIGGERS: [(&str, &str); 10] = [
    ("user_sessions", "user_sessions_rules"),
    ("users", "users_limit_insert"),
    ("users", "users_limit_update"),
    ("users", "users_disabled"),
    ("tenants", "tenants_disabled"),
    ("tenants", "tenants_timeout_lowered"),
    ("tenants", "tenants_archive_guard"),
    ("tenants", "tenants_delete_guard"),
    ("tenants", "tenants_no_truncate"),
    ("audit_log", "audit_log_keep"),
];

/// The tables whose rows can be shared between tenants, with the kind of sharing.
pub(super) const SHARED: [(&str, &str); 4] = [
    ("presence", "presence"),
    ("contacts", "contacts"),
    ("chat_conversations", "chat"),
    ("chat_messages", "chat"),
];
