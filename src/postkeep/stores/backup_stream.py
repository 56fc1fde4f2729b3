"""A tree of files on its way over a socket: from the errand that reads them to the one who ships them.

Frames: 4 octets big-endian length, then one MessagePack value. A file is `Begin`, any number of `Data`,
`End`; it may have another size than it had when it was begun. `Finished` is the last frame: without it the
tree is not whole.
"""

import asyncio
import socket
from typing import Final

import msgspec

from postkeep.base.errors import UnavailableError

DATA_BYTES_MAX: Final = 1024 * 1024
"""Octets of one `Data`: one piece of a file."""
FRAME_BYTES_MAX: Final = DATA_BYTES_MAX + 65_536
_LENGTH_BYTES: Final = 4


class Directory(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A directory, before what lies in it."""

    path: str


class Begin(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A file begins."""

    path: str


class Data(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The next octets of the file."""

    octets: bytes


class End(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The file is complete."""


class Finished(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Everything was sent; what is needed to make the database start from it."""

    major: int
    label: str
    """The file `backup_label` that must lie in a restored cluster."""
    point: str
    """The name of the restore point: the moment that this copy is of."""
    start_segment: str
    """The first file of the write-ahead log that is needed."""
    end_segment: str
    """The file in which the restore point lies."""


class Failed(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The copy could not be made."""

    text: str


Frame = Directory | Begin | Data | End | Finished | Failed
_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def send(link: socket.socket, frame: Frame) -> None:
    """Send one frame over a blocking socket."""
    body = _encode(frame)
    link.sendall(len(body).to_bytes(_LENGTH_BYTES, "big") + body)


async def receive(reader: asyncio.StreamReader) -> Frame:
    """Return the next frame; UnavailableError if the sender has ended in the middle."""
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        if length > FRAME_BYTES_MAX:
            raise UnavailableError("a frame of a file copy is too long")
        return _decoder.decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError) as exc:
        raise UnavailableError("the copy of the database broke off") from exc
