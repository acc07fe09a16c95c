-- A service may lock a table, because it may update it, and PostgreSQL has no grant in between. So that a lock which is
-- forgotten does not keep everybody waiting for ever, the database gets defaults, where its administrator set none. A
-- login's own settings (ALTER ROLE … SET) and a transaction's (SET LOCAL) go before them.
DO $$
DECLARE
    name text;
    value text;
BEGIN
    FOR name, value IN VALUES
        ('lock_timeout', '10s'), ('statement_timeout', '5min'), ('idle_in_transaction_session_timeout', '60s')
    LOOP
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase,
                unnest(s.setconfig) AS setting
            WHERE d.datname = current_database() AND s.setrole = 0 AND setting LIKE name || '=%');
        EXECUTE format('ALTER DATABASE %I SET %I = %L', current_database(), name, value);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    -- tenantd owns its tables, and not the database. `tenantd isolation check` names what is missing.
    NULL;
END
$$;
