-- Limits of the whole database also ended what an administrator or a report does (an index over many rows, a backup). They
-- belong to the logins of services, which `tenantd isolation check` names with the statement that sets them: a member does
-- not inherit the settings of crystalqore_service. What differs from the values of tenantd was set by an administrator.
DO $$
DECLARE
    name text;
    value text;
BEGIN
    FOR name, value IN VALUES
        ('lock_timeout', '10s'), ('statement_timeout', '5min'), ('idle_in_transaction_session_timeout', '60s')
    LOOP
        CONTINUE WHEN NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase,
                unnest(s.setconfig) AS setting
            WHERE d.datname = current_database() AND s.setrole = 0 AND setting = name || '=' || value);
        EXECUTE format('ALTER DATABASE %I RESET %I', current_database(), name);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    -- tenantd does not own the database (any more). The administrator resets them.
    NULL;
END
$$;
