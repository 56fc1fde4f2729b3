"""The way to customers' keys for a verification: a process of its own, made before the root key is opened.

A customer's PKCS#11 module is native code of somebody else, and a key server is the outside: neither comes
into the process that holds the root key, as on the running node. The child has nothing but the places it is
asked about, and ends with its parent.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final, NoReturn

import msgspec

from postkeep.base.errors import PostkeepError, UnavailableError
from postkeep.node.config import Config
from postkeep.node.supervisor.plan import MODULES, UID_BASE_DEFAULT, needs_custody
from postkeep.services.custody.api import Unwrap, Value, Wrap
from postkeep.services.custody.service import CustodyService
from postkeep.services.kms.custodians import Custody, NoCustody

FRAME_BYTES_MAX: Final = 256 * 1024
"""A place with its certificates is some kilobytes."""
_LENGTH_BYTES: Final = 4
_LINK: Final = 3
"""The child's descriptor, beside the standard ones."""


class _Answer(msgspec.Struct, frozen=True):
    value: bytes = b""
    refused: str = ""


class CustodyAside:
    """The parent's end, as a `Custody`. One question at a time."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def wrap(self, _request: Wrap) -> Value:
        """Raise UnavailableError: a verification changes nothing."""
        raise _unavailable("a verification wraps nothing")

    async def unwrap(self, request: Unwrap) -> Value:
        """Unwrap under a customer's key; UnavailableError (`unavailable.custody`) if it refuses."""
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(sock=self._link)
        reader, writer = self._streams
        _send(writer, msgspec.msgpack.encode(request))
        answer = msgspec.msgpack.decode(await _receive(reader), type=_Answer)
        if answer.refused:
            raise _unavailable(answer.refused)
        return Value(answer.value)

    def close(self) -> None:
        """End the conversation."""
        if self._streams is not None:
            self._streams[1].close()
        self._link.close()


@contextlib.contextmanager
def custody_aside(config: Config) -> Iterator[Custody]:
    """Run the process beside a block, where the configuration lets companies hold keys.

    It forks: enter it before a thread, an event loop or a secret is there.
    """
    if not needs_custody(config):
        yield NoCustody()
        return
    service = CustodyService(config.custody.transit, config.custody.modules)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _live(config, service, theirs)
    theirs.close()
    try:
        yield CustodyAside(ours)
    finally:
        ours.close()
        os.waitpid(child, 0)


def _live(config: Config, service: CustodyService, theirs: socket.socket) -> NoReturn:
    """Be the child; never return."""
    code = 1
    try:
        # What opens the root key comes to the parent over one of its descriptors.
        own = os.dup2(theirs.fileno(), _LINK)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.closerange(own + 1, os.sysconf("SC_OPEN_MAX"))
        if os.geteuid() == 0:
            uid = (config.node.uid_base or UID_BASE_DEFAULT) + next(
                module.uid_offset for module in MODULES if module.name == "custody"
            )
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        asyncio.run(_serve(service, socket.socket(fileno=own)))
        code = 0
    finally:
        os._exit(code)


async def _serve(service: CustodyService, link: socket.socket) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=link)
    async for question in _questions(reader):
        try:
            answer = _Answer((await service.open(question)).value)
        except PostkeepError as error:
            answer = _Answer(refused=error.detail or error.code)
        _send(writer, msgspec.msgpack.encode(answer))
        await writer.drain()


async def _questions(reader: asyncio.StreamReader) -> AsyncIterator[Unwrap]:
    while True:
        try:
            octets = await _receive(reader)
        except UnavailableError:
            return  # the parent is done
        yield msgspec.msgpack.decode(octets, type=Unwrap)


def _send(writer: asyncio.StreamWriter, octets: bytes) -> None:
    writer.write(len(octets).to_bytes(_LENGTH_BYTES, "big") + octets)


async def _receive(reader: asyncio.StreamReader) -> bytes:
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        if length > FRAME_BYTES_MAX:
            raise _unavailable("too long a message between the processes of a verification")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as exc:
        raise _unavailable("the other process of the verification has ended") from exc


def _unavailable(text: str) -> UnavailableError:
    return UnavailableError(text, code="unavailable.custody", temporary=False)
