-- The data of tenants is not dropped by a migration: restore the copy from before it.
SELECT 1;
