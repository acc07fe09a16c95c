-- A number is stored in one spelling, so that it belongs to one tenant: E.164 (`+` and 7 to 15 digits), or a national
-- short code of 3 to 8 digits. A number that is no tenant's any more leaves its row, and its messages, where they are:
-- `number` is NULL then, so that no look for a number finds it, and `former_number` says which it was.
ALTER TABLE sms_numbers
    ALTER COLUMN number DROP NOT NULL,
    ADD COLUMN former_number TEXT,
    ADD COLUMN released_at TIMESTAMPTZ,
    ADD COLUMN release_reason TEXT;

-- What cannot be brought to that spelling, and the younger ones of a number that several rows have, are released as
-- they were written.
CREATE TABLE sms_numbers_canonical AS
WITH plain AS (
    SELECT tenant_id, id, number, created_at,
        CASE WHEN number ~ '^\s*(\+|00)'
            THEN regexp_replace(regexp_replace(replace(number, '(0)', ''), '[\s./()\u00a0-]', '', 'g'), '^00', '+')
            ELSE number END AS canonical
    FROM sms_numbers
)
SELECT tenant_id, id, canonical, canonical ~ '^(\+[1-9][0-9]{6,14}|[1-9][0-9]{2,7})$' AS valid,
    row_number() OVER (PARTITION BY canonical ORDER BY created_at, tenant_id, id) AS place
FROM plain;
UPDATE sms_numbers s SET former_number = s.number, number = NULL, released_at = now(),
    release_reason = CASE WHEN c.valid THEN 'another row has the same number' ELSE 'not in international form' END
FROM sms_numbers_canonical c
WHERE c.tenant_id = s.tenant_id AND c.id = s.id AND NOT (c.valid AND c.place = 1);
UPDATE sms_numbers s SET number = c.canonical FROM sms_numbers_canonical c
WHERE c.tenant_id = s.tenant_id AND c.id = s.id AND c.valid AND c.place = 1 AND s.number <> c.canonical;
DROP TABLE sms_numbers_canonical;

ALTER TABLE sms_numbers
    ADD CONSTRAINT sms_numbers_canonical CHECK (number IS NULL OR CASE WHEN substr(number, 1, 1) = '+'
        THEN number ~ '^\+[1-9][0-9]{6,14}$' ELSE number ~ '^[1-9][0-9]{2,7}$' END),
    ADD CONSTRAINT sms_numbers_released CHECK (
        (number IS NULL) = (released_at IS NOT NULL) AND (number IS NULL) = (former_number IS NOT NULL));
