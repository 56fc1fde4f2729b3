"""The witness on the network: every status code of C2SP tlog-witness, and callers with no manners."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.witness_log import SmallLog, make_directory, make_witness

from postkeep.base.errors import UnavailableError
from postkeep.faces.witness import server as face
from postkeep.faces.witness.server import WitnessServer
from postkeep.services.steward.witness_http import Answer, WitnessHttp
from postkeep.services.witness.submission import BODY_BYTES_MAX, format_submission

LOG = SmallLog()


@contextlib.asynccontextmanager
async def served(directory: Path) -> AsyncIterator[int]:
    server = WitnessServer(make_witness(make_directory(directory / "w")).add_checkpoint)
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.close()


def on_server(directory: Path, work: Callable[[int], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served(directory) as port, asyncio.timeout(20):
            await work(port)

    asyncio.run(run())


async def say(port: int, data: bytes, *, then_close: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if then_close:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def request(body: bytes, *, head: str = "POST /add-checkpoint HTTP/1.1", fields: str = "") -> bytes:
    return f"{head}\r\nHost: w\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def test_every_answer_of_the_protocol(tmp_path: Path) -> None:
    other = SmallLog("another entry", shared=50)

    async def work(port: int) -> None:
        async def post(body: bytes) -> Answer:
            return await WitnessHttp().post(f"http://127.0.0.1:{port}/", body)

        signed = await post(LOG.submission(0, 100))
        assert signed.status == 200
        assert signed.body.count("\u2014 witness.example/w1 ".encode()) == 2
        stale = await post(LOG.submission(0, 150))
        assert (stale.status, stale.content_type, stale.body) == (409, "text/x.tlog.size", b"100\n")
        fork = await post(format_submission(100, [], other.note(100)))
        assert fork.status == 409
        assert fork.content_type != "text/x.tlog.size"
        assert (await post(other.submission(100, 150))).status == 422
        assert (await post(format_submission(0, [], LOG.note(1, "other.example/log")))).status == 404
        assert (await post(b"old 100\n\nno note\n")).status == 400
        unsigned = LOG.submission(100, 150)
        unsigned = unsigned[: unsigned.rindex("\u2014".encode())]
        assert (await post(unsigned)).status == 403
        assert (await post(b"old x\n\n")).status == 400
        assert (await post(format_submission(150, [], LOG.note(100)))).status == 400
        assert (await post(LOG.submission(100, 150))).status == 200

    on_server(tmp_path, work)


def test_one_connection_serves_several_requests_and_other_paths_and_methods_nothing(tmp_path: Path) -> None:
    async def work(port: int) -> None:
        several = [
            request(LOG.submission(0, 10)),
            request(b"", head="GET / HTTP/1.1"),
            request(b"", head="GET /add-checkpoint HTTP/1.1"),
            request(LOG.submission(10, 20), fields="Connection: close\r\n"),
        ]
        answer = await say(port, b"".join(several))
        assert re.findall(rb"HTTP/1.1 ([0-9]{3})", answer) == [b"200", b"404", b"405", b"200"]
        assert b"Allow: POST" in answer

    on_server(tmp_path, work)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/2\r\nHost: w\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\n\r\n", b"400"),
        (
            b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"400",
        ),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: +1\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost : w\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n folded\r\n\r\n", b"400"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"501"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nExpect: 100-continue\r\n\r\n", b"417"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nX: " + b"x" * 10_000 + b"\r\n\r\n", b"431"),
        (b"POST /x HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), b"413"),
        (b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n" + b"X: y\r\n" * 65 + b"\r\n", b"400"),
    ],
)
def test_what_is_not_certain_is_refused_and_the_connection_ends(
    tmp_path: Path, data: bytes, status: bytes
) -> None:
    async def work(port: int) -> None:
        answer = await say(port, data)
        assert answer[9:12] == status
        assert b"Connection: close" in answer
        assert answer.count(b"HTTP/1.1 ") == 1

    on_server(tmp_path, work)


def test_slow_callers_and_silent_ones_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "REQUEST_SECONDS_MAX", 0.3)
    monkeypatch.setattr(face, "IDLE_SECONDS_MAX", 0.3)

    async def work(port: int) -> None:
        assert await say(port, b"", then_close=False) == b""
        assert await say(port, b"POST /add-che", then_close=False) == b""
        whole = request(LOG.submission(0, 10))
        assert await say(port, whole[:-1], then_close=False) == b""
        answer = await WitnessHttp().post(f"http://127.0.0.1:{port}", LOG.submission(0, 10))
        assert answer.status == 200

    on_server(tmp_path, work)


def test_more_connections_than_there_is_room_for_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "CONNECTIONS_MAX", 3)

    async def work(port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert await say(port, b"", then_close=False) == b""
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.1)
        answer = await WitnessHttp().post(f"http://127.0.0.1:{port}", LOG.submission(0, 10))
        assert answer.status == 200

    on_server(tmp_path, work)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000,
    ],
)
def test_a_node_takes_a_witness_that_does_not_speak_http_for_one_that_is_away(answer: bytes) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(odd, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(UnavailableError):
                await WitnessHttp().post(f"http://127.0.0.1:{port}", b"x")

    asyncio.run(run())


def test_a_witness_that_is_not_there_is_away() -> None:
    async def run() -> None:
        for url in ("http://127.0.0.1:1/", "https://127.0.0.1:1/w"):
            with pytest.raises(UnavailableError):
                await WitnessHttp().post(url, b"x")

    asyncio.run(run())
