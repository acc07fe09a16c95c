-- Tables and columns are called as the README's terms are.
ALTER TABLE former_placements RENAME TO previous_placements;
ALTER TABLE previous_placements RENAME COLUMN login_lock_json TO web_sign_in_block_json;

ALTER TABLE suspensions RENAME TO pauses;
ALTER TABLE pauses RENAME COLUMN suspended_by TO paused_by;
ALTER TABLE pauses RENAME COLUMN suspended_at TO paused_at;

ALTER TABLE tenants RENAME COLUMN removed_at TO file_removed_at;
ALTER TABLE tenants RENAME COLUMN login_lock_json TO web_sign_in_block_json;
ALTER TABLE tenants RENAME COLUMN lock_left_open TO web_sign_in_left_open;
ALTER TABLE tenants RENAME COLUMN applied_hash TO applied_definition_hash;
ALTER TABLE tenants RENAME COLUMN reapplied_json TO corrections_json;

ALTER TABLE tenant_conditions RENAME COLUMN lift TO lifted_by;

-- A configuration that could not be read again is not an error of a run.
ALTER TABLE heartbeats ADD COLUMN configuration_error TEXT;
ALTER TABLE heartbeats ADD COLUMN configuration_error_at TIMESTAMPTZ;

UPDATE journal SET action = 'delete_record' WHERE action = 'forget';
CREATE OR REPLACE FUNCTION tenants_delete_guard() RETURNS trigger LANGUAGE plpgsql AS $$
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
        WHERE j.tenant_id = OLD.id AND j.action IN ('delete', 'delete_record') AND j.closed_at IS NULL
          AND j.opened_at >= OLD.deletable_from
    ) THEN
        RAISE EXCEPTION 'tenant has no open intent to delete it after its retention: it cannot be deleted';
    END IF;
    RETURN OLD;
END
$$;
