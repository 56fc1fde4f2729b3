-- The directory. No address, name or password is readable here: `sealed` values open with the account key
-- of kms, `lookup` is a keyed hash of the address's normal form. Domains are public anyway.

CREATE TABLE tenants (
    tenant           bytea PRIMARY KEY CHECK (length(tenant) = 16),
    status           text NOT NULL DEFAULT 'active',
    sealed           bytea NOT NULL,
    queue_principal  bytea NOT NULL,
    queue_generation integer NOT NULL,
    queue_key        bytea NOT NULL,
    queue_signature  bytea NOT NULL,
    created_ms       bigint NOT NULL
);

CREATE TABLE domains (
    domain text PRIMARY KEY,
    tenant bytea NOT NULL REFERENCES tenants ON DELETE CASCADE
);
CREATE INDEX domains_by_tenant ON domains (tenant);

CREATE TABLE principals (
    tenant          bytea NOT NULL REFERENCES tenants ON DELETE CASCADE,
    principal       bytea NOT NULL CHECK (length(principal) = 16),
    kind            text NOT NULL,
    status          text NOT NULL DEFAULT 'active',
    sealed          bytea NOT NULL,
    quota_bytes     bigint,
    generation      integer,
    public_key      bytea,
    signature       bytea,
    created_ms      bigint NOT NULL,
    last_sign_in_ms bigint,
    PRIMARY KEY (tenant, principal)
);
-- Requests name a principal alone: it must not exist under two tenants.
CREATE UNIQUE INDEX principals_by_principal ON principals (principal);

CREATE TABLE addresses (
    lookup     bytea PRIMARY KEY CHECK (length(lookup) = 32),
    tenant     bytea NOT NULL,
    principal  bytea NOT NULL,
    is_primary boolean NOT NULL,
    domain     text NOT NULL REFERENCES domains,
    sealed     bytea NOT NULL,
    FOREIGN KEY (tenant, principal) REFERENCES principals ON DELETE CASCADE
);
CREATE INDEX addresses_by_principal ON addresses (tenant, principal);
CREATE INDEX addresses_by_domain ON addresses (domain);

-- Members of groups, by address: a member may be of another tenant, or of another system.
CREATE TABLE members (
    tenant    bytea NOT NULL,
    principal bytea NOT NULL,
    lookup    bytea NOT NULL,
    sealed    bytea NOT NULL,
    PRIMARY KEY (tenant, principal, lookup),
    FOREIGN KEY (tenant, principal) REFERENCES principals ON DELETE CASCADE
);

-- Addresses that a user may send as beside the user's own.
CREATE TABLE sender_grants (
    tenant    bytea NOT NULL,
    principal bytea NOT NULL,
    lookup    bytea NOT NULL,
    sealed    bytea NOT NULL,
    PRIMARY KEY (tenant, principal, lookup),
    FOREIGN KEY (tenant, principal) REFERENCES principals ON DELETE CASCADE
);

CREATE TABLE directory_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO directory_state (version) VALUES (1);
