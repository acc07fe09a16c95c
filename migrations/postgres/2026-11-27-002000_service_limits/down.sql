DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I RESET lock_timeout', current_database());
    EXECUTE format('ALTER DATABASE %I RESET statement_timeout', current_database());
    EXECUTE format('ALTER DATABASE %I RESET idle_in_transaction_session_timeout', current_database());
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
