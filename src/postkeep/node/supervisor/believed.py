"""The authority's public keys as a file, for the command line: it has no supervisor that tells it.

Only root, or the node's own user, can write it: it lies in a directory where nobody else replaces files.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.errors import UnavailableError
from postkeep.tickets.identity import Anchors

FILE_NAME: Final = "authority.keys"


def write(run: Path, public_keys: list[bytes]) -> None:
    """Write the keys that are believed now."""
    unfinished = run / (FILE_NAME + ".new")
    unfinished.write_bytes(msgspec.json.encode([key.hex() for key in public_keys]))
    unfinished.chmod(0o644)
    unfinished.rename(run / FILE_NAME)


def read(run: Path) -> Anchors:
    """Read them; raise UnavailableError where the file is not there or not the node's."""
    path = run / FILE_NAME
    anchors = Anchors()
    try:
        if path.stat().st_uid not in {0, os.geteuid()}:
            raise UnavailableError("the file of the authority's keys belongs to somebody else")
        for text in msgspec.json.decode(path.read_bytes(), type=list[str]):
            anchors.trust("authority", bytes.fromhex(text))
    except (OSError, ValueError, msgspec.MsgspecError) as exc:
        raise UnavailableError("the authority's keys can't be read") from exc
    return anchors
