"""The authority's public keys as a file, for the command line: it has no supervisor that tells it.

Only root, or the node's own user, can write it: it lies in the data directory itself, where no module writes.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from postkeep.base.errors import UnavailableError
from postkeep.node.rootfiles import replace_file
from postkeep.tickets.identity import Anchors

FILE_NAME: Final = "authority.keys"
NAMES: Final = ("authority", "start")


def write(data: Path, keys: Mapping[str, Iterable[bytes]]) -> None:
    """Write the keys that are believed now, by what for: `authority`, `start`."""
    named = {name: [key.hex() for key in keys[name]] for name in NAMES}
    replace_file(data / FILE_NAME, msgspec.json.encode(named), mode=0o644)


def read(data: Path) -> Anchors:
    """Read them; raise UnavailableError where the file is not there or not the node's."""
    path = data / FILE_NAME
    anchors = Anchors()
    try:
        if path.stat().st_uid not in {0, os.geteuid()}:
            raise UnavailableError("the file of the authority's keys belongs to somebody else")
        for name, keys in msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]]).items():
            if name in NAMES:
                for key in keys:
                    anchors.trust(name, bytes.fromhex(key))
    except (OSError, ValueError, msgspec.MsgspecError) as exc:
        raise UnavailableError("the authority's keys can't be read") from exc
    return anchors
