-- Segments of the search indexes that faces make, each for one block of 1,024 UIDs: its bytes lie in a pack as a
-- body of their own, its wraps in a slot.
CREATE TABLE segments (
    tenant      bytea    NOT NULL,
    mailbox     bytea    NOT NULL,
    block       integer  NOT NULL,
    epoch_index integer  NOT NULL,
    slot        bigint   NOT NULL,
    messages    smallint NOT NULL,                  -- how many there were in the block, and are
    body        bytea    NOT NULL,
    epoch       bytea    NOT NULL,
    PRIMARY KEY (tenant, mailbox, block)
);
CREATE INDEX segments_by_slot ON segments USING brin (slot);
