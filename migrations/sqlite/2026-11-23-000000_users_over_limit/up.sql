-- Enabled on the PBX and kept out of the platform, because the tenant is at its `max_users`. tenantd's user sync sets it,
-- and enables the account when there is room.
ALTER TABLE users ADD COLUMN over_limit BOOLEAN NOT NULL DEFAULT 0
    CHECK (over_limit IN (0, 1) AND NOT (over_limit AND enabled));
CREATE INDEX users_over_limit ON users (tenant_id) WHERE over_limit;
