"""What a backup consists of: the values that are sealed and signed, and the names of objects in the target.

```
keyring                        the parents of all keys, wrapped under the root key
root/<file>                    the root key as it is sealed (never the key itself)
predecessors/<id>              a root key that was rotated away, wrapped under the one after it
backups/<id>                   a manifest
data/<2 digits>/<piece>        pieces of files, under the data key
wal/<line>/<file>              the database's write-ahead log, under the data key
tombstones/<line>/<number>     what has been destroyed, under the data key
weeks/<week>/key               a weekly key, wrapped
weeks/<week>/wraps/<piece>     pieces of the vault's wrapped message keys, under the weekly key
weeks/<week>/kms/<id>.<part>   the slots of kms, sealed inside kms, under the weekly key
```
"""

from typing import Final, TypeVar

import msgspec

from postkeep.base.errors import IntegrityError

T = TypeVar("T")

VERSION: Final = 1
DATA_KEY: Final = "backup/data"
"""The name of the parent of the data stream's keys."""
WEEK_PARENT: Final = "backup/weeks"
"""The name of the key that wraps weekly keys."""
SIGNING_KEY: Final = "backup/manifest"
"""The name of the key that signs manifests and tombstones."""
KEYRING: Final = "keyring"
PIECE_BYTES: Final = 1024 * 1024
"""A piece of a database file or of wraps: what a changed page costs."""
PACK_PIECE_BYTES: Final = 4 * 1024 * 1024
"""A piece of a pack: packs only grow, so larger pieces cost nothing and are fewer."""
SMALL_BYTES: Final = 256 * 1024
"""Files below this share pieces with others."""
KMS_PART_BYTES: Final = 4 * 1024 * 1024
"""How much of the slots of kms is sealed as one object."""


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """A part of a file: `length` octets of a piece, from `offset` on."""

    piece: bytes
    offset: int
    length: int


class File(msgspec.Struct, frozen=True, array_like=True):
    """A file, as its parts in order."""

    path: str
    size: int
    extents: list[Extent]


class Tree(msgspec.Struct, frozen=True):
    """Files that lie together: `postgres`, `packs`, `ledger`, `wraps`."""

    name: str
    directories: list[str]
    files: list[File]

    @property
    def size(self) -> int:
        """Octets in all files."""
        return sum(file.size for file in self.files)


class Database(msgspec.Struct, frozen=True):
    """What is needed to start the database from its files."""

    major: int
    label: str
    point: str
    start_segment: str
    end_segment: str


class KeyPart(msgspec.Struct, frozen=True):
    """What the key stream of this backup has."""

    week: str
    expires_ms: int
    """When the weekly key is destroyed, and this key stream with it."""
    kms_parts: int
    kms_digests: list[bytes]
    """SHA-256 of the sealed parts."""
    wraps: Tree


class Manifest(msgspec.Struct, frozen=True):
    """One backup."""

    version: int
    id: str
    line: str
    """One life of a node: a restored node begins another. Slot numbers mean something within one line
    only."""
    created_ms: int
    finished_ms: int
    incremental: bool
    program: str
    config: str
    """The node's configuration, TOML, without secrets and without the machine's own paths."""
    database: Database
    trees: list[Tree]
    keys: KeyPart
    tombstone: int
    """The number of the last tombstone that was there when it was finished."""
    tombstone_digest: bytes
    bytes_total: int
    bytes_shipped: int
    objects_shipped: int

    def tree(self, name: str) -> Tree:
        """Return a tree by name."""
        for tree in self.trees:
            if tree.name == name:
                return tree
        raise IntegrityError(f"the backup has no {name}")


class SignedManifest(msgspec.Struct, frozen=True):
    """The object `backups/<id>`."""

    sealed: bytes
    signature: bytes
    finished_ms: int = 0
    """For listing without a key; believed for nothing else."""
    size: int = 0
    week: str = ""


class RingKey(msgspec.Struct, frozen=True):
    """One key of the keyring: wrapped under the root key, its public part (or nothing) bound."""

    name: str
    wrapped: bytes
    public: bytes = b""


class Keyring(msgspec.Struct, frozen=True):
    """The object `keyring`."""

    version: int
    root: str
    """How the root key is sealed: what whoever restores must bring."""
    keys: list[RingKey]


class WeekKey(msgspec.Struct, frozen=True):
    """The object `weeks/<week>/key`."""

    created_ms: int
    expires_ms: int
    wrapped: bytes


class Predecessor(msgspec.Struct, frozen=True):
    """The object `predecessors/<id>`: opens backups from before a rotation of the root key."""

    ended_ms: int
    """When it was rotated away."""
    expires_ms: int
    """When it is destroyed: no weekly key of its time lives longer."""
    wrapped: bytes


class Tombstone(msgspec.Struct, frozen=True):
    """What was destroyed since the tombstone before: a link of a chain."""

    line: str
    number: int
    previous: bytes
    """SHA-256 of the sealed tombstone before; empty for the first."""
    time_ms: int
    """Everything destroyed before this moment stands in this tombstone or in an earlier one."""
    slots: list[int]
    """Erased slots of the vault's wraps: first, count, first, count ..."""
    shredded: list[tuple[bytes, bytes]]
    """(tenant, principal) whose keys are destroyed; an empty principal: the whole tenant."""


class SignedTombstone(msgspec.Struct, frozen=True):
    """The object `tombstones/<line>/<number>`."""

    sealed: bytes
    signature: bytes


def backup_name(backup: str) -> str:
    """Name a manifest's object."""
    return f"backups/{backup}"


def piece_path(piece: str) -> str:
    """Name a piece's object."""
    return f"data/{piece[:2]}/{piece}"


def wraps_path(week: str, piece: str) -> str:
    """Name the object of a piece of wraps."""
    return f"weeks/{week}/wraps/{piece}"


def kms_path(week: str, backup: str, part: int) -> str:
    """Name the object of a part of the slots of kms."""
    return f"weeks/{week}/kms/{backup}.{part}"


def week_path(week: str) -> str:
    """Name the object of a weekly key."""
    return f"weeks/{week}/key"


def predecessor_name(name: str) -> str:
    """Name the object of a former root key."""
    return f"predecessors/{name}"


def wal_path(line: str, segment: str) -> str:
    """Name the object of a file of the write-ahead log."""
    return f"wal/{line}/{segment}"


def tombstone_path(line: str, number: int) -> str:
    """Name a tombstone's object; names sort as numbers do."""
    return f"tombstones/{line}/{number:012d}"


def decode(data: bytes, kind: type[T]) -> T:
    """Read a value; IntegrityError if the octets are none."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as exc:
        raise IntegrityError(f"an object of the backup is not a {kind.__name__}") from exc


encode: Final = msgspec.msgpack.Encoder().encode
