-- Wrapped keys. Nothing here opens anything by itself: `wrapped` values need the root key, and those with a
-- `slot` need that erasable slot too, so that old versions of these rows die with the slot.

CREATE TABLE root_checks (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    wrapped  bytea NOT NULL
);

CREATE TABLE tenant_keys (
    tenant     bytea PRIMARY KEY CHECK (length(tenant) = 16),
    slot       bigint NOT NULL UNIQUE,
    wrapped    bytea NOT NULL,
    created_ms bigint NOT NULL
);

CREATE TABLE category_keys (
    tenant     bytea NOT NULL REFERENCES tenant_keys ON DELETE CASCADE,
    category   text NOT NULL,
    wrapped    bytea NOT NULL,
    created_ms bigint NOT NULL,
    PRIMARY KEY (tenant, category)
);

CREATE TABLE principal_keys (
    tenant     bytea NOT NULL REFERENCES tenant_keys ON DELETE CASCADE,
    principal  bytea NOT NULL CHECK (length(principal) = 16),
    generation integer NOT NULL CHECK (generation > 0),
    queue      boolean NOT NULL,
    slot       bigint NOT NULL UNIQUE,
    wrapped    bytea NOT NULL,
    public_key bytea NOT NULL,
    signature  bytea NOT NULL,
    created_ms bigint NOT NULL,
    PRIMARY KEY (tenant, principal, generation)
);
-- Callers name a principal alone: it must not exist under two tenants.
CREATE UNIQUE INDEX principal_keys_by_principal ON principal_keys (principal, generation);

-- What was destroyed is never made again under the same name. An empty principal: the whole tenant.
CREATE TABLE shredded_keys (
    tenant      bytea NOT NULL,
    principal   bytea NOT NULL,
    shredded_ms bigint NOT NULL,
    PRIMARY KEY (tenant, principal)
);

CREATE TABLE named_keys (
    name       text PRIMARY KEY,
    wrapped    bytea NOT NULL,
    public     bytea NOT NULL,
    created_ms bigint NOT NULL
);

-- The last tree head of the ledger that was signed: none that does not extend it is signed after it.
CREATE TABLE signed_heads (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    origin   text NOT NULL,
    size     bigint NOT NULL,
    root     bytea NOT NULL
);
