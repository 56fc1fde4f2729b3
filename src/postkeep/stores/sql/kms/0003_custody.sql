-- Who else must open a tenant's key: empty, nobody; otherwise a custodian, whose key the customer holds: a name
-- among the named keys. The key then lies wrapped with the customer's key first, and that under the root key and
-- the slot as ever.

ALTER TABLE tenant_keys ADD COLUMN custody text NOT NULL DEFAULT '';
