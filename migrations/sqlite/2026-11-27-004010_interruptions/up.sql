-- Renames and moves interrupt phones, so they count against the limit of disables. SQLite changes no check in place.
CREATE TABLE removals_kept AS SELECT * FROM removals;
DROP TABLE removals;
CREATE TABLE removals (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('file_gone', 'deleted', 'disabled', 'renamed', 'moved')),
    instance TEXT NOT NULL,
    at TIMESTAMP NOT NULL
);
INSERT INTO removals (id, tenant_id, kind, instance, at)
    SELECT id, tenant_id, kind, instance, at FROM removals_kept ORDER BY id;
DROP TABLE removals_kept;
CREATE INDEX removals_at ON removals (at);
