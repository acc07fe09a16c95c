-- Times are UTC text as Diesel writes them; booleans are 0 and 1; uuids are text; *_json columns hold JSON.

CREATE TABLE tenants (
    id TEXT NOT NULL PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    domain TEXT NOT NULL UNIQUE,
    instance TEXT NOT NULL,
    enabled BOOLEAN NOT NULL CHECK (enabled IN (0, 1)),
    session_timeout_minutes INTEGER NOT NULL CHECK (session_timeout_minutes BETWEEN 1 AND 10080),
    max_users INTEGER CHECK (max_users >= 0),
    protected BOOLEAN NOT NULL CHECK (protected IN (0, 1)),
    pbx_settings_json TEXT NOT NULL DEFAULT '{}',
    cross_tenant_json TEXT NOT NULL DEFAULT '{}',
    drift TEXT NOT NULL CHECK (drift IN ('correct', 'report')),
    domain_id TEXT NOT NULL,
    provisioned BOOLEAN NOT NULL CHECK (provisioned IN (0, 1)),
    disabled_at TIMESTAMP,
    disable_confirmed_at TIMESTAMP,
    deletable_from TIMESTAMP,
    removed_at TIMESTAMP,
    login_lock_json TEXT,
    lock_left_open BOOLEAN NOT NULL CHECK (lock_left_open IN (0, 1)),
    settings_checked_at TIMESTAMP,
    applied_hash TEXT,
    reapplied_json TEXT NOT NULL DEFAULT '{}',
    revision BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    UNIQUE (instance, domain_id),
    CHECK (enabled = 0 OR disabled_at IS NULL)
);

CREATE TABLE pbx_instances (
    key TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    identity TEXT,
    enrolled_at TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP,
    last_problem TEXT,
    last_problem_at TIMESTAMP
);

CREATE TABLE former_placements (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    instance TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    login_lock_json TEXT,
    left_at TIMESTAMP NOT NULL,
    disable_confirmed_at TIMESTAMP,
    deletable_from TIMESTAMP,
    PRIMARY KEY (instance, domain_id)
);

CREATE TABLE tombstones (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    domain TEXT NOT NULL,
    instance TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    disabled_at TIMESTAMP,
    deleted_at TIMESTAMP NOT NULL,
    archive TEXT,
    archive_sha256 TEXT
);

CREATE TABLE audit_log (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at TIMESTAMP NOT NULL,
    actor TEXT NOT NULL,
    event TEXT NOT NULL,
    tenant_id TEXT,
    tenant_key TEXT NOT NULL,
    instance TEXT,
    plan_id TEXT,
    before_json TEXT,
    after_json TEXT,
    result TEXT NOT NULL CHECK (result IN ('done', 'failed')),
    detail TEXT
);
CREATE INDEX audit_log_tenant ON audit_log (tenant_key, id);

CREATE TABLE journal (
    id TEXT NOT NULL PRIMARY KEY,
    plan_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    tenant_key TEXT NOT NULL,
    instance TEXT NOT NULL,
    action TEXT NOT NULL,
    request TEXT NOT NULL,
    opened_at TIMESTAMP NOT NULL,
    closed_at TIMESTAMP,
    outcome TEXT
);
CREATE INDEX journal_open ON journal (id) WHERE closed_at IS NULL;
CREATE INDEX journal_tenant ON journal (tenant_id, action);

CREATE TABLE removals (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('file_gone', 'deleted', 'disabled')),
    instance TEXT NOT NULL,
    at TIMESTAMP NOT NULL
);
CREATE INDEX removals_at ON removals (at);

CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    removals_id TEXT,
    tenant_key TEXT,
    approved_by TEXT NOT NULL,
    approved_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    CHECK ((removals_id IS NULL) <> (tenant_key IS NULL))
);

CREATE TABLE suspensions (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_key TEXT,
    instance TEXT,
    until TIMESTAMP NOT NULL,
    reason TEXT NOT NULL,
    suspended_by TEXT NOT NULL,
    suspended_at TIMESTAMP NOT NULL
);

CREATE TABLE writer_lease (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL,
    holder TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL
);

CREATE TABLE facts (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- The last line of defence: whoever asks, a tenant's row goes only after a confirmed disable, after its
-- retention, unprotected, and under a journalled intent to delete it.
CREATE TRIGGER tenants_delete_guard BEFORE DELETE ON tenants
BEGIN
    SELECT RAISE(ABORT, 'tenant is enabled: it cannot be deleted') WHERE OLD.enabled;
    SELECT RAISE(ABORT, 'tenant is protected: it cannot be deleted') WHERE OLD.protected;
    SELECT RAISE(ABORT, 'tenant is not confirmed disabled on its PBX: it cannot be deleted')
        WHERE OLD.disable_confirmed_at IS NULL OR OLD.deletable_from IS NULL;
    SELECT RAISE(ABORT, 'tenant has no open intent to delete it after its retention: it cannot be deleted')
        WHERE NOT EXISTS (
            SELECT 1 FROM journal j
            WHERE j.tenant_id = OLD.id AND j.action IN ('delete', 'forget') AND j.closed_at IS NULL
              AND j.opened_at >= OLD.deletable_from
        );
END;

-- An audit log that can be rewritten is none.
CREATE TRIGGER audit_log_keep BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
