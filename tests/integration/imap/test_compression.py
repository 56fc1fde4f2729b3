"""COMPRESS=DEFLATE (RFC 4978) over a socket, and what little input that stands for much can do."""

import zlib
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from tests.imap_client import ImapClient, of, refused, signed_in
from tests.imap_mail import PLAIN
from tests.imap_world import Person, Scenario, World

from postkeep.protocols.imap.deflate import INFLATED_STEP_OCTETS, Inflater, deflate
from postkeep.protocols.imap.errors import ImapStreamError
from postkeep.protocols.imap.limits import PIPELINE_BYTES_MAX, TAG_BYTES_MAX

COMMANDS = 2_000
"""Twice as many octets as may wait behind the command that runs."""


class Deflated:
    """The client's side of the layer, put under a test client."""

    def __init__(self, client: ImapClient) -> None:
        self._out = zlib.compressobj(wbits=-15)
        self._in = zlib.decompressobj(-15)
        self._read = client._reader.read
        self.raw = client._writer.write
        client._reader.read = self.read  # type: ignore[method-assign]
        client._writer.write = self.write  # type: ignore[method-assign]

    async def read(self, n: int = -1) -> bytes:
        """Read and inflate; an empty answer is the end."""
        while data := await self._read(n):
            if inflated := self._in.decompress(data):
                return inflated
        return b""

    def write(self, data: "bytes | bytearray | memoryview[int]") -> None:
        """Compress in one stream, as RFC 4978 has clients do."""
        self.raw(self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH))


async def compressed(world: World) -> tuple[ImapClient, Deflated]:
    client = await signed_in(world, "INBOX")
    assert "COMPRESS=DEFLATE" in of(await client.line("CAPABILITY"), "CAPABILITY")[0].values
    await client.line("COMPRESS DEFLATE")
    return client, Deflated(client)


def test_everything_after_compress_is_compressed_both_ways(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        stranger = await ImapClient.connect(world.tls_port, world.client_tls)
        assert "COMPRESS" not in stranger.greeting.code
        assert (await refused(stranger, "COMPRESS DEFLATE")).kind == "BAD"
        await stranger.close()
        early = await signed_in(world)
        early.send(b"c COMPRESS DEFLATE\r\nd NOOP\r\n")
        assert (await early.next()).kind == "BAD"
        assert (await early.next()).tag == "d"
        await early.close()
        client, _ = await compressed(world)
        assert "COMPRESS=DEFLATE" not in of(await client.line("CAPABILITY"), "CAPABILITY")[0].values
        assert (await refused(client, "COMPRESS DEFLATE")).code == "COMPRESSIONACTIVE"
        assert (await refused(client, "COMPRESS LZMA")).code == "CANNOT"
        large = b"Subject: large\r\n\r\n" + b"all the same " * 100_000 + b"\r\n"
        client.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(large), large))
        while (answer := await client.next()).tag != "a":
            pass
        assert answer.code.startswith("APPENDUID")
        answers = await client.line("FETCH 1 BODY.PEEK[]")
        assert of(answers, "FETCH")[0].items()["BODY[]"] == large
        client.send(b"i IDLE\r\n")
        assert (await client.next()).tag == "+"
        await world.deliver(alice, PLAIN)
        assert (await client.next()).kind == "EXISTS"
        client.send(b"DONE\r\n")
        while (await client.next()).tag != "i":
            pass
        await client.line("LOGOUT")
        await client.close()

    in_world(scenario)


def test_a_bomb_fills_no_memory_and_the_stream_must_be_one(in_world: Callable[[Scenario], None]) -> None:
    async def scenario(world: World, alice: Person) -> None:
        del alice
        client, layer = await compressed(world)
        (member,) = world.imap._registry.members()
        # A kilobyte stands for many commands, each with the longest tag that there may be.
        bomb = b"x" * TAG_BYTES_MAX + b" CAPABILITY\r\n"
        client.send(bomb * COMMANDS)
        most, answered = 0, 0
        while answered < COMMANDS:
            answered += (await client.next()).tag.startswith("x")
            most = max(most, member.session.wire.backlog)
        assert most <= PIPELINE_BYTES_MAX + INFLATED_STEP_OCTETS
        layer.raw(b"this is no stream\r\n")
        assert (await client.next()).kind == "BYE"
        line_too_long, _ = await compressed(world)
        line_too_long.send(b"a" * 5_000_000)
        assert (await line_too_long.next()).kind == "BYE"

    in_world(scenario)


@given(st.lists(st.binary(max_size=300), min_size=1), st.integers(1, 40))
def test_what_is_deflated_one_by_one_is_one_stream_in_any_pieces(parts: list[bytes], size: int) -> None:
    stream, inflater, whole = b"".join(map(deflate, parts)), Inflater(), b""
    for at in range(0, len(stream), size):
        inflater.feed(stream[at : at + size])
        while step := inflater.step():
            assert len(step) <= INFLATED_STEP_OCTETS
            whole += step
    assert whole == b"".join(parts)


@given(st.binary(max_size=2000))
def test_any_octets_inflate_in_steps_or_are_refused(data: bytes) -> None:
    inflater = Inflater()
    inflater.feed(data)
    try:
        while step := inflater.step():
            assert len(step) <= INFLATED_STEP_OCTETS
    except ImapStreamError:
        pass


def test_a_response_says_nothing_about_the_one_before() -> None:
    """What an attacker sends is not compressed against what others sent (docs/imap.md)."""
    secret = b"* 1 FETCH (BODY[] {40}\r\nthe access code is 7 193 552, keep it\r\n)\r\n"
    deflate(secret)
    right, wrong = (b"* 2 FETCH (the access code is %b)\r\n" % code for code in (b"7 193 552", b"4 816 370"))
    assert len(deflate(right)) == len(deflate(wrong))
    joined = zlib.compressobj(wbits=-15)
    joined.compress(secret)
    joined.flush(zlib.Z_SYNC_FLUSH)
    one_window = [
        len(c.compress(x) + c.flush(zlib.Z_SYNC_FLUSH)) for x in (right, wrong) for c in [joined.copy()]
    ]
    assert one_window[0] < one_window[1]  # with one window it would
