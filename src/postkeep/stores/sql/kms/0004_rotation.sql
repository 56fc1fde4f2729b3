-- Generations of the keys above others, and their rotation. Each row says which generation of its parent wraps
-- it, so that both may be in use while rows are wrapped anew. A generation with a slot ends with it.

ALTER TABLE root_checks DROP CONSTRAINT root_checks_pkey;
ALTER TABLE root_checks DROP COLUMN only_row;
ALTER TABLE root_checks
    ADD COLUMN generation integer NOT NULL DEFAULT 1 CHECK (generation > 0),
    ADD COLUMN slot       bigint,
    ADD COLUMN handed     bytea,                    -- the next root key under the present one, until the switch
    ADD PRIMARY KEY (generation);

ALTER TABLE tenant_keys
    ADD COLUMN generation integer NOT NULL DEFAULT 1,
    ADD COLUMN root       integer NOT NULL DEFAULT 1;
CREATE INDEX tenant_keys_by_root ON tenant_keys (root, tenant);

ALTER TABLE named_keys ADD COLUMN root integer NOT NULL DEFAULT 1;

ALTER TABLE category_keys DROP CONSTRAINT category_keys_pkey;
ALTER TABLE category_keys
    ADD COLUMN generation integer NOT NULL DEFAULT 1 CHECK (generation > 0),
    ADD COLUMN slot       bigint UNIQUE,            -- none: made before generations had slots
    ADD PRIMARY KEY (tenant, category, generation);

-- The key that a category's own keeper seals with, once the category's key has been rotated. Before that it is
-- derived from the category's key, and has no row.
CREATE TABLE data_keys (
    tenant   bytea   NOT NULL REFERENCES tenant_keys ON DELETE CASCADE,
    category text    NOT NULL,
    parent   integer NOT NULL,
    wrapped  bytea   NOT NULL,
    PRIMARY KEY (tenant, category)
);

-- The private halves apart from the public ones, which are ten times as long and never change: wrapping them all
-- anew rewrites short rows in place.
CREATE TABLE principal_wraps (
    tenant     bytea   NOT NULL,
    principal  bytea   NOT NULL,
    generation integer NOT NULL,
    parent     integer NOT NULL,                    -- the generation of the category's key
    wrapped    bytea   NOT NULL,
    PRIMARY KEY (tenant, principal, generation),
    FOREIGN KEY (tenant, principal, generation) REFERENCES principal_keys ON DELETE CASCADE
) WITH (fillfactor = 45);
INSERT INTO principal_wraps (tenant, principal, generation, parent, wrapped)
    SELECT tenant, principal, generation, 1, wrapped FROM principal_keys;
ALTER TABLE principal_keys DROP COLUMN wrapped;
CREATE INDEX principal_keys_by_age ON principal_keys (created_ms);

-- A key of a person for what must end with the person's keys although no epoch leads to it. Made at first use.
CREATE TABLE person_keys (
    tenant    bytea   NOT NULL REFERENCES tenant_keys ON DELETE CASCADE,
    principal bytea   NOT NULL,
    slot      bigint  NOT NULL UNIQUE,
    parent    integer NOT NULL,
    wrapped   bytea   NOT NULL,
    PRIMARY KEY (tenant, principal)
);

-- What is rotated now, and what was. One at a time for each key.
CREATE TABLE rotations (
    id         bytea   PRIMARY KEY CHECK (length(id) = 16),
    kind       text    NOT NULL,
    tenant     bytea   NOT NULL,
    principal  bytea   NOT NULL,
    category   text    NOT NULL,
    old        integer NOT NULL,
    new        integer NOT NULL,
    phase      text    NOT NULL,
    old_slot   bigint,
    position   bytea   NOT NULL DEFAULT '',
    done       bigint  NOT NULL DEFAULT 0,
    total      bigint  NOT NULL DEFAULT 0,
    started_ms bigint  NOT NULL,
    ended_ms   bigint
);
CREATE UNIQUE INDEX rotations_open ON rotations (kind, tenant, principal, category) WHERE ended_ms IS NULL;
