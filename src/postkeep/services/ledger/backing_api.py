"""What the ledger does for backups, as values on the wire. Both need an operation ticket of purpose
`backup`."""

import msgspec


class BackupFiles(msgspec.Struct, frozen=True):
    """`ledger.backup_files`: the files of the log and of the tenants' logs."""


class LedgerFiles(msgspec.Struct, frozen=True):
    """The log as it stood at one moment."""

    changing: list[tuple[str, bytes]]
    """(path below the ledger's directory, contents) of what changes: segments, checkpoint, snapshot."""
    tiles: list[tuple[str, int]]
    """(path, octets) of hash tiles and entry bundles: full ones never change."""


class BackupLedger(msgspec.Struct, frozen=True):
    """`ledger.backup_read`: whole files, in the order asked; empty where one is gone."""

    paths: list[str]


class LedgerOctets(msgspec.Struct, frozen=True):
    """The contents."""

    contents: list[bytes]
