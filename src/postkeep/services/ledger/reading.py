"""What a verification reads of an entry."""

from typing import Final

import msgspec


class ReadEntry(msgspec.Struct, frozen=True):
    """The fields of an event that verification needs; all others are passed over."""

    source: str
    number: int
    event: str = ""
    time_ms: int = 0
    tenant: str = ""
    code: str = ""
    actor: str = ""
    count: int = 0
    digest: str = ""
    note: str = ""


entry_decoder: Final = msgspec.json.Decoder(ReadEntry)


def read_entry(data: bytes) -> ReadEntry | None:
    """Read an entry; None where it is no event."""
    try:
        return entry_decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
