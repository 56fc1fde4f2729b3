-- Destruction orders and legal holds. Identifiers only: no address, no name. What a person wrote (a reason)
-- stands as it was written.

CREATE TABLE orders (
    id          bytea   PRIMARY KEY,
    made_ms     bigint  NOT NULL,
    open        boolean NOT NULL,      -- still has a step to take
    body        bytea   NOT NULL,      -- the order as a MessagePack value
    certificate bytea                  -- canonical JSON, once the last step is taken
) WITH (fillfactor = 70);
CREATE INDEX orders_open ON orders (made_ms) WHERE open;
CREATE INDEX orders_by_age ON orders (made_ms);

CREATE TABLE holds (
    id      bytea   PRIMARY KEY,
    made_ms bigint  NOT NULL,
    standing boolean NOT NULL,         -- not released, by whatever way
    body    bytea   NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX holds_standing ON holds (made_ms) WHERE standing;
