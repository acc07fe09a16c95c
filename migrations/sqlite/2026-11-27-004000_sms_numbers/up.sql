-- A number is stored in one spelling, so that it belongs to one tenant: E.164 (`+` and 7 to 15 digits), or a national
-- short code of 3 to 8 digits. A number that is no tenant's any more leaves its row, and its messages, where they are:
-- `number` is NULL then, so that no look for a number finds it, and `former_number` says which it was.
--
-- SQLite adds no check in place, so both tables are made anew: the messages first, because they refer to the numbers.
CREATE TABLE sms_messages_kept AS SELECT * FROM sms_messages;
DROP TABLE sms_messages;
CREATE TABLE sms_numbers_kept AS
SELECT tenant_id, id, number, label, created_at,
    CASE WHEN plain LIKE '00%' THEN '+' || substr(plain, 3) ELSE plain END AS canonical
FROM (
    SELECT *,
        CASE WHEN trim(number) GLOB '+*' OR trim(number) GLOB '00*'
            THEN replace(replace(replace(replace(replace(replace(replace(replace(replace(
                number, '(0)', ''), ' ', ''), '-', ''), '.', ''), '/', ''), '(', ''), ')', ''), char(9), ''), char(160), '')
            ELSE number END AS plain
    FROM sms_numbers
);
DROP TABLE sms_numbers;

CREATE TABLE sms_numbers (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    number TEXT UNIQUE CHECK (number IS NULL OR CASE WHEN substr(number, 1, 1) = '+'
        THEN length(number) BETWEEN 8 AND 16 AND substr(number, 2) GLOB '[1-9]*' AND substr(number, 2) NOT GLOB '*[^0-9]*'
        ELSE length(number) BETWEEN 3 AND 8 AND number GLOB '[1-9]*' AND number NOT GLOB '*[^0-9]*' END),
    label TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    former_number TEXT,
    released_at TIMESTAMP,
    release_reason TEXT,
    PRIMARY KEY (tenant_id, id),
    CHECK ((number IS NULL) = (released_at IS NOT NULL) AND (number IS NULL) = (former_number IS NOT NULL))
);
-- What cannot be brought to that spelling, and the younger ones of a number that several rows have, are released as
-- they were written.
INSERT INTO sms_numbers (tenant_id, id, number, label, created_at, former_number, released_at, release_reason)
SELECT tenant_id, id, iif(valid AND place = 1, canonical, NULL), label, created_at,
    iif(valid AND place = 1, NULL, number),
    iif(valid AND place = 1, NULL, strftime('%Y-%m-%d %H:%M:%f', 'now')),
    CASE WHEN NOT valid THEN 'not in international form' WHEN place > 1 THEN 'another row has the same number' END
FROM (
    SELECT *, row_number() OVER (PARTITION BY canonical ORDER BY created_at, tenant_id, id) AS place,
        CASE WHEN canonical GLOB '+*'
            THEN length(canonical) BETWEEN 8 AND 16 AND substr(canonical, 2) GLOB '[1-9]*'
                AND substr(canonical, 2) NOT GLOB '*[^0-9]*'
            ELSE length(canonical) BETWEEN 3 AND 8 AND canonical GLOB '[1-9]*'
                AND canonical NOT GLOB '*[^0-9]*' END AS valid
    FROM sms_numbers_kept
);
DROP TABLE sms_numbers_kept;

CREATE TABLE sms_messages (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    number_id TEXT NOT NULL,
    user_id TEXT,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    peer TEXT NOT NULL DEFAULT '',
    body TEXT NOT NULL DEFAULT '',
    status TEXT,
    sent_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES sms_numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
INSERT INTO sms_messages (tenant_id, id, number_id, user_id, direction, peer, body, status, sent_at)
    SELECT tenant_id, id, number_id, user_id, direction, peer, body, status, sent_at FROM sms_messages_kept;
DROP TABLE sms_messages_kept;
CREATE INDEX sms_messages_number ON sms_messages (tenant_id, number_id, sent_at);
CREATE INDEX sms_messages_sent ON sms_messages (tenant_id, sent_at);

CREATE TRIGGER sms_numbers_keep_tenant BEFORE UPDATE OF tenant_id ON sms_numbers WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of sms_numbers does not change its tenant');
END;
CREATE TRIGGER sms_messages_keep_tenant BEFORE UPDATE OF tenant_id ON sms_messages WHEN NEW.tenant_id IS NOT OLD.tenant_id
BEGIN
    SELECT RAISE(ABORT, 'a row of sms_messages does not change its tenant');
END;
