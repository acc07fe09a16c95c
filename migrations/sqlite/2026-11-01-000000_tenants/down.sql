-- There is no way back from the first schema but an empty database.
SELECT 1;
