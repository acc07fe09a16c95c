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
ALTER TABLE heartbeats ADD COLUMN configuration_error_at TIMESTAMP;

UPDATE journal SET action = 'delete_record' WHERE action = 'forget';
DROP TRIGGER tenants_delete_guard;
CREATE TRIGGER tenants_delete_guard BEFORE DELETE ON tenants
BEGIN
    SELECT RAISE(ABORT, 'tenant is enabled: it cannot be deleted') WHERE OLD.enabled;
    SELECT RAISE(ABORT, 'tenant is protected: it cannot be deleted') WHERE OLD.protected;
    SELECT RAISE(ABORT, 'tenant is not confirmed disabled on its PBX: it cannot be deleted')
        WHERE OLD.disable_confirmed_at IS NULL OR OLD.deletable_from IS NULL;
    SELECT RAISE(ABORT, 'tenant has no open intent to delete it after its retention: it cannot be deleted')
        WHERE NOT EXISTS (
            SELECT 1 FROM journal j
            WHERE j.tenant_id = OLD.id AND j.action IN ('delete', 'delete_record') AND j.closed_at IS NULL
              AND j.opened_at >= OLD.deletable_from
        );
END;
