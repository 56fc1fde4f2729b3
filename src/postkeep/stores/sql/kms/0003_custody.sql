-- Who else must open a tenant's key: empty, nobody; otherwise a custodian, whose key the customer holds. The key
-- then lies wrapped under the customer's key first, and that under the root key and the slot as ever.

CREATE TABLE custodians (
    name       text PRIMARY KEY CHECK (name <> ''),
    tenant     bytea NOT NULL CHECK (length(tenant) = 16),
    kind       text NOT NULL,
    settings   text NOT NULL,
    created_ms bigint NOT NULL
);

ALTER TABLE tenant_keys ADD COLUMN custody text NOT NULL DEFAULT '';
