-- What others than the owner may do with a mailbox: the letters of RFC 4314. A row without a mailbox holds for all of
-- the owner's that have no row of their own for the same reader.

CREATE TABLE rights (
    tenant   bytea NOT NULL,
    owner    bytea NOT NULL,
    mailbox  bytea,                                 -- NULL: see above
    reader   bytea NOT NULL,
    letters  text  NOT NULL,                        -- in the order lrswipkxtea; empty: none, whatever holds for all
    until_ms bigint,                                -- NULL: no end
    FOREIGN KEY (tenant, mailbox) REFERENCES mailboxes ON DELETE CASCADE,
    UNIQUE NULLS NOT DISTINCT (tenant, owner, reader, mailbox)
);
CREATE INDEX rights_of_reader ON rights (tenant, reader);
CREATE INDEX rights_of_mailbox ON rights (tenant, mailbox) WHERE mailbox IS NOT NULL;
