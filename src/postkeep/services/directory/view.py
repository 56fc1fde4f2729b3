"""The directory as a face sees it: cached, checked, and never older than it may be.

Answers hold for a version of the directory; the authority's feed says when there is a newer one. While the
authority is away the last answers serve for a while, so that mail goes on; then the view raises, and mx
says 451. A public key that kms has not vouched for is never handed out.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from postkeep.base.errors import IntegrityError, PostkeepError, UnavailableError
from postkeep.crypto.directory_key import check_public_key
from postkeep.services.authority.api import Recipient, Resolve, Route, Routes
from postkeep.services.kms.api import SignedPublicKey
from postkeep.tickets.identity import Anchors
from postkeep.tickets.revocations import RevocationView

KNOWN_SECONDS: Final = 300.0
"""How long an answer is not asked for again while the directory's version stays."""

UNKNOWN_SECONDS: Final = 30.0
"""The same for addresses that do not exist: there is no end of them."""

AWAY_SECONDS_MAX: Final = 300.0
"""How long the last answers serve while the authority is silent: a restart takes seconds, an upgrade
minutes."""

CACHED_ROUTES_MAX: Final = 16_384
"""Answers kept, about 2 KB each where there is a key in them: 30 MB in each worker."""

CHECKED_KEYS_MAX: Final = 65_536
"""Public keys whose signature is remembered as good, about 200 bytes each."""

BATCH_MAX: Final = 512
"""Addresses in one question to the authority."""


class Directory(Protocol):
    """The authority, as far as this needs it."""

    async def resolve(self, request: Resolve) -> Routes:
        """Say where mail for addresses goes."""


class _Entry(NamedTuple):
    route: Route
    version: int
    until: float


class DirectoryView:
    """Routes by address. Use it from one event loop; give `changed` to `follow_feed` as `on_directory`."""

    def __init__(
        self,
        authority: Directory,
        anchors: Anchors,
        revocations: RevocationView,
        on_forged: Callable[[SignedPublicKey], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._authority = authority
        self._anchors = anchors
        self._revocations = revocations
        self._on_forged = on_forged
        self._monotonic = monotonic
        self._version = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._keys: OrderedDict[bytes, SignedPublicKey] = OrderedDict()
        self._asked: dict[str, asyncio.Future[Route]] = {}
        self._waiting: list[str] = []
        self._questions: set[asyncio.Task[None]] = set()

    def changed(self, version: int) -> None:
        """Take note of the directory's version: answers for another one are asked for again."""
        self._version = version

    def cached(self, address: str) -> Route | None:
        """Return the route where it is known; None where it has to be asked for.

        Raises UnavailableError when the view is stale: there was an answer, and nobody can say any more
        whether it still holds.
        """
        entry = self._entries.get(address)
        if entry is None:
            return None
        if self._revocations.silence > AWAY_SECONDS_MAX:
            raise UnavailableError("the view of the directory is stale", code="unavailable.stale")
        if entry.version != self._version or entry.until <= self._monotonic():
            return None
        self._entries.move_to_end(address)
        return entry.route

    async def resolve(self, addresses: Sequence[str]) -> list[Route]:
        """Return the routes in the order asked; what others ask at the same moment goes along.

        Raises UnavailableError when nobody can say.
        """
        waiting: list[Route | asyncio.Future[Route]] = []
        for address in addresses:
            route = self.cached(address) if self._revocations.silence <= AWAY_SECONDS_MAX else None
            waiting.append(route or self._ask(address))
        futures = [item for item in waiting if isinstance(item, asyncio.Future)]
        if futures:
            await asyncio.wait(futures)
        return [item.result() if isinstance(item, asyncio.Future) else item for item in waiting]

    async def close(self) -> None:
        """End the questions under way."""
        for task in tuple(self._questions):
            task.cancel()
        await asyncio.gather(*self._questions, return_exceptions=True)

    def _ask(self, address: str) -> asyncio.Future[Route]:
        future = self._asked.get(address)
        if future is None:
            loop = asyncio.get_running_loop()
            self._asked[address] = future = loop.create_future()
            # A failure is told to whoever still waits; that nobody does is no error.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._waiting.append(address)
            if len(self._waiting) == 1:
                loop.call_soon(self._send)
        return future

    def _send(self) -> None:
        batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        if batch:
            task = asyncio.get_running_loop().create_task(self._question(batch))
            self._questions.add(task)
            task.add_done_callback(self._questions.discard)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._send)

    async def _question(self, batch: list[str]) -> None:
        futures = {address: self._asked[address] for address in batch}
        try:
            answer = await self._authority.resolve(Resolve(batch))
            if len(answer.routes) != len(batch):
                raise UnavailableError("the authority answers another question")
        except PostkeepError as error:
            self._settle_without_answer(futures, error)
        else:
            for address, route in zip(batch, answer.routes, strict=True):
                self._settle(address, futures[address], route, answer.version)
        finally:
            for address in batch:
                self._asked.pop(address, None)
                futures[address].cancel()

    def _settle(self, address: str, future: asyncio.Future[Route], route: Route, version: int) -> None:
        try:
            checked = self._check(route)
        except PostkeepError as error:
            self._entries.pop(address, None)
            if not future.done():
                future.set_exception(error)
            return
        self._version = max(self._version, version)
        life = KNOWN_SECONDS if checked.status == "local" else UNKNOWN_SECONDS
        self._entries[address] = _Entry(checked, version, self._monotonic() + life)
        self._entries.move_to_end(address)
        if len(self._entries) > CACHED_ROUTES_MAX:
            self._entries.popitem(last=False)
        if not future.done():
            future.set_result(checked)

    def _settle_without_answer(self, futures: dict[str, asyncio.Future[Route]], error: PostkeepError) -> None:
        """Let the last answers serve, if they are not too old: the authority is away."""
        serves = error.temporary and self._revocations.silence <= AWAY_SECONDS_MAX
        for address, future in futures.items():
            entry = self._entries.get(address)
            if future.done():
                continue
            if serves and entry is not None:
                future.set_result(entry.route)
            else:
                future.set_exception(UnavailableError(f"nobody can say where mail goes: {error.code}"))

    def _check(self, route: Route) -> Route:
        """Return a route whose keys are all vouched for, each as the one object that all routes share."""
        if not route.recipients:
            return route
        recipients = [Recipient(self._check_key(recipient.key)) for recipient in route.recipients]
        return msgspec.structs.replace(route, recipients=recipients)

    def _check_key(self, key: SignedPublicKey) -> SignedPublicKey:
        known = self._keys.get(key.signature)
        if known == key:
            self._keys.move_to_end(key.signature)
            return known
        if not self._anchors.directory:
            raise UnavailableError("the directory key is not known yet", code="unavailable.starting")
        try:
            check_public_key(
                self._anchors.directory,
                key.tenant,
                key.principal,
                key.generation,
                key.public_key,
                key.signature,
            )
        except IntegrityError as exc:
            self._on_forged(key)
            raise UnavailableError(
                "a public key is not vouched for by kms", code="unavailable.forged_key"
            ) from exc
        self._keys[key.signature] = key
        if len(self._keys) > CHECKED_KEYS_MAX:
            self._keys.popitem(last=False)
        return key
