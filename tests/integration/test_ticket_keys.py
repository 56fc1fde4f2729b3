"""Ticket keys in kms and the authority's keyring over them, on a real database: who gets them, rotation."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.kms_world import Node, running

from postkeep.base.clock import FixedClock
from postkeep.base.errors import ConflictError, RefusedError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.model.audit import EventName
from postkeep.services.authority import keyring as keyring_module
from postkeep.services.authority.keyring import Keyring
from postkeep.services.kms import api
from postkeep.services.kms import ticket_keys as ticket_keys_module
from postkeep.services.kms.client import KmsClient
from postkeep.tickets.identity import Anchors, ModuleIdentity, thumbprint
from postkeep.tickets.mint import TICKET_SECONDS_MAX, Mint
from postkeep.tickets.verify import Verifier


class House:
    """A keyring as the authority has it, over a kms that runs."""

    def __init__(self, node: Node, client: KmsClient) -> None:
        self.clock = FixedClock(int(time.time()))
        self.anchors = Anchors()
        self.retired: list[tuple[bytes, float]] = []
        self.noted: list[tuple[EventName, Any]] = []
        self.mint = Mint(None, self.clock)
        self.keyring = Keyring(
            client,
            self.mint,
            self.anchors.trust,
            lambda key, seconds: self.retired.append((key, seconds)),
            lambda event, fields: self.noted.append((event, fields)),
            self.clock,
        )
        self.holder = ModuleIdentity("imap", "imap-1.test")

    def ticket(self) -> bytes:
        return self.mint.user(
            "imap",
            "imap-1.test",
            self.holder.thumbprint,
            tenant=new_id(),
            principal=new_id(),
            session=new_id(),
        )[1]

    def check(self, token: bytes) -> None:
        Verifier(self.anchors, self.clock).verify(token, audience="vault", holder=self.holder.thumbprint)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring_module, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(keyring_module, "FIRST_SETTLE_SECONDS", 0.0)


def test_two_keys_are_live_at_once_and_a_ticket_outlives_the_rotation(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            house = House(node, node.client(node.module("authority")))
            with pytest.raises(UnavailableError):
                house.ticket()
            await house.keyring.fetch()
            old = house.ticket()
            (first,) = house.anchors.authority
            info = await house.keyring.rotate()
            assert (info.previous, info.key in house.anchors.authority) == (first, True)
            assert info.key != first
            house.check(old)
            house.check(house.ticket())
            ((key, seconds),) = house.retired
            assert thumbprint(key) == first
            assert seconds > TICKET_SECONDS_MAX
            house.anchors.distrust(key)
            with pytest.raises(RefusedError):
                house.check(old)
            released = await node.events(EventName.KEY_RELEASE, EventName.KEY_CREATE, EventName.KEY_ROTATE)
            told = [(event.event, event.digest) for event in released if event.note == "ticket"]
            assert told == [
                (EventName.KEY_CREATE, first),
                (EventName.KEY_RELEASE, first),
                (EventName.KEY_ROTATE, info.key),
                (EventName.KEY_RELEASE, info.key),
            ]

    asyncio.run(scenario())


def test_a_second_rotation_waits_until_the_first_is_over_and_then_forgets_the_oldest(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            client = node.client(node.module("authority"))
            first = await client.ticket_keys()
            second = await client.rotate_ticket_key()
            with pytest.raises(ConflictError) as caught:
                await client.rotate_ticket_key()
            assert caught.value.code == "conflict.rotation"
            assert "quarter of an hour" in caught.value.public_text
            assert (await client.ticket_keys()).previous == first.public_key
            monkeypatch.setattr(ticket_keys_module, "BELIEVED_SECONDS", -1)
            assert (await client.ticket_keys()).previous == b""
            monkeypatch.undo()
            monkeypatch.setattr(ticket_keys_module, "BELIEVED_SECONDS", 0)
            await asyncio.sleep(0.01)
            third = await client.rotate_ticket_key()
            monkeypatch.setattr(ticket_keys_module, "BELIEVED_SECONDS", 100)
            assert (await client.ticket_keys()).previous == second.public_key
            assert len({first.public_key, second.public_key, third.public_key}) == 3

    asyncio.run(scenario())


def test_the_keys_outlive_kms_and_the_authority(dsn: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            house = House(node, node.client(node.module("authority")))
            await house.keyring.fetch()
            token = house.ticket()
            await node.stop_kms()
            await node.start_kms()
            later = House(node, node.client(node.module("authority")))
            later.holder = house.holder
            await later.keyring.fetch()
            later.check(token)
            assert later.anchors.authority == house.anchors.authority

    asyncio.run(scenario())


@pytest.mark.parametrize("module", ["imap", "vault", "steward", "mx"])
def test_ticket_keys_go_to_the_authority_alone(dsn: str, tmp_path: Path, module: str) -> None:
    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            client = node.client(node.module(module))
            for attempt in (client.ticket_keys, client.rotate_ticket_key):
                with pytest.raises(RefusedError):
                    await attempt()

    asyncio.run(scenario())


class Lossy:
    """A kms whose answer to a rotation is lost, once."""

    def __init__(self, client: KmsClient) -> None:
        self.client = client
        self.lost = False

    async def ticket_keys(self) -> api.TicketKeys:
        return await self.client.ticket_keys()

    async def rotate_ticket_key(self) -> api.TicketKeys:
        keys = await self.client.rotate_ticket_key()
        if not self.lost:
            self.lost = True
            raise UnavailableError("the answer is lost")
        return keys


def test_a_rotation_whose_answer_was_lost_is_found_out(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring_module, "RETRY_SECONDS", 0.0)

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            house = House(node, node.client(node.module("authority")))
            house.keyring._kms = Lossy(node.client(node.module("authority")))
            await house.keyring.fetch()
            (first,) = house.anchors.authority
            with pytest.raises(UnavailableError):
                await house.keyring.rotate()
            keeping = asyncio.create_task(house.keyring.keep(30))
            async with asyncio.timeout(5):
                while len(house.anchors.authority) < 2:  # noqa: ASYNC110 - what it waits for has no event
                    await asyncio.sleep(0.01)
            keeping.cancel()
            assert first in house.anchors.authority
            house.check(house.ticket())

    asyncio.run(scenario())


def test_a_key_of_an_age_is_exchanged_by_itself(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring_module, "CHECK_SECONDS", 0.01)

    async def scenario() -> None:
        async with running(dsn, tmp_path) as node:
            house = House(node, node.client(node.module("authority")))
            await house.keyring.fetch()
            house.clock.advance(31 * 86400)
            keeping = asyncio.create_task(house.keyring.keep(30))
            async with asyncio.timeout(5):
                while len(house.anchors.authority) < 2:  # noqa: ASYNC110 - what it waits for has no event
                    await asyncio.sleep(0.01)
            keeping.cancel()

    asyncio.run(scenario())
