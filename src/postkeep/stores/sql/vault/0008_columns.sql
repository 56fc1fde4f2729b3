-- Mailboxes of a million messages: what SELECT says is known without a look at the messages, and what readers
-- have made of many summaries is kept for the next one.

ALTER TABLE messages ADD COLUMN saved_ms bigint NOT NULL DEFAULT 0;  -- when it came into this mailbox; 0: unknown
CREATE INDEX messages_unseen ON messages (tenant, mailbox, uid) WHERE flags & 1 = 0;

-- Every keyword ever set in the mailbox, the first spelling of each, in the order of their first use.
ALTER TABLE mailboxes ADD COLUMN keywords text[];

-- A list of keywords with those of another list that it does not have yet, however they are written.
CREATE FUNCTION keywords_with(known text[], more text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT (known || ARRAY(
        SELECT (array_agg(m.word ORDER BY m.place))[1]
        FROM unnest(more) WITH ORDINALITY AS m (word, place)
        WHERE known IS NULL OR lower(m.word) NOT IN (SELECT lower(k) FROM unnest(known) AS k)
        GROUP BY lower(m.word) ORDER BY min(m.place)
    ))[1:1000]
$$;

UPDATE mailboxes b SET keywords = keywords_with(NULL, c.words)
FROM (
    SELECT m.tenant, m.mailbox, array_agg(DISTINCT k.word) AS words
    FROM messages m CROSS JOIN LATERAL unnest(m.keywords) AS k (word)
    WHERE m.keywords IS NOT NULL GROUP BY m.tenant, m.mailbox
) c
WHERE b.tenant = c.tenant AND b.mailbox = c.mailbox;

-- Expunges are never forgotten: old ones become one row, at the modseq of the newest of them. What is stored is
-- the UIDs just outside each run that went, big-endian: between 1 and UIDNEXT - 1 these are the runs that are there.
ALTER TABLE expunged DROP COLUMN lows, DROP COLUMN highs;
ALTER TABLE expunged ADD COLUMN borders bytea NOT NULL DEFAULT '';
ALTER TABLE expunged ALTER borders DROP DEFAULT;
ALTER TABLE expunged ALTER borders SET STORAGE EXTERNAL;
TRUNCATE expunged;
INSERT INTO expunged (tenant, mailbox, modseq, borders)
SELECT g.tenant, g.mailbox, b.highest_modseq,
       string_agg(substring(int8send(g.before) FROM 5) || substring(int8send(g.uid) FROM 5), '' ORDER BY g.uid)
FROM (
    SELECT tenant, mailbox, uid, coalesce(lag(uid) OVER (PARTITION BY tenant, mailbox ORDER BY uid), 0) AS before
    FROM (
        SELECT tenant, mailbox, uid FROM messages
        UNION ALL SELECT tenant, mailbox, uid_next FROM mailboxes
    ) AS known
) AS g
JOIN mailboxes b USING (tenant, mailbox)
WHERE g.uid > g.before + 1
GROUP BY g.tenant, g.mailbox, b.highest_modseq;
ALTER TABLE mailboxes DROP COLUMN vanished_since;

-- Pages of summaries, each for one block of 128 UIDs. Their wraps lie in slots, as those of messages do.
CREATE TABLE pages (
    tenant      bytea    NOT NULL,
    mailbox     bytea    NOT NULL,
    block       integer  NOT NULL,
    kind        smallint NOT NULL,
    epoch_index integer  NOT NULL,
    slot        bigint   NOT NULL,
    messages    smallint NOT NULL,                  -- how many there were in the block, and are
    page        bytea    NOT NULL,
    epoch       bytea    NOT NULL,
    sealed      bytea    NOT NULL,
    PRIMARY KEY (tenant, mailbox, kind, block)
);
ALTER TABLE pages ALTER sealed SET STORAGE EXTERNAL;  -- sealed bytes don't compress
CREATE INDEX pages_by_slot ON pages USING brin (slot);
