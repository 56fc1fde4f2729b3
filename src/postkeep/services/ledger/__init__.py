"""The append-only Merkle log of every security event. Start with `service`."""
