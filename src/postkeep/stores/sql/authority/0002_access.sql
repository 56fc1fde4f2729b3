-- Credentials, sessions, and what has been revoked.

CREATE TABLE credentials (
    tenant       bytea NOT NULL,
    principal    bytea NOT NULL,
    id           bytea NOT NULL CHECK (length(id) = 16),
    kind         text NOT NULL,
    sealed       bytea NOT NULL,
    created_ms   bigint NOT NULL,
    last_used_ms bigint,
    PRIMARY KEY (tenant, principal, id),
    FOREIGN KEY (tenant, principal) REFERENCES principals ON DELETE CASCADE
);

-- A session is held by one key of one module instance. One that is not renewed any more is swept.
CREATE TABLE sessions (
    session    bytea PRIMARY KEY CHECK (length(session) = 16),
    tenant     bytea NOT NULL,
    principal  bytea NOT NULL,
    credential bytea NOT NULL,
    module     text NOT NULL,
    instance   text NOT NULL,
    holder     text NOT NULL,
    level      smallint NOT NULL,
    opened_ms  bigint NOT NULL,
    renewed_ms bigint NOT NULL,
    FOREIGN KEY (tenant, principal) REFERENCES principals ON DELETE CASCADE
);
CREATE INDEX sessions_by_principal ON sessions (tenant, principal);
CREATE INDEX sessions_by_renewal ON sessions (renewed_ms);

CREATE TABLE revocations (
    position  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope     text NOT NULL,
    subject   text NOT NULL,
    before_ms bigint NOT NULL
);

-- Networks (keyed hashes) from which an account has signed in: they keep a count of failures of their own.
CREATE TABLE known_networks (
    tenant    bytea NOT NULL,
    principal bytea NOT NULL,
    network   bytea NOT NULL CHECK (length(network) = 16),
    used_ms   bigint NOT NULL,
    PRIMARY KEY (tenant, principal, network),
    FOREIGN KEY (tenant, principal) REFERENCES principals ON DELETE CASCADE
);
