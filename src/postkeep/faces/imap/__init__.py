"""The IMAP face: the wire on one side, authority, vault and kms on the other; no durable state of its own.

`server` listens, `connection` holds one socket, `session` runs its commands from the table in `table`;
each family of commands has a file. Sealed rows come from the vault, keys from kms, and both meet only here,
in memory, for as long as one command takes (`keyring`, `opening`).
"""
