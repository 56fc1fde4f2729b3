"""The last signed checkpoint, kept where the ledger can't reach it: a copy that tells a rollback.

The ledger's own directory can be put back to an older state as a whole, checkpoint and all; whoever verifies
it needs to know of something later. This file lies in the state of kms, which signs the checkpoints.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

CHECKPOINT_NAME: Final = "last-checkpoint"
LOST_NAME: Final = "lost-checkpoint-"
"""Before the size of a head that the ledger did not extend any more."""
CHECKPOINT_BYTES_MAX: Final = 16_384
"""A checkpoint note with an ML-DSA-44 signature has some 3,700 octets."""


def keep_checkpoint(directory: Path, note: bytes) -> None:
    """Put a checkpoint in place of the one before it.

    Not synced: what a power cut may take is the last seconds' copies, and a verification that knows
    an older checkpoint is a weaker one, never a wrong one.
    """
    unfinished = directory / (CHECKPOINT_NAME + ".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(note)
    unfinished.rename(directory / CHECKPOINT_NAME)


def set_aside_checkpoint(directory: Path, size: int) -> None:
    """Keep the last checkpoint under a name of its own: evidence of a history that was given up."""
    with contextlib.suppress(FileNotFoundError):
        (directory / CHECKPOINT_NAME).rename(directory / f"{LOST_NAME}{size}")


def kept_checkpoint(directory: Path) -> bytes | None:
    """Return the checkpoint kept in a directory, if there is one."""
    path = directory / CHECKPOINT_NAME
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(CHECKPOINT_BYTES_MAX)
