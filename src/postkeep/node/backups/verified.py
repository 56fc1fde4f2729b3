"""The last verification of a backup that was made from this data directory: what the doctor asks about."""

from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.files import write_file

NAME: Final = "backup-verified.json"
"""In the data directory, whose owner verifies."""
BYTES_MAX: Final = 4096


class Verified(msgspec.Struct, frozen=True):
    """A verification that found the backup good."""

    backup: str
    time_ms: int


def note_verified(data: Path, verified: Verified) -> None:
    """Write it down in a data directory."""
    write_file(data / NAME, msgspec.json.encode(verified))


def last_verified(data: Path) -> Verified | None:
    """Read it; None if there was none, or if what is there is nothing of ours."""
    try:
        with (data / NAME).open("rb") as file:
            return msgspec.json.decode(file.read(BYTES_MAX), type=Verified)
    except (OSError, msgspec.MsgspecError):
        return None
