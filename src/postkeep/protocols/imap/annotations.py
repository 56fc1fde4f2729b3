"""GETMETADATA and SETMETADATA as values, and what an entry may be called (RFC 5464)."""

import re
from enum import StrEnum
from typing import Final

import msgspec

from postkeep.protocols.imap.errors import ImapSyntaxError

ENTRY_NAME_BYTES_MAX: Final = 512
"""Of one entry's name: a vendor's, a product's, and some levels."""
_ENTRY = re.compile(
    r"/(?:private|shared)(?:/[!#-$&'+-.0-Z\[^-z|}~]+)*"
)  # no octet that would have to be quoted


class Depth(StrEnum):
    """How far below an entry GETMETADATA looks (RFC 5464 section 4.2.2)."""

    NONE = "0"
    CHILDREN = "1"
    ALL = "infinity"


class GetMetadata(msgspec.Struct, frozen=True):
    """GETMETADATA. The mailbox is empty for annotations of the server."""

    mailbox: str
    entries: tuple[str, ...]
    """In lower case: names of entries don't differ by it."""
    max_size: int | None = None
    """Octets of a value; larger ones stay out of the answer."""
    depth: Depth = Depth.NONE


class SetMetadata(msgspec.Struct, frozen=True):
    """SETMETADATA; None takes an entry away."""

    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]

    def __repr__(self) -> str:
        return "SetMetadata(...)"


def entry_name(raw: bytes) -> str:
    """Return an entry's name in lower case; raises ImapSyntaxError for what can't be one."""
    name = raw.decode("ascii", "replace").lower()
    if len(raw) > ENTRY_NAME_BYTES_MAX or not _ENTRY.fullmatch(name):
        raise ImapSyntaxError(
            "An entry begins with /private/ or /shared/ and has no empty part and no wildcard."
        )
    return name
