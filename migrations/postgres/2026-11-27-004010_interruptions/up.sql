-- Renames and moves interrupt phones, so they count against the limit of disables.
ALTER TABLE removals DROP CONSTRAINT removals_kind_check;
ALTER TABLE removals ADD CONSTRAINT removals_kind_check
    CHECK (kind IN ('file_gone', 'deleted', 'disabled', 'renamed', 'moved'));
