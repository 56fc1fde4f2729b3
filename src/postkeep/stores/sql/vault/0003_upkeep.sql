-- Small indexes for upkeep: slots and packs grow with time, as rows do, so ranges of blocks suffice.

CREATE INDEX messages_by_slot ON messages USING brin (slot);
CREATE INDEX bodies_by_pack ON bodies USING brin (pack);
CREATE INDEX bodies_gone ON bodies (gone_ms) WHERE refs = 0;

-- Expunging a large mailbox must not look at every message in it.
CREATE INDEX messages_deleted ON messages (tenant, mailbox, uid) WHERE flags & 8 <> 0;

-- How far upkeep has come, by name.
CREATE TABLE upkeep (
    name  text   PRIMARY KEY,
    value bigint NOT NULL
);
