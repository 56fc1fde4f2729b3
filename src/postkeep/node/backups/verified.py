"""The last verification of a backup that was made from this data directory: what the doctor asks about."""

import os
from pathlib import Path
from typing import Final

import msgspec

NAME: Final = "backup-verified.json"
"""In the data directory, whose owner verifies."""
BYTES_MAX: Final = 4096


class Verified(msgspec.Struct, frozen=True):
    """A verification that found the backup good."""

    backup: str
    time_ms: int


def note_verified(data: Path, verified: Verified) -> None:
    """Write it down in a data directory."""
    unfinished = data / f"{NAME}.new"
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(verified))
    unfinished.replace(data / NAME)


def last_verified(data: Path) -> Verified | None:
    """Read it; None if there was none, or if what is there is nothing of ours."""
    try:
        with (data / NAME).open("rb") as file:
            return msgspec.json.decode(file.read(BYTES_MAX), type=Verified)
    except (OSError, msgspec.MsgspecError):
        return None
