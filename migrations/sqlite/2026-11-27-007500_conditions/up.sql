-- What the last run concluded about each tenant. A row is written only when its condition or its reason changes, so
-- `since` tells for how long it has been so.
CREATE TABLE tenant_conditions (
    tenant_key TEXT NOT NULL PRIMARY KEY,
    condition TEXT NOT NULL CHECK (condition IN ('in sync', 'pending', 'scheduled', 'drifted', 'held', 'contested',
        'not checked', 'failed', 'paused')),
    reason TEXT,
    lift TEXT,
    until TIMESTAMP,
    since TIMESTAMP NOT NULL
);

-- Life signs: one row for each daemon, and one for the last run from the command line.
CREATE TABLE heartbeats (
    holder TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('serving', 'standing by', 'stopped', 'command')),
    interval_seconds BIGINT NOT NULL,
    seen_at TIMESTAMP NOT NULL,
    pass_started_at TIMESTAMP,
    pass_ended_at TIMESTAMP,
    pass_result TEXT,
    next_pass_at TIMESTAMP,
    last_error TEXT,
    last_error_at TIMESTAMP
);

-- The FusionPBX version that the instance showed last; NULL where it shows none.
ALTER TABLE pbx_instances ADD COLUMN version TEXT;

-- A tenant's history is found by its identity, across a rename of its key.
CREATE INDEX audit_log_identity ON audit_log (tenant_id, id);
