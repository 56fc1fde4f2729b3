"""What kms does for backups, as values on the wire. All need an operation ticket of purpose `backup`."""

import msgspec


class BackupOpen(msgspec.Struct, frozen=True):
    """`kms.backup_open`: the keys that the worker needs, and what must lie in the target for a restore."""

    new_week: bool = False
    """Begin another weekly key now, so that the older ones can be destroyed."""


class BackupOpened(msgspec.Struct, frozen=True):
    """What the worker gets: keys for what it may read anyway, and no key of what kms seals itself."""

    line: bytes
    """This life of the node."""
    data_key: bytes
    """Parent of the keys of the data stream."""
    wraps_key: bytes
    """Parent of the keys of the vault's wraps: derived from the weekly key, and good for nothing else of
    it."""
    week: bytes
    week_object: bytes
    week_expires_ms: int
    keyring: bytes
    root_files: dict[str, bytes]
    """The root key as it is sealed, by file name; nothing where it lies in a file in the clear."""
    slots_bytes: int
    """How many octets the file of slots has."""
    predecessors: dict[str, bytes] = {}
    """Former root keys as objects of the target, by name."""


class BackupSlots(msgspec.Struct, frozen=True):
    """`kms.backup_slots`: one part of the slots of kms, sealed under the weekly key."""

    week: bytes
    backup: str
    part: int


class SealedSlots(msgspec.Struct, frozen=True):
    """The sealed part; `last` with the one that reaches the file's end."""

    sealed: bytes
    last: bool


class BackupSign(msgspec.Struct, frozen=True):
    """`kms.backup_sign`: sign a manifest (`backup`) or a tombstone (`line` and `number`)."""

    digest: bytes
    backup: str = ""
    line: bytes = b""
    number: int = 0


class BackupSignature(msgspec.Struct, frozen=True):
    """Ed25519 over the statement of `crypto.backup`."""

    signature: bytes
    public_key: bytes


class BackupShredded(msgspec.Struct, frozen=True):
    """`kms.backup_shredded`: whose keys have been destroyed since a moment, that moment included."""

    since_ms: int


class ShreddedKeys(msgspec.Struct, frozen=True):
    """(tenant, principal, when); an empty principal: the whole tenant. Oldest first."""

    keys: list[tuple[bytes, bytes, int]]
    more: bool


class BackupExpire(msgspec.Struct, frozen=True):
    """`kms.backup_expire`: destroy the weekly keys whose time is over, and those named."""

    weeks: list[bytes] = []


class BackupWeeks(msgspec.Struct, frozen=True):
    """The weekly keys that live: (week, made, destroyed at)."""

    weeks: list[tuple[bytes, int, int]]
