-- SQLite has no roles, and a connection chooses its own timeouts.
SELECT 1;
