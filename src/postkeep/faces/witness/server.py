"""An HTTP server for one method. Every connection has limits in octets and in seconds; what it asks for is
worked off in threads, as it waits for the disk.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from postkeep.base.errors import InvalidInputError, LimitError, PostkeepError
from postkeep.faces.witness.replies import Reply, failure, reply_to
from postkeep.protocols.http.head import END, HEAD_BYTES_MAX, RequestHead, read_request
from postkeep.services.witness.submission import BODY_BYTES_MAX

CONNECTIONS_MAX: Final = 512  # connections at once: each holds at most HEAD_BYTES_MAX + BODY_BYTES_MAX, 70 MB
REQUEST_SECONDS_MAX: Final = 10.0  # seconds for a whole request: 135 KB in that time is no fast line
IDLE_SECONDS_MAX: Final = 60.0  # seconds that a connection may wait for its next request
REPLY_SECONDS_MAX: Final = 10.0  # seconds to take an answer of 4 KB
THREADS: Final = 8  # submissions worked on at once: they wait for the disk
REQUESTS_MAX: Final = 1_000  # requests of one connection: then it begins anew

_log = structlog.get_logger(__name__)


class WitnessServer:
    """Serves `add_checkpoint` on a port."""

    def __init__(self, add_checkpoint: Callable[[bytes], bytes]) -> None:
        self._add_checkpoint = add_checkpoint
        self._threads = ThreadPoolExecutor(THREADS, "witness")
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port, which the system chooses where it is 0."""
        self._server = await asyncio.start_server(self._serve, address, port, limit=HEAD_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more, and let what is under way end."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._threads.shutdown()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) <= CONNECTIONS_MAX:
                await self._converse(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it went away, or took too long to say what it wanted
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(REQUESTS_MAX):
            async with asyncio.timeout(IDLE_SECONDS_MAX):
                first = await reader.readexactly(1)
            try:
                async with asyncio.timeout(REQUEST_SECONDS_MAX):
                    head, body = await _read(first, reader)
            except PostkeepError as error:  # what follows on the connection can't be told any more
                await _write(writer, failure(error), keep_alive=False)
                return
            reply = await self._answer(head, body)
            await _write(writer, reply, keep_alive=head.keep_alive)
            if not head.keep_alive:
                return

    async def _answer(self, head: RequestHead, body: bytes) -> Reply:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, reply_to, head, body, self._add_checkpoint)
        except Exception:  # noqa: BLE001 - a fault of ours ends no connection of others
            _log.exception("submission_failed")
            return failure(PostkeepError())


async def _read(first: bytes, reader: asyncio.StreamReader) -> tuple[RequestHead, bytes]:
    try:
        head = read_request(first + await reader.readuntil(END))
    except asyncio.LimitOverrunError:
        raise LimitError("the head is too long", code="limit.head") from None
    length = head.length()
    if length > BODY_BYTES_MAX:
        raise LimitError("the body is too long", code="limit.body")
    if head.fields.get("expect"):
        raise InvalidInputError("nothing is promised before it is sent", code="invalid.expectation")
    return head, await reader.readexactly(length)


async def _write(writer: asyncio.StreamWriter, reply: Reply, *, keep_alive: bool) -> None:
    writer.write(reply.encode(keep_alive=keep_alive))
    async with asyncio.timeout(REPLY_SECONDS_MAX):
        await writer.drain()
