"""What a restore leaves behind for the node's first start: the ledger hears of it there."""

from pathlib import Path
from typing import Final

import msgspec

RESTORED_NAME: Final = "restored.json"
"""In the state directory of the backup worker."""


class Restored(msgspec.Struct, frozen=True):
    """A restore that was done."""

    backup: str
    point: str
    """The moment of the rows: UTC, to the second."""
    tombstone: int
    """The last tombstone that was replayed."""
    shredded: int
    """How many messages and keys were destroyed again."""
    complete: bool
    """Whether the list of what has been destroyed was whole."""
    rotated: bool = False
    """Whether its keys were taken from a former root key to the one of today."""


def leave_restored(path: Path, restored: Restored) -> None:
    """Write it down."""
    path.write_bytes(msgspec.json.encode(restored))


def take_restored(path: Path) -> Restored | None:
    """Read it, if there is one; msgspec.DecodeError if it is not one of ours."""
    return msgspec.json.decode(path.read_bytes(), type=Restored) if path.is_file() else None
