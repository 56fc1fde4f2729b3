"""The cached view of the directory: fresh, forgiving for a while, and never with a key nobody vouched for."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postkeep.base.errors import UnavailableError
from postkeep.base.ids import new_id
from postkeep.crypto.directory_key import public_key_statement
from postkeep.services.authority.api import Recipient, Resolve, Route, Routes
from postkeep.services.directory import view as view_module
from postkeep.services.directory.view import DirectoryView
from postkeep.services.kms.api import SignedPublicKey
from postkeep.tickets.identity import Anchors
from postkeep.tickets.revocations import RevocationView

TENANT = new_id()


class Town:
    """An authority that knows some addresses, a clock, and a view over both."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.key = Ed25519PrivateKey.generate()
        self.anchors = Anchors()
        self.anchors.directory = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.revocations = RevocationView(lambda: self.now)
        self.revocations.heard(0)
        self.known: dict[str, SignedPublicKey] = {}
        self.questions: list[list[str]] = []
        self.away = False
        self.version = 1
        self.forged: list[SignedPublicKey] = []
        self.view = DirectoryView(self, self.anchors, self.revocations, self.forged.append, lambda: self.now)
        self.view.changed(1)

    def settle(self, address: str, *, forged: bool = False) -> None:
        principal, public_key = new_id(), os.urandom(1216)
        statement = public_key_statement(TENANT, principal, 1, public_key)
        signature = os.urandom(64) if forged else self.key.sign(statement)
        self.known[address] = SignedPublicKey(TENANT, principal, 1, public_key, signature)

    async def resolve(self, request: Resolve) -> Routes:
        self.questions.append(request.addresses)
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError
        return Routes([self._route(address) for address in request.addresses], self.version)

    def _route(self, address: str) -> Route:
        key = self.known.get(address)
        return Route(address, "local", [Recipient(key)]) if key else Route(address, "unknown")

    async def status(self, address: str) -> str:
        (route,) = await self.view.resolve([address])
        return route.status


def run(scenario: Callable[[Town], Awaitable[Any]]) -> None:
    async def whole() -> None:
        town = Town()
        try:
            await scenario(town)
        finally:
            await town.view.close()

    asyncio.run(whole())


def test_an_answer_is_kept_until_the_directory_changes_or_it_is_old() -> None:
    async def scenario(town: Town) -> None:
        town.settle("alice@example.com")
        assert town.view.cached("alice@example.com") is None
        assert await town.status("alice@example.com") == "local"
        assert await town.status("nobody@example.com") == "unknown"
        assert town.view.cached("alice@example.com") is not None
        assert await town.status("alice@example.com") == "local"
        assert len(town.questions) == 2
        town.now += view_module.UNKNOWN_SECONDS
        assert town.view.cached("nobody@example.com") is None
        assert town.view.cached("alice@example.com") is not None
        town.version = 2
        town.view.changed(2)
        town.known.clear()
        assert town.view.cached("alice@example.com") is None
        assert await town.status("alice@example.com") == "unknown"

    run(scenario)


def test_questions_of_one_moment_travel_together() -> None:
    async def scenario(town: Town) -> None:
        town.settle("a@example.com")
        answers = await asyncio.gather(
            *(town.view.resolve(["a@example.com", f"{number}@example.com"]) for number in range(700))
        )
        assert all([route.status for route in answer] == ["local", "unknown"] for answer in answers)
        assert [len(question) for question in town.questions] == [512, 189]

    run(scenario)


def test_while_the_authority_is_away_the_last_answers_serve_for_a_while() -> None:
    async def scenario(town: Town) -> None:
        town.settle("alice@example.com")
        await town.status("alice@example.com")
        town.away = True
        town.now += view_module.AWAY_SECONDS_MAX - 1
        town.view.changed(2)
        assert await town.status("alice@example.com") == "local"
        with pytest.raises(UnavailableError):
            await town.status("bob@example.com")
        town.now += 2
        with pytest.raises(UnavailableError):
            town.view.cached("alice@example.com")
        with pytest.raises(UnavailableError):
            await town.status("alice@example.com")
        town.away = False
        town.revocations.heard(0)
        assert await town.status("alice@example.com") == "local"

    run(scenario)


def test_a_key_that_nobody_vouched_for_is_not_handed_out_and_is_reported() -> None:
    async def scenario(town: Town) -> None:
        town.settle("alice@example.com")
        town.settle("mallory@example.com", forged=True)
        with pytest.raises(UnavailableError) as caught:
            await town.view.resolve(["alice@example.com", "mallory@example.com"])
        assert caught.value.code == "unavailable.forged_key"
        assert town.forged == [town.known["mallory@example.com"]]
        assert town.view.cached("mallory@example.com") is None
        assert await town.status("alice@example.com") == "local"
        # A good signature of another key does not help a forged one.
        good = town.known["alice@example.com"]
        town.known["mallory@example.com"] = SignedPublicKey(
            TENANT, good.principal, 1, os.urandom(1216), good.signature
        )
        with pytest.raises(UnavailableError):
            await town.status("mallory@example.com")

    run(scenario)


def test_without_the_directory_key_nothing_local_is_answered() -> None:
    async def scenario(town: Town) -> None:
        town.settle("alice@example.com")
        town.anchors.directory = b""
        with pytest.raises(UnavailableError):
            await town.status("alice@example.com")
        assert town.forged == []

    run(scenario)


def test_who_stops_waiting_does_not_stop_the_others() -> None:
    async def scenario(town: Town) -> None:
        town.settle("alice@example.com")
        first = asyncio.create_task(town.status("alice@example.com"))
        second = asyncio.create_task(town.status("alice@example.com"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "local"
        assert first.cancelled()

    run(scenario)
