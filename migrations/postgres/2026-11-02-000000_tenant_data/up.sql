-- The tenants' own world: what services keep for the users of a tenant. The page for their developers is
-- migrations/TENANT-DATA.md. Every key between these tables includes the tenant, and ids order bytewise ("C"), so that
-- an archive reads the same from either database.

-- ---- The role of services -------------------------------------------------------------------------------------------

DO $$
DECLARE
    ask CONSTANT text := format(
        'a database administrator must run: CREATE ROLE crystalqore_service NOLOGIN NOSUPERUSER NOBYPASSRLS '
        'NOCREATEROLE NOCREATEDB; GRANT crystalqore_service TO %I;', current_user);
    found pg_catalog.pg_roles;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'crystalqore_service') THEN
        BEGIN
            CREATE ROLE crystalqore_service NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server was faster
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'tenantd may not create the role crystalqore_service; %', ask;
        END;
    END IF;
    SELECT * INTO STRICT found FROM pg_catalog.pg_roles WHERE rolname = 'crystalqore_service';
    IF found.rolsuper OR found.rolbypassrls OR found.rolcreaterole OR found.rolcanlogin THEN
        RAISE EXCEPTION 'the role crystalqore_service may log in, create roles or bypass row-level security, and must '
            'not; a database administrator must run: ALTER ROLE crystalqore_service NOLOGIN NOSUPERUSER NOBYPASSRLS '
            'NOCREATEROLE NOCREATEDB;';
    END IF;
    -- tenantd takes this role when it checks the isolation.
    IF NOT pg_catalog.pg_has_role(current_user, 'crystalqore_service', 'MEMBER') THEN
        BEGIN
            EXECUTE format('GRANT crystalqore_service TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'tenantd is no member of the role crystalqore_service, which it needs to check the '
                'isolation; a database administrator must run: GRANT crystalqore_service TO %;', quote_ident(current_user);
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO crystalqore_service', current_schema());
END
$$;

-- ---- Who shares what with whom, and which archives there are: tenantd's own -----------------------------------------

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
    checked_at TIMESTAMPTZ NOT NULL
);

-- ---- The tenant of a transaction ------------------------------------------------------------------------------------

-- The tenant that this transaction works for; NULL (and so no row at all) where none is set or it is disabled.
-- PL/pgSQL keeps its plan for the session; an SQL function of this kind is planned anew in every statement.
CREATE FUNCTION crystalqore_tenant() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED AS $$
BEGIN
    RETURN (SELECT t.id FROM tenants t WHERE t.id = current_setting('crystalqore.tenant', true) AND t.enabled);
END
$$;

-- The tenants that share this kind with the transaction's tenant.
CREATE FUNCTION crystalqore_shared(kind text) RETURNS SETOF text LANGUAGE plpgsql STABLE SECURITY DEFINER
PARALLEL RESTRICTED AS $$
BEGIN
    RETURN QUERY SELECT s.tenant_id FROM cross_tenant_shares s JOIN tenants t ON t.id = s.tenant_id
        WHERE s.kind = $1 AND s.with_tenant_id = crystalqore_tenant() AND t.enabled;
END
$$;

-- Which enabled tenant a sign-in belongs to, by the domain or by the user's e-mail address: what a service asks
-- before it knows the tenant.
CREATE FUNCTION crystalqore_tenant_of_domain(domain text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT t.id FROM tenants t WHERE t.domain = lower($1) AND t.enabled
$$;

-- ---- Tables ---------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    email TEXT NOT NULL CHECK (email <> ''),
    -- Made from user name and domain, because the PBX knows no address; follows a rename.
    email_derived BOOLEAN NOT NULL DEFAULT FALSE,
    username TEXT NOT NULL CHECK (username <> ''),
    display_name TEXT NOT NULL DEFAULT '',
    role TEXT NOT NULL DEFAULT 'user' CHECK (role <> ''),
    enabled BOOLEAN NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('manual', 'fusionpbx')),
    pbx_user_id TEXT,
    last_login_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, pbx_user_id),
    CHECK (source <> 'fusionpbx' OR pbx_user_id IS NOT NULL)
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE UNIQUE INDEX users_username ON users (tenant_id, lower(username));
CREATE INDEX users_enabled ON users (tenant_id) WHERE enabled;

CREATE TABLE user_sessions (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
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
    user_id TEXT COLLATE "C" NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('available', 'away', 'busy', 'on_call', 'do_not_disturb', 'offline')),
    note TEXT,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

CREATE TABLE chat_conversations (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('direct', 'group', 'channel')),
    title TEXT NOT NULL DEFAULT '',
    -- Open to tenants that chat is shared with; everything else stays inside.
    shared BOOLEAN NOT NULL DEFAULT FALSE,
    created_by TEXT COLLATE "C",
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, created_by) REFERENCES users (tenant_id, id)
);

CREATE TABLE chat_participants (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    conversation_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    joined_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, conversation_id, user_id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES chat_conversations (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX chat_participants_user ON chat_participants (tenant_id, user_id);

CREATE TABLE chat_messages (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    sender_id TEXT COLLATE "C",
    body TEXT NOT NULL DEFAULT '',
    sent_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    edited_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES chat_conversations (tenant_id, id),
    FOREIGN KEY (tenant_id, sender_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX chat_messages_conversation ON chat_messages (tenant_id, conversation_id, sent_at);
CREATE INDEX chat_messages_sent ON chat_messages (tenant_id, sent_at);

CREATE TABLE contacts (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    -- NULL: the tenant's common address book. A user's own contacts are never shared.
    owner_id TEXT COLLATE "C",
    display_name TEXT NOT NULL DEFAULT '',
    organisation TEXT,
    phone TEXT,
    email TEXT,
    note TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, owner_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX contacts_name ON contacts (tenant_id, display_name);

CREATE TABLE files (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    owner_id TEXT COLLATE "C",
    conversation_id TEXT COLLATE "C",
    name TEXT NOT NULL DEFAULT '',
    media_type TEXT,
    size_bytes BIGINT NOT NULL DEFAULT 0 CHECK (size_bytes >= 0),
    sha256 TEXT,
    -- Below the tenant's own folder of the file store.
    storage_path TEXT NOT NULL UNIQUE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, owner_id) REFERENCES users (tenant_id, id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES chat_conversations (tenant_id, id),
    CONSTRAINT files_in_own_folder CHECK (
        substr(storage_path, 1, length(tenant_id) + 1) = tenant_id || '/' AND storage_path NOT LIKE '%..%')
);
CREATE INDEX files_created ON files (tenant_id, created_at);

CREATE TABLE call_records (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    caller TEXT NOT NULL DEFAULT '',
    callee TEXT NOT NULL DEFAULT '',
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    answered_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    duration_seconds INTEGER NOT NULL DEFAULT 0 CHECK (duration_seconds >= 0),
    pbx_call_id TEXT,
    recording_id TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
    FOREIGN KEY (tenant_id, recording_id) REFERENCES files (tenant_id, id)
);
CREATE INDEX call_records_started ON call_records (tenant_id, started_at);

CREATE TABLE sms_numbers (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    number TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE sms_messages (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT COLLATE "C" NOT NULL,
    number_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    peer TEXT NOT NULL DEFAULT '',
    body TEXT NOT NULL DEFAULT '',
    status TEXT,
    sent_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES sms_numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX sms_messages_number ON sms_messages (tenant_id, number_id, sent_at);
CREATE INDEX sms_messages_sent ON sms_messages (tenant_id, sent_at);

-- ---- What a service asks before and after it knows the tenant -------------------------------------------------------

CREATE FUNCTION crystalqore_tenant_of_email(email text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT u.tenant_id FROM users u JOIN tenants t ON t.id = u.tenant_id
    WHERE lower(u.email) = lower($1) AND u.enabled AND t.enabled
$$;

CREATE VIEW current_tenant WITH (security_barrier) AS
    SELECT id, key, name, domain, session_timeout_minutes, max_users FROM tenants WHERE id = crystalqore_tenant();

-- ---- Rules that hold for every client -------------------------------------------------------------------------------

CREATE FUNCTION keep_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % does not change its tenant', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END
$$;

-- A session starts only for an enabled user of an enabled tenant, and lasts at most the tenant's session timeout.
-- The locks make a disabling wait for a starting session (and then end it), and the other way round.
CREATE FUNCTION session_rules() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    tenant RECORD;
    allowed BOOLEAN;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.user_id <> OLD.user_id OR NEW.started_at <> OLD.started_at) THEN
        RAISE EXCEPTION 'a session does not change its user or its start' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL THEN
        RAISE EXCEPTION 'a session that has ended is not opened again' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.ended_at IS NOT NULL THEN
        RETURN NEW;
    END IF;
    SELECT t.key, t.enabled, t.session_timeout_minutes INTO tenant
        FROM tenants t WHERE t.id = NEW.tenant_id FOR SHARE;
    IF TG_OP = 'INSERT' THEN
        IF tenant.enabled IS DISTINCT FROM TRUE THEN
            RAISE EXCEPTION 'the tenant is disabled: no session can start' USING ERRCODE = 'check_violation';
        END IF;
        SELECT u.enabled INTO allowed FROM users u
            WHERE u.tenant_id = NEW.tenant_id AND u.id = NEW.user_id FOR SHARE;
        IF allowed IS FALSE THEN
            RAISE EXCEPTION 'the user is disabled: no session can start' USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.expires_at <= clock_timestamp() THEN
            RAISE EXCEPTION 'the session has expired already: it cannot start' USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.started_at > clock_timestamp() + interval '1 minute' THEN
            RAISE EXCEPTION 'the session starts in the future' USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    IF NEW.expires_at > NEW.started_at + make_interval(mins => tenant.session_timeout_minutes) THEN
        RAISE EXCEPTION 'the session outlasts the session_timeout of % minutes of the tenant %',
            tenant.session_timeout_minutes, tenant.key USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER user_sessions_rules BEFORE INSERT OR UPDATE OF user_id, started_at, expires_at, ended_at
    ON user_sessions FOR EACH ROW EXECUTE FUNCTION session_rules();

-- Counts under the tenant's row lock, so that two insertions at once do not both take the last place.
CREATE FUNCTION user_limit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    tenant RECORD;
BEGIN
    SELECT t.key, t.max_users INTO tenant FROM tenants t WHERE t.id = NEW.tenant_id FOR NO KEY UPDATE;
    IF tenant.max_users IS NOT NULL AND tenant.max_users <= (
        SELECT count(*) FROM users u WHERE u.tenant_id = NEW.tenant_id AND u.enabled AND u.id <> NEW.id
    ) THEN
        RAISE EXCEPTION 'the tenant % has reached its limit of % users (max_users)', tenant.key, tenant.max_users
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER users_limit_insert BEFORE INSERT ON users
    FOR EACH ROW WHEN (NEW.enabled) EXECUTE FUNCTION user_limit();
CREATE TRIGGER users_limit_update BEFORE UPDATE OF enabled ON users
    FOR EACH ROW WHEN (NEW.enabled AND NOT OLD.enabled) EXECUTE FUNCTION user_limit();

CREATE FUNCTION user_disabled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE user_sessions SET ended_at = clock_timestamp(), end_reason = 'user disabled'
        WHERE tenant_id = NEW.tenant_id AND user_id = NEW.id AND ended_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_disabled AFTER UPDATE OF enabled ON users
    FOR EACH ROW WHEN (OLD.enabled AND NOT NEW.enabled) EXECUTE FUNCTION user_disabled();

CREATE FUNCTION tenant_disabled() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE user_sessions SET ended_at = clock_timestamp(), end_reason = 'tenant disabled'
        WHERE tenant_id = NEW.id AND ended_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER tenants_disabled AFTER UPDATE OF enabled ON tenants
    FOR EACH ROW WHEN (OLD.enabled AND NOT NEW.enabled) EXECUTE FUNCTION tenant_disabled();

CREATE FUNCTION tenant_timeout_lowered() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE user_sessions SET expires_at = started_at + make_interval(mins => NEW.session_timeout_minutes)
        WHERE tenant_id = NEW.id AND ended_at IS NULL
          AND expires_at > started_at + make_interval(mins => NEW.session_timeout_minutes);
    RETURN NULL;
END
$$;
CREATE TRIGGER tenants_timeout_lowered AFTER UPDATE OF session_timeout_minutes ON tenants
    FOR EACH ROW WHEN (NEW.session_timeout_minutes < OLD.session_timeout_minutes)
    EXECUTE FUNCTION tenant_timeout_lowered();

-- Nothing of a tenant goes before it is in an archive that was read back since the tenant was disabled.
CREATE FUNCTION tenants_archive_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM archives a WHERE a.tenant_id = OLD.id AND a.checked_at >= OLD.disabled_at
    ) THEN
        RAISE EXCEPTION 'tenant is not archived since it was disabled: it cannot be deleted';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER tenants_archive_guard BEFORE DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION tenants_archive_guard();

-- ---- Row-level security ---------------------------------------------------------------------------------------------

-- Puts a table with a `tenant_id` under the rules above. For the migrations of services that bring tables of their own.
CREATE FUNCTION crystalqore_protect(target regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO crystalqore_service', target);
    EXECUTE format('CREATE POLICY tenantd ON %s TO %I USING (true) WITH CHECK (true)', target, current_user);
    EXECUTE format(
        'CREATE POLICY tenant ON %s TO crystalqore_service USING (tenant_id = (SELECT crystalqore_tenant())) '
        'WITH CHECK (tenant_id = (SELECT crystalqore_tenant()))', target);
    EXECUTE format(
        'CREATE TRIGGER keep_tenant BEFORE UPDATE OF tenant_id ON %s FOR EACH ROW '
        'WHEN (NEW.tenant_id IS DISTINCT FROM OLD.tenant_id) EXECUTE FUNCTION keep_tenant()', target);
    EXECUTE format(
        'CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()',
        target);
END
$$;

SELECT crystalqore_protect(name::regclass) FROM unnest(ARRAY[
    'users', 'user_sessions', 'presence', 'chat_conversations', 'chat_participants', 'chat_messages', 'contacts',
    'files', 'call_records', 'sms_numbers', 'sms_messages'
]) AS name;

-- Sharing is reading, never writing.
CREATE POLICY shared ON presence FOR SELECT TO crystalqore_service
    USING (tenant_id IN (SELECT crystalqore_shared('presence')));
CREATE POLICY shared ON contacts FOR SELECT TO crystalqore_service
    USING (owner_id IS NULL AND tenant_id IN (SELECT crystalqore_shared('contacts')));
CREATE POLICY shared ON chat_conversations FOR SELECT TO crystalqore_service
    USING (shared AND tenant_id IN (SELECT crystalqore_shared('chat')));
CREATE POLICY shared ON chat_messages FOR SELECT TO crystalqore_service
    USING (tenant_id IN (SELECT crystalqore_shared('chat')) AND EXISTS (
        SELECT 1 FROM chat_conversations c
        WHERE c.tenant_id = chat_messages.tenant_id AND c.id = chat_messages.conversation_id AND c.shared));

REVOKE ALL ON tenants, pbx_instances, former_placements, tombstones, audit_log, journal, removals, approvals,
    suspensions, writer_lease, facts, cross_tenant_shares, archives FROM PUBLIC, crystalqore_service;
GRANT SELECT ON current_tenant TO crystalqore_service;

-- A function with the owner's rights must not find a caller's temporary table of the same name.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'crystalqore_tenant()', 'crystalqore_shared(text)', 'crystalqore_tenant_of_domain(text)',
        'crystalqore_tenant_of_email(text)', 'session_rules()', 'user_limit()', 'user_disabled()', 'tenant_disabled()',
        'tenant_timeout_lowered()', 'tenants_archive_guard()', 'crystalqore_protect(regclass)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY[
        'crystalqore_tenant()', 'crystalqore_shared(text)', 'crystalqore_tenant_of_domain(text)',
        'crystalqore_tenant_of_email(text)'
    ] LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO crystalqore_service', name);
    END LOOP;
END
$$;
