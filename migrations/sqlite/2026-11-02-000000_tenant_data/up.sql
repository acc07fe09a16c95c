-- The tenants' own world: what services keep for the users of a tenant. The page for their developers is
-- migrations/TENANT-DATA.md, and says what SQLite cannot enforce. Every key between these tables includes the tenant.

-- `with_tenant_id` may read what `tenant_id` shares. A row stands here only while both files name each other and the
-- deployment allows the kind.
CREATE TABLE cross_tenant_shares (
    kind TEXT NOT NULL CHECK (kind IN ('presence', 'contacts', 'chat')),
    tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    with_tenant_id TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, tenant_id, with_tenant_id),
    CHECK (tenant_id <> with_tenant_id)
);
CREATE INDEX cross_tenant_shares_with ON cross_tenant_shares (with_tenant_id, kind);

-- The newest archive of a tenant that was read back and checked.
CREATE TABLE archives (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    rows BIGINT NOT NULL,
    checked_at TIMESTAMP NOT NULL
);

CREATE TABLE users (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    email TEXT NOT NULL CHECK (email <> ''),
    -- Made from user name and domain, because the PBX knows no address; follows a rename.
    email_derived BOOLEAN NOT NULL DEFAULT 0 CHECK (email_derived IN (0, 1)),
    username TEXT NOT NULL CHECK (username <> ''),
    display_name TEXT NOT NULL DEFAULT '',
    role TEXT NOT NULL DEFAULT 'user' CHECK (role <> ''),
    enabled BOOLEAN NOT NULL CHECK (enabled IN (0, 1)),
    source TEXT NOT NULL CHECK (source IN ('manual', 'fusionpbx')),
    pbx_user_id TEXT,
    last_login_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, pbx_user_id),
    CHECK (source <> 'fusionpbx' OR pbx_user_id IS NOT NULL)
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE UNIQUE INDEX users_username ON users (tenant_id, lower(username));
CREATE INDEX users_enabled ON users (tenant_id) WHERE enabled;

CREATE TABLE user_sessions (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    started_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    expires_at TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP,
    ended_at TIMESTAMP,
    end_reason TEXT,
    client TEXT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
    CHECK (expires_at > started_at)
);
CREATE INDEX user_sessions_started ON user_sessions (tenant_id, started_at);
CREATE INDEX user_sessions_seen ON user_sessions (tenant_id, last_seen_at);
CREATE INDEX user_sessions_open ON user_sessions (tenant_id, user_id) WHERE ended_at IS NULL;

CREATE TABLE presence (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    user_id TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('available', 'away', 'busy', 'on_call', 'do_not_disturb', 'offline')),
    note TEXT,
    updated_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

CREATE TABLE chat_conversations (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('direct', 'group', 'channel')),
    title TEXT NOT NULL DEFAULT '',
    -- Open to tenants that chat is shared with; everything else stays inside.
    shared BOOLEAN NOT NULL DEFAULT 0 CHECK (shared IN (0, 1)),
    created_by TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id)
);

CREATE TABLE chat_participants (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    conversation_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    joined_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, conversation_id, user_id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES chat_conversations (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX chat_participants_user ON chat_participants (tenant_id, user_id);

CREATE TABLE chat_messages (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    sender_id TEXT,
    body TEXT NOT NULL DEFAULT '',
    sent_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    edited_at TIMESTAMP,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES chat_conversations (tenant_id, id),
    FOREIGN KEY (tenant_id, sender_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX chat_messages_conversation ON chat_messages (tenant_id, conversation_id, sent_at);
CREATE INDEX chat_messages_sent ON chat_messages (tenant_id, sent_at);

CREATE TABLE contacts (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    -- NULL: the tenant's common address book. A user's own contacts are never shared.
    owner_id TEXT,
    display_name TEXT NOT NULL DEFAULT '',
    organisation TEXT,
    phone TEXT,
    email TEXT,
    note TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, owner_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX contacts_name ON contacts (tenant_id, display_name);

CREATE TABLE files (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    owner_id TEXT,
    conversation_id TEXT,
    name TEXT NOT NULL DEFAULT '',
    media_type TEXT,
    size_bytes BIGINT NOT NULL DEFAULT 0 CHECK (size_bytes >= 0),
    sha256 TEXT,
    -- Below the tenant's own folder of the file store.
    storage_path TEXT NOT NULL UNIQUE,
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, owner_id) REFERENCES users (tenant_id, id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES chat_conversations (tenant_id, id),
    CONSTRAINT files_in_own_folder CHECK (
        substr(storage_path, 1, length(tenant_id) + 1) = tenant_id || '/' AND storage_path NOT LIKE '%..%')
);
CREATE INDEX files_created ON files (tenant_id, created_at);

CREATE TABLE call_records (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    user_id TEXT,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    caller TEXT NOT NULL DEFAULT '',
    callee TEXT NOT NULL DEFAULT '',
    started_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    answered_at TIMESTAMP,
    ended_at TIMESTAMP,
    duration_seconds INTEGER NOT NULL DEFAULT 0 CHECK (duration_seconds >= 0),
    pbx_call_id TEXT,
    recording_id TEXT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
    FOREIGN KEY (tenant_id, recording_id) REFERENCES files (tenant_id, id)
);
CREATE INDEX call_records_started ON call_records (tenant_id, started_at);

CREATE TABLE sms_numbers (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    number TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE sms_messages (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    number_id TEXT NOT NULL,
    user_id TEXT,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    peer TEXT NOT NULL DEFAULT '',
    body TEXT NOT NULL DEFAULT '',
    status TEXT,
    sent_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES sms_numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX sms_messages_number ON sms_messages (tenant_id, number_id, sent_at);
CREATE INDEX sms_messages_sent ON sms_messages (tenant_id, sent_at);

-- ---- Rules that hold for every client -------------------------------------------------------------------------------

-- A session starts only for an enabled user of an enabled tenant, and lasts at most the tenant's session timeout.
-- A session that is written down as ended is history, and may be.
CREATE TRIGGER user_sessions_start BEFORE INSERT ON user_sessions WHEN NEW.ended_at IS NULL
BEGIN
    SELECT RAISE(ABORT, 'the session''s times cannot be read')
        WHERE julianday(NEW.started_at) IS NULL OR julianday(NEW.expires_at) IS NULL;
    SELECT RAISE(ABORT, 'the tenant is disabled: no session can start')
        WHERE NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = NEW.tenant_id AND t.enabled);
    SELECT RAISE(ABORT, 'the user is disabled: no session can start')
        WHERE EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = NEW.tenant_id AND u.id = NEW.user_id AND NOT u.enabled);
    SELECT RAISE(ABORT, 'the session has expired already: it cannot start')
        WHERE julianday(NEW.expires_at) <= julianday('now');
    SELECT RAISE(ABORT, 'the session starts in the future')
        WHERE julianday(NEW.started_at) > julianday('now', '+1 minute');
    SELECT RAISE(ABORT, 'the session outlasts the tenant''s session_timeout')
        WHERE strftime('%s', NEW.expires_at) - strftime('%s', NEW.started_at)
            > (SELECT t.session_timeout_minutes * 60 FROM tenants t WHERE t.id = NEW.tenant_id);
END;

CREATE TRIGGER user_sessions_change BEFORE UPDATE OF user_id, started_at, expires_at, ended_at ON user_sessions
BEGIN
    SELECT RAISE(ABORT, 'a session does not change its user or its start')
        WHERE NEW.user_id <> OLD.user_id OR NEW.started_at <> OLD.started_at;
    SELECT RAISE(ABORT, 'a session that has ended is not opened again')
        WHERE OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL;
    SELECT RAISE(ABORT, 'the session''s times cannot be read')
        WHERE NEW.ended_at IS NULL AND julianday(NEW.expires_at) IS NULL;
    SELECT RAISE(ABORT, 'the session outlasts the tenant''s session_timeout')
        WHERE NEW.ended_at IS NULL AND strftime('%s', NEW.expires_at) - strftime('%s', NEW.started_at)
            > (SELECT t.session_timeout_minutes * 60 FROM tenants t WHERE t.id = NEW.tenant_id);
END;

-- The text of a RAISE is fixed before SQLite 3.47, so it names the limit and not its number.
CREATE TRIGGER users_limit_insert BEFORE INSERT ON users WHEN NEW.enabled
BEGIN
    SELECT RAISE(ABORT, 'the tenant has reached its limit of users (max_users)')
        WHERE (SELECT t.max_users FROM tenants t WHERE t.id = NEW.tenant_id) <= (
            SELECT count(*) FROM users u WHERE u.tenant_id = NEW.tenant_id AND u.enabled AND u.id <> NEW.id);
END;
CREATE TRIGGER users_limit_update BEFORE UPDATE OF enabled ON users WHEN NEW.enabled AND NOT OLD.enabled
BEGIN
    SELECT RAISE(ABORT, 'the tenant has reached its limit of users (max_users)')
        WHERE (SELECT t.max_users FROM tenants t WHERE t.id = NEW.tenant_id) <= (
            SELECT count(*) FROM users u WHERE u.tenant_id = NEW.tenant_id AND u.enabled AND u.id <> NEW.id);
END;

CREATE TRIGGER users_disabled AFTER UPDATE OF enabled ON users WHEN OLD.enabled AND NOT NEW.enabled
BEGIN
    UPDATE user_sessions SET ended_at = strftime('%Y-%m-%d %H:%M:%f', 'now'), end_reason = 'user disabled'
        WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id AND ended_at IS NULL;
END;

CREATE TRIGGER tenants_disabled AFTER UPDATE OF enabled ON tenants WHEN OLD.enabled AND NOT NEW.enabled
BEGIN
    UPDATE user_sessions SET ended_at = strftime('%Y-%m-%d %H:%M:%f', 'now'), end_reason = 'tenant disabled'
        WHERE tenant_id = NEW.id AND ended_at IS NULL;
END;

CREATE TRIGGER tenants_timeout_lowered AFTER UPDATE OF session_timeout_minutes ON tenants
WHEN NEW.session_timeout_minutes < OLD.session_timeout_minutes
BEGIN
    UPDATE user_sessions
        SET expires_at = strftime('%Y-%m-%d %H:%M:%f', started_at, '+' || NEW.session_timeout_minutes || ' minutes')
        WHERE tenant_id = NEW.id AND ended_at IS NULL
          AND strftime('%s', expires_at) - strftime('%s', started_at) > NEW.session_timeout_minutes * 60;
END;

-- Nothing of a tenant goes before it is in an archive that was read back since the tenant was disabled.
CREATE TRIGGER tenants_archive_guard BEFORE DELETE ON tenants
BEGIN
    SELECT RAISE(ABORT, 'tenant is not archived since it was disabled: it cannot be deleted')
        WHERE NOT EXISTS (
            SELECT 1 FROM archives a
            WHERE a.tenant_id = OLD.id AND julianday(a.checked_at) >= julianday(OLD.disabled_at));
END;

-- A row does not change its tenant.
CREATE TRIGGER users_keep_tenant BEFORE UPDATE OF tenant_id ON users WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of users does not change its tenant');
END;
CREATE TRIGGER user_sessions_keep_tenant BEFORE UPDATE OF tenant_id ON user_sessions WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of user_sessions does not change its tenant');
END;
CREATE TRIGGER presence_keep_tenant BEFORE UPDATE OF tenant_id ON presence WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of presence does not change its tenant');
END;
CREATE TRIGGER chat_conversations_keep_tenant BEFORE UPDATE OF tenant_id ON chat_conversations WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of chat_conversations does not change its tenant');
END;
CREATE TRIGGER chat_participants_keep_tenant BEFORE UPDATE OF tenant_id ON chat_participants WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of chat_participants does not change its tenant');
END;
CREATE TRIGGER chat_messages_keep_tenant BEFORE UPDATE OF tenant_id ON chat_messages WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of chat_messages does not change its tenant');
END;
CREATE TRIGGER contacts_keep_tenant BEFORE UPDATE OF tenant_id ON contacts WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of contacts does not change its tenant');
END;
CREATE TRIGGER files_keep_tenant BEFORE UPDATE OF tenant_id ON files WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of files does not change its tenant');
END;
CREATE TRIGGER call_records_keep_tenant BEFORE UPDATE OF tenant_id ON call_records WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of call_records does not change its tenant');
END;
CREATE TRIGGER sms_numbers_keep_tenant BEFORE UPDATE OF tenant_id ON sms_numbers WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of sms_numbers does not change its tenant');
END;
CREATE TRIGGER sms_messages_keep_tenant BEFORE UPDATE OF tenant_id ON sms_messages WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of sms_messages does not change its tenant');
END;
