"""What the vault does for backups, as values on the wire. All need an operation ticket of purpose
`backup`."""

import msgspec


class BackupHold(msgspec.Struct, frozen=True):
    """`vault.backup_hold`: remove no pack for so many seconds; 0 ends it."""

    seconds: int


class BackupPacks(msgspec.Struct, frozen=True):
    """`vault.backup_packs`: which packs there are."""


class PackList(msgspec.Struct, frozen=True):
    """(pack, octets), and how many octets the file of wraps has."""

    packs: list[tuple[int, int]]
    wraps_bytes: int


class BackupRead(msgspec.Struct, frozen=True):
    """`vault.backup_read`: octets of a pack; pack 0 is the file of wraps."""

    pack: int
    offset: int
    length: int


class BackupOctets(msgspec.Struct, frozen=True):
    """What was read; shorter at the end of the file."""

    octets: bytes


class BackupErased(msgspec.Struct, frozen=True):
    """`vault.backup_erased`: which slots were overwritten since a position, or all of them from `begin`
    on."""

    incarnation: bytes
    """Of the answer before; empty, or of a vault that has been restarted since: all are told."""
    position: int
    begin: int = 0


class ErasedSlots(msgspec.Struct, frozen=True):
    """Slots as first, count, first, count ..."""

    incarnation: bytes
    position: int
    slots: list[int]
    next_begin: int
    """Where the telling of all goes on; 0: that was the last part, or only what is new was asked for."""
