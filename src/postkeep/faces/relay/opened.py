"""Opening what was leased: the envelope at once, the content when a server is ready to take it."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Final, Protocol

from postkeep.base.errors import IntegrityError, PostkeepError, UnavailableError
from postkeep.crypto.epoch import EpochReader
from postkeep.crypto.message import open_content, open_envelope, reseal_envelope, unwrap_key
from postkeep.services.delivery.deposit import TicketSource
from postkeep.services.kms.api import OpenedEpochs, OpenEpochs, SealedEpoch
from postkeep.services.queue.api import LeasedItem, QueueBytes, QueueContent
from postkeep.services.queue.envelope import QueueEnvelope, decode, encode

EPOCHS_MAX: Final = 4096
"""Epochs kept open, at most some 130 KB each when all their steps are used; the least used go first."""
THREAD_OCTETS: Final = 1024 * 1024
"""Content larger than this is opened in a thread: on the loop it would hold up others."""


class Kms(Protocol):
    """The key service, as far as this needs it."""

    async def open_epochs(self, request: OpenEpochs, *, ticket: bytes) -> OpenedEpochs:
        """Open epochs of a queue."""


class QueueReader(Protocol):
    """The vault, as far as this needs it."""

    async def queue_content(self, request: QueueContent, *, ticket: bytes) -> QueueBytes:
        """Return a range of a leased item's sealed body."""


class OpenItem:
    """A leased item with its envelope open and the keys to its parts."""

    __slots__ = ("_content_key", "_metadata_key", "envelope", "item")

    def __init__(self, item: LeasedItem, reader: EpochReader) -> None:
        self.item = item
        self._content_key = self._unwrap("content", reader)
        self._metadata_key = self._unwrap("metadata", reader)
        self.envelope: QueueEnvelope = decode(
            open_envelope(self._metadata_key, item.tenant, item.body, item.id, item.envelope)
        )

    def _unwrap(self, category: str, reader: EpochReader) -> bytes:
        item = self.item
        key = reader.wrap_key(category, item.index)
        return unwrap_key(
            category, item.wraps, key, item.tenant, item.body, item.principal, item.epoch, item.index
        )

    @property
    def metadata_key(self) -> bytes:
        """The key under which identifiers of reports are derived."""
        return self._metadata_key

    def seal(self, envelope: QueueEnvelope) -> bytes:
        """Seal the envelope of those who remain."""
        item = self.item
        return reseal_envelope(self._metadata_key, item.tenant, item.body, item.id, encode(envelope))

    def open(self, sealed: bytes) -> bytes:
        """Open the message."""
        return open_content(self._content_key, self.item.tenant, self.item.body, sealed)


class Opener:
    """Opens leased items. Keeps the epochs it has been given. Use it from one event loop."""

    def __init__(self, kms: Kms, vault: QueueReader, tickets: TicketSource) -> None:
        self._kms = kms
        self._vault = vault
        self._tickets = tickets
        self._readers: OrderedDict[bytes, EpochReader] = OrderedDict()

    async def open(self, items: Sequence[LeasedItem]) -> list[OpenItem | PostkeepError]:
        """Open items, with one call per queue for epochs not seen yet; each succeeds or fails by itself."""
        troubles = await self._fetch_epochs(items)
        opened: list[OpenItem | PostkeepError] = []
        for item in items:
            reader = self._readers.get(item.epoch)
            if reader is None:
                opened.append(troubles.get(item.epoch) or UnavailableError("an epoch was not opened"))
                continue
            self._readers.move_to_end(item.epoch)
            try:
                opened.append(OpenItem(item, reader))
            except PostkeepError as error:
                opened.append(error)
        while len(self._readers) > EPOCHS_MAX:
            self._readers.popitem(last=False)
        return opened

    async def _fetch_epochs(self, items: Sequence[LeasedItem]) -> dict[bytes, PostkeepError]:
        wanted: defaultdict[bytes, dict[bytes, bytes]] = defaultdict(dict)
        for item in items:
            if item.epoch not in self._readers:
                wanted[item.principal][item.epoch] = item.sealed_epoch
        troubles: dict[bytes, PostkeepError] = {}
        for principal, epochs in wanted.items():
            sealed = [SealedEpoch(epoch, value) for epoch, value in epochs.items()]
            try:
                answer = await self._kms.open_epochs(
                    OpenEpochs(principal, sealed), ticket=await self._tickets.get()
                )
            except PostkeepError as error:
                troubles |= dict.fromkeys(epochs, error)
                continue
            for opened in answer.epochs:
                if opened.error:
                    troubles[opened.epoch] = PostkeepError("kms can't open an epoch", code=opened.error)
                else:
                    chains = {category.value: start for category, start in opened.chains.items()}
                    self._readers[opened.epoch] = EpochReader(opened.epoch, chains)
        return troubles

    async def content(self, opened: OpenItem) -> bytes:
        """Fetch and open the message; raises what vault and crypto raise."""
        item = opened.item
        sealed = bytearray()
        while len(sealed) < item.content_length:
            request = QueueContent(item.id, item.lease, len(sealed))
            piece = await self._vault.queue_content(request, ticket=await self._tickets.get())
            if not piece.data:
                raise IntegrityError("a sealed body is shorter than its row says")
            sealed += piece.data
        if len(sealed) > THREAD_OCTETS:
            return await asyncio.to_thread(opened.open, bytes(sealed))
        return opened.open(bytes(sealed))
