-- Times are UTC; uuids are text; *_json columns hold JSON as text, read and written by tenantd alone.

CREATE TABLE tenants (
    id TEXT NOT NULL PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    domain TEXT NOT NULL UNIQUE,
    instance TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    session_timeout_minutes INTEGER NOT NULL CHECK (session_timeout_minutes BETWEEN 1 AND 10080),
    max_users INTEGER CHECK (max_users >= 0),
    protected BOOLEAN NOT NULL,
    pbx_settings_json TEXT NOT NULL DEFAULT '{}',
    cross_tenant_json TEXT NOT NULL DEFAULT '{}',
    drift TEXT NOT NULL CHECK (drift IN ('correct', 'report')),
    domain_id TEXT NOT NULL,
    provisioned BOOLEAN NOT NULL,
    disabled_at TIMESTAMPTZ,
    disable_confirmed_at TIMESTAMPTZ,
    deletable_from TIMESTAMPTZ,
    removed_at TIMESTAMPTZ,
    login_lock_json TEXT,
    lock_left_open BOOLEAN NOT NULL,
    settings_checked_at TIMESTAMPTZ,
    applied_hash TEXT,
    reapplied_json TEXT NOT NULL DEFAULT '{}',
    revision BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (instance, domain_id),
    CHECK (NOT enabled OR disabled_at IS NULL)
);

CREATE TABLE pbx_instances (
    key TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    identity TEXT,
    enrolled_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ,
    last_problem TEXT,
    last_problem_at TIMESTAMPTZ
);

CREATE TABLE former_placements (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    instance TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    login_lock_json TEXT,
    left_at TIMESTAMPTZ NOT NULL,
    disable_confirmed_at TIMESTAMPTZ,
    deletable_from TIMESTAMPTZ,
    PRIMARY KEY (instance, domain_id)
);

CREATE TABLE tombstones (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    domain TEXT NOT NULL,
    instance TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    disabled_at TIMESTAMPTZ,
    deleted_at TIMESTAMPTZ NOT NULL,
    archive TEXT,
    archive_sha256 TEXT
);

CREATE TABLE audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
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
    opened_at TIMESTAMPTZ NOT NULL,
    closed_at TIMESTAMPTZ,
    outcome TEXT
);
CREATE INDEX journal_open ON journal (id) WHERE closed_at IS NULL;
CREATE INDEX journal_tenant ON journal (tenant_id, action);

CREATE TABLE removals (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('file_gone', 'deleted', 'disabled')),
    instance TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL
);
CREATE INDEX removals_at ON removals (at);

CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    removals_id TEXT,
    tenant_key TEXT,
    approved_by TEXT NOT NULL,
    approved_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    CHECK ((removals_id IS NULL) <> (tenant_key IS NULL))
);

CREATE TABLE suspensions (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_key TEXT,
    instance TEXT,
    until TIMESTAMPTZ NOT NULL,
    reason TEXT NOT NULL,
    suspended_by TEXT NOT NULL,
    suspended_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE writer_lease (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL,
    holder TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE facts (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- The last line of defence: whoever asks, a tenant's row goes only after a confirmed disable, after its
-- retention, unprotected, and under a journalled intent to delete it.
CREATE FUNCTION tenants_delete_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.enabled THEN
        RAISE EXCEPTION 'tenant is enabled: it cannot be deleted';
    END IF;
    IF OLD.protected THEN
        RAISE EXCEPTION 'tenant is protected: it cannot be deleted';
    END IF;
    IF OLD.disable_confirmed_at IS NULL OR OLD.deletable_from IS NULL THEN
        RAISE EXCEPTION 'tenant is not confirmed disabled on its PBX: it cannot be deleted';
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM journal j
        WHERE j.tenant_id = OLD.id AND j.action IN ('delete', 'forget') AND j.closed_at IS NULL
          AND j.opened_at >= OLD.deletable_from
    ) THEN
        RAISE EXCEPTION 'tenant has no open intent to delete it after its retention: it cannot be deleted';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER tenants_delete_guard BEFORE DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_delete_guard();

-- A row trigger does not see TRUNCATE.
CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the table % cannot be truncated', TG_TABLE_NAME;
END
$$;
CREATE TRIGGER tenants_no_truncate BEFORE TRUNCATE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();

-- An audit log that can be rewritten is none.
CREATE FUNCTION audit_log_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_log_keep BEFORE UPDATE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_keep();
