"""A small asynchronous IMAP client over the client's half of the protocol core, for tests."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from typing import cast

import pytest
from tests.imap_world import ALICE, PASSWORD, World

from postkeep.protocols.imap.client import Response, ResponseReader
from postkeep.protocols.imap.commands import Command
from postkeep.protocols.imap.encoder import encode_command

WAIT_SECONDS = 10.0


class Refused(Exception):  # noqa: N818 - the answer's own word
    """The tagged answer was not OK."""

    def __init__(self, response: Response, before: Sequence[Response] = ()) -> None:
        self.before = before
        """What was said untagged."""
        super().__init__(f"{response.kind} [{response.code}] {response.text}")
        self.response = response


class ImapClient:
    """One connection. Every command returns its untagged responses with the tagged one last."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._responses = ResponseReader()
        self._number = 0
        self.greeting: Response

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> "ImapClient":
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=tls,
            server_hostname="localhost" if tls else None,
        )
        client = cls(reader, writer)
        client.greeting = await client.next()
        return client

    async def next(self, wait_seconds: float = WAIT_SECONDS) -> Response:
        """Return the next response."""
        while True:
            response = self._responses.next_response()
            if response is not None:
                return response
            data = await asyncio.wait_for(self._reader.read(65536), wait_seconds)
            if not data:
                self._writer.close()
                raise ConnectionError("closed")
            self._responses.feed(data)

    async def run(self, command: Command, *, utf8: bool = False) -> list[Response]:
        """Run a command with synchronising literals; raises Refused unless it is answered OK."""
        tag = self._tag()
        pieces = encode_command(tag, command, utf8=utf8)
        seen: list[Response] = []
        for number, piece in enumerate(pieces):
            self.send(piece)
            while number + 1 < len(pieces):
                response = await self.next()
                if response.tag == "+":
                    break
                seen.append(response)
                if response.tag == tag.decode():
                    raise Refused(response)
        return await self.until(tag, seen)

    async def line(self, text: str | bytes) -> list[Response]:
        """Run a command given as its text without the tag."""
        tag = self._tag()
        self.send(tag + b" " + (text.encode() if isinstance(text, str) else text) + b"\r\n")
        return await self.until(tag, [])

    async def until(self, tag: bytes, seen: list[Response]) -> list[Response]:
        """Collect responses up to the tagged one."""
        while True:
            response = await self.next()
            seen.append(response)
            if response.tag == tag.decode():
                if response.kind != "OK":
                    raise Refused(response, seen[:-1])
                return seen

    def send(self, data: bytes) -> None:
        """Write."""
        self._writer.write(data)

    def pause(self) -> None:
        """Take nothing from the socket."""
        cast("asyncio.Transport", self._writer.transport).pause_reading()

    def resume(self) -> None:
        """Take from the socket again."""
        cast("asyncio.Transport", self._writer.transport).resume_reading()

    def _tag(self) -> bytes:
        self._number += 1
        return b"t%d" % self._number

    async def start_tls(self, tls: ssl.SSLContext) -> None:
        """Upgrade after STARTTLS was answered OK."""
        await self._writer.start_tls(tls, server_hostname="localhost")

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self._writer.wait_closed()


async def signed_in(world: World, select: str = "") -> ImapClient:
    client = await ImapClient.connect(world.tls_port, world.client_tls)
    await client.line(f'LOGIN {ALICE} "{PASSWORD}"')
    if select:
        await client.line(f"SELECT {select}")
    return client


def of(responses: list[Response], kind: str) -> list[Response]:
    return [response for response in responses if response.kind == kind]


def fetched(responses: list[Response]) -> dict[int, dict[str, object]]:
    return {response.number: dict(response.items()) for response in of(responses, "FETCH")}


async def refused(client: ImapClient, text: str) -> Response:
    with pytest.raises(Refused) as caught:
        await client.line(text)
    return caught.value.response
