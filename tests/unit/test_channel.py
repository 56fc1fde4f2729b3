"""The channel as its users know it: calls, errors, multiplexing, renewal, waiting and closing."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postkeep.base.errors import (
    ConflictError,
    InvalidInputError,
    LimitError,
    PostkeepError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from postkeep.model.ticket import TicketKind
from postkeep.tickets.channel import Link, Refusal, Server, frames
from postkeep.tickets.channel import server as server_module
from postkeep.tickets.clear import Grant
from postkeep.tickets.identity import Anchors, ModuleIdentity
from postkeep.tickets.mint import Mint
from postkeep.tickets.revocations import RevocationView
from postkeep.tickets.rules import NEWCOMER, Rule

RULES = (
    Rule("echo.say", ("mx",)),
    Rule("echo.fail", ("mx",)),
    Rule("echo.wait", ("mx",)),
    Rule("echo.enrol", (NEWCOMER,)),
)


class Say(msgspec.Struct):
    text: str = ""
    data: bytes = b""


class House:
    """One keeper called `echo`, one caller called `mx`."""

    def __init__(self, path: Path) -> None:
        key = Ed25519PrivateKey.generate()
        self.mint = Mint(key.sign)
        self.anchors = Anchors()
        self.anchors.trust("authority", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.path = path
        self.refusals: list[Refusal] = []
        self.grants: list[Grant] = []
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.caller = self.identity("mx")
        self.keeper = self.identity("echo")
        self.server = self.make_server()
        self.link = Link(self.caller, self.anchors, "echo", path)

    def identity(self, name: str) -> ModuleIdentity:
        identity = ModuleIdentity(name, f"{name}-1.test")
        ticket, _ = self.mint.module(name, identity.instance, identity.thumbprint)
        methods = tuple(rule.method for rule in RULES if name in rule.callers)
        identity.ticket = self.mint.sign(msgspec.structs.replace(ticket, methods=methods, audience=("echo",)))
        return identity

    def make_server(self) -> Server:
        async def say(grant: Grant, request: Say) -> Say:
            self.grants.append(grant)
            return request

        async def fail(_grant: Grant, request: Say) -> Say:
            if request.text == "bug":
                raise KeyError("a secret that must not leave")
            raise {
                "conflict": ConflictError("private detail"),
                "throttled": ThrottledError(),
                "odd": PostkeepError(code="odd", public_text="How odd."),
                "big": LimitError(),
            }[request.text]

        async def wait(_grant: Grant, request: Say) -> Say:
            self.entered.set()
            await self.gate.wait()
            return request

        async def enrol(grant: Grant, request: Say) -> Say:
            self.grants.append(grant)
            return request

        handlers = {"echo.say": say, "echo.fail": fail, "echo.wait": wait, "echo.enrol": enrol}
        return Server(
            self.keeper,
            self.anchors,
            "echo",
            {name: (Say, handler) for name, handler in handlers.items()},
            RevocationView(),
            self.refusals.append,
            rules=RULES,
        )

    async def say(self, text: str = "", data: bytes = b"") -> Say:
        return await self.link.call("echo.say", Say(text, data), Say)


def run(tmp_path: Path, scenario: Callable[[House], Awaitable[Any]]) -> None:
    async def whole() -> None:
        house = House(tmp_path / "echo.sock")
        await house.server.serve_unix(house.path)
        try:
            await scenario(house)
        finally:
            await house.link.close()
            await house.server.close()

    asyncio.run(whole())


def test_a_call_is_answered_and_the_handler_knows_who_asked(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        assert await house.say("hello") == Say("hello")
        (grant,) = house.grants
        assert (grant.peer_module, grant.peer_instance, grant.kind) == ("mx", "mx-1.test", TicketKind.MODULE)
        assert grant.connection.uid == os.getuid()
        assert grant.connection.public_key == house.caller.public_key
        assert await house.link.peer_thumbprint() == house.keeper.thumbprint

    run(tmp_path, scenario)


def test_many_calls_share_the_connection_and_answers_find_their_calls(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        waiting = asyncio.create_task(house.link.call("echo.wait", Say("late"), Say))
        answers = await asyncio.gather(*(house.say(str(number)) for number in range(3000)))
        assert [answer.text for answer in answers] == [str(number) for number in range(3000)]
        assert not waiting.done()
        house.gate.set()
        assert (await waiting).text == "late"
        assert len(house.server.connections) == 1

    run(tmp_path, scenario)


def test_large_values_arrive_whole(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        blobs = [os.urandom(size) for size in (0, 1, 65_535, 65_536, 1_000_003, 20_000_000)]
        answers = await asyncio.gather(*(house.say(data=blob) for blob in blobs))
        assert [answer.data for answer in answers] == blobs

    run(tmp_path, scenario)


def test_a_frame_above_the_limit_is_not_sent_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        with pytest.raises(LimitError):
            await house.say(data=bytes(frames.FRAME_BYTES_MAX))
        assert (await house.say("still here")).text == "still here"

    run(tmp_path, scenario)


def test_errors_cross_with_class_code_and_public_text_and_nothing_else(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        for text, kind, code in (
            ("conflict", ConflictError, "conflict"),
            ("throttled", ThrottledError, "throttled"),
            ("odd", PostkeepError, "odd"),
            ("bug", PostkeepError, "internal"),
        ):
            with pytest.raises(kind) as caught:
                await house.link.call("echo.fail", Say(text), Say)
            assert type(caught.value) is kind
            assert caught.value.code == code
            assert "private" not in str(caught.value)
            assert "secret" not in str(caught.value)
        assert house.refusals == []

    run(tmp_path, scenario)


def test_arguments_of_another_shape_are_invalid_and_no_refusal(tmp_path: Path) -> None:
    class Other(msgspec.Struct):
        text: int = 7

    async def scenario(house: House) -> None:
        with pytest.raises(InvalidInputError):
            await house.link.call("echo.say", Other(), Say)
        assert house.refusals == []

    run(tmp_path, scenario)


def test_a_method_that_nobody_declared_is_refused(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        with pytest.raises(RefusedError) as caught:
            await house.link.call("echo.other", Say(), Say)
        assert caught.value.code == "refused.method"
        assert [refusal.code for refusal in house.refusals] == ["refused.method"]

    run(tmp_path, scenario)


def test_a_newcomer_may_enrol_and_nothing_else_and_reconnects_with_its_ticket(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        newcomer = ModuleIdentity("mx", "mx-2.test")
        link = Link(newcomer, house.anchors, "echo", house.path)
        with pytest.raises(RefusedError) as caught:
            await link.call("echo.say", Say(), Say)
        assert caught.value.code == "refused.no_module_ticket"
        await link.call("echo.enrol", Say(), Say)
        assert house.grants[-1].peer_module == ""
        assert house.grants[-1].connection.public_key == newcomer.public_key
        ticket, _ = house.mint.module("mx", newcomer.instance, newcomer.thumbprint)
        newcomer.ticket = house.mint.sign(
            msgspec.structs.replace(ticket, methods=("echo.say",), audience=("echo",))
        )
        await link.call("echo.say", Say(), Say)
        with pytest.raises(RefusedError):
            await link.call("echo.enrol", Say(), Say)
        await link.close()

    run(tmp_path, scenario)


def test_a_keeper_renews_its_ticket_on_a_live_connection(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await house.say()
        connection = house.link._connection
        assert connection is not None
        before = connection.peer.ticket.id
        house.keeper.ticket = house.identity("echo").ticket  # of another key: not this keeper's
        with pytest.raises(RefusedError):
            await house.say()
        await asyncio.sleep(0)
        ticket, _ = house.mint.module("echo", "echo-1.test", house.keeper.thumbprint)
        house.keeper.ticket = house.mint.sign(ticket)
        await house.say()
        again = house.link._connection
        assert again is not None
        assert again.peer.ticket.id not in {before, ""}
        house.keeper.ticket = house.mint.module("echo", "echo-1.test", house.keeper.thumbprint)[1]
        await house.say()
        assert house.link._connection is again
        await house.say()
        assert again.peer.ticket.id == _id_of(house.keeper.ticket)

    run(tmp_path, scenario)


def _id_of(token: bytes) -> str:
    from postkeep.tickets import token as tokens

    return tokens.read(token)[0].ticket.id


def test_a_keeper_that_is_away_is_unavailable_and_found_again_when_it_is_back(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await house.say()
        waiting = asyncio.create_task(house.link.call("echo.wait", Say(), Say))
        await house.entered.wait()
        for connection in tuple(house.server.connections):
            connection.abort()
        with pytest.raises(UnavailableError):
            await waiting
        house.gate.set()
        await house.server.close()
        with pytest.raises(UnavailableError):
            await house.say()
        house.server = house.make_server()
        await house.server.serve_unix(house.path)
        assert (await house.say("back")).text == "back"

    run(tmp_path, scenario)


def test_a_call_that_takes_too_long_is_given_up_and_its_late_answer_ignored(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        with pytest.raises(UnavailableError) as caught:
            await house.link.call("echo.wait", Say(), Say, timeout_seconds=0.02)
        assert caught.value.code == "unavailable.timeout"
        house.gate.set()
        assert (await house.say("next")).text == "next"

    run(tmp_path, scenario)


def test_a_silent_stranger_is_cut_off_after_the_handshake_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "HANDSHAKE_SECONDS", 0.05)

    async def scenario(house: House) -> None:
        reader, writer = await asyncio.open_unix_connection(house.path)
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        await writer.wait_closed()
        assert not house.server.newcomers

    run(tmp_path, scenario)


def test_a_rain_of_strangers_is_told_by_its_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STRANGERS_TOLD_PER_SECOND_MAX", 2)
    strangers = 40

    async def scenario(house: House) -> None:
        for _ in range(strangers):
            reader, writer = await asyncio.open_unix_connection(house.path)
            writer.write(b"\0\0\0\x21" + bytes(33))
            await reader.read()
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(1.0)
        reader, writer = await asyncio.open_unix_connection(house.path)
        writer.write(b"\0\0\0\x21" + bytes(33))
        await reader.read()
        writer.close()
        await writer.wait_closed()
        assert sum(1 + refusal.untold for refusal in house.refusals) == strangers + 1
        assert len(house.refusals) < strangers
        with pytest.raises(RefusedError):
            await house.link.call("echo.other", Say(), Say)
        assert house.refusals[-1].instance == "mx-1.test"

    run(tmp_path, scenario)


def test_a_newcomer_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "NEWCOMER_SECONDS", 0.05)

    async def scenario(house: House) -> None:
        link = Link(ModuleIdentity("mx", "mx-2.test"), house.anchors, "echo", house.path)
        await link.call("echo.enrol", Say(), Say)
        gone = asyncio.Event()
        house.grants[-1].connection.on_close(gone.set)
        assert house.server.newcomers.total() == 1
        await asyncio.wait_for(gone.wait(), 5)
        assert not house.server.newcomers
        await house.say()
        assert not house.server.newcomers
        await link.close()

    run(tmp_path, scenario)


def test_strangers_of_one_user_take_a_bounded_number_of_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "NEWCOMERS_EACH_MAX", 3)

    async def scenario(house: House) -> None:
        await house.say()
        held = [await asyncio.open_unix_connection(house.path) for _ in range(3)]
        reader, writer = await asyncio.open_unix_connection(house.path)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert (await house.say("still served")).text == "still served"
        for _, other in [*held, (reader, writer)]:
            other.close()
            await other.wait_closed()

    run(tmp_path, scenario)


def test_handlers_hear_when_the_connection_goes(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        await house.say()
        gone, later = asyncio.Event(), asyncio.Event()
        house.grants[0].connection.on_close(gone.set)
        assert not gone.is_set()
        await house.link.close()
        await asyncio.wait_for(gone.wait(), 5)
        house.grants[0].connection.on_close(later.set)
        assert later.is_set()

    run(tmp_path, scenario)


def test_closing_lets_a_running_call_finish(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        waiting = asyncio.create_task(house.link.call("echo.wait", Say("last"), Say))
        await house.entered.wait()
        closing = asyncio.create_task(house.server.close())
        await asyncio.sleep(0.01)
        house.gate.set()
        assert (await waiting).text == "last"
        await closing

    run(tmp_path, scenario)


@pytest.mark.parametrize("change", ["handler without rule", "rule without handler"])
def test_a_keeper_whose_rules_and_handlers_do_not_match_does_not_start(tmp_path: Path, change: str) -> None:
    async def scenario(house: House) -> None:
        rules = RULES[1:] if change == "handler without rule" else (*RULES, Rule("echo.more", ("mx",)))

        async def handler(_grant: Grant, request: Say) -> Say:
            return request

        with pytest.raises(ValueError, match=r"echo\.(say|more)"):
            Server(
                house.keeper,
                house.anchors,
                "echo",
                {rule.method: (Say, handler) for rule in RULES},
                RevocationView(),
                house.refusals.append,
                rules=rules,
            )

    run(tmp_path, scenario)
