-- Whose epochs others may have opened: the owner's private halves, wrapped once more for each reader. A wrap ends
-- with its slot, whatever copies of the row there are.

CREATE TABLE shares (
    tenant   bytea   NOT NULL REFERENCES tenant_keys ON DELETE CASCADE,
    owner    bytea   NOT NULL CHECK (length(owner) = 16),
    reader   bytea   NOT NULL CHECK (length(reader) = 16),
    manages  boolean NOT NULL,                      -- may pass it on, and take it from others
    until_ms bigint,                                -- NULL: no end
    PRIMARY KEY (tenant, owner, reader)
);
CREATE INDEX shares_of_reader ON shares (tenant, reader);
CREATE INDEX shares_by_end ON shares (until_ms) WHERE until_ms IS NOT NULL;

CREATE TABLE share_wraps (
    tenant     bytea   NOT NULL,
    owner      bytea   NOT NULL,
    reader     bytea   NOT NULL,
    generation integer NOT NULL,                    -- of the owner's key pair
    slot       bigint  NOT NULL UNIQUE,
    wrapped    bytea   NOT NULL,
    PRIMARY KEY (tenant, owner, reader, generation),
    FOREIGN KEY (tenant, owner, reader) REFERENCES shares ON DELETE CASCADE
);

-- Owners whose pair gets a next generation because a reader was taken away, until that generation is begun.
CREATE TABLE share_rekeys (
    tenant bytea NOT NULL REFERENCES tenant_keys ON DELETE CASCADE,
    owner  bytea NOT NULL,
    PRIMARY KEY (tenant, owner)
);
