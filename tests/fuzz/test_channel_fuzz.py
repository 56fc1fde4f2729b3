"""Whatever a stranger or a module gone mad sends: a refusal or silence, never a crash, bounded memory."""

import asyncio
import contextlib
import os
import random
import tempfile
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.errors import RefusedError, UnavailableError
from postkeep.crypto import paseto
from postkeep.tickets import token as tokens
from postkeep.tickets.channel import Link, Server, frames
from postkeep.tickets.channel.frames import Call, FrameReader, Lane, call_decoder
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import Rule
from postkeep.tickets.verify import Verifier

SAY = Rule("echo.say", ("mx",))


class Say(msgspec.Struct):
    text: str = ""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.randoms(use_true_random=False))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    bodies: list[bytes], chance: random.Random
) -> None:
    lane = Lane(b"k" * 32)
    stream = b"".join(b"".join(lane.write((0, body))) for body in bodies)
    reader, seen, at = FrameReader(), [], 0
    while at < len(stream):
        step = chance.randint(1, 400)
        seen += [bytes(frame) for frame in reader.feed(stream[at : at + step])]
        at += step
    check = Lane(b"k" * 32)
    decoded = [msgspec.msgpack.decode(check.read(memoryview(frame))) for frame in seen]
    assert [item[1] for item in decoded] == bodies
    assert check.counter == len(bodies)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_noise_gives_frames_or_a_refusal_and_holds_no_more_than_one_frame(chunks: list[bytes]) -> None:
    reader = FrameReader()
    for chunk in chunks:
        try:
            seen = reader.feed(chunk)
        except RefusedError:
            return
        assert all(len(frame) <= frames.HANDSHAKE_BYTES_MAX for frame in seen)
        assert reader._have <= frames.HANDSHAKE_BYTES_MAX + 4 + len(chunk)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda noise: b"v4.public." + noise))
def test_any_octets_are_a_ticket_or_refused(noise: bytes) -> None:
    try:
        Verifier(Anchors()).verify(noise, audience="vault", holder="x")
    except RefusedError:
        return
    raise AssertionError("noise was believed")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(_JSON, st.sampled_from(["id", "tenant", "mailboxes", "issued", "expires", "depth", "holder", "extra"]))
def test_any_claims_that_the_authority_could_sign_are_a_ticket_or_refused(value: object, claim: str) -> None:
    identity = ModuleIdentity("authority", "a")
    anchors = Anchors()
    anchors.trust("authority", identity.public_key)
    ticket, _ = Mint(identity.sign).module("imap", "imap-1", "h")
    claims = msgspec.json.decode(msgspec.json.encode(ticket))
    claims[claim] = value
    token = paseto.sign(identity.sign, msgspec.json.encode(claims), implicit=tokens.IMPLICIT)
    try:
        Verifier(anchors).verify(token, audience="vault", holder="h")
    except RefusedError:
        return
    assert claim != "extra"


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=100))
def test_any_authentic_body_is_a_call_or_an_error_of_the_decoder(body: bytes) -> None:
    try:
        assert isinstance(call_decoder.decode(body), Call)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return


def test_a_keeper_under_a_rain_of_garbage_still_serves_its_callers() -> None:
    chance = random.Random(7)
    key = Ed25519PrivateKey.generate()
    mint, anchors = Mint(key.sign), Anchors()
    anchors.trust("authority", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    complaints: list[object] = []

    def identity(name: str) -> ModuleIdentity:
        made = ModuleIdentity(name, f"{name}-1")
        ticket, _ = mint.module(name, made.instance, made.thumbprint)
        made.ticket = mint.sign(msgspec.structs.replace(ticket, methods=("echo.say",), audience=("echo",)))
        return made

    async def say(_grant: Grant, request: Say) -> Say:
        return request

    def noise() -> bytes:
        kind = chance.randrange(4)
        if kind == 0:
            return os.urandom(chance.randrange(2000))
        body = os.urandom(chance.randrange(1, 300))
        if kind == 1:
            body = msgspec.msgpack.encode((1, "echo", body[:32].ljust(32), body[:32].ljust(32)))
        if kind == 2:
            return b"\xff\xff\xff\xff" + body
        frame = (len(body) + 32).to_bytes(4, "big") + bytes(32) + body
        return frame * chance.randrange(1, 4)

    async def rain(path: Path) -> None:
        for _ in range(60):
            _, writer = await asyncio.open_unix_connection(path)
            try:
                for _ in range(chance.randrange(1, 4)):
                    writer.write(noise())
                    await writer.drain()
                    await asyncio.sleep(0)
            except OSError:
                pass  # it hung up on us, as it should
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def scenario(folder: Path) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: complaints.append(context))
        refusals: list[object] = []
        server = Server(
            identity("echo"),
            anchors,
            "echo",
            {"echo.say": (Say, say)},
            RevocationView(),
            refusals.append,
            rules=(SAY,),
        )
        await server.serve_unix(folder / "echo.sock")
        link = Link(identity("mx"), anchors, "echo", folder / "echo.sock")
        storm = asyncio.gather(*(rain(folder / "echo.sock") for _ in range(4)))
        while not storm.done():
            assert (await link.call("echo.say", Say("calm"), Say)).text == "calm"
            await asyncio.sleep(0.001)
        await storm
        await _mad_caller(link)
        await link.close()
        for _ in range(500):
            await asyncio.sleep(0.01)
            if not server.connections:
                break
        assert not server.connections
        assert not server.newcomers
        assert refusals
        await server.close()

    async def _mad_caller(link: Link) -> None:
        """A genuine module that sends authentic nonsense."""
        mad: list[tuple[object, ...]] = [
            (None,),
            (1,),
            (-1, b"", []),
            ("one", "echo.say", {}, b""),
            (0, "other", None),
        ]
        for value in mad:
            await link.call("echo.say", Say(), Say)
            connection = link._connection
            assert connection is not None
            connection._write(value)
            with pytest.raises((RefusedError, UnavailableError)):
                await connection.call("echo.say", Say(), b"", 5.0)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))
    assert complaints == []
